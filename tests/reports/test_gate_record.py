"""The gate in a report: it says what its KPI is, so that a report is read without the catalogue that wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suites import Judge, checked

from pytest_modelbench.commands.cli import main
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.reports.gate_record import GateRecord
from pytest_modelbench.reports.json_report import report_schema
from pytest_modelbench.reports.schema_parts import form_of, gate_table
from pytest_modelbench.results import FACTS
from pytest_modelbench.store.facts import UNKNOWN, explained

SAVED = "--modelbench-save-baseline=saved.json"
SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "regression <= 5%")
@pytest.mark.kpi("top1_accuracy", "regression <= 5%")
@pytest.mark.kpi("parameters", "regression <= 5%")
@pytest.mark.kpi("mcnemar_p")
def test_all(): ...
"""


def save(name: str, report: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write a report whose gates are changed, checked against the schema."""
    changed = {**report, "gates": [change(gate) for gate in report["gates"]]}
    checked(changed)
    Path(name).write_text(json.dumps(changed))


def without_facts(gate: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in gate.items() if name not in FACTS}


def of_the_future(gate: dict[str, Any]) -> dict[str, Any]:
    return {**gate, "kpi": f"{gate['kpi']}_of_2030"}


def compared(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, str]:
    capsys.readouterr()
    return main(["compare", *names]), capsys.readouterr().out


def test_every_gate_says_what_its_kpi_is(judge: Judge) -> None:
    """Also one that was not run; each fact is that of the catalogue, and the fields are those of the record."""
    report = judge(SUITE.replace("...", "pytest.skip()") + SUITE.replace("test_all", "test_more")).report
    assert {gate["verdict"] for gate in report["gates"]} >= {"not_run", "reported"}
    for gate in report["gates"]:
        assert {name: gate[name] for name in FACTS} == {name: getattr(CATALOGUE[gate["kpi"]], name) for name in FACTS}
        assert list(gate) == list(GateRecord.__dataclass_fields__)


def test_older_reports_compare_as_before(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the gates say nothing of their KPIs, the catalogue does, and the table is the same."""
    report = judge(SUITE, SAVED).report
    save("a.json", report, dict)
    slower = judge(SUITE, SAVED, more="STUDENT = student(cost_ns=4.6e5, parameters=9_000)\n").report
    save("b.json", slower, dict)
    code, table = compared(capsys, "a.json", "b.json")
    assert code == 1
    assert "worse" in table
    save("a.json", report, without_facts)
    save("b.json", slower, without_facts)
    assert compared(capsys, "a.json", "b.json") == (code, table)


def test_kpis_of_another_version_are_compared(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """What depends on the machine still counts by its ratio and its interval, though nobody here knows the KPI."""
    report = judge(SUITE, SAVED).report
    slower = judge(SUITE, SAVED, more="STUDENT = student(cost_ns=4.6e5, parameters=9_000)\n").report
    save("a.json", report, of_the_future)
    save("b.json", slower, of_the_future)
    code, table = compared(capsys, "a.json", "b.json")
    rows = {line.split()[0]: line for line in table.splitlines() if line}
    assert code == 1
    assert rows["latency_p50_of_2030"].endswith("worse")
    assert rows["parameters_of_2030"].endswith("better")
    assert main(["thresholds", "a.json"]) == 2
    assert "has no value of student that could be a limit" in capsys.readouterr().err


def test_unknown_kpis_without_facts_are_told(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the report nor the catalogue says which values are better: not comparable, and no error."""
    report = judge(SUITE, SAVED).report
    save("a.json", report, lambda gate: of_the_future(without_facts(gate)))
    code, table = compared(capsys, "a.json", "a.json")
    assert code == 3
    assert "it does not state whether lower or higher is better" in table


def test_a_baseline_with_kpis_of_another_version(judge: Judge) -> None:
    """Its other gates are compared with; without facts the form of the inputs still counts."""
    report = judge(SUITE, SAVED).report
    future = [of_the_future(gate) for gate in report["gates"]]
    both = {**report, "gates": [*report["gates"], *future]}
    save("b.json", both, dict)
    first = judge(SUITE, "--modelbench-baseline=b.json")
    assert set(first.verdicts.values()) == {"pass", "reported"}, first.text
    save("b.json", both, without_facts)
    second = judge(SUITE, "--modelbench-baseline=b.json")
    assert second.verdicts == first.verdicts


def test_what_a_report_says_beats_the_catalogue() -> None:
    """A fact that is missing comes from the catalogue, one that is told stays, and nothing is known of the rest."""
    gates = [{"kpi": "latency_p50", "better": "higher"}, {"kpi": "latency_p50", "better": ""}, {"kpi": "never_heard"}]
    told, empty, unknown = explained({"gates": gates}, CATALOGUE)["gates"]
    assert (told["better"], told["of_machine"], told["of_inputs"]) == ("higher", True, True)
    assert empty["better"] == "lower"
    assert {name: unknown[name] for name in FACTS} == dict(UNKNOWN)


def test_a_fact_of_another_form_is_refused(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    """A report that was edited by hand is told, and not half understood."""
    report = judge(SUITE, SAVED).report
    gates = [{**gate, "of_machine": "yes"} for gate in report["gates"]]
    Path("a.json").write_text(json.dumps({**report, "gates": gates}))
    assert main(["compare", "a.json", "a.json"]) == 2
    assert "its gates cannot be read" in capsys.readouterr().err


def test_schema_and_table_follow_the_record() -> None:
    """Every field is in both, with one description; a type without a known form is refused."""
    form = report_schema()["$defs"]["gate"]["properties"]
    assert list(form) == list(GateRecord.__dataclass_fields__)
    for name, field in GateRecord.__dataclass_fields__.items():
        assert form[name]["description"] == field.metadata["description"]
        assert f"| `{name}` | {field.metadata['description']} |" in gate_table()
    with pytest.raises(TypeError, match="no JSON Schema is known for"):
        form_of(complex)
