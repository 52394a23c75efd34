#!/usr/bin/env bash
# test_compare.sh FXSIM: fxsim compare on planted runs with known answers, and on runs that failed, lack files or repeat others.
#
# shellcheck disable=SC2154  # what cli.sh sets
set -eu

# shellcheck source=tests/cli.sh
. "$(dirname "$0")/cli.sh"

header=run_id,seed,epoch,step,train_error,val_error,test_loss,test_error,weights_crc32,status,recipe,net,data,overrides,results_version,time_s,images_per_s
row() {  # row DIR SEED EPOCH TRAIN_ERROR VAL_ERROR TEST_ERROR STATUS [RESULTS_VERSION]
    printf 'r,%s,%s,%s,%s,%s,0.5,%s,%s,%s,wage,16FC-10,digits,x=%s,%s,1.5,100\n' "$2" "$3" "$((11 * $3))" "$4" "$5" "$6" \
        "$(printf '%s' "$*" | cksum | awk '{ printf "%08x", $1 }')" "$7" "${1%%-s*}" "${8:-3}" >>"$1/log.csv"
}
recipe() {  # recipe DIR SEED ROUNDING [LINE...]
    { printf '[recipe]\nname = wage\n[run]\nseed = %s\nepochs = 2\n[gradient]\nrounding = %s\n' "$2" "$3"; shift 3; printf '%s\n' "$@"; } >"$DIR/recipe.ini"
}
plant() {  # plant DIR SEED ROUNDING TEST_ERROR [STATUS]: a run of two epochs
    DIR=$1
    mkdir -p "$1"
    echo "$header" >"$1/log.csv"
    row "$1" "$2" 0 '' '' 0.9 running
    row "$1" "$2" 1 0.5 0.3 0.4 running
    row "$1" "$2" 2 0.2 0.2 "$4" "${5:-done}"
    recipe "$1" "$2" "$3"
}
compare() { fx compare "$@"; }
field() { cell out "$1" "$2"; }  # field ROW COLUMN of the CSV
is() {  # is ROW COLUMN NUMBER: to 1e-9 of it
    awk -v x="$(field "$1" "$2")" -v y="$3" 'BEGIN { d = x - y; if (d < 0) d = -d; a = y < 0 ? -y : y; exit !(x != "" && d <= 1e-9 * (a > 1e-6 ? a : 1e-6)) }'
}
silent() { [ ! -s err ]; }

plant_three() {  # settings floor (a), nearest-even (b) and toward-zero (c), seeds 1 to 3
    plant a-s1 1 floor 0.10; plant a-s2 2 floor 0.12; plant a-s3 3 floor 0.14
    plant b-s1 1 nearest-even 0.13; plant b-s2 2 nearest-even 0.13; plant b-s3 3 nearest-even 0.19
    plant 'c s1' 1 toward-zero 0.09; plant 'c s2' 2 toward-zero 0.108; plant 'c s3' 3 toward-zero 0.133
}

