#!/usr/bin/env bash
# The whole path on the built-in simulated cluster: observe, remember, decide, plan, apply, audit.
# `make demo` runs it; GPUALLOC names the program. Everything it makes is in .demo/ and is made anew each time.
set -euo pipefail
cd "$(dirname "$0")/.."

gpualloc=${GPUALLOC:-gpualloc}
export GPUALLOC_STATE_DIR=$PWD/.demo GPUALLOC_SIM=demo
export GPUALLOC_SIM_SPEED=600  # ten minutes of the cluster pass in a second
unset GPUALLOC_CONFIG
rm -rf "$GPUALLOC_STATE_DIR"

bold='' quiet='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' quiet=$'\e[36m' plain=$'\e[0m'
fi

tell() { # a heading in the operator's words
    printf '\n%s# %s%s\n' "$quiet" "$*" "$plain"
}

show() { # a command as it would be typed
    printf '%s$ gpualloc' "$bold"
    printf ' %q' "$@"
    printf '%s\n' "$plain"
}

run() { # show a command, run it, stop the demo when it fails
    show "$@"
    local code=0
    "$gpualloc" "$@" || code=$?
    if [ "$code" -ne 0 ]; then
        printf '\ndemo stopped: the command above ended with exit code %s (docs/exit-codes.md)\n' "$code" >&2
        printf 'its state is kept in %s\n' "$GPUALLOC_STATE_DIR" >&2
        exit "$code"
    fi
}

sample() { # that many samples, some simulated minutes apart
    show sample
    local tick
    for ((tick = 1; tick <= $1; tick++)); do
        "$gpualloc" sample >/dev/null || run sample
        sleep 0.3
    done
    printf '%s samples, minutes of simulated time apart\n' "$1"
}

first_device() { # UUID of the first device of a node
    local answer
    answer=$("$gpualloc" nodes "$1" --json)
    [[ $answer =~ \"uuid\":\ *\"(GPU-[0-9a-f-]+)\" ]] && printf '%s' "${BASH_REMATCH[1]}"
}

tell "observe: a mixed cluster, with other people's work on it. All of it is simulated."
run nodes
run free

tell "health: what is wrong, since when, and what to do about it"
run health

tell "remember: sample a few times, then look back"
sample 6
run history --metric gpu_utilization_ratio --since 3h

tell "ask for GPUs: two trainings that both want the whole node fir01, and half a GPU for serving"
run submit --name train-a --gpus 4 --gpu-model '*A100*40GB*' --cpus 8 --memory 64GiB -- sleep 6000
run submit --name train-b --gpus 4 --gpu-model '*A100*40GB*' --at-most 8h -- sleep 9000
run submit --name serve --fraction 0.5 --gpu-memory 8GiB -- python serve.py

tell "plan: what would be done and why; nothing is changed"
run plan

tell "apply: do it"
run apply --yes
run ps

tell "let train-a end"
sample 6
run wait train-a --timeout 4h

tell "rebalance, as cron would: the freed node goes to train-b"
run rebalance
sample 4
run ps

tell "a MIG instance is asked for and there is none of that kind: an idle GPU is partitioned"
run submit --name small --profile 2g.20gb --gpu-model '*H100*' -- python small.py
run plan
run rebalance
run mig list birch01

tell "one GPU has to go out of service: drain it; what runs there gives way and waits again"
run drain birch01 --device 4 --evict --reason 'new fan'
run drift
run uncordon birch01 --device 4

tell "what it looked like, and who did what"
run history --metric gpu_utilization_ratio --since 6h --device "$(first_device fir01)"
run audit --verify
run status

cat <<END

${bold}What happened, in ${SECONDS} s:${plain} a simulated cluster was looked at and sampled; three requests were left; a plan gave two of them
GPUs and said why the third had to wait; apply started them; when the first ended, rebalance started the one that waited;
a GPU was partitioned for a request for a MIG instance, then drained, and its work waits again; and each start is an entry of the audit trail.

${bold}Next:${plain} go on with this cluster
    export GPUALLOC_STATE_DIR=$GPUALLOC_STATE_DIR GPUALLOC_SIM=demo PATH=$PWD/.venv/bin:\$PATH
    gpualloc top                     the dashboard
    gpualloc show serve              all about one workload
    gpualloc release serve           give its GPU back
or with your own machines
    gpualloc init && gpualloc doctor && gpualloc nodes
END
