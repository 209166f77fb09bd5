"""Readings of the largest drop from teacher to student under a corruption."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.robustness.table import Table, breakdown, lost_samples, notes_of, read_table
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.by_sample import difference_by_sample, lost_p_by_sample
from pytest_modelbench.stats.multiplicity import holm

FloatArray = npt.NDArray[np.float64]
SHOWN = 3


def corruption_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest mean drop of all corruptions, or of all severities.

    Their intervals hold together (Bonferroni), so the largest drop lies between the largest lower and the largest
    upper end. Which have lost at all is determined by a paired test with Holm's correction.

    Raises:
        DoesNotFit: no corruption has enough samples that the teacher answers.
    """
    table, by, least = read_table(question, measurements), question.options["by"], int(question.options["min_n"])
    differences = table.right["teacher"] * 1.0 - table.right["student"]
    drops = {name: table.by_sample(differences, columns)[0] for name, columns in table.groups(by).items()}
    judged = {name: drop for name, drop in drops.items() if len(drop) >= least}
    left_out = [f"{name} ({len(drop)})" for name, drop in drops.items() if len(drop) < least]
    if not judged:
        raise DoesNotFit(
            f"{question.kpi.name}: no {by} has {least} samples or more: {', '.join(left_out[:10])}. "
            "Bring more data, or state a smaller min_n="
        )
    estimates = {
        name: difference_by_sample(drop, question.alpha / len(judged)).map(lambda share: 100 * share)
        for name, drop in judged.items()
    }
    worst = max(judged, key=lambda name: estimates[name].value)
    what = "corruptions" if by == "corruption" else "severities"
    yield Evidence(
        student=Reading(
            estimate=_largest(estimates),
            unit="pp",
            n=len(judged[worst]),
            confidence=question.confidence,
            method=f"worst of {len(judged)} {what}, means of each sample, intervals at a common error (Bonferroni); "
            f"{table.method}",
        ),
        sampled=question.asked,
        notes=(*_told(judged, estimates, left_out, by, question.alpha), *notes_of(table)),
        worst_samples=lost_samples(table),
        breakdown=_rows(table, estimates, by),
    )


def _largest(estimates: dict[str, Estimate]) -> Estimate:
    """Return the largest drop, between the largest lower and the largest upper end."""
    return Estimate(
        value=max(one.value for one in estimates.values()),
        low=max(one.low for one in estimates.values() if one.low is not None),
        high=max(one.high for one in estimates.values() if one.high is not None),
    )


def _told(
    judged: dict[str, FloatArray], estimates: dict[str, Estimate], left_out: list[str], by: str, alpha: float
) -> Iterator[str]:
    names = sorted(judged, key=lambda name: -estimates[name].value)
    yield f"drop by {by}: {', '.join(f'{name} {estimates[name].value:+.1f} pp' for name in names[:SHOWN])}"
    adjusted = dict(zip(names, holm([lost_p_by_sample(judged[name]) for name in names]), strict=True))
    proven = [name for name in names if adjusted[name] <= alpha]
    if proven:
        more = f" and {len(proven) - SHOWN} more" if len(proven) > SHOWN else ""
        yield f"lost beyond chance (paired, Holm): {', '.join(proven[:SHOWN])}{more}"
    if left_out:
        yield f"too few samples to judge: {', '.join(left_out[:SHOWN])}"


def _rows(table: Table, estimates: dict[str, Estimate], by: str) -> tuple[dict[str, object], ...]:
    """Return a row for each corruption and severity, after one for each whose drop is compared, with its interval."""
    compared = tuple(
        {"name": name, "by": by, "drop": one.value, "ci_low": one.low, "ci_high": one.high}
        for name, one in estimates.items()
    )
    return (*compared, *breakdown(table))
