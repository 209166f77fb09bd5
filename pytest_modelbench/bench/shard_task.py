"""What a worker does with one shard: student and teacher answer its samples, and what they add is returned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.bench.shard_cache import short
from pytest_modelbench.data.arrays import duplicate, output_array, select_output
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.shards.reader import ShardReader
from pytest_modelbench.data.shards.sharded import facts_and_hashes
from pytest_modelbench.errors import MeasurementError, ModelbenchError, shown
from pytest_modelbench.kpis.anchored import read_anchor
from pytest_modelbench.kpis.kpi import Question, derivation_of
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.locate import build, locate
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading, SavedModel
from pytest_modelbench.probes.answers.meaning import Predictions, interpret
from pytest_modelbench.probes.answers.predictions import Outputs, answer, collect_outputs
from pytest_modelbench.probes.machine import versions
from pytest_modelbench.probes.timing.watchdog import watchdog_for
from pytest_modelbench.probes.wire import pack_outputs, read_arrays, unpack_outputs, write_arrays

_BUILT: dict[str, Model] = {}
"""The models of the last task of this process, by how they are built."""
UNKNOWN_CONTENT = "object-"
SPOT_ROWS = 8
ANCHOR = "anchor"
"""The key of what tells whether limits can rest on the teacher."""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """What a model answers to some samples in the session's process, for a model whose content has no hash.

    Attributes:
        inputs: a small batch.
        select: which head is judged.
        answers: its outputs, one row for each sample.
    """

    inputs: Any
    select: str | int | None
    answers: npt.NDArray[Any]

    @classmethod
    def of(cls, model: Model, data: EvalData) -> Spot:
        """Ask a model for the first samples of some data."""
        inputs = next(iter(data.batches(SPOT_ROWS))).inputs
        return cls(inputs=inputs, select=data.select, answers=_answers(model, inputs, data.select))

    def fits(self, model: Model) -> bool:
        """Whether a model answers the same, as far as kernels of another process do."""
        answers = _answers(model, self.inputs, self.select)
        if answers.shape != self.answers.shape or answers.dtype.kind not in "iufb":
            return np.array_equal(answers, self.answers)
        return bool(np.allclose(answers, self.answers, rtol=1e-3, atol=1e-5, equal_nan=True))


def _answers(model: Model, inputs: Any, select: str | int | None) -> npt.NDArray[Any]:
    with model.running():
        return output_array(select_output(answer(model, duplicate(inputs), first=True), select, model.name)).copy()


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """How a worker gets a model.

    Attributes:
        given: its factory or its file; the model itself in the process of the session.
        loading: how it is loaded.
        content: the hash of the model in the session's process, which that of the worker's must have.
        spot: what it answers there, where its content has no hash.
        lasting: the hash of its content that holds in other sessions, too; None where it is unknown.
    """

    given: NamedSpec | SavedModel | str | Path | Model
    loading: Loading
    content: str
    spot: Spot | None = None
    lasting: str | None = None

    @property
    def key(self) -> str:
        """What makes two models the same in one process, which may have worked for another session before."""
        answers = None if self.spot is None else self.spot.answers.tolist()
        return repr((self.given, self.loading, self.content, self.lasting, answers))

    def model(self) -> Model:
        """Return the model, built once in this process.

        Raises:
            ModelbenchError: it cannot be built.
            MeasurementError: the factory makes another model in every process.
        """
        if isinstance(self.given, Model):
            return self.given
        if self.key not in _BUILT:
            named = isinstance(self.given, NamedSpec)
            candidate = build(locate(self.given, Path.cwd())) if named else self.given  # type: ignore[arg-type]
            model = adapt(candidate, self.loading)
            content = model.fingerprint()
            known = UNKNOWN_CONTENT not in f"{content}{self.content}"
            if (known and content != self.content) or (self.spot is not None and not self.spot.fits(model)):
                raise MeasurementError(
                    f"{shown(getattr(self.given, 'spec', str(self.given)))} made another model in a worker than in "
                    "the session: their weights or answers differ. Let the factory load its weights, or fix its seed"
                )
            _BUILT[self.key] = model
        return _BUILT[self.key]


def let_go(wanted: Collection[str]) -> None:
    """Let go of the models of this process that are built otherwise than those that are wanted."""
    for key in [key for key in _BUILT if key not in wanted]:
        del _BUILT[key]


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """The work on one shard, in any process.

    Attributes:
        reader: reads shards.
        models: by role.
        asked: what is asked of each shard, by key.
        anchored: whether limits rest on the teacher, which must then be better than a constant.
        gathered: whether the outputs themselves are returned.
        kept: the folder where outputs of other models than the student are kept; "" for none.
        budget_s: of a timed measurement, from which follows how long a call may take.
    """

    reader: ShardReader
    models: Mapping[str, ModelSource]
    asked: Mapping[str, Question]
    anchored: bool
    gathered: bool
    kept: str
    budget_s: float

    def __call__(self, shard: tuple[str, str]) -> dict[str, Any]:
        """Return numbers, texts and arrays.

        Args:
            shard: its name and its label.

        Raises:
            ModelbenchError: the shard cannot be read, or a model fails.
        """
        name, label = shard
        let_go({source.key for source in self.models.values()})
        data = self.reader.read(name)
        facts, hashes = facts_and_hashes(data, label)
        with watchdog_for(self.budget_s, f"a model, or shard {label},"):
            outputs = {role: self._outputs(role, data) for role in self.models}
            measured: Any = ShardMeasurements(
                data, outputs, {role: source.model for role, source in self.models.items()}
            )
            asked = {key: _reduced(question, measured) for key, question in self.asked.items()}
            if self.anchored:
                asked[ANCHOR] = _summary_or_error(lambda: read_anchor(measured, "teacher"))
        return {
            "facts": facts.to_json(),
            "hashes": hashes,
            "asked": asked,
            "outputs": {role: _columns(of) for role, of in outputs.items()} if self.gathered else None,
            "calls": {of.model: of.calls for of in outputs.values()},
        }

    def _outputs(self, role: str, data: EvalData) -> Outputs:
        """Return a model's outputs for a shard, kept ones where they are there."""
        source = self.models[role]
        path = self._place(source, data) if role != "student" else None
        if path is not None:
            with contextlib.suppress(OSError, ValueError, KeyError):  # another process may be about to remove it
                kept = unpack_outputs(read_arrays(path))
                return replace(kept, ids=_ids(data), model=source.loading.name)  # another run may call it otherwise
        outputs = collect_outputs(source.model(), data)
        if path is not None:
            with contextlib.suppress(OSError, TypeError):  # a full disk, or outputs of Python objects
                path.parent.mkdir(parents=True, exist_ok=True)
                write_arrays(path, pack_outputs(replace(outputs, ids=range(len(outputs)))))
        return outputs

    def _place(self, source: ModelSource, data: EvalData) -> Path | None:
        if UNKNOWN_CONTENT in source.content or source.loading.device:
            return None
        if not self.kept or not Path(self.kept).is_dir():  # another machine of a cluster has no such folder
            return None
        runs = replace(source.loading, name="")
        content = f"{data.fingerprint()}-{data.reading}-{data.batch_size}-{runs}-{versions()}"
        return Path(self.kept, short(source.content), f"{short(content)}.npz")


