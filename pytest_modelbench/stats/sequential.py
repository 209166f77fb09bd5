"""When to look at a growing sample, and how much error each look may spend.

Looking after every observation and stopping when the interval looks good inflates the error; here the looks
follow a fixed geometric schedule, and look k (from 1) may err with `alpha / (k * (k + 1))`. These shares add
up to `alpha` over any number of looks (Bonferroni with a convergent series, as in Robbins' "Statistical
methods related to the law of the iterated logarithm", Ann. Math. Stat. 41, 1970), so that a budget may end
the sampling at any look.
"""

from __future__ import annotations

from collections.abc import Iterator

FIRST_LOOK = 3
GROWTH = 1.5


def look_schedule() -> Iterator[int]:
    """Yield the sample sizes at which to look, without end.

    >>> from itertools import islice
    >>> list(islice(look_schedule(), 8))
    [3, 5, 8, 12, 18, 27, 41, 62]
    """
    size = FIRST_LOOK
    while True:
        yield size
        size = max(size + 1, int(size * GROWTH + 0.5))


def spent_alpha(alpha: float, look: int) -> float:
    """Return the error that look number `look` (from 1) may make on one side.

    >>> round(sum(spent_alpha(0.05, k) for k in range(1, 100_000)), 4)
    0.05
    """
    return alpha / (look * (look + 1))
