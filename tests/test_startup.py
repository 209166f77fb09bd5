"""What the plugin costs where it is not used: nothing heavy, no process, no folder."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SPY = """
import json, os, subprocess, sys

def forbidden(*args, **kwargs):
    raise AssertionError(f"a process was started: {args}")

subprocess.Popen.__init__ = forbidden
made = []
real_mkdir = os.mkdir
def mkdir(path, *args, **kwargs):
    made.append(str(path))
    return real_mkdir(path, *args, **kwargs)
os.mkdir = mkdir

import pytest
before = set(sys.modules)
import pytest_modelbench.plugin
loaded_by_import = sorted(set(sys.modules) - before)
made.clear()
status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "pytest_modelbench.plugin", "."])
found = {"status": int(status), "import": loaded_by_import, "all": sorted(sys.modules), "made": made}
print("RESULT " + json.dumps(found))
"""
OURS = [
    f"pytest_modelbench.{name}"
    for name in ("bench.session", "gates.gate", "plugin.begin", "plugin.judging", "plugin.reporting", "settings")
]
"""Files of the package that only a session with gates reads."""
HEAVY = [
    "torch",
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "codecarbon",
    "fairlearn",
    "matplotlib",
    "onnxruntime",
    "rich",
    "psutil",
    "joblib",
    "safetensors",
    *OURS,
]


def run(folder: Path, test: str) -> dict[str, list[str]]:
    folder.joinpath("test_trivial.py").write_text(test)
    environment = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "",
        "HOME": str(folder),
    }
    finished = subprocess.run(
        [sys.executable, "-c", SPY], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    (line,) = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")] or [finished.stderr]
    result: dict[str, list[str]] = json.loads(line.removeprefix("RESULT "))
    assert result["status"] == 0  # type: ignore[comparison-overlap]
    return result


@pytest.mark.parametrize("name", OURS)
def test_forbidden_files_are_there(name: str) -> None:
    """A file that was renamed would be looked for in vain, and loaded without anybody's notice."""
    assert importlib.util.find_spec(name) is not None


def test_trivial_run_loads_nothing_heavy(tmp_path: Path) -> None:
    """In a fresh interpreter, importing the plugin and running a test loads only pytest and the standard library."""
    result = run(tmp_path, "def test_one(): ...\n")
    assert not set(HEAVY) & set(result["all"])
    foreign = {name.partition(".")[0] for name in result["import"]} - set(sys.stdlib_module_names)
    assert foreign <= {"pytest_modelbench"}
    assert result["made"] == []


def test_unjudged_gates_load_nothing_heavy(tmp_path: Path) -> None:
    """Gates that are skipped are read with the standard library only."""
    result = run(
        tmp_path,
        'import pytest\n@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")\ndef test_gate(): ...\n',
    )
    heavy = [name for name in HEAVY if name not in OURS]
    assert not set(heavy) & set(result["all"])


def test_no_fixture_is_autouse(pytester: pytest.Pytester) -> None:
    """A test that asks for nothing gets nothing of ours."""
    pytester.makepyfile(
        "def test_one(request): assert not {'teacher', 'student', 'kpi', 'eval_data'} & set(request.fixturenames)"
    )
    pytester.runpytest_inprocess("--modelbench").assert_outcomes(passed=1)
