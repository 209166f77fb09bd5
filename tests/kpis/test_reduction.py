"""Derivations in two halves: data that are cut anywhere and merged in any order give the evidence of one pass."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modelbench import EvalData
from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.anchored import doubt_of, read_anchor
from pytest_modelbench.kpis.catalogue import BUILT_IN
from pytest_modelbench.kpis.kpi import Measurements, Question, derivation_of
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Highest, Summary
from pytest_modelbench.probes.answers.meaning import Predictions, interpret
from pytest_modelbench.probes.answers.predictions import Outputs, nonfinite_values

Array = npt.NDArray[Any]
ROWS = 700


@dataclass(frozen=True, kw_only=True)
class World:
    """Answers of two models to samples with ids, groups and slices."""

    outputs: Mapping[str, Array]
    targets: Array
    ids: Array
    features: Mapping[str, Array]
    words: Mapping[str, Any]

    def data(self, rows: Array) -> EvalData:
        features = {name: values[rows] for name, values in self.features.items()}
        slices = {name: features[name] for name in ("night", "size", "area")}
        sensitive = {name: features[name] for name in ("sex", "age", "area")}
        return EvalData(
            rows[:, None].astype(float), self.targets[rows], ids=self.ids[rows].tolist(), sensitive=sensitive,
            slices=slices, missing="group", bins={"age": [30, 45]}, **self.words,
        )  # fmt: skip


def some(whole: World, rows: Array) -> Measurements:
    return cast(Measurements, SomeSamples(whole, rows))


class SomeSamples:
    """What a session, or a worker that has some of the samples, hands to a KPI."""

    def __init__(self, world: World, rows: Array) -> None:
        self._world, self._rows, self._data, self._read = world, rows, world.data(rows), dict[str, Predictions]()

    def has(self, role: str) -> bool:
        return role in self._world.outputs

    def merged(self, _: Question) -> Summary | None:
        return None

    def data(self) -> EvalData:
        return self._data

    def outputs(self, role: str) -> Outputs:
        array = self._world.outputs[role][self._rows]
        fed = np.isin(self._rows, BAD_INPUTS)
        return Outputs(
            model=role, array=array, targets=self._world.targets[self._rows], ids=self._data.ids or (),
            nonfinite=nonfinite_values(array), input_finite=~fed, classes=None, calls=1,
        )  # fmt: skip

    def predictions(self, role: str) -> Predictions:
        if role not in self._read:
            self._read[role] = interpret(self.outputs(role), self._data)
        return self._read[role]

    def first_nonfinite_layer(self, _: str, index: Array) -> str:
        return f"layer{self._rows[index[0]] % 3}"


BAD_INPUTS = (5, 77)


def classification(kind: str, rng: np.random.Generator) -> World:
    names = {
        "numbers": np.arange(8),
        "texts": np.array(["owl", "ant", "bee", "cat", "dog", "elk"]),
        "flags": np.array([False, True]),
    }[kind.removesuffix(" alone")]
    true = rng.choice(len(names) - 1, ROWS) if len(names) > 2 else rng.choice(2, ROWS)
    if len(names) > 2:
        true[rng.integers(ROWS)] = len(names) - 1  # a class that one part has
    teacher = rng.normal(size=(ROWS, len(names))) + 2.0 * np.eye(len(names))[true]
    student = (teacher + rng.normal(size=teacher.shape)).astype(np.float32)
    outputs: dict[str, Array] = {"student": student, "teacher": teacher}
    words: dict[str, Any] = {"task": "binary" if len(names) == 2 else "multiclass"}
    if kind.endswith("alone"):
        outputs = {role: names[scores.argmax(axis=1)] for role, scores in outputs.items()}
        words["outputs"] = "labels"
    else:
        words["outputs"] = "logits"
        if kind == "texts":
            words["classes"] = names.tolist()
    return world(outputs, names[true], words, rng)


def values(outputs: int, rng: np.random.Generator) -> World:
    targets = 1e3 + rng.normal(size=(ROWS, outputs)[: 1 + (outputs > 1)])
    teacher = targets + 0.3 * rng.normal(size=targets.shape)
    student = teacher + 0.3 * rng.normal(size=targets.shape)
    return world({"student": student, "teacher": teacher}, targets, {"task": "regression"}, rng)


def labels(rng: np.random.Generator) -> World:
    targets = (rng.random((ROWS, 4)) < 0.4).astype(int)
    teacher = rng.normal(size=targets.shape) + 2 * targets - 1
    outputs = {"student": teacher + rng.normal(size=targets.shape), "teacher": teacher}
    return world(outputs, targets, {"task": "multilabel", "outputs": "logits"}, rng)


def broken(rng: np.random.Generator) -> World:
    whole = classification("numbers", rng)
    outputs = {role: scores.copy() for role, scores in whole.outputs.items()}
    outputs["student"][[5, 9, 50, 300], 1] = np.nan
    outputs["teacher"][[9, 400], 1] = np.inf
    return replace(whole, outputs=outputs)


def world(outputs: Mapping[str, Array], targets: Array, words: Mapping[str, Any], rng: np.random.Generator) -> World:
    ids = rng.permutation(10 * ROWS)[:ROWS]
    sex = np.array(["f", "m", None], dtype=object)[rng.choice(3, ROWS, p=[0.45, 0.45, 0.1])]
    area = rng.integers(0, 3, ROWS)
    area[:1] = 12  # a group of one sample
    features = {
        "sex": sex, "age": rng.integers(18, 60, ROWS).astype(float), "area": area, "night": rng.random(ROWS) < 0.3,
        "size": np.array(["small", "large"])[rng.integers(0, 2, ROWS)],
    }  # fmt: skip
    texts = rng.random() < 0.5
    named = np.array([f"sample-{number}" for number in ids]) if texts else ids
    return World(outputs=outputs, targets=targets, ids=named, features=features, words=words)


WORLDS: dict[str, Callable[[np.random.Generator], World]] = {
    **{
        kind: functools.partial(classification, kind)
        for kind in ("numbers", "texts", "flags", "numbers alone", "texts alone", "flags alone")
    },
    "values": functools.partial(values, 1),
    "several values": functools.partial(values, 3),
    "labels": labels,
    "broken": broken,
}
REDUCED = [kpi.name for kpi in BUILT_IN.values() if isinstance(derivation_of(kpi), Reduction)]


def questions(name: str) -> list[Question]:
    """Return what gates may ask of a KPI: with and without the teacher, and each way to choose groups."""
    kpi = BUILT_IN[name]
    stated: list[dict[str, Any]] = [{"confidence": 0.9}] if "confidence" in kpi.options else [{}]
    if "feature" in kpi.options:
        words = {"feature": "each"}, {"feature": ["sex", "age"]}, {"feature": "sex", "control": "area"}
        stated = [{**stated[0], **word} for word in words]
    if "average" in kpi.options:
        stated += [{"average": "weighted"}, {"average": "micro"}]
    both_ways = [(options, both) for options in stated for both in (True, False)]
    asked = both_ways[:: 2 if "feature" in kpi.options else 1]
    return [
        replace(read_gate((name,), options).question(with_teacher=both, seed=3), anchored=False)
        for options, both in asked
    ]


def read_in_parts(
    question: Question, reduction: Reduction, whole: World, cuts: list[Array], rng: np.random.Generator
) -> Summary:
    """Return the summary of parts that were stored, and merged in any order."""
    parts = [reduction.reduce(question, some(whole, rows)).plain() for rows in cuts]
    merged: Summary | None = None
    for number in rng.permutation(len(parts)).tolist():
        assert_plain(parts[number])
        part = Summary.from_plain(parts[number])
        if merged is None:
            merged = part
        else:
            merged.merge(part)
    assert merged is not None
    return merged


def assert_plain(value: Any) -> None:
    """A packer stores nothing else."""
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        for one in value.values():
            assert_plain(one)
    elif isinstance(value, list):
        for one in value:
            assert_plain(one)
    else:
        assert isinstance(value, np.ndarray) or type(value) in {str, int, float, bool, type(None)}, type(value)


def cut(rng: np.random.Generator, parts: int) -> list[Array]:
    """Return shuffled rows in parts of at least 60."""
    order = rng.permutation(ROWS)
    places = 60 * np.arange(1, parts) + np.sort(rng.integers(0, ROWS - 60 * parts, parts - 1))
    return np.split(order, places)


def told(evidence: Any) -> str:
    """Return evidence as text, without how long resampling took; floats are written exactly."""
    return re.sub(r"resamples in [^,;'\"]*", "resamples", "\n".join(map(repr, evidence)))


@pytest.mark.parametrize("name", REDUCED)
def test_parts_give_what_one_pass_gives(name: str) -> None:
    """For every derivation in two halves of the catalogue, in every world where it is defined."""
    reduction = derivation_of(BUILT_IN[name])
    assert isinstance(reduction, Reduction)
    defined = 0
    for number, (kind, make) in enumerate(WORLDS.items()):
        rng = np.random.default_rng([number, REDUCED.index(name)])
        whole, cuts = make(rng), cut(rng, 2 + number % 4)
        for question in questions(name):
            try:
                found = told(reduction(question, some(whole, np.arange(ROWS))))
            except MeasurementError as error:
                with pytest.raises(type(error)):
                    list(reduction.conclude(question, read_in_parts(question, reduction, whole, cuts, rng)))
                continue
            defined += 1
            merged = read_in_parts(question, reduction, whole, cuts, rng)
            assert merged.n == ROWS
            assert told(reduction.conclude(question, merged)) == found, f"{kind}: {question}"
    assert defined


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(WORLDS)))
def test_anchors_of_parts(seed: int, kind: str) -> None:
    """A teacher is doubted in parts as it is in one piece; only the cause may need neighbouring rows."""
    rng = np.random.default_rng(seed)
    whole = WORLDS[kind](rng)
    if rng.random() < 0.7:
        shuffled = whole.outputs["teacher"][rng.permutation(ROWS)]
        whole = replace(whole, outputs={**whole.outputs, "teacher": shuffled})
    question = Question(kpi=BUILT_IN["top1_accuracy"])
    reduction = Reduction(lambda _, measured: read_anchor(measured, "teacher"), lambda *_: iter(()))
    merged = read_in_parts(question, reduction, whole, cut(rng, 4), rng)
    doubt = some(whole, np.arange(ROWS)).predictions("teacher").doubt
    if kind != "several values":  # in one piece outputs of one sample count as if they were samples
        assert doubt_of(merged, "teacher") == doubt
    assert doubt_of(merged, "teacher") == doubt_of(read_anchor(some(whole, np.arange(ROWS)), "teacher"), "teacher")


def test_a_teacher_that_is_one_class_off() -> None:
    """The cause that counts show is named for data in parts, too."""
    rng = np.random.default_rng(1)
    whole = classification("numbers", rng)
    whole = replace(whole, outputs={**whole.outputs, "teacher": np.roll(whole.outputs["teacher"], 1, axis=1)})
    reduction = Reduction(lambda _, measured: read_anchor(measured, "teacher"), lambda *_: iter(()))
    merged = read_in_parts(Question(kpi=BUILT_IN["flips"]), reduction, whole, cut(rng, 3), rng)
    assert "the labels are off by one" in doubt_of(merged, "teacher")


def test_quantiles_of_parts_are_refused() -> None:
    """Bins at the quantiles of each part would be other groups under other names."""
    rng = np.random.default_rng(2)
    whole, cuts = classification("flags", rng), cut(rng, 3)
    gate = read_gate(("slice_drop",), {"bins": 3})
    whole = replace(whole, features={**whole.features, "size": rng.random(ROWS)})
    reduction = derivation_of(BUILT_IN["slice_drop"])
    assert isinstance(reduction, Reduction)
    with pytest.raises(DataError, match=r"bins of 'size' at quantiles.*write edges: bins=\[30, 50\]"):
        read_in_parts(gate.question(with_teacher=True, seed=0), reduction, whole, cuts, rng)


def test_numbers_that_are_few_in_each_part() -> None:
    """Of 40 numbers each part has 10: no part can see that there are too many to be groups."""
    rng = np.random.default_rng(3)
    whole = classification("flags", rng)
    order = np.argsort(rng.random(ROWS))
    number = np.empty(ROWS, dtype=int)
    number[order] = np.arange(ROWS) * 40 // ROWS
    whole = replace(whole, features={**whole.features, "area": number})
    gate = read_gate(("demographic_parity_drift",), {"feature": "area"})
    reduction = derivation_of(gate.kpi)
    assert isinstance(reduction, Reduction)
    question = replace(gate.question(with_teacher=True, seed=0), anchored=False)
    merged = read_in_parts(question, reduction, whole, np.split(order, 4), rng)
    with pytest.raises(MeasurementError, match="has 40 different numbers, each of which would be a group"):
        list(reduction.conclude(question, merged))


def test_facts_that_differ_are_refused() -> None:
    """Outputs that are read in two ways are not one model's."""
    one, other = Summary(n=1, facts={"meaning": "logits"}), Summary(n=1, facts={"meaning": "probabilities"})
    with pytest.raises(DataError, match="meaning: probabilities here and logits in the parts before"):
        one.merge(other)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-99, 99)), max_size=60), st.integers(1, 8))
def test_the_highest_of_parts(samples: list[tuple[int, int]], most: int) -> None:
    """They are those of a sorted list; ids are numbers in their order before texts."""
    samples = list({name: (value, name) for value, name in samples}.values())
    ids: list[Any] = [name if name < 50 else f"s{name}" for _, name in samples]
    numbers = np.array([value for value, _ in samples], dtype=float)
    whole, first, second = Highest(most), Highest(most), Highest(most)
    middle = len(samples) // 3
    for highest, rows in ((whole, slice(None)), (first, slice(middle)), (second, slice(middle, None))):
        highest.take_some(numbers[rows], ids, np.arange(len(samples))[rows])
    second.merge(Highest.from_plain(first.plain()))
    wanted = sorted(range(len(ids)), key=lambda at: (-numbers[at], isinstance(ids[at], str), ids[at]))[:most]
    assert second.ids == whole.ids == [str(ids[at]) for at in wanted]
    assert second.shown() == whole.shown()
    assert whole.count == len(samples)
