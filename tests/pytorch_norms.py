#!/usr/bin/env python3
"""pytorch_norms.py FXSIM: PyTorch computes training steps of nets with batch norms, a residual one among them, by the recipe
fp32-bn, and an evaluation with running statistics, in float64. Run in an empty directory.

Each step starts from the simulator's weights, gamma and beta; momenta and running statistics are PyTorch's own. Norms of
kind l2 are torch.nn.functional.batch_norm; l1 and range are the forward formulas, and their backward is autograd's.
Whatever has a name in the dump must agree to BOUND of the largest magnitude of its tensor: float32 rounding. That rectifiers,
pools, signs and extremes choose alike is checked: nothing stands nearer than MARGIN to a choice.
"""
import csv
import math
import os
import struct
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F

FXSIM = os.path.abspath(sys.argv[1])
BOUND, MARGIN, STEPS, BATCH, IMAGES, TESTS = 1e-5, 1e-6, 3, 25, 100, 60
DENSE = "8C3-BN-MP2-16FC-BN-10"
RESIDUAL = "8C3-BN-+(8C3-BN-8C3-BN|)-+(16C3s2-BN-16C3-BN|16C1s2-BN)-GAP-10"
EPSILON, WEIGHT, DECAY, MOMENTUM = 1e-5, 0.1, 1e-4, 0.9
D2 = {8: 23018, 16: 18555, 32: 15832, 64: 13981, 98: 13105, 128: 12629, 392: 11063, 512: 10765}  # round(65536 / d2(n)), n between them linear in log2 n


def constant(law, n):
    if law == "code":
        return 0.5 * 0.35 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(n))
    below = max(k for k in D2 if k <= max(n, 8))
    above = min((k for k in D2 if k > below), default=None)
    if n <= 8 or n == below:
        return D2[below] / 65536
    part = math.log2(n / below) / math.log2(above / below)
    return (D2[below] + part * (D2[above] - D2[below])) / 65536


