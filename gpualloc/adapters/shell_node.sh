# Runs on an ssh node that has no usable python3, sent as source: answers the known words that come on standard input,
# each with its output between a `begin` and an `end` line. Plain POSIX sh; `adapters.shell_node` reads the answers.
# $n is the nonce of this connection.
exec 2>/dev/null
LC_ALL=C
export LC_ALL
mark="GPUALLOC-SHELL $n"
limit=${GPUALLOC_NVML_DEADLINE_S-}
case $limit in '' | *[!0-9]*) limit=5 ;; esac

late=
trap late=1 USR1

# An nvidia-smi that hangs in the driver and whose shell is gone: what an earlier connection left.
stuck=
for file in /proc/[0-9]*/stat; do
    line=
    read -r line <"$file"
    case $line in *"(nvidia-smi) D 1 "*) stuck=${line%% *} ;; esac
done

# Whether the nvidia-smi that could not even be killed is still there: a second one would hang beside it.
is_stuck() {
    [ "$stuck" ] || return 1
    line=
    read -r line <"/proc/$stuck/stat"
    case $line in
    *"(nvidia-smi) Z "*) ;;
    *"(nvidia-smi) "*) return 0 ;;
    esac
    stuck=
    return 1
}

# Runs nvidia-smi, for $limit seconds at most; its exit status, or `hung`, is left in $status.
smi() {
    if is_stuck; then
        status=hung
        return
    fi
    late=
    nvidia-smi "$@" </dev/null 2>&1 &
    asked=$!
    (
        timer=
        trap '[ "$timer" ] && kill "$timer"; exit' TERM
        sleep "$limit" &
        timer=$!
        wait "$timer"
        kill -USR1 $$
    ) </dev/null >/dev/null &
    watch=$!
    wait "$asked"
    status=$?
    if [ "$late" ]; then
        # Asked politely first: a driver may take it badly when its client is killed.
        kill "$asked" && sleep 1
        kill -9 "$asked"
        stuck=$asked
        status=hung
    else
        kill "$watch"
    fi
}

query() {
    smi "--query-gpu=$1" --format=csv,noheader,nounits
}

old_load=uuid,index,name,pci.bus_id,driver_version,memory.total,memory.used,utilization.gpu,utilization.memory
old_load=$old_load,power.draw,power.limit,temperature.gpu,clocks.sm
more_load=$old_load,clocks.mem,fan.speed,pstate,temperature.memory
load=$more_load,clocks_event_reasons.active
throttle_load=$more_load,clocks_throttle_reasons.active
old_board=uuid,serial,vbios_version,inforom.img,compute_mode,persistence_mode
old_board=$old_board,power.default_limit,power.min_limit,power.max_limit
old_board=$old_board,pcie.link.gen.current,pcie.link.width.current,pcie.link.gen.max,pcie.link.width.max
board=$old_board,ecc.mode.current,ecc.mode.pending
board=$board,ecc.errors.corrected.volatile.total,ecc.errors.uncorrected.volatile.total
board=$board,ecc.errors.corrected.aggregate.total,ecc.errors.uncorrected.aggregate.total
board=$board,mig.mode.current,mig.mode.pending
rows=gpu_uuid,remapped_rows.correctable,remapped_rows.uncorrectable,remapped_rows.pending,remapped_rows.failure

while read -r word number; do
    printf '%s begin %s\n' "$mark" "$word"
    status=0
    case $word in
    hello)
        printf 'hostname %s\n' "$(cat /proc/sys/kernel/hostname)"
        printf 'boot_id %s\n' "$(cat /proc/sys/kernel/random/boot_id)"
        printf 'user %s\n' "$(id -un || id -u)"
        printf 'ticks_per_s %s\n' "$(getconf CLK_TCK || echo 100)"
        printf 'nvidia_smi %s\n' "$(command -v nvidia-smi)"
        ;;
    clock)
        date +%s
        cat /proc/uptime || status=1
        ;;
    meminfo | stat) cat "/proc/$word" || status=1 ;;
    network) cat /proc/net/dev || status=1 ;;
    disk) df -P -k / || status=1 ;;
    load) query "$load" ;;
    load-throttle) query "$throttle_load" ;;
    load-old) query "$old_load" ;;
    board) query "$board" ;;
    board-old) query "$old_board" ;;
    rows) smi "--query-remapped-rows=$rows" --format=csv,noheader,nounits ;;
    apps) smi --query-compute-apps=gpu_uuid,pid,used_memory --format=csv,noheader,nounits ;;
    list) smi -L ;;
    details) smi -q -x ;;
    information) cat /proc/driver/nvidia/gpus/*/information || status=1 ;;
    process)
        case $number in
        '' | *[!0-9]*) status=1 ;;
        *)
            ls -ld "/proc/$number"
            cat "/proc/$number/stat" "/proc/$number/cmdline" || status=1
            ;;
        esac
        ;;
    *) status=1 ;;
    esac
    # A line feed goes first, in case the output ended in the middle of a line.
    printf '\n%s end %s %s\n' "$mark" "$word" "$status"
done
