"""A model under attack: asked for margins by attacks of any kind, and for gradients by some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import output_array, select_output
from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.answers.scores import Loss, ScoreReader, margin_weights, margins

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(kw_only=True)
class Attacked:
    """A model with what its outputs mean.

    Attributes:
        model: the model.
        reader: reads its outputs.
        select: the head that is judged.
        batch_size: in how many samples at most it is asked.
        beat: called after each call.
        calls: how many samples were asked for, forwards and backwards.
        places: where its scores have each class that callers give by its position in another model's; None where they
            mean its own.
    """

    model: Model
    reader: ScoreReader
    select: str | int | None
    batch_size: int
    beat: Callable[[], None]
    calls: int = 0
    places: IntArray | None = None

    def guiding(self, judge: Attacked, targets: Array) -> Self:
        """Return the same model, which takes true classes by their positions in another model's scores.

        Args:
            judge: whose positions callers give.
            targets: the labels that may be asked for.
        """
        places = np.zeros(len(judge.reader.columns), dtype=np.intp)
        places[judge.reader.positions(targets)] = self.reader.positions(targets)
        return replace(self, places=places)

    def margins(self, inputs: Array, truth: IntArray) -> FloatArray:
        """Return by how much each sample is lost; above 0 its label is not the true one.

        Raises:
            ModelError: the model raised.
        """
        truth = self._own(truth)
        parts = [margins(self._scores(inputs[part]), truth[part]) for part in self._parts(len(inputs))]
        return np.concatenate(parts) if parts else np.zeros(0)

    def labels(self, inputs: Array) -> Array:
        """Return the model's label for each input, (n,)."""
        scores = np.concatenate([self._scores(inputs[part]) for part in self._parts(len(inputs))])
        return np.asarray(self.reader.columns[np.nan_to_num(scores, nan=-np.inf, neginf=-np.inf).argmax(axis=1)])

    def _scores(self, inputs: Array) -> FloatArray:
        raw = output_array(select_output(self.model(inputs.copy()), self.select, self.model.name))
        return self._read(raw, len(inputs))

    def _read(self, raw: Array, count: int) -> FloatArray:
        self.beat()
        self.calls += count
        scores = self.reader.scores(raw)
        if scores.shape != (count, len(self.reader.columns)):
            raise ModelError(f"{self.model.name} returned outputs of shape {raw.shape} for {count} samples")
        return scores

    def margins_and_gradient(
        self, inputs: Array, truth: IntArray, loss: Loss = margin_weights, aims: IntArray | None = None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the margins and the gradient of a loss by the inputs; no margins and None where none comes back.

        Args:
            inputs: (n, ...).
            truth: the position of each true class.
            loss: returns its gradient by the scores.
            aims: the position, in its own scores, of the class that each sample is to become, if the loss has one.

        Raises:
            ModelError: the model raised.
        """
        known, gradients, own = [], [], self._own(truth)
        for part in self._parts(len(inputs)):
            at, of, aim = inputs[part], own[part], None if aims is None else aims[part]
            apart: list[FloatArray] = []

            pulled = functools.partial(self._weights, truth=of, aims=aim, loss=loss, apart=apart)
            try:
                gradient = self.model.pull_back(at, self.select, pulled)
            except NotApplicable:
                return np.zeros(0), None
            except ModelError:
                raise
            except BaseException as error:
                raise self.model.failure(at, error) from error
            known += apart
            if gradient is None:
                return np.zeros(0), None
            self.beat()
            gradients.append(gradient)
        return np.concatenate(known), np.concatenate(gradients)

    def _weights(
        self, raw: Array, *, truth: IntArray, aims: IntArray | None, loss: Loss, apart: list[FloatArray]
    ) -> FloatArray:
        scores = self._read(raw, len(truth))
        apart.append(margins(scores, truth))
        return self.reader.back(raw, loss(scores, truth, aims))

    def runners_up(self, inputs: Array, truth: IntArray, count: int) -> IntArray:
        """Return the positions of the other classes with the largest scores, (n, at most count), largest first."""
        scores = np.concatenate([self._scores(inputs[part]) for part in self._parts(len(inputs))])
        scores[np.arange(len(scores)), self._own(truth)] = -np.inf
        return np.argsort(-scores, axis=1, kind="stable")[:, : min(count, scores.shape[1] - 1)]

    def _own(self, truth: IntArray) -> IntArray:
        return truth if self.places is None else self.places[truth]

    def _parts(self, count: int) -> list[slice]:
        return [slice(start, start + self.batch_size) for start in range(0, count, self.batch_size)]
