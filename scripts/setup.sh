#!/usr/bin/env bash
# setup.sh [LEVEL]: finds out what is missing for LEVEL and installs it.
#
#   build       compiler, meson, ninja, pkg-config, zlib, inih; libpng, GSL and libzip if they can be had (the default)
#   test        build, and cmocka
#   quickstart  build, and gnuplot and the Fashion-MNIST data set
#   sweep       build, and GNU parallel and gnuplot
#   ci          all of the above, and clang, test oracles, shellcheck, curl, python3, numpy, iverilog, Slurm
#
# On Debian and Ubuntu, as root or with sudo that asks for no password, the missing packages are installed
# with apt-get. Everywhere else the script lists them. Exit code 1 only if something necessary is still
# missing; without an optional part a line says what is left out. Changes nothing when all is there.
set -eu

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
say() { printf 'setup: %s\n' "$*"; }

case ${1:-build} in
    build | test | quickstart | sweep | ci) level=${1:-build} ;;
    -h | --help) help; exit 0 ;;
    *) printf 'setup: no level "%s"; known: build test quickstart sweep ci\n' "$1" >&2; exit 2 ;;
esac

# What can be missing: id; levels; needed or what is left out without it; what it is; Debian; Fedora; Arch; Homebrew.
# have_ID below tells whether it is there.
things='
compiler    ; build test quickstart sweep ci ; needed ; C11 compiler (gcc or clang)     ; build-essential ; gcc ; gcc ; gcc
meson       ; build test quickstart sweep ci ; needed ; meson 1.0 or newer              ; meson ; meson ; meson ; meson
ninja       ; build test quickstart sweep ci ; needed ; ninja                           ; ninja-build ; ninja-build ; ninja ; ninja
pkg_config  ; build test quickstart sweep ci ; needed ; pkg-config                      ; pkg-config ; pkgconf ; pkgconf ; pkgconf
zlib        ; build test quickstart sweep ci ; needed ; zlib with headers               ; zlib1g-dev ; zlib-devel ; zlib ; zlib
inih        ; build test quickstart sweep ci ; needed ; inih with headers               ; libinih-dev ; inih-devel ; libinih ; inih
libpng      ; build test quickstart sweep ci ; PNG data sets and pictures ; libpng with headers ; libpng-dev ; libpng-devel ; libpng ; libpng
gsl         ; build test quickstart sweep ci ; fxsim compare ; GSL with headers       ; libgsl-dev ; gsl-devel ; gsl ; gsl
libzip      ; build test quickstart sweep ci ; weights from .npz     ; libzip with headers ; libzip-dev ; libzip-devel ; libzip ; libzip
cmocka      ; test ci       ; the tests                     ; cmocka with headers          ; libcmocka-dev ; libcmocka-devel ; cmocka ; cmocka
gnuplot     ; quickstart sweep ci ; the plots                     ; gnuplot                      ; gnuplot-nox ; gnuplot ; gnuplot ; gnuplot
parallel    ; sweep ci      ; sweeps on this machine        ; GNU parallel                 ; parallel ; parallel ; parallel ; parallel
fashion     ; quickstart ci ; Fashion-MNIST (the built-in digits stand in) ; Fashion-MNIST ; dataset-fashion-mnist ; - ; - ; -
clang       ; ci            ; the clang build               ; clang                        ; clang ; clang ; clang ; llvm
libomp      ; ci            ; threads in the clang build    ; OpenMP runtime of clang      ; libomp-dev ; libomp-devel ; openmp ; libomp
random123   ; ci            ; the check of random words     ; Random123                    ; librandom123-dev ; Random123-devel ; - ; -
mpfr        ; ci            ; the checks against MPFR       ; MPFR with headers            ; libmpfr-dev ; mpfr-devel ; mpfr ; mpfr
shellcheck  ; ci            ; the check of the scripts      ; shellcheck                   ; shellcheck ; ShellCheck ; shellcheck ; shellcheck
curl        ; ci            ; the test of the downloads     ; curl                         ; curl ; curl ; curl ; curl
python3     ; ci            ; the test of the downloads     ; Python 3                     ; python3 ; python3 ; python ; python
slurm       ; ci            ; the test of Slurm job arrays  ; Slurm with its daemons, munge ; slurm-wlm munge ; slurm-slurmctld slurm-slurmd munge ; slurm-llnl munge ; -
numpy       ; ci            ; the check of .npy files       ; NumPy                        ; python3-numpy ; python3-numpy ; python-numpy ; numpy
iverilog    ; ci            ; the check against a hardware model ; Icarus Verilog          ; iverilog ; iverilog ; iverilog ; icarus-verilog
'

