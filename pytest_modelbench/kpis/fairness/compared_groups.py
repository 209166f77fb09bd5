"""The groups that a KPI of fairness compares: those of a feature, within each level of a control feature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import Grouping, crossed
from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.kpis.kpi import Measurements, Question

Array = npt.NDArray[Any]
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups that are compared: within each level of the control feature, those of the sensitive feature.

    `codes` numbers them for each sample, level by level, -1 for samples of groups that are too small. `levels` has
    the level of each group. `key` tells apart what may be kept for several KPIs. `told` says what
    became of samples without a value.
    """

    feature: str
    names: tuple[str, ...]
    levels: tuple[int, ...]
    codes: Array
    sizes: tuple[int, ...]
    left_out: tuple[str, ...]
    key: tuple[Any, ...] = ()
    told: tuple[str, ...] = ()


def groups_of(question: Question, measurements: Measurements) -> Groups:
    """Return the groups that a gate compares.

    Raises:
        DoesNotFit: the data name no sensitive feature, or no two groups of it are large enough.
        DataError: a feature that is not there, several and none chosen, or values that cannot be groups.
    """
    data, options = measurements.data(), question.options
    features = data.sensitive_names()
    if not features:
        raise no_feature(question)
    control = question.options["control"]
    feature = question.options["feature"]
    if feature is None:
        others = [name for name in features if name != control]
        if len(others) != 1:
            raise DataError(
                f"{question.kpi.name}: the data name several sensitive features: {', '.join(others)}. Write "
                f"feature={others[0]!r}, a list of them for their intersections, or 'each' for the worst of all"
            )
        feature = others[0]
    names = [feature] if isinstance(feature, str) else list(feature)
    for name in (*names, *([control] if control else [])):
        if name not in features:
            raise DataError(
                f"{question.kpi.name}: there is no sensitive feature {name!r}; there are {', '.join(features)}"
            )
    missing, bins = options["missing"], options["bins"]
    compared_groups = crossed(data.sensitive(names, missing, bins))
    levels = data.sensitive([control], missing, bins)[0] if control else None
    groups = _large_enough(compared_groups, levels, int(options["min_n"]), question.kpi.name)
    remarks = [
        grouping.told
        for grouping in data.sensitive([*names, *([control] if control else [])], missing, bins)
        if grouping.missing
    ]
    key = (*names, "within", control, missing, repr(bins), options["min_n"])
    return replace(groups, key=key, told=tuple(remarks))


def _large_enough(groups: Grouping, levels: Grouping | None, least: int, kpi: str) -> Groups:
    whole = groups if levels is None else crossed([levels, groups])
    sizes = whole.sizes()
    keep = [number for number, size in enumerate(sizes) if size >= least]
    left_out = tuple(f"{whole.names[i]} ({sizes[i]})" for i in range(len(sizes)) if i not in set(keep))
    level_of = [0] * len(whole.names)
    if levels is not None:
        level_of = [int(levels.codes[np.argmax(whole.codes == number)]) for number in range(len(whole.names))]
    occupied = [level_of[i] for i in keep]
    if not any(occupied.count(level) > 1 for level in set(occupied)):
        small = f"; too small: {', '.join(left_out[:SHOWN])}" if left_out else ""
        raise DoesNotFit(
            f"{kpi}: {groups.name!r} has {len(groups.names)} groups, of which {len(keep)} have {least} samples or "
            f"more{small}. Nothing can be compared: put values into fewer groups, bring more data, or state a "
            "smaller min_n="
        )
    renumbered = np.full(len(whole.names) + 1, -1, dtype=whole.codes.dtype)
    renumbered[keep] = np.arange(len(keep))
    return Groups(
        feature=groups.name,
        names=tuple(whole.names[i] for i in keep),
        levels=tuple(occupied),
        codes=renumbered[whole.codes],
        sizes=tuple(sizes[i] for i in keep),
        left_out=left_out,
    )


def no_feature(question: Question) -> DoesNotFit:
    """Return what to say where the data name no sensitive feature."""
    return DoesNotFit(
        f"{question.kpi.name} needs a sensitive feature, and the evaluation data name none. Write "
        "EvalData(..., sensitive={'sex': sex})"
    )
