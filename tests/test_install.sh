#!/usr/bin/env bash
# test_install.sh BUILD: what a program of others finds after "meson install" of the build folder BUILD.
#
# Installs into a temporary folder, builds formats/examples against that through pkg-config alone, shared and static,
# and compares what they print; the header by itself as C and C++; the symbols that the shared library exports.
# Environment: FX_CC the compiler, FX_CFLAGS flags that everything of this build needs (sanitizers, coverage).
# Exit code 77 (skipped) without meson, pkg-config or a shared library.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${1:?usage: test_install.sh BUILD}
read -r -a cc <<<"${FX_CC:-cc}"
# shellcheck disable=SC2206  # words on purpose
flags=(-std=c11 -Wall -Wextra -Wpedantic -Werror ${FX_CFLAGS:-})
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

has() { command -v "$1" >/dev/null 2>&1; }
run() {  # run COMMAND...: $code is its exit code, $work/out what it printed
    code=0
    "$@" >"$work/out" 2>&1 </dev/null || code=$?
}
check() {  # check SENTENCE COMMAND...: the command must succeed; shows the last output if it does not
    if "${@:2}"; then
        printf 'ok    %s\n' "$1"
    else
        printf 'FAIL  %s\n' "$1"
        sed 's/^/      | /' "$work/out"
        failures=$((failures + 1))
    fi
}
exited() { [ "$code" = "$1" ]; }
for tool in meson pkg-config; do
    has "$tool" || { echo "SKIP: no $tool"; exit 77; }
done

# The prefix may be /usr/local or /usr: DESTDIR puts a folder in front of it, PKG_CONFIG_SYSROOT_DIR in front of the
# paths that pkg-config prints, and those that the system would find by itself are not left out.
run meson install -C "$build" --destdir "$work/root" --no-rebuild
check "meson install succeeds" exited 0
pc=$(find "$work/root" -name fxsim.pc)
check "there is a fxsim.pc" test -n "$pc"
[ -n "$pc" ] || exit 1
export PKG_CONFIG_LIBDIR="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$work/root"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
unset PKG_CONFIG_PATH
pkg() { pkg-config "$@" fxsim; }
libdir=$work/root$(pkg --variable=libdir | sed "s|^$work/root||")
export LD_LIBRARY_PATH="$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" DYLD_LIBRARY_PATH="$libdir"
read -r -a cflags <<<"$(pkg --cflags)"
read -r -a libs <<<"$(pkg --libs)"
read -r -a static_libs <<<"$(pkg --libs --static | sed "s|-lfxsim|$libdir/libfxsim.a|")"
include=${cflags[0]#-I}

run diff "$top/formats/fxsim.h" "$include/fxsim.h"
check "fxsim.h is where pkg-config says" exited 0
run find "$include" -type f
check "no other header is installed" test "$(wc -l <"$work/out")" = 1

# The header alone, with nothing before it.
strict=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only)
echo '#include <fxsim.h>' >"$work/header.c"
run "${cc[@]}" -std=c11 "${strict[@]}" "${cflags[@]}" "$work/header.c"
check "the header compiles alone as C11" exited 0
if has c++; then
    for standard in c++11 c++17; do
        run c++ -x c++ -std="$standard" "${strict[@]}" "${cflags[@]}" "$work/header.c"
        check "the header compiles alone as $standard" exited 0
    done
else
    echo "SKIP  the header as C++: no c++"
fi

# Exported: what the header declares FX_PUBLIC, all of it and nothing else.
tr '\n' ' ' <"$top/formats/fxsim.h" | grep -oE 'FX_PUBLIC [^;(]*\(' | grep -oE 'fx_[a-z0-9_]+\($' | tr -d '(' | sort >"$work/public"
library=$(find "$libdir" -maxdepth 1 \( -name 'libfxsim.so' -o -name 'libfxsim.dylib' \) | head -n1)
check "the header has public functions" test -s "$work/public"
if ! has nm || [ -z "$library" ] || [ "${library%.so}" = "$library" ]; then
    echo "SKIP  the exported symbols: no nm or no libfxsim.so"
