"""Trends of a history: what is compared with what, and which changes raise an alarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from histories import MACHINE, bare, counted, gate, line, write_history

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.reports.history import sentence
from pytest_modelbench.reports.trends import Asked, Finding, alarms, findings, trends
from pytest_modelbench.store.history import History, read_history

OTHER = {**MACHINE, "processor": "Slow 1", "logical_cpus": 2}


def history_of(folder: Path, lines: Iterable[Mapping[str, Any]]) -> History:
    return read_history(write_history(folder / "h.jsonl", lines))


def noisy(n: int, spread: float = 0.01, seed: int = 0) -> list[float]:
    """Return ratios about 0.4."""
    return [float(value) for value in 0.4 * np.exp(np.random.default_rng(seed).normal(0, spread, n))]


def found_in(history: History, **asked: Any) -> list[Finding]:
    return list(findings(history, trends(history), Asked(**asked)))


def alarmed(history: History, **asked: Any) -> Sequence[Finding]:
    return alarms(history, found_in(history, **asked), Asked(**asked))


def stepped(at: int, n: int, by: float, seed: int = 0) -> list[float]:
    return [value * (by if i >= at else 1.0) for i, value in enumerate(noisy(n, seed=seed))]


def test_worse_step_raises_an_alarm_with_its_commits(tmp_path: Path) -> None:
    """The last run before and the first run after it."""
    (finding,) = alarmed(history_of(tmp_path, (line(i, gate(v)) for i, v in enumerate(stepped(30, 40, 1.1)))))
    assert (finding.before.number, finding.after.number) == (30, 31)
    assert finding.rise == pytest.approx(0.1, abs=0.02)
    text = sentence(finding)
    assert text.startswith("latency_p50 of int8 (ratio to the teacher) got worse by ")
    assert "at run 31 (0000030): commits 0000029ccccc..0000030ccccc" in text
    assert text.endswith("the student has the same content")


@pytest.mark.parametrize(
    ("by", "better", "alarm"),
    [(0.9, "lower", False), (1.1, "higher", False), (0.9, "higher", True), (1.1, "", False)],
)
def test_direction(tmp_path: Path, by: float, better: str, alarm: bool) -> None:
    """A change for the better is shown, and is no alarm; nor is one of a KPI without a direction."""
    history = history_of(tmp_path, (line(i, gate(v, better=better)) for i, v in enumerate(stepped(30, 40, by))))
    (finding,) = found_in(history)
    assert bool(alarmed(history)) is alarm
    word = {"": "rose by"}.get(better, "got worse by" if alarm else "got better by")
    assert word in sentence(finding)


def test_only_the_last_runs_alarm(tmp_path: Path) -> None:
    """An old change is shown, and is no alarm any more."""
    history = history_of(tmp_path, (line(i, gate(v)) for i, v in enumerate(stepped(30, 60, 1.1))))
    assert len(found_in(history)) == 1
    assert alarmed(history, last=29) == []
    assert len(alarmed(history, last=30)) == 1


def test_small_changes_are_left_out(tmp_path: Path) -> None:
    """Below `least`."""
    history = history_of(tmp_path, (line(i, gate(v)) for i, v in enumerate(stepped(30, 50, 1.1))))
    assert found_in(history, least=0.2) == []


def test_ratios_are_one_trend_across_machines_and_times_are_not(tmp_path: Path) -> None:
    """A slower machine doubles the times and leaves the ratio; a time never alarms across machines."""
    machines = [MACHINE, OTHER]
    runs = [
        line(
            i,
            gate(v) | {"value": v * (1 + i // 20)},
            bare(v * (1 + i // 20), kpi="energy", nodeid="b"),
            machine=machines[i // 20],
        )
        for i, v in enumerate(noisy(40))
    ]
    history = history_of(tmp_path, runs)
    assert [(trend.kpi, trend.basis, len(trend.points)) for trend in trends(history)] == [
        ("energy", "on one machine", 20),
        ("energy", "on one machine", 20),
        ("latency_p50", "ratio to the teacher", 40),
    ]
    assert alarmed(history, last=40) == []


def test_time_on_one_machine_alarms(tmp_path: Path) -> None:
    """Without a ratio, times of one machine are compared."""
    history = history_of(tmp_path, (line(i, bare(v)) for i, v in enumerate(stepped(30, 40, 1.2))))
    assert len(alarmed(history)) == 1


def test_ratio_that_changed_with_the_machine_is_no_alarm(tmp_path: Path) -> None:
    """Another processor may favour the teacher; the change is shown with that reason."""
    runs = [line(i, gate(v), machine=OTHER if i >= 30 else MACHINE) for i, v in enumerate(stepped(30, 40, 1.1))]
    history = history_of(tmp_path, runs)
    assert alarmed(history) == []
    (finding,) = found_in(history)
    assert "the machine changed too (Quick 9000, 8 CPUs; then Slow 1, 2 CPUs)" in sentence(finding)


def test_machine_that_came_back(tmp_path: Path) -> None:
    """Only the runs next to a change say whether the machine changed with it."""
    runs = [
        line(i, gate(v * (1.1 if 30 <= i < 60 else 1.0), better="higher"), machine=OTHER if 30 <= i < 60 else MACHINE)
        for i, v in enumerate(noisy(80, seed=1))
    ]
    history = history_of(tmp_path, runs)
    assert [bool(finding.explained) for finding in found_in(history)] == [True, True]
    assert alarmed(history) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (gate(), gate(reference={**gate()["reference"], "hash": "torch:new"})),
        (gate(), gate(reference={**gate()["reference"], "kind": "workload"})),
        (gate(), gate(settings={"threads": 4})),
        (gate(), gate(options={"batch_size": 8})),
        (gate(), gate(student="int4")),
        (gate(), gate(suite="2")),
        (counted(90.0, data="a"), counted(80.0, data="b")),
        (counted(90.0, unit="%"), counted(0.9, unit="")),
        (counted(1.0, provenance="recorded", nodeid="a"), counted(2.0, provenance="recorded", nodeid="b")),
    ],
)
def test_values_that_cannot_be_compared_are_other_trends(
    tmp_path: Path, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Another teacher, reference, setting, option, student, suite, data, unit or recording test."""
    history = history_of(tmp_path, [line(i, before if i < 5 else after) for i in range(10)])
    assert [len(trend.points) for trend in trends(history)] == [5, 5]
    assert alarmed(history) == []


