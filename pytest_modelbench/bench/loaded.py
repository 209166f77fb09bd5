"""The models and data of one session, each adapted once, and what the report says of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.bench.shelf import Shelf
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.given import as_eval_data
from pytest_modelbench.errors import DataError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading, SavedModel
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.timing.watchdog import watchdog_for
from pytest_modelbench.settings import Settings

if TYPE_CHECKING:
    from pytest_modelbench.probes.timing.engine import TimingMeasurement

BESIDE = frozenset({"teacher", "previous"})
"""The models that stay loaded beside every student."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A timed measurement as it ended, with the student and the set-up that it is of."""

    measurement: TimingMeasurement
    student: str
    suite: str
    setup: str


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What measurements leave for the report.

    Attributes:
        models: what is known of each model, by its name.
        data: what is known of the evaluation data, by the suite.
        timings: what the report says of each timed measurement.
        timed: the timed measurements themselves, by their keys, where a file of benchmarks is to be written.
        forward_passes: how many calls each model was given in passes over the data.
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    timings: list[dict[str, Any]] = field(default_factory=list)
    timed: dict[tuple[Any, ...], Timed] = field(default_factory=dict)
    forward_passes: dict[str, int] = field(default_factory=dict)

    def count_passes(self, outputs: Outputs) -> None:
        """Add to the forward passes that the report states for each model."""
        self.forward_passes[outputs.model] = self.forward_passes.get(outputs.model, 0) + outputs.calls


class Loaded:
    """The models and data in use.

    Args:
        shelf: remembers the hashes.
        notes: get what the report says of the models.
    """

    def __init__(self, shelf: Shelf, notes: Notes) -> None:
        self._shelf = shelf
        self._notes = notes
        self._adapted: dict[tuple[Loading, int], tuple[Any, Model]] = {}
        self._modules: list[tuple[Loading, int]] = []
        self._data: dict[int, tuple[Any, EvalData]] = {}
        self._threads: int | None = None
        self._origins: dict[int, tuple[Any, NamedSpec]] = {}

    def model(self, candidate: Any, name: str, settings: Settings) -> Model:
        """Adapt a user's model, once while it is in use.

        Raises:
            ModelError: it is nothing that can be measured.
        """
        loading = loading_for(name, settings)
        key = (loading, id(candidate))
        if key not in self._adapted:
            model = adapt(candidate, loading)
            model.guard = functools.partial(watchdog_for, settings.budget_s, name)
            self._forget_modules(name)
            self._adapted[key] = (candidate, model)
            if model.kind in {"torch", "keras"} and name not in BESIDE:
                self._modules.append(key)
            notes = self._notes.models.get(name, {})
            described = {**model.describe(), "hash": self.hash_of(model)}
            self._notes.models[name] = {**notes, **described, **_others(notes, described["hash"])}
        self.limit_threads(settings)
        return self._adapted[key][1]

    def came_from(self, candidate: Any, spec: NamedSpec) -> None:
        """Note what names a model, so that another process can build it, too."""
        self._origins[id(candidate)] = (candidate, spec)

    def portable(self, candidate: Any) -> NamedSpec | SavedModel | str | Path | None:
        """Return what another process can make a model from; None if only this process has it."""
        if isinstance(candidate, str | Path | SavedModel):
            return candidate
        known = self._origins.get(id(candidate))
        return None if known is None else known[1]

    def limit_threads(self, settings: Settings) -> None:
        """Set torch's threads for an item; one that states none gets torch's own number."""
        torch = sys.modules.get("torch")
        if torch is None:
            return
        if self._threads is None:
            self._threads = int(torch.get_num_threads())
        wanted = settings.threads or self._threads
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)

    def hash_of(self, model: Model) -> str:
        """Hash a model once for each adapter; two models of one content share what was measured."""
        return self._shelf.once(("hash", model.serial), model.fingerprint)

    def _forget_modules(self, name: str) -> None:
        """Let go of torch students that are not judged any more; their content is known by its hash."""
        if name not in BESIDE:
            for key in self._modules:
                del self._adapted[key]
            self._modules.clear()

    def eval_data(self, data: Any) -> EvalData:
        """Adapt a user's data, once for each object.

        Raises:
            DataError: it is nothing that can be read.
        """
        if id(data) not in self._data:
            try:
                self._data[id(data)] = (data, as_eval_data(data))
            except DataError as error:
                raise DataError(f"eval_data: {error}") from error
        return self._data[id(data)][1]


def loading_for(name: str, settings: Settings, *, alone: bool = False) -> Loading:
    """Return how a model of some name is loaded under an item's settings."""
    return Loading(
        name=name,
        device=settings.device,
        allow_pickle=settings.allow_pickle,
        alone=alone,
        threads=settings.threads,
        endpoints=settings.endpoint_allow,
    )


def _others(notes: Mapping[str, Any], current: str) -> dict[str, list[str]]:
    """Return the hashes of other models of one name; what has no hash of its content may be the same, built again."""
    hashes = {*notes.get("others", []), notes.get("hash", current)} - {current}
    others = sorted(digest for digest in hashes if "object-" not in f"{digest}{current}")
    return {"others": others} if others else {}