elif [[ "${FX_CFLAGS:-}" = *-fsanitize* || "${FX_CFLAGS:-}" = *--coverage* ]]; then
    echo "SKIP  the exported symbols: those of $FX_CFLAGS are among them"
else
    nm -D --defined-only "$library" | awk '{ print $NF }' | sort >"$work/exported"
    run diff "$work/public" "$work/exported"
    check "libfxsim.so exports the public functions of fxsim.h and nothing else" exited 0
    # Names of a static library meet those of the whole program.
    nm -g --defined-only "$libdir/libfxsim.a" 2>/dev/null | awk 'NF == 3 && $3 !~ /^fx_/ { print $3 }' >"$work/out"
    check "every global name in libfxsim.a begins with fx_" test ! -s "$work/out"
fi

cat >"$work/quantise.expected" <<'END'
1          0x38  1
0.3        0x2a  0.3125
-0.3       0xaa  -0.3125
3.14159    0x45  3.25
1000       0x7e  448
0.0001     0x00  0
0          0x00  0
2.71828    0x43  2.75
8 numbers: 1 saturated, 1 underflowed, 2 zeros, 1 at the limit
END
cat >"$work/own_format.expected" <<'END'
nf4: 0.246112 -0.696193 0.44071 1 0.0795803 -1 1 0; 3 saturated
nf4/floor: 0.246112 -1 0.44071 1 0 -1 1 0; 3 saturated
nf4/stochastic:16: 0.246112 -0.696193 0.562617 1 0.0795803 -1 1 0; 3 saturated
nf4@block4:ceil/nearest-odd: 0.32186 -0.789835 0.492225 1.12523 0 -2.9136 18.0037 0; 0 saturated
fixed4f1/nearest-odd: 0.5 -0.5 0.5 1.5 0 -3 3.5 0; 1 saturated
e4m3fn/nearest-odd: 0.25 -0.75 0.5 1.25 0.0390625 -3 18 0; 0 saturated
mean of 100000 levels drawn for 0.25: 0.2499
END

# example NAME HOW LIBS...: builds formats/examples/NAME.c and compares the end of its output: before that quantise
# prints an explanation, whose words are free.
example() {
    local name=$1 how=$2 expected=$work/$1.expected
    shift 2
    run "${cc[@]}" "${flags[@]}" "${cflags[@]}" "$top/formats/examples/$name.c" -o "$work/$name" "$@"
    if [ "$code" != 0 ] && grep -qE 'undefined.*__(asan|ubsan|tsan|msan|lsan|sanitizer|gcov|llvm|profile)' "$work/out"; then
        echo "SKIP  $name, $how: the runtime of [${FX_CFLAGS:-}] is missing: $(tail -n1 "$work/out")"
        return
    fi
    check "$name compiles and links, $how" exited 0
    [ "$code" = 0 ] || return 0
    run "$work/$name"
    check "$name runs, $how" exited 0
    tail -n "$(wc -l <"$expected")" "$work/out" >"$work/end"
    cp "$work/out" "$work/said"
    run diff "$expected" "$work/end"
    check "$name prints what it should, $how" exited 0
    if [ "$name" = quantise ]; then
        cp "$work/said" "$work/out"
        check "the explanation names the grid, $how" grep -q e4m3fn "$work/out"
    fi
}
for name in quantise own_format; do
    example "$name" shared "${libs[@]}"
    example "$name" static "${static_libs[@]}"
done
if has ldd && [ -x "$work/quantise" ]; then
    run ldd "$work/quantise"
    check "the static example needs no libfxsim.so" test "$(grep -c libfxsim "$work/out")" = 0
fi
[ "$failures" = 0 ]
