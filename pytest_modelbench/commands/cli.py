"""The console command: a first suite, what reports and contracts hold and say, the JSON Schema of modelbench.toml."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pytest_modelbench.commands.compare import add_compare
from pytest_modelbench.commands.diagnose import add_diagnose
from pytest_modelbench.commands.history import add_history
from pytest_modelbench.commands.monitor import add_monitor
from pytest_modelbench.commands.report import add_report

if TYPE_CHECKING:
    from pytest_modelbench.gates.extensions import Extensions

PACKAGE = Path(__file__).parents[1]
DEFAULT = "image_classifier"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_modelbench", description="Acceptance tests for compressed models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    names = ", ".join(sorted(templates()))
    init = commands.add_parser("init", help="write a first conftest.py and modelbench.toml; nothing is overwritten")
    init.add_argument(
        "template", nargs="?", default=DEFAULT, metavar="TEMPLATE", help=f"{names} (default: {DEFAULT})"
    )
    init.add_argument("--folder", type=Path, default=Path(), help="where to write them (default: here)")
    commands.add_parser("schema", help="print the JSON Schema of modelbench.toml, for editors that complete it")
    contract = commands.add_parser("contract", help="look into a teacher's contract")
    shown = contract.add_subparsers(dest="action", required=True).add_parser("show", help="print what it holds")
    shown.add_argument("path", type=Path, metavar="PATH")
    add_compare(commands, _percent)
    check = commands.add_parser("check", help="exit with 0 only if a JSON report is of a whole run that passed")
    check.add_argument("report", type=Path, metavar="REPORT.json")
    thresholds = commands.add_parser("thresholds", help="write today's values, with slack, as a modelbench.toml")
    thresholds.add_argument("report", type=Path, metavar="REPORT.json")
    thresholds.add_argument("--slack", type=_percent, default=0.05, metavar="PERCENT", help="default: 5%%")
    thresholds.add_argument("--student", metavar="NAME", help="whose values, where there are several students")
    thresholds.add_argument(
        "--output", type=Path, default=Path("modelbench.toml"), metavar="PATH", help="default: modelbench.toml"
    )
    add_report(commands)
    add_diagnose(commands)
    add_history(commands, _percent)
    add_monitor(commands)
    args = parser.parse_args(arguments)
    if args.command == "init":
        return write_template(args.template, args.folder)
    if args.command != "schema":
        from pytest_modelbench.errors import ModelbenchError

        does = {"contract": _show, "compare": _compare, "thresholds": _thresholds, "check": _check}
        try:
            does |= {"diagnose": _diagnose, "history": _history, "report": _report, "monitor": _monitor}
            return does[args.command](args)
        except ModelbenchError as mistake:
            return _complain(str(mistake))
    return _schema()


@contextlib.contextmanager
def _extensions() -> Iterator[Extensions]:
    """Load what installed packages add, and complain about those that cannot be loaded."""
    from pytest_modelbench.gates.extensions import installed

    extensions = installed()
    try:
        yield extensions
    finally:
        extensions.remove()
    for mistake in extensions.mistakes:
        _complain(mistake)


def _schema() -> int:
    """Print the schema with the KPIs of installed packages, which only this session knows."""
    from pytest_modelbench.gates.sla_schema import sla_schema

    with _extensions() as extensions:
        _say(json.dumps(sla_schema(), indent=1))
    return 2 if extensions.mistakes else 0


def _percent(text: str) -> float:
    number = float(text.removesuffix("%")) / 100
    if not 0 <= number < 100:
        raise ValueError(text)
    return number


_percent.__name__ = "percentage"  # what argparse calls it in its message


def _look() -> dict[str, Any]:
    """Return the terminal's width, and whether it shows colours; NO_COLOR and FORCE_COLOR say so first."""
    import shutil

    from pytest_modelbench.reports.layout import terminal_width

    forced = bool(os.environ.get("FORCE_COLOR"))
    colour = not os.environ.get("NO_COLOR") and (forced or sys.stdout.isatty())
    return {"width": terminal_width(shutil.get_terminal_size().columns), "colour": colour}


def _say(text: str, file: TextIO | None = None) -> None:
    """Print a text, with what the terminal's encoding lacks replaced."""
    from pytest_modelbench.reports.layout import encodable

    out = sys.stdout if file is None else file
    print(encodable(text, getattr(out, "encoding", None)), file=out)


def _show(args: argparse.Namespace) -> int:
    from pytest_modelbench.reports.contract_table import render_contract
    from pytest_modelbench.store.contract import Contract

    _say(render_contract(Contract.open(args.path), **_look()))
    return 0


