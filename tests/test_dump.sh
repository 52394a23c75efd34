#!/usr/bin/env bash
# test_dump.sh FXSIM SCRIPT...: runs each tests/SCRIPT (dump_numpy.py, dump_corners.py, dump_rubbish.py) in a directory of its own.
# Exit code 77 (skipped) without a python3 that has NumPy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
fxsim=$(realpath "${1:?the program}")
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export LC_ALL=C OMP_WAIT_POLICY=passive

python=
for candidate in python3 /usr/bin/python3; do  # Debian's package serves its own python alone
    if [ -z "$python" ] && "$candidate" -c 'import sys, numpy; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
        python=$candidate
    fi
done
[ "$python" ] || { echo "SKIP: no python3 with numpy"; exit 77; }

code=0
for script; do
    mkdir "a directory of $script"
    (cd "a directory of $script" && "$python" -B "$here/$script" "$fxsim" "$here/golden") || code=1
done
exit $code
