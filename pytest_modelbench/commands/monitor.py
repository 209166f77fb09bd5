"""The console command `monitor`: the limits of an accepted model, judged by predictions from production."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.option_values import CONFIDENCE, Number

if TYPE_CHECKING:
    from pytest_modelbench.bench.monitoring import Judged
    from pytest_modelbench.data.production import Production
    from pytest_modelbench.gates.accepted import Accepted
    from pytest_modelbench.store.baseline import Baseline

Say = Callable[[str], None]
DRIFT = ("prediction_drift", "confidence_drift")
"""What is reported without being asked for, if the baseline has the distribution."""
_COLUMNS = {
    "prediction": "predicted label or value (default: prediction)",
    "scores": "one score for each class: a pattern whose * is the class (default: score_*)",
    "label": "true label or value, may be missing in some rows (default: label)",
    "latency": "latency in milliseconds (default: latency_ms)",
    "id": "id of a row (default: id)",
    "time": "when the row was answered: ISO 8601, or seconds since 1970 (default: timestamp)",
}


def add_monitor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "monitor",
        help="judge a shipped model by its recorded predictions; exits with 1 if a limit is broken, with 3 if none "
        "is and one is inconclusive, or none was judged",
    )
    parser.add_argument("production", type=Path, metavar="FILE", help="rows of production: .parquet, .csv or .jsonl")
    parser.add_argument(
        "--baseline", type=Path, metavar="PATH", help="report of the accepted run, or of this command"
    )
    parser.add_argument(
        "--limits", type=Path, metavar="PATH", help="a modelbench.toml whose [kpi] adds and overrides"
    )
    parser.add_argument("--contract", type=Path, metavar="PATH", help="the teacher's, for rows of the same ids")
    parser.add_argument("--student", metavar="NAME", help="whose predictions these are, if the baseline has several")
    for name, text in _COLUMNS.items():
        parser.add_argument(f"--{name}", metavar="PATTERN" if name == "scores" else "COLUMN", help=text)
    for name, what in (
        ("sensitive", "group that must not be treated worse"),
        ("slices", "kind that is judged apart"),
    ):
        text = f"{what}; repeat it for several"
        parser.add_argument(f"--{name}", action="append", default=[], metavar="COLUMN", help=text)
    parser.add_argument("--task", choices=("multiclass", "binary", "regression"), help="default: the baseline's")
    parser.add_argument("--outputs", choices=("logits", "probabilities"), help="what scores are, if it is not clear")
    parser.add_argument("--since", metavar="TIME", help="rows from this time on only")
    parser.add_argument(
        "--last", type=_number(Number(least=1, most=2**31, whole=True)), metavar="N", help="last N rows"
    )
    parser.add_argument(
        "--confidence", type=_number(CONFIDENCE), metavar="SHARE", help="of each side (default: 0.95)"
    )
    parser.add_argument(
        "--seed", type=_number(Number(least=0, most=2**31, whole=True)), default=0, metavar="N", help="of resampling"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the report; replaces an earlier report only")
    parser.add_argument("--history", type=Path, metavar="PATH", help="add a line to this history")


def _number(convert: Callable[[str], float]) -> Callable[[str], float]:
    def converted(text: str) -> float:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"found {shown(text)}, expected {error}") from error

    return converted


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is judged, and by what: the gates, the name of the student, the accepted report."""

    gates: list[Accepted]
    custom: list[str]
    student: str
    baseline: Baseline | None


def run_monitor(args: argparse.Namespace, say: Say, look: Mapping[str, Any]) -> int:
    """Run the command and return its exit code.

    Args:
        args: as parsed.
        say: prints a text.
        look: width and colour of the terminal.

    Raises:
        ModelbenchError: a file or an argument is wrong.
    """
    from pytest_modelbench.reports.monitored import OPEN, facts_line
    from pytest_modelbench.reports.terminal import render_summary, totals

    _refuse_others(args)
    asked = _asked(args)
    production = _production(args)
    report, code = _judged(args, asked, production)
    say(facts_line(report["production"]))
    say(render_summary(report, **look))
    if asked.custom:
        say(f"not judged, because the test's body or a custom metric gives them: {', '.join(asked.custom)}")
    for text in totals(report):
        say(text)
    if code == OPEN and not report["summary"]["inconclusive"]:
        say("no limit was judged: nothing is known of the model")
    _write(args, report, say)
    return code


def _refuse_others(args: argparse.Namespace) -> None:
    """Refuse to write over what is not ours before anything is read."""
    from pytest_modelbench.store.recognising import is_history, is_report
    from pytest_modelbench.store.replacing import why_not

    for option, what, ours in (("json", "JSON report", is_report), ("history", "history", is_history)):
        path = getattr(args, option)
        amiss = path and why_not(path, what, ours, appends=option == "history")
        if amiss:
            raise UsageMistake(f"--{option}: cannot write {path}: {amiss}")


