"""One timed measurement as a gate asks for it: here, or in fresh processes; at one batch size, or at the best."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError, NotApplicable, cause_of
from pytest_modelbench.gates.gate import DEFAULT_CONFIDENCE, TimingSetup
from pytest_modelbench.models.base import Model, keep_interrupt
from pytest_modelbench.probes.cost.profile import refuse_while_profiling
from pytest_modelbench.probes.timing.engine import Progress, TimingMeasurement, TimingSettings, measure_timing
from pytest_modelbench.probes.timing.processes import TimingRequest, enough_for_child, measure_in_processes
from pytest_modelbench.probes.timing.sweep import Curve, sweep_batch_sizes
from pytest_modelbench.probes.wire import pack_timing, write_arrays
from pytest_modelbench.results import Estimate
from pytest_modelbench.settings import Settings
from pytest_modelbench.stats.clustered import compare_medians
from pytest_modelbench.stats.intervals import FloatArray, percentile_interval
from pytest_modelbench.stats.sequential import spent_alpha

BATCHES_IN_SWEEP = 2
MOST_ROUNDS = 300
"""Ratios of rounds in a report."""
MOST_LOOKS = 20
"""Looks in a report."""
SHARES = np.linspace(0, 1, 101)
"""The quantiles in a report."""

Decided = Callable[[TimingMeasurement], bool]


class TimedRun:
    """One timed measurement.

    Args:
        models: by role.
        draws: of the batches.
        setup: batch size, memory bound, processes.
        hashes: of the models' contents, by role.
        settings: budget, seed, allocator.
        decided: says at a look whether every limit is decided.
        progress: told the seconds elapsed and the budget.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        draws: Draws,
        setup: TimingSetup,
        settings: Settings,
        *,
        hashes: Mapping[str, str],
        decided: Decided,
        progress: Progress,
    ) -> None:
        self.models = models
        self.draws = draws
        self.setup = setup
        self.settings = settings
        self.hashes = hashes
        self.decided = decided
        self.progress = progress

    def here(self) -> TimingMeasurement:
        """Measure in this process."""
        return self._measure(None, self.settings.budget_s, self.settings.seed, self.decided)

    def in_child(self, request: TimingRequest) -> TimingMeasurement:
        """Measure what the parent process has asked for, and leave it in the file that it waits for."""
        request.refuse_others(self.hashes)

        def enough(measurement: TimingMeasurement) -> bool:
            return enough_for_child(measurement, request.calls)

        measurement = self._measure(request.batch_sizes, request.budget_s, request.seed, enough)
        write_arrays(Path(request.path), pack_timing(measurement))
        return measurement

    def in_processes(self, run: Callable[[TimingRequest], TimingMeasurement], calls: int) -> TimingMeasurement:
        """Let fresh processes measure.

        Args:
            calls: what percentiles need in all.
            run: runs one to its end; the file's path is filled in by it.
        """

        def take(budget_s: float, seed: int, sizes: Mapping[str, int] | None) -> TimingMeasurement:
            return run(
                TimingRequest(
                    setup=str(self.setup),
                    models=self.hashes,
                    calls=-(-calls // self.setup.processes),
                    budget_s=budget_s,
                    seed=seed,
                    batch_sizes=sizes,
                    path="",
                )
            )

        return measure_in_processes(
            take,
            processes=self.setup.processes,
            budget_s=self.settings.budget_s,
            seed=self.settings.seed,
            decided=self.decided,
            progress=self.progress,
        )

    def _compile(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """Compile all models, before the clock of any measurement starts, and return the seconds it took."""
        wanted = {self.setup.batch_size or 1, *sizes.values()}
        batches = [batch for size in sorted(wanted) for batch in self.draws.of(size).copies()]
        self.models, seconds = compile_models(self.models, batches)
        return seconds

    def _measure(
        self, sizes: Mapping[str, int] | None, budget_s: float, seed: int, decided: Decided
    ) -> TimingMeasurement:
        refuse_while_profiling("latencies cannot be measured here")
        compile_s = self._compile(sizes or {}) if self.setup.compile else {}
        start = time.monotonic()
        curves: Mapping[str, Curve] = {}
        if sizes is None and self.setup.batch_size is not None:
            sizes = dict.fromkeys(self.models, self.setup.batch_size)
        elif sizes is None:
            curves = sweep_batch_sizes(
                {role: model for role, model in self.models.items() if role != "workload"},
                lambda size: self.draws.few(size, BATCHES_IN_SWEEP),
                budget_s=budget_s,
                memory=self.setup.memory_bytes,
            )
            sizes = {role: curves[role].best if role in curves else 1 for role in self.models}
        left = max(budget_s - (time.monotonic() - start), 1.0) if curves else budget_s
        batches = {size: self.draws.of(size).copies() for size in set(sizes.values())}
        notes = {
            "sweep": {role: curve.to_json() for role, curve in curves.items()},
            "budget_s": budget_s,
            "compile_s": compile_s,
            "drawn": {role: self.draws.of(size).told() for role, size in sizes.items()},
        }
        settings = self.settings
        return measure_timing(
            self.models,
            {role: batches[sizes[role]] for role in self.models},
            TimingSettings(budget_s=left, seed=seed, allocator=settings.allocator, batch_sizes=sizes, told=notes),
            decided,
            self.progress,
        )


def compile_models(models: Mapping[str, Model], batches: Sequence[Any]) -> tuple[dict[str, Model], dict[str, float]]:
    """Return the models as torch.compile makes them, and the seconds until each had answered all batches once.

    Args:
        models: by role.
        batches: of every shape that is to be compiled for.

    Raises:
        NotApplicable: a model is not a torch module, or a batch has prompts.
        MeasurementError: torch cannot compile one.
    """
    compiled, seconds = {}, {}
    for role, model in models.items():
        if role == "workload":  # it is the same work in every session
            compiled[role] = model
            continue
        start = time.monotonic()
        with _quietly():
            compiled[role] = made = model.compiled()
        with _quietly(), made.running():
            for batch in batches:
                try:
                    made.bind(batch)()
                except NotApplicable:
                    raise
                except BaseException as error:
                    keep_interrupt(error)
                    raise MeasurementError(
                        f"torch.compile cannot compile the {role}: {cause_of(error):.250}"
                    ) from error
        seconds[role] = time.monotonic() - start
    return compiled, seconds


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what a compiler logs and warns of out of the test's report."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def real_batches(data: EvalData, batch_size: int) -> list[Any]:
    """Return the inputs of a few full batches: one of median size first, the largest among them.

    Raises:
        DataError: there are fewer samples than one batch needs.
    """
    return Draws(data).of(batch_size).some()


def resolution(measurement: TimingMeasurement) -> float:
    """Return the smallest effect on the median that a measurement resolves, as a fraction; infinite where none.

    With a teacher it is the half-width of the interval of the ratio at the last look, at 95% a side; without one that
    of the student's own median.
    """
    estimate = median_ratio(measurement)
    if estimate is None:
        student = measurement.until(len(measurement.looks) - 1, "student", tail=False)
        estimate, _ = percentile_interval([np.concatenate(rounds) for rounds in student], 0.5, _alpha(measurement))
    if estimate.low is None or estimate.high is None:
        return math.inf
    return (estimate.high - estimate.low) / 2 / estimate.value + measurement.floor


def _alpha(measurement: TimingMeasurement) -> float:
    return spent_alpha(1 - DEFAULT_CONFIDENCE, len(measurement.looks))


def median_ratio(measurement: TimingMeasurement, look: int | None = None) -> Estimate | None:
    """Return the student's median time over the teacher's, at 95% a side; None without a teacher.

    Args:
        measurement: of both.
        look: counted from 0; by default the last one.
    """
    if "teacher" not in measurement.series:
        return None
    look = len(measurement.looks) - 1 if look is None else look
    student, teacher = (measurement.until(look, role, tail=False) for role in ("student", "teacher"))
    return compare_medians(student, teacher, spent_alpha(1 - DEFAULT_CONFIDENCE, look + 1)).ratio


def _look_ratios(measurement: TimingMeasurement) -> list[dict[str, Any]]:
    """Return the ratio of medians with its interval as each look knew it, and after how many rounds that was."""
    shown = sorted({round(at) for at in np.linspace(0, len(measurement.looks) - 1, MOST_LOOKS)})
    ratios = []
    for look in shown:
        ratio = median_ratio(measurement, look)
        rounds = sum(len(rounds) for rounds in measurement.until(look, "student", tail=False))
        if ratio is not None:
            ratios.append({"rounds": rounds, "value": ratio.value, "ci_low": ratio.low, "ci_high": ratio.high})
    return ratios


def drawing_of(measurement: TimingMeasurement) -> dict[str, Any]:
    """Return what a plot of a measurement needs, in a few hundred numbers of six digits.

    Returns:
        `quantiles`: by role, the times of a call (ms) that 0%, 1% and so on to 100% of all calls stay within;
        `round_ratios`, `median_ratio` and `look_ratios`, where there is a teacher: the student's median time over the
        teacher's in each round, in the order of time (medians of neighbouring rounds where there are more than
        `MOST_ROUNDS`), over all of them with its interval, and over those that each look had.
    """
    drawing: dict[str, Any] = {
        "quantiles": {
            role: _six_digits(
                np.quantile(np.concatenate([calls for rounds in series for calls in rounds]), SHARES) / 1e6
            )
            for role, series in measurement.series.items()
            if role != "workload"
        }
    }
    ratio = median_ratio(measurement)
    if ratio is None:
        return drawing
    pairs = zip(
        (calls for rounds in measurement.calm["student"] for calls in rounds),
        (calls for rounds in measurement.calm["teacher"] for calls in rounds),
        strict=True,
    )
    ratios = np.array([np.median(student) / np.median(teacher) for student, teacher in pairs])
    if len(ratios) > MOST_ROUNDS:
        ratios = np.array([np.median(part) for part in np.array_split(ratios, MOST_ROUNDS)])
    looks = _look_ratios(measurement)
    interval = {"value": ratio.value, "ci_low": ratio.low, "ci_high": ratio.high}
    return {**drawing, "round_ratios": _six_digits(ratios), "median_ratio": interval, "look_ratios": looks}


def _six_digits(values: FloatArray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def timing_note(measurement: TimingMeasurement, plan: ItemPlan, setup: TimingSetup) -> dict[str, Any]:
    """Return what the report says of a timed measurement, as JSON types."""
    return {
        "student": plan.student,
        "suite": plan.suite,
        "setup": str(setup),
        "resolution": resolution(measurement),
        "batch_size": measurement.batch_sizes["student"],
        "batch_sizes": dict(measurement.batch_sizes),
        measurement.cluster: measurement.looks[-1],
        "looks": list(measurement.looks),
        "elapsed_s": measurement.elapsed_s[-1],
        "budget_exhausted": measurement.exhausted,
        **drawing_of(measurement),
        **measurement.settings,
    }
