"""dump_corners.py FXSIM: the planted steps of fxsim dump --corners. Every tensor is made again by a WAGE step in NumPy from the
paper's arithmetic, and each corner is seen to occur. Run in an empty directory."""
import numpy as np

from vector_files import Dump, check, dump, finish, good, same, train

CODE_MAX, CLIP = 127, 64


def nearest_even(x, shift):
    if shift <= 0:
        return x << -shift
    q, rest, half = np.abs(x) >> shift, np.abs(x) & ((1 << shift) - 1), 1 << (shift - 1)
    return np.sign(x) * (q + ((rest > half) | ((rest == half) & (q & 1 == 1))))


def is_tie(x, shift):
    return (shift > 0) & (np.abs(x) & ((1 << max(shift, 1)) - 1) == 1 << (shift - 1) if shift > 0 else np.zeros(np.shape(x), bool))


def round_log2(m):
    n = int(m).bit_length() - 1
    return n + (m * m > 1 << (2 * n + 1))


def held(x, limit):
    return np.clip(x, -limit, limit)


MAPS = {"wage-127.5": lambda p: held(np.where(p <= 127, p - 128, p - 127), CODE_MAX), "wage-128": lambda p: held(p - 128, CODE_MAX)}


class Policy:
    """How a product's sums are kept: of a list of addends in order, along the last axis."""

    def __init__(self, text):
        self.kind, _, bits = text.partition(":")
        self.bits = int(bits or 63)

    def add_up(self, products):
        high = (1 << (self.bits - 1)) - 1
        if self.kind == "saturate":
            total = np.zeros(products.shape[:-1], np.int64)
            for i in range(products.shape[-1]):
                total = np.clip(total + products[..., i], -high - 1, high)
            return total
        total = products.sum(-1)
        return total if self.kind == "exact" else (total + high + 1) % (2 * high + 2) - high - 1


def windows(x, k):
    """n h w c -> n h w (kh kw c), zero padding."""
    p = k // 2
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    return np.concatenate([padded[:, i:i + x.shape[1], j:j + x.shape[2]] for i in range(k) for j in range(k)], -1)


class Layer:
    def __init__(self, d, name):
        self.name, self.d, self.w = name, d, d[name + ".store.before"].astype(np.int64)
        self.alpha = int(d.step[name + ".log2_alpha"])
        self.policies = {kind: Policy(d.step[f"{name}.accumulator.{kind}"]) for kind in ("forward", "error", "gradient")}
        self.pools = name + ".max-pool" in d
        self.t = held(nearest_even(self.w, 6), 1)
        self.is_conv = self.w.ndim == 4

    def forward(self, x):
        self.x = x
        rows = windows(x, self.w.shape[0]) if self.is_conv else x.reshape(len(x), 1, 1, -1)
        self.rows = rows.reshape(-1, rows.shape[-1])
        flat = self.t.reshape(-1, self.t.shape[-1])
        self.z = self.policies["forward"].add_up(self.rows[:, None, :] * flat.T[None]).reshape(rows.shape[:3] + (-1,))
        self.out = self.z
        if self.pools:
            n, h, w, c = self.z.shape
            cells = self.z.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)
            self.cells, self.argmax = cells, cells.argmax(-1)  # the first of equals
            self.out = cells.max(-1)

    def backward(self, masked_source, last):
        largest = int(np.abs(masked_source).max())
        self.shift = round_log2(largest) - 7 if largest else 0
        self.quantised = held(nearest_even(masked_source, self.shift), CODE_MAX)
        e = self.quantised if last else np.where(self.out > 0, self.quantised, 0)
        if self.pools:
            n, h, w, c = e.shape
            cells = np.where(np.arange(4) == self.argmax[..., None], e[..., None], 0)
            e = cells.reshape(n, h, w, c, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c)
        self.e = e
        flat = e.reshape(-1, e.shape[-1])
        self.dw = self.policies["gradient"].add_up((self.rows.T[:, None, :] * flat.T[None])).reshape(self.w.shape)
        if not self.is_conv:
            self.back = self.policies["error"].add_up(flat[:, None, :] * self.t[None]).reshape(self.x.shape)

    def update(self):
        mantissa, exponent = int(self.d.step["rate_mantissa"]), int(self.d.step["rate_exponent"])
        random = self.d[self.name + ".gradient.random"].astype(object).ravel()
        largest = int(np.abs(self.dw).max())
        self.k = np.zeros(self.dw.size, np.int64)
        f = (round_log2(largest) if largest else 0) - exponent
        for i, g in enumerate(self.dw.ravel().tolist()):
            x = abs(g) * mantissa
            k, rest = x >> f, x & ((1 << f) - 1)
            k = min(CODE_MAX, k + (rest << 32 > random[i] << f))
            self.k[i] = k if g > 0 else -k
        self.k = self.k.reshape(self.w.shape)
        self.after = held(self.w - self.k, CLIP)


