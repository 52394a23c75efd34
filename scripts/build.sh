#!/usr/bin/env bash
# build.sh [--for LEVEL] [--build DIR] [MESON_OPTION...]: installs what is missing, configures, compiles.
#
#   --for LEVEL    what scripts/setup.sh makes sure of: build (the default), test, quickstart, sweep, ci
#   --build DIR    build directory, by default build/ of the source tree; configured again if it exists
#   MESON_OPTION   handed to meson setup, e.g. --werror or -Db_sanitize=address (CC=clang in the environment
#                  chooses the compiler of a new build directory)
set -eu

help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }
top=$(cd "$(dirname "$0")/.." && pwd)
level=build
build=$top/build
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --for) level=${2:?--for needs a level}; shift 2 ;;
        --build) build=${2:?--build needs a directory}; shift 2 ;;
        -h | --help) help; exit 0 ;;
        -*) options+=("$1"); shift ;;
        *) printf 'build: what is "%s"? See %s --help\n' "$1" "$0" >&2; exit 2 ;;
    esac
done

"$top/scripts/setup.sh" "$level"
if [ -e "$build/meson-private/coredata.dat" ]; then options+=(--reconfigure); fi
meson setup ${options[@]+"${options[@]}"} "$build" "$top"
meson compile -C "$build"
