"""The registry, callables, estimators, fakes, outputs and SPECs."""

from __future__ import annotations

import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pytest_modelbench import FakeClock, FakeModel
from pytest_modelbench.data.arrays import as_array, join, select_output, shapes, take
from pytest_modelbench.errors import ModelError, NotApplicable, UsageMistake
from pytest_modelbench.models.locate import Located, build, locate
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

AS_STUDENT = Loading(name="student")


@pytest.mark.parametrize(
    ("candidate", "kind"),
    [
        (torch.nn.Linear(1, 1), "torch"),
        (LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), "sklearn"),
        (len, "callable"),
        (lambda batch: batch, "callable"),
        (FakeModel(), "fake"),
    ],
    ids=["module", "estimator", "builtin", "lambda", "fake"],
)
def test_each_object_gets_its_adapter(candidate: Any, kind: str) -> None:
    """The registry finds the adapter by the object's library."""
    model = adapt(candidate, AS_STUDENT)
    assert (model.kind, model.name) == (kind, "student")
    assert model.fingerprint().startswith(kind)
    assert model.describe()["kind"] == kind


def test_classifier_gives_probabilities_and_its_classes() -> None:
    """A pipeline is judged by predict_proba, with the labels of its columns."""
    inputs, targets = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[targets]
    model = adapt(make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, names), AS_STUDENT)
    assert model(inputs[:5]).shape == (5, 3)
    assert model.classes == ["setosa", "versicolor", "virginica"]
    assert model.artefact().size_bytes > 0
    replica = model.replicate()
    assert replica is not None
    assert replica.fingerprint() == model.fingerprint()


