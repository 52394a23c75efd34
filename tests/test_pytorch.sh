#!/usr/bin/env bash
# test_pytorch.sh STEP_DUMP FXSIM: whole training steps of lenet in the recipe fp32 against PyTorch's (tests/pytorch_step.py), and of nets
# with batch norms in the recipe fp32-bn (tests/pytorch_norms.py).
# Exit code 77 (skipped) without python3 or torch.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
step_dump=$(realpath "${1:?the program step_dump}")
fxsim=$(realpath "${2:?the program fxsim}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python=
for candidate in python3 /usr/bin/python3; do  # Debian's package serves its own python alone
    if [ -z "$python" ] && "$candidate" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' 2>/dev/null; then
        python=$candidate
    fi
done
[ "$python" ] || { echo "SKIP: no python3 with torch"; exit 77; }

steps() {  # steps NAME KEY=VALUE...: into the directory NAME. The seeds keep sums clear of rectifiers' and pools' choices
    local name=$1
    shift
    mkdir "$name"
    "$step_dump" "$name" 2 "$@" >"$name/numbers"
}

steps momentum run.seed=2 update.rate=0.02 update.momentum=0.9 update.weight-decay=1e-4
steps nesterov run.seed=1 run.bias=yes update.nesterov=yes update.rate=0.02 update.momentum=0.9 update.weight-decay=0.01
steps adam run.seed=1 run.bias=yes update.rule=adam update.rate=0.001 update.momentum=0 update.weight-decay=0 update.epsilon=1e-3
code=0
"$python" -B "$here/pytorch_step.py" momentum nesterov adam || code=1
mkdir norms
(cd norms && "$python" -B "$here/pytorch_norms.py" "$fxsim") || code=1
exit $code
