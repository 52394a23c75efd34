#!/usr/bin/env bash
# sweep.sh RECIPE --out DIR [OPTION...] [-- TRAIN_OPTION...]: trains a recipe under many settings and seeds.
#
#   --grid KEY=V1,V2,...  each of these values; several --grid give every combination. KEY is section.key
#   --zip KEY=V1,V2,...   keys whose values move together: the first ones, the second ones, ...
#   --seeds 1,2,3         each setting with each of these seeds (default 1)
#   --jobs N              runs at the same time (default: one a core); the cores are shared among them
#   --verify N            then trains N of the finished runs once more and compares every byte
#   --dry-run             prints the commands and writes nothing (with --slurm: writes all, submits nothing)
#   --slurm --partition P --cpus N --time T --max-running N
#                         submits a job array instead of running here; see sweep_slurm.sh --help
#   -- TRAIN_OPTION...    handed to every fxsim train, e.g. -- --data mnist --epochs 30
# or
#   sweep.sh --status DIR   brings sweep.csv up to date and counts
#
# Runs go into DIR/NAME; NAME is made of the setting and the seed and stays when a later call adds values or
# seeds. DIR/sweep.csv has a row a run, DIR/jobs the command of each, DIR/sweep.txt what all share,
# DIR/state/NAME.out what the run printed, DIR/joblog GNU parallel's times. Called again it does what is missing
# and continues what was cut; a run that diverged, died or stalled is a result. One recipe and one set of options
# a directory: another is refused.
#
# Exit codes: 0 all done; 1 some failed; 2 usage; 3 all ended, some diverged, dead or stalled; 5 refused (another
# recipe, another results_version, a sweep at work there); 75 interrupted, call it again. Of --status: 75 while runs
# are missing. Of --verify: 1 where bytes differ. FXSIM=PROGRAM in the environment: that instead of build/sim/fxsim.
set -eu
export LC_ALL=C OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
trap '' XFSZ # a file limit is an error of write, as a full disk is
trap 'exit 75' INT TERM
true >&2 || exec 2>/dev/null # what cannot be told ends no sweep

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
fail() { printf 'sweep: %s\n' "${1//[[:cntrl:]]/?}" >&2; exit "${2:-1}"; }
has() { command -v "$1" >/dev/null 2>&1; }
quoted() {  # quoted WORD...: $line, as a shell reads it
    local word
    line=
    for word; do
        case $word in '' | *[!A-Za-z0-9_./:=@+,-]*) word="'${word//\'/\'\\\'\'}'" ;; esac
        line+=${line:+ }$word
    done
}
put() {  # put FILE: standard input becomes the file, whole or not at all
    if ! { cat >"$1.new" && mv -f "$1.new" "$1"; } 2>/dev/null; then
        rm -f "$1.new"
        fail "$1 cannot be written: is the disk full?"
    fi
}
whole() { case $2 in '' | 0* | *[!0-9]* | ??????????*) fail "$1 \"$2\": a whole number above 0 is needed" 2 ;; esac; }
need_value() { [ $# -gt 1 ] || fail "$1: a value must follow" 2; }

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || fail "bash 4.4 or newer is needed; this is $BASH_VERSION"
here=$(cd "$(dirname "$0")" && pwd)
recipe='' out='' seeds=1 jobs='' verify='' slurm=no dry=no status=''
partition='' cpus='' time='' max_running=''
grid=() zip=() options=()
while [ $# -gt 0 ]; do
    case $1 in
        --grid | --zip | --seeds | --jobs | --verify | --out | --partition | --cpus | --time | --max-running | --status) need_value "$@" ;;
    esac
    case $1 in
        --grid) grid+=("$2"); shift 2 ;;
        --zip) zip+=("$2"); shift 2 ;;
        --seeds) seeds=$2; shift 2 ;;
        --jobs) whole "$1" "$2"; jobs=$2; shift 2 ;;
        --verify) whole "$1" "$2"; verify=$2; shift 2 ;;
        --out) [ -n "$2" ] || fail '--out "": a directory is needed' 2; out=$2; shift 2 ;;
        --partition) partition=$2; shift 2 ;;
        --cpus) whole "$1" "$2"; cpus=$2; shift 2 ;;
        --time) time=$2; shift 2 ;;
        --max-running) whole "$1" "$2"; max_running=$2; shift 2 ;;
        --slurm) slurm=yes; shift ;;
        --dry-run) dry=yes; shift ;;
        --status) [ -n "$2" ] || fail '--status "": a directory is needed' 2; status=$2; shift 2 ;;
        --) shift; options=("$@"); break ;;
        -h | --help) help; exit 0 ;;
        -*) fail "no option \"$1\"; see $0 --help (options of fxsim train stand behind --)" 2 ;;
        *) [ -z "$recipe" ] || fail "\"$1\" behind recipe $recipe: one recipe at a time" 2; recipe=$1; shift ;;
    esac
