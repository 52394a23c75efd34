#!/usr/bin/env bash
# plot.sh RUN... -o FILE [--metric COLUMN] [--by overrides|run_id] [--width-mm N]: curves of runs with gnuplot.
#
#   RUN              a run directory (or a log.csv); one line each
#   -o FILE          .png, .svg or .pdf; the plotted numbers go beside it, into the same name ending .csv
#   --metric COLUMN  a column of log.csv, by default test_error; what ends in _error is shown in %
#   --by COLUMN      what a line is labelled by, a column of log.csv (overrides, run_id, seed, ...) instead of
#                    the directory's name; runs with the same label (seeds) share colour, dashes and points
#   --width-mm N     width of the picture, by default 170
#
# The legend gives the last value of each line (the mean, where lines share a label). The vertical axis ends at the largest value after epoch 0: an
# untrained net stands above it and its line comes in from there. It starts at 0, or is logarithmic (and says
# so) where values differ more than 20-fold, as between a run that stalled and one that did not.
set -eu

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
awk() { LC_ALL=C command awk "$@"; }  # decimal points whatever the locale
fail() { printf 'plot: %s\n' "$1" >&2; exit "${2:-1}"; }

output='' metric=test_error by='' width=170
runs=()
while [ $# -gt 0 ]; do
    case $1 in
        -o) output=${2:?-o needs a file}; shift 2 ;;
        --metric) metric=${2:?--metric needs a column}; shift 2 ;;
        --by) by=${2:?--by needs a column}; shift 2 ;;
        --width-mm) width=${2:?--width-mm needs a number}; shift 2 ;;
        -h | --help) help; exit 0 ;;
        -*) fail "no option \"$1\"; see $0 --help" 2 ;;
        *) runs+=("${1%/}"); shift ;;
    esac
done
[ ${#runs[@]} -gt 0 ] || fail "no run given; see $0 --help" 2
case $width in '' | *[!0-9]*) fail "--width-mm \"$width\": a whole number is needed" 2 ;; esac
case $output in
    ?*.png | ?*.svg | ?*.pdf) ;;
    '') fail "no output: give -o FILE.png, .svg or .pdf" 2 ;;
    *) fail "-o $output: the name must end in .png, .svg or .pdf" 2 ;;
esac
command -v gnuplot >/dev/null 2>&1 ||
    fail "gnuplot is not there; scripts/setup.sh quickstart installs it (Debian: gnuplot-nox)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Labels: the directories' names, or the whole paths where two names are equal.
labels=()
for run in "${runs[@]}"; do
    case $run in */log.csv) run=${run%/log.csv} ;; esac
    labels+=("${run##*/}")
done
if [ "$(printf '%s\n' "${labels[@]}" | sort | uniq -d | wc -l)" -gt 0 ]; then labels=("${runs[@]}"); fi

# $work/points: number of the run, run, label, epoch, value, tab-separated; rows without a value are left out.
for i in "${!runs[@]}"; do
    log=${runs[$i]}
    case $log in *.csv) ;; *) log=$log/log.csv ;; esac
    [ -r "$log" ] || fail "$log: no such log"
    RUN=${runs[$i]} LABEL=${labels[$i]} LOG=$log awk -F , -v i="$i" -v metric="$metric" -v by="$by" '
        function need(name) {
            if (name in col) return
            print "plot: " ENVIRON["LOG"] ": no column \"" name "\"; there are: " header > "/dev/stderr"
            exit failed = 1
        }
        BEGIN { OFS = "\t"; label = ENVIRON["LABEL"]; scale = metric ~ /_error$/ ? 100 : 1 }
        { sub(/\r$/, "") }
        NR == 1 {
            header = $0
            for (c = 1; c <= NF; c++) col[$c] = c
            need("epoch"); need(metric)
            if (by != "") need(by)
            next
        }
        by != "" { label = $col[by] != "" ? $col[by] : ("recipe" in col) ? $col["recipe"] : "-" }
        $col[metric] != "" { n++; print i, ENVIRON["RUN"], label, $col["epoch"], sprintf("%.10g", scale * $col[metric]) }
        END {
            if (!n && !failed) print "plot: " ENVIRON["LOG"] ": nothing in column " metric > "/dev/stderr"
            exit failed
        }' "$log" >>"$work/points"
done
[ -s "$work/points" ] || fail "nothing to plot"

# What all labels share says nothing: only the parts that differ stay.
if [ "$by" = overrides ]; then
    awk -F '\t' 'BEGIN { OFS = "\t" }
        NR == FNR {
            if ($3 in seen) next
            seen[$3] = 1
            labels++
            n = split($3, part, ";")
            for (j = 1; j <= n; j++) count[part[j]]++
            next
        }
        {
            n = split($3, part, ";")
            kept = ""
            for (j = 1; j <= n; j++)
                if (labels == 1 || count[part[j]] < labels) kept = kept (kept == "" ? "" : ";") part[j]
            $3 = kept == "" ? "as the recipe" : kept
            print
        }' "$work/points" "$work/points" >"$work/short"
    mv "$work/short" "$work/points"
