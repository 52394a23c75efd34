#!/usr/bin/env bash
# plot.sh [curves] RUN... -o FILE         curves over epochs, the mean of a setting's seeds with its spread
# plot.sh against KEY RUN... -o FILE      the value at the end against a key: bit widths, roundings, rates
# plot.sh stats RUN -o FILE               a column of stats.csv by layer, a panel a site
#
#   RUN              a run directory (or a log.csv), or a sweep's directory (it holds sweep.csv): all its runs
#   KEY              a column of log.csv or a key of recipe.ini (gradient.rounding, error.grid, layer.first.weight.grid)
#   -o FILE          .png (300 dots an inch), .svg or .pdf; the plotted numbers go beside it, into the same name ending .csv
#   --width-mm N     width of the picture, by default 170; 85 is a column of most journals
#
# curves, against:
#   --metric COLUMN  a column of log.csv, by default test_error; what ends in _error is shown in %
#   --by KEY         what makes a line; `overrides` for all in which the settings differ (recipe, net and data too).
#                    By default: overrides where some runs differ in nothing but the seed, else a line a run; against: overrides
#   --spread KIND    of the runs of a setting: minmax (the default), sd, se (of the mean), none, or runs (each by itself)
# stats:
#   --column COLUMN  of stats.csv, by default exponent; saturated, underflowed, zeros_out and such in % of the values
#   --site SITE      this site alone; by default the first six that have something in the column, those that move first
#
# A mean goes as far as all runs of its setting go. Runs that died are named on stderr and marked with a cross where they
# ended; no mean of `against` counts them. It leaves out runs that are not over. Its axis has numbers if each value of KEY
# stands for one (the bits of a grid: fixed8f6, e5m2: 8; stochastic:8:below: 8), else the values in the order given.
#
# A vertical axis of curves ends at the largest value after epoch 0: an untrained net stands above it and its line comes in from
# there. It starts at 0, or is logarithmic (and says so) where values differ more than 20-fold; so is a horizontal axis of numbers.
set -eu

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
fail() { printf 'plot: %s\n' "${1//[[:cntrl:]]/?}" >&2; exit "${2:-1}"; }
table() { LC_ALL=C awk "$@"; }  # decimal points whatever the locale
only() {  # only KIND... : OPTION belongs to these kinds
    case " $1 " in *" $kind "*) ;; *) fail "$2 is no option of $kind; see $0 --help" 2 ;; esac
}
scripts=$(cd "$(dirname "$0")" && pwd)
true >&2 || exec 2>/dev/null # a file that takes the place of a closed one gets no messages

kind=curves
case ${1:-} in curves | against | stats) kind=$1; shift ;; esac
output='' width=170 words=()
export METRIC=test_error BY='' SPREAD=minmax COLUMN=exponent SITE='' KEY=''
while [ $# -gt 0 ]; do
    case $1 in --metric | --by | --spread) only 'curves against' "$1" ;; --column | --site) only stats "$1" ;; esac
    case $1 in
        -o | --width-mm | --metric | --by | --spread | --column | --site)
            [ -n "${2:-}" ] || fail "$1 needs a value; see $0 --help" 2 ;;
    esac
    case $1 in
        -o) output=$2; shift 2 ;;
        --width-mm) width=$2; shift 2 ;;
        --metric) METRIC=$2; shift 2 ;;
        --by) BY=$2; shift 2 ;;
        --spread) SPREAD=$2; shift 2 ;;
        --column) COLUMN=$2; shift 2 ;;
        --site) SITE=$2; shift 2 ;;
        -h | --help) help; exit 0 ;;
        --) shift; words+=("$@"); break ;;
        -*) fail "no option \"$1\"; see $0 --help" 2 ;;
        *) words+=("$1"); shift ;;
    esac
done
if [ $kind = against ]; then
    [ ${#words[@]} -gt 0 ] || fail "against needs a KEY and runs; see $0 --help" 2
    KEY=${words[0]}
    words=("${words[@]:1}")
fi
[ ${#words[@]} -gt 0 ] || fail "no run given; see $0 --help" 2
case $SPREAD in minmax | sd | se | none | runs) ;; *) fail "--spread \"$SPREAD\": one of minmax, sd, se, none, runs is needed" 2 ;; esac
case $width in '' | *[!0-9]* | ?????*) fail "--width-mm \"$width\": a whole number is needed" 2 ;; esac
width=$((10#$width))
{ [ $width -ge 40 ] && [ $width -le 1000 ]; } || fail "--width-mm $width: 40 to 1000 is possible" 2
case $output in -*) output=./$output ;; esac
case $output in
    ?*.png | ?*.svg | ?*.pdf) format=${output##*.} ;;
    '') fail "no output: give -o FILE.png, .svg or .pdf" 2 ;;
    *) fail "-o $output: the name must end in .png, .svg or .pdf" 2 ;;
