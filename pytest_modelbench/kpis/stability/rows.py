"""The reliability pillar: whether the student can be trusted to answer at all."""

from __future__ import annotations

import math

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import OUTPUTS, PREDICTIONS, STABILITY


def _stability(  # noqa: PLR0913 - the columns of a table
    name: str,
    unit: str,
    better: str,
    definition: str,
    method: str,
    source: str,
    derive: str,
    options: dict[str, object],
    *,
    bounds: tuple[float, float] = NONNEGATIVE,
    paired: bool = False,
    alone: bool = False,
    statistic: str = "",
    reads_prompts: bool = False,
) -> Kpi:
    return Kpi(
        name=name,
        pillar="reliability",
        unit=unit,
        better=better,
        definition=definition,
        method=method,
        source=source,
        probe=STABILITY,
        derive=derive,
        statistic=statistic,
        bounds=SHARE if unit == "pp" else bounds,
        options=options,
        paired=paired,
        alone=alone,
        reads_prompts=reads_prompts,
    )


def _metamorphic(name: str, definition: str, options: dict[str, object]) -> Kpi:
    return Kpi(
        name=name,
        pillar="reliability",
        unit="%",
        better="lower",
        definition=definition,
        method="a second forward pass over the transformed evaluation data; Wilson interval",
        source="Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (2020)",
        probe=PREDICTIONS,
        derive=f"{ROOM}.stability.relations:{name}",
        bounds=SHARE,
        options={**options, "confidence": None},
    )


KPIS = (
    Kpi(
        name="nonfinite_outputs",
        pillar="reliability",
        unit="",
        better="lower",
        definition="NaN and infinite values in the outputs over the evaluation data, where the input is finite and "
        "the teacher's output is finite; of a language model, prompts whose next token has such log-probabilities",
        method="one forward pass over the evaluation data; the teacher is asked only when there are any",
        source="IEEE 754",
        probe=OUTPUTS,
        derive=f"{ROOM}.stability.failures:nonfinite_outputs",
        reads_prompts=True,
        reads_tasks=True,
    ),
    _stability(
        "determinism", "", "lower", "samples whose output changes in any bit between two runs",
        "a second forward pass over the evaluation data", "IEEE 754", f"{ROOM}.stability.numerics:determinism", {},
        reads_prompts=True,
    ),
    _stability(
        "shape_mismatches", "", "lower", "batch sizes for which the outputs have not one row for each sample, or not "
        "the teacher's shape", "batches of 1, 2, 7 and samples= samples", "the batch",
        f"{ROOM}.stability.numerics:shapes", {"samples": 256}, alone=True,
    ),
    _stability(
        "batch_invariance", "pp", "lower", "share of samples whose label changes with the batch that they are in, or "
        "with its order; values beyond rounding for regression", "batches of 1, 2 and 7, and another order, against "
        "one batch of samples= samples", "kernels choose other algorithms for other shapes",
        f"{ROOM}.stability.numerics:variants", {"samples": 256, "confidence": None}, statistic="batch",
        reads_prompts=True,
    ),
    _stability(
        "dtype_invariance", "pp", "lower", "share of samples whose label changes when the model runs in dtype=",
        "a copy of the module in another number type, over samples= samples", "IEEE 754",
        f"{ROOM}.stability.numerics:variants", {"dtype": "bfloat16", "samples": 256, "confidence": None},
        statistic="dtype",
    ),
    _stability(
        "memory_format_invariance", "pp", "lower", "share of samples whose label changes when images have their "
        "channels last in memory", "a copy of the module in channels_last, over samples= samples",
        "torch.channels_last", f"{ROOM}.stability.numerics:variants", {"samples": 256, "confidence": None},
        statistic="memory_format",
    ),
    _stability(
        "headroom", "bits", "higher", "how many times the largest activation of a layer could double before it "
        "overflows dtype=", "log2(finfo(dtype).max / largest absolute activation), worst layer, samples= samples",
        "torch.finfo", f"{ROOM}.stability.numerics:headroom", {"dtype": "float16", "samples": 256},
        bounds=(-math.inf, 2048.0),
    ),
    _stability(
        "denormal_share", "%", "lower", "largest share of a layer's activations that are subnormal in dtype=",
        "counted over samples= samples", "torch.finfo", f"{ROOM}.stability.numerics:denormal_share",
        {"dtype": "float16", "samples": 256}, bounds=SHARE,
    ),
    _stability(
        "sqnr", "dB", "higher", "signal-to-noise ratio of the student's activations against the teacher's in the "
        "layer that changed most", "20 log10(norm(x_T) / norm(x_T - x_S)) of layers of one name and shape, over "
        "samples= samples", "torch.ao.ns.fx.utils.compute_sqnr", f"{ROOM}.stability.numerics:sqnr", {"samples": 256},
        bounds=(-300.0, 300.0), paired=True,
    ),
    _metamorphic(
        "invariance", "share of samples whose output transform= changes: the label, or with tolerance= a probability "
        "or value by more than that", {"transform": None, "tolerance": None},
    ),
    _metamorphic(
        "directional", "share of samples whose value (or probability of output=) transform= does not move the way of "
        "sign=", {"transform": None, "sign": 1, "output": None, "tolerance": None},
    ),
)  # fmt: skip