def _asked(args: argparse.Namespace) -> _Asked:
    """Read the limits: those of the accepted run, and those of a file, which override them KPI by KPI."""
    from pytest_modelbench.bench.monitoring import open_baseline, student_of
    from pytest_modelbench.gates.accepted import gates_of_report

    if args.baseline is None and args.limits is None:
        raise UsageMistake(
            "nothing says what is judged. Write --baseline REPORT.json (a report of the accepted run), "
            "--limits modelbench.toml, or both"
        )
    baseline = None if args.baseline is None else open_baseline(args.baseline)
    student = student_of(None if baseline is None else baseline.report, str(args.baseline), args.student)
    gates: list[Accepted] = []
    custom: list[str] = []
    if baseline is not None:
        own = [gate for gate in baseline.report["gates"] if gate["student"] == student]
        gates, custom = gates_of_report(own, args.confidence)
    written = [] if args.limits is None else _written(args.limits, args.confidence)
    named = {accepted.gate.kpi.name for accepted in written}
    gates = [*(accepted for accepted in gates if accepted.gate.kpi.name not in named), *written]
    return _Asked(gates=gates, custom=custom, student=student, baseline=baseline)


def _written(path: Path, confidence: float | None) -> list[Accepted]:
    from pytest_modelbench.gates.accepted import gates_of_file
    from pytest_modelbench.gates.sla import MOST_BYTES
    from pytest_modelbench.store.readable import regular_file

    try:
        text = regular_file(path, MOST_BYTES).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageMistake(f"{path} is not written in UTF-8. Save it as UTF-8") from error
    return gates_of_file(text, str(path), str(path.parent), confidence)


def _drift(asked: _Asked, production: Production) -> list[Accepted]:
    """Return gates without a limit that report drift, where it may be known and no limit judges it."""
    from pytest_modelbench.gates.accepted import reported

    named = {accepted.gate.kpi.name for accepted in asked.gates}
    derivable = {"prediction_drift": True, "confidence_drift": production.classes is not None}
    return [reported(kpi) for kpi in DRIFT if kpi not in named and derivable[kpi] and asked.baseline is not None]


def _production(args: argparse.Namespace) -> Production:
    from pytest_modelbench.data.production import Named, read_production, window
    from pytest_modelbench.store.readable import why_unreadable

    problem = why_unreadable(args.production)
    if problem:
        raise UsageMistake(f"cannot read {args.production}: {problem}")
    columns = {name: getattr(args, name) for name in _COLUMNS}
    named = Named(**columns, sensitive=tuple(args.sensitive), slices=tuple(args.slices))
    return window(read_production(args.production, named), args.since, args.last)


def _judged(args: argparse.Namespace, asked: _Asked, production: Production) -> tuple[dict[str, Any], int]:
    """Judge every gate; return the report and the exit code."""
    from pytest_modelbench.bench.monitoring import Monitor
    from pytest_modelbench.bench.produced import (
        Meaning,
        ProductionMeasurements,
        answers_of,
        facts_of_rows,
        reference_of,
        task_of,
    )
    from pytest_modelbench.reports.monitored import SUITE, production_report
    from pytest_modelbench.store.contract import Contract

    accepted = None if asked.baseline is None else asked.baseline.report
    reference = reference_of(accepted, str(args.baseline), asked.student)
    task = task_of(production, args.task, reference.task)
    measured = ProductionMeasurements(production, Meaning(task=task, outputs=args.outputs), reference)
    answers = answers_of(measured)
    monitor = Monitor(
        measured,
        asked.student,
        baseline=asked.baseline,
        contract=None if args.contract is None else Contract.open(args.contract),
        seed=int(args.seed),
    )
    measured.predictions("student")  # whose mistakes are those of the file, not of a gate
    results: list[Judged] = [monitor.judged(gate) for gate in (*asked.gates, *_drift(asked, production))]
    notes = ((accepted or {}).get("models") or {}).get("students", {}).get(asked.student) or {}
    model = {"kind": "recorded", "hash": "unknown", **notes, "answers": {SUITE: answers}}
    return production_report(
        [(judgement.nodeid, judgement.result) for judgement in results],
        facts_of_rows(production, task, None if args.baseline is None else str(args.baseline)),
        {asked.student: model},
        _command(args),
    )


def _command(args: argparse.Namespace) -> str:
    words = ["python", "-m", "pytest_modelbench", "monitor", os.fspath(args.production)]
    for name in ("baseline", "limits"):
        if getattr(args, name) is not None:
            words += [f"--{name}", os.fspath(getattr(args, name))]
    return shlex.join(words)


def _write(args: argparse.Namespace, report: Mapping[str, Any], say: Say) -> None:
    from pytest_modelbench.reports.history_line import add_line
    from pytest_modelbench.reports.json_report import write_report

    try:
        if args.json is not None:
            write_report(report, args.json)
            say(f"wrote {args.json}")
        if args.history is not None:
            add_line(report, args.history, Path.cwd())
            say(f"added a line to {args.history}")
    except OSError as error:
        raise UsageMistake(f"cannot write {error.filename or 'the report'}: {error.strerror or error}") from error
