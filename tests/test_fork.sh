#!/usr/bin/env bash
# test_fork.sh FXSIM: what kills a run and what comes after: statuses, last.csv, fxsim stats, --fork.
#
# shellcheck disable=SC2154  # what cli.sh sets
set -eu

# shellcheck source=tests/cli.sh
. "$(dirname "$0")/cli.sh"

net=(--net 4C3-MP2-16FC-10 --quiet)
contains() { grep -qF -- "$1" out; }

test_dying() {
    fx train fp8-mellempudi2019 "${net[@]}" --epochs 3 --out burnt -s loss-scale.mode=none -s update.rate=30000
    check "a rate of 30000 ends with exit code 3" [ $code = 3 ]
    check "and says diverged" [ "$(last burnt/log.csv status)" = diverged ]
    check "at once" [ "$(last burnt/log.csv epoch)" = 0 ]
    check "last.csv is there" [ -s burnt/last.csv ]
    check "with a row for each step" [ "$(cut -d , -f 3 burnt/last.csv | sort -n | tail -n 1)" = "$(last burnt/log.csv step)" ]
    fx stats burnt --first-bad; good "stats --first-bad"
    check "names step, layer and site" grep -qE '^step [0-9]+, (conv1|fc[23]), [a-z.]+: [a-z-]+ \(' out
    check "and the file" contains burnt/last.csv
    fx train fp8-mellempudi2019 "${net[@]}" --epochs 3 --out grown -s loss-scale.mode=none -s update.rate=5 \
        -s error.overflow=saturate -s gradient.overflow=saturate -s layer.last.error.overflow=saturate -s layer.first.error.overflow=saturate
    check "saturating formats do not hide it: exit code 3" [ $code = 3 ]
    fx train int8-l1bn --net 4C3-BN-4C3-BN-GAP-10 --quiet --epochs 2 --out flat -s layer.conv2.weight.q=fixed8@const:20
    check "a net with norms whose weights are all flushed dies: exit code 3" [ $code = 3 ]
    check "in an epoch" [ "$(last flat/log.csv epoch),$(last flat/log.csv status)" = 1,dead ]
    check "last.csv counts a step's floored channels" awk -F , '$3 == 3 && $4 == "norm2" && $7 == "preact" && $32 == 4 { n++ } END { exit n != 1 }' flat/last.csv
    fx stats flat --first-bad; good "stats --first-bad of norms"
    check "the forward half comes before what it made of errors and updates" grep -qE '^step 1, conv2, weight: all-zero ' out
    fx train int8-l1bn --net 4C3-BN-4C3-BN-GAP-10 --quiet --epochs 1 --out deaf -s 'layer.last.error.q=fixed8@const:20'
    check "so does one whose errors are" [ "$(last deaf/log.csv status)" = dead ]
    fx stats deaf --first-bad; good "stats --first-bad of errors"
    check "the last layer's error comes first" grep -qE '^step 1, fc3, error: all-zero ' out
    fx train wage --net 8FC-10 --quiet --epochs 2 --out fine -s update.rate=8; good "a run that lives"
    check "has no last.csv" [ ! -e fine/last.csv ]
    fx stats fine --first-bad; good "its first-bad is read from stats.csv"
    fx stats fine; good "stats"
    check "shows the store" grep -qE '^fc1 +store ' out
    check "and the sums' bits" grep -qE '^fc1 +accumulator.forward .*bits [0-9]+' out
}

# A norm's exponents a channel are in checkpoints of runs that have them.
test_fork_channels() {
    local net=(--net 4C3-BN-4C3-BN-GAP-10 --quiet --epochs 3) apart=(-s preact.q=fixed16@max.channel)
    fx train int8-l1bn "${net[@]}" --max-steps 22 --out one; good "norms with one exponent"
    fx train int8-l1bn "${net[@]}" "${apart[@]}" --max-steps 22 --out many; good "norms with one a channel"
    fx train int8-l1bn "${net[@]}" "${apart[@]}" --out to_many --fork one@22; good "--fork to one a channel"
    fx train int8-l1bn "${net[@]}" --out to_one --fork many@22; good "--fork back"
    fx train int8-l1bn "${net[@]}" "${apart[@]}" --out whole; good "a run with one a channel"
    fx train int8-l1bn "${net[@]}" "${apart[@]}" --out on --fork many@22; good "a fork of its first part"
    check "ends with the same weights" [ "$(last on/log.csv weights_crc32)" = "$(last whole/log.csv weights_crc32)" ]
}

