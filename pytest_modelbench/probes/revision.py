"""The version of the code under test: commit and branch, from git and from the variables of CI systems."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GIT_S = 20.0
COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1", "BUILD_SOURCEVERSION", "BUILDKITE_COMMIT", "GIT_COMMIT")
"""Of GitHub, GitLab, CircleCI, Azure Pipelines, Buildkite, Jenkins."""
BRANCHES = (
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
    "CIRCLE_BRANCH",
    "BUILD_SOURCEBRANCHNAME",
    "BUILDKITE_BRANCH",
    "BRANCH_NAME",
    "GIT_BRANCH",
)


def revision(folder: Path, ignore: str = "", variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return `commit`, `branch` and `dirty` of the code in a folder; None for what is unknown.

    git says what is checked out. CI systems check out a commit without its branch, whose name is in their variables;
    the commit is taken from there too if git cannot say it. `dirty` is whether a file that git tracks was edited.

    Args:
        folder: of the project.
        ignore: name of a file whose edits do not count, such as the history itself.
        variables: the environment.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD") if commit else None
    edited = _git(folder, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "commit": commit or _first(COMMITS, variables),
        "branch": branch or _first(BRANCHES, variables),
        "dirty": None if edited is None else any(_name(line) != ignore for line in edited.splitlines()),
    }


def _first(names: tuple[str, ...], variables: Mapping[str, str]) -> str | None:
    return next((variables[name] for name in names if variables.get(name)), None)


def _name(line: str) -> str:
    """Return the name of the file in a line of `git status --porcelain`."""
    return line.strip('"').rpartition("/")[2] if "/" in line else line.strip('"').rpartition(" ")[2]


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where it is missing, hangs, or says that it does not know."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None
