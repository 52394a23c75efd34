#!/usr/bin/env bash
# test_quantize.sh FXSIM: fxsim formats NAME and fxsim quantize: known answers, round trips of all codes, pieces against
# the whole, every bad input with its exit code.
#
# shellcheck disable=SC2154  # what cli.sh sets
set -eu

# shellcheck source=tests/cli.sh
. "$(dirname "$0")/cli.sh"

feed() {  # feed 'INPUT' ARGUMENT...: as fx, with printf's text as standard input
    local input=$1
    shift
    code=0
    # shellcheck disable=SC2059  # a format on purpose: \n
    printf -- "$input" | timeout 600 "$fxsim" quantize "$@" >out 2>err || code=$?
}
gives() {  # gives 'INPUT' 'OUTPUT' ARGUMENT...: lines of the output joined by blanks
    local input=$1 want=$2
    shift 2
    feed "$input" "$@"
    good "quantize $* of ${input//\\n/ }"
    check "is $want" [ "$(tr '\n' ' ' <out)" = "$want " ]
}
counts() { check "$1 is $2" [ "$(awk -v name="$1" '$1 == name { print $2 }' err)" = "$2" ]; }  # a line of the statistics
has_png() { "$fxsim" formats e4m3fn --png probe.png >/dev/null 2>&1; }
same() { check "$1" cmp -s "$2" "$3"; }

test_known() {
    gives '464\n465\n-1e9\n' '448 448 -448' e4m3fn --decimal
    counts n 3; counts saturated 2; counts at_limit 3; counts max_abs 1000000000; counts exponent 0
    gives '464\n465\n-465\n' '0x7e 0x7f 0xff' e4m3fn/inf --codes
    gives '464.001\ninf\n-inf\nnan\n' '448 nan nan nan' e4m3fn/propagate --decimal
    counts nonfinite 3; counts saturated 1
    # where nearest-even overflows, from specs 4.2
    gives '61439.9\n61440\n' '57344 inf' e5m2/inf --decimal
    gives '247.9\n248\n' '240 inf' e4m3/inf --decimal
    gives '247.9\n248\n' '240 nan' e4m3fnuz/inf --decimal
    gives '30.9\n31\n' '30 nan' e4m3b11fnuz/inf --decimal
    gives '30.5\n30.501\n' '30 nan' e3m4fn/inf --decimal
    gives '53248\n53249\n' '49152 inf' binary8p3se/inf --decimal
    gives '232\n232.1\n' '224 inf' binary8p4se/inf --decimal
    gives '65519.9\n65520\n' '65504 inf' fp16/inf --decimal
    gives '0x1.FEFFFp127\n0x1.FFp127\n' '0x1.fep+127 inf' bf16/inf
    gives '0x1p-150\n0x1.8p-150\n0x1p-133\n0x1.8p-134\n' '0x0p+0 0x0p+0 0x1p-133 0x1p-133' bf16
    counts underflowed 2; counts zeros_out 2; counts zeros_in 0
    gives '0\n-0\n0.24\n0.25\n0.75\n2.5\n5\n7\n-9\n' '0x0 0x8 0x0 0x0 0x2 0x4 0x6 0x7 0xf' e2m1fn --codes
}

test_forms() {
    feed '2.5\n-2.5\n200\n' fixed8f0 --both; good "--both"
    check "is a code, a blank, a value" [ "$(tr '\n' '|' <out)" = '2 0x1p+1|-2 -0x1p+1|127 0x1.fcp+6|' ]
    gives '0.5\n-3\n' '32 -127' fixed8f6 --codes
    gives '16\n-20\n' '-128 96' fixed8f3t/nearest-even/wrap --codes
    gives '-0.2\n0.6\n' '-1 1' binary --codes
    gives '-0.2\n0.6\n-7\n' '0 1 -1' ternary --codes
    gives '1\n' '0x7f' e8m0 --codes
    gives '1\n' '0x3f80' bf16 --codes
    gives '1\n' '0x1fc00' tf32 --codes
    gives '1\n' '0x3f800000' fp32 --codes
    gives '1\n' '1' fixed62f0 --codes
    gives '0.1\n' '0.10000000149011612' fp32 --decimal
    gives '0.1\n' '0x1.99999ap-4' fp32
    gives ' 1 \n\t0x1.8p1\r\n.5\n5.\n1e0\nINF\n-Infinity\nNaN\n+1' '1 3 0.5 5 1 448 -448 nan 1' e4m3fn --decimal
    gives '1e999\n-1e999\n1e-999\n' 'inf -inf 0' e5m2/propagate --decimal
    counts nonfinite 2; counts zeros_in 1
    feed '' e4m3fn; good "no input"
    counts n 0; counts saturated 0; counts max_abs 0
    check "no line comes of no input" [ ! -s out ]
    # a number is rounded once to float64, half to even: 2^53 + 1 is 2^53
    gives '9007199254740993\n9007199254740995\n' '9007199254740992 9007199254740996' fixed62f0 --codes
    printf '1\n2\n' >two; fx quantize e4m3fn two; good "a file"
    check "is read" [ "$(tr '\n' ' ' <out)" = '0x1p+0 0x1p+1 ' ]
}

