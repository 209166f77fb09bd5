"""Templates run as they are written, and the command that writes them never overwrites."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
from suites import read_report

from pytest_modelbench.commands.cli import main, templates
from pytest_modelbench.gates.sla_schema import sla_schema


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(templates()))
def test_template_is_judged_as_it_is(pytester: pytest.Pytester, name: str) -> None:
    """Written into an empty folder, it passes, judges a KPI of more than one pillar, and says where to put one's own."""
    assert main(["init", name, "--folder", str(pytester.path / "fresh")]) == 0
    result = pytester.runpytest_inprocess("--modelbench", "--modelbench-json=report.json", "fresh")
    assert result.ret == 0, str(result.stdout)
    report = read_report(pytester)
    assert len({gate["pillar"] for gate in report["gates"]}) >= 3
    assert {gate["verdict"] for gate in report["gates"]} == {"pass"}
    conftest, toml = ((pytester.path / "fresh" / file).read_text() for file in ("conftest.py", "modelbench.toml"))
    assert conftest.count("REPLACE") == 4
    judged = {gate["kpi"] for gate in report["gates"]}
    assert name != "exported_student" or {"export", "parity"} <= judged  # that it can be exported, and as what
    jsonschema.validate(tomllib.loads(toml), sla_schema())


def test_existing_file_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files or none: one that exists keeps the other from being written."""
    (tmp_path / "modelbench.toml").write_text("mine")
    assert main(["init", "regression", "--folder", str(tmp_path)]) == 2
    assert "modelbench.toml exist already, and nothing is overwritten" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["modelbench.toml"]
    assert (tmp_path / "modelbench.toml").read_text() == "mine"


def test_mistakes_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown template lists those that exist; a folder that cannot be made says why."""
    assert main(["init", "imges", "--folder", str(tmp_path)]) == 2
    assert (
        "there is no template 'imges'. Known are causal_lm, exported_student, forecasting, huggingface_text, image_classifier"
        in capsys.readouterr().err
    )
    (tmp_path / "file").touch()
    assert main(["init", "--folder", str(tmp_path / "file" / "inner")]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    """`python -m pytest_modelbench init` writes into the folder it is started in, and says what to do next."""
    command = [sys.executable, "-m", "pytest_modelbench"]
    done = subprocess.run([*command, "init"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "wrote conftest.py, modelbench.toml\nnext:  pytest --modelbench\n"
    schema = subprocess.run([*command, "schema"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"title": "modelbench.toml"' in schema.stdout
