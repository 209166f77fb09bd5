"""The architecture: who may import whom, no circle of files, heavy libraries load late, files stay readable."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import pytest_modelbench

ROOT = Path(pytest_modelbench.__file__).parent
PACKAGE = "pytest_modelbench"
MAP = ROOT.parent / "ARCHITECTURE.md"

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    room: frozenset(others.split())
    for room, others in {
        "errors": "",
        "options": "",
        "results": "",
        "grammar": "errors results",
        "stats": "results",
        "data": "errors",
        "models": "errors grammar data",
        "settings": "errors options grammar models exports",
        "exports": "errors results grammar stats data models",
        "probes": "errors grammar stats data models exports",
        "kpis": "errors results grammar stats data models exports probes",
        "gates": "errors hooks options grammar data models exports settings probes kpis",
        "store": "errors results stats data exports probes",
        "diagnosis": "errors results grammar stats data models exports probes",
        "bench": "errors results grammar stats data models exports settings probes kpis gates store diagnosis",
        "reports": "errors results grammar stats settings probes kpis gates store",
        "commands": "errors options settings grammar data models probes gates store diagnosis bench reports",
        "plugin": "errors hooks options results grammar stats data models exports settings probes kpis gates store "
        "diagnosis bench reports commands",
        "hooks": "",
        "extend": "results probes models kpis reports",
        "__main__": "commands",
    }.items()
}
"""Rooms (packages, and the modules beside them), each with the rooms that it may import. It has no circle."""

OFFENDERS: frozenset[tuple[str, str]] = frozenset()
"""Imports that the table forbids and that are there. Only ever fewer."""

CIRCLES: frozenset[frozenset[str]] = frozenset()
"""Circles of files that are there. Only ever fewer and smaller."""

LIGHT = {"errors", "options", "settings", "results", "grammar", "commands.cli", "__main__"} | {
    f"{room}.{name}"
    for room, names in {
        "data": "case_names corruptions.names tasks.names treatment",
        "exports": "deployed options",
        "gates": "assignment gate harder_inputs keyword keywords reading serving sla sla_data sharing suites tasks texts toml_lines",
        "kpis": "kpi catalogue misnamed accuracy.rows deployment.rows fairness.rows footprint.rows load.options load.rows "
        "robustness.rows adversarial.rows outside.rows speed.rows stability.rows text.rows text.rows_cache "
        "detection.rows detection.rows_fidelity detection.rows_precision segmentation.rows tagging.rows "
        "forecasting.rows ranking.rows embedding.rows text.rows_failures text.rows_fidelity text.rows_likelihood text.rows_matching text.rows_overlap text.rows_times",
        "plugin": "collection deploying fixture_lookup fixtures misnamed parametrisation placeholders sla_file stash state undefined",
    }.items()
    for name in names.split()
}
LIGHT |= {f"kpis.{path.parent.name}.{path.stem}" for path in ROOT.glob("kpis/*/kpi_*.py")}
"""Rooms and files that are read at collection, also where nothing is judged: no heavy library at their top."""

HEAVY = {
    "torch",
    "sklearn",
    "scipy",
    "numpy",
    "pandas",
    "codecarbon",
    "fairlearn",
    "rich",
    "joblib",
    "safetensors",
    "psutil",
    "jinja2",
}


@functools.cache
def modules(root: Path) -> Mapping[str, Path]:
    """Return the files of a copy of the package by their dotted names, without the root's own."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = path
    return found


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path, *, at_its_top: bool = False) -> set[str]:
    """Return the modules and names that a file imports: also late, and for type checking, unless at its top only."""
    tree = _parsed(path)
    hidden: set[ast.AST] = set()
    if at_its_top:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) or (
                isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node)
            ):
                hidden |= set(ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node not in hidden:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import) and node not in hidden:
            found |= {alias.name for alias in node.names}
    return found


def arrows(root: Path) -> dict[str, set[str]]:
    """Return which files of the package each file imports."""
    files = modules(root)
    found = {}
    for name, path in files.items():
        targets = {
            module.removeprefix(f"{PACKAGE}.") for module in imported(path) if module.startswith(f"{PACKAGE}.")
        }
        found[name] = {target for target in targets if target in files and target != name}
        # `from room import file` names the room as well, whose own file is only its description
        found[name] -= {target for target in found[name] if any(f.startswith(f"{target}.") for f in found[name])}
    return found


def room(module: str) -> str:
    return module.partition(".")[0]