esac
numbers=${output%.*}.csv
folder=.
case $output in */*) folder=${output%/*}/ ;; esac
[ -d "$folder" ] || fail "-o $output: there is no directory $folder"
for file in "$output" "$numbers"; do [ ! -e "$file" ] || [ -f "$file" ] || fail "-o $output: $file is there and no file"; done
if [ -s "$numbers" ] && ! head -n 1 "$numbers" | grep -qE '^(setting,run,|run,label,epoch,|run,site,layer,)'; then
    fail "-o $output: $numbers is there and no table of a figure; give another name"
fi
command -v gnuplot >/dev/null 2>&1 ||
    fail "gnuplot is not there; scripts/setup.sh quickstart installs it (Debian: gnuplot-nox)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LIST=$work/list CSV=$work/numbers OUTPUT=$work/picture

# The runs, a line each.
add_run() {
    local folder=$1 log=log.csv
    case $1 in *[$'\n\t']*) fail "a run's name cannot hold a tab or a new line" ;; *.csv) folder=$(dirname "$1") log=${1##*/} ;; esac
    if [ $kind = stats ]; then log=stats.csv; fi
    log=$folder/$log
    { [ -f "$log" ] && [ -r "$log" ]; } || fail "$log: no such log"
    if [ -e "$folder/recipe.ini" ]; then
        { [ -f "$folder/recipe.ini" ] && [ -r "$folder/recipe.ini" ]; } || fail "$folder/recipe.ini: no file that can be read"
    fi
    printf '%s\n' "$1" >>"$LIST"
}
for word in "${words[@]}"; do
    while [ "${word%/}" != "$word" ] && [ "$word" != / ]; do word=${word%/}; done
    if [ ! -e "$word/log.csv" ] && head -n 1 "$word/sweep.csv" 2>/dev/null | grep -q '^run,overrides'; then
        [ $kind != stats ] || fail "$word: stats needs one run, this is a sweep" 2
        missing=0
        while read -r run; do
            if [ -s "$word/$run/log.csv" ]; then add_run "$word/$run"; else missing=$((missing + 1)); fi
        done < <(cut -d , -f 1 "$word/sweep.csv" | tail -n +2 | tr -d '\r"')
        if [ $missing -gt 0 ]; then printf 'plot: %s: runs without a log yet: %s\n' "$word" "$missing" >&2; fi
    else
        add_run "$word"
    fi
done
[ -s "$LIST" ] || fail "${words[*]}: no run has a log yet"
if [ $kind = stats ] && [ ${#words[@]} -gt 1 ]; then fail "stats needs one run, not ${#words[@]}" 2; fi

table -v kind=$kind -f "$scripts/plot_read.awk" -f "$scripts/plot_tables.awk" </dev/null >"$work/table"
table -v kind=$kind -v width="$width" -v format="$format" -f "$scripts/plot_draw.awk" "$work/table" >"$work/program"
LC_ALL=C.UTF-8 gnuplot "$work/program" </dev/null || fail "gnuplot failed"
[ -s "$OUTPUT" ] || fail "gnuplot drew nothing"
case $format in
    png)  # says that it has 300 dots an inch: a pHYs chunk (11811 a metre, with its checksum) behind the header
        {
            head -c 33 "$OUTPUT"
            printf '\0\0\0\011pHYs\0\0\056\043\0\0\056\043\001\170\245\077\166'
            tail -c +34 "$OUTPUT"
        } >"$work/sized" ;;
    svg)  # in mm instead of pixels
        # shellcheck disable=SC2016  # awk's
        table -v width="$width" '
            !done && / width="[0-9]+" height="[0-9]+"/ {
                split($0, n, "\"")
                $0 = sprintf(" width=\"%gmm\" height=\"%.2fmm\"", width, width * n[4] / n[2])
                done = 1
            }
            { print }' "$OUTPUT" >"$work/sized" ;;
    pdf) cp "$OUTPUT" "$work/sized" ;;
esac
# Each file beside its place first, so that what was there is replaced whole or not at all.
if ! { cp "$CSV" "$numbers.part" && cp "$work/sized" "$output.part" &&
    mv "$numbers.part" "$numbers" && mv "$output.part" "$output"; } 2>/dev/null; then
    rm -f "$numbers.part" "$output.part" 2>/dev/null || true
    fail "$output and $numbers cannot be written"
fi
