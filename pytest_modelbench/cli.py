"""The console command: a first suite from a template, and the JSON Schema of modelbench.toml."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parent
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
    given = parser.parse_args(arguments)
    if given.command == "init":
        return write_template(given.template, given.folder)
    sys.stdout.write(PACKAGE.joinpath("modelbench.schema.json").read_text(encoding="utf-8"))
    return 0


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
    known = templates()
    if name not in known:
        return _complain(f"there is no template {name!r}. Known are {', '.join(sorted(known))}")
    sources = sorted(file for file in known[name].iterdir() if file.suffix in {".py", ".toml"})
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
    print(f"wrote {written}")
    if name.startswith("huggingface") and find_spec("transformers") is None:
        print("needs: pip install 'pytest-modelbench[huggingface]'")
    print(f"next:  pytest --modelbench {folder}" if folder != Path() else "next:  pytest --modelbench")
    return 0


def _complain(text: str) -> int:
    print(f"pytest_modelbench: {text}", file=sys.stderr)
    return 2
