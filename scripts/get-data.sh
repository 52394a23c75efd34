#!/usr/bin/env bash
# get-data.sh [NAME...] [--dir DIR] [--mirror URL]: downloads public data sets and verifies their checksums.
#
#   NAME           mnist, fashion-mnist, cifar10; without a name all three
#   --dir DIR      puts them into DIR/NAME, by default ${XDG_DATA_HOME:-$HOME/.local/share}/fxsim/NAME,
#                  where fxsim looks for them
#   --mirror URL   takes the files from URL/NAME/FILE instead of their public places
#
# A download that was cut is resumed; what is there and right is not downloaded again; a file with a wrong
# checksum is never put in place. Exit code 1 if a data set could not be had: then says which files to put
# where by hand, and a second call verifies (and for cifar10 unpacks) them.
# FXSIM_CHECKSUMS=FILE in the environment: checksums (lines "HASH NAME/FILE") instead of the built-in ones.
set -eu

# md5 where that is what the authors of a data set published, else sha256.
checksums='
440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 mnist/train-images-idx3-ubyte.gz
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c mnist/train-labels-idx1-ubyte.gz
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 mnist/t10k-images-idx3-ubyte.gz
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 mnist/t10k-labels-idx1-ubyte.gz
8d4fb7e6c68d591d4c3dfef9ec88bf0d fashion-mnist/train-images-idx3-ubyte.gz
25c81989df183df01b3e8a0aad5dffbe fashion-mnist/train-labels-idx1-ubyte.gz
bef4ecab320f06d8554ea6380940ec79 fashion-mnist/t10k-images-idx3-ubyte.gz
bb300cfdad3c16e7a12a480ee83cd310 fashion-mnist/t10k-labels-idx1-ubyte.gz
c32a1d4ab5d03f1284b67883e8d873c1 cifar10/cifar-10-binary.tar.gz
cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5 cifar10/data_batch_1.bin
a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed cifar10/data_batch_2.bin
bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67 cifar10/data_batch_3.bin
014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48 cifar10/data_batch_4.bin
755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add cifar10/data_batch_5.bin
8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b cifar10/test_batch.bin
'
idx_files='train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz'
cifar10_files='data_batch_1.bin data_batch_2.bin data_batch_3.bin data_batch_4.bin data_batch_5.bin test_batch.bin'
cifar10_archive=cifar-10-binary.tar.gz

sources() {  # sources NAME: the places that have its files, the best first
    if [ -n "$mirror" ]; then printf '%s\n' "${mirror%/}/$1"; return; fi
    case $1 in
        mnist) echo https://ossci-datasets.s3.amazonaws.com/mnist \
            https://storage.googleapis.com/cvdf-datasets/mnist ;;
        fashion-mnist) echo http://fashion-mnist.s3-website.eu-central-1.amazonaws.com \
            https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion ;;
        cifar10) echo https://www.cs.toronto.edu/~kriz \
            https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10 ;;
    esac
}

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
say() { printf 'get-data: %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

expected() { printf '%s\n' "$checksums" | awk -v file="$1" '$2 == file || $2 == "*" file { print $1; exit }'; }
digest() {  # digest BITS FILE: its md5 (128) or sha256 (256)
    case $1 in 128) set -- md5 md5sum "$2" ;; *) set -- sha256 sha256sum "$2" ;; esac
    if has "$2"; then "$2" <"$3"; else openssl dgst -r "-$1" <"$3"; fi | awk '{ print $1; exit }'
}
right() {  # right NAME/FILE PATH: is PATH there, and what it should be?
    local want
    want=$(expected "$1")
    [ -n "$want" ] && [ -f "$2" ] && [ "$(digest $((4 * ${#want})) "$2")" = "$want" ]
}

place() {  # place FROM TO: puts a verified file in place; a wrong one that is there is kept under another name
    if [ -e "$2" ]; then
        say "$2 has a wrong checksum: renamed to ${2##*/}.wrong"
        mv -f "$2" "$2.wrong"
    fi
    mv -f "$1" "$2"
}

download() {  # download URL PATH: goes on where PATH ends. 1: cut or not to be had; 2: cannot go on from PATH
    local show=--silent code=0 status
    if has curl; then
        if [ -t 2 ]; then show=--progress-bar; fi
        status=$(curl --fail --location "$show" --show-error --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
            --continue-at - --output "$2" --write-out '%{http_code}' "$1") || code=$?
        case $code:$status in
            0:*) ;;
            33:* | *:416) return 2 ;;
            *) return 1 ;;
        esac
    else
        wget --no-verbose --timeout=20 --tries=1 --continue --output-document="$2" "$1" || return 1
    fi
}

