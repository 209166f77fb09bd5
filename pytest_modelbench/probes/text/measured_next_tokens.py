"""What a model expects after each prompt, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class NextTokens:
    """The likelihoods of the token after each prompt, in the order of the prompts.

    Attributes:
        model: its name.
        ids: of the samples.
        bad: how many log-probabilities after each prompt are NaN or plus infinity, (n,). Minus infinity is right for
            a token that the model rules out.
        layer: the first layer that turns finite inputs into others, for the first bad prompt; "" where none is known.
    """

    model: str
    ids: Sequence[Any]
    bad: npt.NDArray[np.intp]
    layer: str = ""

    def __len__(self) -> int:
        return len(self.bad)
