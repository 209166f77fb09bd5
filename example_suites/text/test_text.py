"""The service level agreement that a student of the text teacher must keep."""

from __future__ import annotations

import pytest


@pytest.mark.kpi("exact_match", ">= 90%", "drop <= 5 pp")
def test_answers() -> None:
    """The student finds the right words for nearly every sentence."""


@pytest.mark.kpi("parameters", "reduction >= 80%", "reduction >= 50%")
@pytest.mark.kpi("size_on_disk", "<= 1 MB")
def test_size() -> None:
    """The student fits where the teacher does not."""