done
if [ -n "$status" ]; then
    [ -z "$recipe$out" ] || fail "--status takes a directory and nothing else" 2
    exec bash "$here/sweep_status.sh" "$status"
fi
[ -n "$recipe" ] || fail "a recipe is missing, as in: sweep.sh wage --out runs/sweep; see $0 --help" 2
[ -n "$out" ] || fail "--out is missing: the directory of the sweep" 2
[ $slurm = yes ] || [ -z "$partition$cpus$time$max_running" ] || fail "--partition, --cpus, --time and --max-running need --slurm" 2
[ $slurm = no ] || [ -z "$jobs$verify" ] || fail "--jobs and --verify are of runs on this machine, not of --slurm" 2

# -- what every run shares

threads='' # the user's
kept=()    # the options that can change a result
check_options() {
    local i=0 word value
    while [ $i -lt ${#options[@]} ]; do
        word=${options[i]} value=${options[i + 1]-}
        case $word in *[[:cntrl:]]*) fail "\"$word\" behind --: no line breaks" 2 ;; esac
        case $word in
            --out | --out=* | --resume | --resume=* | --force | --fork | --fork=*)
                fail "$word behind --: the sweep says where runs go and how they go on" 2 ;;
            --seed | --seed=*) fail "$word behind --: use --seeds" 2 ;;
            -h | --help) fail "$word behind --: fxsim train --help tells the options" 2 ;;
            --weights | --weights=*) fail "$word behind --: a sweep cannot begin with given weights" 2 ;;
            -s) case $value in run.seed=*) fail "-s $value behind --: use --seeds" 2 ;; run.threads=*) threads=${value#*=} ;; esac ;;
            --threads) threads=$value ;;
            --threads=*) threads=${word#*=} ;;
        esac
        i=$((i + 1))
        case $word in
            --quiet | --quiet=* | --threads=* | --cpu=* | --checkpoint-every=*) ;;
            --threads | --cpu | --checkpoint-every) i=$((i + 1)) ;;
            -s) case $value in run.threads=* | run.cpu=* | run.checkpoint-every=* | run.quiet=*) ;; *) kept+=(-s "$value") ;; esac; i=$((i + 1)) ;;
            *) kept+=("$word") ;;
        esac
    done
    case $threads in *[!0-9]* | 0?* | ????*) fail "--threads \"$threads\" behind --: a whole number is needed" 2 ;; esac
}

# shellcheck source-path=SCRIPTDIR source=sweep_settings.sh
. "$here/sweep_settings.sh"

command_of() {  # command_of INDEX: $line
    local words=("$FXSIM" train "$recipe" ${options[@]+"${options[@]}"}) parts part
    if [ -z "$threads" ]; then words+=(--threads "$share"); fi
    IFS=';' read -r -a parts <<<"${overrides[$1]}"
    for part in ${parts[@]+"${parts[@]}"}; do words+=(-s "$part"); done
    quoted "${words[@]}" --seed "${run_seeds[$1]}" --resume=auto --out "$out/${runs[$1]}"
}

# -- what the directory holds