@pytest.mark.parametrize(
    "after",
    [counted(10.0, nodeid="elsewhere"), counted(10.0, model="torch:2"), counted(10.0, verdict="fail")],
)
def test_values_that_can_be_compared_are_one_trend(tmp_path: Path, after: Mapping[str, Any]) -> None:
    """Another test, student's content or verdict."""
    history = history_of(tmp_path, [line(i, counted(10.0) if i < 5 else after) for i in range(10)])
    assert [len(trend.points) for trend in trends(history)] == [10]


def test_teacher_without_a_hash_is_one_reference(tmp_path: Path) -> None:
    """A function has only an identity, which is another one in each process."""
    hashes = ("function:object-1", "function:object-2")
    runs = [line(i, gate(reference={**gate()["reference"], "hash": hashes[i % 2]})) for i in range(4)]
    assert len(trends(history_of(tmp_path, runs))) == 1


def test_gates_without_a_value_are_left_out(tmp_path: Path) -> None:
    """An error has none, and the run still counts for the others."""
    history = history_of(tmp_path, [line(0, gate(None, verdict="error"), counted(5.0)), line(1, counted(5.0))])
    assert [(trend.kpi, len(trend.points)) for trend in trends(history)] == [("parameters", 2)]


def test_gate_of_two_tests_counts_once(tmp_path: Path) -> None:
    """They share the measurement."""
    (trend,) = trends(history_of(tmp_path, [line(0, gate(), gate(nodeid="other"))]))
    assert len(trend.points) == 1


def test_counts_that_may_be_zero(tmp_path: Path) -> None:
    """There is no logarithm, so the change is in the unit of the KPI, and raises an alarm."""
    runs = [line(i, counted(3.0 if i > 5 else 0.0, kpi="nonfinite_outputs")) for i in range(8)]
    (finding,) = alarmed(history_of(tmp_path, runs))
    assert "got worse by 3 at run 7" in sentence(finding)


def test_two_runs_of_one_commit(tmp_path: Path) -> None:
    """Both count, and a change between them is not the code's."""
    runs = [line(i, gate(v), commit="a" * 40) for i, v in enumerate(stepped(30, 40, 1.1))]
    (finding,) = alarmed(history_of(tmp_path, runs))
    assert "both runs are of commit aaaaaaaaaaaa, so the code is not the cause" in sentence(finding)


def test_run_without_a_commit(tmp_path: Path) -> None:
    """The run is named by its number."""
    runs = [line(i, gate(v), commit=None, branch=None) for i, v in enumerate(stepped(30, 40, 1.1))]
    (finding,) = alarmed(history_of(tmp_path, runs))
    assert "at run 31: after run 30" in sentence(finding)


