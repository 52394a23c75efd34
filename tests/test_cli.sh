#!/usr/bin/env bash
# test_cli.sh FXSIM CLI_FILES: what a user meets: every command with rubbish, exit codes, run directories, CSV files.
#
# An error is one line on stderr that begins "fxsim: " and names what was read; warnings may stand before it.
# What a machine cannot do (mounts, other users, locales) is told and left out.
#
# shellcheck disable=SC2154  # what cli.sh sets
set -eu

cli_files=$(realpath "${2:?the helper of the tests}")
# shellcheck source=tests/cli.sh
. "$(dirname "$0")/cli.sh"

test_words() {
    fx; bad 2 "no command" train eval
    fx trian; bad 2 "an unknown command" trian train
    fx ''; bad 2 "an empty command" '""'
    fx $'two\nlines'; bad 2 "a command of two lines" two
    fx train $'two\nlines'; bad 2 "a recipe of two lines" two
    fx train wage $'--two\nlines'; bad 2 "an option of two lines" two
    fx train wage -s $'two.\nlines=1'; bad 2 "a key of two lines" two
    fx train; bad 2 "no recipe" recipe
    fx train weig; bad 2 "an unknown recipe" weig wage
    fx train wage wage-mnist; bad 2 "two recipes" wage-mnist
    fx train wage --epoch 3; bad 2 "an unknown option" --epoch
    fx train wage -x; bad 2 "an unknown letter" -x
    fx train wage --diff; bad 2 "another command's option" --diff
    fx train wage --epochs; bad 2 "a missing value" --epochs
    fx train wage --out; bad 2 "a missing directory" --out
    train --out --force; bad 2 "an option for a value" --out --force
    fx train wage -s; bad 2 "a missing assignment" -s
    fx train wage -s gradient.rounding; bad 2 "an assignment without a value" gradient.rounding
    fx train wage -s gradient.rouding=floor; bad 2 "an unknown key" gradient.rouding gradient.rounding
    fx train wage -s colour.red=1; bad 2 "an unknown section" colour.red
    fx train wage -s gradient.rounding=up; bad 2 "an unknown rounding" '"up"' nearest-even
    fx train wage -s error.grid=fixed1; bad 2 "a grid too narrow" fixed1
    fx train wage -s accumulator.kind=wrap:1; bad 2 "an accumulator too narrow" wrap:1
    fx train wage -s accumulator.kind=saturate:63; bad 2 "an accumulator too wide" saturate:63
    fx train wage -s layer.conv9.error.grid=fixed8; bad 2 "a layer that is not there" conv9 conv1
    fx train wage --batch 0; bad 2 "no batch" '"0"'
    fx train wage --batch 1438; bad 2 "a batch larger than the data" 1438 1437
    fx train wage --batch -5; bad 2 "a negative number" -5
    fx train wage --batch 1e3; bad 2 "no whole number" 1e3
    fx train wage --epochs 99999999999999999999999; bad 2 "a number beyond all ranges" epochs
    fx train wage --seed -1; bad 2 "a negative seed" -1
    fx train wage --seed 18446744073709551616; bad 2 "a seed of 2^64" 18446744073709551616
    fx train wage --seed 1x; bad 2 "a seed with letters" 1x
    fx train wage --seed 1 -s run.seed=2; bad 2 "a key twice" run.seed
    fx train wage -s error.grid=fixed9 -s error.grid=fixed8; bad 2 "a key twice, the usual way" error.grid
    fx train wage --resume --force; bad 2 "options that exclude each other" --force
    fx train wage --resume=never; bad 2 "a word for --resume" never
    fx train wage --stretch 0; bad 2 "a stretch by nothing" --stretch
    fx train wage --stretch 0.0001; bad 2 "a stretch that leaves no epoch" --stretch
    fx train wage --stretch 999999999999999999; bad 2 "a stretch beyond all ranges"
    fx train wage --threads 257; bad 2 "too many threads" 257
    fx train wage --cpu 486; bad 2 "an unknown instruction set" 486 scalar
    fx train wage --net ''; bad 2 "an empty network" run.net
    fx train wage --net '16C3-'; bad 2 "a network that breaks off" 'column'
    fx train wage --net '16Q3-10'; bad 2 "an unknown layer" '"Q"'
    fx train wage --net '16C3-9'; bad 2 "too few outputs" 'classes'
    fx train wage --net '16C99p0-10'; bad 2 "a window beyond the image" conv1
    fx train wage --net "$(printf '8FC-%.0s' {1..60})10"; bad 2 "a network of 242 characters" --net
    fx train wage --validation 1437; bad 2 "nothing left to train on" 1437
    fx train wage --checkpoint-every 5; bad 2 "a period without a unit" '"5"'
    fx train wage --checkpoint-every 0s; bad 2 "a period of 0" '"0s"'
    fx train wage --augment 'pad:4 flip'; bad 2 "half an augmentation" pad:4
    fx train wage -s update.rate=0; bad 2 "a rate of 0" update.rate
    fx train wage -s store.clip=0.3; bad 2 "a clip off the grid" 0.3
    fx train wage -s weight.grid=fixed9 -s store.clip=grid; bad 2 "a store narrower than the weights" 'store.grid has 8 bits, weight.grid 9'
    fx train wage -s store.grid=fixed2 -s store.clip=grid --epochs 0 --out narrow
    good "a store as wide as the weights trains"
    check "with a warning" warns 'both have 2 bits'
    fx train wage -s gradient.q=none; bad 2 "a claim that cannot be kept" gradient.q
    fx train wage -s layer.first.activation.grid=fixed9; bad 2 "an override without effect" activation.grid 'no layer'
    fx train wage -s logits.ste=identity; bad 2 "an override of what is not there" logits.ste
    fx train wage -s layer.conv1.error.grid=fixed12 -s layer.fc.error.grid=fixed12 -s error.grid=fixed10
    bad 2 "an override that every layer keeps for itself" error.grid=fixed10
    train -s layer.last.error.grid=fixed12 -s error.grid=fixed10 --out kept
    good "an override that some layers keep trains"
    check "with a warning that names the layer" warns 'error.grid=fixed10.* fc2'
    check "and no other" not warns 'error.grid=fixed10.* fc1'
    train --out milestone -s 'error.grid=fixed8 fixed9@7'
    good "a milestone past the end trains"
    check "with a warning that names it" warns 'error.grid.*@7'
    fx eval; bad 2 "eval of nothing" eval
    fx eval nowhere; bad 2 "eval of a run that is not there" nowhere
    fx eval kept more; bad 2 "eval of two" more
    fx explain; bad 2 "explain of nothing" recipe
}