def test_estimators_of_one_content_are_one_model() -> None:
    """The fingerprint is the content, not the object."""
    inputs, targets = load_diabetes(return_X_y=True)
    one, same, other = (LinearRegression().fit(inputs[:n], targets[:n]) for n in (300, 300, 301))
    prints = [adapt(estimator, AS_STUDENT).fingerprint() for estimator in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_estimator_that_is_not_fitted() -> None:
    """Found before anything is measured."""
    with pytest.raises(ModelError, match="student is a LinearRegression that is not fitted yet"):
        adapt(LinearRegression(), AS_STUDENT)


def test_callables_are_never_taken_for_each_other() -> None:
    """Two closures may have the same code and compute different things."""
    one, two = (adapt(lambda batch, k=k: batch * k, AS_STUDENT) for k in (1, 2))
    assert one.fingerprint() != two.fingerprint()
    with pytest.raises(NotApplicable):
        one.count_parameters()


def test_copies_of_callables() -> None:
    """Functions cannot be copied, objects can, unless they refuse."""

    class Scorer:
        def __init__(self, resource: Any) -> None:
            self.resource = resource

        def __call__(self, batch: Any) -> Any:
            return batch

    class Other(Scorer):
        def __deepcopy__(self, memo: Any) -> Any:
            return 3

    class Ending(Scorer):
        def __deepcopy__(self, memo: Any) -> Any:
            raise SystemExit(0)

    assert adapt(len, AS_STUDENT).replicate() is None
    assert adapt(Other(1), AS_STUDENT).replicate() is None
    assert adapt(Ending(1), AS_STUDENT).replicate() is None
    assert adapt(Scorer([1, 2]), AS_STUDENT).replicate() is not None
    assert adapt(Scorer(threading.Lock()), AS_STUDENT).replicate() is None


def test_fake_follows_its_script() -> None:
    """Costs are charged to the clock in turn, copies share the count of calls."""
    clock = FakeClock()
    model = FakeModel(lambda batch: batch + 1, cost_ns=[10, 30], clock=clock, parameters=5, nonzero=4)
    replica = model.replicate()
    assert replica is not None
    assert [model(1), replica(2)] == [2, 3]
    assert (clock(), model.calls) == (40, 2)
    assert model.count_parameters().nonzero == 4
    with pytest.raises(NotApplicable):
        model.artefact()


@pytest.mark.parametrize(
    ("output", "select", "expected"),
    [
        ([1.0], None, [1.0]),
        ({"logits": [1.0], "loss": [0.0]}, None, [1.0]),
        ({"only": [1.0]}, None, [1.0]),
        ({"a": [0.0], "b": [1.0]}, "b", [1.0]),
        (([0.0], [1.0]), 1, [1.0]),
        (([1.0],), None, [1.0]),
        ({"label": [0], "probabilities": [1.0]}, 1, [1.0]),
        ({1: [1.0], 0: [2.0]}, 1, [1.0]),
        (types.SimpleNamespace(logits=[1.0]), None, [1.0]),
        (types.SimpleNamespace(scores=[1.0]), "scores", [1.0]),
    ],
)
def test_head_is_selected(output: Any, select: Any, expected: list[float]) -> None:
    """The obvious head is taken, any other by name or position."""
    assert select_output(output, select, "student") == expected


@pytest.mark.parametrize(
    ("output", "select", "words"),
    [
        ({"a": [0.0], "b": [1.0]}, None, r"a mapping with 'a', 'b', and none was selected.*select='a'"),
        (([0.0], [1.0]), None, r"a tuple of 2, and none was selected. Write EvalData\(..., select=0\)"),
        (([0.0], [1.0]), 5, "no head 5"),
        ([1.0], "logits", "no head 'logits'"),
        ({"a": [0.0], "b": [1.0]}, 2, "no head 2"),
        (np.ones(1), "b", r"no head 'b'. Remove select=, or write the position .* such as select=0"),
    ],
)
def test_head_that_is_not_clear(output: Any, select: Any, words: str) -> None:
    """The heads are named, with what to write."""
    with pytest.raises(ModelError, match=words):
        select_output(output, select, "student")


def test_half_precision_becomes_numpy() -> None:
    """Numpy has no bfloat16, and float16 loses what was computed in float32."""
    assert as_array(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32
    with pytest.raises(ModelError, match="expected an array"):
        as_array([[1.0], [1.0, 2.0]])
    with pytest.raises(ModelError, match="expected an array"):
        as_array(object())


@pytest.mark.parametrize(
    "batch",
    [
        torch.arange(6),
        np.arange(6),
        list(range(6)),
        pd.DataFrame({"a": range(6)}),
        {"a": np.arange(6), "b": torch.arange(6)},
        (np.arange(6), list(range(6))),
    ],
    ids=["tensor", "array", "list", "frame", "mapping", "tuple"],
)
def test_batches_are_cut_and_joined(batch: Any) -> None:
    """Cutting and joining gives back what was there, in every form."""
    again = join([take(batch, 0, 4), take(batch, 4, 6)])
    assert shapes(again) == shapes(batch)
    assert repr(again) == repr(batch)


def test_spec_names_a_factory_a_class_or_an_object(tmp_path: Path) -> None:
    """Functions and classes are called, objects are taken as they are; a file is imported once."""
    tmp_path.joinpath("shop.py").write_text("class Box:\n    model = 5\nbox = Box()\ndef load(): return box\n")

    def find(spec: str) -> Located:
        return locate(NamedSpec(spec=spec), tmp_path)

    box = build(find("shop.py:load"))
    assert build(find("shop.py:box")) is box
    assert find("shop.py:box.model").target == 5
    assert type(build(find("shop.py:Box"))) is find("shop.py:Box").target


def test_factory_that_needs_arguments(tmp_path: Path) -> None:
    """The fault is in the SPEC, not deep in a call."""
    tmp_path.joinpath("shop.py").write_text("def load(path): ...\n")
    with pytest.raises(ModelError, match="must take no arguments: missing a required argument: 'path'"):
        build(locate(NamedSpec(spec="shop.py:load"), tmp_path))
    with pytest.raises(UsageMistake, match="no module 'nowhere'"):
        locate(NamedSpec(spec="nowhere:load"), tmp_path)


def test_one_object_for_both_roles() -> None:
    """A user's `Model` keeps its own name; each role has a name of its own, and both run the same model."""
    mine = FakeModel(name="mine")
    teacher, student = (adapt(mine, Loading(name=role)) for role in ("teacher", "student"))
    assert (mine.name, teacher.name, student.name) == ("mine", "teacher", "student")
    teacher([1])
    student([1])
    assert mine.calls == 2
    assert teacher.fingerprint() == student.fingerprint()
