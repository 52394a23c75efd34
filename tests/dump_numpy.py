"""dump_numpy.py FXSIM GOLDEN: what fxsim dump writes and train --weights reads, against NumPy, zlib, a Philox from its paper
and the recorded training step in GOLDEN (tests/golden). Run in an empty directory."""
import os
import re
import shutil
import struct
import sys
import zlib

import numpy as np

from vector_files import Dump, check, crc, dump, finish, good, rows, run, same, train

golden = sys.argv[2]
NET = "4C3-MP2-16FC-10SSE"


# ---- every file is what its line says --------------------------------------------------------------------------------

def kind_and_size(row):
    """The dtype that a line of the manifest asks for: the narrowest integers, or float32."""
    if FLOATS.match(row["grid"]) or (row["bits"] == "32" and row["signed"] == "0" and row["site"] not in WORDS and
                                                              ".random" not in row["site"]):
        return "f4"
    size = next(s for s in (1, 2, 4, 8) if 8 * s >= int(row["bits"]))
    return ("i" if row["signed"] == "1" else "u") + str(size)


FLOATS = re.compile(r"fp\d|bf16|e\dm\d|float:")
WORDS = {"images"}


def check_files(d):
    check(f"{d.path}: nothing but the manifest's files",
          sorted(os.listdir(d.path)) == sorted([r["file"] for r in d.rows.values()] + ["manifest.csv", "sites.csv", "step.csv"]))
    wrong = [name + ": a name with a number" for name in d.rows if name.rsplit(".", 1)[-1].isdigit()]
    for name, row in d.rows.items():
        a, bits = d[name], int(row["bits"])
        with open(d.file(name), "rb") as f:
            if crc(f.read()) != row["crc32"]:
                wrong.append(name + ": CRC")
        if a.shape != d.shape(name) or not a.flags.c_contiguous or len(row["layout"].split(".")) != a.ndim:
            wrong.append(name + f": shape {a.shape}")
        if a.dtype != np.dtype("<" + kind_and_size(row)):
            wrong.append(name + f": {a.dtype}, not {kind_and_size(row)}")
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if row["signed"] == "1" else (0, (1 << bits) - 1)
        if a.dtype.kind != "f" and (int(a.min()) < low or int(a.max()) > high):
            wrong.append(name + f": {a.min()}..{a.max()} in {bits} bits")
        if row["step"] != d.step["step"]:
            wrong.append(name + ": step")
    check(f"{d.path}: CRC, dtype, shape and range of {len(d.rows)} tensors", not wrong, "; ".join(wrong))


def check_hex(npy, hexa):
    """The two forms hold the same: integers, patterns of small floats, bits of float32."""
    check(f"{npy.path}: the same names", list(npy.rows) == list(hexa.rows))
    wrong = []
    for name, row in npy.rows.items():
        a, words = npy[name], hexa.words(name)
        if a.dtype == np.float32:
            grid, bits = row["grid"].split("@")[0].split("/")[0], int(row["bits"])
            if bits == 32:
                values = words.astype(np.uint32).view(np.float32)
            else:  # fp16, and e5m2, which is its upper byte
                values = (words << (16 - bits)).astype(np.uint16).view(np.float16).astype(np.float64) * 2.0 ** int(row["exponent"])
                if grid not in ("fp16", "e5m2"):
                    wrong.append(f"{name}: {grid}")
            if not np.array_equal(values.astype(np.float64), a.astype(np.float64)):
                wrong.append(name)
        elif not same(a, words):
            wrong.append(name)
    check(f"{npy.path}: .hex and .npy agree", not wrong, "; ".join(wrong))