def step(d):
    """All tensors of the step by their names."""
    layers, t = [Layer(d, name) for name in d.layers], {}
    x = MAPS[d.step["input.map"]](d["bytes"].astype(np.int64))
    t[layers[0].name + ".input"] = x
    for i, layer in enumerate(layers):
        layer.forward(x)
        t[layer.name + ".weight"], t[layer.name + ".sum.forward"] = layer.t, layer.z
        if layer.pools:
            t[layer.name + ".max-pool"], t[layer.name + ".pool.argmax"] = layer.out, layer.argmax
        if i + 1 == len(layers):
            break
        after = layers[i + 1].name
        t[layer.name + ".relu"], t[layer.name + ".relu.mask"] = np.maximum(layer.out, 0), (layer.out > 0).astype(int)
        layer.passes = np.maximum(layer.out, 0) <= CODE_MAX << (1 + layer.alpha)
        x = np.minimum(CODE_MAX, nearest_even(np.maximum(layer.out, 0), 1 + layer.alpha))
        t[after + ".activation"], t[after + ".activation.clip"] = x, layer.passes.astype(int)
    logits = layers[-1].z
    error = logits - (np.arange(logits.shape[-1]) == d["labels"].astype(int).reshape(-1, 1, 1, 1)) * (256 << layers[-1].alpha)
    t[layers[-1].name + ".logits"], t[layers[-1].name + ".logits.error"] = logits, error
    for layer in reversed(layers):
        layer.source = error
        layer.backward(error, layer is layers[-1])
        if layer is not layers[0]:
            t[layer.name + ".sum.error"] = layer.back
            error = np.where(layers[layers.index(layer) - 1].passes, layer.back, 0)
        layer.update()
        t.update({f"{layer.name}.{what}": v for what, v in (("error.quantised", layer.quantised), ("error", layer.e), ("sum.gradient", layer.dw),
                                                             ("update", layer.k), ("store.after", layer.after))})
    return layers, t


INPUTS = {"images", "labels", "bytes"}


def compare(d, sentence):
    layers, t = step(d)
    given = INPUTS | {n for n in d.rows if n.endswith((".random", ".store.before"))}
    wrong = [n for n in set(d.rows) - given if n not in t or not same(d[n], t[n])]
    check(f"{sentence}: {len(t)} tensors follow the paper's arithmetic", not wrong and set(t) == set(d.rows) - given,
          f"{wrong} {set(t) - set(d.rows)}")
    return layers


def corner(name):
    d = Dump("corners/" + name)
    return d, compare(d, name)


def test_activation():
    d, (first, second) = corner("activation")
    z, shift = first.z.ravel(), 1 + first.alpha
    limit = CODE_MAX << shift
    q, tie = z >> shift, (z > 0) & is_tie(z, shift)
    check("activation: ties go down to even and up to even", (tie & (q % 2 == 0)).any() and (tie & (q % 2 == 1) & (q < CODE_MAX)).any())
    check("activation: sums at the clip, one below, one beyond and far beyond", {limit - 1, limit, limit + 1} <= set(z) and (z > limit + 100).any())
    a, passes = d["fc2.activation"].ravel(), d["fc2.activation.clip"].ravel()
    check("activation: at the clip it passes, one beyond does not, and both are 127", set(a[z >= limit]) == {127} and
          set(passes[z == limit]) == {1} and
          set(passes[z > limit]) == {0})
    check("activation: a positive sum with code 0 has its rectifier open", ((z > 0) & (a == 0) & (d["fc1.relu.mask"].ravel() == 1)).any())
    check("activation: sums of 0, and negative ones beyond the clip's size or not", (z == 0).any() and (z < -4).any() and (z <= -limit).any() and
          (d["fc1.relu.mask"].ravel()[z <= 0] == 0).all() and (passes[z < 0] == 1).all())


def test_zeros():
    d, layers = corner("zero-input")
    check("zero-input: image, sums, activations and the first gradient are 0", all(not d[n].any() for n in (
        "fc1.input", "fc1.sum.forward", "fc2.activation", "fc1.sum.gradient", "fc1.update")) and d["fc2.logits.error"].any())
    check("zero-input: the weights stay", same(d["fc1.store.after"], d["fc1.store.before"]))
    d, _ = corner("zero-error")
    check("zero-error: errors, gradients and updates are 0 where outputs and image are not", all(not d[n].any() for n in (
        "fc1.logits.error", "fc1.error", "fc1.sum.gradient", "fc1.update")) and d["fc1.logits"].any() and d["fc1.input"].any())
    check("zero-error: the weights stay", same(d["fc1.store.after"], d["fc1.store.before"]))


def test_errors():
    d, (layer,) = corner("error-left-shift")
    check("error-left-shift: a left shift, no error lost", layer.shift < 0 and (np.count_nonzero(layer.quantised) == np.count_nonzero(layer.source)))
    d, (layer,) = corner("error-one")
    check("error-one: 1 would be 128 and is held at 127", np.abs(layer.source).max() == 1 and layer.shift == -7 and
          {-127, 0, 127} == set(layer.quantised.ravel()))
    d, (layer,) = corner("error-ties")
    x, odd = layer.source, is_tie(layer.source, layer.shift)
    q = np.abs(x) >> 1
    check("error-ties: shifted by 1, ties both ways and of both signs", layer.shift == 1 and all((odd & (q % 2 == way) & (np.sign(x) == sign)).any()
          for way in (0, 1) for sign in (-1, 1)))
    d, (layer,) = corner("error-saturates")
    x, e = layer.source, layer.quantised
    check("error-saturates: at the end, one below, one beyond and far beyond, both signs", layer.shift == 0 and
          {126, 127, 128, 180, -127, -128, -180} <= set(x.ravel()) and (e[np.abs(x) >= 127] == np.sign(x[np.abs(x) >= 127]) * 127).all())


def test_pool():
    d, (first, _) = corner("pool-ties")
    equal = (first.cells == first.cells.max(-1)[..., None]).sum(-1)
    places = first.cells == first.cells.max(-1)[..., None]
    check("pool-ties: windows of four, and of some, equal sums", (equal == 4).any() and ((equal > 1) & (equal < 4)).any())
    check("pool-ties: a tie that the first of a later pair wins", ((equal > 1) & ~places[..., 0]).any())
    check("pool-ties: the first wins", same(d["conv1.pool.argmax"], places.argmax(-1)))
    ties = (equal > 1) & (first.quantised != 0) & (first.out > 0)
    check("pool-ties: an error goes back through a tie", ties.any())


def test_flips():
    d0, (a,) = corner("ternary-flip-0")
    d1, (b,) = corner("ternary-flip-1")
    w = set(a.w.ravel())
    check("ternary-flip: codes at 31, 32, 33, 63, 64 of both signs", {s * x for s in (1, -1) for x in (31, 32, 33, 63, 64)} <= w)
    check("ternary-flip: 32 is a tie to 0, 33 is 1", set(a.t[np.abs(a.w) == 32]) == {0} and set(a.t[a.w == 33]) == {1} and
          set(a.t[a.w == -33]) == {-1})
    check("ternary-flip: weights change their sign's code both ways", ((a.t == 0) & (b.t != 0)).any() and ((a.t != 0) & (b.t == 0)).any())
    wanted = np.concatenate([a.w - a.k, b.w - b.k])
    check("ternary-flip: in one step or the other weights are held at the clip, on both sides", (wanted > CLIP).any() and (wanted < -CLIP).any())
    check("ternary-flip: the second step begins with what the first left", same(d0["fc1.store.after"], d1["fc1.store.before"]) and
          d1.step["step"] == "1")


def test_accumulators():
    for name in ("accumulator-wrap", "accumulator-saturate"):
        d, (first, _) = corner(name)
        exact = (first.rows[:, None, :] * first.t.T[None]).sum(-1).ravel()
        z = first.z.ravel()
        check(f"{name}: sums at the ends of 11 bits, one beyond and far beyond, both signs",
              {1022, 1023, 1024, 1025, -1023, -1024, -1025} <= set(exact) and
              exact.max() > 2000 and exact.min() < -2000)
        if name.endswith("wrap"):
            check("accumulator-wrap: 1024 becomes -1024, -1025 becomes 1023", set(z[exact == 1024]) == {-1024} and set(z[exact == -1025]) == {1023})
        else:
            check("accumulator-saturate: held at 1023 and -1024", set(z[exact > 1023]) == {1023} and set(z[exact < -1024]) == {-1024})
            inside = np.abs(exact) <= 1023
            check("accumulator-saturate: sums inside are exact", (z[inside] == exact[inside]).all() and
                  (d["fc1.sum.forward"].ravel()[inside] == exact[inside]).all())


good("dump", "--corners", "--out", "corners")
test_activation()
test_zeros()
test_errors()
test_pool()
test_flips()
test_accumulators()
train("run", "wage", "--net", "4C3-MP2-16FC-10SSE", "--batch", 8, "--epochs", 2, "--seed", 5, "-s", "update.rate=8 1@1")
for number in (0, 3, 200):
    compare(dump("run", f"step{number}", number), f"step {number}")
finish()
