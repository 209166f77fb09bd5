"""The page: what a reader sees first, and everything below it, as values that the templates show."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import visible
from pytest_modelbench.grammar.formats import format_judged, marked
from pytest_modelbench.reports.causes import WORDS, advice_lines
from pytest_modelbench.reports.diagnosis import diagnosis_lines
from pytest_modelbench.reports.html.fields import number, table, tables, text
from pytest_modelbench.reports.html.figures import Table, clipped, table_of
from pytest_modelbench.reports.html.gate_rows import failures, limit_rows
from pytest_modelbench.reports.html.pareto import tradeoff_figures
from pytest_modelbench.reports.html.students import student_parts
from pytest_modelbench.reports.limit_texts import counts_text, needs_attention, passed
from pytest_modelbench.store.recognising import HTML_HEAD

if TYPE_CHECKING:
    from jinja2 import Template

MOST_TESTS = 20
_FACTS = ("processor", "logical_cpus", "gpu", "platform", "python")


def html(report: Mapping[str, Any]) -> str:
    """Return a report as one HTML page, which needs no network, no script and no other file.

    Args:
        report: the JSON report, checked by `reports.html.stored.why_not_shown` where it was read from a file.
    """
    template, style = _template()
    bad, more_bad = failures(report)
    rows, left_out = limit_rows(report["gates"])
    parts, more_students = student_parts(report)
    return template.render(
        head=HTML_HEAD,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        verdict="PASS" if passed(report) else "FAIL",
        counts=counts_text(report, WORDS),
        complete=report["complete"],
        exit_status=report["exit_status"],
        mistakes=[clipped(mistake, 1000) for mistake in report.get("mistakes", [])],
        failures=bad,
        more_failures=more_bad,
        tests=_failed_tests(report),
        advice=list(advice_lines(report)),
        rows=rows,
        left_out=left_out,
        tradeoff=tradeoff_figures(report),
        distillation=_distillation(report),
        students=parts,
        more_students=more_students,
        diagnosis=list(_diagnosis(report)),
        surroundings=list(_surroundings(report)),
    )


@cache
def _template() -> tuple[Template, str]:
    """Return the page's template and its style sheet."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_modelbench.reports.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = resources.files("pytest_modelbench.reports.html").joinpath("templates")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html"), f"\n{style}"


def _shown(value: Any) -> Any:
    """Return a value as the page shows it: texts without hidden characters, lengths with one digit.

    What a template has already made is of another class, and stays as it is.
    """
    if type(value) is str:
        return visible(value)
    return f"{value:.1f}".removesuffix(".0") if type(value) is float else value


def _failed_tests(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return tests that failed although all of their gates passed, such as edge cases, each with its outcome."""
    explained = {gate["nodeid"] for gate in report["gates"] if needs_attention(gate["verdict"])}
    failed = [
        (text(test.get("outcome")), text(test.get("nodeid")))
        for test in tables(report.get("tests"))
        if text(test.get("outcome")) in {"failed", "error"} and text(test.get("nodeid")) not in explained
    ]
    more = len(failed) - MOST_TESTS
    return [*failed[:MOST_TESTS], *([("", f"and {more:,} more")] if more > 0 else [])]


def _distillation(report: Mapping[str, Any]) -> Table | None:
    """Return the distillation summary: what the teacher and each student cost."""
    rows = tables(report.get("distillation"))
    students = list(dict.fromkeys(name for row in rows for name in table(row.get("students"))))[:10]
    if not rows or not students:
        return None
    return table_of(
        ("", "Teacher", *students),
        [
            [
                text(row.get("name")),
                *(_reading(cell) for cell in (row.get("teacher"), *map(table(row.get("students")).get, students))),
            ]
            for row in rows
        ],
    )


def _reading(cell: Any) -> str:
    cell = table(cell)
    if "text" in cell:
        return text(cell["text"])
    value, unit = number(cell.get("value")), text(cell.get("unit"))
    return "-" if value is None else marked(format_judged(value, unit), text(cell.get("provenance")))


def _diagnosis(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the findings of timed measurements, and why students are slow."""
    for finding in report["diagnosis"]:
        if "finding" in finding:
            yield f"{text(finding.get('text'))}: {text(finding.get('remedy'))}"
    drawn = [{**diagnosis, "waterfall": None} for diagnosis in report["diagnosis"]]  # which is a plot here
    yield from (line.strip() for line in diagnosis_lines({"diagnosis": drawn}))


def _surroundings(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values: the machine, the packages, the models, the command."""
    environment, models = report.get("environment", {}), table(report.get("models"))
    for name in _FACTS:
        if environment.get(name) is not None:
            yield name.replace("_", " "), clipped(environment[name], 300)
    packages = table(environment.get("packages"))
    if packages:
        yield "packages", ", ".join(f"{name} {version}" for name, version in packages.items())
    for name, notes in {"teacher": models.get("teacher"), **table(models.get("students"))}.items():
        if table(notes).get("hash"):
            yield clipped(name, 120), f"{text(notes.get('kind'))} {text(notes['hash'])}"
    if production := table(report.get("production")):
        stated = [f"{name} {value}" for name, value in production.items() if value is not None]
        yield "production", clipped(", ".join(stated), 300)
    if report.get("command"):
        yield "command", text(report["command"])
