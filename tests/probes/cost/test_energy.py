"""Energy: the arithmetic by a fake source, a counter's path by a RAPL tree, and what estimates may decide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from suites import Judge

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.errors import MeasurementError, UsageMistake
from pytest_modelbench.probes.cost.carbon import grid
from pytest_modelbench.probes.cost.energy import (
    EnergyMeasurement,
    EnergyMeter,
    EnergySettings,
    measure_energy,
    pack_energy,
    unpack_energy,
)
from pytest_modelbench.probes.cost.energy_source import CodeCarbonSource, Component

MEASURED = Component("CPU", "measured", "RAPL")
MODELLED = Component("CPU", "modelled", "TDP")
CONSTANT = Component("RAM", "constant", "its size")
IDLE_W = 10.0


class FakeSource:
    """A machine that draws 10 W when idle, more while a model answers, and a constant 20 W for its memory."""

    def __init__(self, clock: FakeClock, watts: Mapping[str, float], *components: Component) -> None:
        self.clock, self.watts = clock, watts
        self.components = components or (MEASURED, CONSTANT)
        self.answering = ""
        self.windows: list[str] = []

    def start(self) -> None:
        self.answering = ""

    def stop(self, seconds: float) -> dict[str, float]:
        self.windows.append(self.answering or "idle")
        return {"CPU": seconds * (IDLE_W + self.watts.get(self.answering, 0.0)), "RAM": seconds * 20}


def measured(
    watts: Mapping[str, float],
    *components: Component,
    settings: EnergySettings | None = None,
    decide: bool = True,
) -> tuple[EnergyMeasurement, FakeSource]:
    """Measure a teacher of 10 ms and a student of 4 ms a call, for as many watts as they are said to draw."""
    clock = FakeClock()
    source = FakeSource(clock, watts, *components)

    def answer(role: str) -> FakeModel:
        def outputs(_: object) -> None:
            source.answering = role

        return FakeModel(outputs, cost_ns=1e7 if role == "teacher" else 4e6, clock=clock, name=role)

    models = {role: answer(role) for role in ("student", "teacher")}
    settings = settings or EnergySettings(window_s=2, wait=lambda seconds: clock.advance(seconds * 1e9))
    found = measure_energy(models, [0, 1], source, settings, lambda _: decide, lambda *_: None)
    return found, source


def test_energy_of_a_sample_above_idle() -> None:
    """30 W for 10 ms are 0.3 J, 15 W for 4 ms are 0.06 J: idle and constant power are in neither."""
    found, _ = measured({"teacher": 30, "student": 15})
    assert found.above_idle("teacher", 3) == pytest.approx([0.3] * 3)
    assert found.above_idle("student", 3) == pytest.approx([0.06] * 3)
    assert found.watts("student", 3) == pytest.approx([15] * 3)
    assert found.idle_watts(3) == pytest.approx(IDLE_W)
    assert found.provenance == "measured"


def test_energy_by_component() -> None:
    """The parts add up to the whole, and a constant part has nothing above idle."""
    found, _ = measured({"teacher": 30, "student": 15})
    assert found.component_above_idle("teacher", MEASURED, 3) == pytest.approx(0.3)
    assert found.component_above_idle("student", MEASURED, 2) == pytest.approx(0.06)
    assert found.component_above_idle("student", CONSTANT, 3) == pytest.approx(0.0)


def test_windows_of_slow_models_begin_with_other_batches() -> None:
    """A model that answers twice in a window is asked for other inputs in each, and both models for the same."""
    clock, seen = FakeClock(), dict[str, list[int]](student=[], teacher=[])
    models = {role: FakeModel(seen[role].append, cost_ns=1e9, clock=clock, name=role) for role in seen}
    settings = EnergySettings(window_s=2, wait=lambda seconds: clock.advance(seconds * 1e9))
    source = FakeSource(clock, {})
    measure_energy(models, list(range(16)), source, settings, lambda _: True, lambda *_: None)
    assert seen["student"] == seen["teacher"]
    answered = [batch for at, batch in enumerate(seen["student"]) if at % 3]  # the first of three warms up
    assert len(set(answered)) == 6


def test_windows_take_turns_in_an_order_by_lot() -> None:
    """Every round has the idle machine and each model once; both orders occur."""
    _, source = measured({"teacher": 30, "student": 15}, decide=False)
    rounds = [tuple(source.windows[i : i + 3]) for i in range(0, len(source.windows), 3)]
    assert len(rounds) > 5
    assert set(rounds) == {("idle", "student", "teacher"), ("idle", "teacher", "student")}


def test_looks_and_budget() -> None:
    """Three rounds at least, then the budget; the last round is a look."""
    clock_waits = EnergySettings(window_s=2, budget_s=30, wait=lambda _: None)
    found, _ = measured({"teacher": 30, "student": 15}, settings=clock_waits, decide=False)
    assert found.looks == (3, 7)
    assert found.elapsed_s[-1] <= 30
    short, _ = measured(
        {"teacher": 30, "student": 15}, settings=EnergySettings(window_s=9, budget_s=5, wait=lambda _: None)
    )
    assert short.looks == (3,)


def test_batches_count_their_samples() -> None:
    """Eight samples a call are an eighth of the energy for each."""
    settings = EnergySettings(batch_size=8, window_s=2, wait=lambda _: None)
    found, _ = measured({"teacher": 30, "student": 15}, settings=settings)
    assert found.above_idle("teacher", 3) == pytest.approx([0.3 / 8] * 3)


def test_what_drowns_in_idle_noise_is_no_number() -> None:
    """A student that takes less than the idle machine is an error, not a negative energy."""
    found, _ = measured({"teacher": 30, "student": -1})
    with pytest.raises(MeasurementError, match="the student took no more energy than the idle machine"):
        found.above_idle("student", 3)


def test_constants_only_tell_nothing_apart() -> None:
    """Latency under another name is refused before anything is measured."""
    with pytest.raises(MeasurementError, match="there is no energy to compare on this machine"):
        measured({}, CONSTANT)


def test_worth_of_the_worst_component() -> None:
    """A measured GPU beside a modelled processor is modelled."""
    found, _ = measured({"teacher": 1, "student": 1}, MODELLED, Component("GPU", "measured", "NVML"))
    assert found.provenance == "modelled"


RAPL = "intel-rapl:0"


@pytest.fixture
def rapl(tmp_path: Path) -> Path:
    """A RAPL tree with one package."""
    package = tmp_path / RAPL
    package.mkdir()
    (package / "name").write_text("package-0\n")
    (package / "max_energy_range_uj").write_text("262143328850\n")
    (package / "energy_uj").write_text("1000000\n")
    return tmp_path


def test_counters_of_a_rapl_tree(rapl: Path) -> None:
    """What CodeCarbon reads from the kernel's counter is measured, joule by joule."""
    hardware = pytest.importorskip("codecarbon.external.hardware")
    part = hardware.CPU(output_dir=".", mode="intel_rapl", model="tested", tdp=65, rapl_dir=str(rapl))
    source = CodeCarbonSource([part])
    assert source.components == (Component("CPU", "measured", "RAPL"),)
    source.start()
    (rapl / RAPL / "energy_uj").write_text("51000000\n")
    assert source.stop(2.0) == pytest.approx({"CPU": 50.0})