def _ids(data: EvalData) -> Any:
    return data.ids if isinstance(data.ids, list | range) else [*(data.ids or [])]


def _columns(outputs: Outputs) -> dict[str, Any]:
    """Return the outputs themselves, as arrays."""
    ids = np.asarray(outputs.ids)
    if ids.dtype.kind == "f":  # whole numbers below 2**63 and above
        ids = np.asarray([str(name) for name in outputs.ids])
    return {
        "array": outputs.array,
        "targets": outputs.targets,
        "nonfinite": np.asarray(outputs.nonfinite),
        "input_finite": np.asarray(outputs.input_finite),
        "ids": ids.astype(str) if ids.dtype == object else ids,
        "classes": None if outputs.classes is None else np.asarray(outputs.classes).tolist(),
    }


def _reduced(question: Question, measured: Any) -> dict[str, Any]:
    """Return what a shard adds to the evidence of a question, or why it cannot be asked of it."""
    derivation = derivation_of(question.kpi)
    if not isinstance(derivation, Reduction):
        raise TypeError(f"{question.kpi.name} is not derived in parts")
    return _summary_or_error(lambda: derivation.reduce(question, measured))


def _summary_or_error(read: Callable[[], Summary]) -> dict[str, Any]:
    try:
        return {"summary": read().plain()}
    except ModelbenchError as error:
        return {"error": [type(error).__name__, str(error)]}


class ShardMeasurements:
    """What `reduce` may ask of one shard; see `kpis.kpi.Measurements`."""

    def __init__(self, data: EvalData, outputs: Mapping[str, Outputs], models: Mapping[str, Any]) -> None:
        self._data, self._outputs, self._models = data, outputs, models
        self._read: dict[str, Predictions] = {}

    def has(self, role: str) -> bool:
        """Whether there is such a model."""
        return role in self._outputs

    def data(self) -> EvalData:
        """Return the samples of the shard."""
        return self._data

    def outputs(self, role: str) -> Outputs:
        """Return a model's outputs for the shard."""
        return self._outputs[role]

    def predictions(self, role: str) -> Predictions:
        """Return the same with their meaning."""
        if role not in self._read:
            self._read[role] = interpret(self._outputs[role], self._data)
        return self._read[role]

    def merged(self, _: Question) -> Summary | None:
        """Return nothing: this is one part."""
        return None

    def first_nonfinite_layer(self, role: str, index: npt.NDArray[np.intp]) -> str | None:
        """Name the layer that first turns finite inputs into non-finite outputs, for some samples."""
        from pytest_modelbench.probes.answers.layers import layer_of_nonfinite

        return layer_of_nonfinite(self._models[role], self._data, index)
