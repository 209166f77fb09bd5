"""All hypotheses, in the order in which they are tested."""

from __future__ import annotations

from pytest_modelbench.diagnosis.subject import Hypothesis

HYPOTHESES: tuple[Hypothesis, ...] = ()
