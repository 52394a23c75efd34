#!/usr/bin/env bash
# comparison.sh NAME [--out DIR] [--data D] [--net N] [--epochs E] [--seeds LIST] [-- SWEEP_OPTION...]: a comparison
# that is often asked for, from sweep to table and figure.
#
#   roundings       WAGE's gradient: stochastic, to nearest, toward zero
#   gradient-bits   WAGE's gradient and kept weights in 2 to 8 bits, the rate halved for each bit that is gone
#                   (Wu et al. 2018, table of k_G)
#   fp8             8-bit floats in one recipe (Mellempudi et al. 2019): 1-5-2 and 1-4-3 everywhere, 1-4-3 forward with
#                   1-5-2 backward, beside 16 bits; the first and the last layer stay in 16, so a net needs three
#
#   --out DIR       by default runs/NAME of the source tree; called again it goes on
#   --data D        by default digits, the built-in ones; the README's figures are of MNIST and CIFAR-10
#   --net N         by default what the data set asks for
#   --epochs E      by default 30; WAGE's rate falls to an eighth after two thirds and again after five sixths
#   --seeds LIST    by default 1,2,3
#   -- ...          handed to sweep.sh, as --jobs 2 or --verify 3; after --dry-run or --slurm there is no table yet
#
# Leaves the runs, table.txt, table.md and NAME.png with NAME.csv in DIR. Exit codes: those of sweep.sh.
set -eu

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" | sed '$d'; }
fail() { printf 'comparison: %s\n' "${1//[[:cntrl:]]/?}" >&2; exit "${2:-1}"; }
put() { { cat >"$1.new" && mv -f "$1.new" "$1"; } 2>/dev/null || { rm -f "$1.new"; fail "$1 cannot be written: is the disk full?"; }; }
true >&2 || exec 2>/dev/null
trap 'exit 75' INT TERM
top=$(cd "$(dirname "$0")/.." && pwd)
name='' out='' data=digits net=auto epochs=30 seeds=1,2,3
while [ $# -gt 0 ]; do
    case $1 in
        --out | --data | --net | --epochs | --seeds) [ -n "${2:-}" ] || fail "$1: a value must follow" 2 ;;
    esac
    case $1 in
        --out) out=$2; shift 2 ;;
        --data) data=$2; shift 2 ;;
        --net) net=$2; shift 2 ;;
        --epochs) epochs=$2; shift 2 ;;
        --seeds) seeds=$2; shift 2 ;;
        -h | --help) help; exit 0 ;;
        --) shift; break ;;
        -*) fail "no option \"$1\"; see $0 --help" 2 ;;
        *) [ -z "$name" ] || fail "\"$1\" behind $name: one comparison at a time" 2
            name=$1; shift ;;
    esac
done
case $epochs in '' | 0* | *[!0-9]* | ?????*) fail "--epochs \"$epochs\": a whole number from 1 to 9999 is needed" 2 ;; esac
export FXSIM="${FXSIM:-$top/build/sim/fxsim}"
command -v -- "$FXSIM" >/dev/null || fail "no program $FXSIM: scripts/build.sh builds it, FXSIM=PROGRAM names another"
runs_here=yes
for word; do
    case $word in
        --dry-run | --slurm) runs_here=no ;;
        --out | --seeds | --status | -h | --help | --) fail "$word behind --: sweep.sh gets it from here" 2 ;;
    esac
done
case $out in -*) out=./$out ;; *[[:cntrl:]]*) fail "--out $out: no line breaks" 2 ;; esac

first=$((2 * epochs / 3)) second=$((5 * epochs / 6))
power() { if [ "$1" -ge 0 ]; then printf %s $((1 << $1)); else printf %s "1/$((1 << -$1))"; fi; }  # 2^N
rate() {  # rate N: 2^N, then an eighth, then a 64th
    power "$1"
    [ $first = 0 ] || printf ' %s@%s' "$(power $(($1 - 3)))" $first
    [ $second = $first ] || printf ' %s@%s' "$(power $(($1 - 6)))" $second
}
recipe=wage-mnist settings=() options=()
case $name in
    roundings)
        by=gradient.rounding kind=curves
        settings=(--grid "$by=stochastic:32:below,nearest-even,toward-zero")
        options=(-s "update.rate=$(rate 3)") ;;
    gradient-bits)
        by=gradient.grid kind=against grids='' rates=''
        for bits in 8 7 6 5 4 3 2; do
            grids+=${grids:+,}fixed$bits
            rates+=${rates:+,}$(rate $((bits - 5)))
        done
        settings=(--zip "$by=$grids" --zip "store.grid=$grids" --zip "update.rate=$rates") ;;
    fp8)
        recipe=fp8-mellempudi2019 by=weight.grid,error.grid kind=curves
        forward=fp16,e5m2,e4m3fn,e4m3fn backward=fp16,e5m2,e4m3fn,e5m2
        settings=(--zip "weight.grid=$forward" --zip "activation.grid=$forward" --zip "error.grid=$backward" --zip "gradient.grid=$backward")
        # the recipe's constant 10000 is for 1-5-2: errors of 1-4-3 would overflow in every step
        options=(-s loss-scale.mode=dynamic -s loss-scale.value=1024 -s "loss-scale.growth=2 after 500s" -s loss-scale.backoff=0.5) ;;
    '') fail "a name is missing: roundings, gradient-bits, fp8; see $0 --help" 2 ;;
    *) fail "no comparison \"$name\"; known: roundings gradient-bits fp8" 2 ;;
esac
out=${out:-$top/runs/$name}

[ $runs_here = no ] || command -v gnuplot >/dev/null 2>&1 ||
    fail "gnuplot is not there; scripts/setup.sh sweep installs it (Debian: gnuplot-nox)"  # before the hours of a sweep
code=0
"$top/scripts/sweep.sh" "$recipe" --out "$out" "${settings[@]}" --seeds "$seeds" "$@" -- \
    --data "$data" --net "$net" --epochs "$epochs" ${options[@]+"${options[@]}"} || code=$?
[ $code = 0 ] || [ $code = 3 ] || exit $code  # runs that diverged, died or stalled are results
[ $runs_here = yes ] || exit $code
# Runs that stalled or died count with what they ended at, and are named.
text=$("$FXSIM" compare "$out" --by $by --include-failed)
printf '%s\n' "$text" | put "$out/table.txt"
"$FXSIM" compare "$out" --by $by --include-failed --format markdown 2>/dev/null | put "$out/table.md"
printf '%s\n' "$text"
case $kind in
    curves) "$top/scripts/plot.sh" curves "$out" -o "$out/$name.png" ;;
    against) "$top/scripts/plot.sh" against $by "$out" --by recipe -o "$out/$name.png" ;;
esac
printf 'table: %s\nfigure: %s\n' "$out/table.txt" "$out/$name.png"
exit $code
