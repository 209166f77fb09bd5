"""The console command `compare`: what changed from one JSON report to others."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Say = Callable[[str], None]


def add_compare(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], percent: Callable[[str], float]
) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "compare",
        help="print what changed from one JSON report to others; exits with 1 if something is worse, "
        "with 3 if nothing could be compared",
    )
    parser.add_argument("before", type=Path, metavar="OLD.json", help="what the others are compared with")
    parser.add_argument("now", type=Path, metavar="NEW.json", nargs="+", help="one report or several")
    parser.add_argument(
        "--limit",
        type=percent,
        default=0.05,
        metavar="PERCENT",
        help="a regression is more than this (default: 5%%)",
    )
    parser.add_argument("--html", type=Path, metavar="PATH", help="also write a page; replaces an earlier one only")
    parser.add_argument(
        "--markdown", type=Path, metavar="PATH", help="also write Markdown; replaces an earlier comparison only"
    )


def run_compare(args: argparse.Namespace, say: Say, look: dict[str, Any]) -> int:
    """Run the command and return its exit code: 1 where something got worse, 3 where nothing could be compared.

    Args:
        args: as parsed.
        say: prints a text.
        look: width and colour of the terminal.

    Raises:
        UsageMistake: a report cannot be read, or a file cannot be written.
    """
    from pytest_modelbench.reports.comparison import compare_reports, render_comparison
    from pytest_modelbench.reports.comparison_files import write_comparison

    comparison = compare_reports([args.before, *args.now], args.limit)
    say(render_comparison(comparison, **look))
    for path in write_comparison(comparison, html=args.html, markdown=args.markdown):
        say(f"wrote {path}")
    return comparison.exit_code