fetch() {  # fetch NAME FILE: leaves $dir/NAME/FILE, verified, or fails
    local path=$dir/$1/$2 source began code
    if right "$1/$2" "$path"; then return; fi
    for source in $(sources "$1"); do
        say "downloading $source/$2"
        while ! right "$1/$2" "$path.part"; do
            began=no
            if [ -s "$path.part" ]; then began=yes; fi
            code=0
            download "$source/$2" "$path.part" || code=$?
            if right "$1/$2" "$path.part"; then break; fi
            if [ $code = 1 ]; then continue 2; fi  # the next place goes on from what came
            if [ $code = 0 ]; then say "wrong checksum: $2 of $source is refused"; fi
            rm -f "$path.part"
            if [ $began = no ]; then continue 2; fi  # else it was the beginning that was wrong: once more without
        done
        place "$path.part" "$path"
        return
    done
    return 1
}

all_right() {  # all_right NAME FILE...
    local name=$1 file
    shift
    for file; do right "$name/$file" "$dir/$name/$file" || return 1; done
}

unpack_cifar10() {  # the batches out of the archive, which is then removed
    local file unpacked=$dir/cifar10/unpacking
    rm -rf "$unpacked"
    mkdir "$unpacked" && tar -xzf "$dir/cifar10/$cifar10_archive" -C "$unpacked" || return 1
    for file in $cifar10_files; do
        if ! right "cifar10/$file" "$unpacked/cifar-10-batches-bin/$file"; then
            say "wrong checksum: $file of $cifar10_archive is refused"
            rm -rf "$unpacked"
            return 1
        fi
        if ! right "cifar10/$file" "$dir/cifar10/$file"; then
            place "$unpacked/cifar-10-batches-bin/$file" "$dir/cifar10/$file"
        fi
    done
    rm -rf "$unpacked" "${dir:?}/cifar10/$cifar10_archive"
}

advise() {  # advise NAME FILE...: what to do by hand
    local name=$1 file source
    shift
    say "$name could not be had. Call this again to go on, or get these files on a machine with a network,"
    say "put them into $dir/$name and call this again to verify them:"
    for file; do
        if right "$name/$file" "$dir/$name/$file"; then continue; fi
        printf '  %s  checksum %s\n' "$file" "$(expected "$name/$file")"
        for source in $(mirror='' sources "$name"); do printf '    %s\n' "$source/$file"; done
    done
}

get() {  # get NAME
    local file files=$idx_files wanted=$idx_files code=0
    if [ "$1" = cifar10 ]; then files=$cifar10_files wanted=$cifar10_archive; fi
    # shellcheck disable=SC2086  # lists of words
    if all_right "$1" $files; then
        say "$1 is there: $dir/$1"
    elif [ "$1" = fashion-mnist ] && [ $own_dir = no ] && [ -e "$packaged/train-images-idx3-ubyte.gz" ]; then
        say "$1 is there, from its Debian package: $packaged"
    else
        mkdir -p "$dir/$1"
        for file in $wanted; do fetch "$1" "$file" || code=1; done
        if [ $code != 0 ]; then advise "$1" $wanted; return 1; fi
        if [ "$1" = cifar10 ]; then unpack_cifar10 || return 1; fi
        say "$1 is there now: $dir/$1"
    fi
}

packaged=/usr/share/datasets/fashion-mnist
dir=${XDG_DATA_HOME:-${HOME:-.}/.local/share}/fxsim
own_dir=no
mirror=
names=
while [ $# -gt 0 ]; do
    case $1 in
        --dir) dir=${2:?--dir needs a directory} own_dir=yes; shift 2 ;;
        --mirror) mirror=${2:?--mirror needs a URL}; shift 2 ;;
        -h | --help) help; exit 0 ;;
        mnist | fashion-mnist | cifar10) names="$names $1"; shift ;;
        digits) say "digits is built into fxsim: nothing to download"; shift; [ $# -gt 0 ] || [ -n "$names" ] || exit 0 ;;
        *) printf 'get-data: no data set "%s"; known: mnist fashion-mnist cifar10\n' "$1" >&2; exit 2 ;;
    esac
done
if [ -n "${FXSIM_CHECKSUMS:-}" ]; then checksums=$(cat "$FXSIM_CHECKSUMS"); fi
if ! has curl && ! has wget; then say "needs curl or wget to download"; fi

code=0
for name in ${names:-mnist fashion-mnist cifar10}; do get "$name" || code=1; done
exit $code
