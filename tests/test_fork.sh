#!/usr/bin/env bash
# test_fork.sh FXSIM: what kills a run and what comes after: statuses, last.csv, fxsim stats, --fork.
#
# shellcheck disable=SC2154  # what cli.sh sets
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034  # cli.sh reads it
fxsim=$(realpath "${1:?the program}")
work=$(mktemp -d)
# shellcheck disable=SC2034  # cli.sh reads it
background=
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C
# shellcheck source=tests/cli.sh
. "$here/cli.sh"

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
    fx train wage --net 8FC-10 --quiet --epochs 2 --out fine -s update.rate=8; good "a run that lives"
    check "has no last.csv" [ ! -e fine/last.csv ]
    fx stats fine --first-bad; good "its first-bad is read from stats.csv"
    fx stats fine; good "stats"
    check "shows the store" grep -qE '^fc1 +store ' out
    check "and the sums' bits" grep -qE '^fc1 +accumulator.forward .*bits [0-9]+' out
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
    fx train fp32 "${net[@]}" --data fashion-mnist --out no6 --fork part@22
    check "a fork on other data is refused" [ $code != 0 ]
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
test_bad_stats
test_full_statistics
[ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }
