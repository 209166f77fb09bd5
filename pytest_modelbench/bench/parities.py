"""The parity of a student with the model that it was made from, taken once for a gate's options."""

from __future__ import annotations

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.shelf import Job, Tell
from pytest_modelbench.probes.answers.deployed import ParityMeasurement, ParityPlan, measure_parity


def parity_measured(asking: Asking, role: str) -> ParityMeasurement:
    """Return the parity of a model with the source of the student.

    Where timed gates are selected for the same student, the batches that they draw are compared too.

    Raises:
        MeasurementError: the student's source is not defined.
        ModelError: a model raised, or has no output of a name in `outputs=`.
    """
    model, source, data, options = asking.model(role), asking.model("source"), asking.data(), asking.gate.options
    outputs, atol, rtol = options["outputs"] or (), options["atol"], options["rtol"]
    sizes = sorted({setup.batch_size for setup in asking.bench.timed(asking.plan) if setup.batch_size})
    drawn = {size: asking.draws().of(size) for size in sizes}  # which watches what it reads
    plan = ParityPlan(
        samples=int(options["samples"]),
        batch_sizes=tuple(options["batch_sizes"] or (1, data.batch_size)),
        outputs=(outputs,) if isinstance(outputs, str) else tuple(outputs),
        tolerances=None if atol is None and rtol is None else (float(atol or 0), float(rtol or 0)),
    )

    def measure(_: Tell) -> ParityMeasurement:
        return measure_parity(model, source, data, plan, {size: batches.copies() for size, batches in drawn.items()})

    return asking.bench.shelf.take(
        Job(
            kind="parity",
            same=(
                plan,
                tuple(sizes),
                model.name,
                asking.hash_of(model),
                asking.hash_of(source),
                data.key,
                asking.settings,
            ),
            measure=measure,
            watched=asking.watched(f"{model.name} or {source.name}"),
            shown=f"comparing {model.name} with its source",
        )
    )