class Net:
    def __init__(self, kind, chunks, law):
        self.kind, self.chunks, self.law = kind, chunks, law
        self.parameters, self.running, self.margin, self.seen = {}, {}, float("inf"), {}

    def near(self, distances):
        if distances.numel():
            self.margin = min(self.margin, distances.detach().abs().min().item())

    def scale(self, x, d):
        """What l1 and range divide by; x, d: elements of a channel in rows (n, h, w)."""
        if self.kind == "l1":
            self.near(d)
            return math.sqrt(math.pi / 2) * d.abs().mean(0) + EPSILON
        n, spread = len(x), 0
        m = min(self.chunks, n)
        for c in range(m):
            part = x[c * n // m:(c + 1) * n // m]
            values = part.detach().numpy()
            for index, sign in ((values.argmax(0), 1), (values.argmin(0), -1)):  # the first of equals
                extreme = part.gather(0, torch.from_numpy(index)[None])[0]
                others = (extreme - part).detach().abs()
                self.near(others[others > 0])
                spread = spread + sign * extreme
        return constant(self.law, n // m) / m * spread + EPSILON

    def norm(self, name, x, training):
        gamma, beta = self.parameters[f"gamma{name[4:]}"], self.parameters[f"beta{name[4:]}"]
        if self.kind == "l2":
            mean, variance = self.running.setdefault(name, [torch.zeros_like(beta), torch.ones_like(gamma)])
            return F.batch_norm(x, mean, variance, gamma, beta, training, WEIGHT, EPSILON)
        rows = x.movedim(1, -1).reshape(-1, x.shape[1])
        if training:
            mean = rows.mean(0)
            scale = self.scale(rows, rows - mean)
            new = [mean.detach().clone(), scale.detach().clone()]
            old = self.running.get(name, new)
            self.running[name] = [o + WEIGHT * (n - o) for o, n in zip(old, new)]
        else:
            mean, scale = self.running[name]
        y = gamma / scale * (rows - mean) + beta
        return y.reshape(x.movedim(1, -1).shape).movedim(-1, 1)

    def relu(self, x):
        self.near(x)
        return F.relu(x)

    def conv(self, name, x, stride=1):
        w = self.parameters[name]
        return F.conv2d(x, w, stride=stride, padding=(w.shape[2] - 1) // 2)

    def pool(self, x):
        parts = F.unfold(x.detach().flatten(0, 1).unsqueeze(1), 2, stride=2).topk(2, dim=1).values
        first, second = parts.unbind(1)
        self.near((first - second)[(first > 0) & (first != second)])
        return F.max_pool2d(x, 2)

    def dense(self, x, training):
        x = self.relu(self.pool(self.norm("norm1", self.conv("conv1", x), training)))
        x = F.linear(x.permute(0, 2, 3, 1).reshape(len(x), -1), self.parameters["fc2"])
        return F.linear(self.relu(self.norm("norm2", x, training)), self.parameters["fc3"])

    def residual(self, x, training):
        x = self.relu(self.norm("norm1", self.conv("conv1", x), training))
        y = self.relu(self.norm("norm2", self.conv("conv2", x), training))
        x = self.relu(self.norm("norm3", self.conv("conv3", y), training) + x)
        y = self.relu(self.norm("norm4", self.conv("conv4", x, 2), training))
        y = self.norm("norm5", self.conv("conv5", y), training)
        x = self.relu(y + self.norm("norm6", self.conv("conv6", x, 2), training))
        return F.linear(x.mean((2, 3)), self.parameters["fc7"])


def read(directory, name):
    return np.load(f"{directory}/{name}.npy")


def to_torch(a):
    """kh kw ci co, in out or channels, as PyTorch orders them."""
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[a.ndim]
    return torch.from_numpy(np.ascontiguousarray(a.transpose(order))).double()


def far(got, wanted):
    """Distance in units of the largest magnitude; NaN counts as far."""
    got, wanted = to_torch(np.asarray(got)) if not torch.is_tensor(got) else got.double(), wanted.detach()
    off = ((got - wanted).abs().max() / wanted.abs().max()).item()
    return off if off <= BOUND else f"{off:.3g}"


def fxsim(*arguments):
    done = subprocess.run([FXSIM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"fxsim {arguments}: {done.returncode} {done.stderr}")


def make_data():
    """Strokes that the class turns, in noise, as IDX files."""
    rng = np.random.default_rng(3)
    os.mkdir("data")
    images = {}
    for part, count in (("train", IMAGES), ("t10k", TESTS)):
        labels = np.arange(count) * 7 % 10
        y, x = np.mgrid[:8, :8]
        strokes = (x * (labels[:, None, None] + 1) + y * (10 - labels[:, None, None])) % 16 < 5
        pixels = (strokes * 150 + rng.integers(1, 100, (count, 8, 8))).astype(np.uint8)
        with open(f"data/{part}-images-idx3-ubyte", "wb") as f:
            f.write(struct.pack(">4i", 0x803, count, 8, 8) + pixels.tobytes())
        with open(f"data/{part}-labels-idx1-ubyte", "wb") as f:
            f.write(struct.pack(">2i", 0x801, count) + labels.astype(np.uint8).tobytes())
        images[part] = pixels, torch.from_numpy(labels)
    return images


def one_step(net, run, step, momenta, failures):
    """Compares the step; returns PyTorch's loss. Parameters move to PyTorch's new ones."""
    d = f"{run}-{step}"
    fxsim("dump", run, "--step", step, "--trace", "--out", d)
    names = sorted(f[:-len(".store.before.npy")] for f in os.listdir(d) if f.endswith(".store.before.npy"))
    net.parameters = {n: to_torch(read(d, f"{n}.store.before")).requires_grad_() for n in names}
    x = torch.from_numpy(read(d, "conv1.input")).double().permute(0, 3, 1, 2)
    logits = (net.residual if "residual" in run else net.dense)(x, True)
    loss = F.cross_entropy(logits, torch.from_numpy(read(d, "labels").astype(np.int64)))
    loss.backward()
    checks = [("logits", torch.from_numpy(read(d, f"{'fc7' if 'residual' in run else 'fc3'}.logits")).view_as(logits), logits)]
    with torch.no_grad():
        for n in names:
            p = net.parameters[n]
            affine = n.startswith(("gamma", "beta"))
            gradient = read(d, f"{n}.norm.{n.rstrip('0123456789')}.gradient" if affine else f"{n}.gradient")
            checks.append((f"gradient of {n}", gradient, p.grad))
            momenta[n] = MOMENTUM * momenta.get(n, 0) + p.grad + (0 if affine else DECAY) * p
            p -= net.rate * momenta[n]
            checks.append((f"new {n}", read(d, f"{n}.store.after"), p))
    for n, (mean, scale) in net.running.items():
        checks += [(f"{n}.running.mean", read(d, f"{n}.running.mean"), mean), (f"{n}.running.scale", read(d, f"{n}.running.scale"), scale)]
    for what, got, wanted in checks:
        off = far(got, wanted)
        if isinstance(off, str):
            failures.append(f"step {step}: {what}: off by {off}")
    net.mapped = x, read(d, "bytes")
    return loss.item()


def evaluate(net, images, residual):
    """Mean loss over the test images. The map from bytes is affine: taken from a batch and its bytes."""
    x, pixels = net.mapped[0].flatten().numpy(), net.mapped[1].ravel().astype(np.float64)
    slope, offset = np.polyfit(pixels, x, 1)
    if np.abs(slope * pixels + offset - x).max() > 1e-6:
        raise SystemExit("the input's map is not affine")
    pixels, labels = images["t10k"]
    x = torch.from_numpy(slope * pixels.astype(np.float64) + offset)[:, None]
    with torch.no_grad():
        return F.cross_entropy((net.residual if residual else net.dense)(x, False), labels).item()


def last_row(run):
    with open(f"{run}/log.csv", encoding="ascii") as f:
        return list(csv.DictReader(f))[-1]


def case(images, run, seed, kind="l2", chunks=16, law="exact_d2"):
    net, momenta, failures = Net(kind, chunks, law), {}, []
    residual = "residual" in run
    options = ["-s", f"norm.kind={kind}"] + (["-s", f"norm.chunks={chunks}", "-s", f"norm.const={law}"] if kind == "range" else [])
    fxsim("train", "fp32-bn", "--data", "data", "--net", RESIDUAL if residual else DENSE, "--batch", BATCH, "--max-steps", STEPS, "--seed", seed,
          "--threads", 1, "--quiet", "--out", run, "-s", f"update.rate={1 / 16}", "-s", f"update.momentum={MOMENTUM}", *options)
    net.rate = 1 / 16
    losses = [one_step(net, run, step, momenta, failures) for step in range(STEPS)]
    row = last_row(run)
    for what, got, wanted in (("train", float(row["train_loss"]), sum(losses) / STEPS), ("test", float(row["test_loss"]), evaluate(net, images, residual))):
        if not abs(got - wanted) <= BOUND * wanted:
            failures.append(f"{what} loss {got:.9g}, not {wanted:.9g}")
    if not net.margin > MARGIN:
        failures.append(f"something stands {net.margin:.3g} from a choice: take another seed")
    print("FAIL " if failures else "ok   ", run, f"(nearest to a choice: {net.margin:.2g})")
    for line in failures:
        print("      |", line)
    return bool(failures)


def main():
    torch.set_num_threads(1)
    images = make_data()
    failed = 0
    for shape, seed in (("dense", 1), ("residual", 2)):  # the seeds keep clear of choices
        failed += case(images, f"{shape}-l2", seed)
        failed += case(images, f"{shape}-l1", seed, "l1")
        failed += case(images, f"{shape}-range", 1, "range", 4)
        failed += case(images, f"{shape}-range-code", 1, "range", 4, "code")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
