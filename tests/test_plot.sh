#!/usr/bin/env bash
# test_plot.sh [DIR]: tests of DIR/scripts/plot.sh, by default of the source tree this file stands in: planted logs with known
# answers. Exit code 77 (skipped) if gnuplot is not there.
# shellcheck disable=SC1010  # "done" is a status here
set -eu

top=$(cd "${1:-$(dirname "$0")/..}" && pwd)
plot=$top/scripts/plot.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

has() { command -v "$1" >/dev/null 2>&1; }
check() {  # check SENTENCE COMMAND...: the command must succeed; shows the last run's output if it does not
    local sentence=$1
    shift
    if "$@" >"$work/why" 2>&1; then
        printf 'ok    %s\n' "$sentence"
    else
        printf 'FAIL  %s\n      %s\n' "$sentence" "$*"
        sed 's/^/      | /' "$work/out" "$work/why"
        failures=$((failures + 1))
    fi
}
plot() {  # plot ARGUMENT...: $code is its exit code, $work/out what it printed; takes 20 s at most
    code=0
    timeout 120 "$plot" "$@" >"$work/out" 2>&1 </dev/null || code=$?
}
exited() { [ "$code" = "$1" ]; }
says() { grep -qF -- "$1" "$work/out"; }
silent() { [ ! -s "$work/out" ]; }
not() { ! "$@"; }
holds() {  # holds FILE LINE...: exactly these lines, behind the header
    local file=$1
    shift
    diff <(printf '%s\n' "$@") <(tail -n +2 "$file")
}
refused() {  # refused CODE SENTENCE WORDS ARGUMENT...: exit code, one line that begins with plot: and holds WORDS
    local want=$1 sentence=$2 words=$3
    shift 3
    plot "$@"
    check "$sentence: exit code $want" exited "$want"
    check "$sentence: one line" [ "$(grep -c '' "$work/out")/$(grep -c '^plot: ' "$work/out")" = 1/1 ]
    check "$sentence: says $words" says "$words"
}

