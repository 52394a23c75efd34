#!/usr/bin/env bash
# test_hardware.sh FXSIM: fully connected layers of dumped WAGE steps against a model in Verilog (hardware/fully_connected.v),
# run by Icarus Verilog and compared by `fxsim check`. Exit code 77 (skipped) without iverilog.
#
# shellcheck disable=SC2154  # what cli.sh sets
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if ! command -v iverilog >/dev/null 2>&1 || ! command -v vvp >/dev/null 2>&1; then
    echo "SKIP: no iverilog"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$here/cli.sh"
mkdir "with a space"
cd "with a space"

model=$here/hardware/fully_connected.v

column() {  # column VEC FILE NAME: a cell of manifest.csv; nothing where there is no such file
    awk -F , -v file="$2" -v name="$3" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } $1 == file ".hex" { print $c }' "$1/manifest.csv"
}
value() { awk -F , -v key="$2" '$1 == key { print $2 }' "$1/step.csv"; }
layers() { awk -F , '$4 == "store.before" { print $3 }' "$1/manifest.csv"; }
said() { grep -qF -- "$1" out; }

replay() {  # replay VEC OUT LAYER [MODEL]: the layer's tensors as the model makes them, into OUT
    local vec=$1 out=$2 layer=$3 source=${4:-$model} shape before next alpha_before=0 sums=none kind
    shape=$(column "$vec" "$layer.store.before" shape)
    before=$(layers "$vec" | awk -v l="$layer" '$0 == l { print last } { last = $0 }')
    next=$(layers "$vec" | awk -v l="$layer" 'found { print; exit } $0 == l { found = 1 }')
    kind=$(value "$vec" "$layer.accumulator.forward")
    if [ "$before" ]; then
        sums=$before.sum.forward
        if [ "$(column "$vec" "$before.max-pool" bits)" ]; then sums=$before.max-pool; fi
        alpha_before=$(value "$vec" "$before.log2_alpha")
    fi
    local parameters=(BATCH="$(value "$vec" images)" INPUTS="${shape%x*}" OUTPUTS="${shape#*x}" ALPHA="$(value "$vec" "$layer.log2_alpha")"
        ALPHA_BEFORE="$alpha_before" LIMIT="$(value "$vec" "$layer.store_limit")" RATE_MANTISSA="$(value "$vec" rate_mantissa)"
        RATE_EXPONENT="$(value "$vec" rate_exponent)" SUM_BITS="$(column "$vec" "$layer.sum.forward" bits)"
        GRADIENT_BITS="$(column "$vec" "$layer.sum.gradient" bits)" WORD_BITS="$(column "$vec" "$layer.gradient.random" bits)")
    case $kind in saturate:*) parameters+=(SATURATE=1) ;; exact | wrap:*) ;; *) echo "no accumulator of the model: $kind" >>err; return 1 ;; esac
    if [ "$before" ]; then
        parameters+=(SOURCE_BITS="$(column "$vec" "$sums" bits)" BACK_BITS="$(column "$vec" "$layer.sum.error" bits)")
    else
        parameters+=(FIRST=1)
    fi
    if [ "$next" ]; then
        parameters+=(NEXT_BITS="$(column "$vec" "$next.sum.error" bits)")
    else
        parameters+=(LAST=1 LOSS_BITS="$(column "$vec" "$layer.logits.error" bits)")
    fi
    mkdir -p "$out"
    : >err
    iverilog -g2012 -Wall -o model.vvp "${parameters[@]/#/-Pfully_connected.}" "$source" 2>>err || return 1
    vvp -n model.vvp +vec="$vec" +out="$out" +layer="$layer" +source="$sums.hex" +before="$before" +next="$next" >>err 2>&1 || return 1
    not grep -q . err  # a warning of $readmemh: a file of another size
}

agree() {  # agree VEC LAYERS FILES: the model makes all FILES tensors of the layers
    local vec=$1 names=$2 files=$3 layer
    rm -rf model-out
    : >err
    for layer in $names; do check "$vec: the model runs $layer" replay "$vec" model-out "$layer"; done
    fx check "$vec" --against model-out
    good "$vec: the model's tensors are those of the dump"
    check "$vec: all $files of them" said "$files tensors compared, 0 differ"
}

