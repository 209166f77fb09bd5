"""Sums of targets and their squares around the mean, so that large targets keep their figures."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.stats.cells import FloatArray
from pytest_modelbench.stats.exact_sums import ExactSums

_SPLITTER = 2.0**27 + 1


def exact_squares(numbers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the squares of numbers and what rounding took from them (Dekker, Numer. Math. 18:224 (1971)).

    >>> squares, rest = exact_squares(np.array([1e9 + 1]))
    >>> int(squares[0]) + int(rest[0]) == (10**9 + 1) ** 2
    True
    """
    squares, scaled = numbers**2, numbers * _SPLITTER
    high = scaled - (scaled - numbers)
    low = numbers - high
    return squares, low**2 - ((squares - high**2) - 2 * high * low)


def centred(summary: Summary) -> Summary:
    """Return a summary whose `y` and `yy` are sums around the mean of all targets, which are the same for all models.

    Args:
        summary: with `n`, `y` and `yy` for each model and output.

    Raises:
        MeasurementError: all targets are the same.
    """
    sums = summary.sums[""]
    role = next(iter(summary.facts["models"]))
    tables = {name: sums.table(f"{role} {name}") for name in ("n", "y", "yy")}
    around = {name: ExactSums(tables[name].rows) for name in ("y", "yy")}
    rows = np.arange(tables["n"].rows)
    for output in tables["n"].labels:
        n, y, yy = (exact_of(tables[name], output) for name in ("n", "y", "yy"))
        mean = sum(y) / sum(n)
        if sum(yy) == sum(n) * mean**2:
            raise MeasurementError(
                f"r2 is undefined: all targets are {float(mean):g}, so there is no variance to explain"
            )
        centre = Fraction(float(mean))
        moved = {
            "y": [part - count * centre for count, part in zip(n, y, strict=True)],
            "yy": [q - 2 * centre * p + c * centre**2 for c, p, q in zip(n, y, yy, strict=True)],
        }
        for name, values in moved.items():
            kinds = np.zeros(len(rows), dtype=np.intp)
            around[name].add(rows, kinds, [output], np.array([float(value) for value in values]))
    for_all = {f"{model} {name}": table for model in summary.facts["models"] for name, table in around.items()}
    return replace(summary, sums={**summary.sums, "": sums.replaced(for_all)})


def exact_of(table: ExactSums, label: object) -> list[Fraction]:
    """Return the sum of one kind in each row, without rounding."""
    sums, power = table.integers(label)
    scale = Fraction(2) ** power
    return [number * scale for number in sums]
