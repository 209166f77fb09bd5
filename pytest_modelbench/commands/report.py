"""The console command `report`: a JSON report as an HTML file, or sent to result trackers."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.option_values import Destination, destinations
from pytest_modelbench.options import TRACKERS

Say = Callable[[str], object]
LIMIT_S = 600.0
"""Seconds that a tracker has."""


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "report",
        help="write a JSON report as an HTML file with plots, or send it to result trackers; exits with 1 if a "
        "tracker does not take it",
    )
    parser.add_argument("report", type=Path, metavar="REPORT.json")
    parser.add_argument("--html", type=Path, metavar="PATH", help="replaces an earlier HTML report only")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="NAME[:WHERE]",
        help=f"send it to a tracker ({', '.join(TRACKERS)}), as --modelbench-log does; repeat it for several",
    )


def run_report(args: argparse.Namespace, say: Say, complain: Say) -> int:
    """Write and send a report; return 0, or 1 if a tracker did not take it.

    Raises:
        UsageMistake: nothing was asked for, the report or a tracker's name cannot be read, a package is missing.
        OSError: the HTML file cannot be written.
    """
    if args.html is None and not args.log:
        raise UsageMistake("report: write --html PATH, --log NAME[:WHERE], or both")
    places = _places(args.log)
    if args.html is not None:
        from pytest_modelbench.reports.html.html_report import convert

        convert(args.report, args.html)
        say(f"wrote {args.html}")
    return _send(args.report, places, say, complain) if places else 0


def _places(texts: Sequence[str]) -> list[Destination]:
    """Read the destinations, and see that each can be sent to."""
    from pytest_modelbench.reports.trackers.tracker import mistakes_of

    read, places = destinations(TRACKERS), list[Destination]()
    for text in texts:
        try:
            places += read(text)
        except ValueError as error:
            raise UsageMistake(f"--log: found {shown(text)}, expected {error}") from error
    mistakes = list(mistakes_of(places, "--log"))
    if mistakes:
        raise UsageMistake("\n".join(mistakes))
    return list(dict.fromkeys(places))


def _send(path: Path, places: Sequence[Destination], say: Say, complain: Say) -> int:
    from pytest_modelbench.reports.html.html_report import whole_report
    from pytest_modelbench.reports.trackers.sending import send

    whole_report(path)
    failed = 0
    for place in places:
        sent = send(path, place, LIMIT_S)
        if sent.ok:
            say(sent.text)
        else:
            failed += 1
            again = shlex.join(("report", str(path), "--log", str(place)))
            complain(f"--log={place}: {sent.text}. Send it again: python -m pytest_modelbench {again}")
    return 1 if failed else 0