test_fork() {
    fx train fp32 "${net[@]}" --epochs 3 --out parent; good "a parent"
    fx train fp32 "${net[@]}" --epochs 3 --max-steps 22 --out part; good "a part of it"
    fx train fp32 "${net[@]}" --epochs 3 --out same --fork part@22; good "--fork under the same recipe"
    check "ends with the parent's weights" [ "$(last same/log.csv weights_crc32)" = "$(last parent/log.csv weights_crc32)" ]
    check "the parent is recorded" grep -qx 'part@22, 0 tensors in another format' same/parent
    fx train flexpoint "${net[@]}" --epochs 4 --out other --fork part@11; good "under another recipe, from the checkpoint before"
    check "stored weights and momentum are rounded" grep -qx 'part@11, 6 tensors in another format' other/parent
    check "it begins where the parent was" [ "$(cell other/log.csv 0 step)" = 11 ]
    check "and trains" [ "$(last other/log.csv status)" = "done" ]
    fx train flexpoint "${net[@]}" --epochs 4 --max-steps 20 --out cut --fork part@11; good "a fork that is cut"
    cp -r other kept
    fx train flexpoint "${net[@]}" --epochs 4 --out other --resume; good "a finished fork is resumed without --fork"
    check "and stays as it was" same_log other kept
    fx train fp32 "${net[@]}" --epochs 3 --out no1 --fork part@7; bad 2 "a step without a checkpoint" part@7 "22 and 11"
    fx train fp32 "${net[@]}" --epochs 2 --out no2 --fork part@22; bad 2 "a fork behind its own end" "more epochs"
    fx train fp32 "${net[@]}" --out no3 --fork part; bad 2 "a fork without a step" RUN@STEP
    fx train fp32 "${net[@]}" --out no4 --fork nowhere@3; bad 2 "a fork of nothing" nowhere
    fx train fp32 "${net[@]}" --out other --fork part@11 --resume; bad 2 "--fork with --resume" resumed
    fx train fp32 --net 5C3-MP2-16FC-10 --quiet --out no5 --fork part@22; bad 5 "a fork of another net" conv1.weights
    fx train fp32 "${net[@]}" --batch 64 --epochs 3 --out no6 --fork part@22; bad 5 "a fork with other batches" run.batch 2816 1408
    check "and leaves no directory that could be resumed" [ ! -e no6/checkpoint ]
    fx train fp32 "${net[@]}" --data fashion-mnist --epochs 0 --out other-data
    if [ $code = 4 ]; then
        skip "a fork on other data: fashion-mnist is not installed"
    else
        good "a run on other data"
        fx train fp32 "${net[@]}" --data fashion-mnist --out no7 --fork part@22; bad 5 "a fork on other data" part/checkpoint "other data"
    fi
}

# Kept weights of floats are float32 whatever their grid: the format decides, not the carrier.
test_fork_formats() {
    fx train fp32 "${net[@]}" --epochs 3 --out half --fork part@22 -s store.q=fp16; good "a fork whose store has another grid of the same carrier"
    check "its three stores are rounded" grep -qx 'part@22, 3 tensors in another format' half/parent
    check "the first row has the rounded weights" [ "$(cell half/log.csv 0 weights_crc32)" != "$(last part/log.csv weights_crc32)" ]
    fx train fp32 "${net[@]}" --epochs 4 --out again --fork half@33 -s store.q=fp16; good "a fork of the fork"
    check "nothing is rounded twice" grep -qx 'half@33, 0 tensors in another format' again/parent
    check "it begins with the fork's weights" [ "$(cell again/log.csv 0 weights_crc32)" = "$(last half/log.csv weights_crc32)" ]
    fx train fp32 "${net[@]}" --epochs 4 --out moving --fork half@33 -s store.q=fp16 -s momentum.q=bf16; good "a fork with another momentum"
    check "three momenta are rounded" grep -qx 'half@33, 3 tensors in another format' moving/parent
    fx train fp32 "${net[@]}" --epochs 4 --out rounding --fork half@33 -s store.q=fp16/stochastic; good "a fork that rounds its store otherwise"
    check "what is kept looks the same: 0 tensors" grep -qx 'half@33, 0 tensors in another format' rounding/parent
    fx train gupta2015 "${net[@]}" --epochs 1 --out fixed; good "a parent of fixed grids"
    fx train gupta2015 "${net[@]}" --epochs 2 --out shifted --fork fixed@11 -s store.scale=const:1; good "a fork whose grid is the same at another scale"
    check "three stores of int16 are rounded" grep -qx 'fixed@11, 3 tensors in another format' shifted/parent
}