header=run_id,seed,epoch,step,val_error,test_error,status,recipe,net,data,overrides,results_version
plant() {  # plant DIR SEED STATUS OVERRIDES VALUE...: a log of epochs 0, 1, ... with these test errors, 10 steps an epoch
    local dir=$1 seed=$2 status=$3 overrides=$4 epoch=0 value now
    shift 4
    mkdir -p "$dir"
    printf '%s\n' "$header" >"$dir/log.csv"
    for value; do
        now=running
        if [ $((epoch + 1)) = $# ]; then now=$status; fi
        printf 'x,%s,%s,%s,,%s,%s,%s,lenet,mnist,%s,3\n' "$seed" $epoch $((10 * epoch)) "$value" "$now" "${recipe:-wage}" "$overrides" \
            >>"$dir/log.csv"
        epoch=$((epoch + 1))
    done
}
error_grid() {  # error_grid DIR GRID: its recipe.ini
    printf '[run]\nbatch = 64\n\n[error]\nq = %s@shift/nearest-even/saturate\nat = here\n' "$2" >"$1/recipe.ini"
}

test_means() {
    plant s/a1 1 done 'run.epochs=2;gradient.rounding=floor' 0.9 0.5 0.1
    plant s/a2 2 done 'gradient.rounding=floor;run.epochs=2' 0.8 0.5 0.2
    plant s/a3 3 done 'run.epochs=2;gradient.rounding=floor' 0.7 0.5 0.4
    plant s/b1 1 done run.epochs=2 0.9 0.25 0.125
    printf '[gradient]\nq = fixed8f7@shift-unit/stochastic:8:below/saturate\n' >s/b1/recipe.ini
    plot s/a* s/b1 -o m.svg
    check "curves succeeds" exited 0
    check "and says nothing" silent
    check "seeds of a setting are one line with mean, lowest, highest and number" holds m.csv \
        floor,,0,test_error_percent,80,70,90,3 floor,,1,test_error_percent,50,50,50,3 \
        floor,,2,test_error_percent,23.33333333,10,40,3 stochastic:8:below,s/b1,0,test_error_percent,90,,,1 \
        stochastic:8:below,s/b1,1,test_error_percent,25,,,1 stochastic:8:below,s/b1,2,test_error_percent,12.5,,,1
    check "the legend has the key that differs" grep -q '>gradient.rounding<' m.svg
    check "and the value at the end, and the number of runs" grep -qE 'floor \(3 runs, ends at 23.3 %\)' m.svg
    check "and a caption says what the band is" grep -q 'mean of 1 to 3 runs, band: lowest to highest run' m.svg
    plot curves s/a* --spread sd -o m.svg
    check "sd is that of a sample" grep -q '^.*,2,test_error_percent,23.33333333,8.058081017,38.60858565,3$' m.csv
    check "and the caption says it" grep -q 'one standard deviation' m.svg
    plot curves s/a* --spread se -o m.svg
    check "se is sd by the root of the number" grep -q '^.*,2,test_error_percent,23.33333333,14.5141623,32.15250437,3$' m.csv
    plot curves s/a* --spread none -o m.svg
    check "none has no band" grep -q '^.*,2,test_error_percent,23.33333333,,,3$' m.csv
    plot curves s/a* --spread runs -o m.svg
    check "runs has the runs beside the mean" [ "$(grep -c '^[^,]*,s/a[123],[012],test_error_percent,[0-9.]*,,,1$' m.csv)" = 9 ]
    check "and the mean" grep -q '^[^,]*,,2,test_error_percent,23.33333333,,,3$' m.csv
    plot s/a1 s/b1 -o m.svg
    check "where seeds are the same a line is a run" [ "$(cut -d , -f 1 m.csv | sort -u | tr '\n' ' ')" = 'a1 b1 setting ' ]
    cp -r s/a1 s/twin
    plot s/a1 s/twin -o m.svg
    check "also where the settings are the same too" [ "$(cut -d , -f 1 m.csv | sort -u | tr '\n' ' ')" = 'a1 setting twin ' ]
    plot s/a1 s/a1/ s/a2 s/a3 -o m.svg
    check "a run given twice counts once" grep -q ',2,test_error_percent,23.33333333,10,40,3$' m.csv
    cp -r s/a3 s/a3b
    plot s/a* --by overrides -o m.svg
    check "a seed that counts twice is told" says "seed 3 counts twice (s/a3 and s/a3b)"
    rm -r s/a3b
    recipe=niti plant s/c4 4 done 'run.epochs=2;gradient.rounding=floor' 0.9 0.5 0.3
    plot s/a* s/c4 -o m.svg
    check "another recipe with the same overrides is another line" grep -q '^niti,s/c4,2,test_error_percent,30,,,1$' m.csv
    plot s/a* s/b1 --by recipe -o m.svg
    check "--by a key that puts different settings together is told" says 'differ in more than the seed'
}

test_recipe_keys() {
    plant k/a 1 done error.grid=fixed8 0.9 0.1
    plant k/b 1 done error.grid=fixed6 0.9 0.2
    printf '[error]\ngrid = fixed8\nscale = shift\n\n[layer.first]\nerror.grid = fixed12\n' >k/a/recipe.ini
    error_grid k/b fixed6f5
    values() { tail -n +2 by.csv | cut -d , -f 1 | sort -u | tr '\n' ' '; }
    plot k/a k/b --by error.grid -o by.svg
    check "a key of recipe.ini, whole or a part of q" [ "$(values)" = 'fixed6f5 fixed8f7 ' ]
    plot k/b --by error.rounding -o by.svg
    check "the rounding of q" [ "$(values)" = 'nearest-even ' ]
    plot k/b --by error.overflow -o by.svg
    check "the overflow of q" [ "$(values)" = 'saturate ' ]
    plot k/b --by error.scale -o by.svg
    check "the scale of q" [ "$(values)" = 'shift ' ]
    plot k/a k/b --by layer.first.error.grid -o by.svg
    check "a layer's key, or what holds for all layers" [ "$(values)" = 'fixed12f11 fixed6f5 ' ]
    check "lines stand in the order of their numbers" [ "$(sed -n '2s/,.*//p' by.csv)" = fixed6f5 ]
    plot k/b --by seed -o by.svg
    check "a column of log.csv" [ "$(values)" = '1 ' ]
    refused 1 "a key that is nowhere" '"error.gird" is neither' k/b --by error.gird -o by.svg
    refused 1 "a layer's key where only another layer has its own" 'other layers have their own error.grid' k/a --by layer.last.error.grid -o by.svg
}

test_numbers() {
    local pair n=0 expected=()
    for pair in fixed3=3 inq:b4=4 log2:b5:fsr1=5 fixed6f5=6 e4m2fn=7 ufixed8=8 fixed9f2t=9 float:e5m5:bias9:fn=11 binary12p4sf=12 \
        bf16=16 tf32=19 fp32=32; do
        n=$((n + 1))
        plant "n/$n" 1 done "error.grid=${pair%=*}" 0.9 "0.$((10 + n))"
        error_grid "n/$n" "${pair%=*}"
        expected+=("${pair#*=},$((10 + n))")
    done
    plot against error.grid n/12 n/1 n/? n/1? -o n.svg
    check "against succeeds" exited 0
    check "bits of grids, in their order" diff <(printf '%s\n' "${expected[@]}") <(tail -n +2 n.csv | cut -d , -f 4,6)
    check "the axis has the key's name, and what its numbers are" grep -q '>error.grid, bits<' n.svg
    plant v/1 1 done update.rate=1/8 0.9 0.1
    plant v/2 1 done update.rate=2 0.9 0.1
    printf '[update]\nrate = 1/8\n[gradient]\nrounding = stochastic:8:below\n' >v/1/recipe.ini
    printf '[update]\nrate = 2\n[gradient]\nrounding = stochastic:4:below\n' >v/2/recipe.ini
    plot against update.rate v/1 v/2 -o n.svg
    check "a fraction, a number" [ "$(tail -n +2 n.csv | cut -d , -f 4 | tr '\n' ' ')" = '0.125 2 ' ]
    plot against gradient.rounding v/1 v/2 -o n.svg
    check "a rounding's bits" [ "$(tail -n +2 n.csv | cut -d , -f 4 | sort | tr '\n' ' ')" = '4 8 ' ]
    plant v/3 1 done update.rate=2 0.9 0.1
    printf '[gradient]\nrounding = stochastic:8:a\n' >v/3/recipe.ini
    plot against gradient.rounding v/1 v/3 -o n.svg
    check "two values of one number are categories" says '"stochastic:8:below" and "stochastic:8:a" are both 8'
    check "in the order given" [ "$(tail -n +2 n.csv | cut -d , -f 3,4 | sort | tr '\n' ' ')" = 'stochastic:8:a,2 stochastic:8:below,1 ' ]
    printf '[gradient]\nrounding = floor\n' >v/3/recipe.ini
    plot against gradient.rounding v/3 v/1 -o n.svg
    check "so are values without a number" [ "$(tail -n +2 n.csv | cut -d , -f 3,4 | sort | tr '\n' ' ')" = 'floor,1 stochastic:8:below,2 ' ]
}

test_against() {
    local seed
    for seed in 1 2 3; do
        plant f/a$seed $seed done 'error.grid=fixed8;update.rate=1' 0.9 0.$seed
        error_grid f/a$seed fixed8f7
        plant f/b$seed $seed done 'error.grid=fixed4;update.rate=1' 0.9 0.$((seed + 3))
        error_grid f/b$seed fixed4f3
        plant f/c$seed $seed done 'error.grid=fixed4;update.rate=2' 0.9 0.7
        error_grid f/c$seed fixed4f3
    done
    plant f/c3 3 dead 'error.grid=fixed4;update.rate=2' 0.9 0.5
    plant f/c4 4 running 'error.grid=fixed4;update.rate=2' 0.9 0.1
    error_grid f/c4 fixed4f3
    plot against error.grid f/* -o f.svg
    means() { grep -v ',[01]$' f.csv | tail -n +2; }
    check "a point has mean and spread of its runs; a line is what else differs; a dead run is not in it" diff <(printf '%s\n' \
        1,,fixed4f3,4,test_error_percent,50,40,60,3 1,,fixed8f7,8,test_error_percent,20,10,30,3 \
        2,,fixed4f3,4,test_error_percent,70,70,70,2) <(means)
    check "single runs are there" grep -q '^1,f/b2,fixed4f3,4,test_error_percent,50,,,1$' f.csv
    check "but by itself" grep -q '^2,f/c3,fixed4f3,4,test_error_percent,50,,,0$' f.csv
    check "the dead run is named" says 'f/c3: dead at epoch 1'
    check "and marked" grep -q 'cross: a run that died, not in the mean' f.svg
    check "a run that is not over is left out" says 'f/c4: running, not over; left out'
    plot against error.grid f/a* f/b* f/c* --by recipe --spread sd -o f.svg
    check "settings put together by --by are told" says 'differ in more than the seed'
    check "with sd" grep -q '^wage,,fixed8f7,8,test_error_percent,20,10,30,3$' f.csv
    plant f/d1 1 diverged error.grid=fixed2 0.9 0.1 ''
    error_grid f/d1 fixed2f1
    plot against error.grid f/a1 f/d1 -o f.svg
    check "a run that died without a value is left out" says 'f/d1: no test_error when it died; left out'
    check "of the numbers too" not grep -q 'f/d1' f.csv
    refused 1 "no run that is over" 'f/c4: running, not over' against error.grid f/c4 -o f.svg
}

test_short_runs() {
    plant e/1 1 done x=1 0.9 0.5 0.4 0.3
    plant e/2 2 dead x=1 0.9 0.7
    plant e/3 3 done x=1 0.9 0.6 '' 0.2
    plot e/1 e/2 e/3 -o e.svg
    check "the mean goes as far as all runs go" [ "$(tail -n 1 e.csv)" = 'x=1,,1,test_error_percent,60,50,70,3' ]
    check "the run that died is named" says 'e/2: dead at epoch 1'
    check "and that the mean ends is said" says 'the mean ends at epoch 1'
    check "and marked" grep -q 'cross: a run that died there' e.svg
    plot e/1 e/3 -o e.svg
    check "an epoch with an empty cell has no mean" [ "$(cut -d , -f 3,5 e.csv | tail -n +2 | tr '\n' ' ')" = '0,90 1,55 3,25 ' ]
    plant e/4 4 done y=1 0.9 0.5 0.4
    sed -i 's/,2,20,/,1,15,/' e/4/log.csv
    plot e/4 -o e.svg
    check "a row inside an epoch stands by its step" [ "$(cut -d , -f 3,5 e.csv | tail -n +2 | tr '\n' ' ')" = '0,90 1,50 1.5,40 ' ]
    plant e/6 6 diverged y=1 0.9 0.8
    sed -i 's/,1,10,/,0,4,/' e/6/log.csv
    plot e/4 e/6 --by run_id --spread runs -o e.svg
    check "also where it never came to the end of one" grep -q ',e/6,0.4,test_error_percent,80,' e.csv
    plot e/6 -o e.svg
    check "where no run did, rows stand by their step" [ "$(cut -d , -f 3,5 e.csv | tr '\n' ' ')" = 'step,mean 0,90 4,80 ' ]
    check "and the axis says so" grep -q '>step<' e.svg
    printf 'x,4,2,20,,0.3' >>e/4/log.csv
    plot e/4 -o e.svg
    check "a line that is cut off is left out, and told" says 'line 5 of its log is cut off'
    plant e/5 5 done y=1 0.9 nan 0.4
    plot e/5 -o e.svg
    check "nan is no value" [ "$(cut -d , -f 3,5 e.csv | tail -n +2 | tr '\n' ' ')" = '0,90 2,40 ' ]
    sed 's/,0.4,/,rubbish,/' e/5/log.csv >e/5/other.csv
    refused 1 "rubbish in a cell" 'line 4 of its log: test_error "rubbish" is no number' e/5/other.csv -o e.svg
    refused 1 "a column without values" 'nothing in column val_error' e/1 --metric val_error -o no.svg
}

test_names() {
    local odd="it's 100%, \"new\" a=1"
    plant "$odd" 1 done x=1 0.9 0.1
    plant a=2 1 done x=1 0.9 0.2
    plot "$odd" a=2 -o "my figure.svg"
    check "odd names succeed" exited 0
    check "and stand in the CSV" holds "my figure.csv" '"it'\''s 100%, ""new"" a=1","it'\''s 100%, ""new"" a=1",0,test_error_percent,90,,,1' \
        '"it'\''s 100%, ""new"" a=1","it'\''s 100%, ""new"" a=1",1,test_error_percent,10,,,1' \
        a=2,a=2,0,test_error_percent,90,,,1 a=2,a=2,1,test_error_percent,20,,,1
    check "and in the legend" grep -q "it's 100%, \"new\" a=1 (ends at 10 %)" "my figure.svg"
    sed 's/x=1/gradient.rounding=a%20b%3Bc/; s/$/\r/' a=2/log.csv >a=2/dos.csv
    plot a=2/dos.csv --by overrides -o n.svg
    check "a DOS log, and cells with blanks" grep -q '^gradient.rounding=a b;c,a=2/dos.csv,1,test_error_percent,20,,,1$' n.csv
    plot a=2/dos.csv --by results_version -o n.svg
    check "and its last column" grep -q '^3,a=2/dos.csv,1,' n.csv
}

test_sweep() {
    plant "my sweep/r=1_s1" 1 done r=1 0.9 0.1
    plant "my sweep/r=1_s2" 2 done r=1 0.9 0.3
    printf 'run,overrides,seed,status,exit_code,attempts,host\nr=1_s1,r=1,1,done,0,1,h\nr=1_s2,r=1,2,done,0,1,h\n' >"my sweep/sweep.csv"
    printf 'r=1_s3,r=1,3,,,0,\n' >>"my sweep/sweep.csv"
    plot "my sweep/" -o sweep.svg
    check "a sweep stands for its runs" grep -q '^r=1,,1,test_error_percent,20,10,30,2$' sweep.csv
    check "those without a log are counted" says 'my sweep: runs without a log yet: 1'
    refused 2 "stats of a sweep" 'one run' stats "my sweep" -o x.svg
}

stats_header=run_id,epoch,step,layer,index,kind,site,group,format,rounding,exponent,exponent_moves,n,saturated,acc_bits
test_stats() {
    local site step
    mkdir -p t
    {
        printf '%s\n' $stats_header
        for step in 10 20; do
            printf 'x,%s,%s,conv1,1,conv,gradient,tensor,f,r,%s,0,200,5,\n' $((step / 10)) $step $((step / 10 - 3))
            printf 'x,%s,%s,fc2,2,fc,gradient,tensor,f,r,4,0,0,0,\n' $((step / 10)) $step
            printf 'x,%s,%s,fc2,2,fc,accumulator.error,tensor,exact,,,,,,1%s\n' $((step / 10)) $step $((step / 10))
        done
    } >t/stats.csv
    plot stats t -o t.svg
    check "stats succeeds" exited 0
    check "an exponent by site and layer" holds t.csv t,gradient,conv1,1,-2 t,gradient,fc2,1,4 t,gradient,conv1,2,-1 t,gradient,fc2,2,4
    check "a line is a layer, a panel a site" [ "$(grep -cE '>(conv1|fc2|gradient|epoch)<' t.svg)" = 4 ]
    plot stats t --column saturated -o t.svg
    check "a count is shown in % of n; none without n" holds t.csv t,gradient,conv1,1,2.5 t,gradient,conv1,2,2.5
    check "and the axis says so" grep -q 'saturated (% of values)' t.svg
    plot stats t/ --column acc_bits --site accumulator.error -o t.svg
    check "bits of an accumulator" holds t.csv t,accumulator.error,fc2,1,11 t,accumulator.error,fc2,2,12
    sed 's/,2,20,/,1,20,/' t/stats.csv >t/new && mv t/new t/stats.csv
    plot stats t --column acc_bits -o t.svg
    check "rows inside epochs stand by their step" holds t.csv t,accumulator.error,fc2,10,11 t,accumulator.error,fc2,20,12
    printf 'x,2,20,fc2' >>t/stats.csv
    plot stats t --column acc_bits -o t.svg
    check "a line that is cut off is left out of stats, and told" says 'line 8 of its stats.csv is cut off'
    sed -i '$d' t/stats.csv
    refused 1 "an unknown column" 'no column "loss" in its stats.csv; there are: run_id,epoch' stats t --column loss -o no.svg
    refused 1 "an unknown site" 'no site "weight"' stats t --site weight -o no.svg
    refused 1 "a column that is empty there" 'there is something in: exponent' stats t --site gradient --column acc_bits -o no.svg
    refused 1 "no stats.csv" 's/a1/stats.csv: no such log' stats s/a1 -o no.svg
    refused 2 "two runs" 'one run, not 2' stats t t -o no.svg
    {
        printf '%s\n' $stats_header
        for step in 1 2; do for site in a b c d e f g; do
            printf 'x,%s,1,fc1,1,fc,%s,tensor,f,r,%s,0,9,0,\n' $step $site 1
        done; done
        printf 'x,3,1,fc1,1,fc,g,tensor,f,r,7,0,9,0,\n'
    } >t/stats.csv
    plot stats t -o t.svg
    check "six panels, those that move first" says 'not drawn (--site NAME draws one): f'
}

png_number() { od -An -tu1 -j "$2" -N 4 "$1" | { read -r a b c d; echo $((((a * 256 + b) * 256 + c) * 256 + d)); }; }
near() { [ $(($1 - $2)) -ge -1 ] && [ $(($1 - $2)) -le 1 ]; }
test_files() {
    local width kind
    for width in 85 170; do
        for kind in 'curves' 'against seed'; do
            # shellcheck disable=SC2086  # words on purpose
            plot $kind s/a* -o size.png --width-mm $width
            check "a PNG of $kind is $width mm wide at 300 dots an inch" near "$(png_number size.png 16)" $((width * 3000 / 254))
            check "and says so" [ "$(png_number size.png 41) $(png_number size.png 45)" = '11811 11811' ]
        done
        if has pdfinfo; then
            plot s/a* -o size.pdf --width-mm $width
            check "a PDF is $width mm wide" near "$(pdfinfo size.pdf | awk '/^Page size/ { printf "%d", $3 / 72 * 254 + 0.5 }')" ${width}0
        fi
        plot s/a* -o size.svg --width-mm $width
        check "an SVG is $width mm wide" grep -q "^ width=\"${width}mm\" height=\"[0-9.]*mm\"$" size.svg
    done
    plot s/a* -o size.pdf --width-mm 85
    check "a PDF" [ "$(head -c 4 size.pdf)" = %PDF ]
    plot s/a* -o size.png
    # gzip's trailer holds the same CRC, least byte first
    check "the PNG's chunk of the resolution has its checksum" [ "$(head -c 54 size.png | tail -c 4 | od -An -tx1)" = \
        "$(head -c 50 size.png | tail -c 13 | gzip | tail -c 8 | head -c 4 | od -An -tx1 | awk '{ print " " $4 " " $3 " " $2 " " $1 }')" ]
    cp s/a1/log.csv before
    refused 1 "a picture beside a log of its name" 's/a1/log.csv is there and no table of a figure' s/a1 -o s/a1/log.png
    check "leaves the log" cmp before s/a1/log.csv
    check "and no picture" [ ! -e s/a1/log.png ]
    cp size.png before
    refused 1 "a failure" 'no such log' s/none -o size.png
    check "leaves the earlier picture" cmp before size.png
    mkdir -p broken
    printf '#!/bin/sh\nsed -n "s/^set output .\\(.*\\).$/\\1/p" "$1" | while read -r f; do echo half >"$f"; done\nexit 1\n' >broken/gnuplot
    chmod +x broken/gnuplot
    PATH=$work/broken:$PATH refused 1 "a gnuplot that fails half-way" 'gnuplot failed' s/a1 -o size.png
    check "leaves it too" cmp before size.png
}

test_rubbish() {
    refused 2 "no arguments" 'no run given'
    refused 2 "no output" 'no output' s/a1
    refused 2 "no runs" 'no run given' -o x.png
    refused 2 "no key" 'against needs a KEY' against -o x.png
    refused 2 "no runs after the key" 'no run given' against error.grid -o x.png
    refused 2 "an unknown option" 'no option "--frob"' s/a1 --frob -o x.png
    refused 2 "an option without its value" '--by needs a value' s/a1 -o x.png --by
    refused 2 "an option of another kind" '--site is no option of curves' s/a1 -o x.png --site gradient
    refused 2 "an unknown spread" 'minmax, sd, se, none, runs' s/a1 -o x.png --spread iqr
    refused 2 "a width that is no number" 'a whole number' s/a1 -o x.png --width-mm 8.5
    refused 2 "a width out of range" '40 to 1000' s/a1 -o x.png --width-mm 12
    refused 2 "another kind of file" 'must end in .png' s/a1 -o x.gif
    refused 1 "no directory for the picture" 'there is no directory' s/a1 -o nowhere/x.png
    refused 1 "an unknown metric" 'no column "loss" in its log; there are: run_id,seed' s/a1 --metric loss -o x.png
    refused 1 "a directory that is no run" 'no such log' . -o x.png
    check "nothing was drawn" [ ! -e x.png ]
    mkdir -p folder.png folder.csv
    refused 1 "a directory for a picture" 'folder.png is there and no file' s/a1 -o folder.png
    refused 1 "a directory for the numbers" 'folder.csv is there and no file' s/a1 -o folder.svg
    check "nothing is in them" [ -z "$(ls -A folder.png)$(ls -A folder.csv)" ]
    plot s/a1 -o -dash.png
    check "a name that begins with a dash" [ "$code $(ls -- -dash.*| tr '\n' ' ')" = '0 -dash.csv -dash.png ' ]
    mkdir -p rubbish recipe-folder/recipe.ini
    printf 'a\033b\001\nc\n' >rubbish/log.csv
    refused 1 "a log of rubbish" 'a?b?' rubbish -o x.png
    cp s/a1/log.csv recipe-folder
    refused 1 "a directory for recipe.ini" 'no file that can be read' recipe-folder --by error.grid -o x.png
    refused 2 "a width of two lines" '8?5' s/a1 -o x.png --width-mm $'8\n5'
    code=0
    bash -c 'exec "$0" s/a1 -o deaf.png >&- 2>&-' "$plot" || code=$?
    check "both outputs closed: the picture is drawn" eval '[ $code = 0 ] && [ -s deaf.png ]'
}

test_places() {
    local other tool
    plot against error.grid f/* -o one.svg
    if has localedef && mkdir locale && localedef -i de_DE -f UTF-8 locale/de_DE.UTF-8 2>/dev/null; then
        export LOCPATH=$work/locale
        check "a locale with decimal commas is there" [ "$(LC_ALL=de_DE.UTF-8 bash -c "printf %.1f 1,5")" = 1,5 ]
        code=0
        env LC_ALL=de_DE.UTF-8 "$plot" against error.grid f/* -o two.svg >"$work/out" 2>&1 || code=$?
        unset LOCPATH
        check "under it plot.sh succeeds" exited 0
        check "and the numbers are the same" cmp one.csv two.csv
        check "and the picture" cmp one.svg two.svg
    else
        printf 'skip  no locale with decimal commas can be made\n'
    fi
    for other in gawk mawk 'busybox awk' original-awk; do
        if ! has "${other%% *}"; then continue; fi
        rm -f two.*
        tool=$work/bin-${other%% *}
        mkdir -p "$tool"
        printf '#!/bin/sh\nexec %s "$@"\n' "$other" >"$tool/awk"
        chmod +x "$tool/awk"
        PATH=$tool:$PATH plot against error.grid f/* -o two.svg
        check "$other draws the same" cmp one.svg two.svg
        check "and writes the same numbers" cmp one.csv two.csv
    done
}

if ! has gnuplot; then
    printf 'skip  gnuplot is not there\n'
    exit 77
fi
cd "$work"
test_means
test_recipe_keys
test_numbers
test_against
test_short_runs
test_names
test_sweep
test_stats
test_files
test_rubbish
test_places

if [ $failures -gt 0 ]; then
    printf '%d checks failed\n' $failures
    exit 1
fi
