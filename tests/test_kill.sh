#!/usr/bin/env bash
# test_kill.sh FXSIM CLI_FILES [RUNS [SEED]]: a run that was killed, stopped or damaged ends with the bytes of one
# that was not.
#
# A reference run is never disturbed. RUNS others (default 50) are killed 1 to 3 times at random moments, resumed
# each time with other threads and another instruction set, and compared: log.csv before time_s, stats.csv and the
# state in the checkpoint. Then SIGTERM, SIGINT, damaged checkpoints and checkpoints of other runs. SEED (default 1)
# chooses the moments; what they hit depends on the machine. They are told by the lines a run has written, not by the
# clock, and a run that ended before its signal came is begun again: the machine may be slow, fast or busy.
set -eu

fxsim=$(realpath "${1:?the program}")
cli_files=$(realpath "${2:?the helper of the tests}")
runs=${3:-50}
RANDOM=${4:-1}
work=$(mktemp -d)
background=
# shellcheck disable=SC2317  # the trap's
clean_up() {
    if [ -n "$background" ]; then kill -KILL "$background" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"
export LC_ALL=C OMP_WAIT_POLICY=passive
failures=0

check() {  # check SENTENCE COMMAND...: the command must succeed; shows the last run's output if it does not
    local sentence=$1
    shift
    if "$@"; then
        printf 'ok    %s\n' "$sentence"
    else
        printf 'FAIL  %s\n      %s\n' "$sentence" "$*"
        sed 's/^/      | /' err
        failures=$((failures + 1))
    fi
}
not() { ! "$@"; }
says() { grep -qF -- "$1" err; }
one_error() { [ "$(grep -vc '^fxsim: warning: ' err)" = 1 ] && [ "$(grep -v '^fxsim: warning: ' err | cut -c 1-7)" = 'fxsim: ' ]; }

# Every run is called run, so that its CSV files have the length of every other's, but for the clock's columns.
small=(train wage --net '4C3-MP2-16FC-10' --epochs 4 --batch 96 --drop-last no --validation 137
    --augment 'pad:1 crop flip' --checkpoint-every 3s -s stats.every=5s -s 'update.rate=8 1@2 1/8@50s'
    -s accumulator.kind=saturate:16 --quiet)
long=(train wage --net '4C3-MP2-16FC-10' --epochs 60 --batch 128 --checkpoint-every 7s -s stats.every=5s
    -s 'update.rate=8 1@20' --loss softmax --quiet)
# nearly all its time goes into evaluation
lazy=(train wage --net "16C5-MP2-128FC-10" --epochs 4 --batch 24 --validation 1389 --checkpoint-every 1e --quiet)

levels=()
for level in auto scalar avx2 avx512 avx512vnni; do
    if "$fxsim" explain wage --cpu $level >/dev/null 2>&1; then levels+=("$level"); fi
done
start() {  # start DIR ARGUMENT...: in the background; threads and instruction set change from call to call
    mkdir -p "$1"
    calls=$((${calls:-0} + 1))
    "$fxsim" "${@:2}" --out "$1/run" --threads $((1 + calls % 3)) --cpu "${levels[calls % ${#levels[@]}]}" \
        --resume=auto >out 2>err &
    background=$!
}
finish() { code=0; wait "$background" 2>/dev/null || code=$?; background=; }
train() { start "$@"; finish; }  # to its end
mkfifo silence
exec 8<>silence
nap() { read -r -t "$1" -u 8 || true; }  # nap SECONDS: no process is started, so a busy machine does not delay it more than it must
lines_of() { local text=(); if [ -e "$1" ]; then mapfile -t text <"$1"; fi; lines=${#text[@]}; }  # $lines
wait_for_lines() {  # wait_for_lines FILE N: until it has as many or the run has ended
    lines_of "$1"
    while [ "$lines" -lt "$2" ] && kill -0 "$background" 2>/dev/null; do nap 0.002; lines_of "$1"; done
}
signalled() {  # signalled SIGNAL FILE N DIR ARGUMENT...: the signal comes when FILE has N lines; again if the run ended before it
    local try dir=$4
    rm -rf uncut
    if [ -e "$dir" ]; then cp -r "$dir" uncut; fi
    for ((try = 0; try < 50; try++)); do
        start "$dir" "${@:5}"
        wait_for_lines "$2" "$3"
        kill -s "$1" "$background" 2>/dev/null || true
        finish
        # an exit code that is neither the signal's nor 0 is the caller's to find
        if [ $code != 0 ] && [ "$(last_cell "$dir" status 2>/dev/null)" != "done" ]; then return; fi
        rm -rf "$dir"
        if [ -e uncut ]; then cp -r uncut "$dir"; fi
    done
}

# The last columns tell of the clock and the machine.
log_of() {
    awk -F , -v OFS=, '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == "time_s") end = i }
        { line = $2; for (i = 3; i < end; i++) line = line OFS $i; print line }' "$1"
}
stats_of() { cut -d , -f 2- "$1"; }
same_bytes() {  # same_bytes A B: what two runs must share
    log_of "$1/run/log.csv" >a
    log_of "$2/run/log.csv" >b
    cmp a b >>err 2>&1 || return 1
    stats_of "$1/run/stats.csv" >a
    stats_of "$2/run/stats.csv" >b
    cmp a b >>err 2>&1 || return 1
    "$cli_files" state "$1/run/checkpoint" >a || return 1
    "$cli_files" state "$2/run/checkpoint" >b || return 1
    cmp a b >>err 2>&1
}
tidy() { [ ! -e "$1/run/lock" ] && [ ! -e "$1/run/checkpoint.new" ]; }
ends_like() {  # ends_like REFERENCE DIR: the last call ended a run that equals the reference
    [ $code = 0 ] && same_bytes "$1" "$2" && tidy "$2"
}
seconds() { printf '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000)); }  # of microseconds
now() { local t=$EPOCHREALTIME; printf '%s' "${t/[.,]/}"; }
last_cell() {  # last_cell DIR COLUMN
    awk -F , -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } { cell = $c } END { print cell }' "$1/run/log.csv"
}

reference() {  # reference DIR ARGUMENT...: $duration in microseconds
    local start
    start=$(now)
    mkdir -p "$1"
    "$fxsim" "${@:2}" --out "$1/run" --threads 1 --cpu scalar >out 2>err || true
    duration=$(($(now) - start))
    check "the reference $1 ends" [ "$(last_cell "$1" status)" = "done" ]
}

test_kills() {
    local i kill part all killed=0 wrong=0
    lines_of small/run/stats.csv
    all=$lines
    for ((i = 0; i < runs; i++)); do
        for ((kill = 1 + RANDOM % 3; kill > 0; kill--)); do
            part=$((RANDOM % all))
            start "kill$i" "${small[@]}"
            wait_for_lines "kill$i/run/stats.csv" $part
            nap "$(seconds $(((RANDOM * 32768 + RANDOM) % (4 * duration / all))))" # to be anywhere between its lines
            kill -KILL "$background" 2>/dev/null || true
            finish
            [ $code = 0 ] || killed=$((killed + 1))
            [ $code = 0 ] || [ $code = 137 ] || check "killed or done, not exit code $code" false
        done
        train "kill$i" "${small[@]}"
        if ! ends_like small "kill$i"; then
            check "run $i, killed after $part lines of stats.csv at last, ends with the reference's bytes" false
            wrong=$((wrong + 1))
        fi
        rm -rf "kill$i"
    done
    check "$runs runs killed $killed times end with the bytes of one never killed" [ $wrong = 0 ]
    check "and some were killed" [ $killed -gt 0 ]
}

# Recipes whose runs keep more than weights: controllers, momentum in other formats, loss scales, second means, norms' running
# statistics. Each is killed twice in the middle and resumed with other threads and another instruction set.
recipes=(
    'fp8-mellempudi2019 -s loss-scale.value=28000'
    'flexpoint -s update.rate=0.2'
    'courbariaux2014 -s init.ranges=1e:16 -s weight.scale=R -s activation.scale=R -s error.scale=R -s gradient.scale=R -s store.scale=R -s momentum.scale=R'
    'hfp8 -s loss-scale.value=16777216 -s loss-scale.growth=2_after_5s'
    'gupta2015 -s momentum.q=fixed16f7/stochastic -s update.momentum=0.5'
    'fp32 -s update.rule=adam -s update.rate=0.001 -s momentum.q=bf16/stochastic -s second.q=bf16/stochastic'
    'int8-l1bn --net 4C3-BN-+(4C3-BN-4C3-BN|)-GAP-10'
    'fp32-bn --net 4C3-BN-+(6C3s2-BN|6C1s2-BN)-GAP-10'
)
test_recipes() {
    local line words name part lines all
    for line in "${recipes[@]}"; do
        read -r -a words <<<"$line"
        words=("${words[@]//_after_/ after }")
        words=("${words[@]/%=R/=overflow:3:4:2000}")
        name=${words[0]}
        if [[ " $line " != *' --net '* ]]; then words+=(--net 8C3-MP2-32FC-10); fi
        words=(train "${words[@]}" --epochs 4 --checkpoint-every 4s -s stats.every=3s -s stats.kind=full --quiet)
        reference "$name" "${words[@]}"
        lines_of "$name/run/stats.csv"
        all=$lines
        for part in 1 2; do
            signalled KILL "$name-cut/run/stats.csv" $((all * (3 * part - 2) / 8)) "$name-cut" "${words[@]}"
            check "$name is killed" [ $code = 137 ]
        done
        train "$name-cut" "${words[@]}"
        check "killed twice it ends with the reference's bytes" ends_like "$name" "$name-cut"
    done
    check "a dynamic loss scale moved" [ "$(tail -n +2 hfp8/run/log.csv | cut -d , -f 7 | sort -u | wc -l)" -gt 1 ]
    check "a loss scale skipped steps" [ "$(tail -n +2 fp8-mellempudi2019/run/log.csv | cut -d , -f 15 | sort -u | wc -l)" -gt 1 ]
}

test_signal() {  # test_signal SIGNAL
    local dir=stop$1 rows
    signalled "$1" "$dir/run/log.csv" 4 "$dir" "${long[@]}"
    check "SIG$1 ends the run with 75" [ $code = 75 ]
    check "nothing is wrong" not grep -v '^fxsim: warning: ' err
    check "the last row says so" [ "$(last_cell "$dir" status)" = stopped ]
    check "and has its step" [ "$(last_cell "$dir" step)" -gt 0 ]
    check "nothing is left over" tidy "$dir"
    rows=$(wc -l <"$dir/run/log.csv")
    signalled "$1" "$dir/run/log.csv" $((rows + 2)) "$dir" "${long[@]}"
    check "a second time too" [ $code = 75 ]
    train "$dir" "${long[@]}"
    check "resumed after SIG$1 it ends with the reference's bytes" ends_like long "$dir"
}

# A signal that comes while row 0 or a later row is evaluated; after how much of it is tried at several scales, as the
# machine may have become faster or slower since the reference.
test_signal_in_evaluation() {
    local i in_row_0=0 in_later=0
    for ((i = 0; i < 40 && (in_row_0 == 0 || in_later == 0); i++)); do
        start "lazy$i" "${lazy[@]}"
        wait_for_lines "lazy$i/run/log.csv" $((1 + (i % 2) * 2))
        nap "$(seconds $(((lazy_time / 5 >> (i / 2 % 5)) * (RANDOM % 100) / 100)))"
        kill -s TERM "$background" 2>/dev/null || true
        finish
        if [ $code = 75 ]; then
            # the epoch's figures are there, those of the test are not
            if [ "$(last_cell "lazy$i" step)" = 0 ] && [ "$(wc -l <"lazy$i/run/log.csv")" = 2 ]; then in_row_0=1; fi
            if [ -n "$(last_cell "lazy$i" train_loss)" ] && [ -z "$(last_cell "lazy$i" test_loss)" ]; then in_later=1; fi
            check "stopped at step $(last_cell "lazy$i" step), the row has no test error" [ -z "$(last_cell "lazy$i" test_error)" ]
        fi
        train "lazy$i" "${lazy[@]}"
        if ! ends_like lazy "lazy$i"; then check "run $i, stopped in its evaluation, ends with the reference's bytes" false; fi
        rm -rf "lazy$i"
    done
    check "a signal in row 0's evaluation was met" [ $in_row_0 = 1 ]
    check "a signal in a later evaluation was met" [ $in_later = 1 ]
}

# A run that is cut in its middle, with both checkpoints there: cut/run.
make_cut() {
    local try
    for ((try = 0; try < 20; try++)); do
        rm -rf cut
        signalled KILL cut/run/log.csv 4 cut "${small[@]}"
        # not between the two renames of a checkpoint
        if [ $code = 137 ] && [ -e cut/run/checkpoint.previous ] && [ -e cut/run/checkpoint ]; then
            rm -f cut/run/checkpoint.new
            return
        fi
    done
    check "a run is cut with two checkpoints" false
}
damaged() {  # damaged: a fresh copy of the cut run
    rm -rf damaged
    cp -r cut damaged
}
flip() {  # flip FILE OFFSET: one byte becomes another
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf '%b' "\\0$(printf '%o' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
# Each takes the checkpoint's name; $size is its size.
# shellcheck disable=SC2317  # called by name
damage() {
    case $2 in
        flip:*) flip "$1" "${2#flip:}" ;;
        cut:*) head -c "${2#cut:}" "$1" >new && mv new "$1" ;;
        longer) printf x >>"$1" ;;
        empty) : >"$1" ;;
        garbage) seq 1 4000 >"$1" ;;
        zeros) head -c "$size" /dev/zero >"$1" ;;
        directory) rm "$1"; mkdir "$1" ;;
    esac
}

