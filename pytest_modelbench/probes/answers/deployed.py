"""What a deployed model answers, beside the model that it was made from, on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_modelbench.data.arrays import duplicate, rows, take
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.hashing import contents
from pytest_modelbench.exports.pairing import chosen, named_like
from pytest_modelbench.exports.parity import Parity, compare, join
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.watchdog import beat


@dataclass(frozen=True, kw_only=True)
class ParityMeasurement:
    """The parity of a student with its source, of each pass over the same samples.

    Attributes:
        passes: the parity by the name of the pass, such as "batch size 1"; without the outputs themselves.
        outside: by the pass, the share of elements that numpy.allclose refuses; empty if no tolerance is stated.
        reference: what the source is, in words, such as "Sequential in float32".
        precision: in which number types the student computes; empty if its runtime does not tell.
        casts: the inputs that were cast for the student, such as "float64 -> float32", by name.
        padding: how smaller batches were padded to the size that the file takes; empty if none was.
        ids: of the samples, in their order.
    """

    passes: Mapping[str, Parity]
    outside: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""
    precision: Mapping[str, Any] = field(default_factory=dict)
    casts: Mapping[str, str] = field(default_factory=dict)
    padding: str = ""
    ids: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class ParityPlan:
    """What is compared.

    Attributes:
        samples: how many of the data's first samples.
        batch_sizes: in batches of how many; larger ones than there are samples are one batch.
        outputs: the names of the outputs; empty for all.
        tolerances: `atol` and `rtol` of numpy.allclose, if its rule is asked for.
    """

    samples: int
    batch_sizes: Sequence[int]
    outputs: Sequence[str] = ()
    tolerances: tuple[float, float] | None = None


def measure_parity(
    student: Model, source: Model, data: EvalData, plan: ParityPlan, timed: Mapping[int, Sequence[Any]]
) -> ParityMeasurement:
    """Run a student and its source on the same batches and compare their outputs.

    Args:
        student: the deployed model.
        source: the model that it was made from.
        data: whose first samples are used.
        plan: what is compared.
        timed: by the batch size, the batches that the timing calls the student with.

    Raises:
        ModelError: a model raised, wrote into its inputs, or has no output of a name in `plan.outputs`.
    """
    first = next(iter(data.batches(plan.samples)))
    count = rows(first.inputs)
    asked = _Asked(student, source, plan.outputs)
    passes: dict[str, Parity] = {}
    with student.running(), source.running():
        for size in dict.fromkeys(min(size, count) for size in plan.batch_sizes):
            batches = (take(first.inputs, start, start + size) for start in range(0, count, size))
            passes[f"batch size {size}"] = join([asked.compared(batch) for batch in batches])
        for size, drawn in timed.items():
            passes[f"calls as timed, batch size {size}"] = asked.again(drawn)
    description = student.describe()
    outside = (
        {} if plan.tolerances is None else {name: parity.outside(*plan.tolerances) for name, parity in passes.items()}
    )
    return ParityMeasurement(
        passes={name: replace(parity, compared=()) for name, parity in passes.items()},
        outside=outside,
        reference=_reference(source),
        precision=description.get("precision") or {},
        casts=dict(description.get("casts") or {}),
        padding=str((description.get("padding") or {}).get("note", "")),
        ids=list(first.ids),
    )


class _Asked:
    """A student and its source, and which of their outputs are compared."""

    def __init__(self, student: Model, source: Model, outputs: Sequence[str]) -> None:
        self.student, self.source = student, source
        self.outputs = outputs

    def compared(self, inputs: Any) -> Parity:
        """Compare the outputs for one batch."""
        return self._parity(self._answer(self.source, inputs), self._answer(self.student, inputs), inputs)

    def again(self, batches: Sequence[Any]) -> Parity:
        """Compare the second answers of calls that are bound once and take turns, as the timing makes them."""
        calls = [self._bound(self.student, batch) for batch in batches]
        for call, batch in zip(calls, batches, strict=True):
            self._called(self.student, call, batch)
        parts = []
        for call, batch in zip(calls, batches, strict=True):
            answer = self._own(self.student, self._called(self.student, call, batch))
            parts.append(self._parity(self._answer(self.source, batch), answer, batch))
        parity = join(parts)  # whose samples are those of the batches, not the first of the data
        outputs = tuple(replace(output, worst_sample=-1) for output in parity.outputs)
        return replace(parity, worst_sample=-1, outputs=outputs)

    def _parity(self, reference: Any, candidate: Any, inputs: Any) -> Parity:
        names = [named_like(self.outputs, *both) for both in ((reference, candidate), (candidate, reference))]
        return compare(
            chosen(reference, names[0], self.source.name),
            chosen(candidate, names[1], self.student.name),
            rows=rows(inputs),
        )

    def _answer(self, model: Model, inputs: Any) -> Any:
        """Return a model's outputs.

        Raises:
            ModelError: it raised, or wrote into its inputs.
        """
        copy = duplicate(inputs)
        before = contents(copy)
        output = self._called(model, self._bound(model, copy), inputs)
        if contents(copy) != before:
            raise model.wrote_into(inputs)
        return self._own(model, output)

    def _own(self, model: Model, output: Any) -> Any:
        """Return outputs in memory of their own: a model may use its buffers again."""
        return duplicate(chosen(output, (), model.name))

    def _bound(self, model: Model, inputs: Any) -> Callable[[], Any]:
        try:
            return model.bind(inputs)
        except BaseException as error:
            raise model.failure(inputs, error) from error

    def _called(self, model: Model, call: Callable[[], Any], inputs: Any) -> Any:
        try:
            output = call()
        except BaseException as error:
            raise model.failure(inputs, error) from error
        beat()
        return output


def _reference(source: Model) -> str:
    """Say what the source is and in which number type it computes, as far as it tells."""
    description = source.describe()
    kind = str(description.get("class") or description.get("format") or description.get("kind")).rpartition(".")[2]
    dtype = description.get("dtype")
    return f"{kind} in {dtype}" if isinstance(dtype, str) else kind
