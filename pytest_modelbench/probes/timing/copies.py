"""Copies of models at other addresses, where they are worth as much as the models themselves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, duplicate, leaves
from pytest_modelbench.errors import MeasurementError, ModelError, cause_of
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.watchdog import Watchdog

FILLER_BYTES = 2**18
LONGEST_COPY_IN_BUDGETS = 0.5
AS_FAST = 1.5
TIMED_CALLS = 5
TIMED_NS = 5e7
CALLS_OF_A_CHECK = 3
MOST_OF_BUDGET = 0.1


class Copies:
    """Makes copies of all models for each placement, or of none where one cannot be copied.

    The first copy of each is compared with its original: one of another class, one that returns other outputs, takes
    another time, or is never finished is not a copy, and the models are then timed where they are.

    Args:
        models: by role.
        batches: by role.
        rng: of the order and of the fillers between them.
        budget_s: of the whole measurement.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        batches: Mapping[str, Sequence[Any]],
        rng: np.random.Generator,
        budget_s: float,
    ) -> None:
        self._models = models
        self._batches = batches
        self._rng = rng
        self._budget_s = budget_s
        self._patience_s = LONGEST_COPY_IN_BUDGETS * budget_s
        self._checked: set[str] = set()
        self.refused: str | None = None

    @property
    def copied(self) -> bool:
        """Whether placements really differ."""
        return self.refused is None

    def take(self, held: Mapping[str, Model], call_ns: Mapping[str, float]) -> Mapping[str, Model]:
        """Copy the models while the last copies and random fillers hold their places in memory.

        Args:
            held: the last copies.
            call_ns: how long a call of each original takes.
        """
        fillers, replicas = [], {}
        for role in sorted(self._models, key=lambda _: self._rng.random()):
            if not self.copied:
                return self._models
            fillers.append(np.empty(64 * int(self._rng.integers(0, FILLER_BYTES // 64)), dtype=np.uint8))
            model = self._models[role]
            copy, self.refused = self._copy(role, model, call_ns[role])
            if copy is not None:
                replicas[role] = copy
        del fillers, held
        return replicas if self.copied else self._models

    def _copy(self, role: str, model: Model, call_ns: float) -> tuple[Model | None, str | None]:
        """Return a copy, or why there is none."""
        try:
            with Watchdog(self._patience_s, f"copying {model.name}"):
                copy = model.replicate()
        except MeasurementError:
            return None, f"copying {model.name} takes longer than {humanise(self._patience_s, 's')}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's __deepcopy__ raises
            return None, f"copying {model.name} raises {cause_of(error)}"
        if copy is None:
            return None, f"{model.name} cannot be copied"
        if copy is model or role in self._checked:
            return copy, None
        self._checked.add(role)
        if CALLS_OF_A_CHECK * call_ns > MOST_OF_BUDGET * 1e9 * self._budget_s:
            return None, f"{model.name} is too slow for its copies to be checked"
        difference = _difference(model, copy, self._batches[role][0], call_ns / 1e9)
        return copy, None if difference is None else f"the copy of {model.name} {difference}"


def _difference(model: Model, copy: Model, batch: Any, usual_s: float) -> str | None:
    """Say how a copy is another model; None where it is not."""
    try:
        answer = _answer(copy, batch)
    except ModelError as error:
        return f"does not answer ({error})"
    if _differ(_answer(model, batch), answer) and not _differ(_answer(model, batch), _answer(model, batch)):
        return "returns other outputs than the model"
    theirs = _seconds(copy, batch)
    if max(usual_s, theirs) > AS_FAST * min(usual_s, theirs):
        ours, theirs = _seconds(model, batch), _seconds(copy, batch)  # the machine may have been busy
        if max(ours, theirs) > AS_FAST * min(ours, theirs):
            return f"takes {humanise(theirs, 's')} where the model takes {humanise(ours, 's')}"
    return None


def _answer(model: Model, batch: Any) -> list[Any]:
    output = model(duplicate(batch))
    arrays: list[Any] = []
    for leaf in leaves(output):
        try:
            arrays.append(as_array(leaf).copy())
        except (ModelError, TypeError, RuntimeError):
            arrays.append(None)  # no array: nothing to compare
    return arrays


def _differ(answer: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two answers are apart by more than rounding."""
    if len(answer) != len(other):
        return True
    pairs = [(a, b) for a, b in zip(answer, other, strict=True) if a is not None and b is not None]
    return any(a.shape != b.shape or not _close(a, b) for a, b in pairs)


def _close(array: Any, other: Any) -> bool:
    if array.dtype.kind not in "fc" or other.dtype.kind not in "fc":
        return bool(np.array_equal(array, other))
    scale = float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0))
    return bool(np.allclose(array, other, rtol=1e-3, atol=1e-4 * scale, equal_nan=True))


def _seconds(model: Model, batch: Any) -> float:
    """Return the median time of a few calls after one that warms up."""
    with model.running():
        call, clock = model.bind(duplicate(batch)), model.clock_ns
        call()
        return statistics.median(_times(call, clock)) / 1e9


def _times(call: Callable[[], Any], clock: Callable[[], int]) -> list[int]:
    times: list[int] = []
    while not times or (len(times) < TIMED_CALLS and sum(times) < TIMED_NS):
        start = clock()
        call()
        times.append(clock() - start)
    return times
