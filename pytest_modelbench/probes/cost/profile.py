"""Where a model's time goes, operator by operator: torch.profiler over some calls, apart from every timing."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.models.base import Model

if TYPE_CHECKING:
    from torch.profiler import profile

WARM_UP_CALLS = 3
CALLS, RECORDINGS = 4, 5
COPIES = frozenset(
    """aten::copy_ aten::_to_copy aten::to aten::clone aten::contiguous aten::quantize_per_tensor
    aten::quantize_per_channel aten::quantize_per_tensor_dynamic aten::dequantize aten::_unsafe_view_copy
    quantized::to Memcpy quantized_decomposed::quantize_per_tensor quantized_decomposed::dequantize_per_tensor
    quantized_decomposed::quantize_per_channel quantized_decomposed::dequantize_per_channel
    torchao::quantize_affine torchao::dequantize_affine torchao::choose_qparams_affine""".split()  # noqa: SIM905
)
COMPILED = "## Call CompiledFxGraph"
"""How a range begins that holds the kernels of torch.compile, which are no operators."""


@dataclass(frozen=True, kw_only=True)
class OperatorTime:
    """One operator's own time over all profiled calls, in microseconds, without the operators that it called."""

    name: str
    runs: int
    self_us: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What ran while a block was profiled.

    Attributes:
        operators: by their own time, the largest first.
        dispatched: how many operators were called by the model itself, not by other operators; None for a compiled
            one, whose kernels hold several.
        calls: of the model, by which shares and counts are divided.
        table: as torch prints it.
        trace: Chrome's trace format, as Perfetto and TensorBoard read it.
        device: whose time is shared out, `cpu` or `cuda`.
    """

    operators: Sequence[OperatorTime]
    dispatched: int | None
    calls: int
    table: str
    trace: bytes = field(repr=False)
    device: str

    @property
    def total_us(self) -> float:
        """The time of all operators together."""
        return sum(operator.self_us for operator in self.operators)

    def share(self, of: Callable[[OperatorTime], bool]) -> float:
        """Return the share of some operators in the time of all, in percent."""
        return 100 * sum(operator.self_us for operator in self.operators if of(operator)) / self.total_us

    @property
    def copy_share(self) -> float:
        """The share of copies, casts, quantising and dequantising, in percent."""
        return self.share(lambda operator: operator.name in COPIES or operator.name.startswith("Memcpy"))

    @property
    def operator_count(self) -> float:
        """Operators that one call of the model dispatches.

        Raises:
            NotApplicable: it is compiled.
        """
        if self.dispatched is None:
            raise NotApplicable("it runs compiled: a kernel has several operators, of unknown number")
        return self.dispatched / self.calls

    def memory_timeline(self) -> list[dict[str, Any]]:
        """Return what torch held allocated at every allocation: microseconds, device and bytes."""
        events = json.loads(self.trace)["traceEvents"]
        allocations = [event for event in events if event.get("name") == "[memory]"]
        return [
            {
                "us": event["ts"],
                "device": "cpu" if event["args"].get("Device Type") == 0 else "cuda",
                "bytes": event["args"].get("Total Allocated", 0),
            }
            for event in sorted(allocations, key=lambda event: float(event["ts"]))
        ]


class Recording:
    """A block that is being profiled; `profile` is there after it."""

    def __init__(self) -> None:
        self._profile: Profile | None = None

    @property
    def profile(self) -> Profile:
        """What ran in the block.

        Raises:
            MeasurementError: the block has not ended.
        """
        if self._profile is None:
            raise MeasurementError("the profile is there after the block, not inside of it")
        return self._profile


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
    recording._profile = _read(running, calls, cuda=cuda)  # noqa: SLF001 - its maker


def profile_model(
    model: Model, batches: Sequence[Any], calls: int = CALLS, recordings: int = RECORDINGS
) -> list[Profile]:
    """Profile some calls of a model, after a few that are not, and again for what differs from time to time.

    Raises:
        ModelError: the model raised.
        NotApplicable: it runs no operator of torch.
    """
    cuda = getattr(getattr(model, "device", None), "type", None) == "cuda"
    profiles: list[Profile] = []
    with model.running():
        bound = [model.bind(batch) for batch in batches]
        try:
            for call in (bound * WARM_UP_CALLS)[:WARM_UP_CALLS]:
                call()
            for recorded in range(recordings + (recordings > 1)):
                with record(calls, cuda=cuda) as recording:
                    for number in range(calls):
                        bound[number % len(bound)]()
                if recorded or recordings == 1:  # the first of several is slowed by what the profiler sets up
                    profiles.append(recording.profile)
        except (MeasurementError, NotApplicable):
            raise
        except BaseException as error:
            raise model.failure(batches[0], error) from error
    return profiles


def refuse_while_profiling(what: str) -> None:
    """Refuse to measure while a profiler slows every operator down.

    Raises:
        MeasurementError: a profiler of torch is already recording.
    """
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
