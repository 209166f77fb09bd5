"""What one gate may ask of a model's answers: over the data, over changed inputs, again, and layer by layer.

Every measurement is taken once for a session, and shared by all gates that need it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.cut_pass import cut_pass, is_cut
from pytest_modelbench.bench.kinds import taken_by_kind
from pytest_modelbench.bench.sharded import Sharded
from pytest_modelbench.bench.shelf import Found, Job, Key, Tell, Wire
from pytest_modelbench.data.corruptions.applying import corrupted
from pytest_modelbench.data.corruptions.fitting import Fit, fit
from pytest_modelbench.data.corruptions.names import Cell, Corruption, cells_of
from pytest_modelbench.data.corruptions.subset import subset
from pytest_modelbench.errors import DataError, NotApplicable
from pytest_modelbench.models.base import Model, identity
from pytest_modelbench.probes.answers.corrupted import CorruptedAnswers, CorruptedPasses, answers_to
from pytest_modelbench.probes.answers.distributions import distributions_of
from pytest_modelbench.probes.answers.meaning import Predictions, answers_of, interpret, same_answers
from pytest_modelbench.probes.answers.predictions import Outputs, collect_outputs, samples_hash
from pytest_modelbench.probes.answers.stability import (
    Variant,
    batch_variants,
    changed_samples,
    dtype_variants,
    memory_format_variants,
    shape_mismatches,
)
from pytest_modelbench.probes.kinds import CORRUPTED, GENERATIONS
from pytest_modelbench.probes.text.outputs import predictions_of
from pytest_modelbench.probes.timing.watchdog import beat
from pytest_modelbench.probes.wire import pack_corrupted, pack_outputs, unpack_corrupted, unpack_outputs

if TYPE_CHECKING:
    from pytest_modelbench.probes.answers.layers import LayerRange

IntArray = npt.NDArray[np.intp]
OUTPUTS_WIRE = Wire(pack_outputs, unpack_outputs)
CORRUPTED_WIRE = Wire(pack_corrupted, unpack_corrupted)


class Answers:
    """The part of `kpis.kpi.Measurements` that is about a model's answers."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._shelf = asking.bench.shelf
        self._notes = asking.bench.notes
        self._model, self._data, self._options = asking.model, asking.data, asking.gate.options

    def outputs(self, role: str) -> Outputs:
        """Return the raw outputs of one forward pass, which the workers of a run share."""
        asking, data = self._asking, self._asking.data()
        if data.task == "text":
            return self.predictions(role).outputs
        if (gathered := Sharded(asking).outputs(role)) is not None:
            return gathered
        if (contract := asking.contract_for(role)) is not None:
            if asking.gate.kpi.probe is CORRUPTED or "under" in asking.gate.options:
                raise NotApplicable(
                    "it compares the answers to corrupted inputs sample by sample, and the contract has those of the "
                    "teacher to the data as they are. Judge it where the teacher is"
                )
            student = self.outputs("student")
            return self._shelf.once(("contract", data.key), lambda: contract.outputs_for(student, data))
        outputs = self._shelf.take(self._outputs_job(role))
        data.expect(outputs.batch_size, outputs.checksums)
        notes = self._notes.data.setdefault(asking.plan.suite, {})
        if "hash" not in notes:
            digest = self._shelf.once(("samples", data.key), lambda: samples_hash(outputs))
            notes |= {"samples": len(outputs), "hash": digest}
        if data.notes:
            notes["notes"] = list(data.notes)
        return outputs

    def _outputs_job(self, role: str) -> Job[Outputs]:
        asking, plan, data = self._asking, self._asking.plan, self._asking.data()
        model, cut = asking.model(role), is_cut(asking)
        under = (str(asking.gate.options["under"]),) if "under" in asking.gate.options else ()

        def measure(tell: Tell) -> Outputs:
            outputs = cut_pass(asking, role, tell) if cut else collect_outputs(model, data)
            self._notes.count_passes(outputs)
            return outputs

        return Job(
            kind="outputs",
            same=(asking.hash_of(model), data.key, plan.settings.device),
            run=(model.name, plan.home, plan.origin, plan.settings, *under),
            measure=measure,
            wire=OUTPUTS_WIRE,
            watched=None if cut else asking.watched(f"{model.name}, or the data that it is given,"),
            shown=f"{model.name} over the data" if cut else "",
        )

    def predictions(self, role: str) -> Predictions:
        """Return the outputs with their meaning."""
        if self._asking.data().task == "text":
            return predictions_of(taken_by_kind(self._asking, GENERATIONS, role))
        asking, data, outputs = self._asking, self._asking.data(), self.outputs(role)
        recorded = asking.contract_for(role) is not None
        content = "contract" if recorded else asking.hash_of(asking.model(role))
        key = ("predictions", content, data.key, asking.settings.device)
        predictions = self._shelf.once(key, lambda: interpret(outputs, data))
        if role == "student" and not asking.roles and "under" not in asking.gate.options:
            self._note_distributions(predictions)
        return predictions

    def _note_distributions(self, predictions: Predictions) -> None:
        """Leave for the report how the student's answers are distributed: production is compared with that."""
        asking = self._asking
        notes = self._notes.models.setdefault(asking.model("student").name, {}).setdefault("answers", {})
        if asking.plan.suite not in notes:
            each = {what: distribution.to_json() for what, distribution in distributions_of(predictions).items()}
            notes[asking.plan.suite] = {"task": predictions.task, **each}

    def transformed(self, role: str) -> Predictions:
        """Return the predictions for inputs that the gate's transform has changed."""
        model, transform = self._model(role), self._options["transform"]
        plain = self._data()
        if plain.in_parts:
            raise NotApplicable(
                "it is a second pass over transformed inputs, which is not made over shards. Judge it on a sample: "
                "EvalData.from_shards of a few of them"
            )
        key = ("mapped", plain.key, identity(transform))
        data = self._shelf.once(key, lambda: plain.mapped(transform))  # the same object sees other inputs

        def measure() -> Predictions:
            outputs = collect_outputs(model, data)
            self._notes.count_passes(outputs)
            return interpret(outputs, data)

        return self._of(model, ("transformed", identity(transform)), measure)

    def corrupted(self, role: str) -> CorruptedPasses:
        """Return a model's answers to corrupted inputs, each corruption and severity taken once for all gates.

        Raises:
            DataError: a corruption breaks its form, or the inputs are outside of the range.
            DoesNotFit: no corruption fits the inputs, or their range is not known.
        """
        model, clean, plain, options = self._model(role), self.predictions(role), self._data(), self._options
        seed, samples = self._asking.settings.seed, int(options["samples"])
        limits = None if options["range"] is None else tuple(options["range"])
        part = ("part of the samples", plain.key, samples, seed)
        chosen = self._shelf.once(part, lambda: subset(len(clean), clean.targets, samples, seed))
        named = options["corruptions"]
        names = named if isinstance(named, str) else tuple(map(_corruption_key, named))
        found = self._shelf.once(("fit", *part, names, limits), lambda: fit(plain, named, chosen, limits))
        cells = cells_of(found.corruptions, options["severities"], range(seed, seed + int(options["seeds"])))
        return CorruptedPasses(
            cells=tuple(cells),
            answers=tuple(self._under(model, clean, cell, (*part, limits), found, chosen) for cell in cells),
            chosen=np.arange(len(clean)) if chosen is None else chosen,
            notes=found.notes,
        )

    def _under(
        self, model: Model, clean: Predictions, cell: Cell, part: Key, found: Fit, chosen: IntArray | None
    ) -> CorruptedAnswers:
        """Return a model's answers under one corruption."""
        key = (*part, _corruption_key(cell.corruption), cell.severity, cell.seed)
        data = self._shelf.once(("corrupted data", *key), lambda: corrupted(self._data(), cell, found, chosen, beat))

        def measure(_: Tell) -> CorruptedAnswers:
            answers = answers_to(model, data, clean)
            passes = self._notes.forward_passes
            passes[model.name] = passes.get(model.name, 0) + answers.calls
            return answers

        plan, asking = self._asking.plan, self._asking
        where = (model.name, plan.home, plan.origin, plan.settings)
        job = Job(
            kind="corrupted",
            same=(*key, model.name, asking.hash_of(model), asking.settings),
            run=(str(cell), cell.seed, *part[2:], *where),
            measure=measure,
            wire=CORRUPTED_WIRE if cell.corruption.function is None else None,  # one name may mean two functions
            watched=asking.watched(model.name),
            shown=f"judging {model.name} under {cell}",
        )
        return self._shelf.take(job)

    def changed_samples(self, role: str) -> IntArray:
        """Return the positions of samples whose output a second run changes."""
        model, outputs = self._model(role), self.outputs(role)

        def measure() -> IntArray:
            self._notes.count_passes(outputs)
            return changed_samples(model, self._data(), outputs)

        return self._of(model, ("again",), measure)

    def variants(self, role: str) -> Sequence[Variant]:
        """Return what changes with other batches, another number type or another order in memory."""
        model, data, options = self._model(role), self._data(), self._options
        answers, samples, kpi = answers_of(self.predictions(role)), int(options["samples"]), self._asking.gate.kpi

        def measure() -> Sequence[Variant]:
            if kpi.statistic == "dtype":
                return dtype_variants(model, data, samples, str(options["dtype"]), answers)
            if kpi.statistic == "memory_format":
                return memory_format_variants(model, data, samples, answers)
            return batch_variants(model, data, samples, self._asking.settings.seed, answers)

        return self._of(model, ("variants", kpi.name, samples, options.get("dtype")), measure)

    def shape_mismatches(self) -> Sequence[str]:
        """Return how the student's outputs do not fit batches, and the teacher's outputs where there is one."""
        student, samples = self._model("student"), int(self._options["samples"])
        expected = self._shape_of_output() if self._asking.has("teacher") else None

        def measure() -> Sequence[str]:
            return list(shape_mismatches(student, self._data(), expected, samples))

        return self._of(student, ("shapes", samples, expected), measure)

    def _shape_of_output(self) -> tuple[int, ...]:
        """Return the teacher's, or the student's where both say the same, such as one logit in place of two."""
        ours, theirs = (self.outputs(role).array.shape[1:] for role in ("student", "teacher"))
        if ours == theirs:
            return theirs
        with contextlib.suppress(DataError):  # outputs without a meaning say nothing
            if same_answers(self.predictions("student"), self.predictions("teacher")):
                return ours
        return theirs

    def layer_ranges(self, role: str) -> Sequence[LayerRange]:
        """Return the range of each layer's outputs."""
        from pytest_modelbench.probes.answers.layers import layer_ranges

        model, options = self._model(role), self._options
        samples, dtype = int(options["samples"]), str(options["dtype"])
        return self._of(model, ("layers", samples, dtype), lambda: layer_ranges(model, self._first(samples), dtype))

    def signal_to_noise(self) -> Mapping[str, float]:
        """Return the signal-to-noise ratio of each layer that both models have."""
        from pytest_modelbench.probes.answers.layers import signal_to_noise

        teacher, student, samples = self._model("teacher"), self._model("student"), int(self._options["samples"])
        key = ("sqnr", self._asking.hash_of(teacher), samples)
        return self._of(student, key, lambda: signal_to_noise(teacher, student, self._first(samples)))

    def first_nonfinite_layer(self, role: str, index: IntArray) -> str | None:
        """Name the layer where NaN or infinity begins for one of some samples; None where that cannot be seen."""
        from pytest_modelbench.probes.answers.layers import layer_of_nonfinite

        return layer_of_nonfinite(lambda: self._model(role), self._data(), index)

    def _first(self, samples: int) -> Any:
        return next(iter(self._data().batches(samples))).inputs

    def _of(self, model: Model, key: tuple[Any, ...], measure: Callable[[], Found]) -> Found:
        """Measure once for a model's content and these data, and stop a model that never answers.

        Args:
            model: the model that is asked.
            key: the kind of measurement, and the options that it depends on.
            measure: takes it.
        """
        kind, *options = key
        asking = self._asking
        content = (model.name, asking.hash_of(model))  # layout and device are in no hash
        job = Job(
            kind=kind,
            same=(*options, *content, asking.data().key, asking.settings),
            measure=lambda _: measure(),
            watched=asking.watched(model.name),
        )
        return self._shelf.take(job)


def _corruption_key(corruption: Corruption) -> str:
    """Return a text that is equal for equal corruptions; a custom one is its function alone."""
    return corruption.stream if corruption.function is None else identity(corruption.function)