def forbidden(root: Path) -> set[tuple[str, str]]:
    """Return the imports that the table does not allow."""
    return {
        (name, target)
        for name, targets in arrows(root).items()
        for target in targets
        if room(target) != room(name) and room(target) not in MAY_IMPORT.get(room(name), frozenset())
    }


def circles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of files that reach each other, of two and more."""
    reached = {name: set(_reach(graph, name)) for name in graph}
    found = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return {circle for circle in found if len(circle) > 1}


def _reach(graph: Mapping[str, set[str]], start: str) -> Iterator[str]:
    waiting, seen = list(graph[start]), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += graph.get(name, ())


def undescribed(root: Path, text: str) -> set[str]:
    """Return the rooms that the map of the package does not name."""
    return {name for name in {room(module) for module in modules(root)} if f"`{name}" not in text}


def copy_of(folder: Path, **planted: str) -> Path:
    """Copy the package's files, with lines added to some (`bench__session`)."""
    root = folder / PACKAGE
    for name, path in modules(ROOT).items():
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text() + planted.get(name.replace(".", "__"), ""))
    return root


def test_imports_follow_the_table() -> None:
    """No room imports one that the table does not allow it; known offenders are still there, or leave the list."""
    assert forbidden(ROOT) == OFFENDERS
    assert {room(module) for module in modules(ROOT)} == set(MAY_IMPORT)


def test_the_table_has_no_circle() -> None:
    """Rooms have an order from the ground up, and nobody imports the top."""
    assert not circles({name: set(others) for name, others in MAY_IMPORT.items()})
    assert not {name for name, others in MAY_IMPORT.items() if "plugin" in others}
    assert {name for name, others in MAY_IMPORT.items() if "commands" in others} == {"plugin", "__main__"}


def test_no_circle_of_files() -> None:
    """No file reaches itself by imports of any kind; known circles are still there, or leave the list."""
    assert circles(arrows(ROOT)) == CIRCLES


def test_every_room_is_described() -> None:
    """A room is in the map of the package, so that a newcomer finds it."""
    assert not undescribed(ROOT, MAP.read_text(encoding="utf-8"))


def test_a_planted_upward_import_is_found(tmp_path: Path) -> None:
    """Also one inside a function, and one for type checking."""
    late = "\ndef planted() -> None:\n    from pytest_modelbench.bench import session\n"
    typed = "\nif TYPE_CHECKING:\n    from pytest_modelbench.plugin.stash import STATE\n"
    root = copy_of(tmp_path, stats__cells=late, models__base=typed)
    assert forbidden(root) - OFFENDERS == {("stats.cells", "bench.session"), ("models.base", "plugin.stash")}


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    """Two files of one room that import each other."""
    root = copy_of(tmp_path, stats__cells="\nfrom pytest_modelbench.stats.tables import Tables\n")
    assert frozenset({"stats.cells", "stats.tables"}) in circles(arrows(root))


def test_a_planted_room_is_found(tmp_path: Path) -> None:
    """A new folder that neither the table nor the map knows."""
    root = copy_of(tmp_path)
    root.joinpath("cellar").mkdir()
    root.joinpath("cellar", "__init__.py").write_text("from pytest_modelbench.errors import ModelError\n")
    assert undescribed(root, MAP.read_text(encoding="utf-8")) == {"cellar"}
    assert ("cellar", "errors") in forbidden(root)


@pytest.mark.parametrize("name", sorted(modules(ROOT)))
def test_nobody_imports_the_package_root_or_pytest_internals(name: str) -> None:
    """The lazy root is for users; `_pytest` is nobody's."""
    found = imported(modules(ROOT)[name])
    assert PACKAGE not in found
    assert not [module for module in found if module.startswith("_pytest")]


def test_light_files_load_no_heavy_library() -> None:
    """What is read at collection imports none at its top, and every name in the list is a room or a file."""
    files = modules(ROOT)
    assert set(files) >= LIGHT
    for name, path in files.items():
        if name in LIGHT or room(name) in LIGHT:
            top = {module.partition(".")[0] for module in imported(path, at_its_top=True)}
            assert not top & HEAVY, name


@pytest.mark.parametrize("name", sorted(modules(ROOT)))
def test_files_stay_readable(name: str) -> None:
    """No file past 400 lines, none named after nothing."""
    path = modules(ROOT)[name]
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "helpers", "common", "misc"}


def test_functions_stay_short() -> None:
    """Ten lines on average, none past sixty."""
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, path in modules(ROOT).items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert not {name: length for name, length in lengths.items() if length > 60}
    assert sum(lengths.values()) / len(lengths) <= 10
