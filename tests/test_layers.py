"""The architecture: imports go down only, heavy libraries load late, files stay readable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pytest_modelbench

ROOT = Path(pytest_modelbench.__file__).parent
LAYERS = (
    (
        "errors",
        "readable",
        "misnamed",
        "units",
        "limits",
        "options",
        "toml_lines",
        "stash",
        "cases",
        "frameworks",
        "tiers",
        "metamorphic",
    ),
    ("settings", "option_values", "results", "bargains", "directions", "machine_lock"),
    ("stats",),
    ("models", "data"),
    ("probes",),
    ("kpis",),
    ("store",),
    ("gates", "verdicts", "sla", "sla_schema", "handover", "sharing"),
    ("suites",),
    ("reports", "judged"),
    (
        "session",
        "measuring",
        "behaviour",
        "costing",
        "earlier",
        "recording",
        "references",
        "timed",
        "launches",
        "collection",
        "fixture_lookup",
        "parametrisation",
        "uncollected",
    ),
    (
        "access",
        "outcomes",
        "children",
        "left_out",
        "process_guard",
        "launched",
        "profiling",
        "progress",
        "summary",
        "teacher_guard",
    ),
    (
        "fixtures",
        "judging",
        "giving_up",
        "report_files",
        "session_end",
        "sla_file",
        "suite_file",
        "selfcheck_command",
        "contracting",
    ),
    ("plugin", "cli", "__main__"),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
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
}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.Module, *, at_run_time_only: bool = False) -> set[str]:
    """Return the modules that a file imports; those under TYPE_CHECKING only where they count."""
    hidden: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            hidden |= {inner for statement in node.body for inner in ast.walk(statement)}
        if at_run_time_only and isinstance(node, ast.FunctionDef):
            hidden |= set(ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    """No module imports from a layer above its own, and every module is in a layer."""
    assert room(path) in RANK, f"{room(path)} is in no layer"
    for module in imports(ast.parse(path.read_text())):
        target = module.removeprefix("pytest_modelbench.").partition(".")[0]
        if module.startswith("pytest_modelbench.") and target in RANK:
            assert RANK[target] <= RANK[room(path)], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_imports_the_package_root_or_pytest_internals(path: Path) -> None:
    """The lazy root is for users; `_pytest` is nobody's."""
    found = imports(ast.parse(path.read_text()))
    roots = {module for module in found if module == "pytest_modelbench"}
    assert not roots or room(path) == "plugin"
    assert not [module for module in found if module.startswith("_pytest")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_some_rooms_know_heavy_libraries(path: Path) -> None:
    """What is read at collection, and the pytest layer itself, imports none at its top."""
    light = {
        "errors",
        "units",
        "limits",
        "options",
        "settings",
        "results",
        "gates",
        "collection",
        "fixture_lookup",
        "parametrisation",
        "bargains",
        "directions",
        "option_values",
        "misnamed",
        "readable",
        "toml_lines",
        "fixtures",
        "plugin",
        "cases",
        "sla",
        "sla_file",
        "cli",
    }
    catalogue = {"kpi.py", "catalogue.py", "quality.py", "efficiency.py", "footprint.py", "reliability.py"}
    if room(path) in light or (room(path) == "kpis" and path.name in catalogue):
        found = {module.partition(".")[0] for module in imports(ast.parse(path.read_text()), at_run_time_only=True)}
        assert not found & HEAVY


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    """No file past 400 lines, none named after nothing."""
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "helpers", "common", "misc"}
