# What the tests of fxsim's files in NumPy's formats share: running it, manifests, checks that are counted.
import csv
import os
import subprocess
import sys
import zlib

import numpy

fxsim = os.path.abspath(sys.argv[1])
failures = 0


def check(sentence, passed, detail=""):
    global failures
    if not passed:
        failures += 1
        print(f"FAIL  {sentence} {detail}")
    else:
        print(f"ok    {sentence}")


def finish():
    if failures:
        sys.exit(f"{failures} checks failed")


def run(*arguments):
    """Exit code, stdout, stderr; a signal is a negative code."""
    done = subprocess.run([fxsim, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=600, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def good(*arguments):
    code, out, err = run(*arguments)
    if code != 0:
        check("fxsim " + " ".join(map(str, arguments)), False, f"exit code {code}: {err}")
    return out


def train(out, recipe, *arguments):
    good("train", recipe, "--quiet", "--threads", "1", "--out", out, *arguments)
    return out


def dump(source, out, step=None, form="npy"):
    good("dump", source, "--trace", "--as", form, "--out", out, *([] if step is None else ["--step", step]))
    return Dump(out)


def rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def crc(data, start=0):
    return f"{zlib.crc32(data, start):08x}"


class Dump:
    """A directory that fxsim dump --trace wrote. [name]: a tensor, as (row of the manifest, array)."""

    def __init__(self, path):
        self.path = path
        self.rows = {row["file"].rsplit(".", 1)[0]: row for row in rows(os.path.join(path, "manifest.csv"))}
        self.step = {row["key"]: row["value"] for row in rows(os.path.join(path, "step.csv"))}
        self.layers = [row["layer"] for row in self.rows.values() if row["site"] == "store.before"]

    def file(self, name):
        return os.path.join(self.path, self.rows[name]["file"])

    def __contains__(self, name):
        return name in self.rows

    def __getitem__(self, name):
        return numpy.load(self.file(name)) if self.rows[name]["file"].endswith(".npy") else self.words(name)

    def shape(self, name):
        return tuple(map(int, self.rows[name]["shape"].split("x")))

    def exponent(self, name):
        return int(self.rows[name]["exponent"])

    def words(self, name):
        """The numbers of a .hex file: codes, or bit patterns."""
        row, bits = self.rows[name], int(self.rows[name]["bits"])
        with open(self.file(name)) as f:
            lines = [line.strip() for line in f if not line.startswith("//")]
        digits = (bits + 3) // 4
        if not all(len(x) == digits and x == x.lower() for x in lines):
            check(f"{self.path}: {name}: {digits} lower-case digits an element", False)
        numbers = [int(x, 16) for x in lines]
        if not all(x < 1 << bits for x in numbers):
            check(f"{self.path}: {name}: no word beyond {bits} bits", False)
        if row["signed"] == "1":
            numbers = [x - (1 << bits) if x >> (bits - 1) else x for x in numbers]
        return numpy.array(numbers, numpy.int64).reshape(self.shape(name))


def same(a, b):
    return a.shape == b.shape and numpy.array_equal(numpy.asarray(a, numpy.int64), numpy.asarray(b, numpy.int64))
