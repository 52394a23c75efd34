#!/usr/bin/env bash
# test_scripts.sh [DIR]: tests of DIR/scripts, by default those of the source tree this file stands in.
#
# get-data.sh against a server on 127.0.0.1 with small stand-in files, setup.sh with tools hidden or replaced,
# quickstart.sh with a stand-in for fxsim. Exit code 77 (skipped) if a part could not run for want of a tool and nothing failed.
set -eu

top=$(cd "${1:-$(dirname "$0")/..}" && pwd)
scripts=$top/scripts
work=$(mktemp -d)
server=
# shellcheck disable=SC2317  # the trap's
clean_up() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
failures=0
skipped=0

has() { command -v "$1" >/dev/null 2>&1; }
skip() { printf 'SKIP  %s\n' "$1"; skipped=1; }
check() {  # check SENTENCE COMMAND...: the command must succeed; shows the last run's output if it does not
    local sentence=$1
    shift
    if "$@"; then
        printf 'ok    %s\n' "$sentence"
    else
        printf 'FAIL  %s\n      %s\n' "$sentence" "$*"
        sed 's/^/      | /' "$work/out"
        failures=$((failures + 1))
    fi
}
run() {  # run COMMAND...: $code is its exit code, $work/out what it printed
    code=0
    "$@" >"$work/out" 2>&1 </dev/null || code=$?
}
exited() { [ "$code" = "$1" ]; }
says() { grep -qF -- "$1" "$work/out"; }
not() { ! "$@"; }
same() { cmp -s "$1" "$2"; }

test_help() {
    local script
    for script in "$scripts"/*.sh; do
        run "$script" --help
        check "${script##*/} --help tells its name and succeeds" says "${script##*/}"
        check "${script##*/} --help exits with 0" exited 0
    done
}

