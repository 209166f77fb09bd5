"""How a verdict becomes the outcome of an ordinary item."""

from __future__ import annotations

import os
import shlex
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.errors import visible
from pytest_modelbench.grammar.formats import ESTIMATED, format_interval, format_judged, marked
from pytest_modelbench.options import given_options
from pytest_modelbench.reports.causes import some
from pytest_modelbench.reports.load_facts import load_lines
from pytest_modelbench.results import GateResult, Reading, Verdict, json_object
from pytest_modelbench.settings import Settings

_Failed: Any = pytest.fail.Exception


class VerdictFailure(_Failed, AssertionError):  # type: ignore[misc]
    """A gate did not pass. An AssertionError for xfail and friends, shown without a traceback.

    Names and reasons are of the user's making: nothing in them that a terminal would obey gets there.
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(message), pytrace=False)  # type: ignore[call-arg]


VerdictFailure.__module__ = "builtins"  # pytest prints the name without its module, as for its own outcomes


class InconclusiveWarning(pytest.PytestWarning):
    """A gate could not be decided, and `--modelbench-inconclusive=warn` lets it pass."""


def without_our_frames(error: BaseException) -> str:
    """Return an error of ours as text, followed by where in the user's own code it was caused, if there.

    Frames of ours, of libraries and of Python itself say nothing that the text does not.
    """
    cause = error.__cause__
    frames = cause.__traceback__ if cause is not None else None
    while frames is not None and _is_foreign(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if cause is None or frames is None:
        return visible(str(error))
    frames_of_user = [frame for frame in traceback.extract_tb(frames) if not frame.filename.startswith(_OURS)]
    lines = [*traceback.format_list(frames_of_user), *traceback.format_exception_only(cause)]
    return visible(f"{error}\n\nTraceback (most recent call last):\n{''.join(lines)}")


_OURS = str(Path(__file__).parents[1])


def _is_foreign(filename: str) -> bool:
    """Whether a file is ours, a library's or Python's own; libraries may be in several folders, also of the user."""
    if {"site-packages", "dist-packages"} & set(Path(filename).parts):
        return True
    folders = [_OURS, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))]
    return filename.startswith(("<", *folders))


def conclude(item: pytest.Item, results: Sequence[GateResult], settings: Settings) -> None:
    """Turn the verdicts of one item's gates into its outcome.

    Raises:
        VerdictFailure: a gate failed, or was not decided where that counts.
        pytest.skip.Exception: no gate was applicable.
    """
    failed = [result for result in results if _fails(result.verdict, settings)]
    if failed:
        raise VerdictFailure("\n".join([*_message(failed), f"  rerun:   {rerun_command(item)}"]))
    for result in results:
        if result.verdict is Verdict.INCONCLUSIVE:
            try:
                warnings.warn(InconclusiveWarning(visible(f"{item.nodeid}: {_headline(result)}")), stacklevel=2)
            except InconclusiveWarning as raised:  # the user's filters make warnings errors
                raise VerdictFailure(str(raised)) from None
    if results and all(result.verdict in {Verdict.NOT_APPLICABLE, Verdict.NOT_RUN} for result in results):
        pytest.skip(visible("; ".join(_reasons(results))))


def _reasons(results: Sequence[GateResult]) -> list[str]:
    """Return each reason once, with the KPIs that it is about."""
    kpis: dict[str, list[str]] = {}
    for result in results:
        kpis.setdefault(result.reason, []).append(result.kpi)
    return [f"{some(names)}: {reason}" for reason, names in kpis.items()]


def properties(results: Sequence[GateResult]) -> list[tuple[str, object]]:
    """Return what JUnit's XML has of an item's gates: five properties of each, one gate after the other."""
    pairs: list[tuple[str, object]] = []
    for result in results:
        reading = result.student_reading
        limits = [limit.text for limit in result.limits] or list(result.targets)
        pairs += [
            ("kpi", result.kpi),
            ("value", "" if reading is None else f"{reading.value:.10g}"),
            ("unit", result.unit),
            ("limit", ", ".join(limits)),
            ("verdict", result.verdict.value),
        ]
    return pairs


def _fails(verdict: Verdict, settings: Settings) -> bool:
    return (
        verdict in {Verdict.FAIL, Verdict.ERROR}
        or (verdict is Verdict.INCONCLUSIVE and settings.inconclusive == "fail")
        or (verdict is Verdict.NO_BASELINE and settings.strict)
    )


def _headline(*results: GateResult) -> str:
    first = results[0]
    kpis = some([result.kpi for result in results])
    return f"{kpis} of {first.student}: {first.verdict.value.upper()}: {first.reason}"


def rerun_command(item: pytest.Item) -> str:
    """Return the command that runs just one item again, from the same folder and with the same models."""
    parts = ["pytest", "--modelbench", *given_options(item.config.option)]
    file = os.path.relpath(item.path, item.config.invocation_params.dir)
    return shlex.join([*parts, f"{file}::{item.nodeid.partition('::')[2]}"])


def _message(results: Sequence[GateResult]) -> list[str]:
    lines: list[str] = []
    alike: dict[tuple[str, str], list[GateResult]] = {}
    for result in results:
        alike.setdefault((result.verdict, result.reason), []).append(result)
    for result, *others in alike.values():  # one cause once, with what was found of its first gate
        lines.append(_headline(result, *others))
        lines += [
            f"  and {limit.reason}" for limit in result.limits if _also_bad(limit.verdict, limit.reason, result)
        ]
        lines += [
            f"  {who + ':':9}{_show(reading)}"
            for who, reading in (
                ("student", result.student_reading),
                ("teacher", result.teacher_reading),
                ("before", result.baseline_reading),
            )
            if reading is not None
        ]
        lines += [f"  note:    {note}" for note in result.notes]
        lines += [f"  load:    {line}" for line in _load_lines(result)]
        if result.worst_samples:
            lines.append(f"  samples: {', '.join(result.worst_samples)}")
    return lines


def _load_lines(result: GateResult) -> Iterator[str]:
    told = json_object({"kpi": result.kpi, "verdict": result.verdict, "breakdown": result.breakdown})
    return load_lines({**told, "limits": [limit.to_json() for limit in result.limits]})


def _also_bad(verdict: Verdict, reason: str, result: GateResult) -> bool:
    return verdict in {Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE} and reason != result.reason


def _show(reading: Reading) -> str:
    estimate = reading.estimate
    value = marked(format_judged(estimate.value, reading.unit), reading.provenance)
    if estimate.low is not None and not estimate.low == estimate.high == estimate.value:
        value += f" {format_interval(estimate.low, estimate.high, reading.unit)}"
    details = [reading.provenance] if reading.provenance in ESTIMATED else []
    details += [reading.method] if reading.method else []
    return f"{value} ({'; '.join(details)})" if details else value
