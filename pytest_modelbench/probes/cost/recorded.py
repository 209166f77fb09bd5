"""What a profiler recorded: operators, how long they took, and the trace. Loads no profiler."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_modelbench.errors import MeasurementError, NotApplicable

COPIES = frozenset(
    """aten::copy_ aten::_to_copy aten::to aten::clone aten::contiguous aten::quantize_per_tensor
    aten::quantize_per_channel aten::quantize_per_tensor_dynamic aten::dequantize aten::_unsafe_view_copy
    quantized::to Memcpy quantized_decomposed::quantize_per_tensor quantized_decomposed::dequantize_per_tensor
    quantized_decomposed::quantize_per_channel quantized_decomposed::dequantize_per_channel
    torchao::quantize_affine torchao::dequantize_affine torchao::choose_qparams_affine
    Cast DeepCopy Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    QuantizeAndDequantizeV4 QuantizeV2 Snapshot Transpose""".split()  # noqa: SIM905
)
"""Operators of torch, and of TensorFlow in the last two lines, that copy, cast, quantise or dequantise."""


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
        profiler: what recorded it.
        tensorboard: files of a log folder of TensorBoard by their paths in it; empty for traces of torch.
    """

    operators: Sequence[OperatorTime]
    dispatched: int | None
    calls: int
    table: str
    trace: bytes = field(repr=False)
    device: str
    profiler: str = "torch.profiler"
    tensorboard: Mapping[str, bytes] = field(default_factory=dict, repr=False)

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

    def take(self, profile: Profile) -> None:
        """Keep the profile of the block, which has ended."""
        self._profile = profile
