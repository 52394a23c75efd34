#!/usr/bin/env bash
# sweep_settings.sh: from --grid, --zip and --seeds to settings and names of runs.
#
# A part of sweep.sh, which reads it: it sets ${grid[@]}, ${zip[@]}, $seeds and $state, and gets ${runs[@]},
# ${overrides[@]} and ${run_seeds[@]}. A name is made of its own setting alone and stays when values or seeds are
# added: [A-Za-z0-9._=+-], at most 200 characters. Where two settings would share one, or one is too long, it ends
# in a checksum of the setting's exact text; what an earlier call has named keeps its name.
#
# shellcheck shell=bash disable=SC2154,SC2034
set -eu
if [ "${BASH_SOURCE[0]}" = "$0" ]; then sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; exit 0; fi

max_runs=10000
max_base=178 # of a name without its seed: with it, 200 characters

# -- settings: overrides joined by ';', as log.csv has them

settings=('')
keys=' '
values=()
read_key() {  # read_key OPTION KEY=V1,V2: $key, $values
    key=${2%%=*}
    local list=${2#*=}
    case $2 in [A-Za-z]*.*[A-Za-z0-9]=?*) ;; *) fail "$1 \"$2\": write section.key=value,value" 2 ;; esac
    case $key in *[!A-Za-z0-9._-]*) fail "$1 \"$2\": \"$key\" is no section.key" 2 ;; esac
    case $list in *[[:cntrl:]\;]*) fail "$1 \"$2\": no line breaks and no semicolons in values" 2 ;; esac
    case ,$list, in *,,*) fail "$1 \"$2\": a value is empty" 2 ;; esac
    case $keys in *" $key "*) fail "$1 $key: given twice" 2 ;; esac
    [ "$key" != run.seed ] || fail "$1 run.seed: use --seeds" 2
    keys+="$key "
    IFS=, read -r -a values <<<"$list"
}
multiply() {  # multiply TEXT...: every setting with every text
    local old=("${settings[@]}") s t seen=,
    for t; do
        case $seen in *",$t,"*) fail "the setting \"$t\" stands there twice" 2 ;; esac
        seen+=$t,
    done
    [ $((${#old[@]} * $#)) -le $max_runs ] || fail "more than $max_runs runs" 2
    settings=()
    for s in "${old[@]}"; do for t; do settings+=("${s:+$s;}$t"); done; done
}
make_settings() {
    local text i rows=()
    for text in ${grid[@]+"${grid[@]}"}; do
        read_key --grid "$text"
        multiply "${values[@]/#/$key=}"
    done
    for text in ${zip[@]+"${zip[@]}"}; do
        read_key --zip "$text"
        [ ${#rows[@]} = 0 ] || [ ${#rows[@]} = ${#values[@]} ] || fail "--zip $key: ${#values[@]} values, the key before it has ${#rows[@]}" 2
        for i in "${!values[@]}"; do rows[i]=${rows[i]:+${rows[i]};}$key=${values[i]}; done
    done
    if [ ${#rows[@]} -gt 0 ]; then multiply "${rows[@]}"; fi
    local seen=,
    case ,$seeds, in *,,*) fail "--seeds \"$seeds\": a seed is empty" 2 ;; esac
    IFS=, read -r -a seed_list <<<"$seeds"
    for i in "${seed_list[@]}"; do
        case $i in *[!0-9]* | 0?* | ?????????????????????*) fail "--seeds \"$seeds\": \"$i\" is no seed; whole numbers, as 1,2,3, are" 2 ;; esac
        # shellcheck disable=SC2071  # as text on purpose: bash counts to 2^63
        if [ ${#i} = 20 ] && [[ $i > "18446744073709551615" ]]; then fail "--seeds \"$seeds\": $i is not below 2^64" 2; fi
        case $seen in *",$i,"*) fail "--seeds \"$seeds\": $i stands there twice" 2 ;; esac
        seen+=$i,
    done
    [ $((${#settings[@]} * ${#seed_list[@]})) -le $max_runs ] || fail "more than $max_runs runs" 2
}

# -- names: of a setting alone, unless two settings would share one; a name once given stays

declare -A base_of=() owner=() wanted=() recorded=()
checksum() { printf '%08x' "$(printf %s "$1" | cksum | cut -d ' ' -f 1)"; }
plain_base() {  # plain_base SETTING: $base
    base=${1//;/_}
    base=${base//[!A-Za-z0-9._=+-]/-}
    if [ ${#base} -gt $max_base ]; then base=${base:0:max_base-9}-$(checksum "$1"); fi
}
read_names() {  # those of earlier calls
    local run setting seed name
    [ -e "$state/list" ] || return 0
    while IFS='|' read -r run seed setting; do
        case $run in '' | *[!A-Za-z0-9._=+-]*) continue ;; esac # damage
        name=${run%"s$seed"}
        name=${name%_}
        base_of["=$setting"]=$name owner["=$name"]=$setting recorded["$run"]="$seed|$setting"
    done <"$state/list"
}
make_names() {
    local s base seed
    for s in "${settings[@]}"; do
        plain_base "$s"
        wanted["=$base"]=$((${wanted["=$base"]:-0} + 1))
    done
    for s in "${settings[@]}"; do
        if [ -n "${base_of["=$s"]+x}" ]; then continue; fi
        plain_base "$s"
        if [ "${wanted["=$base"]}" -gt 1 ] || [ "${owner["=$base"]-$s}" != "$s" ]; then base+=-$(checksum "$s"); fi
        [ "${owner["=$base"]-$s}" = "$s" ] || fail "\"$s\" and \"${owner["=$base"]}\" would share the name $base"
        base_of["=$s"]=$base owner["=$base"]=$s
    done
    runs=() overrides=() run_seeds=()
    for s in "${settings[@]}"; do
        for seed in "${seed_list[@]}"; do
            base=${base_of["=$s"]}
            runs+=("${base:+${base}_}s$seed") overrides+=("$s") run_seeds+=("$seed")
        done
    done
}
