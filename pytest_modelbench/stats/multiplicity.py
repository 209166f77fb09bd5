"""Several comparisons at once: how sure one may be of the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtrc


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given.

    Source: Holm, Scandinavian Journal of Statistics 6:65-70 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def lost_p(lost: int, gained: int) -> float:
    """Return the exact one-sided p of more samples lost than gained (McNemar's test); 1 when there are none.

    >>> lost_p(0, 0), round(lost_p(5, 0), 5)
    (1.0, 0.03125)
    """
    if lost + gained == 0:
        return 1.0
    return float(bdtrc(lost - 1, lost + gained, 0.5)) if lost else 1.0
