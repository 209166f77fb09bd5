"""The class of things whose value dropped most against the teacher, which a mean over classes hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray
from pytest_modelbench.stats.multiplicity import holm
from pytest_modelbench.stats.simultaneous import together

SHOWN, FEWEST_UNITS = 3, 2


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Values of classes, in percent, and how often each occurs.

    Attributes:
        names: of the classes, (classes,).
        n: how many things of each there are, (classes,).
        units: in how many independent samples or groups each occurs, (classes,).
        values: of the models, (classes,) by role.
        drawn: those of resamples, the same for both models, (resamples, classes) by role.
        of: what is counted, such as `images`.
    """

    names: Sequence[str]
    n: IntArray
    units: IntArray
    values: Mapping[str, FloatArray]
    drawn: Mapping[str, FloatArray]
    of: str


@dataclass(frozen=True, kw_only=True)
class Drop:
    """How much the value of a class dropped, in points, with bounds that hold for all classes together."""

    position: int
    name: str
    n: int
    value: float
    low: float
    high: float
    p: float
    student: float
    teacher: float


def worst_drop(question: Question, classes: Classes, method: str) -> tuple[Evidence, int]:
    """Return the largest drop of a class as evidence, and the position of that class.

    The bounds of all classes hold together, so that the drop of the worst lies between the largest lower and the
    largest upper end. Which classes have lost at all is determined by Holm's correction.

    Args:
        question: of the gate, with the option `min_n`.
        classes: the values of all.
        method: how they are found, in words.

    Raises:
        DoesNotFit: no class occurs often enough.
    """
    judged = _judged(question, classes)
    drops = sorted(_drops(question, classes, judged), key=lambda drop: (-drop.value, drop.name))
    adjusted = holm([drop.p for drop in drops])
    count = f"{len(drops)} class{'es' * (len(drops) > 1)} of at least {question.options['min_n']} {classes.of}"
    reading = Reading(
        estimate=Estimate(
            value=drops[0].value, low=max(drop.low for drop in drops), high=max(drop.high for drop in drops)
        ),
        unit="pp",
        n=drops[0].n,
        confidence=question.confidence,
        method=f"worst of {count}, {method}; studentised bootstrap that holds for all of them",
    )
    return Evidence(
        student=reading,
        sampled=question.asked,
        notes=tuple(_notes(question, classes, judged, drops, adjusted)),
        breakdown=tuple(_row(drop, p) for drop, p in zip(drops, adjusted, strict=True)),
    ), drops[0].position


def _judged(question: Question, classes: Classes) -> IntArray:
    """Return the positions of classes with enough things, in more than one sample or group.

    Raises:
        DoesNotFit: there are none.
    """
    least = int(question.options["min_n"])
    judged = np.flatnonzero((classes.n >= least) & (classes.units >= FEWEST_UNITS))
    if not len(judged):
        listed = ", ".join(f"{name} ({n})" for name, n in zip(classes.names[:10], classes.n.tolist(), strict=False))
        raise DoesNotFit(
            f"{question.kpi.name}: no class has {least} {classes.of} or more in at least {FEWEST_UNITS} independent "
            f"samples: {listed or 'there are none'}. Bring more data, or state a smaller min_n="
        )
    return judged


def _drops(question: Question, classes: Classes, judged: IntArray) -> Iterator[Drop]:
    values = {role: its[judged] for role, its in classes.values.items()}
    drawn = classes.drawn["teacher"][:, judged] - classes.drawn["student"][:, judged]
    bounds = together(
        values["teacher"] - values["student"], drawn, classes.units[judged], 100.0, question.alpha, question.seed
    )
    for place, position in enumerate(judged.tolist()):
        student, teacher = (float(values[role][place]) for role in ("student", "teacher"))
        yield Drop(
            position=position,
            name=classes.names[position],
            n=int(classes.n[position]),
            value=teacher - student,
            low=float(bounds.low[place]),
            high=float(bounds.high[place]),
            p=float(bounds.p[place]),
            student=student,
            teacher=teacher,
        )


def _row(drop: Drop, adjusted: float) -> dict[str, object]:
    ends = {"value": drop.value, "ci_low": drop.low, "ci_high": drop.high}
    return {
        "name": drop.name,
        "n": drop.n,
        **ends,
        "teacher": drop.teacher,
        "student": drop.student,
        "holm_p": adjusted,
    }


def _notes(
    question: Question, classes: Classes, judged: IntArray, drops: Sequence[Drop], adjusted: Sequence[float]
) -> Iterator[str]:
    yield "drop by class: " + ", ".join(f"{drop.name} {drop.value:+.1f} pp of {drop.n}" for drop in drops[:SHOWN])
    proven = [drop.name for drop, p in zip(drops, adjusted, strict=True) if p <= question.alpha]
    if proven:
        yield f"lost beyond chance (bootstrap, Holm): {_first(proven)}"
    left = [f"{name} ({classes.n[i]})" for i, name in enumerate(classes.names) if i not in judged]
    if left:
        yield f"too small to judge: {_first(left)}"


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