fi

axis=${metric//_/ } unit='' column=$metric
case $metric in *_error) axis="$axis (%)" unit=' %' column=${metric}_percent ;; esac
awk -F '\t' -v column="$column" '
    function quoted(s) { if (s ~ /[",]/) { gsub(/"/, "\"\"", s); s = "\"" s "\"" } return s }
    BEGIN { print "run,label,epoch," column }
    { print quoted($2) "," quoted($3) "," $4 "," $5 }' "$work/points" >"${output%.*}.csv"

# The gnuplot program: the data, a block for each run, and the commands.
OUTPUT=$output awk -F '\t' -v axis="$axis" -v unit="$unit" -v width="$width" '
    function text(s) { gsub(/\047/, "\047\047", s); return "\047" s "\047" }
    BEGIN {
        # Okabe and Ito without yellow; dashes and points change too, so that colour is never the only difference.
        colours = split("0072B2 D55E00 009E73 CC79A7 E69F00 56B4E9 000000", colour, " ")
        dashes = split("1;(14,4);(6,4);(14,4,3,4);(3,3)", dash, ";")
        points = split("7 5 9 13 11 6 4 8 12 10", point, " ")
        print "$runs << END"
    }
    NR == 1 || $1 != run {
        if (curves++) print "\n"
        run = $1
        label[curves] = $3
        if (!runs_with[$3]++) style[$3] = styles++
    }
    {
        print $4, $5
        last[curves] = $5
        if ($4 > epochs) epochs = $4
        if ($4 > 0 && $5 > top) top = $5
        if ($5 > highest) highest = $5
        if (NR == 1 || $5 < lowest) lowest = $5
    }
    END {
        print "END"
        for (c = 1; c <= curves; c++) ends[label[c]] += last[c]
        for (c = 1; c <= curves; c++) {
            s = style[label[c]]
            n = runs_with[label[c]]
            title = sprintf("%s (%s %.3g%s)", label[c], n > 1 ? n " runs, mean at the end" : "ends at", ends[label[c]] / n, unit)
            if (length(title) > longest) longest = length(title)
            plot = plot (c > 1 ? ", " : "plot ") sprintf("$runs index %d with linespoints lc rgb \"#%s\" dt %s pt %d pi %d %s",
                c - 1, colour[s % colours + 1], dash[s % dashes + 1], point[s % points + 1], epochs / 12 + 1,
                shown[label[c]]++ ? "notitle" : "title " text(title))
        }
        # A letter of the 9 point font is about 1.8 mm wide, a legend line 4.5 mm high.
        columns = int((width - 20) / (1.8 * longest + 16))
        if (columns < 1) columns = 1
        if (columns > styles) columns = styles
        rows = int((styles + columns - 1) / columns)
        height = 0.55 * width + 4.5 * rows
        if (ENVIRON["OUTPUT"] ~ /\.png$/)  # 300 dots an inch
            terminal = sprintf("pngcairo size %d,%d font \"Sans,9\" fontscale 3.3 linewidth 4.5 pointscale 2.6", width * 11.81, height * 11.81)
        else if (ENVIRON["OUTPUT"] ~ /\.pdf$/)
            terminal = sprintf("pdfcairo size %.1fcm,%.1fcm font \"Sans,9\" fontscale 0.8 linewidth 1.3 pointscale 0.5", width / 10, height / 10)
        else
            terminal = sprintf("svg size %d,%d font \"sans-serif,12\" linewidth 1.3 background \"white\"", width * 3.78, height * 3.78)
        print "set terminal " terminal " noenhanced"
        print "set output " text(ENVIRON["OUTPUT"])
        print "set key above left Left reverse vertical maxrows " rows
        print "set grid lc rgb \"#dddddd\" lt 1 lw 0.6\nset border 3 lc rgb \"#555555\"\nset tics nomirror out tc rgb \"black\""
        print "set xlabel \"epoch\"\nset xrange [0:" (epochs > 0 ? epochs : 1) "]"
        if (epochs <= 10) print "set xtics 1"
        if (epochs == 0) top = highest
        if (lowest > 0 && top > 20 * lowest) {
            print "set logscale y\nset yrange [" 0.9 * lowest ":" 1.1 * top "]\nset ylabel " text(axis ", logarithmic")
            for (e = -6; e <= 6; e++) tics = tics sprintf("%s%g, %g, %g", e > -6 ? ", " : "", 10 ^ e, 2 * 10 ^ e, 5 * 10 ^ e)
            print "set ytics (" tics ")"
        } else {
            if (lowest > 0) lowest = 0
            print "set yrange [" 1.04 * lowest ":" (top > lowest ? 1.04 * top : lowest + 1) "]\nset ylabel " text(axis)
        }
        print plot
    }' "$work/points" >"$work/program"
gnuplot "$work/program"