test_scales() {
    printf '1\n-3\n0.3\n' >three
    fx quantize fixed8@max three --codes; good "a regular file as one tensor"
    check "one exponent" [ "$(tr '\n' ' ' <out)" = '32 -96 10 ' ]
    counts exponent -5
    gives '1\n-3\n0.3\n' '64 -96 77' fixed8@max --codes --group 1
    counts groups 3
    fx quantize fixed8@real-max three --codes; good "a real scale"
    check "its codes" [ "$(tr '\n' ' ' <out)" = '42 -127 13 ' ]
    counts scale 0x1.83060cp-6
    gives '1\n-3\n0.3\n' '0x4 0xf 0x1' e2m1fn@block32 --codes
    counts exponent -1
    gives '1\n4\n8\n1\n' '0x2 0x6 0x6 0x1' e2m1fn@block32 --codes --channels 2
    counts groups 2
    gives '1\n4\n8\n1\n' '8 64 64 16' fixed8@max.channel --codes --channels 2 --group 4
    counts groups 2
    # the state goes on: an all-zero group keeps the last exponent
    gives '16\n0\n16\n' '0x1p+4 0x0p+0 0x1p+4' fixed8@max --group 1
    fx quantize inq:b4 three --decimal; good "inq of a file"
    check "n1 comes of the file's maximum" [ "$(tr '\n' ' ' <out)" = '1 -4 0.5 ' ]
    counts exponent 2
}

# Pieces: the input is longer than one, so that blocks and random bits cross cuts.
numbers() { awk -v n="$1" 'BEGIN { x = 1; for (i = 0; i < n; i++) { x = (x * 16807) % 2147483647; printf "%.9g\n", (x / 1073741824 - 1) * 2 ^ (i % 13 - 6) } }'; }
test_pieces() {
    local format
    numbers 150001 >many
    for format in e4m3fn/stochastic fixed8f4/stochastic:8:below e2m1fn@block48 fixed6@max.block7/equal; do
        "$fxsim" quantize "$format" --codes --seed 5 --step 3 <many >whole 2>stats; code=$?
        good "$format in pieces"
        check "every number is there" [ "$(wc -l <whole)" = 150001 ]
        # the same numbers as one tensor: --group is one call of the library
        "$fxsim" quantize "$format" --codes --seed 5 --step 3 --group 150001 <many >group 2>stats2
        same "$format: pieces are the whole" whole group
        same "$format: and so are the statistics" stats stats2
        "$fxsim" quantize "$format" --codes --seed 5 --step 3 <many >again 2>/dev/null
        same "$format: the same seed, the same bytes" whole again
    done
    head -n 65 many >some
    "$fxsim" quantize fixed8f4/stochastic --codes <some >a 2>/dev/null
    for format in --seed=1 --stream=1 --step=1 --lane=16; do
        "$fxsim" quantize fixed8f4/stochastic --codes $format <some >b 2>/dev/null
        check "$format: other random bits" not cmp -s a b
    done
    "$fxsim" quantize fp32 --raw-out <many >many.raw 2>/dev/null
    check "--raw-out writes 4 bytes a number" [ "$(wc -c <many.raw)" = 600004 ]
    "$fxsim" quantize e5m2/stochastic:8 --seed 9 --raw many.raw >from-raw 2>stats
    "$fxsim" quantize fp32 --decimal <many 2>/dev/null | "$fxsim" quantize e5m2/stochastic:8 --seed 9 >from-text 2>stats2
    same "--raw and text agree" from-raw from-text
    same "in statistics too" stats stats2
    "$fxsim" quantize e5m2 --raw many.raw >whole 2>/dev/null
    { head -c 300000 many.raw | "$fxsim" quantize e5m2 --raw; tail -c +300001 many.raw | "$fxsim" quantize e5m2 --raw; } >halves 2>/dev/null
    same "a file in two halves is the whole" whole halves
    "$fxsim" quantize fixed8@max --codes many >whole 2>/dev/null
    "$fxsim" quantize fixed8@max --codes --group 150001 <many >group 2>/dev/null
    same "a file as one tensor and --group agree" whole group
    "$fxsim" quantize fixed12@autoflex --group 1000 --codes <many >whole 2>/dev/null
    check "controllers: every number is there" [ "$(wc -l <whole)" = 150001 ]
    head -n 70000 many | "$fxsim" quantize fixed12@autoflex --group 1000 --codes >start 2>/dev/null
    same "controllers go on from group to group" start <(head -n 70000 whole)
}