flip() {  # flip FILE N: the lowest bit of element N, first 1
    awk -v n="$2" '
        /^\/\// { print; next }
        { i++ }
        i == n { sub(/.$/, substr("1032547698badcfe", index("0123456789abcdef", substr($0, length($0))), 1)) }
        { print }' "$1" >changed && mv changed "$1"
}
signed() {  # signed WORD BITS: two's complement
    local value=$((16#$1))
    echo $((value >= 1 << ($2 - 1) ? value - (1 << $2) : value))
}
element() { grep -v '^//' "$1" | sed -n "$2p"; }

test_real_run() {
    fx train wage --net 4C3-MP2-16FC-10SSE --batch 8 --epochs 2 --seed 5 --threads 1 --quiet --out run -s "update.rate=8 1@1"; good "a run"
    for step in 0 3 300; do
        fx dump run --step $step --trace --as hex --out step$step; good "dump of step $step"
        agree step$step "fc2 fc3" 26
    done
    check "the rate has changed" [ "$(value step3 rate_exponent)" != "$(value step300 rate_exponent)" ]
    fx train wage --net 24FC-10SSE --batch 12 --epochs 1 --quiet --threads 1 --out narrow -s update.rate=3 -s store.clip=grid \
        -s accumulator.kind=saturate:11 -s gradient.rounding=stochastic:16:below -s random.lane=16
    good "a run with narrow saturating sums, a rate of 3, words of 16 bits and the paper's clip"
    fx dump narrow --step 40 --trace --as hex --out narrow40; good "its dump"
    agree narrow40 "fc1 fc2" 21
}

test_corners() {
    fx dump --corners --as hex --out corners; good "the planted steps"
    for corner in corners/*; do
        case $(layers "$corner" | wc -l) in
            1) agree "$corner" fc1 9 ;;
            *) if [ -e "$corner/conv1.weight.hex" ]; then agree "$corner" fc2 14; else agree "$corner" "fc1 fc2" 21; fi ;;
        esac
    done
}

test_wrong_bits() {
    local expected found
    replay step3 bad fc2
    replay step3 bad fc3
    flip bad/fc2.update.hex 518  # 517 = 32 * 16 + 5
    expected=$(signed "$(element step3/fc2.update.hex 518)" 8)
    found=$(signed "$(element bad/fc2.update.hex 518)" 8)
    fx check step3 --against bad
    check "a wrong bit of OUT: exit code 1" [ $code = 1 ]
    check "layer, tensor and index are named" said "bad/fc2.update.hex: layer fc2, update, element [32,5] (in.out): "
    expected="$expected (0x$(element step3/fc2.update.hex 518))"
    found="$found (0x$(element bad/fc2.update.hex 518))"
    check "and what was expected and found" said "expected $expected, found $found; 1 of 1024 differ"
    check "and how many files differ" said "26 tensors compared, 1 differ"

    # ties up, not to even: the first that it moves is told from the sums by arithmetic of its own
    sed 's/ || (rest == half && quotient\[0\])/ || rest == half/' "$model" >ties.v
    check "a changed copy of the model" not cmp -s "$model" ties.v
    replay step3 ties fc3 ties.v
    local wanted
    wanted=$(grep -v '^//' step3/fc2.relu.hex | awk -v s=$((1 + $(value step3 fc2.log2_alpha))) '
        function number(t, v, i) { for (i = 1; i <= length(t); i++) v = v * 16 + index("0123456789abcdef", substr(t, i, 1)) - 1; return v }
        { z = number($1); q = int(z / 2 ^ s) }
        z - q * 2 ^ s == 2 ^ (s - 1) && q % 2 == 0 && q < 127 {
            printf "element [%d,0,0,%d] (n.h.w.c): ", int((NR - 1) / 16), (NR - 1) % 16
            printf "expected %d (0x%02x), found %d (0x%02x)", q, q, q + 1, q + 1
            exit
        }')
    fx check step3 --against ties
    check "ties rounded up: exit code 1" [ $code = 1 ]
    check "such a tie is there" [ "$wanted" ]
    check "layer, tensor, index and both values are named" said "ties/fc3.activation.hex: layer fc3, activation, $wanted"
}

test_real_run
test_corners
test_wrong_bits
[ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }
