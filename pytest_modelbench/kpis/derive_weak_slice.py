"""A search for the kind of sample that the student lost, checked on samples that the search has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.kpis.derive_shares import meaning_of, pair_of
from pytest_modelbench.kpis.derive_slices import rightness
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.models.outputs import as_array, is_tensor, leaves, number_parts
from pytest_modelbench.probes.predictions import shown_ids
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.paired import tango_interval

MOST_FEATURES = 1000


def weak_slice_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Find the leaf of a shallow tree in which the student lost most, and read its drop on the other samples.

    The tree (`sklearn.tree.DecisionTreeRegressor`) learns each sample's difference of 0/1 losses from its inputs on
    one half of the samples, in leaves of `min_n` or more; the worst leaf is chosen there, and its drop is that of its
    samples of the other half, however few, so that looking for the worst does not make it worse.

    Raises:
        DoesNotFit: the inputs are no numbers.
        MeasurementError: none of the other samples is in the worst leaf.
    """
    from sklearn.tree import DecisionTreeRegressor

    student, teacher = pair_of(question, measurements)
    student_right, teacher_right = rightness(student, teacher)
    features, names = _features(measurements.data())
    least, n = int(question.options["min_n"]), len(student)
    if n < 4 * least:
        raise DoesNotFit(f"weak_slice_drop needs {4 * least} samples for min_n={least}, found {n}")
    order = np.random.default_rng(question.seed).permutation(n)
    search, other = order[: n // 2], order[n // 2 :]
    worse = teacher_right.astype(float) - student_right
    tree = DecisionTreeRegressor(
        max_depth=int(question.options["depth"]), min_samples_leaf=least, random_state=question.seed
    )
    tree.fit(features[search], worse[search])
    found, held_out = tree.apply(features[search]), tree.apply(features[other])
    leaf = max(sorted(set(found.tolist())), key=lambda leaf: float(worse[search][found == leaf].mean()))
    inside, rule = other[held_out == leaf], " and ".join(_path(tree.tree_, leaf, names)) or "all samples"
    if not len(inside):
        raise MeasurementError(f"weak_slice_drop: {rule} holds none of the other samples; state a larger min_n=")
    lost = teacher_right[inside] & ~student_right[inside]
    gained = student_right[inside] & ~teacher_right[inside]
    drop = tango_interval(int(lost.sum()), int(gained.sum()), len(inside), question.alpha)
    method = (
        f"worst leaf of a tree of depth {question.options['depth']} on {len(search):,} samples, judged on "
        f"{len(inside):,} of the other {len(other):,}, Tango's interval; {meaning_of(student)}"
    )
    yield Evidence(
        student=Reading(
            estimate=drop.map(lambda d: 100 * d),
            unit="pp",
            n=len(inside),
            confidence=question.confidence,
            method=method,
        ),
        sampled=question.asked,
        notes=(f"weakest slice: {rule}",),
        worst_samples=shown_ids(student.ids, np.sort(inside[lost])),
        breakdown=({"name": rule, "n": len(inside), "value": 100 * drop.value},),
    )


def _features(data: EvalData) -> tuple[npt.NDArray[np.float32], list[str]]:
    try:
        inputs = data.inputs
    except DataError as error:
        raise DoesNotFit(f"weak_slice_drop searches the inputs: {error}") from error
    parts = [part.reshape(len(part), -1) for leaf in leaves(inputs) for part in _numbers(leaf)]
    columns = sum(part.shape[1] for part in parts)
    if not 0 < columns <= MOST_FEATURES:
        raise DoesNotFit(
            f"weak_slice_drop searches up to {MOST_FEATURES} numbers for each sample, and the inputs have {columns}. "
            "Name slices instead: EvalData(..., slices=...)"
        )
    frame = next((leaf for leaf in leaves(inputs) if hasattr(leaf, "columns")), None)
    names = [f"x[{i}]" for i in range(columns)]
    if frame is not None and len(leaves(inputs)) == 1:
        names = [str(column) for column in frame.columns if _numbers(frame[column])]
    return np.nan_to_num(np.concatenate(parts, axis=1).astype(np.float32)), names


def _numbers(leaf: Any) -> list[npt.NDArray[Any]]:
    """Return the numbers of a leaf, with truth values as 0 and 1."""
    if hasattr(leaf, "columns"):
        return [part for column in leaf.columns for part in _numbers(leaf[column])]
    values = as_array(leaf) if is_tensor(leaf) or hasattr(leaf, "dtype") else None
    if values is not None and values.dtype.kind == "b":
        return [values.astype(np.float32)]
    return number_parts(leaf)


def _path(tree: Any, leaf: int, names: Sequence[str]) -> list[str]:
    """Return the conditions on the way from the root to a leaf."""
    above = {int(tree.children_left[i]): (i, "<=") for i in range(tree.node_count) if tree.children_left[i] >= 0}
    above |= {int(tree.children_right[i]): (i, ">") for i in range(tree.node_count) if tree.children_right[i] >= 0}
    path = []
    while leaf in above:
        leaf, sign = above[leaf]
        path.append(f"{names[tree.feature[leaf]]} {sign} {tree.threshold[leaf]:.4g}")
    return path[::-1]
