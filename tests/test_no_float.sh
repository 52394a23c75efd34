#!/usr/bin/env bash
# test_no_float.sh: the integer datapath holds no floating point.
#
# Plain C files are compiled once more with -mgeneral-regs-only: the compiler then either refuses floating point or
# leaves calls of helpers such as __muldf3, which nm shows. Files of an instruction set are searched for floating-point
# intrinsics and their code for floating-point instructions. What is searched is found by name, so that new files are
# covered; *_f32.c belongs to the float datapath and is left out. First the test shows that it can fail.
# Environment: FX_CC, FX_CFLAGS, FX_AVX2_FLAGS, FX_AVX512_FLAGS, FX_VNNI_FLAGS, as the build sets them.
# Exit code: 0 none found, 1 some found, 77 the compiler does not know the flag.
set -u
shopt -s nullglob
cd "$(dirname "$0")/.." || exit 1
cc=${FX_CC:-cc}
flags="${FX_CFLAGS:--std=c11 -D_POSIX_C_SOURCE=200809L} -I. -O1 -w"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Outside of the datapath in sim/: what reads texts and files, writes logs and pictures, or drives a run. A new file
# that is not named here is searched like the step itself.
outside='builtin|checkpoint|cmd_.*|command.*|compare.*|config|csv|data|data_.*|draw.*|effective|histogram|ini|keys|log.*|main.*|net_build|notation|options|picture.*|png.*|recipe|run.*|schedule|sites|statistics|stats.*|text|train|version'

fail() {
    echo "FAIL: $*"
    failed=1
}

# Names of floating-point helpers among the undefined symbols of an object.
helpers() {
    nm -u "$1" | awk '{ print $NF }' |
        grep -E '^_?__((add|sub|mul|div|neg|cmp|unord|eq|ne|lt|le|gt|ge|pow)[hsdxt]f[0-9i]*|(float|floatun)[sdt]i[hsdxt]f|fix(uns)?[hsdxt]f[sdt]i|extend[hsdxt]f[hsdxt]f2|trunc[hsdxt]f[hsdxt]f2)$|^(sqrt|log2?|log10|exp2?|pow|floor|ceil|rint|nearbyint|l?lrint|l?lround|round|trunc|fma|frexp|ldexp|fabs|strto(d|f|ld)|atof)f?$'
}

# general FILE: true if FILE compiles without floating-point registers and calls no helper. Says why if not.
general() {
    # shellcheck disable=SC2086
    if ! $cc $flags -mgeneral-regs-only -c "$1" -o "$work/object.o" 2>"$work/errors"; then
        echo "$1: refused: $(grep -m1 -E 'error|not supported' "$work/errors")"
        return 1
    fi
    local found
    found=$(helpers "$work/object.o" | sort -u | tr '\n' ' ')
    [ -z "$found" ] && return 0
    echo "$1: calls $found"
    return 1
}

# words FILE: true if no float or double stands in it outside of comments and strings.
words() {
    sed -E 's/"([^"\\]|\\.)*"//g; s:/\*([^*]|\*+[^*/])*\*+/::g; s://.*$::' "$1" |
        grep -nwE 'float|double|_Float16|_Float32|_Float64|__fp16|__bf16|__m(128|256|512)d?|__m(128|256|512)bh' |
        grep -vwE '__m(128|256|512)i' >"$work/found"
    [ -s "$work/found" ] || return 0
    echo "$1: $(head -n1 "$work/found")"
    return 1
}

# simd FILE FLAGS: true if neither the source has floating-point intrinsics nor the code such instructions.
simd() {
    if grep -nE '_mm[0-9]*_[a-z0-9_]*_(ps|pd|ss|sd|ph|pbh|sh)\b' "$1" | grep -vE '_cast(ps|pd|si[0-9]+)_' | head -n1 | grep .; then
        echo "$1: a floating-point intrinsic"
        return 1
    fi
    # shellcheck disable=SC2086
    if ! $cc $flags $2 -c "$1" -o "$work/object.o" 2>"$work/errors"; then
        echo "$1: $(head -n1 "$work/errors")"
        return 1
    fi
    # moves, shuffles and logic that happen to be named ps or pd are bits; arithmetic, comparisons and conversions are not
    if objdump -d --no-show-raw-insn "$work/object.o" |
        grep -m1 -E '[[:space:]]v?((add|sub|mul|div|sqrt|rsqrt|rcp|max|min|hadd|hsub|addsub|dp|round|rndscale|scalef|reduce|range|getexp|getmant|fpclass|rsqrt14|rcp14|rsqrt28|rcp28|fixupimm|cmp[a-z_]*|u?comi|fn?m(add|sub|addsub|subadd)(132|213|231)?)(ps|pd|ss|sd|ph|sh)|cvt[a-z0-9]+|dpbf16ps)\b|[[:space:]]f(ld|st|add|sub|mul|div|sqrt|com|ucom)[a-z0-9]*\b'; then
        echo "$1: a floating-point instruction"
        return 1
    fi
    return 0
}