def test_files():
    for recipe, extra in (("wage", ["-s", "update.rate=8"]), ("int8-sr", []), ("niti", []), ("gupta2015", []), ("courbariaux2014", []),
                          ("flexpoint", []), ("dfp16-das2018", []), ("fp8-mellempudi2019", ["-s", "run.bias=yes"]), ("hfp8", []), ("mxint8", []),
                          ("fp32", ["-s", "update.rule=adam", "-s", "update.momentum=0", "-s", "update.rate=0.01"])):
        train("files-" + recipe, recipe, "--net", "4C3-MP2-8FC-10", "--epochs", 1, "--max-steps", 4, *extra)
        d = dump("files-" + recipe, recipe + ".npy", 2)
        check_files(d)
        if recipe != "hfp8":  # its grids are not NumPy's
            check_hex(d, dump("files-" + recipe, recipe + ".hex", 2, "hex"))


NORMED = "4C3-BN-+(4C3-BN-4C3-BN|)-+(8C3s2-BN|8C1s2-BN)-GAP-10"


def test_norms():
    for recipe, extra in (("fp32-bn", []), ("int8-l1bn", []), ("wage-bn", []), ("banner2018", []), ("wage-bn", ["-s", "norm.kind=none"]),
                          ("int8-l1bn", ["-s", "preact.q=fixed16@max.channel"]), ("int8-l1bn", ["-s", "norm.kind=range", "-s", "sum.q=fixed16@max/stochastic"])):
        name = "-".join([recipe, *extra[1::2]])
        train(name, recipe, "--net", NORMED, "--batch", 16, "--epochs", 1, "--max-steps", 3, *extra)
        d = dump(name, name + ".npy", 2)
        check_files(d)
        check_hex(d, dump(name, name + ".hex", 2, "hex"))
        if "norm1.channel.G" not in d:
            continue
        per_channel = not d.rows["norm1.preact"]["exponent"]
        check(f"{name}: exponents of the norm's input", per_channel == ("channel" in name) == ("norm1.preact.exponent" in d))
        # 16-bit input, no fraction: T = (X - M) G + beta, each rounded halves up to 2^-16
        scaled = halves_up((d["norm1.preact"].astype(np.int64) - d["norm1.channel.mean"]) * d["norm1.channel.G"].astype(np.int64),
                           -16 - d["norm1.channel.G.exponent"].astype(np.int64))
        beta = halves_up(d["beta1.norm.beta"].astype(np.int64), -16 - d.exponent("beta1.norm.beta"))
        check(f"{name}: a norm from its channels' numbers", same(scaled + beta, d["norm1.norm"]) and d.exponent("norm1.norm") == -16)
        values = [d[n].astype(object) * 2 ** (d.exponent(n) - d.exponent("add3.add")) for n in ("norm3.norm", "norm1.relu", "add3.add")]
        check(f"{name}: the addition is that of norm3 and the rectifier", np.array_equal(values[0] + values[1], values[2]))
        check(f"{name}: the rectifier behind it", same(np.maximum(d["add3.sum" if "add3.sum" in d else "add3.add"], 0), d["add3.relu"]))
        errors = [d[n].astype(object) * 2 ** (d.exponent(n) - d.exponent("fork1.fork")) for n in ("conv2.sum.error", "add3.preact-error", "fork1.fork")]
        check(f"{name}: errors meet at the fork", np.array_equal(errors[0] + errors[1], errors[2]))
        seen = {(row["layer"], row["site"]) for row in rows(os.path.join(d.path, "sites.csv"))}
        check(f"{name}: sites of norms", {("norm1", "preact"), ("add3", "preact-error"), ("gamma1", "norm.gamma"), ("beta5", "norm.beta.store")} <= seen)
        check(f"{name}: the kind in step.csv", d.step["norm1.kind"] == ("range" if "range" in name else "l1") and d.step["norm1.numbers"] == "integers")


def halves_up(v, shift):
    """v / 2^shift, floor(x + 1/2); shift: one, or one a channel."""
    shift = np.broadcast_to(shift, v.shape)
    right, left = np.maximum(shift, 1), np.maximum(-shift, 0)
    return np.where(shift > 0, (v + (1 << (right - 1))) >> right, v << left)


