"""All hypotheses, in the order in which they are tested."""

from __future__ import annotations

from pytest_modelbench.diagnosis.subject import Hypothesis

HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        cause="dispatch_bound",
        title="many small operators",
        test="dispatch_bound:dispatch_bound",
    ),
    Hypothesis(
        cause="memory_bound",
        title="more bytes than operations",
        test="memory_bound:memory_bound",
    ),
    Hypothesis(
        cause="threads",
        title="more threads than processors or work",
        test="threads:threads",
    ),
)
