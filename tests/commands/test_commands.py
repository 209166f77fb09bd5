"""What the console command makes of reports and contracts: compare, thresholds, contract show."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from suites import FAKES, Judge

from pytest_modelbench.commands.cli import main
from pytest_modelbench.gates.sla import read_sla
from pytest_modelbench.grammar.limits import bind_limit, parse_limit
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.reports.thresholds import thresholds_toml
from pytest_modelbench.store.baseline import Baseline

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "<= 1 s")
@pytest.mark.kpi("latency_p99")
@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
@pytest.mark.kpi("parameters")
@pytest.mark.kpi("nonfinite_outputs", "== 0")
@pytest.mark.kpi("mcnemar_p")
@pytest.mark.kpi("invariance", "<= 50%", transform=abs)
def test_all(): ...

@pytest.mark.kpi("latency_p50", batch_size=8)
@pytest.mark.kpi("clicks", better="higher", unit="%")
def test_others(kpi):
    kpi["clicks"].record(student=40)
"""


def report(judge: Judge, name: str, suite: str = SUITE, **more: Any) -> dict[str, Any]:
    judge(suite, f"--modelbench-save-baseline={name}", **more)
    return dict(json.loads(Path(name).read_text()))


def test_unchanged(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is worse, and the exit code is 0."""
    report(judge, "a.json")
    report(judge, "b.json")
    capsys.readouterr()
    assert main(["compare", "a.json", "b.json"]) == 0
    told = capsys.readouterr().out
    assert "worse" not in told.replace("Worse by", "")
    assert "9 same" in told, told


def test_a_regression(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Told with both values and the change, exit code 1; a larger limit lets it pass."""
    report(judge, "a.json")
    slower = "STUDENT = student(cost_ns=4.6e5, parameters=9_000)\n"
    suite = SUITE.replace("student=40", "student=30").replace('@pytest.mark.kpi("mcnemar_p")\n', "")
    report(judge, "b.json", suite=suite, more=slower)
    capsys.readouterr()
    assert main(["compare", "a.json", "b.json"]) == 1
    told = capsys.readouterr().out
    rows = {line.split()[0]: line for line in told.splitlines() if line}
    assert "400 µs" in rows["latency_p50"]
    assert "460 µs" in rows["latency_p50"]
    assert "15%" in rows["latency_p50"]
    assert rows["latency_p50"].endswith("worse")
    assert rows["clicks"].endswith("worse")
    assert rows["parameters"].endswith("better")
    assert "mcnemar_p of student: b.json has no such gate" in told
    assert main(["compare", "a.json", "b.json", "--limit", "30%"]) == 0


BARE = SUITE.replace('"drop <= 2 pp"', '">= 2%"').replace('@pytest.mark.kpi("mcnemar_p")\n', "")


def changed(source: str, target: str, kpi: str, times: float, **more: dict[str, Any]) -> None:
    """Write a report in which one value is another one, and parts of which are others."""
    told = json.loads(Path(source).read_text())
    for gate in told["gates"]:
        reading = gate["readings"]["student"]
        if gate["kpi"] == kpi and reading is not None:
            reading |= {
                name: reading[name] * times for name in ("value", "ci_low", "ci_high") if reading[name] is not None
            }
    told |= {name: {**told[name], **value} for name, value in more.items()}
    Path(target).write_text(json.dumps(told))


def test_bare_times_of_one_machine(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Two plain reports of one machine are compared, as surely as two processes can be."""
    judge(BARE, "--modelbench-json=a.json")
    for times, code, result in ((600.0, 1, "worse"), (1.12, 0, "unclear"), (1.0, 0, "unclear"), (0.5, 0, "better")):
        changed("a.json", "b.json", "latency_p50", times)
        capsys.readouterr()
        assert main(["compare", "a.json", "b.json"]) == code
        told = capsys.readouterr().out
        row = next(line for line in told.splitlines() if line.startswith("latency_p50"))
        assert row.endswith(result), told
        assert "compared as it is, because no teacher" in told


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"environment": {"processor": "another"}}, "and now another"),
        ({"settings": {"threads": 3}}, "threads None, and now 3"),
    ],
)
def test_bare_times_of_others_are_not_compared(
    judge: Judge, capsys: pytest.CaptureFixture[str], more: dict[str, Any], words: str
) -> None:
    """Nothing is known of a time that another machine took, or other settings: where all is so, that is exit code 3."""
    judge('import pytest\n@pytest.mark.kpi("latency_p50")\ndef test_p50(): ...\n', "--modelbench-json=a.json")
    changed("a.json", "b.json", "latency_p50", 1.0, **more)
    capsys.readouterr()
    assert main(["compare", "a.json", "b.json"]) == 3
    told = capsys.readouterr().out
    assert words in told
    assert told.splitlines()[-1] == "nothing could be compared: 1 not comparable"


def test_nothing_compared_is_red(judge: Judge, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """On a terminal with colours, and in one that cannot show every character it is still told."""
    judge('import pytest\n@pytest.mark.kpi("latency_p50")\ndef test_p50(): ...\n', "--modelbench-json=a.json")
    changed("a.json", "b.json", "latency_p50", 1.0, settings={"threads": 3})
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "1")
    capsys.readouterr()
    assert main(["compare", "a.json", "b.json"]) == 3
    assert "\x1b[31mnothing could be compared" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert main(["compare", "a.json", "b.json"]) == 3
    sys.stdout.flush()
    told = shown.getvalue().decode("ascii")
    assert "400 us" in told
    assert "\x1b" not in told


def test_many_gates_are_found_by_an_index() -> None:
    """A report of thousands of gates is compared in a time that grows with their number only."""
    reading = {"value": 1.0, "unit": "", "ci_low": 1.0, "ci_high": 1.0, "confidence": None, "n": None}
    told = {**reading, "provenance": "measured", "method": ""}
    gates: list[dict[str, Any]] = [
        {
            "kpi": "parameters",
            "student": f"s{i}",
            "nodeid": f"test_sla.py::test[s{i}]",
            "options": Options(),
            "verdict": "pass",
            "reason": "",
            "readings": {"student": told},
        }
        for i in range(500)
    ]
    baseline = Baseline({"gates": gates}, "a.json")
    Options.compared = 0
    for gate in gates:
        assert not isinstance(baseline.find("parameters", gate["student"], {}, gate["nodeid"]), str)
    assert Options.compared <= len(gates)


class Options(dict[str, Any]):
    """Options that count how often they are compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Options.compared += 1
        return dict.__eq__(self, other)

    __hash__ = None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "a.json", "missing.json"], "cannot read missing.json: No such file or directory"),
        (["compare", "empty.json", "a.json"], "empty.json is empty"),
        (["thresholds", "empty.json"], "empty.json is empty"),
        (["contract", "show", "empty.json"], "empty.json is empty. Record it again with"),
        (["contract", "show", "a.json"], "a.json is not a contract, or only a part of one"),
        (["thresholds", "a.json", "--student", "int8"], "a.json has no student 'int8'; there are student"),
        (
            ["thresholds", "a.json", "--output", "conftest.py"],
            "conftest.py exists already, and nothing is overwritten",
        ),
    ],
)
def test_bad_input(judge: Judge, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """One line, exit code 2."""
    report(judge, "a.json")
    Path("empty.json").write_text("")
    capsys.readouterr()
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("pytest_modelbench: ")
    assert words in told


@pytest.mark.parametrize(
    "arguments", [["compare", "a", "b", "--limit", "many"], ["thresholds", "a", "--slack", "-5"]]
)
def test_bad_percentage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Argparse says which option."""
    with pytest.raises(SystemExit):
        main(arguments)
    assert "invalid percentage value" in capsys.readouterr().err


def test_thresholds(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that today's student passes, and one that is worse by more than the slack does not."""
    report(judge, "a.json")
    assert main(["thresholds", "a.json", "--slack", "10%"]) == 0
    assert "wrote modelbench.toml" in capsys.readouterr().out
    text = Path("modelbench.toml").read_text()
    sla, mistakes, _ = read_sla(text, "modelbench.toml", ".")
    assert mistakes == []
    limits = {entry.name: (entry.kpi, entry.limits, dict(entry.options)) for entry in sla.kpis}
    assert limits["parameters"] == ("parameters", ("<= 11000",), {})
    assert limits["top1_accuracy"] == ("top1_accuracy", (">= 88.2%",), {})
    assert limits["nonfinite_outputs"] == ("nonfinite_outputs", ("<= 0",), {})
    assert limits["latency_p50"][1] == ("<= 0.44 ms",)
    assert limits["latency_p50_2"] == ("latency_p50", ("<= 0.44 ms",), {"batch_size": 8})
    assert "# clicks: a custom KPI; its test states its limits" in text
    assert "# mcnemar_p: for the report only" in text
    assert "# invariance: its transform is code" in text
    Path("test_sla.py").unlink()
    finished = judge("")
    assert set(finished.verdicts.values()) == {"pass"}, finished.text
    assert len(finished.verdicts) == len(limits)
    finished = judge("", more="STUDENT = student(cost_ns=4.5e5, outputs=answers(30), parameters=11_500)\n")
    failed = {name.partition(":")[2].strip(":") for name, verdict in finished.verdicts.items() if verdict == "fail"}
    assert {"parameters:parameters", "top1_accuracy:top1_accuracy", "latency_p50:latency_p50"} <= failed


def gate(kpi: str, value: float, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    reading = {"value": value, "ci_low": low, "ci_high": high, "provenance": more.pop("provenance", "measured")}
    options = {**CATALOGUE[kpi].options, **more.pop("options", {})}
    options.pop("confidence", None)
    return {
        "kpi": kpi,
        "student": "s",
        "verdict": "pass",
        "options": options,
        "readings": {"student": reading},
        **more,
    }


def test_thresholds_that_today_holds() -> None:
    """Estimates are allowed once, an end that a sample does not support is no limit, intervals count where they decide."""
    gates = [
        gate("energy_per_1k", 2.0, 1.9, 2.2, provenance="modelled", options={"allow_estimated": True}),
        gate("power", 10.0, 9.0, 11.0, provenance="modelled"),
        gate("latency_p99", 1.0, 0.9, None),
        gate("compile_gain", 1.5, 1.38, 1.62),
        gate("hardware_tier", 8e9, 8e9, 8e9),
        gate("r2", -0.5, -0.6, -0.4),
        gate("sparsity", 0.0, 0.0, 0.0),
    ]
    text = thresholds_toml({"gates": gates, "settings": {}}, "a.json", 0.05)
    sla, mistakes, is_toml = read_sla(text, "modelbench.toml", ".")
    assert is_toml, text
    assert mistakes == []
    found = {entry.kpi: (entry.limits[0], entry.options.get("allow_estimated")) for entry in sla.kpis}
    assert found == {
        "energy_per_1k": ("<= 2.31 Wh", True),
        "power": ("<= 11.55 W", True),
        "compile_gain": (">= 1.311 x", None),
        "hardware_tier": ("<= T4", None),
        "r2": (">= -0.525", None),
    }
    assert "# latency_p99: its sample is too small for a bound; give it more time" in text
    assert "# sparsity: " in text


@pytest.mark.parametrize("value", [100 * 0.07, 100 * 0.29, 1 / 3, 2 / 3e-7, 12345678.9])
@pytest.mark.parametrize("kpi", ["parameters", "top1_accuracy"])
def test_rounding_keeps_the_value(kpi: str, value: float) -> None:
    """Without slack today's value still holds."""
    if kpi == "top1_accuracy" and value > 100:
        value = 100 / value
    (entry,) = read_sla(thresholds_toml({"gates": [gate(kpi, value, value, value)]}, "a", 0.0), "t", ".")[0].kpis
    kpi_ = CATALOGUE[kpi]
    bound = bind_limit(parse_limit(entry.limits[0]), kpi=kpi, unit=kpi_.unit, better=kpi_.better, bounds=kpi_.bounds)
    assert bound.holds(value)
    assert abs(bound.margin(value)) <= 1e-4 * value


def test_thresholds_keep_models(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], no_turns: None
) -> None:
    """What the command line named stands in the file; of several students one is chosen."""
    Path("shop.py").write_text(
        FAKES + "\ndef one():\n    return STUDENT\n\ndef data():\n    return INPUTS, TARGETS\n"
    )
    Path("test_sla.py").write_text("import pytest\n\n@pytest.mark.kpi('parameters')\ndef test_size(): ...\n")
    students = ("--modelbench-student=a=shop:one", "--modelbench-student=b=shop:one")
    named = ("--modelbench-data=shop:data", "--modelbench-json=a.json")
    pytester.runpytest_inprocess("--modelbench", *students, *named)
    capsys.readouterr()
    assert main(["thresholds", "a.json"]) == 2
    assert "a.json has several students. Write --student NAME, one of a, b" in capsys.readouterr().err
    assert main(["thresholds", "a.json", "--student", "b", "--output", "b.modelbench.toml"]) == 0
    text = Path("b.modelbench.toml").read_text()
    assert 'student = "shop:one"' in text
    assert 'eval = "shop:data"' in text
    result = pytester.runpytest_inprocess("--modelbench", "b.modelbench.toml")
    result.assert_outcomes(passed=1)


def test_contract_show(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """The teacher, its machine, its data, and its values as a column."""
    judge(SUITE, "--modelbench-record-contract=teacher.mbc")
    capsys.readouterr()
    assert main(["contract", "show", "teacher.mbc"]) == 0
    told = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert lines[0].startswith("teacher: fake, 100,000 parameters, fake:object-")
    assert "predictions: 200 samples, known by position" in lines
    assert "KPI Teacher Evidence" in lines
    assert any(line.startswith("latency_p50 1 ms") for line in lines)
    assert any(line.startswith("latency_p50 b8 1 ms") for line in lines)
    assert any(line.startswith("top1_accuracy 99%") for line in lines)