def test_student_whose_content_changed(tmp_path: Path) -> None:
    """It is named as a possible cause."""
    runs = [line(i, gate(v, model=f"torch:{i // 30}")) for i, v in enumerate(stepped(30, 40, 1.1))]
    (finding,) = alarmed(history_of(tmp_path, runs))
    assert sentence(finding).endswith("; the student's content changed too")


@pytest.mark.parametrize(
    ("commit", "kpi", "quiet"),
    [(30, None, True), (30, "latency_p50", True), (30, "energy", False), (12, None, False)],
)
def test_explained_change_is_no_alarm(tmp_path: Path, commit: int, kpi: str | None, quiet: bool) -> None:
    """One reason, for all KPIs or one, at the commit of the change and no other."""
    runs = [line(i, gate(v)) for i, v in enumerate(stepped(30, 40, 1.1))]
    reason = {"explains": line(commit)["commit"][:12], "reason": "more layers", "kpi": kpi}
    history = history_of(tmp_path, [*runs, reason])
    assert len(history.runs) == 40
    assert (alarmed(history) == []) is quiet
    assert ("explained: more layers" in sentence(found_in(history)[0])) is quiet


def test_decay(tmp_path: Path) -> None:
    """Each run is a little slower: over 40 runs that is more than noise, and more than the limit."""
    runs = [line(i, gate(v * 1.002**i)) for i, v in enumerate(noisy(40, 0.005))]
    history = history_of(tmp_path, runs)
    (finding,) = [finding for finding in alarmed(history, drift=0.03, over=40) if finding.kind == "decay"]
    assert finding.rise == pytest.approx(0.08, abs=0.01)
    assert "decayed by" in sentence(finding)
    assert "from run 1 (0000000) to run 40 (0000039)" in sentence(finding)
    for asked in ({"drift": 0.1, "over": 40}, {"drift": 0.03, "over": 41}):
        assert [finding for finding in alarmed(history, **asked) if finding.kind == "decay"] == []


def test_decay_for_the_better_is_no_alarm(tmp_path: Path) -> None:
    """Nor is noise."""
    for times, spread in ((0.998, 0.005), (1.0, 0.02)):
        runs = [line(i, gate(v * times**i)) for i, v in enumerate(noisy(40, spread))]
        assert alarmed(history_of(tmp_path, runs), drift=0.03, over=40) == []


def test_decay_over_too_few_runs_is_a_mistake() -> None:
    """Noise of few runs is not known."""
    with pytest.raises(UsageMistake, match="--over: found 5, expected at least 10 runs"):
        Asked(drift=0.03, over=5)


def test_many_trends_share_the_false_alarms(tmp_path: Path) -> None:
    """What one trend is sure enough of, one among a thousand is not; a clear change is an alarm in both."""
    values = stepped(50, 60, 1.03, seed=1)
    one = history_of(tmp_path, (line(i, gate(v)) for i, v in enumerate(values)))
    assert len(alarmed(one)) == 1
    for others, alarm in ((3.0, False), (1.0, True)):
        crowd = {i: [counted(value, kpi=f"k{k}") for k in range(3000)] for i, value in ((58, 1.0), (59, others))}
        lines = (line(i, gate(v), *crowd.get(i, ())) for i, v in enumerate(values))
        assert bool(alarmed(history_of(tmp_path, lines))) is alarm, "constant ones cannot raise a false alarm"


def test_explained_change_is_no_decay(tmp_path: Path) -> None:
    """A decay is looked for in the runs after it."""
    ratios = [v * 1.002**i * (1.06 if i >= 30 else 1.0) for i, v in enumerate(noisy(60, 0.005))]
    runs = [line(i, gate(v)) for i, v in enumerate(ratios)]
    both = {finding.kind for finding in found_in(history_of(tmp_path, runs), drift=0.03, over=60)}
    assert both == {"change", "decay"}
    explained = history_of(tmp_path, [*runs, {"explains": line(30)["commit"], "reason": "more layers"}])
    assert {finding.kind for finding in found_in(explained, drift=0.03, over=60)} == {"change"}


def test_absurd_values_are_answered(tmp_path: Path) -> None:
    """A file may have been edited: no number that JSON holds is too large or too small."""
    values = [1e-300, 1e299, 1e-300, 5e-324] * 10
    runs = [
        line(i, counted(v), counted(v * (-1) ** i, kpi="z"), gate(1.0) | {"kpi": "r"}) for i, v in enumerate(values)
    ]
    history = history_of(tmp_path, runs)
    assert len(trends(history)) == 3
    for finding in found_in(history, drift=0.03, over=10):
        assert sentence(finding)
    steep = [line(i, counted(1e-300 if i < 20 else 1e299)) for i in range(40)]
    (finding,) = alarmed(history_of(tmp_path, steep))
    assert finding.rise > 1e299
