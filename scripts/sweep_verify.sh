#!/usr/bin/env bash
# sweep_verify.sh DIR N [RUN...]: trains N finished runs of a sweep once more and compares every byte.
#
# A part of sweep.sh (--verify N). The runs are spread over the list, the same ones every time. Compared are
# log.csv up to time_s and stats.csv, both without run_id; where the first difference is, is told. Exit codes:
# 0 all equal, 1 some differ or could not be trained, 75 interrupted.
set -eu
export LC_ALL=C OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
fail() { printf 'sweep: %s\n' "$1" >&2; exit "${2:-1}"; }
case ${1:-} in -h | --help) help; exit 0 ;; esac
[ $# -ge 2 ] || fail "a directory and a number are needed; see $0 --help" 2
dir=${1%/} count=$2
shift 2
case $count in '' | 0* | *[!0-9]*) fail "verify \"$count\": a whole number above 0 is needed" 2 ;; esac
[ -r "$dir/state/list" ] || fail "$dir: no sweep" 2
if [ $# = 0 ]; then mapfile -t all < <(cut -d '|' -f 1 "$dir/state/list"); else all=("$@"); fi

finished=()
for run in "${all[@]}"; do
    status=
    if [ -e "$dir/state/$run.state" ]; then IFS=, read -r status _ <"$dir/state/$run.state" || true; fi
    case $status in done | diverged | dead | stalled) finished+=("$run") ;; esac
done
[ ${#finished[@]} -gt 0 ] || fail "$dir: no run is finished, nothing to verify"
if [ "$count" -gt ${#finished[@]} ]; then count=${#finished[@]}; fi

work=$(mktemp -d)
child=
# shellcheck disable=SC2317  # the traps'
clean_up() { if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null && wait "$child"; fi; rm -rf "$work"; }
trap clean_up EXIT
trap 'exit 75' INT TERM

figures() {  # figures FILE: what two runs must share
    awk -F , -v OFS=, '
        NR == 1 { end = NF + 1; for (i = 1; i <= NF; i++) if ($i == "time_s") end = i }
        { line = $2; for (i = 3; i < end; i++) line = line OFS $i; print line }' "$1"
}
command=() differs=0
for ((i = 0; i < count; i++)); do
    run=${finished[(2 * i + 1) * ${#finished[@]} / (2 * count)]}
    eval "command=($(cat "$dir/state/$run.job"))" # written by sweep.sh, quoted
    words=()
    for word in "${command[@]}"; do case $word in --resume=auto) ;; "$dir/$run") words+=("$work/again/$run") ;; *) words+=("$word") ;; esac; done
    code=0
    "${words[@]}" >"$work/out" 2>&1 </dev/null &
    child=$!
    wait "$child" || code=$?
    child=
    verdict=equal
    if [ $code != 0 ] && [ $code != 3 ]; then verdict="could not be trained again: exit code $code: $(tail -n 1 "$work/out")"; fi
    for file in log.csv stats.csv; do
        [ "$verdict" = equal ] || break
        if [ ! -e "$dir/$run/$file" ] || [ ! -e "$work/again/$run/$file" ]; then verdict="NOT EQUAL: $file is missing"; break; fi
        figures "$dir/$run/$file" >"$work/a"
        figures "$work/again/$run/$file" >"$work/b"
        cmp -s "$work/a" "$work/b" || verdict="NOT EQUAL: $file, line $(cmp "$work/a" "$work/b" 2>&1 | sed -n 's/.* line \([0-9]*\).*/\1/p')"
    done
    printf 'verify: %s: %s\n' "$run" "$verdict"
    if [ "$verdict" != equal ]; then differs=$((differs + 1)); fi
    rm -rf "$work/again"
done
printf 'verify: %d of %d equal\n' $((count - differs)) "$count"
[ $differs = 0 ]
