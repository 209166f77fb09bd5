"""All hypotheses, in the order in which they are tested."""

from __future__ import annotations

from pytest_modelbench.diagnosis.subject import Hypothesis

HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        cause="masks_attached",
        title="pruning masks still attached",
        test="masks_attached:masks_attached",
    ),
    Hypothesis(
        cause="weights_rebuilt",
        title="weights computed from others in every call",
        test="weights_rebuilt:weights_rebuilt",
    ),
    Hypothesis(
        cause="dequantise_every_call",
        title="integer weights turned into floats in every call",
        test="weights_rebuilt:dequantise_every_call",
    ),
    Hypothesis(
        cause="hooks_left",
        title="hooks still attached",
        test="hooks_left:hooks_left",
    ),
)