test_fork_loss_scale() {
    local growing=(hfp8 "${net[@]}" -s "loss-scale.growth=2 after 5s")
    fx train fp8-mellempudi2019 "${net[@]}" --epochs 3 --out scaled --fork part@22; good "a fork with a loss scale of a run without"
    check "its first row is the parent's" [ "$(cell scaled/log.csv 0 loss_scale)" = 1 ]
    check "then its own scale rules" [ "$(last scaled/log.csv loss_scale)" = 1e+04 ]
    fx train fp8-mellempudi2019 "${net[@]}" --epochs 4 --out scaled-on --fork scaled@33; good "a fork under the same scale"
    check "it is there from the first row on" [ "$(cell scaled-on/log.csv 0 loss_scale) $(last scaled-on/log.csv loss_scale)" = "1e+04 1e+04" ]
    fx train fp32 "${net[@]}" --epochs 4 --out unscaled --fork scaled@33; good "a fork without a loss scale of a run with one"
    check "has none" [ "$(last unscaled/log.csv loss_scale)" = 1 ]
    fx train "${growing[@]}" --epochs 3 --out doubled; good "a scale that grows"
    fx train "${growing[@]}" --epochs 3 --max-steps 22 --out doubled-part; good "the first two thirds of it"
    fx train "${growing[@]}" --epochs 3 --out doubled-on --fork doubled-part@22; good "a fork under the same rule"
    check "goes on where the parent's scale stood" [ "$(last doubled-on/log.csv loss_scale)" = "$(last doubled/log.csv loss_scale)" ]
    check "above where it starts" [ "$(last doubled/log.csv loss_scale)" = 65536 ]
    check "ends with the parent's weights" [ "$(last doubled-on/log.csv weights_crc32)" = "$(last doubled/log.csv weights_crc32)" ]
    fx train "${growing[@]}" --epochs 3 --out doubled-new --fork part@22; good "a scale that grows, of a run without one"
    check "starts as its recipe says" [ "$(last doubled-new/log.csv loss_scale)" = 4096 ]
    fx train fp8-mellempudi2019 "${net[@]}" --epochs 3 --out pinned --fork doubled-part@22; good "a constant scale of a run whose scale grew"
    check "is its own" [ "$(last pinned/log.csv loss_scale)" = 1e+04 ]
}

# Running statistics go along: the test figures read them, and the state has them.
test_fork_norms() {
    local recipe words what
    for recipe in int8-l1bn fp32-bn; do
        words=("$recipe" --net '4C3-BN-+(4C3-BN|)-+(6C3s2-BN|6C1s2-BN)-GAP-10' --quiet)
        fx train "${words[@]}" --epochs 3 --out "$recipe"; good "$recipe: a parent with norms"
        fx train "${words[@]}" --epochs 3 --max-steps 22 --out "$recipe-part"; good "a part of it"
        fx train "${words[@]}" --epochs 3 --out "$recipe-same" --fork "$recipe-part@22"; good "--fork under the same recipe"
        check "nothing is in another format" grep -qx "$recipe-part@22, 0 tensors in another format" "$recipe-same/parent"
        check "its first row has the test error that the part ended with" \
            [ "$(cell "$recipe-same/log.csv" 0 test_loss)" = "$(last "$recipe-part/log.csv" test_loss)" ]
        for what in weights_crc32 state_crc32 test_loss test_error; do
            check "it ends with the parent's $what" [ "$(last "$recipe-same/log.csv" $what)" = "$(last "$recipe/log.csv" $what)" ]
        done
    done
}

test_bad_stats() {
    fx stats; bad 2 "stats of nothing" "run directory"
    fx stats nowhere; bad 2 "stats of no run" nowhere
    fx stats parent part; bad 2 "stats of two runs" part
    fx stats parent --last-bad; bad 2 "an unknown option" --last-bad
    mkdir rubbish
    echo "a,b,c" >rubbish/stats.csv
    fx stats rubbish; bad 1 "a file that is no stats.csv" rubbish/stats.csv:1
    { head -n 1 parent/stats.csv; echo "1,2,3"; } >rubbish/stats.csv
    fx stats rubbish --first-bad; bad 1 "a row too short" rubbish/stats.csv:2
}

test_full_statistics() {
    fx train int8-sr "${net[@]}" --epochs 2 --out full -s stats.kind=full; good "stats.kind = full"
    fx train int8-sr "${net[@]}" --epochs 2 --out counts; good "stats.kind = counts"
    check "changes no weight" [ "$(last full/log.csv weights_crc32)" = "$(last counts/log.csv weights_crc32)" ]
    check "fills sqnr_db" awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } $at["site"] == "activation" && $at["sqnr_db"] > 10 { n++ } END { exit n < 2 }' full/stats.csv
    check "and cosine" awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } $at["site"] == "error" && $at["cosine"] > 0.9 { n++ } END { exit n < 2 }' full/stats.csv
    check "counts leave them empty" awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } NR > 1 && $at["sqnr_db"] != "" { n++ } END { exit n > 0 }' counts/stats.csv
    fx train fp8-wang2018 --net 16FC-10 --quiet --epochs 1 --out narrow -s accumulator.kind=float:e5m3; good "a narrow accumulator"
    check "swamped additions are counted" awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } $at["site"] ~ /accumulator/ && $at["acc_swamped"] > 0 { n++ } END { exit n < 3 }' narrow/stats.csv
}

test_dying
test_fork
test_fork_formats
test_fork_loss_scale
test_fork_norms
test_fork_channels
test_bad_stats
test_full_statistics
verdict
