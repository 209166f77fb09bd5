"""The groups that a KPI of fairness compares: those of a feature, within each level of a control feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.groups import MOST_NUMBERS, Grouping, crossed, too_many_numbers
from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.kpis.groups_in_parts import note_form, told_by_feature
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.summary import Key, Summary

EACH = "each"
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups that are compared: within each level of the control feature, those of the sensitive feature.

    `levels` has the level of each group. `left_out` are groups that are too small. `told` says what became of samples
    without a value.
    """

    feature: str
    names: tuple[str, ...]
    levels: tuple[int, ...]
    sizes: tuple[int, ...]
    left_out: tuple[str, ...]
    told: tuple[str, ...]


def features_of(question: Question, data: EvalData) -> list[list[str]]:
    """Return the features that a gate compares the groups of, each a list of those whose intersections are groups.

    Raises:
        DoesNotFit: the data name no sensitive feature.
        DataError: a feature that is not there, or several and none chosen.
    """
    there, control, feature = data.sensitive_names(), question.options["control"], question.options["feature"]
    others = [name for name in there if name != control]
    if not there or (feature == EACH and not others):
        raise no_feature(question)
    if feature is None and len(others) != 1:
        raise DataError(
            f"{question.kpi.name}: the data name several sensitive features: {', '.join(others)}. Write "
            f"feature={others[0]!r}, a list of them for their intersections, or 'each' for the worst of all"
        )
    chosen = others[:1] if feature is None else [feature] if isinstance(feature, str) else list(feature)
    for name in (*(others if feature == EACH else chosen), *([control] if control else [])):
        if name not in there:
            raise DataError(
                f"{question.kpi.name}: there is no sensitive feature {name!r}; there are {', '.join(there)}"
            )
    return [[name] for name in others] if feature == EACH else [chosen]


def read_groups(question: Question, data: EvalData, names: Sequence[str], summary: Summary) -> Grouping:
    """Return the groups of a feature within the levels of the control feature, and note their sizes.

    Raises:
        DoesNotFit: values that cannot be groups.
        DataError: missing values, or another number of them than of samples.
    """
    control, feature = question.options["control"], " & ".join(names)
    there = data.sensitive([*([control] if control else []), *names], *treatment_asked(question))
    whole = crossed(there)
    if len(whole.codes) != summary.n:
        raise DataError(
            f"sensitive {feature!r} has {len(whole.codes)} values, and there are {summary.n} samples; expected one "
            "per sample"
        )
    for number, grouping in enumerate([*there[bool(control) :], *there[: bool(control)]]):
        note_form(summary, number, grouping, of=feature)
        if grouping.form == "numbers":
            summary.note_kinds("numbers", [grouping.name])
    keys = [(*order, name) for order, name in zip(whole.order, whole.names, strict=True)]
    summary.counts[f"sizes of {feature}"] = dict(zip(keys, whole.sizes(), strict=True))
    return whole


def treatment_asked(question: Question) -> tuple[object, object]:
    """Return what the gate says of missing values and of bins."""
    return question.options["missing"], question.options["bins"]


def groups_of(question: Question, summary: Summary, names: Sequence[str]) -> Groups:
    """Return the groups of a feature that are large enough to be compared.

    Raises:
        DoesNotFit: no two groups of a level are large enough, or a feature has as many numbers as groups.
    """
    feature, least = " & ".join(names), int(question.options["min_n"])
    sizes = summary.counts[f"sizes of {feature}"]
    order = sorted(sizes)
    first = 2 if question.options["control"] else 0
    _refuse_numbers(summary, names, order, first)
    keep = [key for key in order if sizes[key] >= least]
    left_out = tuple(f"{key[-1]} ({sizes[key]})" for key in order if sizes[key] < least)
    all_levels = sorted({key[:first] for key in order})
    levels = tuple(all_levels.index(key[:first]) for key in keep)
    if not any(levels.count(level) > 1 for level in set(levels)):
        small = f"; too small: {', '.join(left_out[:SHOWN])}" if left_out else ""
        raise DoesNotFit(
            f"{question.kpi.name}: {feature!r} has {len({key[first:-1] for key in order})} groups, of which "
            f"{len(keep)} have {least} samples or more{small}. Nothing can be compared: put values into fewer "
            "groups, bring more data, or state a smaller min_n="
        )
    return Groups(
        feature=feature,
        names=tuple(key[-1] for key in keep),
        levels=levels,
        sizes=tuple(sizes[key] for key in keep),
        left_out=left_out,
        told=tuple(told_by_feature(summary, of=feature)),
    )


def _refuse_numbers(summary: Summary, names: Sequence[str], order: Sequence[Key], first: int) -> None:
    """Refuse numbers that are few in each part of the data and many in all of them."""
    for at, name in enumerate(names):
        values = {key[first + 2 * at + 1] for key in order if key[first + 2 * at] == 0}
        if (name,) in summary.counts.get("numbers", {}) and len(values) > MOST_NUMBERS:
            raise too_many_numbers(f"sensitive {name!r}", len(values))


def no_feature(question: Question) -> DoesNotFit:
    """Return what to say where the data name no sensitive feature."""
    return DoesNotFit(
        f"{question.kpi.name} needs a sensitive feature, and the evaluation data name none. Write "
        "EvalData(..., sensitive={'sex': sex})"
    )
