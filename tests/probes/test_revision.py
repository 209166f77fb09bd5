"""Commit and branch of the code under test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_modelbench.probes.revision import revision

UNKNOWN = {"commit": None, "branch": None, "dirty": None}


@pytest.mark.parametrize(
    ("variables", "commit", "branch"),
    [
        ({"GITHUB_SHA": "a", "GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "topic"}, "a", "topic"),
        ({"GITHUB_SHA": "a", "GITHUB_REF_NAME": "main", "GITHUB_HEAD_REF": ""}, "a", "main"),
        ({"CI_COMMIT_SHA": "b", "CI_COMMIT_REF_NAME": "main"}, "b", "main"),
        ({"CIRCLE_SHA1": "c", "CIRCLE_BRANCH": "main"}, "c", "main"),
        ({"BUILD_SOURCEVERSION": "d", "BUILD_SOURCEBRANCHNAME": "main"}, "d", "main"),
        ({"BUILDKITE_COMMIT": "e", "BUILDKITE_BRANCH": "main"}, "e", "main"),
        ({"GIT_COMMIT": "f", "GIT_BRANCH": "origin/main"}, "f", "origin/main"),
        ({}, None, None),
    ],
)
def test_variables_of_ci_systems(
    tmp_path: Path, variables: dict[str, str], commit: str | None, branch: str | None
) -> None:
    """Where there is no repository."""
    assert revision(tmp_path, variables=variables) == {"commit": commit, "branch": branch, "dirty": None}


def test_git_that_hangs_or_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known, and nothing is raised."""

    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("git", 20)

    monkeypatch.setattr(subprocess, "run", hang)
    assert revision(tmp_path, variables={}) == UNKNOWN
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    assert revision(tmp_path, variables={}) == UNKNOWN


def test_repository_without_a_commit(tmp_path: Path) -> None:
    """It has a branch, and nothing on it."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert revision(tmp_path, variables={}) == UNKNOWN