test_damaged() {
    local kind size
    size=$(wc -c <cut/run/checkpoint)
    for kind in flip:0 flip:9 flip:13 flip:17 flip:21 flip:25 flip:33 flip:45 flip:60 flip:$((size / 2)) \
        flip:$((size - 1)) cut:47 cut:$((size / 2)) cut:$((size - 1)) longer empty garbage zeros; do
        damaged
        damage damaged/run/checkpoint "$kind"
        train damaged "${small[@]}"
        check "$kind: the checkpoint before it is used" says 'damaged/run/checkpoint:'
        check "and said so" says 'the one before it is used'
        check "and the bytes are the reference's" ends_like small damaged
    done
    for kind in flip:$((size / 2)) cut:47 empty garbage; do
        damaged
        cp cut/run/*.csv .
        damage damaged/run/checkpoint "$kind"
        damage damaged/run/checkpoint.previous "$kind"
        train damaged "${small[@]}"
        check "$kind, both: exit code 5" [ $code = 5 ]
        check "one line" one_error
        check "that names the file" says damaged/run/checkpoint
        check "log.csv is as it was" cmp -s log.csv damaged/run/log.csv
        check "stats.csv is as it was" cmp -s stats.csv damaged/run/stats.csv
    done
}

test_between_renames() {
    damaged
    mv damaged/run/checkpoint damaged/run/checkpoint.new
    train damaged "${small[@]}"
    check "killed between the two renames it ends with the reference's bytes" ends_like small damaged
    damaged
    mv damaged/run/checkpoint damaged/run/checkpoint.new
    flip damaged/run/checkpoint.previous 100
    train damaged "${small[@]}"
    check "the same with a damaged one before it, likewise" ends_like small damaged
    damaged
    mv damaged/run/checkpoint.previous damaged/run/checkpoint.new
    rm damaged/run/checkpoint
    train damaged "${small[@]}"
    check "killed before the first checkpoint had its name, likewise" ends_like small damaged
    damaged
    printf 'half a che' >damaged/run/checkpoint.new
    train damaged "${small[@]}"
    check "killed while a checkpoint was written, likewise" ends_like small damaged
    damaged
    printf 'half a row,1,2' >>damaged/run/log.csv
    printf 'half a row,1,2' >>damaged/run/stats.csv
    printf 'pid 1\n' >damaged/run/lock
    train damaged "${small[@]}"
    check "killed while a row was written, likewise" ends_like small damaged
}

# Two checkpoints of another kind: $1 says which, at $2 stands the word that tells, $3 is what the message says.
refused() {
    damaged
    "$cli_files" patch damaged/run/checkpoint "$2" 7
    "$cli_files" patch damaged/run/checkpoint.previous "$2" 7
    train damaged "${small[@]}"
    check "a checkpoint of $1: exit code 5" [ $code = 5 ]
    check "one line" one_error
    check "that says why" says "$3"
    check "log.csv is as it was" cmp -s cut/run/log.csv damaged/run/log.csv
}

test_others() {
    refused "another version" 8 'version'
    refused "another recipe" 12 'another recipe'
    refused "other data" 16 'other data'
    refused "another results_version" 20 'results_version 7'
    refused "no known status" 24 'checkpoint'
    refused "other arrays" 44 'arrays'
    refused "a longer log.csv" 32 'shorter than'
    damaged
    train damaged "${small[@]}" --seed 2
    check "a run resumed under another recipe: exit code 5" [ $code = 5 ]
    check "one line" one_error
    check "that says why" says 'another recipe'
    check "recipe.ini is as it was" cmp -s cut/run/recipe.ini damaged/run/recipe.ini
    check "log.csv is as it was" cmp -s cut/run/log.csv damaged/run/log.csv
    damaged
    rm damaged/run/log.csv
    train damaged "${small[@]}"
    check "without log.csv: refused" [ $code != 0 ]
    check "with one line" one_error
    damaged
    rm damaged/run/checkpoint damaged/run/checkpoint.previous
    train damaged "${small[@]}"
    check "rows without a checkpoint are not thrown away: exit code 5" [ $code = 5 ]
    check "with one line" one_error
    check "log.csv is as it was" cmp -s cut/run/log.csv damaged/run/log.csv
}

reference long "${long[@]}"
reference lazy "${lazy[@]}"
lazy_time=$duration
reference small "${small[@]}"
test_kills
test_recipes
test_signal TERM
test_signal INT
test_signal_in_evaluation
make_cut
test_damaged
test_between_renames
test_others
if [ $failures -gt 0 ]; then
    printf '%d checks failed\n' $failures
    exit 1
fi
