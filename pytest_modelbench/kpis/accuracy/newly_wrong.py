"""What the student says of samples that the teacher gets right and the student does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import coded
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.meaning import Predictions

MOST_PAIRS, MOST_IDS = 20, 3
"""Pairs of labels in a report, and samples of each."""


def read_newly_wrong(summary: Summary, student: Predictions, lost: npt.NDArray[np.bool_]) -> None:
    """Note the pairs of right and predicted label among lost samples.

    Args:
        summary: in which samples are noted.
        student: with targets.
        lost: shape (samples,), True where the teacher is right and the student is wrong.
    """
    index = np.flatnonzero(lost)
    if student.targets is None or not len(index):
        return
    targets, right = coded(np.asarray(student.targets)[index])
    labels, said = coded(np.asarray(student.labels)[index])
    pairs, pair_of = np.unique(right.astype(np.int64) * len(labels) + said, return_inverse=True)
    keys = [("newly wrong", targets[pair // len(labels)], labels[pair % len(labels)]) for pair in pairs.tolist()]
    summary.show_each(keys, student.ids, index, pair_of, most=MOST_IDS)


def newly_wrong(summary: Summary) -> tuple[dict[str, Any], ...]:
    """Return the pairs of right and predicted label among lost samples, the most frequent first.

    Returns:
        At most `MOST_PAIRS` rows with `name`, `target`, `predicted`, `n` and the first `ids`.
    """
    pairs = {(key[1], key[2]): highest for key, highest in summary.samples.items() if key[0] == "newly wrong"}
    order = sorted(pairs, key=lambda pair: (-pairs[pair].count, *pair))[:MOST_PAIRS]
    return tuple(
        {
            "name": f"{target} as {label}",
            "target": str(target),
            "predicted": str(label),
            "n": pairs[target, label].count,
            "ids": pairs[target, label].ids,
        }
        for target, label in order
    )