# A file of several pieces, read twice for its maximum, is one tensor.
test_twice() {
    seq 1 150000 | awk '{ print ($1 * 7919 % 10007 - 5000) / 37 }' >numbers
    local format
    for format in fixed8@max fixed6@max-ceil e4m3fn@max-fit fixed8@shift e5m2@shift-floor/stochastic:8; do
        "$fxsim" quantize "$format" --both --seed 5 numbers >twice 2>twice.err
        "$fxsim" quantize "$format" --both --seed 5 --group 150000 numbers >once 2>once.err
        same "$format: a file read twice gives what one tensor gives" twice once
        same "$format: and its statistics" twice.err once.err
    done
    : >nothing
    "$fxsim" quantize fixed8@max nothing >out 2>err
    check "an empty file gives no line" [ ! -s out ]
}

test_bad() {
    local text format
    for text in abc '' '1 2' 0x '0x1.8q' 'nan(3)' 1e5x '1,5' -- -- '1e' '+-1' '0b1' "$(printf '%05000d' 1)"; do
        feed "1\n2\n$text\n4\n" e4m3fn
        bad 4 "the line \"${text:0:20}\"" ':3:' '0x1.8p-3'
        check "what stands before it is written" [ "$(tr '\n' ' ' <out)" = '0x1p+0 0x1p+1 ' ]
    done
    feed '1\n\0002\n' e4m3fn; bad 4 "a byte 0" :2:
    feed '1\n2\nx\n' fixed8@max --group 3; bad 4 "half a tensor" :3:
    check "is not written" [ ! -s out ]
    feed '1\n2\n3\nx\n' e2m1fn@block2; bad 4 "half a block" :4:
    check "is not written, the block before it is" [ "$(wc -l <out)" = 2 ]
    feed '123456' e4m3fn --raw; bad 4 "half a float32" '2 bytes'
    check "the whole one is written" [ "$(wc -l <out)" = 1 ]
    feed '1\n2\n3\n4\n5\n' e4m3fn --channels 2; bad 4 "half a row" '5 numbers' '--channels 2'
    head -c 100000 /dev/zero >zeros; fx quantize e4m3fn zeros; bad 4 "a binary file" zeros:1:
    fx quantize e4m3fn no.txt; bad 1 "a file that is not there" no.txt
    mkdir -p folder; fx quantize e4m3fn folder; bad 1 "a directory" folder
    fx quantize; bad 2 "no format" e4m3fn
    fx quantize e9m9; bad 2 "an unknown format" e9m9 e4m3fn
    fx quantize e4m3fn/wrap; bad 2 "an overflow that is not there" wrap
    fx quantize e4m3fn a b; bad 2 "two files" '"b"'
    for text in --sed -x --raw=1 --valuess; do fx quantize e4m3fn "$text"; bad 2 "option $text" "$text"; done
    for text in --seed --seed=-1 --seed=18446744073709551616 --seed=1x --stream=4294967296 --step= --group=0 --group=1e3 --channels=0; do
        fx quantize e4m3fn "$text"; bad 2 "$text" "${text%=*}"
    done
    for text in 9 24 64; do fx quantize e4m3fn/stochastic --lane $text; bad 2 "--lane $text" 32; done
    fx quantize e4m3fn/stochastic:16 --lane 8; bad 2 "a lane that is too narrow" 16
    fx quantize e4m3fn --values --codes; bad 2 "two forms" --codes
    fx quantize e4m3fn --codes --decimal; bad 2 "decimal codes" --decimal
    fx quantize e4m3fn --raw-out --both; bad 2 "raw codes" --raw-out
    fx quantize fixed8@max.channel --group 4; bad 2 "channels without a number" --channels
    fx quantize fixed8@max --group 4 --channels 3; bad 2 "a group of half a row" --group
    for format in fixed8@max fixed8@shift fixed8@overflow fixed8@real-mean inq:b4; do
        feed '1\n' $format; bad 2 "$format from a pipe" --group
    done
    for format in fixed8/pseudo fixed8/add-constant:3 fixed8/signed-sr-eps:0.1; do
        fx quantize $format; text=${format#*/}; bad 2 "$format" "${text%%:*}"
    done
}

test_formats() {
    local format name
    fx formats; good "formats"
    for name in fp8-152 dlfloat16 overflow:R:CALLS:PPM blockN propagate .channel; do check "lists $name" grep -qF -- "$name" out; done
    fx formats e4m3fn fixed8f3 log2:b4:fsr1 e5m2/stochastic:8; good "formats of four"
    for name in 'e4m3fn@const:0/nearest-even/saturate' 'e5m2@const:0/stochastic:8:c/saturate' '448 = 0x1.cp+8, code 0x7e' \
        '0.001953125 = 0x1p-9, code 0x01' '0.015625 = 0x1p-6, code 0x08' '|x| > 464' 'NaN 0x7f; -0 0x80; NaN 0xff' \
        '15.875 = 0x1.fcp+3, code 127' 'Inf 0x7c; NaN 0x7d .. 0x7f; -0 0x80' '0 1111 110'; do
        check "says $name" grep -qF -- "$name" out
    done
    fx formats dlfloat16; good "dlfloat16"
    check "is merged at the top" grep -qF 'NaN 0x7fff; -0 0x8000; NaN 0xffff' out
    check "has no code table" [ "$(wc -l <out)" -lt 20 ]
    fx formats dlfloat16 --codes; good "--codes"
    check "all codes of 16 bits" [ "$(grep -c '^ *0x[0-9a-f]* ' out)" = 65536 ]

    fx formats e2m1fn --csv; good "--csv"
    check "e2m1fn's table" [ "$(cut -d , -f 2-5 out | tr '\n' ' ')" = "code,bits,class,value 0x0,0000,zero,0 0x1,0001,subnormal,0.5 \
0x2,0010,normal,1 0x3,0011,normal,1.5 0x4,0100,normal,2 0x5,0101,normal,3 0x6,0110,normal,4 0x7,0111,normal,6 0x8,1000,zero,-0 \
0x9,1001,subnormal,-0.5 0xa,1010,normal,-1 0xb,1011,normal,-1.5 0xc,1100,normal,-2 0xd,1101,normal,-3 0xe,1110,normal,-4 0xf,1111,normal,-6 " ]
    fx formats e4m3fn e5m2 --csv; good "two formats as CSV"
    check "one header, 512 rows" [ "$(grep -c '^format,' out) $(wc -l <out)" = '1 513' ]
    check "e4m3fn's NaN" grep -qx 'e4m3fn,0x7f,01111111,nan,nan,nan' out
    check "e5m2's -Inf" grep -qx 'e5m2,0xfc,11111100,inf,-inf,-inf' out
    check "every row has 6 cells" [ "$(awk -F , '{ print NF }' out | sort -u)" = 6 ]
    fx formats fixed3f1t@const:2 --csv; good "a scale's values"
    check "are scaled" [ "$(tail -n +2 out | cut -d , -f 2,3,5 | tr '\n' ' ')" = '-4,100,-8 -3,101,-6 -2,110,-4 -1,111,-2 0,000,0 1,001,2 2,010,4 3,011,6 ' ]

    # every finite value is its own code, in both texts
    for format in e4m3fn e5m2 e3m4 e5m2fnuz e4m3b11fnuz hfp8_143_nosub e3m2fn e2m1fn fp16 bf16 dlfloat16 binary8p4se e8m0 fixed8f3t ufixed6f-2 \
        binary ternary log2:b4:fsr1 logsqrt2:b5:fsr0 float:e4m3:bias3:ieee:normz; do
        "$fxsim" formats "$format" --csv | awk -F , 'NR > 1 && $4 != "inf" && $4 != "nan" && $4 != "unused"' >rows
        cut -d , -f 2 rows >codes
        cut -d , -f 5 rows | "$fxsim" quantize "$format" --codes 2>/dev/null >back
        same "$format: $(wc -l <rows) decimals read back" codes back
        cut -d , -f 6 rows | "$fxsim" quantize "$format" --codes 2>/dev/null >back
        same "$format: exact texts read back" codes back
    done
    "$fxsim" formats inq:b4 --csv >out
    check "inq's unused codes have no value" [ "$(grep -c ',unused,,$' out)" = 7 ]

    fx formats posit8; bad 2 "an unknown format" posit8
    fx formats e4m3fn --cvs; bad 2 "an unknown option" --cvs
    fx formats --csv; bad 2 "no name" --csv
    fx formats fp32 --csv; bad 2 "too many codes" fp32 32
    fx formats tf32 --codes; bad 2 "too many codes" tf32 19
    fx formats e4m3fn --png; bad 2 "no file" --png
    fx formats e4m3fn --png a --png b; bad 2 "two files" --png
    # shellcheck disable=SC2046  # words
    fx formats $(printf 'fixed%d ' {2..50}); bad 2 "49 formats" 48
}

test_png() {
    local format
    if ! has_png; then
        fx formats e4m3fn --png probe.png; bad 1 "a picture without libpng" libpng
        skip "pictures: built without libpng"
        return 0
    fi
    for format in e4m3fn 'fp16 bf16 fp32 e4m3fn fixed8' binary 'fixed8f9999 fixed62f-9999' inq:b2 ufixed1 float:e8m23:bias127:ieee:flush; do
        # shellcheck disable=SC2086  # words
        fx formats $format --png picture.png; good "a picture of $format"
        check "is a PNG" [ "$(head -c 8 picture.png | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]
        check "1600 wide" [ "$(head -c 20 picture.png | tail -c 4 | od -An -tx1 | tr -d ' \n')" = 00000640 ]
        check "that ends" [ "$(tail -c 12 picture.png | od -An -tx1 | tr -d ' \n')" = 0000000049454e44ae426082 ]
        check "and no text" [ ! -s out ]
    done
    fx formats e4m3fn --png nowhere/picture.png; bad 1 "a picture in no directory" nowhere/picture.png
    [ ! -e /dev/full ] || { fx formats e4m3fn --png /dev/full; bad 1 "a picture onto a full disk" /dev/full; }
}

test_full() {
    local words
    [ -e /dev/full ] || return 0
    seq 200000 >lines
    for words in 'quantize e4m3fn two' 'quantize e4m3fn lines' 'quantize e4m3fn lines --raw-out' 'formats e4m3fn' 'formats fp16 --csv' 'quantize --help'; do
        code=0
        # shellcheck disable=SC2086  # words
        "$fxsim" $words >/dev/full 2>err || code=$?
        bad 1 "$words into a full disk" output
    done
}

test_locale() {
    mkdir -p locales
    if ! has localedef || ! localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 >/dev/null 2>&1; then
        skip "a decimal comma: no locale can be made"
        return 0
    fi
    code=0
    # shellcheck disable=SC2034  # good reads it
    printf '1.5\n0x1.8p-1\n' | LOCPATH=$work/locales LC_ALL=de_DE.UTF-8 "$fxsim" quantize e4m3fn --decimal >out 2>err || code=$?
    good "where the decimal point is a comma"
    check "numbers have a point" [ "$(tr '\n' ' ' <out)" = '1.5 0.75 ' ]
    LOCPATH=$work/locales LC_ALL=de_DE.UTF-8 "$fxsim" formats e4m3fn >comma
    "$fxsim" formats e4m3fn >point
    same "formats says the same" comma point
}

test_known
test_forms
test_scales
test_pieces
test_twice
test_bad
test_formats
test_png
test_full
test_locale
verdict