def test_widths():
    """Numbers that an accumulator, the logits' format or a loss scale say nothing of: they fit the bits of their lines too."""
    def both(name, step):
        d = dump(name, f"{name}.npy{step}", step)
        check_files(d)
        check_hex(d, dump(name, f"{name}.hex{step}", step, "hex"))
        return d

    train("wrapped-bias", "gupta2015", "--net", "4C3-MP2-8FC-10", "--max-steps", 4, "-s", "run.bias=yes", "-s", "bias.q=fixed16f12",
          "-s", "accumulator.kind=wrap:20")
    d = both("wrapped-bias", 2)
    check("a bias' gradient is not cut", np.abs(d["fc3.sum.gradient.bias"]).max() >= 1 << 19)
    train("scaled-loss", "gupta2015", "--net", "8FC-10SSE", "--max-steps", 4, "-s", "accumulator.forward.kind=wrap:8",
          "-s", "loss-scale.mode=constant", "-s", "loss-scale.value=1024")
    both("scaled-loss", 2)

    train("overlap", "fp32", "--net", "4C3-MP3s1-8FC-10", "--max-steps", 4, "-s", "error.q=e5m2")
    d = both("overlap", 2)
    check("errors that windows have added up are no codes", d.rows["conv1.error"]["bits"] == "32" and d.rows["fc3.error"]["bits"] == "8")

    os.mkdir("large")
    for name, shape, code in (("fc1.weights", (64, 1), 64), ("fc1.bias", (1,), 64), ("fc2.weights", (1, 10), 64), ("fc2.bias", (10,), 64)):
        np.save(f"large/{name}.npy", np.full(shape, code, np.int8))
    train("large-bias", "wage", "--net", "1FC-10SSE", "--max-steps", 2, "--weights", "large", "-s", "update.rate=8", "-s", "run.bias=yes",
          "-s", "bias.q=fixed8f7")
    both("large-bias", 0)
    os.mkdir("ones")
    np.save("ones/fc1.weights.npy", np.full((64, 10), 64, np.int8))
    for name, later in (("wider-logits", "fixed16f0"), ("no-logits", "none")):
        train(name, "wage", "--net", "10SSE", "--max-steps", 3, "--weights", "ones", "-s", "update.rate=8", "-s", f"logits.q=fixed2f0 {later}@1s")
        for step in (0, 1):
            both(name, step)


# ---- the recorded step -----------------------------------------------------------------------------------------------

def golden_name(name):
    """conv1.error -> layer1.error; what the maps made is told by other names there."""
    layer, _, what = name.partition(".")
    number = {"conv1": 1, "fc2": 2, "fc3": 3}.get(layer)
    if number is None:
        return name
    moved = {"max-pool": f"layer{number}.pool1", "pool.argmax": f"layer{number}.pool1.argmax", "relu.mask": f"layer{number + 1}.activation.relu",
             "logits": "logits", "logits.error": "logits.error", "relu": None}
    return moved.get(what, f"layer{number}.{what}")


def stored_crc(d, when):
    """weights_crc32 of a net of fixed grids: codes as int32, then the exponent."""
    state = 0
    for layer in d.layers:
        name = f"{layer}.store.{when}"
        state = zlib.crc32(d[name].astype("<i4").tobytes() + struct.pack("<i", d.exponent(name)), state)
        if name + ".bias" in d:
            state = zlib.crc32(d[name + ".bias"].astype("<i4").tobytes() + struct.pack("<i", d.exponent(name)), state)
    return f"{state:08x}"


def test_golden():
    train("golden", "wage", "--net", NET, "--batch", 8, "--seed", 5, "--epochs", 2, "-s", "update.rate=8")
    d = dump("golden", "golden3", 3)
    found, wrong = set(), []
    for name in d.rows:
        file = golden_name(name)
        if file is None:
            continue
        found.add(file + ".csv")
        numbers = np.loadtxt(os.path.join(golden, "wage_step", file + ".csv"), delimiter=",", ndmin=1, dtype=np.int64)
        with open(os.path.join(golden, "wage_step", file + ".csv")) as f:
            exponent = f.readline().split("exponent ")[1].strip()
        if not np.array_equal(numbers.ravel(), d[name].astype(np.int64).ravel()):
            wrong.append(name)
        if exponent != (d.rows[name]["exponent"] or "none") and not (name.endswith((".update",)) and exponent == "none"):
            wrong.append(f"{name}: exponent {d.rows[name]['exponent']}, not {exponent}")
    left = {f for f in os.listdir(os.path.join(golden, "wage_step")) if f.endswith(".csv")} - found
    check("every tensor of the recorded step", not wrong, "; ".join(wrong))
    check("no recorded tensor is left out", not left, str(left))
    check("the weights' CRC before and after it", (stored_crc(d, "before"), stored_crc(d, "after")) == ("84a59416", "7b71fd5e"))
    masks = d["fc2.relu.mask"].astype(np.int64) * d["fc2.sum.forward"]
    check("what the rectifier made", same(masks, d["fc2.relu"]))
    log = rows("golden/log.csv")
    for row in log[1:-1]:
        at = dump("golden", f"log{row['step']}", row["step"])
        check(f"weights_crc32 of epoch {row['epoch']}", stored_crc(at, "before") == row["weights_crc32"])
        check_files(at)
    last = dump("golden", "last", int(log[-1]["step"]) - 1)
    check("weights_crc32 at the end", stored_crc(last, "after") == log[-1]["weights_crc32"])


# ---- the same step from every start ----------------------------------------------------------------------------------

def read(directory, name):
    with open(os.path.join(directory, name), "rb") as f:
        return f.read()


def equal_directories(a, b):
    names = sorted(os.listdir(a))
    return names == sorted(os.listdir(b)) and all(read(a, n) == read(b, n) for n in names)


def test_starts():
    for recipe in ("wage", "fp8-mellempudi2019", "flexpoint", "courbariaux2014", "int8-sr"):
        net = ["--net", "6FC-10", "--epochs", 2, "--seed", 3]
        net += {"wage": ["-s", "update.rate=8"], "courbariaux2014": ["-s", "update.rate=2"]}.get(recipe, [])
        whole, other, bare = f"starts-{recipe}", f"starts-other-{recipe}", f"starts-bare-{recipe}"
        train(whole, recipe, *net, "--checkpoint-every", "9s")  # at 9, 18 and 22: the last two are kept
        train(other, recipe, *net, "--checkpoint-every", "10s")
        before = {f: read(whole, f) for f in os.listdir(whole)}
        dump(whole, f"{recipe}-previous", 20)  # from 18
        check(f"{recipe}: the run is as it was", before == {f: read(whole, f) for f in os.listdir(whole)})
        shutil.copytree(whole, bare)
        for f in ("checkpoint", "checkpoint.previous"):
            os.remove(os.path.join(bare, f))
        dump(bare, f"{recipe}-start", 20)
        check(f"{recipe}: from the run's start and from the checkpoint before", equal_directories(f"{recipe}-previous", f"{recipe}-start"))
        shutil.copy(os.path.join(other, "checkpoint.previous"), os.path.join(bare, "checkpoint"))  # of step 20
        dump(bare, f"{recipe}-at")
        check(f"{recipe}: and from the last checkpoint, which is at that step", equal_directories(f"{recipe}-previous", f"{recipe}-at"))
        code, _, err = run("dump", whole, "--trace", "--out", "none", "--step", 22)
        check(f"{recipe}: a step behind the end is refused", code == 2 and "22" in err, err)
        last = dump(whole, f"{recipe}-last")
        check(f"{recipe}: without --step a finished run's last step", last.step["step"] == "21")


# ---- histograms ------------------------------------------------------------------------------------------------------

def check_histogram(source, d, name):
    good("dump", source, "--step", d.step["step"], "--histogram", name, "--out", "h.csv")
    table = rows("h.csv")
    row, a = d.rows[name], d[name]
    scale = 1.0 if a.dtype == np.float32 else 2.0 ** int(row["exponent"])
    values, counts = np.unique(a.astype(np.float64) * scale, return_counts=True)
    found = {}
    for line in table:
        found[float(line["value"])] = found.get(float(line["value"]), 0) + int(line["count"])
    check(f"{name}: counts are NumPy's", {v: c for v, c in found.items() if c} == dict(zip(values.tolist(), counts.tolist())))
    ordered = [float(line["value"]) for line in table]
    check(f"{name}: codes in the order of their values", ordered == sorted(ordered) and len({line["code"] for line in table}) == len(table))
    if a.dtype != np.float32 and row["signed"] == "1":
        codes = [int(line["code"], 16) for line in table]
        codes = [c - (1 << int(row["bits"])) if c >> (int(row["bits"]) - 1) else c for c in codes]
        check(f"{name}: value = code * 2^exponent", [c * scale for c in codes] == ordered)
    good("dump", source, "--step", d.step["step"], "--histogram", name, "--out", "h.png")
    data = read(".", "h.png")
    at, kinds, sound = 8, [], data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        sound &= zlib.crc32(data[at + 4:at + 8 + size]) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0]
        kinds.append(kind)
        at += 12 + size
    check(f"{name}: a sound PNG", sound and kinds[0] == b"IHDR" and kinds[-1] == b"IEND")


def test_histograms():
    for name in ("conv1.error.quantised", "fc2.activation", "fc3.weight", "conv1.store.before", "conv1.input", "fc2.update"):
        check_histogram("golden", Dump("golden3"), name)
    for name in ("fc2.activation", "fc2.error", "conv1.store.after"):
        check_histogram("files-fp8-mellempudi2019", Dump("fp8-mellempudi2019.npy"), name)
    for grid, codes in (("ternary", {"0x3", "0x0", "0x1"}), ("binary", {"0x3", "0x1"})):
        train(grid, "fp32", "--net", "8FC-10", "--max-steps", 2, "-s", f"weight.q={grid}")
        good("dump", grid, "--step", 1, "--histogram", "fc1.weight", "--out", "h.csv")
        check(f"{grid}: codes that are none are not listed", {line["code"] for line in rows("h.csv")} == codes, str(rows("h.csv")))
    code, _, err = run("dump", "golden", "--histogram", "fc2.sum.forward", "--out", "x.csv")
    check("a histogram of sums is refused", code == 2 and "made by no quantiser" in err and not os.path.exists("x.csv"), err)
    code, _, err = run("dump", "golden", "--step", 1, "--histogram", "fc9.weight", "--out", "x.csv")
    check("an unknown tensor is refused and the known ones named", code == 2 and "conv1.weight" in err, err)


# ---- random words ----------------------------------------------------------------------------------------------------

def philox(counter, key):
    """Philox 4x32-10, Salmon et al. 2011. counter: arrays of 4 words; key: 2 words."""
    c, mask = [np.asarray(x, np.uint64) for x in counter], np.uint64(0xFFFFFFFF)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, -1).astype(np.uint32)


def lanes(count, lane, seed, stream, step, first=0):
    """Lane `first + i` of the stream, i < count."""
    index = np.arange(first, first + count, dtype=np.uint64)
    per = 128 // lane
    block = index // np.uint64(per)
    words = philox([block & np.uint64(0xFFFFFFFF), block >> np.uint64(32), np.full(count, step), np.full(count, stream)],
          (seed & 0xFFFFFFFF, seed >> 32))
    bit = (index % np.uint64(per)).astype(np.int64) * lane
    word = words[np.arange(count), bit // 32]
    return (word >> (bit % 32).astype(np.uint32)) & np.uint32((1 << lane) - 1)


def lfsr(count, width, seed, stream, step):
    """Galois registers, 16 a block of 4096 elements, clocked once before each element."""
    mask, out = {16: 0xB400, 32: 0x80200003}[width], np.zeros(count, np.uint32)
    start = lanes(16 * ((count + 4095) // 4096), 32, seed, stream, step)
    for block in range(0, count, 4096):
        registers = [int(x) & ((1 << width) - 1) or 1 for x in start[block // 4096 * 16:block // 4096 * 16 + 16]]
        for i in range(block, min(count, block + 4096)):
            r = registers[i % 16]
            registers[i % 16] = (r >> 1) ^ (mask if r & 1 else 0)
            out[i] = registers[i % 16]
    return out


ROLES = {"activation": 2, "error": 3, "gradient": 4, "store": 5, "weight.back": 6, "activation.grad": 7, "error.grad": 8, "bias": 9, "momentum": 14}


def test_words():
    kat = philox([[0x243F6A88], [0x85A308D3], [0x13198A2E], [0x03707344]], (0xA4093822, 0x299F31D0))
    check("Philox 4x32-10's known answer", [int(x) for x in kat[0]] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1])
    seed = 2 ** 40 + 7
    fp8 = ["-s", "activation.rounding=stochastic:8", "-s", "error.rounding=stochastic:8", "-s", "store.rounding=stochastic:8"]
    cases = {"sr32": ("int8-sr", [], 32), "sr8": ("int8-sr", ["-s", "random.lane=8"], 8),
             "fp16": ("fp8-mellempudi2019", fp8 + ["-s", "random.lane=16", "-s", "run.bias=yes"], 16),
             "lfsr16": ("int8-sr", ["-s", "random.source=lfsr:16"], 16), "lfsr32": ("int8-sr", ["-s", "random.source=lfsr:32"], 32)}
    for name, (recipe, extra, lane) in cases.items():
        train(f"words-{name}", recipe, "--net", "4C3-MP2-24FC-8FC-10", "--epochs", 1, "--seed", seed, *extra)
        d = dump(f"words-{name}", f"words-{name}-dump", 5)
        check_files(d)
        sites, wrong = set(), []
        for file, row in d.rows.items():
            site, random, part = row["site"].partition(".random")
            if not random:
                continue
            stream = (d.layers.index(row["layer"]) + 1) * 256 + ROLES[site]
            first = int(np.prod(d.shape(f"{row['layer']}.store.before"))) if part == ".bias" else 0  # behind the weights
            sites.add(site + part)
            drawn = lfsr(d[file].size, lane, seed, stream, 5) if "lfsr" in name else lanes(d[file].size, lane, seed, stream, 5, first)
            if not np.array_equal(d[file].ravel(), drawn) or int(row["bits"]) != lane:
                wrong.append(file)
        wanted = {"activation", "error", *(("store", "store.bias") if recipe != "int8-sr" else ("gradient",))}
        check(f"{name}: random words of {sorted(sites)}", not wrong and wanted == sites, "; ".join(wrong))


# ---- weights of another program --------------------------------------------------------------------------------------

WAGE = ["--net", NET, "--batch", 8, "--epochs", 1, "--max-steps", 2, "-s", "update.rate=8"]
SHAPES = {"conv1": (3, 3, 1, 4), "fc2": (64, 16), "fc3": (16, 10)}


def first_weights(source, recipe, arguments, name):
    train(name, recipe, *arguments, "--weights", source)
    return dump(name, name + "-dump", 0)


def to_codes(x):
    return np.clip(np.rint(x.astype(np.float64) * 128), -64, 64).astype(np.int64)


def test_weights():
    rng = np.random.default_rng(7)
    values = {layer: rng.uniform(-0.6, 0.6, shape) for layer, shape in SHAPES.items()}
    values["fc2"].ravel()[:8] = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 64.5, -200]) / 128  # ties, and beyond the clip
    names = {f"{layer}.weights": v for layer, v in values.items()}
    np.savez("w64.npz", **names)
    np.savez_compressed("packed.npz", **{n: v.astype(np.float32) for n, v in names.items()})
    np.savez("codes.npz", **{n: to_codes(v).astype(np.int8) for n, v in names.items()})
    np.savez("wide.npz", **{n: to_codes(v).astype(np.int64) for n, v in names.items()})
    np.savez("big.npz", **{n: v.astype(">f8") for n, v in names.items()})
    os.mkdir("arrays")
    for n, v in names.items():
        np.save(f"arrays/{n}.npy", v)
    for source, given in (("w64.npz", values), ("packed.npz", {n: v.astype(np.float32) for n, v in values.items()}), ("codes.npz", None),
                          ("wide.npz", None), ("big.npz", values), ("arrays", values)):
        d = first_weights(source, "wage", WAGE, "from-" + source)
        wanted = {layer: to_codes((given or values)[layer]) for layer in SHAPES}
        check(f"{source}: the kept weights are NumPy's", all(same(d[f"{layer}.store.before"], w) for layer, w in wanted.items()))
    again = first_weights("from-arrays-dump", "wage", WAGE, "from-dump")
    once = Dump("from-arrays-dump")
    check("a dump goes on behind its step", all(same(again[f"{n}.store.before"], once[f"{n}.store.after"]) for n in SHAPES))

    small = ["--net", "8FC-10", "--epochs", 1, "--max-steps", 2, "-s", "run.bias=yes"]
    parts = {"fc1.weights": rng.normal(size=(64, 8)), "fc1.bias": rng.normal(size=8), "fc2.weights": rng.normal(size=(8, 10)),
          "fc2.bias": rng.normal(size=10)}
    np.savez("bias.npz", **parts)
    for recipe, kind in (("fp32", np.float32), ("fp8-mellempudi2019", np.float16)):
        d = first_weights("bias.npz", recipe, small, "bias-" + recipe)
        for name, v in parts.items():
            layer, what = name.split(".")
            file = f"{layer}.store.before" + (".bias" if what == "bias" else "")
            check(f"{recipe}: {name} as {kind.__name__}", np.array_equal(d[file], v.astype(kind).astype(np.float32)))
    net = {"conv1.weights": (3, 3, 1, 4), "norm1.gamma": (4,), "norm1.beta": (4,), "fc2.weights": (64, 10)}
    arrays = {n: rng.uniform(0.5, 1.5, shape).astype(np.float32) for n, shape in net.items()}
    running = {"norm1.running.mean": rng.normal(size=4), "norm1.running.scale": rng.uniform(1, 2, 4)}
    np.savez("norm.npz", **arrays)
    np.savez("running.npz", **arrays, **running)
    normed = ["--net", "4C3-BN-MP2-10", "--batch", 16, "--epochs", 1, "--max-steps", 2]
    for recipe in ("fp32-bn", "int8-l1bn"):
        d = first_weights("norm.npz", recipe, normed, "norm-" + recipe)
        given = {p: arrays[f"norm1.{p[:-1]}"] for p in ("gamma1", "beta1")}
        scale = 1.0 if recipe == "fp32-bn" else 2.0 ** 24
        check(f"{recipe}: gamma and beta as given", all(np.array_equal(d[f"{p}.store.before"], np.rint(v * scale) if scale > 1 else v) for p, v in given.items()))
        check(f"{recipe}: running statistics begin anew", "norm1.running.mean.before" not in d and "norm1.running.mean" in d)
        check_files(d)
        d2 = first_weights(f"norm-{recipe}-dump", recipe, normed, "norm-again-" + recipe)
        kept = [f"{p}.store" for p in ("conv1", "gamma1", "beta1", "fc2")]
        check(f"{recipe}: norms of a dump go on", all(same(d2[n + ".before"], d[n + ".after"]) for n in kept))
        check(f"{recipe}: and their running statistics", all(same(d2[f"norm1.running.{n}.before"], d[f"norm1.running.{n}"]) for n in ("mean", "scale")) and
              d2.rows["norm1.running.mean.before"]["exponent"] == d.rows["norm1.running.mean"]["exponent"])
    d = first_weights("running.npz", "fp32-bn", normed, "norm-running")
    check("running statistics as given", all(np.array_equal(d[n + ".before"], v.astype(np.float32)) for n, v in running.items()))
    d2 = first_weights("bias-fp32-dump", "fp32", small, "bias-again")
    check("biases of a dump go on too", np.array_equal(d2["fc2.store.before.bias"], Dump("bias-fp32-dump")["fc2.store.after.bias"]))


test_files()
test_norms()
test_widths()
test_golden()
test_starts()
test_histograms()
test_words()
test_weights()
finish()
