"""How a session ends: no green without a verdict. The exit status, and what the summary's last lines say of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.plugin.uncollected import passed_over
from pytest_modelbench.results import Verdict

_REASONS_TOLD = 3
_DRY = ("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test")
OVER = frozenset({0, 5})
"""The exit statuses of a run that found nothing wrong: all passed, or nothing was there."""


class PlanOnly:
    """Runs no item, for --modelbench-plan."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool:
        """Say that everything was run."""
        return True


def is_dry(config: pytest.Config) -> bool:
    """Whether pytest was asked to run no test, but to show something: nothing is judged or written then."""
    return any(config.getoption(name, default=False) for name in _DRY)


def not_run(gates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the gates without a verdict, because their test did not come to its end."""
    return [gate for gate in gates if gate["verdict"] == Verdict.NOT_RUN.value]


def why_not_run(gates: Sequence[Mapping[str, Any]]) -> str | None:
    """Say how many gates have no verdict, and why; None where all have one."""
    reasons = Counter(str(gate["reason"]) for gate in not_run(gates))
    if not reasons:
        return None
    count = reasons.total()
    commonest = [f"{reason} ({number})" for reason, number in reasons.most_common(_REASONS_TOLD)]
    more = len(reasons) - len(commonest)
    listed = "; ".join([*commonest, *([f"and {more} other reason{'s' if more != 1 else ''}"] if more else [])])
    return f"NOT RUN: {count} gate{'s have' if count != 1 else ' has'} no verdict: {listed}"


def must_fail(gates: Sequence[Mapping[str, Any]], config: pytest.Config, *, strict: bool, judged: bool) -> bool:
    """Whether a session that found nothing wrong must fail, since it did not judge all that it was to judge.

    Args:
        gates: all that were collected.
        config: of the session.
        strict: whether `--modelbench-strict` was given.
        judged: whether any gate came to a verdict.
    """
    return strict and (not judged or bool(not_run(gates) or passed_over(config) or _out_of_reach(config)))


def passed_over_lines(config: pytest.Config, gates: Sequence[Mapping[str, Any]], *, ended: bool) -> Iterator[str]:
    """Report all that was not judged: gates without a verdict, uncollected classes, files out of reach."""
    if not ended:
        yield "NOT RUN: the session was ended before all tests had their turn"
    untold = why_not_run(gates)
    if untold is not None:
        yield untold
    for place in passed_over(config):
        yield (
            f"NOT RUN: {place}: pytest does not collect this class, so its markers are not judged: its name does not "
            f"match python_classes ({' '.join(config.getini('python_classes'))}), and no test derives from it"
        )
    file = _out_of_reach(config)
    if file is not None:
        yield f"NOT RUN: {file} lies above the given paths. Give its path as well to judge its gates"


def _out_of_reach(config: pytest.Config) -> Path | None:
    file = Path(os.path.realpath(config.rootpath), "modelbench.toml")
    there = config.invocation_params.dir
    paths = [Path(os.path.realpath(there / arg.partition("::")[0])) for arg in config.args]  # loops of links too
    reached = any(path == file or path in file.parents for path in paths)
    return file if file.is_file() and not reached else None


def same_names(students: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """Report names shared by several models, of fixtures in several places: one table has the rows of all."""
    for name, notes in students.items():
        if notes and notes.get("others"):
            count = len(notes["others"]) + 1
            yield (
                f"modelbench: {count} models are called {name!r}, and their rows are in one table. "
                "Give their fixtures params= with different ids="
            )