@pytest.mark.parametrize(
    ("kind", "attributes", "worth"),
    [
        ("CPU", {"_mode": "cpu_load", "_tdp": 65}, "modelled"),
        ("CPU", {"_mode": "constant"}, "constant"),
        ("CPU", {"_mode": "windows_emi"}, "measured"),
        ("GPU", {}, "measured"),
        ("RAM", {}, "constant"),
        ("AppleSiliconChip", {"chip_part": "GPU"}, "measured"),
    ],
)
def test_worth_of_codecarbons_parts(kind: str, attributes: dict[str, object], worth: str) -> None:
    """By what they read, not by what they are called."""
    part = type(kind, (), attributes)()
    assert CodeCarbonSource([part]).components[0].provenance == worth


def test_meter_subtracts_the_idle_machine() -> None:
    """50 J of a block of two seconds, 20 of which the machine takes anyway."""
    clock = FakeClock()
    source = FakeSource(clock, {"block": 15})
    meter = EnergyMeter(source, clock=lambda: clock() / 1e9, wait=lambda s: clock.advance(s * 1e9))
    with meter as energy:
        source.answering = "block"
        clock.advance(2e9)
    assert energy.joules == pytest.approx(30)
    assert energy.watts == pytest.approx(15)
    assert energy.by_component == {"CPU": 50, "RAM": 40}
    assert energy.provenance == "measured"


def test_meter_refuses_ten_milliseconds() -> None:
    """What a counter says of them is noise; an error inside of the block is not replaced by it."""
    clock = FakeClock()
    meter = EnergyMeter(FakeSource(clock, {}), clock=lambda: clock() / 1e9, wait=lambda _: None)
    with (
        pytest.raises(MeasurementError, match="the block took 10 ms, and the energy of less than 1 s is noise"),
        meter,
    ):
        clock.advance(1e7)
    with pytest.raises(ZeroDivisionError), meter:
        1 / 0  # noqa: B018


def test_grid() -> None:
    """A number of one's own beats the country's; both say where they come from."""
    germany = grid("deu", None)
    assert 100 < germany.g_per_kwh < 800
    assert "Germany 20" in germany.source
    assert grid("DEU", 42.0).source == "--modelbench-grid-intensity, 42 g/kWh"
    with pytest.raises(UsageMistake, match="nearest: "):
        grid("DEX", None)
    with pytest.raises(UsageMistake, match="carbon needs to know the grid"):
        grid(None, None)