echo 'int f(int x) { return x + 1; }' >"$work/probe.c"
# shellcheck disable=SC2086
if ! $cc $flags -mgeneral-regs-only -c "$work/probe.c" -o "$work/object.o" 2>/dev/null; then
    echo "SKIP: $cc does not know -mgeneral-regs-only"
    exit 77
fi

plain=() vector=()
for file in formats/*.c layers/*.c sim/*.c; do
    name=$(basename "$file" .c)
    case $file in
    *_f32.c) continue ;;
    *_avx2.c | *_avx512.c | *_vnni.c | *_neon.c | *_sve.c) vector+=("$file"); continue ;;
    esac
    [[ $file == sim/* && $name =~ ^($outside)$ ]] && continue
    plain+=("$file")
done
for file in formats/quantiser.c formats/round.c formats/rng.c formats/scale.c layers/gemm.c layers/product.c \
    sim/cast.c sim/feed.c sim/init.c sim/input.c sim/memory.c sim/net_plan.c sim/step.c sim/tensor_cast.c; do
    [[ " ${plain[*]} " == *" $file "* ]] || fail "$file is not among the files that are searched"
done

# It can fail: a multiplication of doubles, a conversion and the mere word, each put into a copy of the step's file.
mkdir -p "$work/layers"
must_be_caught() {  # must_be_caught CHECK FILE TEXT FLAGS
    local copy
    copy=$work/layers/$(basename "$2")
    { cat "$2"; echo "$3"; } >"$copy"
    if "$1" "$copy" "$4" >"$work/said"; then
        fail "$1 did not see in $2: $3"
    else
        echo "caught: $(head -c 120 "$work/said" | head -n1)"
    fi
}
must_be_caught general sim/step.c 'double fx_bad(double a, double b); double fx_bad(double a, double b) { return a * b; }' ''
must_be_caught general layers/relu.c 'int fx_bad(int a); int fx_bad(int a) { return (int)(a * 0.3); }' ''
must_be_caught words layers/relu.c 'typedef float Bad;' ''

for file in "${plain[@]}"; do
    said=$(general "$file") || fail "$said"
done
for file in formats/*.[ch] layers/*.[ch] "${plain[@]}"; do
    case $file in formats/fxsim.h) continue ;; esac # hands over arrays of floats, computes nothing
    case $file in *_f32.[ch] | *_avx2.c | *_avx512.c | *_vnni.c) continue ;; esac
    said=$(words "$file") || fail "$said"
done

searched=0
if [ "$(uname -m)" = x86_64 ]; then
    avx2=${FX_AVX2_FLAGS:--mavx2 -mfma}
    avx512=${FX_AVX512_FLAGS:-$avx2 -mavx512f -mavx512bw -mavx512dq -mavx512vl}
    vnni=${FX_VNNI_FLAGS:-$avx512 -mavx512vnni}
    must_be_caught simd layers/gemm_avx2.c 'float fx_bad(const float *a); float fx_bad(const float *a) { return a[0] * a[1]; }' "$avx2"
    must_be_caught simd layers/gemm_avx2.c '__m256 fx_bad(__m256 a); __m256 fx_bad(__m256 a) { return _mm256_add_ps(a, a); }' "$avx2"
    must_be_caught simd formats/kernels_avx2.c 'float fx_bad(int a); float fx_bad(int a) { return (float)a; }' "$avx2"
    for file in "${vector[@]}"; do
        case $file in
        *_avx2.c) set -- "$avx2" ;;
        *_avx512.c) set -- "$avx512" ;;
        *_vnni.c) set -- "$vnni" ;;
        *) continue ;;
        esac
        said=$(simd "$file" "$1") || fail "$said"
        searched=$((searched + 1))
    done
    [ "$searched" -gt 0 ] || fail "no file of an instruction set was found"
fi
echo "${#plain[@]} plain files and $searched of instruction sets searched"
[ "$failed" = 0 ] || echo "A file of sim/ that no training step calls may be named in \$outside at the top of this test."
exit $failed
