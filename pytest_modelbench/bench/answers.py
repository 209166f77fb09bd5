"""What one gate may ask of a model's answers: over the data, over changed inputs, again, and layer by layer.

Every measurement is taken once for a session, and shared by all gates that need it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.bench.costs import CostMeasurements, Found
from pytest_modelbench.bench.kinds import function_of, taking_of, value_key
from pytest_modelbench.data.arrays import take
from pytest_modelbench.errors import DataError, ModelbenchError
from pytest_modelbench.models.base import Model, identity
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
from pytest_modelbench.probes.kinds import Measurement, ProbeKind
from pytest_modelbench.probes.wire import pack_outputs, unpack_outputs

if TYPE_CHECKING:
    from pytest_modelbench.probes.answers.layers import LayerRange
    from pytest_modelbench.store.contract import Contract

IntArray = npt.NDArray[np.intp]


class BehaviourMeasurements(CostMeasurements):
    """The part of `kpis.kpi.Measurements` that is about a model's answers."""

    def of(self, kind: ProbeKind[Measurement], role: str) -> Measurement:
        """Return a model's measurement of a kind that has a `take` function, taken once.

        Raises:
            MeasurementError: the kind has no such function, or it cannot be imported.
        """
        model, session, plan, gate = self.model(role), self.session, self.plan, self.gate
        data = self.data() if kind.needs_data else None
        take = function_of(kind, "take")
        options = tuple((name, value_key(value)) for name, value in sorted(gate.options.items()))

        def measure() -> Measurement:
            with self._watched(model.name), self._shown(f"measuring {kind.name} of {model.name}"):
                measured: Measurement = take(taking_of(model, data, gate.options, plan.settings))
                return measured

        def taken() -> Measurement:
            with session.exclusive() if kind.exclusive else contextlib.nullcontext():
                if not kind.pack or not kind.unpack:
                    return measure()
                pack, unpack = function_of(kind, "pack"), function_of(kind, "unpack")
                told = repr(sorted(gate.told_options.items()))
                shared = ("kind", kind.name, model.name, told, plan.home, plan.origin, plan.settings)
                found: Measurement = session.handover.once(shared, measure, pack, unpack, alone=kind.exclusive)
                return found

        content = (model.name, session.hash_of(model), None if data is None else data.key)
        return session.once(("kind", kind.name, *content, options, plan.settings), taken)

    def outputs(self, role: str) -> Outputs:
        """Return the raw outputs of one forward pass, which the workers of a run share."""
        if (contract := self._contract_for(role)) is not None:
            student, data = self.outputs("student"), self.data()
            return self.session.once(("contract", data.key), lambda: contract.outputs_for(student, data))
        model, data = self.model(role), self.data()

        def measure() -> Outputs:
            with self._watched(f"{model.name}, or the data that it is given,"):
                outputs = collect_outputs(model, data)
            self.session.count_passes(outputs)
            return outputs

        def taken() -> Outputs:
            plan = self.plan
            key = ("outputs", model.name, plan.home, plan.origin, plan.settings)
            return self.session.handover.once(key, measure, pack_outputs, unpack_outputs)

        key = ("outputs", self.session.hash_of(model), data.key, self.plan.settings.device)
        outputs = self.session.once(key, taken)
        data.expect(outputs.batch_size, outputs.checksums)
        notes = self.session.data_notes.setdefault(self.plan.suite, {})
        if "hash" not in notes:
            told = self.session.once(("samples", data.key), lambda: samples_hash(outputs))
            notes |= {"samples": len(outputs), "hash": told}
        if data.notes:
            notes["notes"] = list(data.notes)
        return outputs

    def _contract_for(self, role: str) -> Contract | None:
        return self.session.contract if self.roles.get(role, role) == "teacher" else None

    def predictions(self, role: str) -> Predictions:
        """Return the outputs with their meaning."""
        data, outputs = self.data(), self.outputs(role)
        content = "contract" if self._contract_for(role) is not None else self.session.hash_of(self.model(role))
        key = ("predictions", content, data.key, self.plan.settings.device)
        return self.session.once(key, lambda: interpret(outputs, data))

    def transformed(self, role: str) -> Predictions:
        """Return the predictions for inputs that the gate's transform has changed."""
        model, transform = self.model(role), self.gate.options["transform"]
        plain = self.data()
        key = ("mapped", plain.key, identity(transform))
        data = self.session.once(key, lambda: plain.mapped(transform))  # the same object sees other inputs

        def measure() -> Predictions:
            outputs = collect_outputs(model, data)
            self.session.count_passes(outputs)
            return interpret(outputs, data)

        return self._of(model, ("transformed", identity(transform)), measure)

    def changed_samples(self, role: str) -> IntArray:
        """Return the positions of samples whose output a second run changes."""
        model, outputs = self.model(role), self.outputs(role)

        def measure() -> IntArray:
            self.session.count_passes(outputs)
            return changed_samples(model, self.data(), outputs)

        return self._of(model, ("again",), measure)

    def variants(self, role: str) -> Sequence[Variant]:
        """Return what changes with other batches, another number type or another order in memory."""
        model, data, options = self.model(role), self.data(), self.gate.options
        answers, samples = answers_of(self.predictions(role)), int(options["samples"])

        def measure() -> Sequence[Variant]:
            if self.gate.kpi.statistic == "dtype":
                return dtype_variants(model, data, samples, str(options["dtype"]), answers)
            if self.gate.kpi.statistic == "memory_format":
                return memory_format_variants(model, data, samples, answers)
            return batch_variants(model, data, samples, self.plan.settings.seed, answers)

        return self._of(model, ("variants", self.gate.kpi.name, samples, options.get("dtype")), measure)

    def shape_mismatches(self) -> Sequence[str]:
        """Return how the student's outputs do not fit batches, and the teacher's outputs where there is one."""
        student, samples = self.model("student"), int(self.gate.options["samples"])
        expected = self._shape_of_output() if self.has("teacher") else None

        def measure() -> Sequence[str]:
            return list(shape_mismatches(student, self.data(), expected, samples))

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

        model, options = self.model(role), self.gate.options
        samples, dtype = int(options["samples"]), str(options["dtype"])
        return self._of(model, ("layers", samples, dtype), lambda: layer_ranges(model, self._first(samples), dtype))

    def signal_to_noise(self) -> Mapping[str, float]:
        """Return the signal-to-noise ratio of each layer that both models have."""
        from pytest_modelbench.probes.answers.layers import signal_to_noise

        teacher, student, samples = self.model("teacher"), self.model("student"), int(self.gate.options["samples"])
        key = ("sqnr", self.session.hash_of(teacher), samples)
        return self._of(student, key, lambda: signal_to_noise(teacher, student, self._first(samples)))

    def first_nonfinite_layer(self, role: str, index: IntArray) -> str | None:
        """Name the layer where NaN or infinity begins for one of some samples; None where that cannot be seen."""
        from pytest_modelbench.probes.answers.layers import first_nonfinite

        start = 0
        for batch in self.data().batches():
            inside = index[(index >= start) & (index < start + len(batch.ids))] - start
            if len(inside):
                one = take(batch.inputs, int(inside[0]), int(inside[0]) + 1)
                with contextlib.suppress(ModelbenchError):  # no torch module: nobody can look into it
                    return first_nonfinite(self.model(role), one) or first_nonfinite(self.model(role), batch.inputs)
                return None
            start += len(batch.ids)
        return None

    def _first(self, samples: int) -> Any:
        return next(iter(self.data().batches(samples))).inputs

    def _of(self, model: Model, key: tuple[Any, ...], measure: Callable[[], Found]) -> Found:
        """Measure once for a model's content and these data, and stop a model that never answers."""

        def watched() -> Found:
            with self._watched(model.name):
                return measure()

        settings = self.plan.settings
        content = (model.name, self.session.hash_of(model))  # layout and device are in no hash
        return self.session.once((*key, *content, self.data().key, settings), watched)
