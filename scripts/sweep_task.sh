#!/usr/bin/env bash
# sweep_task.sh DIR RUN [--requeue]: trains one run of a sweep and keeps its state.
#
# A part of sweep.sh: GNU parallel and the tasks of a Slurm array call it. DIR/state/RUN.job is the command, and
# DIR/state/RUN.state becomes status,exit_code,attempts,host. SIGTERM is passed on to fxsim, which checkpoints and
# ends with 75; so is the end of the sweep, where SWEEP_ALIVE is the number of a pipe that the sweep holds open.
# --requeue: after 75 the Slurm task goes back into the queue. The exit code is fxsim's.
set -eu
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
trap '' XFSZ

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -ge 2 ] || { printf 'sweep: a directory and a run are needed; see %s --help\n' "$0" >&2; exit 2; }
dir=$1 run=$2 requeue=${3:-}
state=$dir/state
# The sweep reads one line a run; --ungroup lets it through as it is.
report() { printf '%s %s %s\n' "$run" "$1" "$2" 2>/dev/null || true; }
broken() { { printf 'sweep: %s\n' "$1" >>"$state/$run.out"; } 2>/dev/null || printf 'sweep: %s\n' "$1" >&2; report failed 1; exit 1; }
save() {  # save STATUS EXIT_CODE
    { printf '%s,%s,%s,%s\n' "$1" "$2" "$attempts" "$(uname -n)" >"$state/$run.state.new" &&
        mv -f "$state/$run.state.new" "$state/$run.state"; } 2>/dev/null || { rm -f "$state/$run.state.new"; return 1; }
}
gone() { [ -n "${SWEEP_ALIVE:-}" ] && read -r -t 0 -u "$SWEEP_ALIVE"; } # nothing is ever written: readable is ended

signalled=no pid=
# fxsim takes a first SIGTERM as a request and a second one as its end. The sender may have reached it too: then it
# catches the signal no more.
catches() {
    local mask
    [ -r "/proc/$pid/status" ] || return 0
    mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || return 1
    [ -n "$mask" ] && (((16#${mask: -8} >> 14 & 1) == 1))
}
forward() {
    while :; do # it may have only just begun, on a slow machine for long
        sleep 0.2
        kill -0 "$pid" 2>/dev/null || return 0
        if catches; then kill -TERM "$pid" 2>/dev/null || true; return 0; fi
    done
}
# shellcheck disable=SC2317  # the trap's
on_signal() {
    trap '' TERM INT
    signalled=yes
    if [ -n "$pid" ]; then forward; fi
}
trap on_signal TERM INT

if gone; then exit 75; fi
{ exec 7>"$state/$run.lock"; } 2>/dev/null || broken "$state/$run.lock cannot be written"
flock 7 2>/dev/null || true # one left from a killed sweep is about to end; where locks are unknown fxsim has its own
if gone || [ $signalled = yes ]; then exit 75; fi
attempts=0
if [ -e "$state/$run.state" ]; then IFS=, read -r _ _ attempts _ <"$state/$run.state" || true; fi
case ${attempts:=0} in *[!0-9]*) attempts=0 ;; esac
attempts=$((attempts + 1))
save running '' || broken "$state/$run.state cannot be written: is the disk full?"

command=()
[ -s "$state/$run.job" ] || broken "$state/$run.job is gone; call sweep.sh again"
eval "command=($(cat "$state/$run.job"))" # written by sweep.sh, quoted
{ true >>"$state/$run.out"; } 2>/dev/null || broken "$state/$run.out cannot be written"
"${command[@]}" >>"$state/$run.out" 2>&1 </dev/null & # with the lock
pid=$!
if [ $signalled = yes ]; then forward; fi
watcher=
if [ -n "${SWEEP_ALIVE:-}" ]; then
    (trap - TERM INT; exec 7>&- >/dev/null; read -r -u "$SWEEP_ALIVE" || true; forward) &
    watcher=$!
fi
while :; do # a signal ends wait, not the run
    before=$signalled code=0
    wait "$pid" || code=$?
    [ "$before" != $signalled ] || break
done
if [ -n "$watcher" ]; then kill "$watcher" 2>/dev/null || true; fi

last_status() {
    awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "status") c = i } { s = $c } END { print s }' "$dir/$run/log.csv" 2>/dev/null
}
if [ $code = 0 ] && [ ! -e "$dir/$run/log.csv" ]; then # a finished run is not trained again
    code=1
    printf 'sweep: log.csv is gone; remove %s to train the run again\n' "$dir/$run" >>"$state/$run.out"
fi
case $code in
    0) status="done" ;;
    3) status=$(last_status) || true; case $status in diverged | dead | stalled) ;; *) status=diverged ;; esac ;;
    75) status=stopped ;;
    *) status=failed; if [ "$code" -gt 128 ]; then status=killed; fi ;;
esac
save "$status" "$code" || broken "$state/$run.state cannot be written: is the disk full?"
report "$status" "$code"
if [ "$requeue" = --requeue ] && [ "$code" = 75 ]; then
    trap '' TERM
    task=${SLURM_ARRAY_JOB_ID:-}_${SLURM_ARRAY_TASK_ID:-}
    # not what was cancelled, and not what is in the queue again
    if scontrol show job "$task" 2>/dev/null | grep -q 'JobState=RUNNING'; then
        exec 7>&-
        scontrol requeue "$task" || scontrol requeue "${SLURM_JOB_ID:-}" || true
    fi
fi
exit "$code"
