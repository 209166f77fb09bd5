"""Where a model's time goes, operator by operator: torch.profiler over some calls, apart from every timing."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost import tensorflow_profile
from pytest_modelbench.probes.cost.recorded import OperatorTime, Profile, Recording

if TYPE_CHECKING:
    from torch.profiler import profile

Framework = Literal["torch", "tensorflow"]
WARM_UP_CALLS = 3
CALLS, RECORDINGS = 4, 5
COMPILED = "## Call CompiledFxGraph"
"""How a range begins that holds the kernels of torch.compile, which are no operators."""


@contextlib.contextmanager
def record(calls: int = 1, *, cuda: bool = False) -> Iterator[Recording]:
    """Profile a block.

    Args:
        calls: how many calls of a model are in it.
        cuda: whether a GPU's kernels are of interest.

    Raises:
        MeasurementError: a profiler is recording already.
        NotApplicable: no operator of torch ran.
    """
    refuse_while_profiling("a profile cannot be taken inside of another one")
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    recording = Recording()
    with profile(activities=activities, record_shapes=True, profile_memory=True) as running:
        yield recording
    recording.take(_read(running, calls, cuda=cuda))


def profile_model(
    model: Model, batches: Sequence[Any], calls: int = CALLS, recordings: int = RECORDINGS
) -> list[Profile]:
    """Profile some calls of a model, after a few that are not, and again for what differs from time to time.

    Raises:
        ModelError: the model raised.
        NotApplicable: it runs no operator of torch, or of TensorFlow if it is a model of TensorFlow.
    """
    cuda = getattr(getattr(model, "device", None), "type", None) == "cuda"
    profiles: list[Profile] = []
    with model.running():
        bound = [model.bind(batch) for batch in batches]
        try:
            for call in (bound * WARM_UP_CALLS)[:WARM_UP_CALLS]:
                call()
            for recorded in range(recordings + (recordings > 1)):
                with recorder(calls, cuda=cuda, framework=framework_of(model)) as recording:
                    for number in range(calls):
                        bound[number % len(bound)]()
                if recorded or recordings == 1:  # the first of several is slowed by what the profiler sets up
                    profiles.append(recording.profile)
        except (MeasurementError, NotApplicable):
            raise
        except BaseException as error:
            raise model.failure(batches[0], error) from error
    return profiles


def framework_of(model: Model) -> Framework:
    """Return whose operators a model runs."""
    return "tensorflow" if "tensorflow" in model.libraries and model.kind != "litert" else "torch"


def recorder(
    calls: int, *, cuda: bool, framework: Framework = "torch"
) -> contextlib.AbstractContextManager[Recording]:
    """Return the context that profiles a block with the profiler of a framework."""
    return tensorflow_profile.record(calls) if framework == "tensorflow" else record(calls, cuda=cuda)


def refuse_while_profiling(what: str) -> None:
    """Refuse to measure while a profiler slows every operator down.

    Raises:
        MeasurementError: a profiler of torch or TensorFlow is already recording.
    """
    if tensorflow_profile.is_recording():
        raise MeasurementError(f"{what}: tf.profiler is recording. Leave its block first")
    torch = sys.modules.get("torch")
    if torch is not None and torch.autograd._profiler_enabled():  # noqa: SLF001 - there is no public way to ask
        raise MeasurementError(f"{what}: torch's profiler is recording. Leave its block first")


def _read(running: profile, calls: int, *, cuda: bool) -> Profile:
    averages = running.key_averages()
    times = [
        OperatorTime(
            name=average.key,
            runs=average.count,
            self_us=average.self_device_time_total if cuda else average.self_cpu_time_total,
        )
        for average in averages
        if average.key != "[memory]"
        and not average.key.startswith(("ProfilerStep", "cuda"))
        and (
            not getattr(average, "is_user_annotation", False) or average.key.startswith(COMPILED)
        )  # a range around operators, none of its own
        and str(average.device_type).endswith("CPU")  # a kernel's time is that of the operator which launched it
    ]
    timed = sorted((operator for operator in times if operator.self_us > 0), key=lambda operator: -operator.self_us)
    if not timed:
        raise NotApplicable("no operator of torch ran, so there is nothing to profile")
    by = "self_device_time_total" if cuda else "self_cpu_time_total"
    with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
        path = Path(folder, "trace.json")
        running.export_chrome_trace(str(path))
        trace = path.read_bytes()
    events: Sequence[Any] = running.events() or ()  # type: ignore[no-untyped-call]
    compiled = any(event.name.startswith(COMPILED) for event in events)
    return Profile(
        operators=timed,
        dispatched=None if compiled else sum(_is_operator(event) and not _inside_of_one(event) for event in events),
        calls=calls,
        table=averages.table(sort_by=by, row_limit=20, max_name_column_width=40),
        trace=trace,
        device="cuda" if cuda else "cpu",
    )


def _is_operator(event: Any) -> bool:
    return "::" in event.name


def _inside_of_one(event: Any) -> bool:
    """Whether an operator called this one; ranges (record_function, TorchScript's `forward`) are none."""
    above = event.cpu_parent
    while above is not None and not _is_operator(above):
        above = above.cpu_parent
    return above is not None


def compare_profiles(teacher: Profile, student: Profile, rows: int = 10) -> str:
    """Return a table of the operators that gained and lost time from teacher to student, for each call.

    Args:
        teacher: its profile.
        student: its profile.
        rows: how many operators are listed, those that changed most.
    """
    before, after = _per_call(teacher), _per_call(student)
    changes = sorted({*before, *after}, key=lambda name: -abs(after.get(name, 0.0) - before.get(name, 0.0)))
    lines = [f"{'operator':40} {'teacher':>12} {'student':>12} {'change':>12}  µs for each call, {student.device}"]
    for name in changes[:rows]:
        t, s = before.get(name, 0.0), after.get(name, 0.0)
        lines.append(f"{name[:40]:40} {t:12,.1f} {s:12,.1f} {s - t:+12,.1f}")
    total_t, total_s = sum(before.values()), sum(after.values())
    lines.append(f"{'all operators':40} {total_t:12,.1f} {total_s:12,.1f} {total_s - total_t:+12,.1f}")
    return "\n".join(lines)


def _per_call(profile: Profile) -> Mapping[str, float]:
    return {operator.name: operator.self_us / profile.calls for operator in profile.operators}