SOURCE = """
from pytest_modelbench.probes.cost.energy_source import Component

class Source:
    components = (Component("CPU", "{worth}", "a fake"), Component("RAM", "constant", "a fake"))
    def start(self): self.before = STUDENT.calls, TEACHER.calls
    def stop(self, seconds):
        student, teacher = STUDENT.calls - self.before[0], TEACHER.calls - self.before[1]
        return {{"CPU": student * 0.36 + teacher * 3.6 + seconds, "RAM": 20 * seconds}}

def pytest_configure():
    from pytest_modelbench.bench import session
    session.CodeCarbonSource = Source
"""
SUITE = """
import pytest

@pytest.mark.kpi("energy_per_1k", "<= 0.2 Wh", "reduction >= 85%"{more})
@pytest.mark.kpi("carbon_per_1m", "reduction >= 85%")
@pytest.mark.kpi("power", "reduction >= 50%")
def test_energy(): ...
"""
OPTIONS = ("--modelbench-energy-window=1", "--modelbench-grid-intensity=400")


def test_gates_of_measured_energy(judge: Judge) -> None:
    """0.36 J against 3.6 J a sample: 0.1 Wh for a thousand, 40 g for a million at 400 g/kWh; one measurement."""
    finished = judge(SUITE.format(more=""), *OPTIONS, more=SOURCE.format(worth="measured"), process=True)
    assert finished.result.ret == 0, finished.text
    readings = finished.gate("energy_per_1k")["readings"]
    assert readings["student"]["value"] == pytest.approx(0.1)
    assert readings["teacher"]["value"] == pytest.approx(1.0)
    assert readings["student"]["provenance"] == "measured"
    assert "RAM constant (a fake), left out" in readings["student"]["method"]
    (processor,) = finished.gate("energy_per_1k")["breakdown"]
    assert processor == {
        "name": "CPU",
        "provenance": "measured",
        "student": pytest.approx(0.1),
        "teacher": pytest.approx(1.0),
    }
    carbon = finished.gate("carbon_per_1m")["readings"]["student"]
    assert carbon["value"] == pytest.approx(0.04)
    assert "grid of --modelbench-grid-intensity, 400 g/kWh" in carbon["method"]


@pytest.mark.parametrize(("limit", "verdict"), [("10%", "fail"), ("30%", "pass")])
def test_against_the_previous_student(judge: Judge, limit: str, verdict: str) -> None:
    """0.36 J against 0.3 J before, measured beside it; the limits on the teacher are judged as ever."""
    source = SOURCE.format(worth="measured")
    for old, new in (
        ("TEACHER.calls\n", "TEACHER.calls, PREVIOUS.calls\n"),
        ("student, teacher = ", "previous = PREVIOUS.calls - self.before[2]\n        student, teacher = "),
        ("student * 0.36", "previous * 0.3 + student * 0.36"),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)
    previous = (
        "\nPREVIOUS = student()\n\n@pytest.fixture(scope='session')\ndef previous_model():\n    return PREVIOUS\n"
    )
    suite = SUITE.format(more="").replace('"reduction >= 85%"', f'"reduction >= 85%", "regression <= {limit}"', 1)
    gate = judge(suite, *OPTIONS, more=source + previous, process=True).gate("energy_per_1k")
    assert [limit["verdict"] for limit in gate["limits"]] == ["pass", "pass", verdict]
    assert gate["limits"][2]["value"] == pytest.approx(0.2)
    assert gate["readings"]["baseline"]["value"] == pytest.approx(0.3 / 3.6)


def test_against_a_baseline(judge: Judge) -> None:
    """Relative to the teacher in both sessions."""
    suite = SUITE.format(more="").replace('"reduction >= 85%"', '"reduction >= 85%", "regression <= 10%"', 1)
    source = SOURCE.format(worth="measured")
    judge(suite, *OPTIONS, "--modelbench-save-baseline=before.json", more=source, process=True)
    run = (*OPTIONS, "--modelbench-baseline=before.json")
    assert judge(suite, *run, more=source, process=True).gate("energy_per_1k")["verdict"] == "pass"
    more = source.replace("* 0.36", "* 0.45")
    gate = judge(suite, *run, more=more, process=True).gate("energy_per_1k")
    assert gate["limits"][2]["verdict"] == "fail"
    assert gate["limits"][2]["value"] == pytest.approx(0.25)


