"""The console command `history`: what the file that --modelbench-history writes says."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import UsageMistake, shown

if TYPE_CHECKING:
    from pytest_modelbench.reports.trends import Asked, Finding, Trend
    from pytest_modelbench.store.history import History

Say = Callable[[str], None]


def add_history(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], percent: Callable[[str], float]
) -> None:
    """Add the command to the others."""
    parser = commands.add_parser("history", help="show, check and draw the runs that --modelbench-history wrote")
    actions = parser.add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="print the trend of each KPI and student, and where it changed")
    check = actions.add_parser(
        "check", help="exit with 1 if something got worse in the last runs, and no reason was added"
    )
    plot = actions.add_parser("plot", help="write the trends as one HTML page without scripts")
    explain = actions.add_parser("explain", help="add the reason of a change, so that check accepts it")
    for action in (show, check, plot, explain):
        action.add_argument("path", type=Path, metavar="PATH", help="the file")
    for action in (show, check, plot):
        action.add_argument(
            "--branch", action="append", default=[], help="runs of this branch only; repeat for several"
        )
        action.add_argument(
            "--least", type=percent, metavar="PERCENT", help="smaller changes are left out (default: 1%%)"
        )
    check.add_argument("--last", type=_count, metavar="N", help="how many runs are checked for changes (default: 20)")
    check.add_argument("--drift", type=percent, metavar="PERCENT", help="also fail if a KPI decayed by this or more")
    check.add_argument("--over", type=_count, metavar="N", help="runs of --drift (default: 20, at least 10)")
    plot.add_argument(
        "--output", type=Path, default=Path("history.html"), metavar="PATH", help="default: history.html"
    )
    explain.add_argument("commit", help="of the first run after the change, as `check` prints it")
    explain.add_argument("reason", help="in a few words")
    explain.add_argument("--kpi", help="only for this KPI")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_count.__name__ = "number of runs"  # what argparse calls it in its message


def run_history(args: argparse.Namespace, say: Say, look: dict[str, Any], encoding: str | None) -> int:
    """Run the command and return its exit code: 1 for an alarm of `check`.

    Args:
        args: as parsed.
        say: prints a text.
        look: width and colour of the terminal.
        encoding: of the terminal, None if it has every character.

    Raises:
        UsageMistake: the file cannot be read or written, or an argument is wrong.
    """
    if args.action == "explain":
        return _explain(args, say)
    from pytest_modelbench.reports.history import show_history

    history, asked, of, found = _read(args)
    if args.action == "check":
        return _check(history, asked, of, found, say)
    if args.action == "plot":
        return _plot(args.output, history, of, found, say)
    say(show_history(history, of, found, **look, bars=_has_bars(encoding)))
    return 0


def _has_bars(encoding: str | None) -> bool:
    from pytest_modelbench.reports.history import BARS

    try:
        BARS.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read(args: argparse.Namespace) -> tuple[History, Asked, list[Trend], list[Finding]]:
    from pytest_modelbench.reports.trends import Asked, findings, trends
    from pytest_modelbench.store.history import read_history

    given = {name: getattr(args, name, None) for name in ("last", "least", "drift", "over")}
    asked = Asked(**{name: value for name, value in given.items() if value is not None})
    if given["over"] is not None and asked.drift is None:
        raise UsageMistake("--over: it is the number of runs of --drift. Write --drift 3% as well")
    history = read_history(args.path).of_branches(args.branch)
    of = trends(history)
    return history, asked, of, list(findings(history, of, asked))


def _check(history: History, asked: Asked, of: list[Trend], found: list[Finding], say: Say) -> int:
    from pytest_modelbench.reports.history import check_lines
    from pytest_modelbench.reports.trends import alarms

    alarming = alarms(history, found, asked)
    for line in check_lines(history, of, alarming, asked):
        say(line)
    return 1 if alarming else 0


def _plot(output: Path, history: History, of: list[Trend], found: list[Finding], say: Say) -> int:
    from pytest_modelbench.reports.html.history_page import history_page
    from pytest_modelbench.store.recognising import is_history_page
    from pytest_modelbench.store.replacing import replacing, why_not

    amiss = why_not(output, "history page", is_history_page)
    if amiss is not None:
        raise UsageMistake(f"--output: cannot write {output}: {amiss}")
    try:
        with replacing(output, "history page", is_history_page) as temporary:
            temporary.write_text(history_page(history, of, found), "utf-8", "backslashreplace")
    except OSError as error:
        raise UsageMistake(f"--output: cannot write {output}: {error.strerror or error}") from error
    say(f"wrote {output}")
    return 0


def _explain(args: argparse.Namespace, say: Say) -> int:
    """Add the reason, after a look at whether the history has the commit."""
    from pytest_modelbench.store.history import LEAST_HASH, append, read_history

    history = read_history(args.path)
    commit, reason = args.commit.strip().lower(), args.reason.strip()
    if len(commit) < LEAST_HASH or not any((run.commit or "").startswith(commit) for run in history.runs):
        known = ", ".join(dict.fromkeys(run.commit[:12] for run in history.runs[-3:] if run.commit)) or "none"
        raise UsageMistake(f"{args.path} has no run of the commit {shown(args.commit)}. Its last commits: {known}")
    if not reason:
        raise UsageMistake("the reason is empty. Write it in a few words, such as 'more layers, for accuracy'")
    line = {"explains": commit, "reason": reason, "kpi": args.kpi, "time": datetime.now(UTC).isoformat()}
    try:
        append(args.path, line)
    except OSError as error:
        raise UsageMistake(f"cannot write {os.fspath(args.path)}: {error.strerror or error}") from error
    say(f"{args.path}: added the reason for {commit[:12]}")
    return 0
