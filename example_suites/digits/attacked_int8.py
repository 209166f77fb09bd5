"""An int8 student that looks robust, for it has no gradient: run by its name, beside the agreement of test_sla.py."""

from __future__ import annotations

import pytest

PARENT = "broken.py:float_parent"


@pytest.mark.kpi("pgd_accuracy", ">= 80%", eps="16/255", range=(0, 1), samples=30, steps=10)
@pytest.mark.kpi("robust_accuracy", ">= 80%", eps="16/255", range=(0, 1), samples=30, steps=10, surrogate=PARENT)
def test_int8() -> None:
    """Its own gradient finds nothing, which proves nothing; the gradient of its float parent finds what it loses."""
