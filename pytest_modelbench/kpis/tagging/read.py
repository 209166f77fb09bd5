"""Tags of student, teacher and targets, in one vocabulary: numbers are mapped by the names of their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.tasks.tagging import TaggingData
from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError, shown
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.tagging.entities import LETTERS, is_marked, scheme_of
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers
from pytest_modelbench.stats.cells import FloatArray, IntArray

TARGET = "target"
Names = Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """All tokens that count.

    Attributes:
        answers: the data and the answers.
        vocabulary: every tag that is a class or occurs.
        codes: for `target` and each role the place in the vocabulary of each token's tag, (tokens,).
        notes: on how numbers were read.
    """

    answers: Answered[TaggingData]
    vocabulary: tuple[str, ...]
    codes: Mapping[str, IntArray]
    notes: tuple[str, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """The models: the student, and the teacher where it is compared."""
        return tuple(self.answers.answers)

    @property
    def owner(self) -> IntArray:
        """The sentence of each token, (tokens,)."""
        return self.answers.student.targets["tag"].owner

    def __len__(self) -> int:
        return len(self.answers.student)

    def by_sentence(self, values: npt.NDArray[Any]) -> FloatArray:
        """Return the sum of values of tokens for each sentence, (sentences,)."""
        return np.bincount(self.owner, values, len(self)).astype(np.float64)

    def worst(self, lost: FloatArray) -> tuple[str, ...]:
        """Return the ids of the sentences that lost something, the worst first."""
        order = np.argsort(-lost, kind="stable")
        return self.answers.worst(order[lost[order] > 0])

    def scheme(self, question: Question) -> str | None:
        """Return the scheme of the tags, None where it is not certain.

        Raises:
            DoesNotFit: the tags are plain, or have no names.
            MeasurementError: a tag is not of the scheme.
        """
        data = self.answers.data
        if data.scheme is None:
            raise DoesNotFit(
                f"{question.kpi.name} is for entities, and scheme=None says plain tags. Write token_accuracy"
            )
        if all(tag.isdecimal() for tag in self.vocabulary):
            raise DoesNotFit(
                f"{question.kpi.name} needs the names of tags, and there are numbers only. Write "
                "EvalData(..., classes=['O', 'B-PER', ...]) in the order of the numbers"
            )
        plain = [tag for tag in self.vocabulary if not is_marked(tag)]
        if plain:
            raise DoesNotFit(
                f"{question.kpi.name} is for entities, and the tag {plain[0]!r} is neither O nor begins with B-, I-, "
                "E-, S-, L- or U-. Write scheme=None and token_accuracy for plain tags"
            )
        if data.scheme == "auto":
            return scheme_of(self.vocabulary)
        other = [tag for tag in self.vocabulary if tag[0] not in LETTERS[data.scheme] + "O"]
        if other:
            raise MeasurementError(
                f"scheme: the tag {other[0]!r} is not of {data.scheme}, whose prefixes are "
                f"{', '.join(LETTERS[data.scheme])}"
            )
        return data.scheme


def tagged(question: Question, measurements: Measurements, *, both: bool = False) -> Tagged:
    """Return the tags that a KPI is about.

    Args:
        question: of the gate.
        measurements: of the session.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data are of another task.
        DataError: a label outside of the classes, or models read other data.
        MeasurementError: outputs of tokens that count are not finite, or of other classes.
    """
    answers = answered(question, measurements, TaggingData, both=both)
    models = answers.answers
    if "teacher" in models:
        _check_paired(answers.student, models["teacher"])
    for measured in models.values():
        _refuse_unreadable(question, measured)
    names, notes = _names(answers)
    _refuse_unnamed(answers, names)
    parts = {TARGET: answers.student.targets["tag"], **{role: models[role].answers["tag"] for role in models}}
    vocabulary: dict[str, int] = {name: place for place, name in enumerate(dict.fromkeys(names[TARGET].values()))}
    codes = {role: _codes(part, names[role], vocabulary, role, answers.student.ids) for role, part in parts.items()}
    if not len(codes[TARGET]):
        raise DataError(f"{question.kpi.name}: no token counts: all have the label {answers.data.ignore_index}")
    notes = (*notes, *_strangers(codes))
    return Tagged(answers=answers, vocabulary=tuple(vocabulary), codes=codes, notes=notes)


def _strangers(codes: Mapping[str, IntArray]) -> Iterator[str]:
    """Yield a note on models that give no tag of the targets at all."""
    for role, its in codes.items():
        if role != TARGET and len(its) and not np.isin(its, codes[TARGET]).any():
            yield f"the {role} gives no tag that the targets have. Do both write them alike?"


def _refuse_unnamed(answers: Answered[TaggingData], names: Mapping[str, Names]) -> None:
    """Refuse numbers beside names, which are never equal.

    Raises:
        DataError: saying what to write.
    """
    target = answers.student.targets["tag"].values
    for role, measured in answers.answers.items():
        tags = measured.answers["tag"].values
        unnamed = {
            kind for kind, its in ((TARGET, target), (role, tags)) if its.dtype.kind != "U" and not names[kind]
        }
        if len(unnamed) == 1 and len(target):
            numbers, texts = (
                ("targets are numbers", f"{measured.model} gives names")
                if TARGET in unnamed
                else (f"{measured.model} gives numbers", "targets are names")
            )
            raise DataError(
                f"{numbers}, and {texts}. Write EvalData(..., classes=['O', 'B-PER', ...]) in the order of the "
                "numbers"
            )


def _check_paired(student: TaskAnswers, teacher: TaskAnswers) -> None:
    ours, theirs = student.targets["tag"], teacher.targets["tag"]
    if not (np.array_equal(ours.offsets, theirs.offsets) and np.array_equal(ours.values, theirs.values)):
        raise DataError(
            f"the data gave {teacher.model} other sentences, or another order, than {student.model}: nothing can be "
            "paired. Make them read the same every time (no shuffling, a fixed seed)"
        )


def _refuse_unreadable(question: Question, measured: TaskAnswers) -> None:
    tags = measured.answers["tag"]
    if tags.values.dtype.kind == "U" or not (tags.values < 0).any():
        return
    bad = np.unique(tags.owner[tags.values < 0])
    raise MeasurementError(
        f"{question.kpi.name} is undefined: {measured.model} gives NaN or infinite outputs for tokens of {len(bad)} "
        f"of {len(measured)} sentences (ids {', '.join(shown_ids(measured.ids, bad))})"
    )


def _names(answers: Answered[TaggingData]) -> tuple[dict[str, Names], tuple[str, ...]]:
    """Return the names of numbers for targets and each role, and what was decided.

    Raises:
        DataError: the models number their classes differently, and the data do not say which numbers targets have.
        MeasurementError: a model has other classes than the data.
    """
    stated = dict(answers.data.names)
    own = {role: dict(enumerate(measured.classes)) for role, measured in answers.answers.items() if measured.classes}
    numbers = answers.student.targets["tag"].values.dtype.kind != "U"
    if not stated and numbers and len(own) == 2 and own["student"] != own["teacher"]:
        place = next(n for n in range(max(map(len, own.values()))) if own["student"].get(n) != own["teacher"].get(n))
        raise DataError(
            f"id2label of student and teacher differ: {place} is {shown(own['student'].get(place))} and "
            f"{shown(own['teacher'].get(place))}. Write EvalData(..., classes=[...]) in the order that targets have"
        )
    default = stated or own.get("student") or own.get("teacher") or {}
    names: dict[str, Names] = {TARGET: default}
    notes = []
    for role, measured in answers.answers.items():
        names[role] = own.get(role, default)
        _check_columns(measured, names[role], default)
        if role in own and own[role] != default:
            notes.append(f"classes of the {role} are mapped by the names of its id2label: their order is another one")
    return names, tuple(notes)


def _check_columns(measured: TaskAnswers, names: Names, default: Names) -> None:
    columns = int(measured.answers["columns"].values.max(initial=0))
    if names and columns and columns != len(names):
        raise MeasurementError(
            f"{measured.model} returned {columns} classes for each token, and {len(names)} are named: "
            f"{', '.join(list(names.values())[:5])} ... Write classes=[...] with a name for each"
        )
    if default and not set(names.values()) & set(default.values()):
        raise MeasurementError(
            f"id2label of {measured.model} names {', '.join(list(names.values())[:3])} ..., and the classes of the "
            f"data are {', '.join(list(default.values())[:3])} ...: none is the same"
        )


def _codes(tags: Ragged, names: Names, vocabulary: dict[str, int], role: str, ids: Any) -> IntArray:
    """Return the place in the vocabulary of each tag, which grows by those that occur.

    Raises:
        DataError: a target outside of the classes.
        MeasurementError: an answer outside of them.
    """
    if tags.values.dtype.kind == "U":
        kinds, inverse = np.unique(tags.values, return_inverse=True)
        called = [str(name) for name in kinds]
    else:
        kinds, inverse = _distinct(tags.values)
        unnamed = [number for number in kinds.tolist() if names and number not in names]
        if unnamed:
            sample = ids[int(tags.owner[np.argmax(tags.values == unnamed[0])])]
            what = "the target" if role == TARGET else f"the answer of the {role}"
            error = DataError if role == TARGET else MeasurementError
            raise error(
                f"{what} for the sample {shown(sample)} has the label {unnamed[0]}, and the classes are numbered "
                f"{min(names)} to {max(names)}. Name it in classes=[...]"
            )
        called = [names.get(number, str(number)) for number in kinds.tolist()]
    places = np.array([vocabulary.setdefault(name, len(vocabulary)) for name in called], dtype=np.intp)
    return places[inverse] if len(places) else np.empty(0, dtype=np.intp)


def _distinct(numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], IntArray]:
    """Return the distinct whole numbers from 0 and the place of each; small ones are counted, not sorted."""
    if numbers.max(initial=0) > 2**16:
        return np.unique(numbers, return_inverse=True)
    kinds = np.flatnonzero(np.bincount(numbers.astype(np.intp)))
    places = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.intp)
    places[kinds] = np.arange(len(kinds))
    return kinds, places[numbers]