@pytest.mark.parametrize(("more", "verdict"), [("", "error"), (", allow_estimated=True", "pass")])
def test_estimates_are_held_against_no_absolute_limit(judge: Judge, more: str, verdict: str) -> None:
    """Unless the gate allows it; relative limits are judged, and everything is marked."""
    finished = judge(SUITE.format(more=more), *OPTIONS, more=SOURCE.format(worth="modelled"), process=True)
    gate = finished.gate("energy_per_1k")
    assert gate["verdict"] == verdict
    assert {limit["text"]: limit["verdict"] for limit in gate["limits"]}["reduction >= 85%"] == "pass"
    assert gate["readings"]["student"]["provenance"] == "modelled"
    assert finished.gate("power")["verdict"] == "pass"
    if verdict == "error":
        assert "that is modelled, not measured. Write allow_estimated=True" in gate["reason"]


REAL = """
import os, socket

def no_network(*args, **keywords):
    raise AssertionError("CodeCarbon reached for the network")

def pytest_configure():
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = no_network

class Sines:
    def __init__(self, count):
        self.count = count
    def __call__(self, batch):
        x = np.ones(20_000)
        for _ in range(self.count):
            x = np.sin(x)
        return np.eye(10)[np.asarray(batch)[:, 0].astype(int) % 10]

@pytest.fixture(scope="session")
def teacher_model():
    return Sines(40)

@pytest.fixture(scope="session")
def student_model():
    return Sines(10)
"""


def test_codecarbon_without_a_network(judge: Judge) -> None:
    """No connection, no file, no word; a quarter of the work is a quarter of the energy."""
    suite = """
import pytest

@pytest.mark.kpi("energy_per_1k", "ratio <= 0.35", "ratio >= 0.15", allow_reversed=True)
def test_energy(): ...

def test_block(energy_meter, student, eval_data):
    import time
    with energy_meter as energy:
        end = time.perf_counter() + 1.1
        while time.perf_counter() < end:
            student(eval_data.inputs[:1])
    assert energy.joules > 0
"""
    finished = judge(suite, "--modelbench-energy-window=1", more=REAL, process=True)
    assert finished.result.ret == 0, finished.text
    assert "[codecarbon" not in finished.text
    found = {path.name for path in Path().iterdir()}
    assert not [name for name in found if name.endswith((".csv", ".log", ".lock"))]
    assert finished.gate("energy_per_1k")["readings"]["student"]["provenance"] in {"measured", "modelled"}


def test_measurement_travels_between_workers() -> None:
    """What one worker has measured reads the same in another."""
    found, _ = measured({"teacher": 30, "student": 15}, MODELLED, CONSTANT)
    again = unpack_energy(pack_energy(found))
    assert again.above_idle("student", 3) == pytest.approx(found.above_idle("student", 3))
    assert (again.looks, again.elapsed_s, again.components) == (found.looks, found.elapsed_s, tuple(found.components))


def test_clock_that_does_not_move() -> None:
    """An error, not an endless window."""
    clock = FakeClock()
    models = {role: FakeModel(cost_ns=0, clock=clock, name=role) for role in ("student", "teacher")}
    source = FakeSource(clock, {})
    with pytest.raises(MeasurementError, match="the clock did not move"):
        measure_energy(models, [0], source, EnergySettings(wait=lambda _: None), lambda _: True, lambda *_: None)


def test_gate_without_the_teacher_does_not_suffer_from_it(judge: Judge) -> None:
    """A teacher that cannot be built: the absolute gate is judged, the relative one is the error."""
    suite = """
import pytest

@pytest.mark.kpi("energy_per_1k", "<= 0.2 Wh")
def test_absolute(): ...

@pytest.mark.kpi("power", "reduction >= 50%")
def test_relative(): ...
"""
    broken = (
        SOURCE.format(worth="measured")
        + """
@pytest.fixture(scope="session")
def teacher_model():
    raise OSError("no such bucket")
"""
    )
    finished = judge(suite, *OPTIONS, more=broken, process=True)
    assert finished.gate("energy_per_1k")["verdict"] == "pass", finished.text
    assert "no such bucket" in finished.gate("power")["reason"]


@pytest.mark.parametrize("home", ["/nowhere", ""], ids=["no-home", "empty-home"])
def test_codecarbon_without_its_report_settings(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration is read for what it says of the machine only: a bad folder for reports is nothing to energy."""
    pytest.importorskip("codecarbon")
    (tmp_path / ".codecarbon.config").write_text("[codecarbon]\noutput_dir = /no/such/folder\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", home)
    assert CodeCarbonSource().components


def test_codecarbon_that_cannot_be_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error, with its cause."""
    tracker = pytest.importorskip("codecarbon.emissions_tracker")

    def broken(**_: object) -> None:
        raise OSError("no sensor")

    before = tracker.get_hierarchical_config
    monkeypatch.setattr(tracker, "OfflineEmissionsTracker", broken)
    with pytest.raises(
        MeasurementError, match="CodeCarbon cannot find out what it can read here: OSError: no sensor"
    ):
        CodeCarbonSource()
    assert tracker.get_hierarchical_config is before
