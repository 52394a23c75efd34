#!/usr/bin/env bash
# test.sh [--slow] [--build DIR] [MESON_OPTION...]: installs what is missing, builds, runs the tests.
#
#   --slow         the tests of suite slow too
#   --build DIR    build directory, by default build/ of the source tree
#   MESON_OPTION   handed to meson setup (see build.sh --help)
#
# MESON_TESTTHREADS=N in the environment: tests at the same time. Ends with a line of its own that counts the
# tests; exit code 1 if one failed or none ran.
set -eu
set -o pipefail

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
select=(--no-suite slow)
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --slow) select=(); shift ;;
        --build) build=${2:?--build needs a directory}; shift 2 ;;
        -h | --help) help; exit 0 ;;
        *) options+=("$1"); shift ;;
    esac
done

"$top/scripts/build.sh" --for test --build "$build" -Dtests=enabled ${options[@]+"${options[@]}"}

# Tests run side by side and use threads themselves: waiting threads must sleep. A sanitizer's finding is a failure.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
# The limits of tests/meson.build are those of the users' build: a sanitizer's, on a slow machine, takes ten times as long.
meson test -C "$build" --print-errorlogs --timeout-multiplier 10 ${select[@]+"${select[@]}"} | tee "$log" || code=$?

# meson's summary: "Ok: 3", "Expected Fail: 0", "Fail: 0", "Unexpected Pass: 0", "Skipped: 0", "Timeout: 0"
awk -F ': *' -v code="$code" '
    /^(Ok|Expected Fail): +[0-9]+ *$/            { passed += $2 }
    /^(Fail|Unexpected Pass|Timeout): +[0-9]+ *$/ { failed += $2 }
    /^Skipped: +[0-9]+ *$/                       { skipped += $2 }
    END {
        if (passed + failed == 0) print "test: no test was run"
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit code != 0 || failed > 0 || passed == 0
    }' "$log"