state_of() {  # state_of RUN: $run_status; waiting where there is no run, or none any more
    local rest
    run_status=
    if [ -e "$state/$1.state" ]; then IFS=, read -r run_status rest <"$state/$1.state" || true; fi
    if is_final "$run_status" && [ ! -e "$out/$1/log.csv" ]; then run_status=; fi
    run_status=${run_status:-waiting}
}
is_final() { case $1 in done | diverged | dead | stalled) ;; *) return 1 ;; esac; }
record() {  # what all runs of a sweep share
    local sum=built-in
    if [ -f "$recipe" ]; then sum=$(sha256sum <"$recipe" | cut -d ' ' -f 1); fi
    quoted "$recipe"; printf 'recipe: %s\nsha256 of the recipe file: %s\n' "$line" "$sum"
    quoted ${kept[@]+"${kept[@]}"}; printf 'options: %s\n' "$line"
    printf 'version: %s\nfxsim: %s\ndirectory: %s\n' "$version" "$FXSIM" "$PWD"
}
recorded_line() { sed -n "s/^$1: //p" "$2"; }
# shellcheck disable=SC2295  # a pattern on purpose
same() {  # same WHAT KEY PATTERN: the part of the record that the pattern leaves is that of the earlier calls
    local before now
    before=$(recorded_line "$2" "$out/sweep.txt") now=$(recorded_line "$2" <(printf '%s\n' "$text"))
    [ "${before##$3}" = "${now##$3}" ] || fail "$out: made with $1 \"$before\", now \"$now\"; another sweep needs another --out" 5
}
check_same() {
    local i log
    [ -e "$out/sweep.txt" ] || return 0
    set -- "$out"/*/command # before any run began nothing binds
    [ -e "$1" ] || return 0
    same "the recipe file's sha256" 'sha256 of the recipe file' ''
    if [ ! -f "$recipe" ]; then same recipe recipe ''; fi
    same options options ''
    same version version '* results_version '
    # A finished run ends at once where fxsim finds that all is as it was: bases of the recipe, data, options.
    for i in "${!runs[@]}"; do
        state_of "${runs[i]}"
        if is_final "$run_status" && [ -e "$out/${runs[i]}/checkpoint" ]; then
            command_of "$i"
            local command=()
            eval "command=($line)" # $line is quoted
            local code=0
            log=$("${command[@]}" 2>&1 </dev/null) || code=$?
            log=$(printf '%s\n' "$log" | tail -n 1)
            case $code in
                0 | 3) ;;
                1) fail "${log#fxsim: }" ;;
                *) fail "$out/${runs[i]} does not fit: ${log#fxsim: }" 5 ;;
            esac
            return 0
        fi
    done
}
take_lock() {
    { exec 9>"$state/lock"; } 2>/dev/null || fail "$state/lock cannot be written"
    flock -n 9 || fail "$out: another sweep is at work there" 5
    if [ -e "$state/slurm.job" ] && has squeue; then
        local id
        id=$(<"$state/slurm.job")
        if [ -n "$(squeue -h -j "$id" 2>/dev/null)" ]; then fail "$out: its Slurm job array $id is at work (scancel $id ends it)" 5; fi
    fi
}
# A misspelt recipe or option is told before anything is written; settings fail one by one.
check_words() {
    local log words=("$FXSIM" explain "$recipe" ${options[@]+"${options[@]}"}) parts part
    "${words[@]}" >/dev/null 2>&1 </dev/null && return 0
    IFS=';' read -r -a parts <<<"${settings[0]}" # may be what makes them fit
    for part in ${parts[@]+"${parts[@]}"}; do words+=(-s "$part"); done
    log=$("${words[@]}" 2>&1 >/dev/null </dev/null) && return 0
    log=$(printf '%s\n' "$log" | tail -n 1)
    fail "${log#fxsim: }" 2
}
write_files() {  # the list last: names are given when all else is there
    local i run rest list=''
    for i in "${!runs[@]}"; do
        unset "recorded[${runs[i]}]"
        list+=${runs[i]}\|${run_seeds[i]}\|${overrides[i]}$'\n'
        command_of "$i"
        printf '%s\n' "$line" | put "$state/${runs[i]}.job"
    done
    if [ -e "$state/list" ]; then # runs of earlier calls that this one does not name stay
        while IFS='|' read -r run rest; do
            if [ -n "${recorded[$run]+x}" ]; then list+=$run\|$rest$'\n'; fi
        done <"$state/list"
    fi
    while IFS='|' read -r run rest; do cat "$state/$run.job" 2>/dev/null || true; done <<<"${list%$'\n'}" | put "$out/jobs"
    printf '%s\n' "$text" | put "$out/sweep.txt"
    printf %s "$list" | put "$state/list"
    refresh
}
refresh() { bash "$here/sweep_status.sh" "$out" --quiet 9>&-; }

# -- runs on this machine

cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }
share_cores() {  # $jobs runs at a time with $share threads each
    local count=$1 all
    all=$(cores)
    if [ $slurm = yes ]; then share=${cpus:-1}; return; fi
    if [ -z "$jobs" ]; then
        jobs=$((threads == 0 ? all : all / threads))
        if [ -n "$threads" ] && [ "$threads" -eq 0 ]; then jobs=1; fi
    fi
    if [ "$jobs" -gt "$count" ]; then jobs=$count; fi
    if [ "$jobs" -lt 1 ]; then jobs=1; fi
    share=$((all / jobs))
    if [ $share -lt 1 ]; then share=1; fi
    if [ $share -gt 256 ]; then share=256; fi
}
left() {  # left SECONDS: in words
    if [ "$1" -lt 90 ]; then printf '%d s' "$1"; elif [ "$1" -lt 5400 ]; then printf '%d min' $((($1 + 30) / 60))
    else printf '%d h %02d min' $(($1 / 3600)) $(($1 % 3600 / 60)); fi
}
progress() {
    local text="$ended of ${#runs[@]} done"
    if [ $bad -gt 0 ]; then text+=", $bad diverged, dead or stalled"; fi
    if [ $failed -gt 0 ]; then text+=", $failed failed"; fi
    if [ $finished -gt 0 ] && [ $finished -lt ${#pending[@]} ]; then
        text+=", about $(left $(((${#pending[@]} - finished) * (SECONDS - started) / finished))) left"
    fi
    if [ -t 2 ]; then text=$'\r\033[K'$text; else text+=$'\n'; fi
    printf %s "$text" >&2 2>/dev/null || true
}
told() {  # told LINE: above the line of progress
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    printf 'sweep: %s\n' "$1" >&2 2>/dev/null || true
}
# shellcheck disable=SC2317  # the trap's
interrupt() {
    interrupted=yes
    trap '' INT TERM
    exec {alive}>&-             # runs checkpoint and end with 75, none is begun
    kill -HUP "$parallel" 2>/dev/null || true
}
run_here() {
    local run_status run code watch both started=$SECONDS
    { has parallel && parallel --version 2>/dev/null </dev/null | grep -q '^GNU parallel'; } ||
        fail "GNU parallel is not there; scripts/setup.sh sweep installs it (Debian: parallel)"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # The end of this pipe tells the runs that the sweep is gone, however it went.
    mkfifo "$work/alive"
    exec {both}<>"$work/alive" {watch}<"$work/alive" {alive}>"$work/alive" {both}>&-
    printf '%s\n' "${pending[@]}" >"$work/pending"
    if [ ! -s "$out/joblog" ]; then
        printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n' | put "$out/joblog"
    fi
    interrupted=no parallel=
    trap interrupt INT TERM
    if [ ! -t 2 ]; then
        printf '%d runs to do, %d at a time with %s threads each\n' ${#pending[@]} "$jobs" "${threads:-$share}" >&2 2>/dev/null || true
    fi
    exec {lines}< <(
        exec 9>&- {alive}>&-
        # apart from the terminal: its ^C is the sweep's to pass on
        SWEEP_ALIVE=$watch SWEEP_DIR=$out SWEEP_TASK=$here/sweep_task.sh PARALLEL_HOME=$work PARALLEL_SHELL=$BASH exec setsid \
            parallel --will-cite --plain --ungroup --halt never --jobs "$jobs" --joblog "+$out/joblog" --termseq TERM,600000,KILL,25 \
            --arg-file "$work/pending" '"$BASH" "$SWEEP_TASK" "$SWEEP_DIR" {}' 2>"$work/err")
    parallel=$!
    exec {watch}<&-
    finished=0
    if [ -t 2 ]; then progress; fi
    while read -r run run_status code <&"$lines"; do
        finished=$((finished + 1))
        case $run_status in
            done) ended=$((ended + 1)) ;;
            diverged | dead | stalled) ended=$((ended + 1)) bad=$((bad + 1)) ;;
            stopped) ;;
            *)
                failed=$((failed + 1))
                told "$run: $run_status with exit code $code: $(tail -n 1 "$state/$run.out" 2>/dev/null || true)" ;;
        esac
        refresh || true
        progress
    done
    code=0
    wait "$parallel" || code=$?
    trap '' INT TERM
    if [ -t 2 ]; then printf '\n' >&2; fi
    if [ $interrupted = no ] && [ $finished -lt ${#pending[@]} ]; then
        told "GNU parallel ended early with exit code $code: $(tail -n 1 "$work/err")"
        cut_off=yes
    fi
    refresh
}
exit_code() {
    local run code=0
    for run in "${runs[@]}"; do
        state_of "$run"
        case $run_status in
            done) ;;
            diverged | dead | stalled) if [ $code = 0 ]; then code=3; fi ;;
            stopped | waiting | running) if [ $code != 1 ]; then code=75; fi ;;
            *) code=1 ;;
        esac
    done
    if [ "${interrupted:-no}" = yes ]; then code=75; elif [ "${cut_off:-no}" = yes ]; then code=1; fi
    return $code
}

# -- main

check_options
make_settings
if [ -z "${FXSIM:-}" ]; then FXSIM=$here/../build/sim/fxsim; fi
found=$(command -v -- "$FXSIM") || fail "no program $FXSIM: scripts/build.sh builds it, FXSIM=PROGRAM names another"
FXSIM=$(realpath -- "$found")
version=$("$FXSIM" --version 2>/dev/null </dev/null) || fail "$FXSIM --version fails"
check_words

out=$(realpath -m -- "$out")
state=$out/state
if [ -e "$out" ] && [ ! -d "$out" ]; then fail "--out $out: not a directory"; fi
if [ -e "$out" ] && [ ! -e "$state" ] && [ -n "$(ls -A "$out" 2>/dev/null || echo unreadable)" ]; then
    fail "--out $out: holds files but no sweep; nothing in it is replaced" 2
fi
if [ $dry = no ] || [ $slurm = yes ]; then
    mkdir -p "$state" 2>/dev/null || fail "--out $out: cannot be made"
    take_lock
fi
read_names
make_names
pending=() ended=0 bad=0 failed=0
for run in "${runs[@]}"; do
    state_of "$run"
    if ! is_final "$run_status"; then pending+=("$run"); continue; fi
    ended=$((ended + 1))
    if [ "$run_status" != "done" ]; then bad=$((bad + 1)); fi
done
share_cores ${#pending[@]}
text=$(record)
check_same
if [ $dry = yes ] && [ $slurm = no ]; then
    for i in "${!runs[@]}"; do
        state_of "${runs[i]}"
        if ! is_final "$run_status"; then command_of "$i"; printf '%s\n' "$line"; fi
    done
    printf 'sweep: %d of %d runs to do, %d at a time\n' ${#pending[@]} ${#runs[@]} "$jobs" >&2
    exit 0
fi
write_files
if [ $slurm = yes ]; then
    if [ ${#pending[@]} = 0 ]; then exit_code; exit; fi
    printf '%s\n' "${pending[@]}" | put "$state/slurm.list"
    exec bash "$here/sweep_slurm.sh" "$out" --dry-run $dry --partition "$partition" --cpus "${cpus:-${threads:-1}}" --time "$time" \
        --max-running "$max_running"
fi
if [ ${#pending[@]} -gt 0 ]; then run_here; else printf '%d of %d done\n' "$ended" ${#runs[@]} >&2 2>/dev/null || true; fi
code=0
exit_code || code=$?
if [ -n "$verify" ] && [ $code != 75 ]; then
    child='' verified=0
    trap 'kill -TERM $child 2>/dev/null || true' INT TERM
    bash "$here/sweep_verify.sh" "$out" "$verify" "${runs[@]}" 9>&- &
    child=$!
    while :; do # a signal ends wait, not the child
        verified=0
        wait $child || verified=$?
        kill -0 $child 2>/dev/null || break
    done
    if [ $verified -gt 128 ]; then verified=75; fi
    case $verified in 0) ;; 75) code=75 ;; *) code=1 ;; esac
fi
exit $code
