#!/usr/bin/env bash
# test_sweep.sh FXSIM: scripts/sweep.sh on this machine, with GNU parallel and real runs of a fraction of a second.
#
# What was killed, stopped or extended must end with the bytes of what never was. 77 where GNU parallel is missing.
#
# shellcheck disable=SC2154,SC2034,SC2054  # what cli.sh sets and reads
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sweep_sh=$here/../scripts/sweep.sh
# shellcheck source=tests/cli.sh
. "$here/cli.sh"
# shellcheck disable=SC2317  # the trap's
clean_up() {
    local lock
    if [ -n "$background" ]; then kill -KILL -- "-$background" 2>/dev/null || true; fi
    for lock in "$work"/*/*/lock; do if [ -e "$lock" ]; then kill -KILL "$(sed 's/^pid //' "$lock")" 2>/dev/null || true; fi; done
    rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; } # the last of them may have been writing
}
if ! parallel --version 2>/dev/null </dev/null | grep -q '^GNU parallel'; then echo "SKIP  GNU parallel is not there"; exit 77; fi
export FXSIM=$fxsim

short=(--data digits --net 8FC-10 --batch 256 --epochs 2 -s update.rate=8)
long=(--data digits --net 16C3-64FC-10 --epochs 20 --checkpoint-every 4s -s update.rate=8 -s stats.every=5s)
sweep() { code=0; timeout 600 bash "$sweep_sh" "$@" >out 2>err </dev/null || code=$?; }
refused() {  # refused CODE SENTENCE TEXT...: the last call failed so, and its one line holds each text
    local want=$1 sentence=$2 text
    shift 2
    check "$sentence: exit code $want" [ $code = "$want" ]
    check "$sentence: one line" [ "$(wc -l <err) $(cut -c 1-7 err)" = '1 sweep: ' ]
    for text; do check "$sentence: names $text" says "$text"; done
}
field() { awk -F , -v run="$2" -v name="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } $1 == run { print $c }' "$1/sweep.csv"; }
statuses() { tail -n +2 "$1/sweep.csv" | cut -d , -f 4 | sort | uniq -c | awk '{ printf "%s%s %s", s, $1, $2; s = ", " }'; }
attempts() { tail -n +2 "$1/sweep.csv" | cut -d , -f 6 | sort -n | tr '\n' ' '; }
same_run() { same_log "$1" "$2" && cut -d , -f 2- "$1/stats.csv" >a && cut -d , -f 2- "$2/stats.csv" >b && cmp a b; }
same_sweep() {  # same_sweep A B: every run of A is in B, with the same bytes
    local run n=0
    for run in "$1"/*/log.csv; do
        run=$(basename "$(dirname "$run")")
        same_run "$1/$run" "$2/$run" || return 1
        n=$((n + 1))
    done
    [ $n -gt 1 ] && cmp <(cut -d , -f 1-5 "$1/sweep.csv") <(cut -d , -f 1-5 "$2/sweep.csv")
}
start() { setsid env --default-signal=INT bash "$sweep_sh" "$@" >out 2>err </dev/null & background=$!; } # a process group of its own
finish() { code=0; wait "$background" 2>/dev/null || code=$?; background=; }
mkfifo silence
exec 8<>silence
nap() { read -r -t 0.002 -u 8 || true; } # no process is started, so a busy machine does not delay it more than it must
count_rows() {  # count_rows DIR: $rows of all its runs
    local file text
    rows=0
    for file in "$1"/*/log.csv; do
        if [ -e "$file" ]; then mapfile -t text <"$file"; rows=$((rows + ${#text[@]})); fi
    done
}
pids_of() { sed -n 's/^pid //p' "$1"/*_s[12]/lock 2>/dev/null || true; } # of the runs at work
in_the_middle() {  # in_the_middle DIR: until its runs have written a few rows more, or the sweep has ended
    local rows before
    count_rows "$1"
    before=$rows
    while [ "$rows" -lt $((before + 6)) ] && kill -0 "$background" 2>/dev/null; do nap; count_rows "$1"; done
}
# What is to be met in the middle of a sweep may have passed before the signal comes: the sweep is begun again then.
tries=20
again() {  # again DIR [KEPT]: DIR as it was
    rm -rf "$1"
    if [ -n "${2:-}" ]; then cp -r "$2" "$1"; fi
}

test_words() {
    sweep; refused 2 "no recipe" recipe
    sweep wage; refused 2 "no directory" --out
    sweep wage --out; refused 2 "no value" --out
    sweep wage --out ''; refused 2 "an empty directory" --out
    sweep wage niti --out no; refused 2 "two recipes" niti
    sweep wage --out no --epochs 3; refused 2 "an option of fxsim train" --epochs 'behind --'
    sweep wage --out no --grid gradient.rounding; refused 2 "a key without values" gradient.rounding
    sweep wage --out no --grid gradient.rounding=; refused 2 "no values" gradient.rounding
    sweep wage --out no --grid rounding=floor; refused 2 "no section" rounding
    sweep wage --out no --grid gradient.rounding=floor,,ceil; refused 2 "an empty value" floor,,ceil
    sweep wage --out no --grid gradient.rounding=floor,; refused 2 "a comma at the end" floor,
    sweep wage --out no --grid gradient.rounding=floor,floor; refused 2 "a value twice" '"gradient.rounding=floor"'
    sweep wage --out no --zip error.grid=fixed8,fixed6,fixed6 --zip activation.grid=fixed8,fixed8,fixed6 --dry-run
    check "--zip: a value of one key may stand there twice" [ "$code $(grep -c '^.*fxsim.* train' out)" = "0 3" ]
    sweep wage --out no --zip error.grid=fixed8,fixed8 --zip activation.grid=fixed6,fixed6; refused 2 "a --zip setting twice" fixed6
    sweep wage --out no --grid $'gradient.rounding=floor\nceil'; refused 2 "a value of two lines" 'line break'
    sweep wage --out no --grid 'gradient.rounding=a;b'; refused 2 "a semicolon" semicolon
    sweep wage --out no --grid run.batch=1,2 --zip run.batch=3,4; refused 2 "a key twice" run.batch
    sweep wage --out no --zip run.batch=1,2 --zip run.epochs=1,2,3; refused 2 "lists of different lengths" run.epochs 3 2
    sweep wage --out no --grid run.seed=1,2; refused 2 "seeds as a grid" --seeds
    sweep wage --out no --seeds 1,x; refused 2 "no seed" '"x"'
    sweep wage --out no --seeds 1,-1; refused 2 "a negative seed" -1
    sweep wage --out no --seeds 1,01; refused 2 "a seed in another spelling" 01
    sweep wage --out no --seeds 1,2,1; refused 2 "a seed twice" 1
    sweep wage --out no --seeds 18446744073709551616; refused 2 "a seed of 2^64" '2^64'
    sweep wage --out no --seeds ''; refused 2 "no seeds" seed
    sweep wage --out no --jobs 0; refused 2 "no jobs" '"0"'
    sweep wage --out no --jobs -1; refused 2 "negative jobs" -1
    sweep wage --out no --verify many; refused 2 "no number" many
    sweep wage --out no --cpus 2; refused 2 "an option of --slurm" --slurm
    sweep wage --out no --slurm --jobs 2; refused 2 "--jobs of --slurm" --jobs
    sweep wage --out no -- --seed 3; refused 2 "a seed behind --" --seeds
    sweep wage --out no -- -s run.seed=3; refused 2 "a seed behind --, the other way" --seeds
    sweep wage --out no -- --help; refused 2 "--help behind --" --help
    sweep wage --out no -- --weights w.npz; refused 2 "weights" --weights
    sweep wage --out no -- --out there; refused 2 "another directory" --out
    sweep wage --out no -- --force; refused 2 "--force" --force
    sweep wage --out no -- --threads x; refused 2 "threads that are no number" '"x"'
    sweep weig --out no; refused 2 "an unknown recipe" weig wage-mnist
    sweep wage --out no -- --epoch 3; refused 2 "an unknown option" --epoch
    sweep wage --out no --grid "run.batch=$(seq -s , 101)" --seeds "$(seq -s , 100)"; refused 2 "too many runs" 10000
    FXSIM=./nothing sweep wage --out no; refused 1 "no program" ./nothing build.sh
    sweep --status no; refused 2 "the status of nothing" no
    sweep wage --status no; refused 2 "the status with a recipe" --status
    check "nothing was written" [ ! -e no ]
    mkdir other
    echo mine >other/file
    sweep wage --out other; refused 2 "a directory of something else" other
    check "is left alone" [ "$(ls other)" = file ]
    sweep wage --out err; refused 1 "a file for a directory" err
}

dry() { sweep --dry-run "$@"; sed 's/.*--out //' out | tr -d "'" | sed 's|.*/||' >names; }
test_names() {
    local long_value
    dry wage --out none --grid gradient.rounding=stochastic:8:below,toward-zero --seeds 1,2 -- "${short[@]}"
    good "a dry run"
    check "tells the names" [ "$(tr '\n' ' ' <names)" = "gradient.rounding=stochastic-8-below_s1 gradient.rounding=stochastic-8-below_s2 \
gradient.rounding=toward-zero_s1 gradient.rounding=toward-zero_s2 " ]
    check "and writes nothing" [ ! -e none ]
    dry wage --out none --seeds 3 -- "${short[@]}"
    check "without settings the name is the seed's" [ "$(cat names)" = s3 ]
    dry wage --out none --zip run.batch=64,32 --zip run.epochs=1,2 --grid update.rate=8,4 -- --net 8FC-10 --data digits
    check "zipped keys move together" [ "$(tr '\n' ' ' <names)" = "update.rate=8_run.batch=64_run.epochs=1_s1 \
update.rate=8_run.batch=32_run.epochs=2_s1 update.rate=4_run.batch=64_run.epochs=1_s1 update.rate=4_run.batch=32_run.epochs=2_s1 " ]
    dry wage --out none --grid "update.rate=8 1@1,8/1@1,8-1-1,8(1,8_1" -- --data digits
    check "names hold nothing but [A-Za-z0-9._=+-]" not grep -q '[^A-Za-z0-9._=+-]' names
    check "and are unique" [ "$(sort -u names | wc -l)" = 5 ]
    check "what would share a name gets a checksum" [ "$(grep -c '^update.rate=8-1-1-[0-9a-f]\{8\}_s1$' names)" = 3 ]
    check "the others none" grep -qx 'update.rate=8-1_s1' names
    cp names before
    dry wage --out none --grid "update.rate=8_1,8(1,8-1-1,8/1@1,8 1@1" -- --data digits
    check "the order of values changes no name" cmp <(sort before) <(sort names)
    long_value=$(printf 'layer.conv1.weight.rounding=%0150d,%0150d1' 0 0)
    dry wage --out none --grid "$long_value" --grid "$(printf 'layer.conv2.weight.rounding=%0100d' 0)" --seeds 18446744073709551615 -- --data digits
    check "long names are cut to 200 characters" [ "$(awk '{ if (length($0) > 200) print }' names | wc -l)" = 0 ]
    check "and differ" [ "$(sort -u names | wc -l)" = 2 ]
}

test_runs() {
    local dir="it's a sweep, of 100 %"
    sweep wage --out "$dir" --grid gradient.rounding=stochastic:8:below,toward-zero --grid "update.rate=8,8 1@1" --seeds 1,2 --jobs 2 -- \
        "${short[@]:0:8}"
    good "a sweep"
    check "tells how far it is" says '8 of 8 done'
    check "has a row a run" [ "$(statuses "$dir")" = '8 done' ]
    check "in order" [ "$(sed -n 3p "$dir/sweep.csv")" = \
        "gradient.rounding=stochastic-8-below_update.rate=8_s2,gradient.rounding=stochastic:8:below;update.rate=8,2,done,0,1,$(uname -n)" ]
    check "cells without spaces, as log.csv has them" [ "$(field "$dir" gradient.rounding=toward-zero_update.rate=8-1-1_s1 overrides)" = \
        'gradient.rounding=toward-zero;update.rate=8%201@1' ]
    fx train wage "${short[@]:0:8}" --quiet --seed 2 -s gradient.rounding=toward-zero -s 'update.rate=8 1@1' --out alone
    check "a run is what fxsim train makes" same_run alone "$dir/gradient.rounding=toward-zero_update.rate=8-1-1_s2"
    check "jobs has a line a run" [ "$(wc -l <"$dir/jobs")" = 8 ]
    code=0; bash -c "$(tail -n 1 "$dir/jobs")" >out 2>err || code=$?
    good "that a shell runs"
    check "and that is that run's" says 'finished before'
    check "sweep.txt has the version" grep -q "results_version" "$dir/sweep.txt"
    check "and the options" grep -qx 'options: --data digits --net 8FC-10 --batch 256 --epochs 2' "$dir/sweep.txt"
    sweep --status "$dir"; good "--status"
    check "counts" grep -qx '8 runs: 8 done' out
    cp -r "$dir" kept
    sweep wage --out "$dir" --grid gradient.rounding=stochastic:8:below,toward-zero --grid "update.rate=8,8 1@1" --seeds 1,2 --jobs 2 -- \
        "${short[@]:0:8}" --threads 2
    good "a second call, with other threads"
    check "does nothing" same_sweep kept "$dir"
    check "not even again" [ "$(attempts "$dir")" = '1 1 1 1 1 1 1 1 ' ]
}

test_extension() {
    sweep wage --out grown --grid gradient.rounding=floor --seeds 2 -- "${short[@]}"; good "a small sweep"
    cp -r grown kept-small
    sweep wage --out grown --grid gradient.rounding=ceil,floor --seeds 1,2 -- "${short[@]}"; good "a larger one in its place"
    check "trains what is new" [ "$(statuses grown), $(attempts grown)" = '4 done, 1 1 1 1 ' ]
    check "and leaves the old" cmp {kept-small,grown}/gradient.rounding=floor_s2/log.csv
    sweep wage --out grown --grid gradient.rounding=odd -- "${short[@]}"; good "another value"
    check "keeps the rows of the others" [ "$(statuses grown)" = '5 done' ]
    rm -r grown/gradient.rounding=odd_s1
    sweep wage --out grown --grid gradient.rounding=odd -- "${short[@]}"; good "after a run was deleted"
    check "it is there again" [ -s grown/gradient.rounding=odd_s1/log.csv ]
    cp grown/sweep.csv before
    # an old name stays where a new setting would have the same
    sweep wage --out named --grid 'update.rate=8 1@1' -- "${short[@]:0:8}"; good "a sweep with a name"
    dry wage --out named --grid 'update.rate=8-1-1,8 1@1' -- "${short[@]:0:8}"
    check "that stays" [ -z "$(grep -x 'update.rate=8-1-1_s1' names)" ]
    check "and the new one has a checksum" grep -q '^update.rate=8-1-1-[0-9a-f]*_s1$' names

    sweep wage --out grown --grid gradient.rounding=floor -- "${short[@]}" --loss softmax; refused 5 "other options" grown softmax
    sweep niti --out grown --grid gradient.rounding=floor -- "${short[@]}"; refused 5 "another recipe" grown wage niti
    printf '#!/bin/sh\nif [ "$1" = --version ]; then echo fxsim 9.0, results_version 99; else exec "%s" "$@"; fi\n' "$fxsim" >newer
    chmod +x newer
    FXSIM=./newer sweep wage --out grown --grid gradient.rounding=floor -- "${short[@]}"; refused 5 "another results_version" 99
    check "sweep.csv is as it was" cmp before grown/sweep.csv
    sed -i 's/results_version 99/results_version '"$("$fxsim" --version | sed 's/.* //')/" newer
    FXSIM=./newer sweep wage --out grown --grid gradient.rounding=floor -- "${short[@]}"; good "another version of the same results"

    printf '[recipe]\nbase = wage\n' >base.ini
    printf '[recipe]\nbase = base.ini\n' >own.ini
    sweep own.ini --out own --seeds 1,2 -- "${short[@]}"; good "a recipe file"
    printf '[recipe]\nbase = base.ini\n[error]\ngrid = fixed9\n' >own.ini
    sweep own.ini --out own --seeds 1,2,3 -- "${short[@]}"; refused 5 "a changed file" 'recipe file'
    printf '[recipe]\nbase = base.ini\n' >own.ini
    printf '[recipe]\nbase = wage\n[error]\ngrid = fixed9\n' >base.ini
    sweep own.ini --out own --seeds 1,2,3 -- "${short[@]}"; refused 5 "a changed base of it" config_crc32
    check "and nothing is trained" [ ! -e own/s3 ]
}

test_failures() {
    sweep wage --out bad --grid update.rate=8,nonsense,4 -- "${short[@]:0:8}"
    check "a run that fails: exit code 1" [ $code = 1 ]
    check "the others are done" [ "$(statuses bad)" = '2 done, 1 failed' ]
    check "its exit code is kept" [ "$(field bad update.rate=nonsense_s1 exit_code)" = 2 ]
    check "and its line is told" grep -q '^sweep: update.rate=nonsense_s1: failed .*nonsense' err
    check "the last line counts" grep -qx '2 of 3 done, 1 failed' err
    sweep wage --out bad --grid update.rate=8,nonsense,4 -- "${short[@]:0:8}"
    check "again: exit code 1" [ $code = 1 ]
    check "it is tried again, it alone" [ "$(attempts bad)$(field bad update.rate=nonsense_s1 attempts)" = '1 1 2 2' ]
    sweep --status bad
    check "--status says so" [ $code = 1 ]

    sweep fp8-mellempudi2019 --out burnt --grid update.rate=30000,0.1 -- --net 4C3-MP2-16FC-10 --data digits --epochs 2 -s loss-scale.mode=none
    check "a run that diverges: exit code 3" [ $code = 3 ]
    check "is a result" [ "$(statuses burnt)" = '1 diverged, 1 done' ]
    sweep fp8-mellempudi2019 --out burnt --grid update.rate=30000,0.1 -- --net 4C3-MP2-16FC-10 --data digits --epochs 2 -s loss-scale.mode=none
    check "again: exit code 3" [ $code = 3 ]
    check "it is not tried again" [ "$(attempts burnt)" = '1 1 ' ]
    sweep wage --out mended -- --data digits --net 8FC-10 --batch 5000; check "options that do not fit" [ $code = 2 ]
    sweep wage --out mended --grid run.batch=5000 -- --data digits --net 8FC-10
    check "a setting that does not fit: exit code 1" [ $code = 1 ]
    sweep wage --out mended --seeds 5 -- "${short[@]}"; good "options may change before any run has begun"
}

test_verify() {
    sweep wage --out sure --seeds 1,2,3,4 --verify 2 -- "${short[@]}"
    good "--verify"
    check "finds all equal" grep -qx 'verify: 2 of 2 equal' out
    check "of runs spread over the list" [ "$(grep -c '^verify: s[24]: equal$' out)" = 2 ]
    sed '3s/,8,/,9,/' sure/s3/log.csv >planted
    check "(a byte is planted)" not cmp -s planted sure/s3/log.csv
    cp planted sure/s3/log.csv
    sweep wage --out sure --seeds 1,2,3,4 --verify 4 -- "${short[@]}"
    check "a changed byte of log.csv: exit code 1" [ $code = 1 ]
    check "is told" grep -qx 'verify: s3: NOT EQUAL: log.csv, line 3' out
    check "and is alone" grep -qx 'verify: 3 of 4 equal' out
    printf 'x' >>sure/s1/stats.csv
    sweep wage --out sure --seeds 1,2,3,4 --verify 9 -- "${short[@]}"
    check "a longer stats.csv: exit code 1" [ $code = 1 ]
    check "is told" grep -q '^verify: s1: NOT EQUAL: stats.csv' out
}

wait_for_locks() { local lock; for lock in "$1"/state/*_s[12].lock; do if [ -e "$lock" ]; then flock "$lock" true; fi; done; } # until all runs are gone
four=(wage --grid gradient.rounding=stochastic:8:below,floor --seeds 1,2 --jobs 2)
test_kills() {
    local signal try pids
    sweep "${four[@]}" --out reference -- "${long[@]}"
    good "a sweep that nothing disturbs"
    for ((try = 0; try < tries; try++)); do
        again cut
        start "${four[@]}" --out cut -- "${long[@]}" # the process group: the sweep dies, the runs notice
        in_the_middle cut
        kill -KILL -- "-$background" 2>/dev/null || true
        finish
        [ $code = 0 ] || break
    done
    check "killed in the middle" [ $code = 137 ]
    wait_for_locks cut # or the rows are those of runs that the kill has left and that are ending
    again kept-cut cut
    for ((try = 0; try < tries; try++)); do
        start "${four[@]}" --out cut -- "${long[@]}" # the runs as well: kill -9 of everything
        in_the_middle cut
        pids=$(pids_of cut)
        # shellcheck disable=SC2046  # words on purpose
        kill -KILL -- "-$background" $(grep -lsF "$work/cut" /proc/[0-9]*/cmdline | tr -dc '0-9\n') 2>/dev/null || true
        finish
        wait_for_locks cut
        sweep --status cut
        [ -z "$pids" ] || [ -z "$(statuses cut | grep killed)" ] || break
        again cut kept-cut
    done
    check "runs are at work" [ -n "$pids" ]
    check "--status tells the killed" [ -n "$(statuses cut | grep killed)" ]
    check "with exit code 1" [ $code = 1 ]
    sweep "${four[@]}" --out cut -- "${long[@]}"
    good "called again it ends"
    check "with the bytes of the undisturbed" same_sweep reference cut
    check "runs went on where they were" grep -q 'goes on at step [1-9]' cut/state/*.out
    check "some were begun more than once" [ "$(attempts cut | tr ' ' '\n' | sort -n | tail -n 1)" -gt 1 ]

    for ((try = 0; try < tries; try++)); do
        again shot
        start "${four[@]}" --out shot -- "${long[@]}"
        in_the_middle shot
        pids=$(pids_of shot)
        # shellcheck disable=SC2086  # words on purpose
        if [ -n "$pids" ]; then kill -KILL $pids 2>/dev/null || true; fi
        finish
        [ $code = 0 ] || break
    done
    check "killed runs: exit code 1" [ $code = 1 ]
    check "are told" [ -n "$(statuses shot | grep killed)" ]
    sweep "${four[@]}" --out shot -- "${long[@]}"; good "and are trained to their end"
    check "with the same bytes" same_sweep reference shot

    for signal in INT TERM; do
        for ((try = 0; try < tries; try++)); do
            again "stop$signal"
            start "${four[@]}" --out "stop$signal" -- "${long[@]}"
            in_the_middle "stop$signal"
            # ^C reaches the whole foreground group, kill one process
            if [ $signal = INT ]; then kill -INT -- "-$background"; else kill -TERM "$background"; fi 2>/dev/null || true
            finish
            [ $code = 0 ] || [ -z "$(statuses "stop$signal" | grep waiting | grep stopped)" ] || break
        done
        check "SIG$signal: exit code 75" [ $code = 75 ]
        check "runs are stopped, none is killed" [ -n "$(statuses "stop$signal" | grep stopped | grep -v killed)" ]
        check "some did not begin" [ -n "$(statuses "stop$signal" | grep waiting)" ]
        check "none is left behind" [ -z "$(ls "stop$signal"/*_s[12]/lock 2>/dev/null)" ]
        sweep --status "stop$signal"; check "--status: exit code 75" [ $code = 75 ]
        sweep "${four[@]}" --out "stop$signal" -- "${long[@]}"; good "called again it ends"
        check "with the bytes of the undisturbed" same_sweep reference "stop$signal"
    done
}

# A task passes a signal on, once: fxsim takes a second one as its end. Who sends it may reach fxsim too.
test_signal_once() {
    local to
    mkdir -p once/state
    # shellcheck disable=SC2016  # for the stand-in
    printf '%s\n' 'trap "trap - TERM; heard=yes" TERM' 'heard=no' 'touch ready' \
        'while [ $heard = no ] && [ $SECONDS -lt 200 ]; do sleep 0.01; done; [ $heard = yes ] || exit 9' \
        'end=$((SECONDS + 2)); while [ $SECONDS -lt $end ]; do sleep 0.05; done' 'exit 75' >stand-in
    echo "bash stand-in" >once/state/run.job
    for to in task group; do
        rm -f ready
        setsid bash "$here/../scripts/sweep_task.sh" once run >out 2>err </dev/null &
        background=$!
        while kill -0 $background && [ ! -e ready ]; do sleep 0.01; done
        if [ $to = task ]; then kill -TERM "$background"; else kill -TERM -- "-$background"; fi
        finish
        check "SIGTERM to the $to: exit code 75" [ $code = 75 ]
        check "the run is stopped" [ "$(cut -d , -f 1,2 once/state/run.state)" = stopped,75 ]
        check "the sweep is told" [ "$(cat out)" = 'run stopped 75' ]
    done
    check "two attempts were made" [ "$(cut -d , -f 3 once/state/run.state)" = 2 ]
}

test_two_sweeps() {
    # the runs of the first do not begin before the second has been refused
    # shellcheck disable=SC2016  # for that shell
    printf '#!/bin/sh\nif [ "$1" = train ]; then until [ -e "%s/go" ]; do sleep 0.05; done; fi\nexec "%s" "$@"\n' "$work" "$fxsim" >held
    chmod +x held
    FXSIM=$work/held start wage --out shared --seeds 1,2 -- "${long[@]}"
    while kill -0 "$background" 2>/dev/null && [ -z "$(ls shared/state/*.state 2>/dev/null)" ]; do sleep 0.01; done
    sweep wage --out shared --seeds 3 -- "${long[@]}"
    check "(the first is still there)" kill -0 "$background"
    refused 5 "a second sweep" shared 'another sweep'
    touch go
    finish
    good "the first one ends well"
    check "with its own runs" [ "$(statuses shared)" = '2 done' ]
}

test_cores() {
    local all share
    all=$(env -u OMP_NUM_THREADS nproc)
    share() { grep -o -- '--threads [0-9]*' "$1/jobs" | sort -u; }
    if has taskset && taskset -c 0 true 2>/dev/null; then
        printf 'exec taskset -c 0 bash "%s" "$@"\n' "$here/../scripts/sweep.sh" >one
        sweep_sh=one sweep wage --out lonely --seeds 1,2,3 -- "${short[@]}"; good "one core"
        check "has one run at a time, one thread" says '3 runs to do, 1 at a time with 1 threads each'
        check "in every command" [ "$(share lonely)" = '--threads 1' ]
    else
        skip "one core: no taskset here"
    fi
    OMP_NUM_THREADS=1 sweep wage --out single --seeds 1 -- "${short[@]}"; good "a single run"
    check "has all cores" [ "$(share single)" = "--threads $all" ]
    sweep wage --out single --seeds 1,2,3 --jobs 1 -- "${short[@]}"; good "--jobs 1"
    check "gives a run all cores" says "2 runs to do, 1 at a time with $all threads each"
    sweep wage --out mine --seeds 1,2 -- "${short[@]}" --threads "$all"; good "--threads of the user"
    check "stands" [ "$(share mine)" = "--threads $all" ]
    check "and makes fewer runs at a time" says '1 at a time'
}

test_full_disk() {
    local file
    sweep wage --out full --seeds 1 -- "${short[@]}"; good "a sweep before the disk is full"
    cp -r full kept-full
    mkdir disk
    if has unshare && unshare -rm bash -c 'mount -t tmpfs -o size=80k none disk' 2>/dev/null; then
        unshare -rm bash -c 'set -eu; mount -t tmpfs -o size=2m none disk; cp -r full disk/sweep
            head -c 4000000 /dev/zero >disk/fill || true
            code=0; bash "$@" >out 2>err </dev/null || code=$?; rm disk/fill
            diff -r full/s1 disk/sweep/s1 >>err && cmp full/sweep.csv disk/sweep/sweep.csv >>err || code=99
            again=0; bash "$@" >>out 2>>err </dev/null || again=$?; echo $code $again >codes' \
            bash "$sweep_sh" wage --out disk/sweep --seeds 1,2 -- "${short[@]:0:6}" --epochs 2 -s update.rate=8 2>/dev/null || true
        check "a full disk: exit code 1; nothing is lost; with space again it ends" [ "$(cat codes)" = '1 0' ]
        check "one line says so" [ "$(grep -c '^sweep: .*No space left' err)" = 1 ]
    else
        skip "a full disk: nothing can be mounted"
    fi
    code=0
    (ulimit -f 1; exec bash "$sweep_sh" wage --out full --seeds "$(seq -s , 40)" --jobs 2 -- "${short[@]}" >out 2>err </dev/null) || code=$?
    check "a limit of 1 KiB a file: exit code 1" [ $code = 1 ]
    check "one line" [ "$(wc -l <err) $(cut -c 1-7 err)" = '1 sweep: ' ]
    (ulimit -f 0; exec bash "$sweep_sh" --status full >/dev/null 2>&1) && code=0 || code=$?
    check "--status without any room: exit code 1" [ $code = 1 ]
    check "the run that was there is untouched" diff -r kept-full/s1 full/s1
    for file in sweep.csv sweep.txt jobs state/list; do check "$file too" cmp kept-full/$file full/$file; done
    code=0
    (ulimit -f 20; exec bash "$sweep_sh" wage --out limited --seeds 1,2 -- "${short[@]}" >out 2>err </dev/null) || code=$?
    check "runs that meet the limit fail: exit code 1" [ $code = 1 ]
    check "each with its line" [ "$(grep -c '^sweep: s[12]: failed with exit code 1: fxsim: .*File too large' err)" = 2 ]
    sweep wage --out limited --seeds 1,2 -- "${short[@]}"; good "without the limit they end"
    sweep wage --out full --seeds 1,2 -- "${short[@]}"; good "without the limit it ends"
    check "and the first run is as it was" diff -r kept-full/s1 full/s1
}

test_odd_ends() {
    local comparison=$here/../scripts/comparison.sh
    code=0
    timeout 600 bash "$sweep_sh" wage --out deaf --seeds 1,2 -- "${short[@]}" >out 2>&- </dev/null || code=$?
    good "standard error closed: the runs are trained"
    check "all of them" [ "$(statuses deaf)" = '2 done' ]
    rm deaf/s1/log.csv
    sweep wage --out deaf --seeds 1,2 -- "${short[@]}"
    check "a run whose log.csv is gone: exit code 1" [ $code = 1 ]
    check "and a line says what to do" says "log.csv is gone; remove $work/deaf/s1"
    sweep --status $'a\nb'; refused 2 "a name of two lines" 'a?b: no sweep'
    printf '#!/bin/sh\nkill -INT "$PPID"\nexec "%s" "$@"\n' "$fxsim" >early
    chmod +x early
    code=0
    FXSIM=./early env --default-signal=INT bash "$sweep_sh" wage --out early-out -- "${short[@]}" >out 2>err </dev/null || code=$?
    check "interrupted before any run: exit code 75" [ $code = 75 ]
    code=0
    bash "$here/../scripts/sweep_task.sh" deaf lost >out 2>err </dev/null || code=$?
    check "a run without its command fails" [ "$code $(cat out)" = '1 lost failed 1' ]

    compare() { code=0; timeout 600 bash "$comparison" "$@" --epochs 1 --net 8FC-8FC-10 --seeds 1 >out 2>err </dev/null || code=$?; }
    has gnuplot || { skip "comparisons: no gnuplot here"; return 0; }
    if "$fxsim" compare 2>&1 | grep -q GSL; then skip "comparisons: no GSL here"; return 0; fi
    for name in roundings gradient-bits fp8; do
        compare $name --out "-c $name"
        check "comparison.sh $name: runs, tables, figure" eval "[ $code = 0 ] || [ $code = 3 ]"
        for file in table.txt table.md $name.png $name.csv; do check "and $file" [ -s "./-c $name/$file" ]; done
    done
    cp ./-c\ fp8/table.txt kept-table
    code=0
    bash "$comparison" fp8 --out "-c fp8" --seeds 1 --net 8FC-8FC-10 --epochs 1 -- --dry-run >out 2>err </dev/null || code=$?
    check "--dry-run leaves the table" cmp kept-table ./-c\ fp8/table.txt
    code=0
    bash "$comparison" fp8 --out none-yet -- --dry-run >out 2>err </dev/null || code=$?
    good "--dry-run of a new one"
    check "writes nothing" [ ! -e none-yet ]
    code=0
    bash "$comparison" fp8 --out none-yet -- --out other >out 2>err </dev/null || code=$?
    check "--out behind --: exit code 2" [ $code = 2 ]
}

test_words
test_names
test_runs
test_odd_ends
test_extension
test_failures
test_verify
test_kills
test_signal_once
test_two_sweeps
test_cores
test_full_disk
[ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }
