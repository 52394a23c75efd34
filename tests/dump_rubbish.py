"""dump_rubbish.py FXSIM: damaged, foreign and contradictory files for fxsim dump, check and train --weights. Each ends with one clear
line and its exit code; nothing crashes, nothing is half written. Run in an empty directory."""
import os
import shutil
import warnings
import zipfile

import numpy as np

from vector_files import check, dump, finish, run, train

WAGE = ["wage", "--net", "8FC-10", "--batch", 256, "--epochs", 1, "--quiet", "--threads", 1, "-s", "update.rate=8"]
ALLOWED = {0, 1, 2, 3, 4, 5}


def fails(sentence, code, wanted, arguments, *texts):
    """Exit code `wanted`, and one line of an error that holds the texts; arguments: what was called, for the report."""
    got, out, err = code
    lines = [line for line in err.splitlines() if not line.startswith("fxsim: warning: ")]
    wrong = []
    if got != wanted:
        wrong.append(f"exit code {got}, not {wanted}")
    if len(lines) != 1 or not lines[0].startswith("fxsim: ") or not lines[0].isprintable():
        wrong.append(f"{len(lines)} lines: {err[:600]!r}")
    wrong += [f"nothing of {text!r}" for text in texts if text not in err]
    check(sentence, not wrong, f"{arguments} {'; '.join(wrong)} {err[:300]!r}")


def weights(sentence, path, *texts, wanted=4, recipe=WAGE):
    shutil.rmtree("w", ignore_errors=True)
    fails(sentence, run("train", *recipe, "--out", "w", "--weights", path), wanted, path, *texts)
    check(f"{sentence}: no run is left", not os.path.exists("w/log.csv"))


def write(path, data):
    with open(path, "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)


def npy(array, **header):
    """A .npy's bytes; header: descr, fortran_order, shape as they shall stand there."""
    fields = {"descr": repr(array.dtype.str), "fortran_order": "False", "shape": repr(array.shape), **header}
    text = "{" + ", ".join(f"'{k}': {v}" for k, v in fields.items() if v is not None) + ", }"
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n" + array.tobytes()


good_arrays = {"fc1.weights": np.linspace(-0.5, 0.5, 512).reshape(64, 8), "fc2.weights": np.linspace(-0.5, 0.5, 80).reshape(8, 10)}


def directory(**files):
    """A directory of weights: the good ones but for `files`, names with _ for the point: bytes, or None for none."""
    shutil.rmtree("d", ignore_errors=True)
    os.mkdir("d")
    for name, a in good_arrays.items():
        data = files.get(name.replace(".", "_"), npy(a))
        if data is not None:
            write(f"d/{name}.npy", data)
    return "d"


def test_arrays():
    code, _, err = run("train", *WAGE, "--out", "w0", "--weights", directory())
    check("the good directory is good", code == 0, err)
    small = good_arrays["fc2.weights"]
    whole = npy(small)
    for kind, size in (("<f8", 8), ("<f4", 4), ("|i1", 1), ("<i2", 2), ("<i4", 4), ("<i8", 8), (">f8", 8), (">i4", 4)):
        both = {n: npy((np.rint(a * 100) if "i" in kind else a).astype(kind)) for n, a in good_arrays.items()}
        shutil.rmtree("w", ignore_errors=True)
        code, _, err = run("train", *WAGE, "--out", "w", "--weights", directory(fc1_weights=both["fc1.weights"], fc2_weights=both["fc2.weights"]))
        check(f"{kind} is read", code == 0, err)
    for at in [*range(0, 120, 7), *range(120, len(whole), 97), len(whole) - 1]:
        weights(f"cut at {at} of {len(whole)}", directory(fc2_weights=whole[:at]), "d/fc2.weights.npy")
    weights("bytes behind the end", directory(fc2_weights=whole + b"\0"), "fc2.weights.npy", "641", "640")
    cases = {
        "a wrong magic": b"\x93NUMPX" + whole[6:], "a text": b"0.5 0.25\n", "nothing": b"", "an unknown version": whole[:6] + b"\x09\x00" + whole[8:],
        "a header beyond the file": whole[:8] + b"\xff\xff" + whole[10:], "a header of 4 GB": whole[:6] + b"\x02\x00\xff\xff\xff\xff" + whole[10:],
        "no header": b"\x93NUMPY\x01\x00\x00\x00", "column-major": npy(small, fortran_order="True"), "no order": npy(small, fortran_order=None),
        "objects": npy(small, descr="'|O'"), "complex": npy(small, descr="'<c16'"), "half": npy(small, descr="'<f2'"),
        "text": npy(small, descr="'<U4'"),
        "uint64": npy(small, descr="'<u8'"), "fields": npy(small, descr="[('a', '<f8')]"), "no descr": npy(small, descr=None),
        "an empty descr": npy(small, descr="''"), "no shape": npy(small, shape=None), "a huge shape": npy(small, shape="(9223372036854775807, 4)"),
        "a huge number": npy(small, shape="(99999999999999999999999, 1)"), "a shape that wraps": npy(small, shape="(4294967296, 4294967296, 5)"),
        "a negative shape": npy(small, shape="(-8, -10)"), "a shape of words": npy(small, shape="(eight, ten)"),
        "an open shape": npy(small, shape="(8, 10"),
        "nine axes": npy(small, shape="(1, 1, 1, 1, 1, 1, 1, 8, 10)"), "an empty array": npy(small[:0]),
        "no axes": npy(small[0, 0].reshape(()), shape="()"),
        "binary in the header": whole[:20] + b"\0\x01\xff\n" + whole[24:],
        "a transposed shape": npy(small.reshape(10, 8)), "one axis": npy(small.ravel()), "a shape too large": npy(np.zeros((8, 11))),
        "a huge claim": npy(small, shape="(1000000000, 100000)"), "a header of spaces": whole[:10] + b" " * (len(whole) - 10),
    }
    for sentence, data in cases.items():
        weights(sentence, directory(fc2_weights=data), "fc2.weights")
    for sentence, value in (("NaN", np.nan), ("infinity", np.inf)):
        a = small.copy()
        a[3, 7] = value
        weights(sentence, directory(fc2_weights=npy(a)), "fc2.weights", "element 37", "not finite")
    codes = np.zeros((8, 10), np.int16)
    codes[0, 1] = -65
    weights("codes beyond the clip", directory(fc1_weights=npy(np.zeros((64, 8), np.int16)), fc2_weights=npy(codes)), "element 1", "-65")
    weights("integers for a store of floats", directory(fc2_weights=npy(codes)), "integers", recipe=["fp32", *WAGE[1:-2]])
    weights("no array of a layer", directory(fc2_weights=None), "fc2.weights")
    weights("a bias where there is none", bias("fc2", 10), "no bias")
    weights("a bias of another length", bias("fc2", 9), "fc2.bias", recipe=["fp32", *WAGE[1:-2], "-s", "run.bias=yes"])
    weights("no bias where there is one", directory(), "bias is not there", recipe=["fp32", *WAGE[1:-2], "-s", "run.bias=yes"])
    weights("bias and weights of two types", bias("fc1", 8, "fc2", 10, kind=np.float32), "two types",
          recipe=["fp32", *WAGE[1:-2], "-s", "run.bias=yes"])
    directory()
    write("d/fc1.bias.npy", npy(np.zeros(8)))
    write("d/fc2.bias.npy", npy(np.array([0.0] * 9 + [np.nan])))
    weights("a bias that is NaN", "d", "fc2.bias: element 9 is not finite", recipe=["fp32", *WAGE[1:-2], "-s", "run.bias=yes"])
    weights("a directory of nothing", empty(), "fc1.weights")
    weights("no such path", "nowhere", "nowhere")
    weights("a weight that is a directory", nested(), "fc2.weights")
    weights("with --fork", "d", "--fork", wanted=2, recipe=[*WAGE, "--fork", "w0@1"])
    weights("of a recipe that looks for ranges", directory(), "init.ranges", wanted=2, recipe=["courbariaux2014", *WAGE[1:-2]])


def bias(*pairs, kind=np.float64):
    directory()
    for layer, n in zip(pairs[::2], pairs[1::2]):
        write(f"d/{layer}.bias.npy", npy(np.zeros(n, kind)))
    return "d"


def empty():
    shutil.rmtree("empty", ignore_errors=True)
    os.mkdir("empty")
    return "empty"


def nested():
    directory(fc2_weights=None)
    os.mkdir("d/fc2.weights.npy")
    return "d"


def test_archives():
    np.savez("good.npz", **good_arrays)
    np.savez_compressed("packed.npz", **{n: np.rint(a * 100).astype(np.int8) for n, a in good_arrays.items()})
    shutil.rmtree("w", ignore_errors=True)
    code, _, err = run("train", *WAGE, "--out", "w", "--weights", "good.npz")
    if code == 1 and "without libzip" in err:
        print("skip  .npz: " + err.strip())
        return
    check("the good archive is good", code == 0, err)
    for name in ("good.npz", "packed.npz"):  # what is damaged may be what nobody reads
        with open(name, "rb") as f:
            data = f.read()
        step = 7 if name == "packed.npz" else 501
        for at in range(0, len(data), step):
            write("cut.npz", data[:at])
            shutil.rmtree("w-none", ignore_errors=True)
            got, _, err = run("train", *WAGE, "--out", "w-none", "--weights", "cut.npz")
            if got != 4 or err.count("\n") != 1 or os.path.exists("w-none"):
                check(f"{name} cut at {at}", False, f"exit code {got}: {err[:300]!r}")
        check(f"{name} cut at every {step}th byte is refused", True)
        for at in range(3, len(data), 3 * step):  # or is damaged without its end missing
            write("flip.npz", data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:])
            shutil.rmtree("w-none", ignore_errors=True)
            got, _, err = run("train", *WAGE, "--out", "w-none", "--weights", "flip.npz")
            lines = [x for x in err.splitlines() if not x.startswith("fxsim: warning")]
            if got not in ALLOWED or (got != 0 and len(lines) != 1):
                check(f"{name} with a bit of byte {at} changed", False, f"exit code {got}: {err[:300]!r}")
        check(f"{name} with bits changed ends in order", True)
    with open("good.npz", "rb") as f:
        data = bytearray(f.read())
    data[data.index(good_arrays["fc2.weights"].tobytes()) + 9] ^= 0x40
    write("flip.npz", bytes(data))
    weights("a bit of a number changed, which the archive's CRC shows", "flip.npz", "damaged")
    np.savez("wrong.npz", **{"fc1.weights": good_arrays["fc1.weights"], "fc3.weights": good_arrays["fc2.weights"]})
    weights("a layer that is not there", "wrong.npz", "fc3.weights", "LAYER.weights")
    np.savez("suffix.npz", **{"fc1": good_arrays["fc1.weights"], "fc2.weights": good_arrays["fc2.weights"]})
    weights("an array without .weights", "suffix.npz", '"fc1"')
    np.savez("half.npz", **{"fc1.weights": good_arrays["fc1.weights"]})
    weights("an archive without a layer", "half.npz", "fc2.weights")
    np.savez("unnamed.npz", *good_arrays.values())
    weights("arrays without names", "unnamed.npz", "arr_0")
    both = ["fc1.weights.npy", "fc2.weights.npy"]
    for sentence, entries, said in (("an array twice", [*both, both[0]], "fc1.weights a second time"),
          ("a file that is no array", [*both, "read.me"], '"read.me"'),
                                    ("a path", ["../" + both[0]], "../fc1.weights"), ("an empty name", [*both, ".npy"], '".npy"'),
                                    ("a long name", [*both, "a" * 300 + ".npy"], "aaaa"), ("a name of two lines", ["fc1\n.weights.npy"], "odd.npz"),
                                    ("a folder", [*both, "fc1.weights/"], '"fc1.weights/"')):
        with zipfile.ZipFile("odd.npz", "w") as z, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that stand twice
            for entry in entries:
                z.writestr(entry, npy(good_arrays.get(entry.removesuffix(".npy"), good_arrays["fc1.weights"])))
        weights(sentence, "odd.npz", "odd.npz", said)
    with zipfile.ZipFile("odd.npz", "w", zipfile.ZIP_LZMA) as z:
        z.writestr("fc1.weights.npy", npy(good_arrays["fc1.weights"]))
    got, _, err = run("train", *WAGE, "--out", "w-lzma", "--weights", "odd.npz")
    check("an unusual compression ends in order", got == 4 and err.count("\n") == 1, err)
    with zipfile.ZipFile("odd.npz", "w"):
        pass
    weights("an archive of nothing", "odd.npz", "odd.npz")


def test_hex():
    """fxsim check with a damaged OUT and a damaged VEC."""
    train("run", *WAGE[:7], "-s", "update.rate=8")
    hexa, npys = dump("run", "vec", 1, "hex"), dump("run", "vec-npy", 1)
    code, out, _ = run("check", "vec", "--against", "vec-npy")
    check("hex against npy: equal", code == 0 and f"{len(hexa.rows)} tensors compared, 0 differ" in out, out)
    code, out, _ = run("check", "vec-npy", "--against", "vec")
    check("npy against hex: equal", code == 0 and f"{len(npys.rows)} tensors compared, 0 differ" in out, out)
    with open("vec/fc2.weight.hex") as f:
        lines = f.read().splitlines()
    words = lines[1:]

    def out_of(text):
        empty()
        write("empty/fc2.weight.hex", text)
        return run("check", "vec", "--against", "empty")

    same = {
        "no comment": "\n".join(words), "words in one line": " ".join(words), "CR LF": "\r\n".join(words),
        "comments between": "/* a\nb */" + " // c\n".join(words) + "// end",
        "upper case and underscores": "\n".join(w.upper() + "_" for w in words), "leading zeros": "\n".join("000" + w for w in words),
        "addresses": "@0\n" + "\n".join(words[:16]) + "\n@10\n" + "\n".join(words[16:]),
        "halves the other way round": "@28\n" + "\n".join(words[40:]) + "\n@0\n" + "\n".join(words[:40]),
        "$writememh's own": "// 0x00000000\n" + "\n".join(words),
    }
    for sentence, text in same.items():
        code, out, err = out_of(text)
        check(f"hex with {sentence} is equal", code == 0 and "1 tensors compared, 0 differ" in out, out + err)
    for letter in "xXzZ?":
        code, out, err = out_of("\n".join([*words[:13], letter, *words[14:]]))
        check(f"an element that is {letter} differs", code == 1 and "layer fc2, weight, element [1,3] (in.out)" in out and "found x" in out,
              out + err)
    broken = {
        "too few words": ("\n".join(words[:-1]), "79 elements; the manifest says 80"),
        "too many words": ("\n".join([*words, "0"]), "more than the 80"),
        "nothing": ("", "0 elements"), "a comment alone": ("// 0\n", "0 elements"),
        "a comment that never ends": ("/* 0 1\n" + "\n".join(words), "/*"),
        "a decimal point": ("0.5", "0.5"), "a minus sign": ("-1", "-1"), "a word too wide": ("\n".join(["7", *words[1:]]), "element 0 is 7"),
        "a word of 80 digits": ("0" * 79 + "f" + "\n" + "\n".join(words[1:]), "element 0"), "a word of 17 digits": ("1" * 17, "element 0"),
        "an address beyond": ("@50\n0\n", "more than the 80"), "an address of x": ("@x\n0\n", "element 0"),
        "an address alone": ("@\n0\n", "element 0"),
        "an address of 20 digits": ("@" + "f" * 20 + "\n0", "element 0"), "an address of 16 digits": ("@" + "f" * 16 + "\n0", "more than"),
        "letters": ("hello", "hello"), "an underscore alone": ("_", "element 0"), "bytes of a .npy": (npy(good_arrays["fc2.weights"]), "element 0"),
        "one element twice and one not": ("@0\n0\n@0\n" + "\n".join(words[:-1]), "elements"),
        "a NUL": ("\n".join(words[:40]) + "\n\0\n" + "\n".join(words[40:]), "elements"),
    }
    for sentence, (text, said) in broken.items():
        fails(f"hex with {sentence}", out_of(text), 4, sentence, "empty/fc2.weight.hex", said)
    empty()
    write("empty/fc2.weight.npy", npy(np.zeros((8, 10), np.int8))[:-1])
    fails("a .npy of OUT that is cut", run("check", "vec", "--against", "empty"), 4, "", "fc2.weight.npy")
    write("empty/fc2.weight.npy", npy(np.full((8, 10), 2, np.int8)))
    fails("a .npy of OUT beyond its bits", run("check", "vec", "--against", "empty"), 4, "", "element 0 is 2", "2 bits")
    write("empty/fc2.weight.npy", npy(np.zeros((8, 10))))
    fails("a .npy of OUT of another kind", run("check", "vec", "--against", "empty"), 4, "", "float64")
    write("empty/fc2.weight.npy", npy(np.zeros((8, 10), np.float32)))
    fails("a .npy of OUT of floats where integers stand", run("check", "vec", "--against", "empty"), 4, "", "float32")
    os.remove("empty/fc2.weight.npy")
    os.mkfifo("empty/fc2.weight.npy")
    fails("a pipe without a writer", run("check", "vec", "--against", "empty"), 4, "", "not a file")
    os.remove("empty/fc2.weight.npy")
    train("floats", "fp32", *WAGE[1:7], "-s", "weight.q=e4m3fn")
    own = dump("floats", "vec-floats", 1)["fc2.weight"]
    for sentence, factor in (("between two codes", 1.001), ("beyond the grid", 1e30)):
        a = own.copy()
        a.flat[np.abs(own).argmax()] *= factor
        write("empty/fc2.weight.npy", npy(a))
        fails(f"a .npy of OUT with a value {sentence}", run("check", "vec-floats", "--against", "empty"), 4, "", "which e4m3fn")


def test_manifest():
    with open("vec/manifest.csv") as f:
        lines = f.read().splitlines()
    header, body = lines[0], lines[1:]
    one = next(line for line in body if line.startswith("fc2.weight.hex"))
    cells = one.split(",")

    def check_with(manifest):
        shutil.rmtree("bad", ignore_errors=True)
        shutil.copytree("vec", "bad")
        write("bad/manifest.csv", manifest)
        return run("check", "bad", "--against", "vec")

    def changed(column, value):
        return "\n".join([header, ",".join(value if i == column else c for i, c in enumerate(cells))]) + "\n"

    code, out, _ = check_with("\n".join([header, one]))
    check("a manifest of one line without its end", code == 0 and "1 tensors compared" in out, out)
    broken = {
        "nothing": "", "no header": one + "\n", "another header": "a,b,c\n" + one + "\n", "half a line": header + "\n" + one[:20] + "\n",
        "a cell too many": header + "\n" + one + ",1\n", "an empty line": header + "\n\n", "no file": changed(0, ""),
        "a path": changed(0, "../vec/fc2.weight.hex"),
        "the directory above": changed(0, ".."), "a long name": changed(0, "a" * 500 + ".hex"), "a file that is not there": changed(0, "none.hex"),
        "no shape": changed(4, ""), "a shape of 0": changed(4, "8x0"), "a negative shape": changed(4, "-8x10"),
        "a shape of letters": changed(4, "8xten"),
        "an open shape": changed(4, "8x"), "five axes": changed(4, "1x1x1x8x10"), "another shape": changed(4, "8x11"),
        "a huge shape": changed(4, "1000000000x1000000000x1000000000"), "a large shape": changed(4, "100000x100000"),
        "a shape that wraps": changed(4, "1073741824x1073741824x1073741824x1073741824"),
        "no bits": changed(6, ""), "0 bits": changed(6, "0"), "65 bits": changed(6, "65"), "bits of letters": changed(6, "two"),
        "1 bit": changed(6, "1"),
        "bits and letters": changed(6, "2 bits"), "a leading blank": changed(6, " 2"), "a sign of letters": changed(7, "yes"),
        "an exponent of letters": changed(8, "minus one"),
        "a grid of letters": changed(9, "a/b/c"), "a CRC of another file": changed(10, "00000000"), "a step of letters": changed(1, "three"),
        "a line of 5000": header + "\n" + "a" * 5000 + "\n", "binary": header + "\n\x01\x02\x7f\n",
    }
    for sentence, text in broken.items():
        fails(f"a manifest with {sentence}", check_with(text), 4, sentence, "bad/manifest.csv" if sentence not in SHAPES else "fc2.weight")
    fails("VEC without manifest", run("check", empty(), "--against", "vec"), 4, "", "empty/manifest.csv")
    fails("no VEC", run("check", "nowhere", "--against", "vec"), 4, "", "nowhere")
    fails("no OUT", run("check", "vec", "--against", "nowhere"), 4, "", "nowhere")
    fails("an OUT of other files", run("check", "vec", "--against", "run"), 4, "", "run")
    fails("check of nothing", run("check"), 2, "", "--against")
    fails("check without OUT", run("check", "vec"), 2, "", "--against")
    fails("check --against without a value", run("check", "vec", "--against"), 2, "")
    fails("check of two", run("check", "vec", "vec-npy", "--against", "vec"), 2, "", "vec-npy")


SHAPES = {"another shape", "1 bit", "a large shape"}  # what the file contradicts


def test_places():
    fails("dump of no run", run("dump", "nowhere", "--trace", "--out", "o"), 2, "", "nowhere")
    fails("dump of a directory that is no run", run("dump", empty(), "--trace", "--out", "o"), 2, "", "recipe.ini")
    before = {f: os.stat(os.path.join("vec", f)).st_mtime_ns for f in os.listdir("vec")}
    fails("dump into a directory that holds files", run("dump", "run", "--step", 1, "--trace", "--out", "vec"), 2, "", "holds files")
    check("and nothing in it is touched", before == {f: os.stat(os.path.join("vec", f)).st_mtime_ns for f in os.listdir("vec")})
    fails("corners into directories that hold files", corners_twice(), 2, "", "holds files")
    write("file", "kept")
    fails("dump into a file", run("dump", "run", "--step", 1, "--trace", "--out", "file"), 1, "", "file")
    fails("corners into a file", run("dump", "--corners", "--out", "file"), 1, "", "file")
    with open("file") as f:
        check("the file is as it was", f.read() == "kept")
    fails("dump below nothing", run("dump", "run", "--step", 1, "--trace", "--out", "no/such/place"), 1, "", "no/such/place")
    fails("a histogram below nothing", run("dump", "run", "--step", 1, "--histogram", "fc1.weight", "--out", "no/such/place.csv"), 1, "",
          "no/such/place.csv")
    fails("a histogram with another ending", run("dump", "run", "--step", 1, "--histogram", "fc1.weight", "--out", "x.txt"), 2, "", ".png")
    fails("an empty --out", run("dump", "run", "--step", 1, "--trace", "--out", ""), 2, "", "--out")
    fails("a long --out", run("dump", "run", "--step", 1, "--trace", "--out", "a" * 5000), 2, "", "--out")
    for step in ("-1", "x", "1e3", "", "99999999999999999999", "999999999999"):
        fails(f"--step {step!r}", run("dump", "run", "--step", step, "--trace", "--out", "o"), 2, step)
    fails("another form", run("dump", "run", "--step", 1, "--trace", "--as", "bin", "--out", "o"), 2, "", "npy or hex")
    check("nothing was made", not os.path.exists("o"))
    if os.path.exists("/dev/full"):
        got, out, err = run("dump", "run", "--step", 1, "--histogram", "fc1.weight", "--out", "full.csv")
        os.remove("full.csv")
        os.symlink("/dev/full", "full.csv")
        fails("a full disk", run("dump", "run", "--step", 1, "--histogram", "fc1.weight", "--out", "full.csv"), 1, "", "full.csv")
    if os.path.isdir("/proc/self"):
        fails("dump where nobody may write", run("dump", "run", "--step", 1, "--trace", "--out", "/proc/fxsim-dump"), 1, "", "/proc/fxsim-dump")
        fails("a histogram there", run("dump", "run", "--step", 1, "--histogram", "fc1.weight", "--out", "/proc/fxsim.csv"), 1, "", "/proc/fxsim.csv")
    os.mkdir("locked")
    os.chmod("locked", 0o555)
    if os.access("locked", os.W_OK):
        print("skip  a directory that cannot be written: this user may write anywhere")
    else:
        fails("a directory that cannot be written", run("dump", "run", "--step", 1, "--trace", "--out", "locked"), 1, "", "locked")


def corners_twice():
    run("dump", "--corners", "--out", "corners")
    return run("dump", "--corners", "--out", "corners")


test_arrays()
test_archives()
test_hex()
test_manifest()
test_places()
finish()