# SciPy 1.10, d = b - a in %: np.mean(d), np.std(d, ddof=1), stats.t.ppf(.975, 2) * sd / 3 ** .5, stats.ttest_1samp(d, 0).pvalue,
# (stats.t.ppf(.975, 2) + stats.t.ppf(.8, 2)) * sd / 3 ** .5. Of 8 patterns of signs the two of all signs alike are as extreme.
test_numbers() {
    compare a-s* b-s* c\ s* --by gradient.rounding --format csv; good "three settings"
    check "without a warning" silent
    check "in the order given" [ "$(field 0 setting) $(field 1 setting) $(field 2 setting)" = "floor nearest-even toward-zero" ]
    check "no fourth row" [ "$(rows out)" = 3 ]
    check "n" [ "$(field 0 n)$(field 1 n)$(field 2 n)" = 333 ]
    check "the metric is named" [ "$(field 0 metric)" = test_error@final ]
    check "mean" is 0 mean_percent 12
    check "deviation over n - 1" is 0 sd_percent 2
    check "minimum" is 1 min_percent 13
    check "maximum" is 1 max_percent 19
    check "time of a run" is 0 time_s 4.5
    check "the reference is not compared" [ "$(field 0 pairs),$(field 0 difference_percent),$(field 0 p_t)$(field 0 reference)" = 0,, ]
    check "pairs" [ "$(field 1 pairs),$(field 1 reference)" = 3,floor ]
    check "difference" is 1 difference_percent 3
    check "lower end of the interval" is 1 low_percent -1.9682754236875035
    check "upper end" is 1 high_percent 7.968275423687503
    check "p of the t test" is 1 p_t 0.12168993434632001
    check "p of the other" is 2 p_t 0.021854276835416887
    check "Holm: the smaller times two" is 2 p_t_holm 0.043708553670833775
    check "the larger as it is" is 1 p_t_holm 0.12168993434632001
    check "p of all signs" is 1 p_permutation 0.25
    check "and Holm's" is 2 p_permutation_holm 0.5
    check "exact" [ "$(field 1 permutation)" = exact ]
    check "the smallest difference seen" is 1 least_difference_percent 6.193020295079093
    check "seeds needed" [ "$(field 1 seeds_needed),$(field 2 seeds_needed)" = 6,3 ]
    check "states" [ "$(field 1 'done')$(field 1 stopped)$(field 1 running)$(field 1 cut)$(field 1 diverged)$(field 1 dead)$(field 1 stalled)$(field 1 missing)$(field 1 at_chance)" = 300000000 ]
    compare a-s* b-s* --by gradient.rounding --format csv --reference nearest-even; good "--reference"
    check "turns the sign" is 0 difference_percent -3
    compare a-s* b-s* --by gradient.rounding --format csv --metric test_loss@final; good "a metric that is no error"
    check "is not in %" is 0 mean 0.5
    check "equal values: no t test" [ "$(field 1 p_t),$(field 1 low),$(field 1 least_difference),$(field 1 seeds_needed)" = ,,, ]
    check "but a difference" is 1 difference 0
    check "and p 1 by signs" is 1 p_permutation 1
    compare a-s1 a-s2 b-s2 b-s3 --by gradient.rounding --format csv; good "seeds that the other lacks"
    check "make no pair" [ "$(field 1 n),$(field 1 pairs)" = 2,1 ]
    check "one pair: a difference" is 1 difference_percent 1
    check "and no test" [ "$(field 1 p_t),$(field 1 p_permutation),$(field 1 low_percent),$(field 1 permutation)" = ,,, ]
    compare a-s1 --by recipe --format csv; good "a single run"
    check "has no deviation" [ "$(field 0 n),$(field 0 sd_percent)" = 1, ]
    check "no nan in any cell" not grep -qiE 'nan|inf' out
}

test_formats() {
    compare a-s* b-s* --by gradient.rounding; good "text"
    check "columns" grep -qE '^floor +3 +12\.00 +2\.00 +10\.00 +14\.00 +4\.50 +3 done$' out
    check "differences" grep -qE '^nearest-even +3 +3\.00 +-1\.97 +7\.97 +0\.12 +0\.12 +0\.25 +0\.25 ' out
    compare a-s1 b-s1 --by gradient.rounding; good "text of one run each"
    check "what does not exist is -" grep -qE '^floor +1 +10\.00 +- +10\.00 ' out
    check "in the second table too" grep -qE '^nearest-even +1 +3\.00( +-){8}$' out
    compare a-s* b-s* --by gradient.rounding,batch --format markdown; good "markdown"
    check "rows" grep -qF '| gradient.rounding=floor;batch=128 | 3 | 12.00 | 2.00 |' out
    check "a rule below the head" grep -qxF '|---|---:|---:|---:|---:|---:|---:|---|' out
    compare a-s* b-s* --by overrides,data --format latex; good "latex"
    check "rows" grep -qF 'overrides=x=a;data=digits & 3 & 12.00 & 2.00 &' out
    check "% is escaped" grep -qF 'mean \%' out
    for f in a-s1 a-s2; do sed -i 's/,digits,/,my_data%25%2C1,/' $f/log.csv; done
    compare a-s1 a-s2 --by data --format latex; good "latex of an odd name"
    check "escapes it" grep -qF 'my\_data\%,1 & 2' out
    compare a-s1 a-s2 --by data --format csv
    check "csv keeps it a cell" [ "$(field 0 setting)" = my_data%25%2C1 ]
    plant_three
}

