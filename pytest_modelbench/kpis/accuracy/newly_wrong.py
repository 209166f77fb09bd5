"""What the student says of samples that the teacher gets right and the student does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import coded
from pytest_modelbench.probes.answers.meaning import Predictions

MOST_PAIRS, MOST_IDS = 20, 3
"""Pairs of labels in a report, and samples of each."""


def newly_wrong(student: Predictions, lost: npt.NDArray[np.bool_]) -> tuple[dict[str, Any], ...]:
    """Count the pairs of right and predicted label among lost samples, the most frequent first.

    Args:
        student: with targets.
        lost: shape (samples,), True where the teacher is right and the student is wrong.

    Returns:
        At most `MOST_PAIRS` rows with `name`, `target`, `predicted`, `n` and the first `ids`.
    """
    index = np.flatnonzero(lost)
    if student.targets is None or not len(index):
        return ()
    targets, right = coded(np.asarray(student.targets)[index])
    labels, said = coded(np.asarray(student.labels)[index])
    pairs, pair_of, sizes = np.unique(
        right.astype(np.int64) * len(labels) + said, return_inverse=True, return_counts=True
    )
    rows = []
    for place in np.argsort(-sizes, kind="stable")[:MOST_PAIRS].tolist():
        target, label = divmod(int(pairs[place]), len(labels))
        first = index[np.flatnonzero(pair_of == place)[:MOST_IDS]]
        rows.append(
            {
                "name": f"{targets[target]} as {labels[label]}",
                "target": str(targets[target]),
                "predicted": str(labels[label]),
                "n": int(sizes[place]),
                "ids": [str(student.ids[sample]) for sample in first],
            }
        )
    return tuple(rows)