test_shellcheck() {
    run shellcheck --severity=warning "$scripts"/*.sh "$top"/tests/test_{scripts,install,quantize,plot,sweep,slurm}.sh "$top/.ci/run"
    check "shellcheck finds nothing" exited 0
}

# The server: /plain/ knows no ranges; /cut/ breaks off half-way unless asked for a range; /wrong/ sends other bytes.
server_program='
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        _, kind, rest = self.path.split("/", 2)
        asked = self.headers.get("Range")
        with open("requests", "a") as log:
            print(self.path, asked or "", file=log)
        try:
            data = open(os.path.join("files", rest), "rb").read()
        except OSError:
            return self.send_error(404)
        if kind == "wrong":
            data = bytes(255 - b for b in data)
        start = int(asked[len("bytes="):].rstrip("-")) if asked and kind != "plain" else 0
        if start and start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:len(data) // 2] if kind == "cut" and not start else data[start:])

    def log_message(self, *words):
        pass

httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(httpd.server_port, flush=True)
httpd.serve_forever()
'

stand_ins() {  # stand-in files of the data sets under $work/www/files, and their checksums
    local name file n=0
    mkdir -p "$work/www/files/cifar10" "$work/tar/cifar-10-batches-bin"
    for name in mnist fashion-mnist; do
        mkdir -p "$work/www/files/$name"
        for file in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
            n=$((n + 1))
            seq $n 5000 >"$work/www/files/$name/$file-ubyte.gz"
        done
    done
    for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
        n=$((n + 1))
        seq $n 3000 >"$work/tar/cifar-10-batches-bin/$file.bin"
    done
    tar -czf "$work/www/files/cifar10/cifar-10-binary.tar.gz" -C "$work/tar" cifar-10-batches-bin
    (
        cd "$work/www/files"
        md5sum fashion-mnist/*
        sha256sum mnist/* cifar10/*
        cd "$work/tar/cifar-10-batches-bin"
        sha256sum ./*.bin | sed 's|\./|cifar10/|'
    ) >"$work/checksums"
}

test_get_data() {
    local port url files=$work/www/files data="$work/my data" before images=train-images-idx3-ubyte.gz
    export FXSIM_CHECKSUMS=$work/checksums no_proxy=127.0.0.1
    stand_ins
    mkfifo "$work/port"
    (cd "$work/www" && exec python3 -c "$server_program") >"$work/port" &
    server=$!
    read -r port <"$work/port"
    url=http://127.0.0.1:$port
    get() { run "$scripts/get-data.sh" "$1" --dir "$data/$2" --mirror "$url/$2"; }
    requests() { wc -l <"$work/www/requests"; }

    get mnist plain
    check "mnist is downloaded" exited 0
    check "and its bytes are the server's" same "$data/plain/mnist/$images" "$files/mnist/$images"
    before=$(requests)
    get mnist plain
    check "a second call succeeds" exited 0
    check "and downloads nothing" [ "$(requests)" = "$before" ]
    get fashion-mnist plain
    check "fashion-mnist is verified by md5" exited 0

    printf 'rubbish' >"$data/plain/mnist/$images"
    printf 'the wrong beginning' >"$data/plain/mnist/$images.part"
    get mnist plain
    check "a server without ranges makes the download start over" exited 0
    check "and a wrong file is replaced" same "$data/plain/mnist/$images" "$files/mnist/$images"
    check "and kept under another name" [ "$(cat "$data/plain/mnist/$images.wrong")" = rubbish ]

    get mnist cut
    check "a cut download is a failure" exited 1
    check "that leaves no file" [ ! -e "$data/cut/mnist/$images" ]
    check "but its part" [ -s "$data/cut/mnist/$images.part" ]
    before=$(wc -c <"$data/cut/mnist/$images.part")
    get mnist cut
    check "the next call finishes it" exited 0
    check "with the server's bytes" same "$data/cut/mnist/$images" "$files/mnist/$images"
    check "and asks only for the rest" grep -q "/cut/mnist/$images bytes=$((before))-" "$work/www/requests"

    mkdir -p "$data/wrong/mnist"
    get mnist wrong
    check "a wrong checksum is a failure" exited 1
    check "that is named" says "wrong checksum: $images"
    check "and nothing wrong is kept" [ -z "$(ls "$data/wrong/mnist")" ]

    mkdir -p "$data/cut/fashion-mnist"
    printf 'the wrong beginning' >"$data/cut/fashion-mnist/$images.part"
    get fashion-mnist cut
    check "a wrong beginning is thrown away" not grep -q wrong "$data/cut/fashion-mnist/$images.part"
    get fashion-mnist cut
    check "and the download succeeds in the end" exited 0

    get cifar10 plain
    check "cifar10 is downloaded and unpacked" exited 0
    check "batch by batch" same "$data/plain/cifar10/data_batch_5.bin" "$work/tar/cifar-10-batches-bin/data_batch_5.bin"
    check "without leftovers" [ "$(find "$data/plain/cifar10" -mindepth 1 | wc -l)" = 6 ]
    before=$(requests)
    get cifar10 plain
    check "a second call downloads nothing" [ "$(requests)" = "$before" ]
    sed 's|.* cifar10/test_batch.bin|0000 cifar10/test_batch.bin|' "$work/checksums" >"$work/other"
    FXSIM_CHECKSUMS=$work/other get cifar10 cut
    FXSIM_CHECKSUMS=$work/other get cifar10 cut
    check "an archive with a wrong batch is refused" exited 1
    check "and that batch is not kept" [ ! -e "$data/cut/cifar10/test_batch.bin" ]

    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
    get mnist gone
    check "without a server get-data fails" exited 1
    check "and says where files belong" says "put them into $data/gone/mnist"
    check "and where they come from" says "https://ossci-datasets.s3.amazonaws.com/mnist/$images"
    check "and their checksum" says "$(sha256sum <"$files/mnist/$images" | cut -d ' ' -f 1)"
    unset FXSIM_CHECKSUMS
}

test_setup() {
    local bin="$work/bin" tool
    mkdir -p "$bin"
    for tool in bash env sed awk id sort cat uname; do ln -s "$(command -v $tool)" "$bin/$tool"; done
    printf '#!/bin/sh\n' >"$bin/dnf"
    chmod +x "$bin/dnf"
    PATH=$bin run "$scripts/setup.sh" build
    check "without apt-get setup.sh fails when meson is missing" exited 1
    check "and lists it" says "needed    meson"
    check "with Debian's names" says "Debian: libinih-dev"
    check "and a hint for the package manager that is there" says "dnf install gcc meson ninja-build"
    check "and tells what is left out" says "goes on without: PNG"

    rm "$bin/id"
    printf '#!/bin/sh\necho 0\n' >"$bin/id"
    printf '#!/bin/sh\necho "apt-get $*" >>"%s"\n' "$work/apt" >"$bin/apt-get"
    chmod +x "$bin/id" "$bin/apt-get"
    PATH=$bin run "$scripts/setup.sh" test
    check "as root setup.sh updates the lists first" [ "$(head -n 1 "$work/apt")" = "apt-get update -q" ]
    check "then installs what is missing, and only that" [ "$(tail -n 1 "$work/apt" | sed 's/.*recommends //')" = \
        "build-essential meson ninja-build pkg-config zlib1g-dev libinih-dev libpng-dev libgsl-dev libzip-dev libcmocka-dev" ]
    check "and still fails when it is not there afterwards" exited 1
    PATH=$bin run "$scripts/setup.sh" sweep
    check "for sweeps GNU parallel and gnuplot are installed, Slurm is not" [ "$(tail -n 1 "$work/apt" | sed 's/.*libpng-dev //')" = \
        "libgsl-dev libzip-dev gnuplot-nox parallel" ]
}

# A stand-in for fxsim: the first call is interrupted, nearest-even stalls.
# shellcheck disable=SC2016  # for the stand-in's shell
fxsim_program='#!/bin/sh
echo "$*" >>"$WORK/calls"
if [ "$(wc -l <"$WORK/calls")" -eq 1 ]; then exit 75; fi
while [ "$1" != --out ]; do shift; done
mkdir -p "$2"
printf "epoch,test_error,status,overrides,recipe\n0,0.9,running,,wage-mnist\n1,0.125,done,,wage-mnist\n" >"$2/log.csv"
case $2 in *nearest-even) exit 3 ;; esac
'

test_quickstart() {
    local out="$work/quick start"
    printf '%s' "$fxsim_program" >"$work/fxsim"
    chmod +x "$work/fxsim"
    export WORK=$work FXSIM=$work/fxsim
    run "$scripts/quickstart.sh" --out "$out" --max-steps 20
    check "quickstart.sh passes an interruption on" exited 75
    run "$scripts/quickstart.sh" --out "$out" --max-steps 20
    check "and goes on; a run that stalls is not a failure" exited 0
    check "but is told" says "nearest-even ended early"
    check "the budget reaches fxsim" [ "$(grep -c -- '--max-steps 20 .*--resume=auto' "$work/calls")" = 3 ]
    check "the second run differs in the rounding" grep -q -- '-s gradient.rounding=nearest-even$' "$work/calls"
    check "a table shows the errors" grep -Eq '^stochastic +1 +12.50  done$' "$work/out"
    if has gnuplot; then check "and there is a picture" [ -s "$out/curves.png" ]; fi
    unset WORK FXSIM
}

test_help
test_setup
test_quickstart
if has shellcheck; then test_shellcheck; else skip "shellcheck is not there"; fi
if has python3 && { has curl || has wget; }; then test_get_data; else skip "get-data.sh: python3 or curl is not there"; fi

if [ $failures -gt 0 ]; then
    printf '%d checks failed\n' $failures
    exit 1
fi
if [ $skipped = 1 ]; then exit 77; fi