test_keys() {
    compare a-s* b-s* --by batch --format csv; bad 2 "equal setting and seed" a-s1 b-s1 'seed 1'
    compare a-s* --by recipe,net,data --format csv; good "columns of log.csv"
    check "key=value of several" [ "$(field 0 setting)" = 'recipe=wage;net=16FC-10;data=digits' ]
    compare a-s1 --by layer.fc1.weight.grid --format csv; good "a layer's key"
    check "is that of all where the layer has none" [ "$(field 0 setting)" = none ]
    DIR=a-s1
    recipe a-s1 1 floor '[layer.fc]' 'weight.grid = fixed5' '[layer.last]' 'weight.grid = fixed7'
    compare a-s1 --by layer.fc1.weight.grid,layer.fc2.weight.grid,layer.first.weight.grid --format csv
    check "its kind's, or the last layer's" [ "$(field 0 setting)" = 'layer.fc1.weight.grid=fixed5;layer.fc2.weight.grid=fixed7;layer.first.weight.grid=fixed5' ]
    compare a-s1 --by layer.conv1.weight.grid; bad 2 "a layer that is not there" conv1 a-s1
    compare a-s1 --by gradient.q --format csv; good "a whole quantiser"
    check "of a site without a grid" [ "$(field 0 setting)" = none ]
    plant_three
}

test_best_val() {
    plant v-s1 1 floor 0.10
    row v-s1 1 3 0.1 0.2 0.3 running
    row v-s1 1 4 0.1 0.25 0.05 'done'
    compare v-s1 --by recipe --metric test_error@best-val --format csv; good "@best-val"
    check "takes the first of the least" is 0 mean_percent 10
    compare v-s1 --by recipe --format csv
    check "@final the last" is 0 mean_percent 5
    sed -i -E 's/^(r,([^,]*,){4})[^,]*/\1/' v-s1/log.csv
    compare v-s1 --by recipe --metric test_error@best-val; bad 2 "@best-val without validation" v-s1 val_error --validation
    rm -r v-s1
}

test_broken_runs() {
    plant d-s1 1 floor 0.10; plant d-s2 2 floor 0.9 dead; plant d-s3 3 floor 0.8 diverged; plant d-s4 4 floor 0.7 stalled
    plant d-s5 5 floor '' stopped; plant d-s6 6 floor 0.5 running
    mkdir d-s7 d-s8 d-s9
    for s in 7 8 9; do DIR=d-s$s; recipe d-s$s $s floor; done
    : >d-s8/log.csv
    printf 'run_id,se' >d-s9/log.csv
    compare d-s* --by gradient.rounding --format csv; good "runs that failed or have no log"
    check "one is in the mean" is 0 mean_percent 10
    check "all are counted" [ "$(field 0 n) $(field 0 'done')$(field 0 dead)$(field 0 diverged)$(field 0 stalled)$(field 0 stopped)$(field 0 cut)$(field 0 missing)" = "1 1111113" ]
    for s in "s2.*dead" "s3.*diverged" "s4.*stalled" "s5.*stopped" "s6.*cut" "s7.*no log" "s8.*no row" "s9.*half-written"; do
        check "a warning says d-$s" warns "d-$s"
    done
    check "dead ones are no sample in text either" not grep -q 90 out
    compare d-s* --by gradient.rounding --format csv --include-failed; good "--include-failed"
    check "takes all that have a value" [ "$(field 0 n)" = 5 ]
    check "into the mean" is 0 mean_percent 60
    check "and names the one that has none" warns 'd-s5.*empty'
    plant e-s1 1 floor 0.88
    sed -i '$d' e-s1/log.csv
    row e-s1 1 2 0.81001 '' 0.88 'done'
    plant e-s2 2 floor 0.88
    sed -i '$d' e-s2/log.csv
    row e-s2 2 2 0.80999 '' 0.88 'done'
    compare e-s1 e-s2 --by recipe --format csv; good "runs at chance"
    check "are counted above 0.9 (1 - 1/10)" [ "$(field 0 at_chance),$(field 0 n)" = 1,2 ]
    check "and named" warns 'e-s1: at chance'
    plant f-s1 1 floor 0.10
    printf 'r,1,3,33,0.1,' >>f-s1/log.csv
    compare f-s1 --by recipe --format csv; good "a half-written last line"
    check "is left out" is 0 mean_percent 10
    check "and told" warns 'f-s1.*half-written'
    printf 'r,1\n%s\n' "$(tail -n 2 a-s1/log.csv | head -n 1)" >>f-s1/log.csv
    compare f-s1 --by recipe; bad 1 "a short row in the middle" f-s1/log.csv:5
    echo a,b,c >f-s1/log.csv
    compare f-s1 --by recipe; bad 1 "a file that is no log" f-s1/log.csv:1
    plant f-s1 1 floor 0.10 sleeping
    compare f-s1 --by recipe; bad 1 "an unknown status" f-s1 sleeping
    rm -r d-s* e-s* f-s1
}