recipe() { printf '%b' "$1" >"own recipe.ini"; fx train 'own recipe.ini'; }  # refused before anything is made
test_recipes() {
    recipe '[run]\nbatch = 64\nbatch = 32\n'; bad 2 "a key twice" 'own recipe.ini:3' 'line 2'
    recipe '[run]\n batch = 64\n'; bad 2 "an indented line" 'own recipe.ini:2'
    recipe '[run]\nbatsh = 64\n'; bad 2 "an unknown key" 'own recipe.ini:2' batsh run.batch
    recipe '[rnu]\nbatch = 64\n'; bad 2 "an unknown section" 'own recipe.ini:2' rnu
    recipe "[run]\nnet = $(printf '%200s' 1 | tr ' ' 9)\n"; bad 2 "an over-long line" 'own recipe.ini:2' 180
    recipe '[run]\nbatch = 6 4\n'; bad 2 "a value with a space" 'own recipe.ini:2' '6 4'
    recipe '[run]\nbatch = 64 ; few\n'; bad 2 "a comment behind a value" 'own recipe.ini:2'
    recipe '[run]\nbatch\n'; bad 2 "a line without =" 'own recipe.ini:2'
    recipe '[run\nbatch = 64\n'; bad 2 "a section without ]" 'own recipe.ini:1'
    recipe '[run]\nbatch = 64\x00\n'; bad 2 "a byte 0" 'own recipe.ini:2'
    recipe '[run]\nnet = \xff\n'; bad 2 "no UTF-8" 'own recipe.ini:2'
    recipe '[recipe]\nbase = nobody\n'; bad 2 "an unknown base" nobody wage
    recipe '[recipe]\nbase = own recipe.ini\n'; bad 2 "a base that is the recipe itself" 'own recipe.ini'
    recipe '[layer.conv1]\nseed = 3\n'; bad 2 "a layer's key that is the run's" 'own recipe.ini:2'
    fx train no.ini; bad 2 "a file that is not there" no.ini
    fx train ./; bad 2 "a directory" ./
    head -c 2000000 /dev/zero | tr '\0' '\n' >big.ini
    fx train big.ini; bad 2 "a file too large" big.ini
    printf '[recipe]\nbase = wage\n' >'own recipe.ini'
    fx train 'own recipe.ini' --net 8FC-10 --epochs 1 --quiet --out 'my runs/of today'
    good "a recipe and a run with spaces in their names"
    check "whose run_id has none" [ "$(last 'my runs/of today/log.csv' run_id)" = 'of%20today' ]
    fx eval 'my runs/of today'
    good "eval reads it"
    fx train 'own recipe.ini' --net 8FC-10 --epochs 0 --quiet --out "it's"
    # shellcheck disable=SC2016  # for that shell
    check "the command is one that a shell reads as it was given" \
        [ "$(fxsim() { printf '%s|' "$@"; }; . "./it's/command")" = "train|own recipe.ini|--net|8FC-10|--epochs|0|--quiet|--out|it's|" ]
}

u32() { printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"; }
zeros() { head -c "$1" /dev/zero; }
idx() {  # idx DIR: 40 and 10 images of 4 x 4
    mkdir -p "$1"
    { u32 2051; u32 40; u32 4; u32 4; zeros 640; } >"$1/train-images-idx3-ubyte"
    { u32 2049; u32 40; zeros 40; } >"$1/train-labels-idx1-ubyte"
    { u32 2051; u32 10; u32 4; u32 4; zeros 160; } >"$1/t10k-images-idx3-ubyte"
    { u32 2049; u32 10; zeros 10; } >"$1/t10k-labels-idx1-ubyte"
}
data() { fx train wage --net 8FC-10 --batch 8 --epochs 1 --quiet --data "$1" --out from-data --force; }
test_data() {
    local name images=train-images-idx3-ubyte labels=train-labels-idx1-ubyte
    data nosuch; bad 4 "an unknown data set" nosuch digits
    data ./nosuch; bad 4 "a directory that is not there" ./nosuch
    mkdir -p none; data ./none; bad 4 "an empty directory" none
    data ./err; bad 4 "a file for a directory" err
    mkdir -p 'my data'
    idx 'my data'; data 'my data'
    check "IDX files, under a name with a space, are read" [ -e from-data/log.csv ]
    check "the name is a cell without blanks" [ "$(last from-data/log.csv data)" = 'my%20data' ]
    idx cut; zeros 300 >cut/rest; head -c 300 "my data/$images" >cut/$images; data ./cut; bad 4 "images cut off" $images
    idx long; printf x >>long/$images; data ./long; bad 4 "images with a byte more" $images
    idx magic; { u32 2052; zeros 652; } >magic/$images; data ./magic; bad 4 "a wrong magic number" $images 2052 2051
    idx empty; : >empty/$images; data ./empty; bad 4 "an empty file" $images
    idx many; { u32 2051; u32 4294967295; u32 4; u32 4; zeros 640; } >many/$images; data ./many; bad 4 "images that are not there" $images
    idx vast; { u32 2051; u32 40; u32 65536; u32 65536; zeros 640; } >vast/$images; data ./vast; bad 4 "images too large" $images 65536
    idx fewer; { u32 2049; u32 39; zeros 39; } >fewer/$labels; data ./fewer; bad 4 "a label too few" $labels 39
    idx label; { u32 2049; u32 40; zeros 39; printf '\012'; } >label/$labels; data ./label; bad 4 "a label of 10" $labels 10
    idx missing; rm missing/$labels; data ./missing; bad 4 "a file that is missing" train-labels
    idx dir; rm dir/$images; mkdir dir/$images; data ./dir; bad 4 "a directory for a file" $images
    if has gzip; then
        idx gz; gzip gz/*; data ./gz
        check "gzip files are read" [ "$(last from-data/log.csv data)" = ./gz ]
        head -c 40 gz/$images.gz >new && mv new gz/$images.gz; data ./gz; bad 4 "a gzip file cut off" $images.gz
        printf '\037\213\010nonsense' >gz/$images.gz; data ./gz; bad 4 "a damaged gzip file" $images.gz
    fi
    mkdir -p cifar; zeros 3072 >cifar/data_batch_1.bin; data ./cifar; bad 4 "a CIFAR file of a wrong length" data_batch_1.bin 30730000
    mkdir -p two; idx two; zeros 10 >two/test_batch.bin; data ./two; bad 4 "files of two kinds" two
    mkdir -p pictures; "$cli_files" png pictures
    data pictures/good
    if [ -e from-data/log.csv ] && [ "$(last from-data/log.csv data)" = pictures/good ]; then
        check "PNG files are read" true
    elif says libpng; then
        skip "PNG files: built without libpng"
    fi
    for name in pictures/*; do
        [ "$name" != pictures/good ] || continue
        data "$name"; bad 4 "$name" "$name"
    done
}

contents() { (cd "$1" && find . -type f -exec cksum {} + | sort); }
test_directories() {
    local before
    train --out made; good "a run"
    before=$(contents made)
    train --out made; bad 2 "an existing run" made --resume --force
    train --out made/; bad 2 "the same with a slash" --resume
    check "nothing in it changed" [ "$(contents made)" = "$before" ]
    train --out made --resume; good "a finished run resumed"
    check "nothing in it changed" [ "$(contents made)" = "$before" ]
    train --out made --resume=auto; good "a finished run, --resume=auto"
    check "nothing in it changed" [ "$(contents made)" = "$before" ]
    train --out absent --resume; bad 2 "an absent run resumed" absent --resume=auto
    check "nothing is made" [ ! -e absent ]
    train --out made --resume --batch 128; bad 2 "a key twice" run.batch
    fx train wage --net 8FC-10 --batch 128 --epochs 2 --quiet --out made --resume; bad 5 "a run resumed under another recipe" recipe
    check "nothing in it changed" [ "$(contents made)" = "$before" ]

    printf 'mine\n' >made/notes
    printf 'mine\n' >made/checkpoint.old
    train --out made --force; good "--force"
    check "starts anew with the same bytes" [ "$(last made/log.csv status)" = "done" ]
    check "and leaves other files" [ "$(cat made/notes made/checkpoint.old)" = "$(printf 'mine\nmine')" ]
    for option in --force --resume=auto --quiet=yes; do
        rm -rf foreign && mkdir foreign
        printf 'mine\n' | tee foreign/log.csv foreign/recipe.ini >foreign/notes
        before=$(contents foreign)
        fx train wage --net 8FC-10 --batch 256 --epochs 1 --out foreign "$option"; bad 2 "a directory of others, $option" foreign
        check "nothing in it changed" [ "$(contents foreign)" = "$before" ]
    done

    train --out err; bad 1 "a file for a directory" err
    train --out err/run; bad 1 "a directory below a file" err/run
    train --out /proc/run; bad 1 "a directory where none can be" /proc/run
    train --out ''; bad 2 "an empty name" --out
    train --out "$(printf '%4000s' x | tr ' ' x)"; bad 2 "a name of 4000 characters" --out
    train --out "$(printf '%300s' x | tr ' ' x)"; bad 1 "a name longer than the file system's" 'too long'
    if [ "$(id -u)" = 0 ] && has setpriv && setpriv --reuid 65534 --regid 65534 --clear-groups "$fxsim" --version >out 2>err; then
        mkdir -m 755 locked-up
        chmod 755 .
        code=0
        setpriv --reuid 65534 --regid 65534 --clear-groups "$fxsim" train "${tiny[@]}" --out "$work/locked-up/run" >out 2>err || code=$?
        bad 1 "a directory that only its owner may write" locked-up
    else
        skip "another user: no setpriv"
    fi
}

test_lock() {
    local option endless=(wage --data digits --epochs 100000 --quiet -s update.rate=8 --out locked)
    "$fxsim" train "${endless[@]}" >out1 2>err1 &
    background=$!
    wait_for_rows locked/log.csv 2
    for option in --resume --resume=auto --force; do
        fx train "${endless[@]}" $option; bad 1 "a locked run, $option" locked 'another process' "pid $background"
    done
    fx train "${endless[@]}"; bad 2 "a locked run" locked
    wait_for_rows locked/log.csv $(($(rows locked/log.csv) + 2))
    check "the first goes on" kill -0 "$background"
    kill -TERM "$background" || true
    code=0
    wait "$background" || code=$?
    background=
    check "until it is stopped" [ $code = 75 ]
    check "its epochs are in order" cmp -s <(tail -n +2 locked/log.csv | cut -d , -f 3 | sed '$d') <(seq 0 $(($(rows locked/log.csv) - 2)))
    check "its rows are whole" [ "$(awk -F , '{ print NF }' locked/log.csv | sort -u)" = 42 ]
    check "no lock is left" [ ! -e locked/lock ]
}

# Full disks. A run whose stats.csv outgrows the limit, and one whose first checkpoint does.
test_full() {
    local big=(wage --net 4C3-MP2-16FC-10 --batch 128 --epochs 8 --quiet --checkpoint-every 4s -s stats.every=1s -s update.rate=8)
    fx train "${big[@]}" --out big; good "a run with room"
    (
        ulimit -f 90
        code=0
        "$fxsim" train "${big[@]}" --out limited >out 2>err || code=$?
        echo $code >code
    )
    code=$(cat code)
    bad 1 "a file limit" limited/stats.csv
    check "the rows written are there" cmp -s <(head -n 2 big/log.csv | cut -d , -f 2-22) <(head -n 2 limited/log.csv | cut -d , -f 2-22)
    fx eval limited; good "the checkpoint is whole"
    fx train "${big[@]}" --out limited --resume; good "with room it goes on"
    check "to the same log" same_log big limited
    check "and the same statistics" cmp -s <(cut -d , -f 2- big/stats.csv) <(cut -d , -f 2- limited/stats.csv)
    (
        ulimit -f 4
        code=0
        "$fxsim" train "${big[@]}" --out checkpointless >out 2>err || code=$?
        echo $code >code
    )
    code=$(cat code)
    bad 1 "a limit below the checkpoint" checkpointless/checkpoint.new
    check "row 0 is there" [ "$(rows checkpointless/log.csv)" = 1 ]
    check "half a checkpoint is not" [ ! -e checkpointless/checkpoint.new ]
    fx train "${big[@]}" --out checkpointless --resume; good "with room it starts"
    check "and ends with the same log" same_log big checkpointless

    mkdir -p disk small
    # shellcheck disable=SC2016  # for that shell
    if has unshare && unshare -rm bash -c 'mount -t tmpfs -o size=100k none disk' 2>/dev/null; then
        code=0
        unshare -rm bash -c 'mount -t tmpfs -o size=100k none disk; code=0; "$@" --out disk/run >out 2>err || code=$?
            cp -r disk/run small/; exit $code' bash "$fxsim" train "${big[@]}" || code=$?
        bad 1 "a full disk" disk/run
        check "the rows written are there" cmp -s <(head -n 2 big/log.csv | cut -d , -f 2-22) <(head -n 2 small/run/log.csv | cut -d , -f 2-22)
        fx eval small/run; good "the checkpoint is whole"
        fx train "${big[@]}" --out small/run --resume; good "with room it goes on"
        check "to the same log" same_log big small/run
    else
        skip "a full disk: nothing can be mounted"
    fi
    code=0
    "$fxsim" train wage --net 8FC-10 --batch 256 --epochs 2 -s update.rate=8 --out closed <&- >&- 2>&- || code=$?
    good "a run whose standard files are closed"
    check "writes rows, and no message among them" [ "$(cut -d , -f 1 closed/log.csv | sort -u | tr '\n' ' ')" = 'closed run_id ' ]
    [ -e /dev/full ] || return 0
    for words in formats 'explain wage' 'eval big' --help 'train --help' --version; do
        code=0
        # shellcheck disable=SC2086  # words
        "$fxsim" $words >/dev/full 2>err || code=$?
        bad 1 "$words into a full disk" output
    done
}

test_ends() {
    train --out dead -s weight.q=fixed2f1@const:5/nearest-even -s init.floor=0.1
    check "a run that dies: exit code 3" [ $code = 3 ]
    check "its last row says so" [ "$(last dead/log.csv status)" = dead ]
    train --out dead -s weight.q=fixed2f1@const:5/nearest-even -s init.floor=0.1 --resume
    check "resumed it is dead still: exit code 3" [ $code = 3 ]
    fx train wage --net 8FC-10 --batch 256 --epochs 3 --quiet --out stalled -s update.rate=0.001 -s gradient.rounding=toward-zero
    check "a run that stalls: exit code 3" [ $code = 3 ]
    check "its last row says so" [ "$(last stalled/log.csv status)" = stalled ]
    check "after the first epoch" [ "$(last stalled/log.csv epoch)" = 1 ]
    train --out part --max-steps 7
    good "--max-steps inside an epoch"
    check "one row more" [ "$(cut -d , -f 3,4 part/log.csv | tail -n +2 | tr '\n' ' ')" = '0,0 1,5 1,7 ' ]
    check "done" [ "$(last part/log.csv status)" = "done" ]
    train --out even --max-steps 5
    good "--max-steps on an epoch's end"
    check "one row" [ "$(cut -d , -f 3,4 even/log.csv | tail -n +2 | tr '\n' ' ')" = '0,0 1,5 ' ]
    check "done" [ "$(last even/log.csv status)" = "done" ]
    fx train wage --net 8FC-10 --epochs 0 --quiet --out untrained -s update.rate=8
    good "--epochs 0"
    check "row 0 alone" [ "$(rows untrained/log.csv)" = 1 ]
    check "done" [ "$(last untrained/log.csv status)" = "done" ]
    fx train wage --net 8FC-10 --epochs 0 --quiet --out untrained -s update.rate=8 --resume
    good "and again"
    check "nothing is added" [ "$(rows untrained/log.csv)" = 1 ]
    fx train wage --out half --net 8FC-10 --batch 256 --epochs 100 --quiet -s update.rate=8 --stretch 0.02
    good "--stretch"
    check "shortens the run" [ "$(last half/log.csv epoch)" = 2 ]
    fx train half/recipe.ini --out half2 --quiet; good "and its recipe.ini"
    check "is the stretched run's" [ "$(last half2/log.csv config_crc32)" = "$(last half/log.csv config_crc32)" ]
    fx train wage-mnist --out softmax --net 8C3-MP2-10SMX --epochs 2 --quiet; good "softmax named by the notation"
    check "recipe.ini says so" grep -qx 'loss = softmax' softmax/recipe.ini
    check "the loss is a cross-entropy: below ln 10 once trained" awk -v x="$(last softmax/log.csv train_loss)" 'BEGIN { exit !(x > 0.5 && x < 2.302585) }'
    fx train wage-mnist --out softmax2 --net 8C3-MP2-10 --loss softmax --epochs 2 --quiet --cpu scalar --threads 1
    check "--loss softmax trains the same" [ "$(last softmax2/log.csv weights_crc32)" = "$(last softmax/log.csv weights_crc32)" ]
}

test_csv() {
    local name
    fx train wage-mnist --net 4C3-MP2-16FC-10 --batch 128 --epochs 2 --quiet --out csv --validation 237 -s stats.every=4s \
        -s update.rate=8 -s accumulator.forward.kind=saturate:14
    good "a run with validation"
    for name in rate train_loss train_error; do check "row 0 has no $name" [ -z "$(cell csv/log.csv 0 $name)" ]; done
    for name in val_loss val_error test_loss test_error weights_crc32; do check "row 0 has $name" [ -n "$(cell csv/log.csv 0 $name)" ]; done
    for name in rate train_loss train_error val_loss val_error; do check "row 1 has $name" [ -n "$(cell csv/log.csv 1 $name)" ]; done
    check "fewer training images" [ "$(cell csv/log.csv 1 images)" = 1152 ]
    check "one header" [ "$(grep -c '^run_id' csv/log.csv csv/stats.csv | tr '\n' ' ')" = 'csv/log.csv:1 csv/stats.csv:1 ' ]
    for name in log stats; do
        check "every row of $name.csv has the header's cells" [ "$(awk -F , '{ print NF }' csv/$name.csv | sort -u | wc -l)" = 1 ]
        check "no cell of $name.csv has a blank" not grep -q "[ $(printf '\t')]" csv/$name.csv
    done
    check "log.csv has the design's columns" [ "$(head -n 1 csv/log.csv)" = run_id,seed,epoch,step,images,rate,loss_scale,train_loss,train_error,val_loss,val_error,test_loss,test_error,test_ties,skipped_steps,zero_tensors,saturated,store_changed,store_at_limit,weights_crc32,state_crc32,status,recipe,net,data,overrides,config_crc32,results_version,weight,activation,error,gradient,store,momentum,acc_forward,acc_error,acc_gradient,time_s,images_per_s,threads,cpu,host ]
    check "stats.csv has the design's columns" [ "$(head -n 1 csv/stats.csv)" = run_id,epoch,step,layer,index,kind,site,group,format,rounding,exponent,exponent_moves,n,saturated,underflowed,zeros_in,zeros_out,nonfinite,at_limit,masked,changed,max_abs,mean,l2,sqnr_db,cosine,bias_ulp,acc_bits,acc_overflow,acc_swamped,crest,floored ]
    if has python3; then
        check "numbers are the shortest that read back" python3 - csv/log.csv <<'END'
import csv, sys
for row in csv.DictReader(open(sys.argv[1])):
    for name in "rate train_loss train_error val_loss val_error test_loss test_error".split():
        text = row[name]
        if text:
            shortest = next(t for t in ("%.*g" % (p, float(text)) for p in range(1, 18)) if float(t) == float(text))
            assert text == shortest, (name, text, shortest)
END
    fi
    fx eval csv; good "eval"
    check "says the log's last test error" [ "$(awk -F , '$1 == "test" { print $3, $4, $6 }' out)" = "$(last csv/log.csv test_loss) $(last csv/log.csv test_error) $(last csv/log.csv test_ties)" ]
    check "and the validation's" [ "$(awk -F , '$1 == "validation" { print $2, $3, $4 }' out)" = "237 $(last csv/log.csv val_loss) $(last csv/log.csv val_error)" ]
    check "and nothing on stderr" [ ! -s err ]
    fx eval csv --checkpoint csv/checkpoint.previous; good "eval of another checkpoint"
    fx eval csv --checkpoint csv/nowhere; bad 5 "eval of none" csv/nowhere
    fx eval csv --checkpoint csv/log.csv; bad 5 "eval of what is no checkpoint" csv/log.csv
    fx eval csv --checkpoint csv; bad 5 "eval of a directory" 'checkpoint csv'
    mkdir -p bare && cp csv/recipe.ini bare
    fx eval bare; bad 5 "eval of a run without a checkpoint" bare

    fx train csv/recipe.ini --out again --quiet; good "recipe.ini is a recipe"
    check "of the same weights" [ "$(last again/log.csv weights_crc32)" = "$(last csv/log.csv weights_crc32)" ]
    check "and the same configuration" [ "$(last again/log.csv config_crc32)" = "$(last csv/log.csv config_crc32)" ]
    check "and the same recipe.ini" cmp -s again/recipe.ini csv/recipe.ini
    train --out plain
    train --out other --threads 2 --cpu scalar --checkpoint-every 1s
    check "threads and cpu do not change config_crc32" [ "$(last plain/log.csv config_crc32)" = "$(last other/log.csv config_crc32)" ]
    check "nor any byte" same_log plain other
    fx train wage --net 8FC-10 --batch 128 --epochs 2 --quiet -s update.rate=8 --out batch
    check "the batch changes it" [ "$(last plain/log.csv config_crc32)" != "$(last batch/log.csv config_crc32)" ]
    train --out short --drop-last no
    check "--drop-last no takes all images" [ "$(cell short/log.csv 1 images)" = 1437 ]
    train --drop-last --out whole
    check "--drop-last alone leaves some out" [ "$(cell whole/log.csv 1 images)" = 1280 ]
    # the loss of an epoch is counted in the units of its own steps, not in those of the next epoch's formats
    fx train wage-mnist --net 4C3-10 --epochs 2 --batch 256 --quiet -s update.rate=8 -s logits.ste=identity --out units1
    fx train wage-mnist --net 4C3-10 --epochs 2 --batch 256 --quiet -s update.rate=8 -s logits.ste=identity --out units2 -s 'logits.q=fixed8f7 fixed16f9@1'
    check "a format that changes behind an epoch does not change its loss" [ "$(cell units1/log.csv 1 train_loss)" = "$(cell units2/log.csv 1 train_loss)" ]
    fx train wage --net 4C3-10 --epochs 1 --batch 256 --quiet -s update.rate=8 --out units3 -s 'activation.q=fixed8f7 fixed9f8@3s'
    check "nor does one in the middle of it spoil it" awk -v a="$(cell units1/log.csv 1 train_loss)" -v b="$(cell units3/log.csv 1 train_loss)" 'BEGIN { exit !(b > a / 4 && b < a * 4) }'
    train --resume=auto --out auto; good "--resume=auto starts an absent run"
    check "with the same bytes" same_log plain auto
}

test_locale() {
    mkdir -p locales
    if ! has localedef || ! localedef -i de_DE -f UTF-8 locales/de_DE.UTF-8 >/dev/null 2>&1; then
        skip "a decimal comma: no locale can be made"
        return 0
    fi
    code=0
    LOCPATH=$work/locales LC_ALL=de_DE.UTF-8 "$fxsim" train "${tiny[@]}" --out comma >out 2>err || code=$?
    good "a run where the decimal point is a comma"
    check "writes the same log" same_log plain comma
}

test_explain() {
    local recipe
    for recipe in wage wage-mnist; do
        fx explain $recipe; good "explain $recipe"
        check "says the datapath" grep -q 'conv1 forward.* = integer' out
    done
    fx explain wage --diff; good "explain --diff without a change"
    check "says so" grep -qx 'no difference' out
    fx explain wage --diff -s gradient.rounding=toward-zero; good "explain --diff"
    check "two lines a layer" [ "$(grep -c '^[-+] ' out)" = 6 ]
    check "of the gradient alone" not grep -qvE '^[-+] (from step [0-9]+: )?(conv1|fc2|fc3) gradient = fixed8f7@shift-unit/(stochastic:32:below|toward-zero)/saturate$' out
    fx explain wage --diff -s layer.first.error.grid=fixed12; good "explain --diff of one layer"
    check "names no other" not grep -qE 'fc2|fc3' out
    fx explain wage --diff --threads 1 --cpu scalar; good "explain --diff of what changes no result"
    check "sees none" grep -qx 'no difference' out
    fx explain wage --diff --data digits --net lenet; bad 2 "explain of a net that does not fit"
    local net='4C3-BN-+(4C3-BN|)-GAP-10' line
    fx explain int8-l1bn --data digits --net "$net" --batch 16; good "explain of norms"
    for line in 'norm1 norm = l1 of conv1, 4 channels of 1024 elements, in integers' 'norm1 preact = fixed16f15@max' 'norm1 preact-error = fixed8f7@max/stochastic' \
        'gamma1 norm.gamma = fixed16f15@max' 'gamma1 norm.gamma.gradient = fixed32f16@const:0/stochastic' 'beta1 norm.beta.store = fixed32f24@const:0/stochastic' \
        'gamma1 update = integer, no weight decay' 'add2 operand 1 = norm2, exact, int32' 'add2 operand 2 = norm1' 'add2 add = in int64, to int64' \
        'add2 sum = none' 'add2 GAP = mean of 8x8 positions, exact' 'fork1 readers = conv2 add2' 'fork1 sum.error = none'; do
        check "says $line" grep -qF -- "$line" out
    done
    fx explain fp32-bn --data digits --net "$net" --batch 16 -s norm.kind=range -s norm.const=paper; good "explain of norms in floats"
    check "says why" grep -qF 'norm1 norm = range of conv1, 4 channels of 1024 elements, in float32 (preact is no signed fixed grid' out
    check "says the constant" grep -qF 'norm1 range = 16 chunks, constant paper = 0.346' out # 1 / sqrt(2 ln 64)
    fx explain fp32-bn --data digits --net "$net" --diff -s norm.kind=l1; good "explain --diff of a norm's kind"
    check "changes both norms" [ "$(grep -c '^[-+] ' out)" = 4 ]
    fx formats; good "formats"
    for word in fixedW ufixedW binary ternary const:E alpha shift-unit max nearest-even nearest-away toward-zero floor ceil odd \
        stochastic sr-eps add-constant pseudo saturate wrap; do
        check "lists $word" grep -qw -- "$word" out
    done
}

# Every option that a command's --help shows does something.
test_help() {
    local command option value
    fx --help; good "--help"
    check "is short" [ "$(wc -l <out)" -lt 25 ]
    check "names the commands" grep -q formats out
    fx --version; good "--version"
    for command in train eval explain formats; do
        fx $command --help; good "$command --help"
        check "shows its use" grep -q "^usage: fxsim $command" out
        cp out help.$command
    done
    for option in $(sed -n 's/^  --\([^ ]*\).*/\1/p' help.train); do
        case $option in
            net) value=10 ;; loss) value=sse ;; bias) value=no ;; fork | weights) continue ;; data) value=digits ;; batch) value=64 ;; drop-last) value=no ;;
            augment) value='pad:1 crop' ;; epochs) value=1 ;; max-steps) value=1 ;; validation) value=10 ;; seed) value=7 ;;
            threads) value=1 ;; cpu) value=scalar ;; checkpoint-every) value=1s ;; stretch) value=0.004 ;;
            quiet | resume | resume=auto | force | out) continue ;;  # above
            *) check "--help shows --$option, which this test does not know" false; continue ;;
        esac
        rm -rf one
        case $option in epochs | stretch) limit=() ;; *) limit=(--epochs 1) ;; esac
        case $option in net) net=() ;; *) net=(--net 8FC-10) ;; esac
        fx train wage "${net[@]}" "${limit[@]}" --out one "--$option" "$value"; good "--$option $value"
        rm -rf one
        fx train wage "${net[@]}" "${limit[@]}" --out one "--$option=$value"; good "--$option=$value"
    done
    for option in $(sed -n 's/^  --\([^ ]*\).*/\1/p' help.eval); do
        case $option in
            checkpoint) value=csv/checkpoint ;; threads) value=2 ;; cpu) value=scalar ;;
            *) check "--help shows --$option, which this test does not know" false; continue ;;
        esac
        fx eval csv "--$option" "$value"; good "eval --$option $value"
    done
    (cd "$work" && fx train wage --net 10 --epochs 0 --seed 3 --quiet)
    check "the default directory is runs/RECIPE-sSEED" [ -e runs/wage-s3/log.csv ]
}

test_words
test_recipes
test_data
test_directories
test_lock
test_full
test_ends
test_csv
test_locale
test_explain
test_help
verdict
