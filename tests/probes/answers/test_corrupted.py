"""Answers to corrupted inputs: rows that a model cannot answer end nothing, and outputs are read as the clean ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.data.corruptions.applying import corrupted
from pytest_modelbench.data.corruptions.fitting import fit
from pytest_modelbench.data.corruptions.names import Cell, Corruption
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.answers.corrupted import CorruptedAnswers, answers_to
from pytest_modelbench.probes.answers.meaning import interpret
from pytest_modelbench.probes.answers.predictions import collect_outputs
from pytest_modelbench.probes.wire import pack_corrupted, unpack_corrupted

N = 30
ROWS = np.arange(N, dtype=float)[:, None]
LABELS = np.arange(N) % 3


def raised_by_thirds(row: Any, severity: int, rng: Any) -> Any:
    """Move every third sample out of what models below know."""
    return row + (1000.0 if int(row[0]) % 3 == 0 else 0.0)


def model(outputs: Callable[[Any], Any]) -> Model:
    return adapt(FakeModel(outputs=outputs), Loading(name="student"))


def answers(
    outputs: Callable[[Any], Any], batch_size: int = 8, targets: Any = LABELS, **more: Any
) -> CorruptedAnswers:
    data = EvalData(ROWS, targets, batch_size=batch_size, **more)
    student = model(outputs)
    clean = interpret(collect_outputs(student, data), data)
    cell = Cell(corruption=Corruption(name="thirds", function=raised_by_thirds), severity=1)
    return answers_to(student, corrupted(data, cell, fit(data, (cell.corruption,))), clean)


def logits(batch: Any) -> Any:
    return 5.0 * np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]


def strict(known: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def outputs(batch: Any) -> Any:
        if (np.asarray(batch) >= 1000).any():
            raise ValueError("too large")
        return known(batch)

    return outputs


KNOWN = LABELS != 0


@pytest.mark.parametrize("batch_size", [1, 8, 30])
def test_only_rows_that_raise_have_no_answer(batch_size: int) -> None:
    """Whatever the size of the batches; the first error is kept, and each failed batch is asked row by row."""
    found = answers(strict(logits), batch_size)
    assert np.array_equal(found.answered, KNOWN)
    assert np.array_equal(found.labels[KNOWN], LABELS[KNOWN])
    assert found.failure == "student raised ValueError on inputs of shape (1, 1): too large" or batch_size > 1
    batches = -(-N // batch_size)
    assert found.calls == (N if batch_size == 1 else batches + N)


def test_nan_is_no_answer() -> None:
    """Without an error to tell."""

    def outputs(batch: Any) -> Any:
        return np.where(np.asarray(batch) >= 1000, np.nan, logits(batch))

    found = answers(outputs)
    assert np.array_equal(found.answered, KNOWN)
    assert found.failure == ""


@pytest.mark.parametrize(
    ("known", "more"),
    [
        (lambda batch: np.asarray(batch)[:, 0].astype(int) % 3, {}),
        (lambda batch: np.array(["a", "b", "c"])[np.asarray(batch)[:, 0].astype(int) % 3],
         {"targets": np.array(["a", "b", "c"])[LABELS]}),
        (lambda batch: np.exp(logits(batch)) / np.exp(logits(batch)).sum(axis=1, keepdims=True), {}),
        (lambda batch: np.exp(logits(batch)) / np.exp(logits(batch)).sum(axis=1, keepdims=True),
         {"targets": np.array(["a", "b", "c"])[LABELS], "classes": ["a", "b", "c"]}),
        (lambda batch: logits(batch) - 1, {"targets": np.eye(3, dtype=int)[LABELS], "task": "multilabel"}),
        (lambda batch: np.asarray(batch)[:, :1], {"targets": ROWS, "task": "regression"}),
    ],
    ids=["numbers", "texts", "probabilities", "named", "several", "values"],
)  # fmt: skip
def test_outputs_of_every_meaning(known: Callable[[Any], Any], more: dict[str, Any]) -> None:
    """Labels are those of the same rows as they are, where the corruption left them so."""
    found = answers(strict(known), **more)
    data = EvalData(ROWS, more.get("targets", LABELS), **{k: v for k, v in more.items() if k != "targets"})
    clean = interpret(collect_outputs(model(known), data), data)
    assert np.array_equal(found.answered, KNOWN)
    assert np.array_equal(np.ravel(found.labels[KNOWN]), np.ravel(clean.labels[KNOWN]))


def test_a_model_that_never_answers() -> None:
    """All rows are without an answer, and the shape is that of the clean outputs."""
    calls = []

    def outputs(batch: Any) -> Any:
        calls.append(len(batch))
        if len(calls) > 4:
            raise RuntimeError("gone")
        return logits(batch)

    found = answers(outputs)
    assert not found.answered.any()
    assert len(found.labels) == N


def test_travels_between_workers() -> None:
    """Everything but the passes, which were counted where they were made."""
    found = answers(strict(logits))
    packed = unpack_corrupted(pack_corrupted(found))
    assert np.array_equal(packed.labels, found.labels)
    assert np.array_equal(packed.answered, found.answered)
    assert (packed.checksums, packed.failure, packed.calls) == (found.checksums, found.failure, 0)
