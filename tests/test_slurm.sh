#!/usr/bin/env bash
# test_slurm.sh FXSIM: scripts/sweep.sh --slurm, with Slurm's own daemons in a temporary directory.
#
# Starts munged, slurmctld and slurmd as root on ports of its own, trains a small sweep, requeues one task in the
# middle, gives another the signal that comes before the end of its time, cancels a third, and compares bytes. Where
# the daemons cannot run the generated script alone is checked, and the exit code is 77. Ends its daemons always.
#
# shellcheck disable=SC2154,SC2034,SC2054  # what cli.sh sets and reads
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sweep_sh=$here/../scripts/sweep.sh
# shellcheck source=tests/cli.sh
. "$here/cli.sh"
daemons=()
# shellcheck disable=SC2317  # the trap's
clean_up() {
    local pid
    if [ ${#daemons[@]} -gt 0 ]; then timeout 5 scancel --user "$(id -un)" >/dev/null 2>&1 || true; fi
    for pid in $(grep -lsF "$work/" /proc/[0-9]*/cmdline | tr -dc '0-9\n') ${daemons[@]+"${daemons[@]}"}; do
        if [ "$pid" != $$ ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    done
    wait 2>/dev/null || true
    rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
}
trap 'exit 1' INT TERM
chmod 755 . # slurmd wants to reach its spool
export FXSIM=$fxsim

sweep() { code=0; timeout 300 bash "$sweep_sh" "$@" >out 2>err </dev/null || code=$?; }
dir="a sweep" # of run directories
long=(--data digits --net 16C3-64FC-10 --epochs 25 --checkpoint-every 4s -s update.rate=8)
four=(wage --grid gradient.rounding=stochastic:8:below,floor --seeds 1,2)
slurm=(--slurm --partition test --cpus 1 --time 10 --max-running 3)
status() { cut -d , -f "${2:-1}" "$dir/state/$1.state" 2>/dev/null || true; }
within() {  # within SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then return 1; fi
        sleep 0.05
    done
}

test_script() {
    sweep "${four[@]}" --out dry "${slurm[@]}" --dry-run -- "${long[@]}"; good "--slurm --dry-run"
    check "the script is bash" bash -n dry/sweep.sbatch
    for line in --array=0-3%3 --partition=test --time=10 --cpus-per-task=1 --requeue --signal=B:TERM@120 --open-mode=append; do
        check "it has $line" grep -qx -- "#SBATCH $line" dry/sweep.sbatch
    done
    check "a task's threads are its cores" [ "$(grep -c -- ' --threads 1 ' dry/jobs)" = 4 ]
    check "nothing was begun" [ "$(cut -d , -f 4,6 dry/sweep.csv | tail -n +2 | sort -u)" = waiting,0 ]
    mkdir -p bin
    # shellcheck disable=SC2016  # for the stand-in
    printf '#!/bin/bash\necho "${@: -1}" >>"%s/submitted"\nSLURM_ARRAY_TASK_ID=1 bash "${@: -1}" >&2 || true\necho "77;cluster"\n' \
        "$work" >bin/sbatch
    printf '#!/bin/sh\n' >bin/squeue
    chmod +x bin/*
    PATH=$work/bin:$PATH sweep "${four[@]}" --out dry "${slurm[@]}" -- "${long[@]}" --max-steps 3; good "--slurm with a stand-in for sbatch"
    check "the script is submitted" [ "$(cat submitted)" = "$work/dry/sweep.sbatch" ]
    check "its task 1 trains the second run, it alone" [ "dry/$(sed -n 3p dry/sweep.csv | cut -d , -f 1)/log.csv" = "$(echo dry/*/log.csv)" ]
    check "and the job is remembered" [ "$(cat dry/state/slurm.job)" = 77 ]
    printf '#!/bin/sh\necho 77_0\n' >bin/squeue
    PATH=$work/bin:$PATH sweep "${four[@]}" --out dry -- "${long[@]}" --max-steps 3
    check "while the array is there a second sweep is refused" [ $code = 5 ]
    check "with one line that names it" [ "$(wc -l <err) $(grep -c 'array 77' err)" = '1 1' ]
    sweep wage --out no --slurm --time soon; check "a time that is none: exit code 2" [ $code = 2 ]
    sweep wage --out no --slurm --time 2; check "a time too short for the signal: exit code 2" [ $code = 2 ]
    check "is told" says 'at least 5 minutes'
    sweep wage --out 'no%' --slurm; check "a name that Slurm would expand: exit code 2" [ $code = 2 ]
    PATH=$work/bin:$PATH
    printf '#!/bin/sh\necho "sbatch: error: no" >&2\nexit 1\n' >bin/sbatch
    printf '#!/bin/sh\n' >bin/squeue
    sweep wage --out not --slurm -- "${long[@]}"; check "sbatch refuses: exit code 1" [ $code = 1 ]
    check "with one line, that has sbatch's" [ "$(wc -l <err) $(grep -c 'error: no' err)" = '1 1' ]
    PATH=${PATH#*:}
}

cannot() { printf 'SKIP  %s; the generated script was checked\n' "$1"; [ $failures = 0 ] || exit 1; exit 77; }
free_port() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
start_slurm() {
    local host port tool key=$work/munge.key
    for tool in munged slurmctld slurmd sbatch scontrol squeue; do has $tool || cannot "no $tool: scripts/setup.sh ci installs it"; done
    [ "$(id -u)" = 0 ] || cannot "slurmd needs root"
    host=$(uname -n)
    host=${host%%.*}
    port=$((20000 + $$ % 20000))
    while ! free_port $port || ! free_port $((port + 1)); do port=$((port + 2)); done
    (umask 077; head -c 128 /dev/urandom >"$key")
    mkdir -p spool state
    munged --foreground --force --key-file="$key" --socket="$work/munge.sock" --pid-file="$work/munged.pid" \
        --log-file="$work/munged.log" --seed-file="$work/munged.seed" >munged.out 2>&1 &
    daemons+=($!)
    cat >slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.sock
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=10
MaxArraySize=100
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
    export SLURM_CONF=$work/slurm.conf
    within 10 test -S munge.sock || cannot "munged does not start: $(tail -n 1 munged.log 2>/dev/null) $(tail -n 1 munged.out)"
    slurmctld -D -f "$SLURM_CONF" >slurmctld.out 2>&1 &
    daemons+=($!)
    slurmd -D -f "$SLURM_CONF" >slurmd.out 2>&1 &
    daemons+=($!)
    # shellcheck disable=SC2016  # for that shell
    within 15 bash -c 'timeout 5 sinfo -h -o %t | grep -q idle' ||
        cannot "slurmctld and slurmd do not start: $(tail -n 1 slurmctld.log 2>/dev/null) $(tail -n 1 slurmd.log 2>/dev/null)"
}

# A requeued task waits two minutes, so that what revoked its first start cannot meet its second: three seconds do.
hurried=' '
hurry() {
    local task
    for task in $(squeue -h -t PD -r -o '%i %r' | sed -n 's/ BeginTime$//p'); do
        case $hurried in *" $task "*) continue ;; esac
        scontrol update "jobid=$task" starttime=now+3 && hurried+="$task "
    done
}
rows_of() { local n; n=$(cat "$1"/*/log.csv 2>/dev/null | wc -l) && [ "$n" -ge "$2" ]; }
ended() { hurry >/dev/null 2>&1 || true; ! squeue -h -t all -o %T | grep -qE 'RUNNING|PENDING|COMPLETING|REQUEUED'; }
is() { [ "$(status "$1")" = "$2" ]; }
test_array() {
    local run id first second third
    first="gradient.rounding=stochastic-8-below_s1" second="gradient.rounding=stochastic-8-below_s2" third="gradient.rounding=floor_s1"
    sweep "${four[@]}" --out reference --jobs 2 -- "${long[@]}"; good "a sweep that nothing disturbs"
    code=0
    sbatch --test-only dry/sweep.sbatch >out 2>err || code=$?
    good "sbatch --test-only takes the script"
    sweep "${four[@]}" --out "$dir" "${slurm[@]}" -- "${long[@]}"; good "a sweep is submitted"
    id=$(cat "$dir/state/slurm.job")
    check "its first task trains" within 200 test -s "$dir/$first/log.csv"
    check "and the third" within 200 test -s "$dir/$third/log.csv"
    check "some rows are written" within 200 rows_of "$dir" 20
    scontrol requeue "${id}_0" >out 2>err || check "scontrol requeue" false
    scancel --signal=TERM --batch "${id}_1" >out 2>err || check "scancel --signal" false
    scancel "${id}_2" >out 2>err || check "scancel" false
    for run in $first $second $third; do check "$run stops" within 200 is "$run" stopped; done
    check "all others end, and those that went back into the queue" within 400 ended
    sweep --status "$dir"
    check "the cancelled one alone is missing: exit code 75" [ $code = 75 ]
    check "as counted" grep -qx '4 runs: 3 done, 1 stopped' out
    check "the requeued one was begun twice" [ "$(status $first 3)" = 2 ]
    check "the one with the signal too" [ "$(status $second 3)" = 2 ]
    sweep "${four[@]}" --out "$dir" "${slurm[@]}" -- "${long[@]}"; good "a second call submits"
    check "what was cancelled" [ "$(cat "$dir/state/slurm.list")" = $third ]
    check "which ends" within 300 ended
    sweep --status "$dir"; good "then all are done"
    for run in reference/*_s[12]; do
        run=${run#*/}
        check "$run has the bytes of the undisturbed" same_log "reference/$run" "$dir/$run"
    done
    sweep "${four[@]}" --out "$dir" "${slurm[@]}" -- "${long[@]}"; good "a third call has nothing to do"
}

test_script
start_slurm
test_array
[ $failures = 0 ] || { echo "$failures checks failed"; tail -n 5 slurmctld.log slurmd.log; exit 1; }
