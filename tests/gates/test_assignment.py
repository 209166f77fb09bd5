"""What a session makes of every kind of gate: which models stand beside the student, and what is read of a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_modelbench.gates.assignment import Assignment, Known, TeacherUse, assign
from pytest_modelbench.gates.gate import Gate
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes.kinds import BENCHMARK
from pytest_modelbench.settings import Settings

KNOWN = Path(__file__).with_name("assignments.txt")
CONDITIONAL = "{} if parameters reduction >= 75%, else {}"
TIMED = "{} if latency_p50 speedup >= 2x, else {}"
KINDS: dict[str, tuple[str, str, str]] = {
    "latency_p50": ("<= 1 ms", "speedup >= 2x", CONDITIONAL),
    "throughput": (">= 10 1/s", "increase >= 10%", CONDITIONAL),
    "compile_gain": (">= 1.2x", "", CONDITIONAL),
    "peak_memory": ("<= 1 GB", "reduction >= 10%", TIMED),
    "cold_start": ("<= 1 s", "reduction >= 10%", TIMED),
    "flops": ("<= 1G", "reduction >= 10%", TIMED),
    "operator_count": ("<= 100", "reduction >= 10%", TIMED),
    "energy_per_1k": ("<= 1 Wh", "reduction >= 10%", TIMED),
    "parameters": ("<= 1M", "reduction >= 10%", TIMED),
    "size_on_disk": ("<= 1 MB", "reduction >= 10%", TIMED),
    "nonfinite_outputs": ("== 0", "", TIMED),
    "top1_accuracy": (">= 90%", "drop <= 1 pp", CONDITIONAL),
    "agreement": (">= 90%", "", CONDITIONAL),
    "invariance": ("<= 10%", "difference <= 1 pp", CONDITIONAL),
    "determinism": ("== 0", "", CONDITIONAL),
    "shape_mismatches": ("== 0", "", CONDITIONAL),
    "sqnr": (">= 20 dB", "", CONDITIONAL),
    "mcnemar_p": ("", "", ""),
    "hardware_tier": ("<= T4", "", TIMED),
    "clicks": ("<= 5 ms", "reduction >= 10%", CONDITIONAL),
    "scored": (">= 0.9", "difference >= -0.1", CONDITIONAL),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "invariance": {"transform": len},
    "clicks": {"better": "lower", "unit": "ms"},
    "scored": {"better": "higher", "metric": max},
}
NEVER_READY_MADE = {"clicks", "scored", "benchmark"}
"""A suite has KPIs of the catalogue, and no test body."""
SITUATIONS: dict[str, dict[str, Any]] = {
    "plain": {"teacher": True},
    "no teacher": {},
    "suite": {"ready_made": True, "teacher": True},
    "suite without teacher": {"ready_made": True},
    "suite by contract": {"ready_made": True, "contract": "c"},
    "suite saved": {"ready_made": True, "teacher": True, "save_baseline": "b"},
    "suite by contract saved": {"ready_made": True, "contract": "c", "save_baseline": "b"},
    "contract": {"contract": "c"},
    "contract beside a teacher": {"contract": "c", "teacher": True},
    "contract with workload": {"contract": "c", "reference": "workload"},
    "contract saved": {"contract": "c", "save_baseline": "b"},
    "contract saved by teacher": {"contract": "c", "save_baseline": "b", "reference": "teacher"},
    "contract and baseline": {"contract": "c", "baseline": "teacher"},
    "recording": {"record_contract": "c", "teacher": True},
    "recording with regression": {"record_contract": "c", "fail_on_regression": "regression <= 5%", "teacher": True},
    "previous": {"teacher": True, "previous": True},
    "previous and baseline": {"teacher": True, "previous": True, "baseline": "teacher"},
    "baseline by teacher": {"teacher": True, "baseline": "teacher"},
    "baseline by workload": {"teacher": True, "baseline": "workload"},
    "baseline of nothing": {"teacher": True, "baseline": ""},
    "baseline without teacher": {"baseline": ""},
    "baseline by a teacher that is gone": {"baseline": "teacher"},
    "baseline, workload asked": {"teacher": True, "baseline": "teacher", "reference": "workload"},
    "saved": {"teacher": True, "save_baseline": "b"},
    "saved without teacher": {"save_baseline": "b"},
    "saved by workload": {"teacher": True, "save_baseline": "b", "reference": "workload"},
    "workload asked for nothing": {"teacher": True, "reference": "workload"},
    "fail on regression": {"teacher": True, "fail_on_regression": "regression <= 5%"},
    "fail on regression, previous": {"teacher": True, "previous": True, "fail_on_regression": "regression <= 5%"},
    "fail on regression, baseline": {
        "teacher": True,
        "baseline": "teacher",
        "fail_on_regression": "regression <= 5%",
    },
    "fail on regression, contract": {"contract": "c", "fail_on_regression": "regression <= 5%"},
}


def written() -> Iterator[tuple[str, Gate]]:
    """Yield every kind of KPI with no limit, and with one of each kind that it takes."""
    for kpi, (own, relative, conditional) in KINDS.items():
        limits = {"none": "", "own": own, "relative": relative, "regression": "regression <= 5%"}
        limits["conditional"] = conditional.format(relative or own, own)
        if kpi == "mcnemar_p":
            limits = {"none": ""}
        if kpi == "hardware_tier":
            del limits["regression"]
        for kind, limit in limits.items():
            if limit or kind == "none":
                yield f"{kpi} {kind}", read_gate((kpi, limit) if limit else (kpi,), OPTIONS.get(kpi, {}))
    timed = read_gate(("latency_mean", "<= 1 ms"), {})
    yield "benchmark own", replace(timed, kpi=replace(timed.kpi, probe=BENCHMARK))


def made(gate: Gate, **given: Any) -> Assignment:
    """Return what a session makes of a gate."""
    known = Known(**{role: given.pop(role, False) for role in ("teacher", "previous")})
    kind = given.pop("baseline", None)
    gate = replace(gate, ready_made=given.pop("ready_made", False))
    return assign(gate, known, Settings(**given), None if kind is None else lambda _: kind or None)


def told(gate: Assignment) -> str:
    """Return what is known of a gate in words."""
    flags = {
        "needs": gate.teacher is TeacherUse.MODEL,
        "with": gate.with_teacher,
        "compares": gate.compares,
        "outputs": gate.from_predictions,
        "beside": gate.teacher is TeacherUse.RECORDED_VALUE,
        "regresses": gate.regresses,
        "previous": "previous" in gate.beside,
    }
    words = [word for word, true in flags.items() if true]
    words += [f"others:{','.join(gate.others)}"] if gate.others else []
    words += [f"limits:{len(gate.limits)}"] if gate.limits else []
    words += [f"condition({told(one)})" for one in gate.conditions]
    words += [f"recorded({told(one)})" for one in gate.recorded]
    return " ".join(words)


def table() -> list[str]:
    """Return one line for each outcome of each situation, with the gates that come to it."""
    lines = []
    for name, given in SITUATIONS.items():
        outcomes: dict[str, dict[str, list[str]]] = {}
        for title, gate in written():
            kpi, _, kind = title.partition(" ")
            if "ready_made" in given and kpi in NEVER_READY_MADE:
                continue
            outcomes.setdefault(told(made(gate, **given)), {}).setdefault(kpi, []).append(kind)
        for outcome in sorted(outcomes):
            gates = "; ".join(f"{kpi} {'/'.join(kinds)}" for kpi, kinds in outcomes[outcome].items())
            lines.append(f"{name} | {outcome} | {gates}")
    return lines


def test_every_kind_of_gate_in_every_situation() -> None:
    """Whether the teacher is loaded, compared with, read from a contract, or left out is a table, and stays as it is."""
    assert table() == KNOWN.read_text(encoding="utf-8").splitlines()