def _compare(args: argparse.Namespace) -> int:
    from pytest_modelbench.commands.compare import run_compare

    return run_compare(args, _say, _look())


def _check(args: argparse.Namespace) -> int:
    """Check that a run was complete and passed; return 1 if not, for any exit status of its process."""
    from pytest_modelbench.reports.whole import why_not_passed
    from pytest_modelbench.store.baseline import read_report

    why = why_not_passed(read_report(args.report))
    print(f"{args.report}: {why or 'every gate that was collected was run, and pytest found no failure'}")
    return 1 if why else 0


def _report(args: argparse.Namespace) -> int:
    """Write a JSON report in another form, or send it."""
    from pytest_modelbench.commands.report import run_report

    try:
        with _extensions() if args.log else contextlib.nullcontext():
            return run_report(args, _say, _complain)
    except OSError as error:
        return _complain(f"--html: cannot write {args.html}: {error.strerror or error}")


def _thresholds(args: argparse.Namespace) -> int:
    from pytest_modelbench.reports.thresholds import thresholds_toml
    from pytest_modelbench.store.baseline import read_report

    with _extensions():
        text = thresholds_toml(read_report(args.report), str(args.report), args.slack, args.student)
    try:
        with args.output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return _complain(f"{args.output} exists already, and nothing is overwritten. Write --output another.toml")
    except OSError as error:
        return _complain(f"cannot write {args.output}: {error.strerror or error}")
    _say(f"wrote {args.output}")
    return 0


def _diagnose(args: argparse.Namespace) -> int:
    """Print a diagnosis, and write it where asked; a cause that is found is not a failure."""
    from pytest_modelbench.commands.diagnose import diagnosed
    from pytest_modelbench.reports.diagnosis import diagnosis_lines

    if args.json is not None and args.json.exists():
        return _complain(f"--json: {args.json} exists already, and nothing is overwritten")
    diagnosis = diagnosed(args).to_json()
    for line in (*_steps(diagnosis), *diagnosis_lines({"diagnosis": [diagnosis | {"waterfall": None}]})):
        _say(line)
    if args.json is None:
        return 0
    try:
        args.json.write_text(json.dumps(diagnosis, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        return _complain(f"cannot write {args.json}: {error.strerror or error}")
    return 0


def _steps(diagnosis: Mapping[str, Any]) -> list[str]:
    """Return the table of a diagnosis' steps from the teacher's time to the student's."""
    from pytest_modelbench.reports.waterfall import waterfall_table

    return waterfall_table(diagnosis["waterfall"]) if diagnosis["waterfall"] else []


def _history(args: argparse.Namespace) -> int:
    from pytest_modelbench.commands.history import run_history

    return run_history(args, _say, _look(), getattr(sys.stdout, "encoding", None))


def _monitor(args: argparse.Namespace) -> int:
    from pytest_modelbench.commands.monitor import run_monitor

    with _extensions():
        return run_monitor(args, _say, _look())


def templates() -> dict[str, Path]:
    """Return the folders of all templates by name: of the installed package, or of its checkout."""
    home = next(
        folder
        for folder in (PACKAGE / "conftest_templates", PACKAGE.parent / "conftest_templates")
        if folder.is_dir()
    )
    return {folder.name: folder for folder in home.iterdir() if (folder / "conftest.py").is_file()}


def write_template(name: str, folder: Path) -> int:
    """Copy a template into a folder, all of its files or none; return the exit code."""
    folders = templates()
    if name not in folders:
        return _complain(f"there is no template {name!r}. Known are {', '.join(sorted(folders))}")
    sources = sorted(file for file in folders[name].iterdir() if file.suffix in {".py", ".toml"})
    taken = [folder / source.name for source in sources if (folder / source.name).exists()]
    if taken:
        return _complain(
            f"{', '.join(map(str, taken))} exist already, and nothing is overwritten. Write --folder another/folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            with (folder / source.name).open("x", encoding="utf-8") as file:
                file.write(source.read_text(encoding="utf-8"))
    except OSError as error:
        return _complain(f"cannot write to {folder}: {error.strerror or error}")
    written = ", ".join(str(folder / source.name) for source in sources)
    _say(f"wrote {written}")
    if name in {"huggingface_text", "causal_lm", "tagging"} and find_spec("transformers") is None:
        _say("needs: pip install 'pytest-modelbench[huggingface]'")
    _say(f"next:  pytest --modelbench {folder}" if folder != Path() else "next:  pytest --modelbench")
    return 0


def _complain(text: str) -> int:
    from pytest_modelbench.errors import visible

    _say(f"pytest_modelbench: {visible(text)}", sys.stderr)
    return 2
