#!/usr/bin/env bash
# quickstart.sh [--out DIR] [--epochs N] [--max-steps N]: from a fresh clone to two training curves.
#
# Installs what is missing, builds, and trains the recipe wage-mnist on Fashion-MNIST (on the built-in digits
# where that is not there) twice: with the recipe's stochastic rounding of the gradient, and with
# nearest-even. Everything else is equal in the two runs, random words and data order included.
#
#   --out DIR      where the runs go, by default runs/quickstart of the source tree
#   --epochs N     epochs of each run (Fashion-MNIST 5, digits 60)
#   --max-steps N  stop each run after N steps
#
# Leaves DIR/stochastic, DIR/nearest-even (log.csv in each) and DIR/curves.png. Interrupted, it goes on where
# it was when called again. FXSIM=PROGRAM in the environment: uses that instead of building.
set -eu
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}" # waiting threads do not spin where other programs want to run

epochs_fashion=5
epochs_digits=60
seed=1

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
awk() { LC_ALL=C command awk "$@"; }  # decimal points whatever the locale
say() { printf 'quickstart: %s\n' "$*"; }
top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/runs/quickstart
epochs=
budget=()
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=${2:?--out needs a directory}; shift 2 ;;
        --epochs) epochs=${2:?--epochs needs a number}; shift 2 ;;
        --max-steps) budget=(--max-steps "${2:?--max-steps needs a number}"); shift 2 ;;
        -h | --help) help; exit 0 ;;
        *) printf 'quickstart: what is "%s"? See %s --help\n' "$1" "$0" >&2; exit 2 ;;
    esac
done

if [ -z "${FXSIM:-}" ]; then
    "$top/scripts/build.sh" --for quickstart
    FXSIM=$top/build/sim/fxsim
fi

data=digits
for place in /usr/share/datasets "${XDG_DATA_HOME:-${HOME:-}/.local/share}/fxsim"; do
    if [ -e "$place/fashion-mnist/train-images-idx3-ubyte.gz" ]; then data=fashion-mnist; fi
done
if [ $data = digits ]; then
    say "Fashion-MNIST is not there (scripts/get-data.sh fashion-mnist fetches it): taking the built-in digits"
    epochs=${epochs:-$epochs_digits}
fi
epochs=${epochs:-$epochs_fashion}

train() {  # train NAME OPTION...: one run in $out/NAME; dead and stalled runs are results too
    name=$1
    shift
    say "training $name: wage-mnist on $data, $epochs epochs"
    code=0
    "$FXSIM" train wage-mnist --data "$data" --epochs "$epochs" ${budget[@]+"${budget[@]}"} --seed "$seed" \
        --out "$out/$name" --resume=auto "$@" || code=$?
    case $code in
        0) ;;
        3) say "$name ended early: diverged, dead or stalled (its log.csv says which and when)" ;;
        75 | 130 | 143) say "stopped; call this again to go on"; exit "$code" ;;
        *) say "fxsim gave up with exit code $code; to start over: rm -r '$out'" >&2; exit "$code" ;;
    esac
}
mkdir -p "$out"
train stochastic
train nearest-even -s gradient.rounding=nearest-even

picture="$out/curves.png"
if ! "$top/scripts/plot.sh" "$out/stochastic" "$out/nearest-even" -o "$picture"; then
    picture='(no picture)'
fi

printf '\n%-20s %6s %15s  %s\n' 'gradient rounding' epochs 'test error (%)' status
for name in stochastic nearest-even; do
    awk -F , -v name="$name" '
        NR == 1 { for (i = 1; i <= NF; i++) col[$i] = i; next }
        $col["test_error"] != "" { error = sprintf("%.2f", 100 * $col["test_error"]) }
        { epoch = $col["epoch"]; status = $col["status"] }
        END { printf "%-20s %6s %15s  %s\n", name, epoch, error == "" ? "-" : error, status }' "$out/$name/log.csv"
done
printf '\nnumbers: %s\n         %s\npicture: %s\n' "$out/stochastic/log.csv" "$out/nearest-even/log.csv" "$picture"
