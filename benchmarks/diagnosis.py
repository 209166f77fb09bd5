"""Does a diagnosis name the right cause? Pairs that were built for one cause each, for two causes, and healthy ones.

Every pair is diagnosed in a fresh process. Whether its cause takes time on this machine is measured apart, with the
cause removed by hand (`undone`): a pair for which it does not is reported, and not counted. What counts: the first
cause for pairs of one, both among the first two for pairs of two, none for healthy pairs.

Results are kept line by line: a run that was stopped goes on where it was.

Usage: python benchmarks/diagnosis.py [--quick] [--repeats 5] [--budget 30]
    [--only NAME ...] [--report] [--fresh]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import copy
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from pytest_modelbench.diagnosis.run import BUDGET_S, Asked, diagnose
from pytest_modelbench.diagnosis.stopwatch import BlockStopwatch
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.probes.timing.allocator import steady_allocator

RESULTS = Path(__file__).parent / "results" / "diagnosis.jsonl"
LEAST_GAIN = 1.1
"""How much faster a student without its cause must be for the pair to count."""
SAME_ANSWER = 0.8
"""The share of repeats that must agree."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A teacher and a student that is smaller and not faster for known causes; none for a healthy pair.

    Attributes:
        causes: what the diagnosis must name.
        teacher: a torch module.
        student: the same.
        inputs: one batch that both take.
        undone: makes the student without its cause; None if it cannot be removed by hand.
        process_time: whether the clock of all threads tells.
        steady: whether freed memory stays in the process, as in a session of gates.
    """

    causes: tuple[str, ...]
    teacher: nn.Module
    student: nn.Module
    inputs: Any
    undone: Callable[[], nn.Module] | None = None
    process_time: bool = False
    steady: bool = True


Builder = Callable[[], Pair]
PAIRS: dict[str, Builder] = {}


def pair(build: Builder) -> Builder:
    """Enter a builder under its function's name."""
    PAIRS[build.__name__] = build
    return build


def perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for place in range(len(widths) - 1):
        layers += [nn.Linear(widths[place], widths[place + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def tower(width: int, depth: int = 4) -> nn.Sequential:
    """Return convolutions of one width on an image of three channels."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
    for _ in range(depth):
        layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
    return nn.Sequential(*layers)


def linears(module: nn.Module) -> list[nn.Linear]:
    """Return the linear layers of a module."""
    return [one for one in module.modules() if isinstance(one, nn.Linear)]


def masked(module: nn.Module, amount: float) -> nn.Module:
    """Attach pruning masks to all linear layers."""
    with torch.no_grad():
        for layer in linears(module):
            prune.l1_unstructured(layer, "weight", amount)  # type: ignore[no-untyped-call]
    return module


def unmasked(module: nn.Module) -> nn.Module:
    """Return a copy with the masks made permanent."""
    with torch.no_grad():
        module = copy.deepcopy(module)
        for layer in linears(module):
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    return module


def hooked(module: nn.Module, hooks: int = 1) -> nn.Module:
    """Leave statistics of every layer's output attached."""
    seen: list[float] = []

    def note(_module: nn.Module, _args: Any, output: torch.Tensor) -> None:
        seen[:] = [float(output.mean()), float(output.std()), float(output.abs().max())]

    for layer in list(module.modules())[1:]:
        for _ in range(hooks):
            layer.register_forward_hook(note)
    return module


@pair
def unstructured_zeros() -> Pair:
    teacher = perceptron(512, 1024, 1024, 1024, 256)
    student = unmasked(masked(copy.deepcopy(teacher), 0.9))
    return Pair(causes=("unstructured_zeros",), teacher=teacher, student=student, inputs=torch.randn(16, 512))


@pair
def two_of_four_without_kernel() -> Pair:
    teacher = perceptron(512, 1024, 1024, 1024, 256)
    student = copy.deepcopy(teacher)
    for layer in linears(student):
        groups = layer.weight.data.view(-1, 4)
        groups.scatter_(1, groups.abs().argsort(dim=1)[:, :2], 0.0)
    return Pair(causes=("two_of_four_without_kernel",), teacher=teacher, student=student, inputs=torch.randn(16, 512))


@pair
def masks_attached() -> Pair:
    student = masked(perceptron(1024, 896, 896, 896, 256), 0.6)
    return Pair(
        causes=("masks_attached",),
        teacher=perceptron(1024, 1024, 1024, 1024, 256),
        student=student,
        inputs=torch.randn(4, 1024),
        undone=lambda: unmasked(student),
    )


@pair
def weights_rebuilt() -> Pair:
    student, plain = perceptron(1024, 896, 896, 896, 256), perceptron(1024, 896, 896, 896, 256)
    for layer in linears(student):
        weight_norm(layer, "weight")
    return Pair(
        causes=("weights_rebuilt",),
        teacher=perceptron(1024, 1024, 1024, 1024, 256),
        student=student,
        inputs=torch.randn(4, 1024),
        undone=lambda: plain,
    )


class Rounded(nn.Module):
    """A linear layer whose weights are stored as int8 with a scale for each row."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        scale = layer.weight.data.abs().amax(1, keepdim=True) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("stored", (layer.weight.data / scale).round().to(torch.int8))
        self.register_buffer("bias", layer.bias.data.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.get_buffer("stored").float() * self.get_buffer("scale")
        return functional.linear(x, weight, self.get_buffer("bias"))


@pair
def dequantise_every_call() -> Pair:
    teacher = perceptron(1024, 1024, 1024, 1024, 256)
    student = nn.Sequential(*[Rounded(one) if isinstance(one, nn.Linear) else one for one in teacher])
    return Pair(
        causes=("dequantise_every_call",),
        teacher=teacher,
        student=student,
        inputs=torch.randn(4, 1024),
        undone=lambda: copy.deepcopy(teacher),
    )


class InType(nn.Module):
    """A network in another type between casts."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network(x.to(self.dtype))
        return out.float()


@pair
def dtype_without_kernel() -> Pair:
    teacher = perceptron(512, 512, 512, 256)
    student = InType(copy.deepcopy(teacher), torch.float16)
    return Pair(
        causes=("dtype_without_kernel",),
        teacher=teacher,
        student=student,
        inputs=torch.randn(32, 512),
        undone=lambda: copy.deepcopy(student.network).float(),
    )


class PowerNorm(nn.Module):
    """The signed square root of pooled features, and SiLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.silu(x.sign() * x.abs().sqrt())


def power(width: int) -> nn.Sequential:
    """Return convolutions with power normalisation."""
    return nn.Sequential(
        nn.Conv2d(16, width, 3, padding=1),
        PowerNorm(),
        nn.Conv2d(width, width, 3, padding=1, groups=2),
        PowerNorm(),
        nn.Conv2d(width, 8, 1),
    )


@pair
def denormals() -> Pair:
    student = power(48)
    normal = copy.deepcopy(student)
    with torch.no_grad():  # what weight decay leaves of filters that are not needed
        student[0].get_parameter("weight")[8:] *= 1e-38
        student[0].get_parameter("bias")[8:] = 0.0
    return Pair(
        causes=("denormals",),
        teacher=power(64),
        student=student,
        inputs=torch.randn(1, 16, 32, 32),
        undone=lambda: normal,
    )


class Gated(nn.Module):
    """Elementwise mixing, one operator after the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix, self.gate = nn.Parameter(torch.rand(width)), nn.Parameter(torch.rand(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = x * self.mix + torch.roll(x, 1, dims=-1) * (1 - self.mix)
        return x + mixed * functional.hardsigmoid(x * self.gate)


class Tiled(nn.Module):
    """The same layers over a few rows at a time."""

    def __init__(self, network: nn.Module, rows: int) -> None:
        super().__init__()
        self.network, self.rows = network, rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.network(part) for part in torch.split(x, self.rows)])


@pair
def memory_bound() -> Pair:
    student = nn.Sequential(*[Gated(512) for _ in range(3)])
    return Pair(
        causes=("memory_bound",),
        teacher=nn.Sequential(nn.Linear(512, 512), nn.ReLU()),
        student=student,
        inputs=torch.randn(1024, 512),
        undone=lambda: Tiled(student, 64),
    )


class Deep(nn.Module):
    """Many narrow residual blocks."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.entry, self.out = nn.Linear(512, width), nn.Linear(width, 64)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.entry(x)
        for block in self.blocks:
            x = x + functional.gelu(block(x))
        out: torch.Tensor = self.out(x)
        return out


@pair
def dispatch_bound() -> Pair:
    return Pair(
        causes=("dispatch_bound",),
        teacher=perceptron(512, 1024, 1024, 64),
        student=Deep(32, 40),
        inputs=torch.randn(1, 512),
        undone=lambda: perceptron(512, 80, 80, 64),
    )


class Branches(nn.Module):
    """Parts that run one after the other, or in a pool of threads that have threads of their own."""

    def __init__(self, parts: Sequence[nn.Module], workers: int) -> None:
        super().__init__()
        self.parts, self.workers = nn.ModuleList(parts), workers
        self.pool: concurrent.futures.ThreadPoolExecutor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.workers:
            return torch.cat([part(x) for part in self.parts], 1)
        if self.pool is None:
            threads = len(os.sched_getaffinity(0))  # as many as there are: each of them spins while it waits
            self.pool = concurrent.futures.ThreadPoolExecutor(
                self.workers, initializer=torch.set_num_threads, initargs=(threads,)
            )

        def run(part: nn.Module) -> Any:
            with torch.inference_mode():
                return part(x)

        return torch.cat(list(self.pool.map(run, self.parts)), 1)


@pair
def threads() -> Pair:
    parts = [perceptron(256, 224, 224, 64) for _ in range(4)]
    return Pair(
        causes=("threads",),
        teacher=Branches([perceptron(256, 256, 256, 64) for _ in range(4)], 0),
        student=Branches(parts, 4),
        inputs=torch.randn(32, 256),
        undone=lambda: Branches(parts, 0),
        process_time=True,
    )


@pair
def shape_alignment() -> Pair:
    return Pair(
        causes=("shape_alignment",),
        teacher=tower(80),
        student=tower(65),
        inputs=torch.randn(1, 3, 28, 28),
        undone=lambda: tower(64),
    )


class Applied(nn.Module):
    """Layers in a row, which may be the same one."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def encoder() -> nn.Module:
    """Return an encoder layer without dropout."""
    return nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)


@pair
def shared_weights() -> Pair:
    return Pair(
        causes=("shared_weights",),
        teacher=Applied([encoder() for _ in range(6)]),
        student=Applied([encoder()] * 6),
        inputs=torch.randn(4, 32, 128),
    )


@pair
def embeddings_saved() -> Pair:
    def tagger(rows: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(rows, 128), perceptron(128, 512, 512, 16))

    return Pair(
        causes=("embeddings_saved",),
        teacher=tagger(30_000),
        student=tagger(2_000),
        inputs=torch.randint(2_000, (8, 32)),
    )


class Separable(nn.Module):
    """Depthwise convolutions, with a change of the memory layout around each of them if asked for."""

    def __init__(self, depth: int, *, changing: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1, groups=32) for _ in range(depth))
        self.changing = changing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            given = x.contiguous(memory_format=torch.channels_last) if self.changing else x
            x = layer(given.relu().contiguous())
        return x


@pair
def layout_copies() -> Pair:
    student = Separable(4, changing=True)
    plain = Separable(4, changing=False)
    plain.load_state_dict(student.state_dict())
    return Pair(
        causes=("layout_copies",),
        teacher=Separable(8, changing=False),
        student=student,
        inputs=torch.randn(4, 32, 64, 64),
        undone=lambda: plain,
    )


@pair
def hooks_left() -> Pair:
    return Pair(
        causes=("hooks_left",),
        teacher=perceptron(128, *[192] * 7, 128),
        student=hooked(perceptron(*[128] * 9)),
        inputs=torch.randn(2, 128),
        undone=lambda: perceptron(*[128] * 9),
    )


@pair
def low_rank_overhead() -> Pair:
    def factors() -> nn.Module:
        return nn.Sequential(
            *[layer for _ in range(6) for layer in (nn.Linear(128, 32), nn.Linear(32, 128), nn.ReLU())]
        )

    return Pair(
        causes=("low_rank_overhead",),
        teacher=perceptron(*[128] * 7),
        student=factors(),
        inputs=torch.randn(2, 128),
        undone=lambda: perceptron(*[128] * 7),
    )


@pair
def same_flops() -> Pair:
    def net(width: int, *, pooled: bool) -> nn.Module:
        pool = [nn.MaxPool2d(2)] if pooled else []
        convolutions = [layer for _ in range(3) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
        return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *pool, *convolutions, nn.AdaptiveAvgPool2d(1))

    return Pair(
        causes=("same_flops",),
        teacher=net(64, pooled=True),
        student=net(32, pooled=False),
        inputs=torch.randn(1, 3, 56, 56),
        undone=lambda: net(32, pooled=True),
    )


class Spectrum(nn.Module):
    """A network behind a spectrum that the model computes itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network(torch.fft.rfft(x).abs()[:, :256].log1p())
        return out


@pair
def rest_dominates() -> Pair:
    return Pair(
        causes=("rest_dominates",),
        teacher=Spectrum(perceptron(256, 128, 10)),
        student=Spectrum(perceptron(256, 32, 10)),
        inputs=torch.randn(16, 16384),
    )


class Dense(nn.Module):
    """Layers whose outputs are all kept until the end of the call."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(16 if place else 3, 16, 1) for place in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = []
        for layer in self.layers:
            x = layer(x).relu()
            outputs.append(x)
        return torch.cat([one.mean((2, 3)) for one in outputs], 1)


@pair
def allocator_churn() -> Pair:
    teacher = nn.Sequential(nn.Conv2d(3, 64, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))
    return Pair(
        causes=("allocator_churn",),
        teacher=teacher,
        student=Dense(8),
        inputs=torch.randn(1, 3, 192, 192),
        steady=False,
    )


@pair
def masks_and_hooks() -> Pair:
    student = hooked(masked(perceptron(*[384] * 7), 0.6))
    return Pair(
        causes=("masks_attached", "hooks_left"),
        teacher=perceptron(384, *[512] * 5, 384),
        student=student,
        inputs=torch.randn(2, 384),
    )


@pair
def rebuilt_and_hooks() -> Pair:
    student = perceptron(384, *[320] * 5, 384)
    for layer in linears(student):
        weight_norm(layer, "weight")
    return Pair(
        causes=("weights_rebuilt", "hooks_left"),
        teacher=perceptron(384, *[448] * 5, 384),
        student=hooked(student),
        inputs=torch.randn(2, 384),
    )


@pair
def layouts_and_hooks() -> Pair:
    return Pair(
        causes=("layout_copies", "hooks_left"),
        teacher=Separable(8, changing=False),
        student=hooked(Separable(4, changing=True)),
        inputs=torch.randn(1, 32, 64, 64),
    )


@pair
def factors_and_hooks() -> Pair:
    factors = [layer for _ in range(6) for layer in (nn.Linear(128, 32), nn.Linear(32, 128), nn.ReLU())]
    return Pair(
        causes=("hooks_left", "low_rank_overhead"),
        teacher=perceptron(*[128] * 7),
        student=hooked(nn.Sequential(*factors)),
        inputs=torch.randn(2, 128),
    )


@pair
def healthy_narrower() -> Pair:
    teacher, student = perceptron(512, 1024, 1024, 64), perceptron(512, 128, 128, 64)
    return Pair(causes=(), teacher=teacher, student=student, inputs=torch.randn(16, 512))


@pair
def healthy_convolutions() -> Pair:
    return Pair(causes=(), teacher=tower(64), student=tower(24), inputs=torch.randn(1, 3, 28, 28))


@pair
def healthy_shallower() -> Pair:
    teacher, student = Applied([encoder() for _ in range(6)]), Applied([encoder() for _ in range(2)])
    return Pair(causes=(), teacher=teacher, student=student, inputs=torch.randn(4, 32, 128))


@pair
def healthy_equal() -> Pair:
    teacher = perceptron(512, 512, 64)
    return Pair(causes=(), teacher=teacher, student=copy.deepcopy(teacher), inputs=torch.randn(8, 512))


def measure(name: str, budget_s: float) -> dict[str, Any]:
    """Diagnose one pair in this process and return what came of it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = PAIRS[name]()
    if made.steady:
        steady_allocator()
    student, teacher = TorchModel(made.student.eval(), "student"), TorchModel(made.teacher.eval(), "teacher")
    found = diagnose(student, teacher, made.inputs, Asked(budget_s=budget_s))
    return {
        "pair": name,
        "causes": list(made.causes),
        "found": [one.cause for one in found.causes],
        "gives_back": [one.gives_back.value if one.gives_back else None for one in found.causes],
        "refuted": [one.cause for one in found.refuted],
        "skipped": {one.cause: one.skipped for one in found.skipped},
        "reason": found.reason,
        "time_ratio": found.time_ratio.value if found.time_ratio else None,
        "seconds": found.seconds,
        "gain": _gain(made, student),
    }


def _gain(made: Pair, student: TorchModel) -> float | None:
    """Return how much faster the student is without its cause; None if nothing can be removed by hand."""
    if made.undone is None:
        return None
    undone = TorchModel(made.undone().eval(), "undone")
    with student.running(), undone.running():
        watch = BlockStopwatch(student=student.bind(made.inputs), budget_s=120.0)
        return watch.ratio(watch.student, undone.bind(made.inputs), process_time=made.process_time).value


def right(line: dict[str, Any]) -> bool:
    """Whether a diagnosis names what the pair was built for."""
    wanted, found = line["causes"], line["found"]
    return set(wanted) == set(found[: len(wanted)]) if wanted else not found


def counts(line: dict[str, Any]) -> bool:
    """Whether the pair's cause takes time on this machine."""
    return line["gain"] is None or line["gain"] >= LEAST_GAIN


def report(lines: Sequence[dict[str, Any]]) -> str:
    """Return the table of all pairs and the three totals, in Markdown."""
    rows = ["| pair | built for | named | gain without the cause | right |", "|---|---|---|---|---|"]
    totals: Counter[str] = Counter()
    for name in PAIRS:
        mine = [line for line in lines if line["pair"] == name]
        if not mine:
            continue
        first, agree = mine[0], sum(map(right, mine))
        kind = {0: "healthy", 1: "one cause", 2: "two causes"}[len(first["causes"])]
        counted = counts(first)
        good = agree >= math.ceil(SAME_ANSWER * len(mine))
        totals[f"{kind}: right"] += counted and good
        totals[f"{kind}: pairs"] += counted
        named = ", ".join(
            f"{cause} {100 * (share or 0):.0f}%"
            for cause, share in list(zip(first["found"], first["gives_back"], strict=True))[:3]
        )
        gain = "" if first["gain"] is None else f"{first['gain']:.2f}x"
        verdict = f"{agree} of {len(mine)}" if counted else "not counted: no cause on this machine"
        rows.append(f"| {name} | {', '.join(first['causes']) or 'none'} | {named or 'none'} | {gain} | {verdict} |")
    sums = [
        f"{kind}: {totals[f'{kind}: right']} of {totals[f'{kind}: pairs']}"
        for kind in ("one cause", "two causes", "healthy")
    ]
    return "\n".join([*rows, "", "; ".join(sums)])


def kept() -> list[dict[str, Any]]:
    """Return the lines of earlier runs."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds of a diagnosis")
    parser.add_argument("--only", nargs="*", default=list(PAIRS))
    parser.add_argument("--report", action="store_true", help="only show what there is")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.here, given.budget)))
        return
    RESULTS.parent.mkdir(exist_ok=True)
    if given.fresh:
        RESULTS.unlink(missing_ok=True)
    repeats = 0 if given.report else 1 if given.quick else given.repeats
    done = Counter(line["pair"] for line in kept())
    for repeat in range(repeats):
        for name in given.only:
            if done[name] > repeat:
                continue
            started = time.monotonic()
            line = subprocess.run(
                [sys.executable, "-W", "ignore", __file__, "--here", name, "--budget", str(given.budget)],
                capture_output=True,
                text=True,
                check=False,
            )
            if line.returncode:
                sys.exit(f"{name} did not run:\n{line.stderr}")
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(line.stdout.splitlines()[-1] + "\n")
            found = json.loads(line.stdout.splitlines()[-1])
            seconds = time.monotonic() - started
            print(f"{name:28} {'right' if right(found) else 'WRONG':6} {found['found']} {seconds:.0f} s", flush=True)
    print(report(kept()))


if __name__ == "__main__":
    main()
