"""Every hypothesis of the catalogue has a function, and every name that a finding refers to is a cause."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import pytest_modelbench
from pytest_modelbench.diagnosis.catalogue import HYPOTHESES
from pytest_modelbench.diagnosis.run import ROOM
from pytest_modelbench.diagnosis.subject import Hypothesis

FOLDER = Path(pytest_modelbench.__file__).parent / "diagnosis" / "hypotheses"
PAGE = Path(pytest_modelbench.__file__).parents[1] / "docs" / "diagnosis.md"
CAUSES = [one.cause for one in HYPOTHESES]


@pytest.mark.parametrize("hypothesis", HYPOTHESES, ids=CAUSES)
def test_function_exists(hypothesis: Hypothesis) -> None:
    """A misspelt name would be skipped in every diagnosis."""
    file, _, function = hypothesis.test.partition(":")
    assert callable(getattr(importlib.import_module(f"{ROOM}.{file}"), function))


def test_causes_differ() -> None:
    """They name findings in reports."""
    assert len({*CAUSES}) == len(CAUSES)


def test_explained_causes_exist() -> None:
    """A name that no hypothesis has would explain nothing."""
    explained = {
        str(name.value)
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "explains"
        for name in ast.walk(node.value)
        if isinstance(name, ast.Constant)
    }
    assert {"memory_bound", "dispatch_bound"} <= explained
    assert explained <= {*CAUSES}


@pytest.mark.parametrize("cause", CAUSES)
def test_cause_has_a_heading(cause: str) -> None:
    """Reports link to it."""
    assert f"\n### {cause}\n" in PAGE.read_text(encoding="utf-8")
