#!/usr/bin/env bash
# sweep_slurm.sh DIR [--dry-run yes|no] [--partition P] [--cpus N] [--time T] [--max-running N]: submits a sweep.
#
# A part of sweep.sh (--slurm). Writes DIR/sweep.sbatch, a job array with a task for each line of
# DIR/state/slurm.list, and submits it (--dry-run yes: only writes it). A task that runs out of time, is preempted
# or gets SIGTERM checkpoints, and goes back into the queue where Slurm does not put it there itself; scancel ends
# it. sweep.sh --status DIR counts; sweep.sh called again submits what is still missing once the array has ended.
#
#   --partition P     where; --time T: how long each task may take at a time, at least 5 minutes
#   --cpus N          cores of each task, and threads of its run
#   --max-running N   tasks at the same time
set -eu
export LC_ALL=C
trap '' XFSZ

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
fail() { printf 'sweep: %s\n' "$1" >&2; exit "${2:-1}"; }
here=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in -h | --help) help; exit 0 ;; '' | -*) fail "a directory is missing; see $0 --help" 2 ;; esac
dir=$1 dry=no partition='' cpus=1 time='' max_running=''
shift
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || fail "$1: a value must follow" 2
    case $1 in
        --dry-run) dry=$2 ;;
        --partition) partition=$2 ;;
        --cpus) cpus=$2 ;;
        --time) time=$2 ;;
        --max-running) max_running=$2 ;;
        *) fail "no option \"$1\"; see $0 --help" 2 ;;
    esac
    shift 2
done
case $dir$here in *[\"\'\\%]*) fail "$dir: Slurm's directives take no quotes, backslashes or % in names" 2 ;; esac
case $partition in *[!A-Za-z0-9_.,-]*) fail "--partition \"$partition\": no name of a partition" 2 ;; esac
seconds() {  # seconds TIME: Slurm's M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; empty if it is none of them
    awk -v t="$1" 'BEGIN {
        if (t !~ /^([0-9]+-[0-9]+(:[0-9]+(:[0-9]+)?)?|[0-9]+(:[0-9]+(:[0-9]+)?)?)$/) exit
        days = t ~ /-/
        n = split(t, p, /[-:]/)
        if (days) print 86400 * p[1] + 3600 * p[2] + 60 * p[3] + p[4]
        else print n == 3 ? 3600 * p[1] + 60 * p[2] + p[3] : 60 * p[1] + p[2]
    }'
}
if [ -n "$time" ]; then
    s=$(seconds "$time")
    case $s in *[!0-9]* | ????????*) fail "--time \"$time\": more than Slurm can count" 2 ;; esac
    [ -n "$s" ] || fail "--time \"$time\": Slurm's minutes, hours:minutes:seconds or days-hours are needed" 2
    [ "$s" -ge 300 ] || fail "--time $time: at least 5 minutes; Slurm's warning comes 2 to 3 before the end" 2
fi
[ -s "$dir/state/slurm.list" ] || fail "$dir/state/slurm.list: nothing to submit"
last=$(($(wc -l <"$dir/state/slurm.list") - 1))

# shellcheck disable=SC2016  # for the batch shell
# The batch shell becomes sweep_task.sh, so that Slurm's signal (B: the batch shell alone) reaches what passes it on.
if ! {
    {
        printf '#!/bin/bash\n#SBATCH --job-name=fxsim-sweep\n#SBATCH --array=0-%s\n' "$last${max_running:+%$max_running}"
        if [ -n "$partition" ]; then printf '#SBATCH --partition=%s\n' "$partition"; fi
        if [ -n "$time" ]; then printf '#SBATCH --time=%s\n' "$time"; fi
        printf '#SBATCH --cpus-per-task=%s\n#SBATCH --requeue\n#SBATCH --signal=B:TERM@120\n#SBATCH --open-mode=append\n' "$cpus"
        printf '#SBATCH --output="%s/state/slurm-%%a.out"\n\n' "$dir"
        printf 'run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" '\''%s/state/slurm.list'\'')\n' "$dir"
        printf 'exec bash '\''%s/sweep_task.sh'\'' '\''%s'\'' "$run" --requeue\n' "$here" "$dir"
    } >"$dir/sweep.sbatch.new" && mv -f "$dir/sweep.sbatch.new" "$dir/sweep.sbatch"
} 2>/dev/null; then
    rm -f "$dir/sweep.sbatch.new"
    fail "$dir/sweep.sbatch cannot be written: is the disk full?"
fi
if [ "$dry" = yes ]; then
    printf 'sweep: %s is written; sbatch was not called\n' "$dir/sweep.sbatch" >&2
    exit 0
fi
command -v sbatch >/dev/null 2>&1 || fail "sbatch is not there; $dir/sweep.sbatch is what it would get"
answer=$(sbatch --parsable "$dir/sweep.sbatch" 2>&1) || fail "sbatch refuses $dir/sweep.sbatch: $(printf '%s\n' "$answer" | tail -n 1)"
id=$(printf '%s\n' "$answer" | tail -n 1)
id=${id%%;*} # a cluster's name may follow
printf '%s\n' "$id" >"$dir/state/slurm.job.new" && mv -f "$dir/state/slurm.job.new" "$dir/state/slurm.job"
printf 'sweep: submitted %d runs as job array %s; sweep.sh --status %s counts\n' $((last + 1)) "$id" "$dir" >&2