test_twins_and_mixtures() {
    cp -r a-s1 twin
    compare a-s* twin --by gradient.rounding --format csv; good "a run twice"
    check "is counted once" [ "$(field 0 n),$(field 0 'done')" = 3,3 ]
    check "and named" warns 'a-s1 and twin'
    compare a-s1/ a-s1 --by recipe --format csv; good "the same directory twice"
    check "is counted once, too" [ "$(field 0 n)" = 1 ]
    plant twin 1 floor 0.5
    compare a-s* twin --by gradient.rounding; bad 2 "another run of the same seed" a-s1 twin
    rm -r twin
    DIR=a-s2
    recipe a-s2 2 floor '[update]' 'rate = 3' '[layer.fc1]' 'error.grid = fixed9'
    compare a-s* b-s* --by gradient.rounding; good "a setting that mixes recipes"
    check "is named with the keys" warns 'setting floor mixes.*update.rate.*layer.fc1.error.grid'
    check "and the seed is none of them" not warns 'run.seed'
    plant_three
    for s in 1 2 3; do DIR=b-s$s; recipe b-s$s $s nearest-even '[momentum]' 'rounding = floor'; done
    compare a-s* b-s* --by gradient.rounding; good "settings that differ in another key"
    check "which is named" warns 'the settings differ in other keys.*: momentum.rounding$'
    compare a-s* b-s* --by gradient.rounding,momentum.rounding; good "or is in --by"
    check "and then no warning" silent
    plant_three
    sed -i '$d' a-s2/log.csv
    row a-s2 2 2 0.2 0.2 0.12 'done' 2
    compare a-s* --by recipe; good "another results_version"
    check "is told" warns 'results_version: 3 in a-s1, 2 in a-s2'
    plant_three
    sed -i '$d' a-s3/log.csv
    row a-s3 3 9 0.2 0.2 0.14 'done'
    compare a-s* --by recipe; good "another length"
    check "is told" warns 'epochs: 2 in a-s1, 9 in a-s3'
    plant_three
    rm a-s2/recipe.ini
    sed -i 's/x=a/x=other/' a-s2/log.csv
    compare a-s* --by recipe; good "a run without recipe.ini"
    check "is named" warns 'a-s2: no recipe.ini'
    check "its overrides are compared" warns 'mixes overrides "x=a" .a-s1. and "x=other" .a-s2.'
    compare a-s* --by gradient.rounding; bad 2 "a key of a recipe that is not there" a-s2 recipe.ini
    echo nonsense >a-s2/recipe.ini
    compare a-s* --by gradient.rounding; bad 2 "a key of a recipe that cannot be read" a-s2 recipe.ini:1
    plant_three
}

test_sweep() {
    mkdir 'my sweep'
    for r in a b; do for s in 1 2; do cp -r $r-s$s 'my sweep'; done; done
    {
        echo run,overrides,seed,status,exit_code,attempts,host
        for r in a b; do for s in 1 2; do echo "$r-s$s,gradient.rounding=$r,$s,done,0,1,h"; done; done
        echo 'a-s9,gradient.rounding=floor,9,,,0,'
    } >'my sweep/sweep.csv'
    compare 'my sweep/' --by gradient.rounding --format csv; good "a sweep"
    check "stands for its runs" [ "$(field 0 n)$(field 1 n)" = 22 ]
    check "what is not there is missing, in its setting" [ "$(field 0 missing)$(field 1 missing)" = 10 ]
    check "and named" warns 'a-s9: missing'
    compare 'my sweep' --by update.rate --format csv; bad 2 "equal settings in it" a-s1 b-s1
    rm -r 'my sweep'/b-s*
    compare 'my sweep' --by update.rate --format csv; good "missing runs whose setting is not known"
    check "are named" warns 'a-s9: missing, and which setting'
    echo 'run,x' >'my sweep/sweep.csv'
    compare 'my sweep' --by recipe; bad 2 "a sweep of nothing" 'my sweep'
    printf 'run,x\n../a-s1,2\n' >'my sweep/sweep.csv'
    compare 'my sweep' --by recipe; bad 1 "a sweep that leads elsewhere" sweep.csv:2 ../a-s1
    echo 'name,x' >'my sweep/sweep.csv'
    compare 'my sweep' --by recipe; bad 1 "no sweep.csv" sweep.csv:1
}

