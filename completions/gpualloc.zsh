#compdef gpualloc
# Made by `make completions`; do not edit.

_gpualloc_ask() {
    local -a values
    values=("${(@f)$(gpualloc __complete "$1" 2>/dev/null)}")
    compadd -- ${values:#}
}

_gpualloc() {
    local curcontext="$curcontext" state line
    local -a verbs
    verbs=(
        'nodes:Nodes and devices with their readings'
        'processes:Processes on the GPUs, whoever started them'
        'top:Full-screen dashboard'
        'free:What could be had now, in one line'
        'status:When work was last placed, what waits, who holds the lock'
        'health:What is wrong with nodes and devices, and what to do'
        'events:What happened; Xids, lost GPUs, reboots'
        'history:Readings over time, as a chart or as numbers'
        'replay:What happened in a recording'
        'assess:What GPUs did, what was wasted, what could be saved'
        'forecast:What series are going to be, and how sure that is'
        'alerts:Alerts; what is firing, what fired, tests, silences'
        'audit:What was done, to what, by whom'
        'submit:Ask for devices and limits for a command'
        'run:Submit, place, follow the output, return the exit code'
        'ps:Workloads that wait, run, or ended in the last day'
        'show:Everything known of one workload'
        'phases:How a workload used its GPUs over time, and will use next'
        'why:Why a workload waits, and what would help'
        'logs:The output of a workload'
        'wait:Wait until a workload ends'
        'release:End workloads and give their devices back'
        'adopt:Take a running process in as a workload'
        'let-go:Let an adopted process run on without gpualloc'
        'signal:Send a signal to processes of a node'
        'suspend:Move a workload'\''s GPU memory to the host and free its devices'
        'resume:Let a suspended workload go on'
        'plan:What would be changed now, and why'
        'apply:Carry a plan out'
        'recover:Interrupted runs; list, go on, roll back, give up'
        'undo:Take a finished run back'
        'rebalance:Plan and apply once, without asking; for cron'
        'cordon:Let nodes or a device take no new work'
        'uncordon:Let them take new work again'
        'burnin:Test a cordoned node before it takes work'
        'drain:Empty nodes or a device'
        'scale:How many nodes pools should have, and your programs that see to it'
        'drift:What is not as gpualloc made it'
        'reconcile:Make things again as gpualloc made them'
        'set:Power limits, clocks and compute mode of devices'
        'mig:MIG instances; list, plan, apply, export and assert layouts'
        'enforce:Processes on GPUs they were not given, and what the rules do'
        'sample:Write one reading of everything to the history'
        'exporter:Serve readings to Prometheus'
        'record:Write what nodes tell to a file that --sim opens'
        'policies:The policies that can decide'
        'simulate:Policies on traces; packing, comparisons, bounds'
        'tune:Search for a better profile of a policy'
        'init:Look round and write a commented configuration'
        'config:The configuration in force and where it comes from'
        'store:What is remembered; size, upkeep, backups, export'
        'doctor:Find out what is wrong with nodes and set-up'
        'node:Prepare this machine as a node'
        'completion:Print the completion file of a shell'
    )
    _arguments -C \
        '*--config[Configuration file.]:value:_files' \
        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
        '*--state-dir[Where all state is kept.]:value:_files -/' \
        '*--version[Show the version and exit.]' \
        '*-h[Show this message and exit.]' \
        '*--help[Show this message and exit.]' \
        '1: :->verb' \
        '*:: :->rest'
    case $state in
        verb) _describe -t verbs 'gpualloc verb' verbs ;;
        rest)
            case $line[1] in
                nodes)
                    _arguments \
                        '*--csv[Answer as CSV.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                processes)
                    _arguments \
                        '*--user[Only processes of this account.]:value:' \
                        '*--csv[Answer as CSV.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                top)
                    _arguments \
                        '*--every[Time between two looks. (default; 2s; 5s from 65 nodes on, 10s from 257)]:value:' \
                        '*--once[Print one look as text, as happens where there is no terminal.]' \
                        '*--watch[Print a look as text every so often.]' \
                        '*--ascii[Draw with ASCII only.]' \
                        '*--theme[Colours; dark, light, high-contrast, colour-blind, mono.]:value:(dark light high-contrast colour-blind mono)' \
                        '*--read-only[Offer nothing that changes anything.]' \
                        '*--view[Begin with this view.]:value:(fleet nodes processes workloads users forecast plan events alerts audit)' \
                        '*--serve[Show it in a browser on this machine.]' \
                        '*--port[Where --serve listens on 127.0.0.1. (default; 8470)]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                free)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                status)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                health)
                    _arguments \
                        '*--severity[From which severity on. (default; warning)]:value:(info warning error critical)' \
                        '*--forget[Of NODE, no longer expect GPU or PORT; it was taken out on purpose.]' \
                        '*--csv[Answer as CSV.]' \
                        '*--detailed-exitcode[Exit with 10 when something of that severity is wrong.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                events)
                    _arguments \
                        '*--since[How far back. (default; 24h)]:value:' \
                        '*--severity[From which severity on. (default; info)]:value:(info warning error critical)' \
                        '*--node[Only of this node.]:value:{_gpualloc_ask nodes}' \
                        '*--device[Only of this device; UUID, or index with --node.]:value:' \
                        '*--csv[Answer as CSV.]' \
                        '*-f[Then go on with what is new until stopped.]' \
                        '*--follow[Then go on with what is new until stopped.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                history)
                    _arguments \
                        '*--metric[Which reading. (default; gpu_utilization_ratio)]:value:{_gpualloc_ask metrics}' \
                        '*--since[How far back. (default; 1h)]:value:' \
                        '*--node[Only this node.]:value:{_gpualloc_ask nodes}' \
                        '*--device[Only this device.]:value:' \
                        '*--level[raw, minute or hour. (default; raw)]:value:' \
                        '*--csv[Answer as CSV.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                replay)
                    _arguments \
                        '*--at[Begin so long after the first tick.]:value:' \
                        '*--speed[Recorded seconds per second; else as fast as it can be read.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :_files'
                    ;;
                assess)
                    _arguments \
                        '*--days[How far to look back. (default; 7)]:value:' \
                        '*--html[Also write a page with charts.]:value:_files' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                forecast)
                    _arguments \
                        '*--metric[A metric, demand, arrivals or run-time. (default; demand)]:value:{_gpualloc_ask foreseen}' \
                        '*--by[Demand by pool, tenant, profile or all. (default; pool)]:value:(pool tenant profile all)' \
                        '*--pool[Only this pool.]:value:{_gpualloc_ask pools}' \
                        '*--node[Only this node.]:value:{_gpualloc_ask nodes}' \
                        '*--device[Only this device.]:value:' \
                        '*--horizon[How far ahead. (default; 6h; of a file 2h)]:value:' \
                        '*--model[Forecast with this; one more row of a back-test.]:value:' \
                        '*--score[Compare what was forecast before with what came.]' \
                        '*--series[CSV; time_s, series, value(, capacity) (docs/foresight-forecast.md).]:value:_files' \
                        '*--backtest[Tell how good the models were on the last part of the past.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                alerts)
                    _arguments \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*--since[How far back. (default; 1d)]:value:' \
                        '*--node[Only alerts about this node.]:value:{_gpualloc_ask nodes}' \
                        '*--for[For how long.]:value:' \
                        '*--reason[Why, as others read it.]:value:' \
                        '*: :(list history test silence unsilence)'
                    ;;
                audit)
                    _arguments \
                        '*--since[How far back.]:value:' \
                        '*--workload[Only about this workload.]:value:{_gpualloc_ask workloads}' \
                        '*--limit[Only the newest N entries.]:value:' \
                        '*--verify[Check that no entry was changed or removed.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                submit)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--name[Name; else that of the command.]:value:' \
                        '*--gpus[Devices or MIG instances, or a range as 2;8; 0 is CPU-only. (default; 1)]:value:' \
                        '*--gpu-memory[GPU memory needed on each device, as 20GiB.]:value:' \
                        '*--gpu-model[Part of the product name, or a glob; or several; A|B.]:value:' \
                        '*--fraction[Share each device; its part, between 0 and 1.]:value:' \
                        '*--share[exclusive, mig, mps or time-slice; else as other options imply.]:value:' \
                        '*--profile[MIG instances, such as 2g.20gb.]:value:' \
                        '*--sm[With --share mig; multiprocessors needed.]:value:' \
                        '*--several-instances[One process takes several MIG instances (driver R570).]' \
                        '*--cpus[CPU limit in cores, such as 2.5.]:value:' \
                        '*--cpuset[Only these CPUs; 0-3,8; or near; those near the GPUs.]:value:' \
                        '*--memory[Memory limit, as 16GiB.]:value:' \
                        '*--pids[Most processes and threads.]:value:' \
                        '*--priority[Higher goes first.]:value:' \
                        '*--nodes[Only on these nodes.]:value:{_gpualloc_ask nodes}' \
                        '*--cwd[Working directory on the node.]:value:_files -/' \
                        '*--env[Environment variable; its value stays secret.]:value:' \
                        '*--at-most[Stop it after this time, such as 4h.]:value:' \
                        '*--require[Do not start where the kernel cannot hold the limits.]:value:' \
                        '*-f[TOML file with the long option names as keys.]:value:_files' \
                        '*--file[TOML file with the long option names as keys.]:value:_files' \
                        '*--gang[The GPUs may be of several nodes; the command runs once on each.]' \
                        '*--per-node[With --gang; GPUs on each node; limits are a node'\''s.]:value:' \
                        '*--label[Only on nodes with this label.]:value:' \
                        '*--near[Only where this data or mount is there.]:value:' \
                        '*--numa[All GPUs near one NUMA node.]' \
                        '*--profile-file[What it is expected to use over its run, as TOML or JSON.]:value:_files' \
                        '*--cpu-weight[Part of contended CPU time; others have 100.]:value:' \
                        '*--io-weight[Part of contended disk time; others have 100.]:value:' \
                        '*--preempt[How it gives way; suspend, checkpoint, stop or never.]:value:' \
                        '*--checkpoint-signal[Signal on which it saves itself; USR1.]:value:(TERM KILL INT HUP STOP CONT USR1 USR2 QUIT)' \
                        '*--checkpoint-command[Command that saves it; has GPUALLOC_PID.]:value:' \
                        '*--checkpoint-grace[Time to save itself. (default; 60s)]:value:' \
                        '*--resize-command[With --gpus MIN;MAX; command that tells it of its new GPUs; has GPUALLOC_DEVICES.]:value:' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                run)
                    _arguments \
                        '*--wait[How long to wait for the lock. (default; 10s)]:value:' \
                        '*--objective[Choose places for; cost, jct, energy or balanced.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--name[Name; else that of the command.]:value:' \
                        '*--gpus[Devices or MIG instances, or a range as 2;8; 0 is CPU-only. (default; 1)]:value:' \
                        '*--gpu-memory[GPU memory needed on each device, as 20GiB.]:value:' \
                        '*--gpu-model[Part of the product name, or a glob; or several; A|B.]:value:' \
                        '*--fraction[Share each device; its part, between 0 and 1.]:value:' \
                        '*--share[exclusive, mig, mps or time-slice; else as other options imply.]:value:' \
                        '*--profile[MIG instances, such as 2g.20gb.]:value:' \
                        '*--sm[With --share mig; multiprocessors needed.]:value:' \
                        '*--several-instances[One process takes several MIG instances (driver R570).]' \
                        '*--cpus[CPU limit in cores, such as 2.5.]:value:' \
                        '*--cpuset[Only these CPUs; 0-3,8; or near; those near the GPUs.]:value:' \
                        '*--memory[Memory limit, as 16GiB.]:value:' \
                        '*--pids[Most processes and threads.]:value:' \
                        '*--priority[Higher goes first.]:value:' \
                        '*--nodes[Only on these nodes.]:value:{_gpualloc_ask nodes}' \
                        '*--cwd[Working directory on the node.]:value:_files -/' \
                        '*--env[Environment variable; its value stays secret.]:value:' \
                        '*--at-most[Stop it after this time, such as 4h.]:value:' \
                        '*--require[Do not start where the kernel cannot hold the limits.]:value:' \
                        '*-f[TOML file with the long option names as keys.]:value:_files' \
                        '*--file[TOML file with the long option names as keys.]:value:_files' \
                        '*--gang[The GPUs may be of several nodes; the command runs once on each.]' \
                        '*--per-node[With --gang; GPUs on each node; limits are a node'\''s.]:value:' \
                        '*--label[Only on nodes with this label.]:value:' \
                        '*--near[Only where this data or mount is there.]:value:' \
                        '*--numa[All GPUs near one NUMA node.]' \
                        '*--profile-file[What it is expected to use over its run, as TOML or JSON.]:value:_files' \
                        '*--cpu-weight[Part of contended CPU time; others have 100.]:value:' \
                        '*--io-weight[Part of contended disk time; others have 100.]:value:' \
                        '*--preempt[How it gives way; suspend, checkpoint, stop or never.]:value:' \
                        '*--checkpoint-signal[Signal on which it saves itself; USR1.]:value:(TERM KILL INT HUP STOP CONT USR1 USR2 QUIT)' \
                        '*--checkpoint-command[Command that saves it; has GPUALLOC_PID.]:value:' \
                        '*--checkpoint-grace[Time to save itself. (default; 60s)]:value:' \
                        '*--resize-command[With --gpus MIN;MAX; command that tells it of its new GPUs; has GPUALLOC_DEVICES.]:value:' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                ps)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                show)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                phases)
                    _arguments \
                        '*--since[How far back. (default; to its start)]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                why)
                    _arguments \
                        '*--policy[Decide with this policy.]:value:{_gpualloc_ask policies}' \
                        '*--objective[Choose places for; cost, jct, energy or balanced.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                logs)
                    _arguments \
                        '*-f[Go on until the workload ends.]' \
                        '*--follow[Go on until the workload ends.]' \
                        '*--member[Of a gang; whose output. (default; 0)]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                wait)
                    _arguments \
                        '*--timeout[Give up after this.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                release)
                    _arguments \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                adopt)
                    _arguments \
                        '*--node[The node it runs on.]:value:{_gpualloc_ask nodes}' \
                        '*--gpus[Claim these; else what it is seen using.]:value:' \
                        '*--name[Name; else that of the command.]:value:' \
                        '*--owner[Refuse unless the process is this account'\''s.]:value:' \
                        '*--cpus[CPU limit in cores, such as 2.5.]:value:' \
                        '*--cpuset[Only these CPUs; 0-3,8.]:value:' \
                        '*--memory[Memory limit, as 16GiB.]:value:' \
                        '*--pids[Most processes and threads.]:value:' \
                        '*--require[Refuse where the kernel cannot hold the limits.]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                let-go)
                    _arguments \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                signal)
                    _arguments \
                        '*--signal[Its name or number. (default; TERM)]:value:(TERM KILL INT HUP STOP CONT USR1 USR2 QUIT)' \
                        '*--yes[Do not ask.]' \
                        '*-y[Do not ask.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                suspend)
                    _arguments \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                resume)
                    _arguments \
                        '*--device[Index or UUID; once for each device. (default; where it was)]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask workloads}'
                    ;;
                plan)
                    _arguments \
                        '*-o[Also write the plan for `gpualloc apply FILE`.]:value:_files' \
                        '*--output[Also write the plan for `gpualloc apply FILE`.]:value:_files' \
                        '*--explain[Tell of each waiting workload why it gets its place, or none.]' \
                        '*--pareto[Compare plans for all objectives by some policies; none is kept.]' \
                        '*--policy[Decide with this policy.]:value:{_gpualloc_ask policies}' \
                        '*--policy-profile[Let the policy decide by this saved profile.]:value:{_gpualloc_ask profiles}' \
                        '*--objective[Choose places for; cost, jct, energy or balanced.]:value:' \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                apply)
                    _arguments \
                        '*--yes[Do not ask.]' \
                        '*-y[Do not ask.]' \
                        '*--policy[Decide with this policy.]:value:{_gpualloc_ask policies}' \
                        '*--policy-profile[Let the policy decide by this saved profile.]:value:{_gpualloc_ask profiles}' \
                        '*--objective[Choose places for; cost, jct, energy or balanced.]:value:' \
                        '*--max-disturbed[Most workloads, processes and devices to disturb. (default; 10)]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--resume[Go on with this interrupted run; or with `latest`.]:value:' \
                        '*--rollback[Take back what this interrupted run did; or that of `latest`.]:value:' \
                        '*--abandon[Give this run up as it stands; needs its id and --yes.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :_files'
                    ;;
                recover)
                    _arguments \
                        '*--resume[Go on with this interrupted run; or with `latest`.]:value:' \
                        '*--rollback[Take back what this interrupted run did; or that of `latest`.]:value:' \
                        '*--abandon[Give this run up as it stands; needs its id and --yes.]:value:' \
                        '*--yes[Do give it up.]' \
                        '*-y[Do give it up.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                undo)
                    _arguments \
                        '*--dry-run[Show what would be taken back; change nothing.]' \
                        '*--yes[Do not ask.]' \
                        '*-y[Do not ask.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                rebalance)
                    _arguments \
                        '*--dry-run[Show the plan; change nothing, take no lock.]' \
                        '*--watch[Go on; again whenever work ends or is submitted, or a node is back.]' \
                        '*--policy[Decide with this policy.]:value:{_gpualloc_ask policies}' \
                        '*--policy-profile[Let the policy decide by this saved profile.]:value:{_gpualloc_ask profiles}' \
                        '*--objective[Choose places for; cost, jct, energy or balanced.]:value:' \
                        '*--max-disturbed[Most workloads, processes and devices to disturb. (default; 10)]:value:' \
                        '*--deadline[How long it may take to decide. (default; 60s)]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                cordon)
                    _arguments \
                        '*--device[One device of the node; index or UUID.]:value:' \
                        '*--reason[Why, as others read it.]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                uncordon)
                    _arguments \
                        '*--device[One device of the node; index or UUID.]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                burnin)
                    _arguments \
                        '*--device[One device of the node; index or UUID.]:value:' \
                        '*--for[How long memory is tested.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                drain)
                    _arguments \
                        '*--device[One device of the node; index or UUID.]:value:' \
                        '*--evict[Make the work there give way now, each as it asked to.]' \
                        '*--reason[Why, as others read it.]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                scale)
                    _arguments \
                        '*--apply[Do it; without it nothing is changed.]' \
                        '*--interrupted[This node is going to be taken away; empty it.]:value:{_gpualloc_ask nodes}' \
                        '*--in[With --interrupted; until it is gone.]:value:' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask pools}'
                    ;;
                drift)
                    _arguments \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                reconcile)
                    _arguments \
                        '*--boot[After a reboot; wait for the nodes as long as --wait says, and never ask.]' \
                        '*--dry-run[Show the plan; change nothing, take no lock.]' \
                        '*--yes[Do not ask.]' \
                        '*-y[Do not ask.]' \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                set)
                    _arguments \
                        '*--device[One device of the node; index or UUID.]:value:' \
                        '*--power[Power limit, such as 250W; or default.]:value:' \
                        '*--clocks[Lock SM clocks to a range such as 210-1410; or reset.]:value:' \
                        '*--compute-mode[default, exclusive-process or prohibited.]:value:' \
                        '*--persistence[on or off.]:value:' \
                        '*--release[Give back everything that gpualloc set.]' \
                        '*--yes[Do not ask.]' \
                        '*-y[Do not ask.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :{_gpualloc_ask nodes}'
                    ;;
                mig)
                    _arguments \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*--device[Device; UUID, unique start of it, or NODE;INDEX.]:value:' \
                        '*--layout[As 3g.40gb@0,2g.20gb@4; empty; no instances; off; MIG mode off.]:value:' \
                        '*-f[Layouts of several devices (docs/mig.md).]:value:_files' \
                        '*--file[Layouts of several devices (docs/mig.md).]:value:_files' \
                        '*--drain[End or suspend gpualloc'\''s own work that is in the way.]' \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--yes[Do not ask.]' \
                        '*-y[Do not ask.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*-o[Write to this file.]:value:_files' \
                        '*--output[Write to this file.]:value:_files' \
                        '*: :(list show plan apply export assert)'
                    ;;
                enforce)
                    _arguments \
                        '*--apply[Count this look and carry the rules out.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                sample)
                    _arguments \
                        '*--every[Go on at this interval until stopped.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                exporter)
                    _arguments \
                        '*--listen[Where to serve. (default; 127.0.0.1;9456)]:value:' \
                        '*--every[Time between two pages. (default; 10s)]:value:' \
                        '*--processes[Series for each process too; many, and short-lived.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                record)
                    _arguments \
                        '*--every[Time between two ticks. (default; 10s)]:value:' \
                        '*--for[End after this time; else when stopped.]:value:' \
                        '*--no-commands[Leave the command lines of processes out.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :_files'
                    ;;
                policies)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                simulate)
                    _arguments \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*--policy[reactive, predictive, threshold, step or target-tracking; several are compared.]:value:{_gpualloc_ask policies}' \
                        '*--nodes[Nodes of the trace (docs/traces.md).]:value:_files' \
                        '*--tasks[Tasks of the trace (docs/traces.md).]:value:_files' \
                        '*--from-history[Take the fleet as it is and all work it has had as the trace.]' \
                        '*--arrivals[Orders of arrival; a numpy archive (.npz).]:value:_files' \
                        '*--key[Which order of the archive.]:value:' \
                        '*--order[Order of arrival; one task row on each line.]:value:_files' \
                        '*--seed[Draw the interruptions from this.]:value:' \
                        '*--load[GPU demand to draw, as a part of all GPUs.]:value:' \
                        '*--add[Simulate also with these nodes more; 8xH100, 4x8xH100;cpus=128.]:value:' \
                        '*--profile[Saved weights of the policy'\''s scorers.]:value:_files' \
                        '*--placements[Write where each arrival went, as CSV.]:value:_files' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*--migrations[Running tasks to move per hour at most. (default; 0)]:value:' \
                        '*--move-seconds[How long a move takes. (default; 30)]:value:' \
                        '*--keys[Which orders of the archive, such as '\''default_*'\''.]:value:' \
                        '*--seeds[Draw an order from each, such as 0-9 or 1,3,5.]:value:' \
                        '*--jobs[Processes beside each other. (default; one per CPU)]:value:' \
                        '*--published[Published figures to show beside (docs).]:value:_files' \
                        '*--bound[Also what no policy can go below, at load 100. Needs the extra `lp`.]' \
                        '*--csv[Write all figures as CSV.]:value:_files' \
                        '*--html[Write a page with curves.]:value:_files' \
                        '*--at[Load, in percent of all GPUs.]:value:' \
                        '*--batch[Also what batch makes of all that at once.]' \
                        '*--demand[GPUs in use and waited for over time (docs/scaling.md).]:value:_files' \
                        '*--gpu-memory-gib[Memory of each GPU.]:value:' \
                        '*--forecast[What is known beforehand; all of it, or a forecaster'\''s.]:value:' \
                        '*--deadline[End the search with the best found by then.]:value:' \
                        '*--provision[From the order of a node until it serves. (default; 300s)]:value:' \
                        '*--gpus-per-node[GPUs of a node. (default; 8)]:value:' \
                        '*--min[Fewest nodes of a pool. (default; 1)]:value:' \
                        '*--max[Most nodes of a pool; left out; 10, or what its demand takes.]:value:' \
                        '*--risk[Chance of a shortfall that predictive takes; left out; as much as spends what reactive would.]:value:' \
                        '*--sum[One pool for the sum of all series, not one for each.]' \
                        '*--slo[Longest time to capacity that is no miss. (default; 300s)]:value:' \
                        '*--prices[History of spot prices; buy spot nodes by it.]:value:_files' \
                        '*--price[Price of one GPU that stays for an hour.]:value:' \
                        '*: :(packing churn compare bound temporal scale)'
                    ;;
                tune)
                    _arguments \
                        '*--name[What the profile is to be called.]:value:' \
                        '*--nodes[Nodes of the traces.]:value:_files' \
                        '*--tasks[Tasks of a trace; may be given again.]:value:_files' \
                        '*--from-history[Use past work on today'\''s nodes in place of traces.]' \
                        '*--method[What to search; weights or expressions.]:value:' \
                        '*--budget[How many candidates to measure.]:value:' \
                        '*--patience[End after so many generations without a better one.]:value:' \
                        '*--minutes[End after the generation in which these have passed.]:value:' \
                        '*--seed[What the search draws from.]:value:' \
                        '*--train-seeds[Orders that candidates are measured on.]:value:' \
                        '*--validation-seeds[Orders that decide which is kept.]:value:' \
                        '*--load[GPU demand of an order, of all GPUs.]:value:' \
                        '*--reference[The policy that scores are relative to.]:value:{_gpualloc_ask policies}' \
                        '*--jobs[Processes; one for each CPU when not given.]:value:' \
                        '*--keep[Save what was found when interrupted, too.]' \
                        '*--force[Save even what is no better, and over a profile of that name.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                init)
                    _arguments \
                        '*--force[Write over a file that is there.]' \
                        '*--output[Where to write; else the usual.]:value:_files' \
                        '*-o[Where to write; else the usual.]:value:_files' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                config)
                    _arguments \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*--origin[Also show where each value comes from.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*: :(show path check)'
                    ;;
                store)
                    _arguments \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*--format[csv or parquet. (default; csv)]:value:' \
                        '*--metric[Only this reading; may be given again.]:value:{_gpualloc_ask metrics}' \
                        '*--level[raw, minute or hour. (default; raw)]:value:' \
                        '*--since[How far back; all that is kept if left out.]:value:' \
                        '*--node[Only this node.]:value:{_gpualloc_ask nodes}' \
                        '*--output[Write to this file, whole or not at all.]:value:_files' \
                        '*-o[Write to this file, whole or not at all.]:value:_files' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*--yes[Replace the state that is there.]' \
                        '*-y[Replace the state that is there.]' \
                        '*--wait[How long to wait for the lock when another holds it.]:value:' \
                        '*: :(export stats compact backup restore)'
                    ;;
                doctor)
                    _arguments \
                        '*--detailed-exitcode[Exit with 10 when there is something to change.]' \
                        '*--cost[Only what reading each node costs it, by group of readings.]' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :'
                    ;;
                node)
                    _arguments \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*--run-as[Account work may run as beside the caller'\''s; * is any.]:value:' \
                        '*--sudo-user[Account or %group to call it; else who called sudo.]:value:' \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*: :(install uninstall)'
                    ;;
                completion)
                    _arguments \
                        '*--config[Configuration file.]:value:_files' \
                        '*--sim[Use a simulated cluster; its name or its file.]:value:_files' \
                        '*--state-dir[Where all state is kept.]:value:_files -/' \
                        '*--json[Answer as JSON (docs/json.md).]' \
                        '*-h[Show this message and exit.]' \
                        '*--help[Show this message and exit.]' \
                        '*: :(bash zsh fish)'
                    ;;
            esac
            ;;
    esac
}

if [[ $funcstack[1] == _gpualloc ]]; then _gpualloc "$@"; else compdef _gpualloc gpualloc; fi
