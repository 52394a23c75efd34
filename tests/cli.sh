# What the tests of the command line share: read by a script with its arguments FXSIM ..., it sets $fxsim, goes to a new
# directory and removes it at the end, with the process $background if there is one.
# shellcheck shell=bash disable=SC2034

fxsim=$(realpath "${1:?the program}")
work=$(mktemp -d)
background=
failures=0
# shellcheck disable=SC2317  # the trap's
clean_up() {
    if [ -n "$background" ]; then kill -KILL "$background" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work" || exit 1
export LC_ALL=C OMP_WAIT_POLICY=passive

has() { command -v "$1" >/dev/null 2>&1; }
skip() { printf 'skip  %s\n' "$1"; }
check() {  # check SENTENCE COMMAND...: the command must succeed; shows the last run's output if it does not
    local sentence=$1
    shift
    if "$@"; then
        printf 'ok    %s\n' "$sentence"
    else
        printf 'FAIL  %s\n      %s\n' "$sentence" "$*"
        sed 's/^/      | /' out err
        failures=$((failures + 1))
    fi
}
not() { ! "$@"; }
fx() {  # fx ARGUMENT...: $code, out, err; the time is for what hangs, no machine needs as much
    code=0
    timeout 600 "$fxsim" "$@" >out 2>err </dev/null || code=$?
}
says() { grep -qF -- "$1" err; }
warns() { grep -qE "^fxsim: warning: .*$1" err; }
one_error() {
    [ "$(grep -vc '^fxsim: warning: ' err)" = 1 ] && grep -v '^fxsim: warning: ' err | grep -q '^fxsim: [^ ]'
}
good() { check "$1" [ $code = 0 ]; }
bad() {  # bad CODE SENTENCE TEXT...: the last call failed so, and its one line holds each text
    local want=$1 sentence=$2 text
    shift 2
    check "$sentence: exit code $want" [ $code = "$want" ]
    check "$sentence: one line" one_error
    for text; do check "$sentence: names $text" says "$text"; done
}
# A run of a fraction of a second; the steps of the rate are the user's, so that no milestone is past the end.
tiny=(wage --net 8FC-10 --batch 256 --epochs 2 --quiet -s update.rate=8)
train() { fx train "${tiny[@]}" "$@"; }
cell() {  # cell LOG ROW COLUMN: row 0 is the first one
    awk -F , -v row="$2" -v name="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } NR == row + 2 { print $c }' "$1"
}
last() { cell "$1" $(($(wc -l <"$1") - 2)) "$2"; }
rows() { echo $(($(wc -l <"$1") - 1)); }
before_time() { awk -F , -v OFS=, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "time_s") n = i } { line = $2; for (i = 3; i < n; i++) line = line OFS $i; print line }' "$1"; }
same_log() { before_time "$1/log.csv" >a && before_time "$2/log.csv" >b && cmp a b; }
wait_for_rows() { while kill -0 "$background" 2>/dev/null && { [ ! -e "$1" ] || [ "$(rows "$1")" -lt "$2" ]; }; do sleep 0.01; done; }
verdict() { [ "$failures" = 0 ] || { printf '%d checks failed\n' "$failures"; exit 1; }; }  # the last line of a test