test_words() {
    compare; bad 2 "compare of nothing" compare runs
    compare a-s1; bad 2 "no key" --by
    compare a-s1 --by; bad 2 "--by without a key" --by
    compare a-s1 --by ''; bad 2 "an empty key" --by
    compare a-s1 --by recipe,; bad 2 "an empty key behind a comma" --by
    compare a-s1 --by seed; bad 2 "the seed as a key" seed
    compare a-s1 --by gradient.rouding; bad 2 "an unknown key" gradient.rouding
    compare a-s1 --by layer.; bad 2 "half a layer" layer.
    compare a-s1 --by layer.fc1.run.batch; bad 2 "a layer's key that is the run's" run.batch
    compare a-s1 --by recipe,recipe,recipe,recipe,recipe,recipe,recipe,recipe,recipe; bad 2 "nine keys" 8
    compare a-s1 --by recipe --by net; bad 2 "--by twice" --by
    compare a-s1 --by recipe --metric accuracy; bad 2 "an unknown metric" accuracy test_error
    compare a-s1 --by recipe --metric test_error@worst; bad 2 "an unknown row" test_error@worst best-val
    compare a-s1 --by recipe --metric status@final; bad 2 "a metric that is no number" status '"done"'
    compare a-s1 --by recipe --format html; bad 2 "an unknown format" html latex
    compare a-s1 --by gradient.rounding --reference nearest; bad 2 "an unknown reference" nearest floor
    compare a-s1 --by recipe --quick; bad 2 "an unknown option" --quick
    compare nowhere --by recipe; bad 2 "no such run" nowhere
    mkdir cr && awk 'NR == 1 { print $0 "\r,more" } NR > 1 { print $0 ",more" }' a-s1/log.csv >cr/log.csv
    compare cr --by recipe; bad 1 "a CR in the header" 'cr/log.csv:2: 18 cells; its header has 17'
    mkdir pipe && mkfifo pipe/log.csv
    compare pipe --by recipe; bad 1 "a pipe for a log" pipe/log.csv 'not a file'
    compare a-s1/log.csv --by recipe; bad 2 "a file for a run" a-s1/log.csv
    mkdir none; compare none --by recipe; bad 2 "a directory that is no run" none sweep.csv
    compare '' --by recipe; bad 2 "an empty path"
    fx compare --help; good "--help"
    check "names the formula" grep -qF 't_{0.975,n-1}' out
}

test_real_runs() {
    for s in 1 2; do for r in stochastic:8:below nearest-even; do train -s gradient.rounding=$r --seed $s --out "real $r $s"; done; done
    compare real* --by gradient.rounding --format csv; good "runs of fxsim train"
    check "without a warning but chance" [ "$(grep -vc 'at chance' err)" = 0 ]
    check "the value is log.csv's" awk -v x="$(field 0 min_percent)" -v y="$(last 'real nearest-even 1/log.csv' test_error)" -v z="$(last 'real nearest-even 2/log.csv' test_error)" \
        'BEGIN { m = 100 * (y < z ? y : z); exit !(x - m < 1e-9 && m - x < 1e-9) }'
    train -s accumulator.forward.kind=wrap:12 --out acc1; train -s accumulator.forward.kind=wrap:13 -s accumulator.error.kind=wrap:12 --out acc2
    compare acc1 acc2 --by acc_forward; good "by the column of a product's sums"
    check "another product's differ too" warns 'other keys than --by, too: accumulator.error.kind$'
    compare real* --by gradient.q,weight --format csv; good "by a quantiser and a site's column"
    check "as the recipe has them" grep -q '^gradient.q=fixed8f7@shift-unit/nearest-even/saturate;weight=fixed2f1@alpha/' out
    check "and no key is left over" [ "$(grep -vc 'at chance' err)" = 0 ]
}

plant_three
test_numbers
test_formats
test_keys
test_best_val
test_broken_runs
test_twins_and_mixtures
test_sweep
test_words
test_real_runs
verdict
