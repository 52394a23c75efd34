#!/usr/bin/env bash
# test_watch.sh FXSIM: fxsim watch on planted runs, on a run while it trains, after it was killed and stopped, on a terminal.
#
# shellcheck disable=SC2154,SC2016  # what cli.sh sets; awk's own $
set -eu

# shellcheck source=tests/cli.sh
. "$(dirname "$0")/cli.sh"

endless=(fp32 --net 16FC-10 --epochs 100000 --quiet --threads 1) # until it is killed
shows() { grep -qE -- "$1" out; }
lines() { [ "$(wc -l <out)" = "$1" ]; }
plant() {  # plant DIR EPOCHS ROWS STATUS: trained for ROWS of EPOCHS epochs of 11 steps, 2 s each
    mkdir -p "$1"
    printf '[recipe]\nname = wage\n[run]\nepochs = %s\n' "$2" >"$1/recipe.ini"
    echo run_id,seed,epoch,step,train_error,test_error,status,time_s,images_per_s >"$1/log.csv"
    for i in $(seq 0 "$3"); do
        if [ "$i" = 0 ]; then error=''; else error=0.5; fi
        if [ "$i" = "$3" ]; then status=$4; else status=running; fi
        echo "r,1,$i,$((11 * i)),$error,0.$((90 - i)),$status,$((i > 0 ? 2 : 0)).00,$((700 + i))" >>"$1/log.csv"
    done
}

test_planted() {
    plant cut 10 3 running
    fx watch cut --once; good "a run that no process writes"
    check "is cut, at its epoch, error and speed, with the time left" shows '^cut  cut       epoch 3 of 10 +test error  87\.00 % +703 images/s  14 s left$'
    check "one line" lines 1
    plant 'one done' 10 10 'done'
    fx watch 'one done/'; good "a run that is done"
    check "has no time left" shows '^one done  done      epoch 10 of 10 +test error  80\.00 % +710 images/s$'
    printf 'max-steps = 44\n' >>cut/recipe.ini
    fx watch cut; good "--max-steps"
    check "ends the run earlier" shows '  2 s left$'
    sed -i '3,$d' cut/log.csv
    fx watch cut
    check "before an epoch is over the time is not known" shows 'epoch 0 of 10 .*  - left$'
    printf 'r,1,1,11' >>cut/log.csv
    fx watch cut; good "a half-written line"
    check "is left out" shows 'epoch 0 of 10'
    plant fork 10 0 running
    echo 'r,1,1,16,,0.80,running,0.01,0' >fork/row # a fork's row 0 may stand in the middle of an epoch
    { head -n 1 fork/log.csv; cat fork/row; echo 'r,1,2,22,0.5,0.70,running,1.00,100'; } >fork/new
    mv fork/new fork/log.csv
    fx watch fork
    check "a fork's pace is that of its own rows" shows '  15 s left$' # a second for 6 steps, 88 are left
    rm fork/recipe.ini
    fx watch fork; good "a run without recipe.ini"
    check "shows how far it is" shows 'epoch 2 .*70\.00 %.*  - left$'
}

test_sweep() {
    mkdir sweep
    plant sweep/a 10 10 'done'
    plant sweep/b 10 5 running
    plant sweep/c 10 4 dead
    plant sweep/d 10 2 stopped
    printf 'run,overrides\na,x=1\nb,x=2\nc,x=3\nd,x=4\ne,x=5\n' >sweep/sweep.csv
    fx watch sweep; good "a sweep"
    check "has a line a run and one for all" lines 6
    check "what has not begun waits" shows '^e  waiting   epoch - '
    check "what died has no time left" shows '^c  dead .* images/s$'
    # b 10 s, d 16 s, e as long as the mean of a, b and d: 20 s
    check "the summary counts and adds up" shows '^5 runs: 1 done, 0 running, 1 failed, 1 waiting, 2 to be resumed; about 46 s left$'
    printf 'run,overrides\na,x=1\n' >sweep/sweep.csv
    fx watch sweep
    check "a finished sweep has no time left" shows '^1 runs: 1 done, 0 running, 0 failed, 0 waiting$'
    echo 'run,overrides' >sweep/sweep.csv
    fx watch sweep; good "a sweep of nothing"
}

test_living() {
    "$fxsim" train "${endless[@]}" --out live --checkpoint-every 1000000e 2>/dev/null &
    background=$!
    wait_for_rows live/log.csv 4
    fx watch live --once; good "a run while it trains"
    check "is running" shows '^live  running   epoch [0-9]+ of 100000 +test error +[0-9.]+ % +[0-9]+ images/s  .* left$'
    kill -KILL $background
    wait $background 2>/dev/null || true
    background=
    fx watch live; good "once it is killed"
    check "it is cut" shows '^live  cut '
    "$fxsim" train "${endless[@]}" --out live2 --checkpoint-every 1000000e 2>/dev/null &
    background=$!
    wait_for_rows live2/log.csv 4
    kill -TERM $background
    wait $background 2>/dev/null || true
    background=
    fx watch live2; good "once it is stopped"
    check "it says so" shows '^live2  stopped '
    check "with the last error it had" not shows 'test error +- '
}

test_terminal() {
    if ! has script; then skip "redrawing: script (bsdutils) is not there"; return; fi
    plant tty 10 10 'done'
    code=0
    timeout 300 script -qec "stty rows 24 cols 200; '$fxsim' watch tty --every 0.1" /dev/null >out 2>err </dev/null || code=$?
    good "on a terminal"
    check "a run that has ended is shown once, and the command ends" [ "$(grep -c 'tty  done' out)" = 1 ]
    "$fxsim" train "${endless[@]}" --out live3 2>/dev/null &
    background=$!
    wait_for_rows live3/log.csv 3
    : >screen # read before the watcher has made it
    (timeout 300 script -qec "stty rows 24 cols 60; '$fxsim' watch live3 --every 0.1" /dev/null >screen 2>err </dev/null) &
    watcher=$!
    while kill -0 $watcher 2>/dev/null && [ "$(grep -c 'live3  running' screen)" -lt 3 ]; do sleep 0.02; done
    kill -TERM $background
    wait $background 2>/dev/null || true
    background=
    code=0
    wait $watcher || code=$?
    cp screen out
    check "a run that trains is watched until it ends" [ $code = 0 ]
    check "the last line says how" shows 'live3  stopped'
    check "each look goes over the last one" shows $'\033\\[1A'
    check "a line is cut to the screen" awk '/live3/ { gsub(/\033\[[0-9]*[A-Z]/, ""); gsub(/\r/, ""); if (length($0) > 59) exit 1 }' out
}

test_words() {
    fx watch; bad 2 "watch of nothing" directory
    fx watch nowhere; bad 2 "no such run" nowhere
    mkdir -p empty
    fx watch empty; bad 2 "a directory without a run" empty
    fx watch cut sweep; bad 2 "two runs" sweep
    fx watch cut --often; bad 2 "an unknown option" --often
    fx watch cut --every; bad 2 "--every without a number" --every
    fx watch cut --every 0; bad 2 "--every 0" '"0"'
    fx watch cut --every=never; bad 2 "--every never" never
    fx watch cut --every 1e99; bad 2 "--every beyond all ranges" 1e99
    fx watch --help; good "--help"
    echo a,b >cut/log.csv
    fx watch cut; bad 1 "a log of something else" cut/log.csv:1
}

test_planted
test_sweep
test_living
test_terminal
test_words
verdict
