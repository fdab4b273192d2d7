# Made by `make completions`; do not edit.

_gpualloc_reply() {
    mapfile -t COMPREPLY < <(compgen "$@" -- "$current")
}

_gpualloc_ask() {
    local value
    while IFS= read -r value; do
        [[ $value == "$current"* ]] && COMPREPLY+=("$(printf '%q' "$value")")
    done < <(gpualloc "${world[@]}" __complete "$1" 2>/dev/null)
}

_gpualloc() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' done='' i
    local -a world=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) _gpualloc_reply -c; return ;;
            --config | --sim | --state-dir)
                ((i + 1 < COMP_CWORD)) && world+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
                ((i++))
                ;;
            -*) ;;
            *)
                if [[ -z $verb ]]; then
                    verb=${COMP_WORDS[i]}
                    case $verb in 'alerts' | 'mig' | 'simulate' | 'config' | 'store' | 'node') ;; *) done=1 ;; esac
                elif [[ -z $done ]]; then
                    verb+=" ${COMP_WORDS[i]}" done=1
                fi
                ;;
        esac
    done
    case $previous in
        --config) compopt -o filenames; _gpualloc_reply -f; return ;;
        --sim) compopt -o filenames; _gpualloc_reply -f; return ;;
        --state-dir) compopt -o filenames; _gpualloc_reply -d; return ;;
    esac
    case $verb in
        '')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --version -h --help'
            else _gpualloc_reply -W 'nodes processes top free status health events history replay assess forecast alerts audit submit run ps show phases why logs wait release adopt let-go signal suspend resume plan apply recover undo rebalance cordon uncordon burnin drain scale drift reconcile set mig enforce sample exporter record policies simulate tune init config store doctor node completion'; fi
            ;;
        'nodes')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--csv --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'processes')
            case $previous in
                --user) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--user --csv --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'top')
            case $previous in
                --every) :; return ;;
                --theme) _gpualloc_reply -W 'dark light high-contrast colour-blind mono'; return ;;
                --view) _gpualloc_reply -W 'fleet nodes processes workloads users forecast plan events alerts audit'; return ;;
                --port) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--every --once --watch --ascii --theme --read-only --view --serve --port --config --sim --state-dir -h --help'
            else :; fi
            ;;
        'free')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'status')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'health')
            case $previous in
                --severity) _gpualloc_reply -W 'info warning error critical'; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--severity --forget --csv --detailed-exitcode --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'events')
            case $previous in
                --since) :; return ;;
                --severity) _gpualloc_reply -W 'info warning error critical'; return ;;
                --node) _gpualloc_ask nodes; return ;;
                --device) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--since --severity --node --device --csv -f --follow --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'history')
            case $previous in
                --metric) _gpualloc_ask metrics; return ;;
                --since) :; return ;;
                --node) _gpualloc_ask nodes; return ;;
                --device) :; return ;;
                --level) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--metric --since --node --device --level --csv --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'replay')
            case $previous in
                --at) :; return ;;
                --speed) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--at --speed --config --sim --state-dir --json -h --help'
            else compopt -o filenames; _gpualloc_reply -f; fi
            ;;
        'assess')
            case $previous in
                --days) :; return ;;
                --html) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--days --html --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'forecast')
            case $previous in
                --metric) _gpualloc_ask foreseen; return ;;
                --by) _gpualloc_reply -W 'pool tenant profile all'; return ;;
                --pool) _gpualloc_ask pools; return ;;
                --node) _gpualloc_ask nodes; return ;;
                --device) :; return ;;
                --horizon) :; return ;;
                --model) :; return ;;
                --series) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--metric --by --pool --node --device --horizon --model --score --series --backtest --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'alerts')
            if [[ $current == -* ]]; then _gpualloc_reply -W '-h --help'
            else _gpualloc_reply -W 'list history test silence unsilence'; fi
            ;;
        'alerts list')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'alerts history')
            case $previous in
                --since) :; return ;;
                --node) _gpualloc_ask nodes; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--since --node --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'alerts test')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'alerts silence')
            case $previous in
                --node) _gpualloc_ask nodes; return ;;
                --for) :; return ;;
                --reason) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--node --for --reason --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'alerts unsilence')
            case $previous in
                --node) _gpualloc_ask nodes; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--node --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'audit')
            case $previous in
                --since) :; return ;;
                --workload) _gpualloc_ask workloads; return ;;
                --limit) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--since --workload --limit --verify --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'submit')
            case $previous in
                --name) :; return ;;
                --gpus) :; return ;;
                --gpu-memory) :; return ;;
                --gpu-model) :; return ;;
                --fraction) :; return ;;
                --share) :; return ;;
                --profile) :; return ;;
                --sm) :; return ;;
                --cpus) :; return ;;
                --cpuset) :; return ;;
                --memory) :; return ;;
                --pids) :; return ;;
                --priority) :; return ;;
                --nodes) _gpualloc_ask nodes; return ;;
                --cwd) compopt -o filenames; _gpualloc_reply -d; return ;;
                --env) :; return ;;
                --at-most) :; return ;;
                --require) :; return ;;
                -f | --file) compopt -o filenames; _gpualloc_reply -f; return ;;
                --per-node) :; return ;;
                --label) :; return ;;
                --near) :; return ;;
                --profile-file) compopt -o filenames; _gpualloc_reply -f; return ;;
                --cpu-weight) :; return ;;
                --io-weight) :; return ;;
                --preempt) :; return ;;
                --checkpoint-signal) _gpualloc_reply -W 'TERM KILL INT HUP STOP CONT USR1 USR2 QUIT'; return ;;
                --checkpoint-command) :; return ;;
                --checkpoint-grace) :; return ;;
                --resize-command) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --name --gpus --gpu-memory --gpu-model --fraction --share --profile --sm --several-instances --cpus --cpuset --memory --pids --priority --nodes --cwd --env --at-most --require -f --file --gang --per-node --label --near --numa --profile-file --cpu-weight --io-weight --preempt --checkpoint-signal --checkpoint-command --checkpoint-grace --resize-command --json -h --help'
            else :; fi
            ;;
        'run')
            case $previous in
                --wait) :; return ;;
                --objective) :; return ;;
                --name) :; return ;;
                --gpus) :; return ;;
                --gpu-memory) :; return ;;
                --gpu-model) :; return ;;
                --fraction) :; return ;;
                --share) :; return ;;
                --profile) :; return ;;
                --sm) :; return ;;
                --cpus) :; return ;;
                --cpuset) :; return ;;
                --memory) :; return ;;
                --pids) :; return ;;
                --priority) :; return ;;
                --nodes) _gpualloc_ask nodes; return ;;
                --cwd) compopt -o filenames; _gpualloc_reply -d; return ;;
                --env) :; return ;;
                --at-most) :; return ;;
                --require) :; return ;;
                -f | --file) compopt -o filenames; _gpualloc_reply -f; return ;;
                --per-node) :; return ;;
                --label) :; return ;;
                --near) :; return ;;
                --profile-file) compopt -o filenames; _gpualloc_reply -f; return ;;
                --cpu-weight) :; return ;;
                --io-weight) :; return ;;
                --preempt) :; return ;;
                --checkpoint-signal) _gpualloc_reply -W 'TERM KILL INT HUP STOP CONT USR1 USR2 QUIT'; return ;;
                --checkpoint-command) :; return ;;
                --checkpoint-grace) :; return ;;
                --resize-command) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--wait --objective --config --sim --state-dir --name --gpus --gpu-memory --gpu-model --fraction --share --profile --sm --several-instances --cpus --cpuset --memory --pids --priority --nodes --cwd --env --at-most --require -f --file --gang --per-node --label --near --numa --profile-file --cpu-weight --io-weight --preempt --checkpoint-signal --checkpoint-command --checkpoint-grace --resize-command -h --help'
            else :; fi
            ;;
        'ps')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'show')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'phases')
            case $previous in
                --since) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--since --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'why')
            case $previous in
                --policy) _gpualloc_ask policies; return ;;
                --objective) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--policy --objective --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'logs')
            case $previous in
                --member) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '-f --follow --member --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'wait')
            case $previous in
                --timeout) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--timeout --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'release')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'adopt')
            case $previous in
                --node) _gpualloc_ask nodes; return ;;
                --gpus) :; return ;;
                --name) :; return ;;
                --owner) :; return ;;
                --cpus) :; return ;;
                --cpuset) :; return ;;
                --memory) :; return ;;
                --pids) :; return ;;
                --require) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--node --gpus --name --owner --cpus --cpuset --memory --pids --require --wait --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'let-go')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'signal')
            case $previous in
                --signal) _gpualloc_reply -W 'TERM KILL INT HUP STOP CONT USR1 USR2 QUIT'; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--signal --yes -y --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'suspend')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'resume')
            case $previous in
                --device) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask workloads; fi
            ;;
        'plan')
            case $previous in
                -o | --output) compopt -o filenames; _gpualloc_reply -f; return ;;
                --policy) _gpualloc_ask policies; return ;;
                --policy-profile) _gpualloc_ask profiles; return ;;
                --objective) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '-o --output --explain --pareto --policy --policy-profile --objective --detailed-exitcode --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'apply')
            case $previous in
                --policy) _gpualloc_ask policies; return ;;
                --policy-profile) _gpualloc_ask profiles; return ;;
                --objective) :; return ;;
                --max-disturbed) :; return ;;
                --wait) :; return ;;
                --resume) :; return ;;
                --rollback) :; return ;;
                --abandon) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--yes -y --policy --policy-profile --objective --max-disturbed --wait --resume --rollback --abandon --config --sim --state-dir --json -h --help'
            else compopt -o filenames; _gpualloc_reply -f; fi
            ;;
        'recover')
            case $previous in
                --resume) :; return ;;
                --rollback) :; return ;;
                --abandon) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--resume --rollback --abandon --yes -y --wait --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'undo')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--dry-run --yes -y --wait --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'rebalance')
            case $previous in
                --policy) _gpualloc_ask policies; return ;;
                --policy-profile) _gpualloc_ask profiles; return ;;
                --objective) :; return ;;
                --max-disturbed) :; return ;;
                --deadline) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--dry-run --watch --policy --policy-profile --objective --max-disturbed --deadline --wait --detailed-exitcode --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'cordon')
            case $previous in
                --device) :; return ;;
                --reason) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --reason --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'uncordon')
            case $previous in
                --device) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'burnin')
            case $previous in
                --device) :; return ;;
                --for) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --for --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'drain')
            case $previous in
                --device) :; return ;;
                --reason) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --evict --reason --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'scale')
            case $previous in
                --interrupted) _gpualloc_ask nodes; return ;;
                --in) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--apply --interrupted --in --wait --detailed-exitcode --config --sim --state-dir --json -h --help'
            else _gpualloc_ask pools; fi
            ;;
        'drift')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--detailed-exitcode --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'reconcile')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--boot --dry-run --yes -y --detailed-exitcode --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'set')
            case $previous in
                --device) :; return ;;
                --power) :; return ;;
                --clocks) :; return ;;
                --compute-mode) :; return ;;
                --persistence) :; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --power --clocks --compute-mode --persistence --release --yes -y --wait --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'mig')
            if [[ $current == -* ]]; then _gpualloc_reply -W '-h --help'
            else _gpualloc_reply -W 'list show plan apply export assert'; fi
            ;;
        'mig list')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'mig show')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'mig plan')
            case $previous in
                --device) :; return ;;
                --layout) :; return ;;
                -f | --file) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --layout -f --file --drain --detailed-exitcode --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'mig apply')
            case $previous in
                --device) :; return ;;
                --layout) :; return ;;
                -f | --file) compopt -o filenames; _gpualloc_reply -f; return ;;
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --layout -f --file --drain --yes -y --wait --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'mig export')
            case $previous in
                -o | --output) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '-o --output --config --sim --state-dir --json -h --help'
            else _gpualloc_ask nodes; fi
            ;;
        'mig assert')
            case $previous in
                --device) :; return ;;
                --layout) :; return ;;
                -f | --file) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--device --layout -f --file --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'enforce')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--apply --wait --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'sample')
            case $previous in
                --every) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--every --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'exporter')
            case $previous in
                --listen) :; return ;;
                --every) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--listen --every --processes --config --sim --state-dir -h --help'
            else :; fi
            ;;
        'record')
            case $previous in
                --every) :; return ;;
                --for) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--every --for --no-commands --config --sim --state-dir --json -h --help'
            else compopt -o filenames; _gpualloc_reply -f; fi
            ;;
        'policies')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'simulate')
            if [[ $current == -* ]]; then _gpualloc_reply -W '-h --help'
            else _gpualloc_reply -W 'packing churn compare bound temporal scale'; fi
            ;;
        'simulate packing')
            case $previous in
                --policy) _gpualloc_ask policies; return ;;
                --nodes) compopt -o filenames; _gpualloc_reply -f; return ;;
                --tasks) compopt -o filenames; _gpualloc_reply -f; return ;;
                --arrivals) compopt -o filenames; _gpualloc_reply -f; return ;;
                --key) :; return ;;
                --order) compopt -o filenames; _gpualloc_reply -f; return ;;
                --seed) :; return ;;
                --load) :; return ;;
                --add) :; return ;;
                --profile) compopt -o filenames; _gpualloc_reply -f; return ;;
                --placements) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--policy --nodes --tasks --from-history --arrivals --key --order --seed --load --add --profile --placements --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'simulate churn')
            case $previous in
                --policy) _gpualloc_ask policies; return ;;
                --nodes) compopt -o filenames; _gpualloc_reply -f; return ;;
                --tasks) compopt -o filenames; _gpualloc_reply -f; return ;;
                --load) :; return ;;
                --seed) :; return ;;
                --migrations) :; return ;;
                --move-seconds) :; return ;;
                --add) :; return ;;
                --profile) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--policy --nodes --tasks --from-history --load --seed --migrations --move-seconds --add --profile --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'simulate compare')
            case $previous in
                --nodes) compopt -o filenames; _gpualloc_reply -f; return ;;
                --tasks) compopt -o filenames; _gpualloc_reply -f; return ;;
                --policy) _gpualloc_ask policies; return ;;
                --arrivals) compopt -o filenames; _gpualloc_reply -f; return ;;
                --keys) :; return ;;
                --seeds) :; return ;;
                --load) :; return ;;
                --jobs) :; return ;;
                --published) compopt -o filenames; _gpualloc_reply -f; return ;;
                --csv) compopt -o filenames; _gpualloc_reply -f; return ;;
                --html) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--nodes --tasks --policy --arrivals --keys --seeds --load --jobs --published --bound --csv --html --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'simulate bound')
            case $previous in
                --nodes) compopt -o filenames; _gpualloc_reply -f; return ;;
                --tasks) compopt -o filenames; _gpualloc_reply -f; return ;;
                --arrivals) compopt -o filenames; _gpualloc_reply -f; return ;;
                --key) :; return ;;
                --order) compopt -o filenames; _gpualloc_reply -f; return ;;
                --seed) :; return ;;
                --load) :; return ;;
                --at) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--nodes --tasks --arrivals --key --order --seed --load --at --batch --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'simulate temporal')
            case $previous in
                --demand) compopt -o filenames; _gpualloc_reply -f; return ;;
                --gpu-memory-gib) :; return ;;
                --policy) _gpualloc_ask policies; return ;;
                --forecast) :; return ;;
                --deadline) :; return ;;
                --seed) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--demand --gpu-memory-gib --policy --forecast --deadline --seed --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'simulate scale')
            case $previous in
                --demand) compopt -o filenames; _gpualloc_reply -f; return ;;
                --policy) _gpualloc_ask policies; return ;;
                --provision) :; return ;;
                --gpus-per-node) :; return ;;
                --min) :; return ;;
                --max) :; return ;;
                --risk) :; return ;;
                --slo) :; return ;;
                --prices) compopt -o filenames; _gpualloc_reply -f; return ;;
                --price) :; return ;;
                --seed) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--demand --policy --provision --gpus-per-node --min --max --risk --sum --slo --prices --price --seed --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'tune')
            case $previous in
                --name) :; return ;;
                --nodes) compopt -o filenames; _gpualloc_reply -f; return ;;
                --tasks) compopt -o filenames; _gpualloc_reply -f; return ;;
                --method) :; return ;;
                --budget) :; return ;;
                --patience) :; return ;;
                --minutes) :; return ;;
                --seed) :; return ;;
                --train-seeds) :; return ;;
                --validation-seeds) :; return ;;
                --load) :; return ;;
                --reference) _gpualloc_ask policies; return ;;
                --jobs) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--name --nodes --tasks --from-history --method --budget --patience --minutes --seed --train-seeds --validation-seeds --load --reference --jobs --keep --force --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'init')
            case $previous in
                --output | -o) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--force --output -o --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'config')
            if [[ $current == -* ]]; then _gpualloc_reply -W '-h --help'
            else _gpualloc_reply -W 'show path check'; fi
            ;;
        'config show')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--origin --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'config path')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'config check')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'store')
            if [[ $current == -* ]]; then _gpualloc_reply -W '-h --help'
            else _gpualloc_reply -W 'export stats compact backup restore'; fi
            ;;
        'store export')
            case $previous in
                --format) :; return ;;
                --metric) _gpualloc_ask metrics; return ;;
                --level) :; return ;;
                --since) :; return ;;
                --node) _gpualloc_ask nodes; return ;;
                --output | -o) compopt -o filenames; _gpualloc_reply -f; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--format --metric --level --since --node --output -o --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'store stats')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'store compact')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'store backup')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else compopt -o filenames; _gpualloc_reply -f; fi
            ;;
        'store restore')
            case $previous in
                --wait) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--yes -y --wait --config --sim --state-dir --json -h --help'
            else compopt -o filenames; _gpualloc_reply -f; fi
            ;;
        'doctor')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--detailed-exitcode --cost --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'node')
            if [[ $current == -* ]]; then _gpualloc_reply -W '-h --help'
            else _gpualloc_reply -W 'install uninstall'; fi
            ;;
        'node install')
            case $previous in
                --run-as) :; return ;;
                --sudo-user) :; return ;;
            esac
            if [[ $current == -* ]]; then _gpualloc_reply -W '--run-as --sudo-user --config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'node uninstall')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else :; fi
            ;;
        'completion')
            if [[ $current == -* ]]; then _gpualloc_reply -W '--config --sim --state-dir --json -h --help'
            else _gpualloc_reply -W 'bash zsh fish'; fi
            ;;
    esac
}

complete -o bashdefault -F _gpualloc gpualloc
