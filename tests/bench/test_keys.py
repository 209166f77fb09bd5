"""What makes two measurements the same: the keys of every kind of gate, as they are and have to stay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from key_log import KeyLog
from torch import nn

from pytest_modelbench import EvalData
from pytest_modelbench.bench import session as bench
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.recording import Recorder
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import Assignment, assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes.cost.energy_source import Component
from pytest_modelbench.probes.cost.launch import Launch, LaunchRequest
from pytest_modelbench.probes.requests import Request
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Verdict
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.contract import Contract

KNOWN = Path(__file__).with_name("keys.txt")
ROWS, CLASSES = 60, 4
INPUTS = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float32)
LAUNCH = Launch(
    import_s=1.0,
    load_s=0.1,
    first_output_s=0.01,
    base_bytes=10**8,
    load_peak_bytes=10**7,
    loaded_bytes=10**6,
    run_peak_bytes=10**7,
    batch_size=1,
    method="a fake",
)


def double(inputs: Any) -> Any:
    return inputs * 2


def net(width: int) -> nn.Module:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, CLASSES))


TARGETS = net(32)(torch.from_numpy(INPUTS)).argmax(dim=1).numpy()


class Watts:
    """A machine that takes more while a model runs."""

    windows = -1

    components = (Component("CPU", "measured", "a fake"),)

    def start(self) -> None:
        self.started = True

    def stop(self, seconds: float) -> Mapping[str, float]:
        self.windows += 1
        return {"CPU": 100.0 * seconds * (self.windows % 3)}


@dataclass
class Nets:
    """The models and data of one home."""

    student: nn.Module
    teacher: nn.Module = field(default_factory=lambda: net(32))
    previous: nn.Module = field(default_factory=lambda: net(12))
    samples: EvalData = field(default_factory=lambda: EvalData(INPUTS, TARGETS, outputs="logits", task="multiclass"))

    def candidate(self, role: str) -> Any:
        return getattr(self, role)

    def has(self, role: str) -> bool:
        return role in {"teacher", "previous"}

    def data(self) -> Any:
        return self.samples

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {"student": 1.0, "teacher": 2.0}

    def own_rounds(self) -> OwnRounds:
        return OwnRounds(seconds=[0.1] * 20, iterations=1, enabled=True)


def gate(
    kpi: str, *limits: str, beside: tuple[str, ...] = (), by_contract: bool = False, **options: Any
) -> Assignment:
    return assigned(read_gate((kpi, *limits), options), beside=beside, by_contract=by_contract)


GATES = (
    gate("top1_accuracy", "drop <= 90 pp"),
    gate("top1_accuracy", "regression <= 900%", beside=("previous",)),
    gate("agreement", ">= 1%"),
    gate("nonfinite_outputs", "== 0"),
    gate("determinism", "== 0"),
    gate("batch_invariance", "<= 50 pp"),
    gate("dtype_invariance", "<= 90 pp"),
    gate("memory_format_invariance", "<= 90 pp"),
    gate("shape_mismatches", "== 0"),
    gate("headroom"),
    gate("denormal_share"),
    gate("sqnr"),
    gate("invariance", "<= 90%", transform=double),
    gate("parameters", "reduction >= 1% if latency_p50 <= 1 s, else reduction >= 90%"),
    gate("size_on_disk", "reduction >= 1%"),
    gate("flops", "reduction >= 1%"),
    gate("operator_count"),
    gate("peak_memory", "<= 100 MB"),
    gate("cold_start", "difference <= 1 s"),
    gate("energy_per_1k", "ratio <= 100"),
    gate("carbon_per_1m"),
    gate("compile_gain"),
    gate("latency_p50", "<= 1 s", "ratio <= 100"),
    gate("latency_mean", "regression <= 900%", beside=("previous", "workload")),
    gate("throughput", "ratio >= 0.01", batch_size=16),
)
AGAINST_TEACHER = (
    ("top1_accuracy", "drop <= 90 pp"),
    ("agreement", ">= 1%"),
    ("parameters", "reduction >= 1%"),
    ("latency_p50", "ratio <= 100"),
)


def run_child(nodeid: str, request: Request) -> None:
    assert isinstance(request, LaunchRequest)
    Path(request.path).write_text(json.dumps(asdict(LAUNCH)))


def judged(
    session: BenchSession, settings: Settings, gates: Sequence[Assignment], home: str, **students: Nets
) -> None:
    """Judge every gate for every student, each on an item of its own; none may be an error."""
    plans = [
        ItemPlan(nodeid=f"{name}-{at}", student=name, gates=(one,), settings=settings, home=(home,), origin="test.py")
        for name in students
        for at, one in enumerate(gates)
    ]
    session.plan(plans)
    results = [session.judge(plan, plan.gates[0], students[plan.student])[0] for plan in plans]
    told = [(result.kpi, result.reason[-300:]) for result in results if result.verdict is Verdict.ERROR]
    assert not told, told


@pytest.mark.slow
def test_keys_are_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two students with all kinds of gates, in two workers' folder; then a contract, and a student judged by it."""
    monkeypatch.setattr(bench, "CodeCarbonSource", Watts)
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    log, settings = KeyLog(monkeypatch), Settings(enabled=True, budget_s=0.2, energy_window_s=0.005, country="DEU")
    session = BenchSession(handover=tmp_path, run_child=run_child)
    judged(session, settings, GATES, "home", small=Nets(net(8)), tiny=Nets(net(4)))
    recorder, path = Recorder(), tmp_path / "contract"
    recording = BenchSession(recorder=recorder)
    judged(recording, settings, [gate(*one) for one in AGAINST_TEACHER], "home", small=Nets(net(8)))
    recorder.write(path, recording.model_notes["teacher"], {}, settings.to_json())
    contracted = BenchSession(contract=Contract.open(path))
    judged(
        contracted, settings, [gate(*one, by_contract=True) for one in AGAINST_TEACHER], "home", small=Nets(net(8))
    )
    names = {str(notes["hash"]): name for name, notes in session.model_notes.items()}
    assert log.lines(names) == KNOWN.read_text(encoding="utf-8").splitlines()