has() { command -v "$1" >/dev/null 2>&1; }
compiles() {  # compiles COMPILER HEADER FLAG...: can a program with this header be built?
    compiles_with=$1 compiles_header=$2
    shift 2
    printf '#include <%s>\nint main(void) { return 0; }\n' "$compiles_header" |
        "$compiles_with" -x c -o /dev/null - "$@" 2>/dev/null
}
any_compiler() {
    for any_name in ${CC:-cc} cc gcc clang; do
        if has "$any_name"; then printf '%s\n' "$any_name"; return; fi
    done
    printf 'false\n'
}
at_least_1_0() { case $1 in '' | 0.*) return 1 ;; esac; }
pkg_has() { { has pkg-config && pkg-config --exists "$1"; } || { has pkgconf && pkgconf --exists "$1"; }; }

have_compiler() { compiles "$(any_compiler)" stdio.h; }
have_meson() { at_least_1_0 "$(meson --version 2>/dev/null)"; }
have_ninja() { has ninja || has ninja-build; }
have_pkg_config() { has pkg-config || has pkgconf; }
have_zlib() { pkg_has zlib || compiles "$(any_compiler)" zlib.h -lz; }
have_inih() { pkg_has inih; }
have_libpng() { pkg_has libpng; }
have_gsl() { pkg_has gsl; }
have_libzip() { pkg_has libzip; }
have_cmocka() { pkg_has cmocka; }
have_gnuplot() { has gnuplot; }
have_parallel() { has parallel && parallel --version 2>/dev/null </dev/null | grep -q '^GNU parallel'; }
have_fashion() {
    [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] ||
        [ -e "${XDG_DATA_HOME:-${HOME:-}/.local/share}/fxsim/fashion-mnist/train-images-idx3-ubyte.gz" ]
}
have_clang() { has clang && compiles clang stdio.h; }
have_libomp() { has clang && compiles clang omp.h -fopenmp; }
have_random123() { compiles "$(any_compiler)" Random123/philox.h; }
have_mpfr() { compiles "$(any_compiler)" mpfr.h -lmpfr -lgmp; }
have_shellcheck() { has shellcheck; }
have_curl() { has curl; }
have_python3() { has python3; }
have_slurm() { has munged && has slurmctld && has slurmd && has sbatch; }
have_numpy() {
    for any_python in python3 /usr/bin/python3; do  # Debian's package serves its own python alone
        if has "$any_python" && "$any_python" -c 'import numpy' 2>/dev/null; then return; fi
    done
    return 1
}
have_iverilog() { has iverilog; }

missing() {  # prints the lines of $things that belong to the level and are not there
    while IFS=';' read -r id levels rest; do
        id=${id%% *}
        case "$id: $levels " in
            ": "*) ;;
            *" $level "*) "have_$id" || printf '%s;%s;%s\n' "$id" "$levels" "$rest" ;;
        esac
    done <<LIST
$things
LIST
}
column() { printf '%s\n' "$lines" | awk -F ' *; *' -v c="$1" '$c != "-" && $c != "" { printf "%s%s", s, $c; s = " " }'; }

lines=$(missing)
if [ -z "$lines" ]; then
    say "everything for \"$level\" is there"
    exit 0
fi

root=no
if [ "$(id -u)" = 0 ]; then
    root=''
elif has sudo && sudo -n true 2>/dev/null; then
    root='sudo -n'
fi
if has apt-get && [ "$root" != no ]; then
    packages=$(column 5)
    say "installing: $packages"
    install="$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends"
    # shellcheck disable=SC2086  # words on purpose
    {
        $root apt-get update -q </dev/null || say "apt-get update failed; trying with the lists that are there"
        if ! $install $packages </dev/null; then
            say "not all of them can be installed; trying one by one"
            for package in $packages; do
                $install "$package" </dev/null || say "$package could not be installed"
            done
        fi
    }
    lines=$(missing)
    if [ -z "$lines" ]; then
        say "everything for \"$level\" is there now"
        exit 0
    fi
else
    say "install these by hand (no apt-get here, or neither root nor sudo without a password):"
fi

printf '%s\n' "$lines" | awk -F ' *; *' '{ printf "  %-9s %-33s Debian: %s\n", $3 == "needed" ? "needed" : "optional", $4, $5 }'
if has apt-get; then say "with apt:    sudo apt-get install $(column 5)"; fi
if has dnf; then say "with dnf:    sudo dnf install $(column 6)"; fi
if has pacman; then say "with pacman: sudo pacman -S $(column 7)"; fi
if has brew; then say "with brew:   brew install $(column 8)"; fi
if ! have_meson && has meson; then
    say "meson here is $(meson --version), too old; a newer one: pip install --user meson"
fi
printf '%s\n' "$lines" | awk -F ' *; *' '$3 != "needed" { print "setup: goes on without: " $3 }' | sort -u
if printf '%s\n' "$lines" | awk -F ' *; *' '$3 == "needed" { n = 1 } END { exit !n }'; then
    say "something necessary is missing; call this again when it is there"
    exit 1
fi
