#!/usr/bin/env bash
# sweep_status.sh DIR [--quiet]: puts sweep.csv of a sweep together from what its runs wrote, and counts them.
#
# A part of sweep.sh (sweep.sh --status DIR). A run that was recorded as running on this machine and is not there
# any more is "killed". Exit codes: 0 all done; 1 some failed; 3 all ended, some diverged, dead or stalled; 75 some
# are missing. With --quiet: 0, or 1 where sweep.csv cannot be written.
set -eu
export LC_ALL=C
trap '' XFSZ

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
fail() { printf 'sweep: %s\n' "${1//[[:cntrl:]]/?}" >&2; exit "${2:-1}"; }
case ${1:-} in -h | --help) help; exit 0 ;; '') fail "a directory is missing; see $0 --help" 2 ;; esac
dir=${1%/} quiet=${2:-}
[ -r "$dir/state/list" ] || fail "$1: no sweep" 2

host=$(uname -n)
set -- "$dir"/state/*.state
if [ -e "$1" ]; then
    grep -lZ '^running,' "$@" 2>/dev/null | while IFS= read -r -d '' file; do
        (
            # while a run lives it holds this lock, and so does what it started; read under it, or a run might end between
            { exec 7>>"${file%.state}.lock"; } 2>/dev/null && flock -n 7 2>/dev/null || exit 0
            IFS=, read -r status _ attempts on <"$file" || true
            if [ "$status" != running ] || [ "$on" != "$host" ]; then exit 0; fi
            { printf 'killed,,%s,%s\n' "$attempts" "$on" >"$file.new" && mv -f "$file.new" "$file"; } 2>/dev/null || true
        )
    done || true
fi

if ! { DIR=$dir awk -F '|' '
    function cell(s) {  # as log.csv writes it
        gsub(/%/, "%25", s); gsub(/ /, "%20", s); gsub(/,/, "%2C", s); gsub(/"/, "%22", s)
        return s
    }
    BEGIN { print "run,overrides,seed,status,exit_code,attempts,host" }
    {
        file = ENVIRON["DIR"] "/state/" $1 ".state"
        line = ""
        if ((getline line < file) <= 0 || split(line, part, ",") != 4) line = "waiting,,0,"
        close(file)
        setting = $0
        sub(/^[^|]*\|[^|]*\|/, "", setting)
        print $1 "," cell(setting) "," $2 "," line
    }' "$dir/state/list" >"$dir/sweep.csv.$$" && mv -f "$dir/sweep.csv.$$" "$dir/sweep.csv"; } 2>/dev/null; then
    rm -f "$dir/sweep.csv.$$"
    fail "$dir/sweep.csv cannot be written: is the disk full?"
fi
[ "$quiet" != --quiet ] || exit 0

code=0
awk -F , '
    NR > 1 { count[$4]++ }
    END {
        text = NR - 1 " runs:"
        n = split("done diverged dead stalled running stopped waiting killed failed", name, " ")
        for (i = 1; i <= n; i++) if (count[name[i]]) text = text (comma++ ? ", " : " ") count[name[i]] " " name[i]
        print text
        if (count["failed"] || count["killed"]) exit 1
        if (count["running"] || count["stopped"] || count["waiting"]) exit 75
        if (count["diverged"] || count["dead"] || count["stalled"]) exit 3
    }' "$dir/sweep.csv" 2>/dev/null || code=$?
[ $code != 2 ] || fail "$dir/sweep.csv cannot be read or its counts not be printed" # awk's own
exit $code
