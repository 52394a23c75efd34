#!/usr/bin/env python3
"""pytorch_step.py DIRECTORY...: PyTorch computes the steps that step_dump left in each DIRECTORY, what it printed in numbers.

Each step starts from the simulator's weights; momenta are PyTorch's own. Logits, loss, gradients and new biases must agree
to 1e-5 of the largest magnitude of their tensor, float32 rounding over sums of some hundred addends; weights after sgd,
mostly the old ones, to 1.5e-6. In float64 the
rectifiers and pools of both choose alike because nothing stands nearer than MARGIN to a choice, which is checked; only
then are PyTorch's float32 numbers compared too. A line a directory and a tensor that differs; exit code 1 if one does.
"""
import sys

import torch
import torch.nn.functional as F

BOUND = 1e-5
SGD_BOUND = 1.5e-6  # below what a decay of 1e-4 does to weights in one step at a rate of 0.02
MARGIN = 2e-6
LAYERS = ((5, 1, 32), (5, 32, 64), (0, 1024, 512), (0, 512, 10))  # kernel (0: fully connected), inputs, outputs


def read(directory, name):
    with open(f"{directory}/{name}", "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32).clone()


def numbers(directory):
    with open(f"{directory}/numbers", encoding="ascii") as file:
        return {key: float(value) for key, value in map(str.split, file)}


def to_torch(flat, layer, bias):
    """The weights [kh][kw][ci][co], or [in][out], as PyTorch orders them, and the bias behind them."""
    kernel, ci, co = layer
    count = max(kernel, 1) ** 2 * ci * co
    weights, rest = flat[:count], flat[count:]
    if len(rest) != (co if bias else 0):
        raise SystemExit(f"{len(flat)} numbers for a layer of {count}")
    weights = weights.view(kernel, kernel, ci, co).permute(3, 2, 0, 1) if kernel else weights.view(ci, co).t()
    return weights.contiguous(), rest


class Net:
    """lenet, 32C5p0-MP2-64C5p0-MP2-512FC-10; data is n h w c between convolutions and fully connected layers."""

    def __init__(self, bias, dtype):
        self.bias, self.dtype, self.margin = bias, dtype, float("inf")
        self.weights, self.biases = [], []
        for kernel, ci, co in LAYERS:
            self.weights.append(torch.zeros((co, ci, kernel, kernel) if kernel else (co, ci), dtype=dtype, requires_grad=True))
            self.biases.append(torch.zeros(co, dtype=dtype, requires_grad=bias))

    def parameters(self):
        return self.weights + (self.biases if self.bias else [])

    def load(self, directory, step):
        with torch.no_grad():
            for i, layer in enumerate(LAYERS):
                weights, bias = to_torch(read(directory, f"{step}.{i + 1}.store.before"), layer, self.bias)
                self.weights[i].copy_(weights)
                if self.bias:
                    self.biases[i].copy_(bias)

    def pool(self, x):
        parts = F.unfold(x.detach().flatten(0, 1).unsqueeze(1), 2, stride=2)
        first, second = parts.topk(2, dim=1).values.unbind(1)
        moved = (first > 0) & (first != second)  # equals: equal windows, and both take the first
        self.margin = min(self.margin, (first - second)[moved].min().item() if moved.any() else 0)
        return F.max_pool2d(x, 2)

    def relu(self, x):
        self.margin = min(self.margin, x.detach().abs().min().item())
        return F.relu(x)

    def forward(self, x):
        x = self.relu(self.pool(F.conv2d(x, self.weights[0], self.biases[0])))
        x = self.relu(self.pool(F.conv2d(x, self.weights[1], self.biases[1])))
        x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        x = self.relu(F.linear(x, self.weights[2], self.biases[2]))
        return F.linear(x, self.weights[3], self.biases[3])


def near(failures, what, got, wanted, bound=BOUND):
    got, wanted = got.detach().double(), wanted.detach().double()
    most = wanted.abs().max().item()
    worst = (got - wanted).abs().max().item()
    if not worst <= bound * most or not most > 0:  # NaN fails too
        failures.append(f"{what}: off by {worst:.3g}, largest {most:.3g}")


def compare(directory, dtype):
    said, failures = numbers(directory), []
    bias = said["bias"] > 0
    net = Net(bias, dtype)
    if said["adam"]:
        rule = torch.optim.Adam(net.parameters(), lr=said["rate"], betas=(said["beta1"], said["beta2"]), eps=said["epsilon"],
                                weight_decay=said["decay"])
    else:
        rule = torch.optim.SGD(net.parameters(), lr=said["rate"], momentum=said["momentum"], weight_decay=said["decay"],
                               nesterov=said["nesterov"] > 0)
    for step in range(int(said["steps"])):
        net.load(directory, step)
        with open(f"{directory}/{step}.labels", "rb") as file:
            labels = torch.tensor(list(file.read()))
        x = read(directory, f"{step}.1.input").view(len(labels), 1, 28, 28).to(dtype)
        logits = net.forward(x)
        loss = F.cross_entropy(logits, labels)
        rule.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in net.parameters()]
        rule.step()
        where = f"{str(dtype)[6:]}, step {step}"
        near(failures, f"{where}: logits", read(directory, f"{step}.4.logits").view_as(logits), logits)
        near(failures, f"{where}: loss", torch.tensor(said[f"loss{step}"]), loss)
        for i, layer in enumerate(LAYERS):
            got = to_torch(read(directory, f"{step}.{i + 1}.sum.gradient"), layer, bias)
            new = to_torch(read(directory, f"{step}.{i + 1}.store.after"), layer, bias)
            near(failures, f"{where}: gradient of layer {i + 1}", got[0], gradients[i])
            near(failures, f"{where}: weights of layer {i + 1}", new[0], net.weights[i], BOUND if said["adam"] else SGD_BOUND)
            if bias:
                near(failures, f"{where}: gradient of bias {i + 1}", got[1], gradients[len(LAYERS) + i])
                near(failures, f"{where}: bias {i + 1}", new[1], net.biases[i])
    return net.margin, failures


def main():
    torch.set_num_threads(1)
    failed = False
    for directory in sys.argv[1:]:
        margin, failures = compare(directory, torch.float64)
        if not margin > MARGIN:
            failures.append(f"something stands {margin:.3g} from a rectifier's or a pool's choice: take other images")
        else:
            failures += compare(directory, torch.float32)[1]
        print("FAIL " if failures else "ok   ", directory, f"(nearest to a choice: {margin:.2g})")
        for line in failures:
            print("      |", line)
        failed |= bool(failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
