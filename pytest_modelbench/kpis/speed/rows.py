"""The efficiency pillar: how long the student takes."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import COMPILED, FLOPS, LAUNCH, PROFILE, TIMING

PERCENTILES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99, "99_9": 0.999}
_SWEPT = {"batch_size": None, "memory": None, "processes": 1, "compile": False, "confidence": None}
_DESIGN = "randomised ABBA blocks over re-copied placements"


def _latency(suffix: str, what: str, method: str, source: str, quantile: float | None = None) -> Kpi:
    return Kpi(
        name=f"latency_{suffix}",
        pillar="efficiency",
        unit="ms",
        better="lower",
        definition=f"{what} of the service time of one batch (batch_size=1 unless stated), device synchronised",
        method=f"{_DESIGN}; {method}",
        source=source,
        probe=TIMING,
        derive=f"{ROOM}.speed.timing:latency",
        quantile=quantile,
        from_rounds=True,
        bounds=NONNEGATIVE,
        options={"batch_size": 1, "processes": 1, "compile": False, "confidence": None},
    )


KPIS = (
    _latency(
        "mean",
        "mean",
        "Student's interval over placements, ratio of means linearised over placements",
        "Cochran, Sampling Techniques (1977), chapter 6",
    ),
    *(
        _latency(
            f"p{suffix}",
            f"{suffix.replace('_', '.')}th percentile",
            "Woodruff interval with effective sample size; "
            + ("paired log-ratio per round" if suffix == "50" else "joint bootstrap of placements"),
            "Woodruff, JASA 47:635 (1952); Korn & Graubard, Survey Methodology 24:193 (1998)",
            quantile,
        )
        for suffix, quantile in PERCENTILES.items()
    ),
    Kpi(
        name="latency_per_sample",
        pillar="efficiency",
        unit="ms",
        better="lower",
        definition="mean service time of a batch over its size, at the batch size with the most samples per second "
        "(of 1, 2, 4, ... 256 within memory=, or at batch_size=)",
        method=f"short sweep of batch sizes, then {_DESIGN}, each model at its best size",
        source="MLPerf Inference, offline scenario (arXiv 1911.02549)",
        probe=TIMING,
        derive=f"{ROOM}.speed.timing:latency_per_sample",
        bounds=NONNEGATIVE,
        options=_SWEPT,
    ),
    Kpi(
        name="throughput",
        pillar="efficiency",
        unit="samples/s",
        better="higher",
        definition="samples per second of service time at the best batch size (of 1, 2, 4, ... 256 within "
        "memory=, or at batch_size=)",
        method=f"short sweep of batch sizes, then {_DESIGN}, each model at its best; batch size over mean latency",
        source="MLPerf Inference, offline scenario (arXiv 1911.02549)",
        probe=TIMING,
        derive=f"{ROOM}.speed.timing:throughput",
        bounds=NONNEGATIVE,
        options=_SWEPT,
    ),
    Kpi(
        name="cold_start",
        pillar="efficiency",
        unit="s",
        better="lower",
        definition="from the call of what builds the model until its first output, in a fresh process; the import of "
        "its library is stated apart",
        method="the test again in 3 fresh processes for each model, in turn, and in up to processes=5 where they do "
        "not decide; mean, and Student's interval of the log-ratio of pairs",
        source="this project's design",
        probe=LAUNCH,
        derive=f"{ROOM}.footprint.launch:cold_start",
        depends_on_machine=True,
        bounds=NONNEGATIVE,
        options={"batch_size": 1, "processes": 5, "confidence": None},
    ),
    *(
        Kpi(
            name=name,
            pillar="efficiency",
            unit="",
            better="lower",
            definition=f"{what} of a forward pass for each sample of a batch (batch_size=1 unless stated), in matrix "
            "products, convolutions, attention and recurrent layers",
            method="torch's counter with formulas for what it leaves out; operators without one are listed, and then "
            "the count is a lower bound that passes no limit from above",
            source="torch.utils.flop_counter",
            probe=FLOPS,
            derive=f"{ROOM}.footprint.flops:flops",
            statistic=name,
            options={"batch_size": 1},
        )
        for name, what in (("flops", "floating-point operations"), ("macs", "multiply-accumulates"))
    ),
    *(
        Kpi(
            name=name,
            pillar="efficiency",
            unit=unit,
            better="lower",
            definition=definition,
            method="torch.profiler, or tf.profiler for a model of TensorFlow, 5 recordings of 4 calls in a separate "
            "pass; Student's interval for shares",
            source="torch.profiler, tf.profiler",
            probe=PROFILE,
            derive=f"{ROOM}.speed.profile:{name}",
            bounds=SHARE if unit == "%" else NONNEGATIVE,
            options={"batch_size": 1, "confidence": None},
        )
        for name, unit, definition in (
            ("operator_count", "", "operators that one call of the model dispatches itself"),
            ("top_operator_share", "%", "share of the operator with the most self time"),
            ("copy_share", "%", "share of time in copies, casts, quantising and dequantising"),
        )
    ),
    Kpi(
        name="compile_gain",
        pillar="efficiency",
        unit="x",
        better="higher",
        definition="median latency of the student as it is over that of what torch.compile makes of it; the time to "
        "compile is stated apart",
        method=f"{_DESIGN} where modules can be copied; both in the same rounds",
        source="torch.compile",
        probe=COMPILED,
        derive=f"{ROOM}.speed.timing:compile_gain",
        statistic="compiled",
        options={"batch_size": 1, "confidence": None},
        alone=True,
    ),
    Kpi(
        name="sparse_gain",
        pillar="efficiency",
        unit="x",
        better="higher",
        definition="median latency of the student as it is over that with its 2:4 sparse matrices in the GPU's "
        "kernels for them",
        method=f"{_DESIGN} where modules can be copied; both in the same rounds; not applicable without such a GPU, "
        "or if no matrix has the pattern, type and shape that the kernels take",
        source="torch.sparse.to_sparse_semi_structured",
        probe=COMPILED,
        derive=f"{ROOM}.speed.timing:sparse_gain",
        statistic="with 2:4 kernels",
        options={"batch_size": 1, "confidence": None},
        alone=True,
    ),
)
