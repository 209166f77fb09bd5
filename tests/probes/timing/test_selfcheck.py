"""The self-check on scripted clocks: what it calls a false alarm, and how small an effect it resolves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.engine import TimingSettings, measure_timing
from pytest_modelbench.probes.timing.interference import Counters, read_counters
from pytest_modelbench.probes.timing.selfcheck import SelfCheck, self_check


def check(cost: Callable[[str], Callable[[], float]], pairs: int = 4, seconds: float = 2.0) -> SelfCheck:
    clock = FakeClock()

    def build(name: str) -> Model:
        return FakeModel(cost_ns=cost(name), clock=clock, name=name)

    return self_check(
        build, [[1]], pairs=pairs, settings=TimingSettings(budget_s=seconds), progress=lambda done: None
    )


def noisy(spread: float) -> Callable[[str], Callable[[], float]]:
    def cost(name: str) -> Callable[[], float]:
        rng = np.random.default_rng(len(name) + (name == "teacher"))
        return lambda: 1e5 * float(rng.lognormal(0, spread))

    return cost


def test_quiet_machine_resolves_small_effects() -> None:
    """Equal costs: every ratio is one, nothing is an alarm."""
    found = check(lambda name: lambda: 1e5)
    assert found.ratios == (1.0,) * 4
    assert (found.false_alarms, found.inconclusive) == (0, 0)
    assert max(found.half_widths) < 0.001


def test_noise_widens_what_is_resolved() -> None:
    """Twenty times the spread resolves less, and is still no alarm."""
    calm, loud = check(noisy(0.01)), check(noisy(0.2))
    assert np.median(loud.half_widths) > 3 * np.median(calm.half_widths)
    assert loud.false_alarms == 0


def test_copies_that_differ_are_alarms() -> None:
    """A machine on which a copy is really slower by its place would be told as such."""
    found = check(lambda name: (lambda: 1.1e5) if name == "student" else (lambda: 1e5))
    assert found.false_alarms == 4
    told = "\n".join(found.lines())
    assert "false alarms at 'ratio <= 1.05': 4 of 4 (95% interval 51% to 100%)" in told
    assert "ratios found: 1.1000 to 1.1000; the truth is 1" in told


def test_command_prints_the_result_and_exits(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is collected; a mistake in an option is exit code 4."""
    from pytest_modelbench.commands import selfcheck as selfcheck_command

    clock = FakeClock()
    monkeypatch.setattr(
        selfcheck_command, "reference_model", lambda name: FakeModel(cost_ns=1e5, clock=clock, name=name)
    )
    pytester.makepyfile("raise SystemExit('collected')")
    result = pytester.runpytest_inprocess("--modelbench-selfcheck")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["modelbench self-check, * threads", "  12 pairs of separately built copies, 2.5 s each*"]
    )
    bad = pytester.runpytest_inprocess("--modelbench-selfcheck", "--modelbench-seed=x")
    assert bad.ret == pytest.ExitCode.USAGE_ERROR
    assert "--modelbench-seed: found 'x', expected an integer from 0" in str(bad.stdout) + str(bad.stderr)


def test_counters_are_read_where_the_kernel_has_them(tmp_path: Path) -> None:
    """The total of the line `some` in microseconds, the stolen ticks of all processors; zeros where there is no /proc."""
    (tmp_path / "cpu").write_text("some avg10=1.5 avg60=0.0 avg300=0.0 total=123456\nfull avg10=0 total=9\n")
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 250 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    found = read_counters(tmp_path / "cpu", tmp_path / "stat")
    assert found.pressure_us == 123456
    assert found.stolen_s == pytest.approx(2.5)
    nothing = read_counters(tmp_path / "none", tmp_path / "none")
    assert (nothing.pressure_us, nothing.stolen_s) == (0, 0.0)
    assert found.since(Counters(pressure_us=100_000, stolen_s=2.0)).pressure_us == 23_456


def test_disturbed_rounds_are_repeated_for_means_and_kept_for_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenth round is slow and disturbed: none of it is in `calm`, all of it in `series`."""
    from pytest_modelbench.probes.timing import engine as timing

    state = {"reads": 0, "round": 0, "switches": 0}

    def reading() -> Counters:
        state["reads"] += 1
        starts = state["reads"] % 2 == 1
        state["round"] += starts
        if not starts and state["round"] % 10 == 0:
            state["switches"] += 1
        return Counters(involuntary_switches=state["switches"])

    monkeypatch.setattr(timing, "read_counters", reading)
    slow = lambda: 9e6 if state["round"] and state["round"] % 10 == 0 and state["reads"] % 2 else 1e6  # noqa: E731
    model = FakeModel(cost_ns=slow)
    found = measure_timing({"student": model}, {"student": [[1]]}, TimingSettings(budget_s=4), lambda _: False)
    calm, series = (
        [call for rounds in kind["student"] for calls in rounds for call in calls]
        for kind in (found.calm, found.series)
    )
    assert found.settings["repeated_rounds"] == found.settings["disturbed_rounds"] > 0
    assert 9e6 in series
    assert 9e6 not in calm


def test_at_most_a_fifth_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every round is disturbed, most of them stand as they are."""
    from pytest_modelbench.probes.timing import engine as timing

    switches = iter(range(10**6))
    monkeypatch.setattr(timing, "read_counters", lambda: Counters(involuntary_switches=next(switches)))
    model = FakeModel(cost_ns=1e6)
    told = measure_timing(
        {"student": model}, {"student": [[1]]}, TimingSettings(budget_s=4), lambda _: False
    ).settings
    assert told["disturbed_rounds"] == told["rounds"]
    assert 0.15 * told["rounds"] < told["repeated_rounds"] <= 0.2 * told["rounds"]


def test_disturbed_rounds_are_counted_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round's calls stay in the series; the report says how many rounds were disturbed."""
    from pytest_modelbench.probes.timing import engine as timing

    def scripted() -> Iterator[Counters]:
        switches = number = 0
        while True:
            number += 1
            switches += number % 4 == 0  # every second round has one between its two readings
            yield Counters(involuntary_switches=switches, pressure_us=10 * number)

    readings = scripted()
    monkeypatch.setattr(timing, "read_counters", lambda: next(readings))
    model = FakeModel(cost_ns=1e6)
    found = measure_timing(
        {"student": model}, {"student": [[1]]}, TimingSettings(budget_s=2), lambda m: len(m.looks) > 2
    )
    told = found.settings
    assert told["rounds"] == sum(len(placement) for placement in found.series["student"])
    assert told["disturbed_rounds"] == told["involuntary_switches"] == told["rounds"] // 2
    assert told["cpu_pressure_s"] == pytest.approx(told["rounds"] * 10e-6)
