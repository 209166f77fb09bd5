"""Where the time of a model of TensorFlow goes: tf.profiler over some calls, read operator by operator."""

from __future__ import annotations

import collections
import contextlib
import importlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import MeasurementError, NotApplicable, cause_of
from pytest_modelbench.probes.cost.recorded import OperatorTime, Profile, Recording

PROFILER = "tf.profiler"
NOT_COMPUTING = frozenset({"Const", "Identity", "NoOp", "ReadVariableOp", "VarHandleOp", "_Arg", "_Retval"})
"""Nodes of a graph that hand values on."""
_NODE = re.compile(r"[^:\s]+:(?P<operator>\w+)")
_EAGER = re.compile(r"EagerLocalExecute: (?P<operator>[A-Z]\w*)")
_XPLANE = "tensorflow.tsl.profiler.protobuf.xplane_pb2"


@dataclass(frozen=True)
class Event:
    """An operator that ran: its type, the node of the graph, the thread, and start and length in microseconds."""

    operator: str
    name: str
    thread: str
    start_us: float
    us: float


@contextlib.contextmanager
def record(calls: int) -> Iterator[Recording]:
    """Profile a block with tf.profiler.

    Args:
        calls: how many calls of a model the block makes.

    Raises:
        MeasurementError: a profiler of TensorFlow is recording already.
        NotApplicable: no operator of TensorFlow ran on the CPU, or this TensorFlow lacks the format of its traces.
    """
    if is_recording():
        raise MeasurementError("a profile cannot be taken inside of another one: tf.profiler is recording")
    profiler = importlib.import_module("tensorflow").profiler.experimental
    recording = Recording()
    with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
        profiler.start(folder, options=profiler.ProfilerOptions(host_tracer_level=2, python_tracer_level=0))
        try:
            yield recording
        except BaseException:
            profiler.stop(save=False)
            raise
        profiler.stop()
        files = {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*.xplane.pb")}
    recording.take(_read(files, calls))


def is_recording() -> bool:
    """Whether a profiler of TensorFlow is recording; TensorFlow is not imported for the question."""
    profiler = sys.modules.get("tensorflow.python.profiler.profiler_v2")
    return getattr(profiler, "_profiler", None) is not None


def _read(files: dict[str, bytes], calls: int) -> Profile:
    try:
        xplane: Any = importlib.import_module(_XPLANE)
    except ImportError as error:
        raise NotApplicable(f"this TensorFlow has no reader of its own traces ({cause_of(error)})") from error
    planes = [plane for content in files.values() for plane in xplane.XSpace.FromString(content).planes]
    if any(plane.name.startswith("/device:GPU") and plane.lines for plane in planes):
        raise NotApplicable(
            "TensorFlow ran on a GPU, and own times of operators are read for the CPU only. Record it by "
            "tf.profiler.experimental.Profile(folder), and open the folder in TensorBoard"
        )
    events = [event for plane in planes for event in events_of(plane)]
    if not events:
        raise NotApplicable("no operator of TensorFlow ran, so there is nothing to profile")
    operators = _summed(events)
    computing = sum(event.operator not in NOT_COMPUTING for event in events)
    return Profile(
        operators=operators,
        dispatched=computing,
        calls=calls,
        table=_table(operators, calls),
        trace=_chrome(events),
        device="cpu",
        profiler=PROFILER,
        tensorboard=files,
    )


def events_of(plane: Any) -> Iterator[Event]:
    """Yield the operators in a plane of a trace: nodes that an executor ran, and operators that ran one by one."""
    for line in plane.lines:
        for event in line.events:
            name = plane.event_metadata[event.metadata_id].name
            match = _NODE.fullmatch(name) or _EAGER.fullmatch(name)
            if match is not None:
                start_us = line.timestamp_ns / 1e3 + event.offset_ps / 1e6
                yield Event(match["operator"], name, line.name or str(line.id), start_us, event.duration_ps / 1e6)


def _summed(events: Sequence[Event]) -> list[OperatorTime]:
    runs: collections.Counter[str] = collections.Counter()
    us: collections.Counter[str] = collections.Counter()
    for event in events:
        runs[event.operator] += 1
        us[event.operator] += event.us  # type: ignore[assignment] # a Counter of floats
    return [OperatorTime(name=name, runs=runs[name], self_us=time) for name, time in us.most_common()]


def _table(operators: Sequence[OperatorTime], calls: int) -> str:
    total = sum(operator.self_us for operator in operators)
    lines = [f"{'operator of TensorFlow':40} {'runs':>8} {'µs a call':>12} {'share':>8}"]
    lines += [
        f"{operator.name[:40]:40} {operator.runs:8,} {operator.self_us / calls:12,.1f} "
        f"{100 * operator.self_us / total:7.1f}%"
        for operator in operators[:20]
    ]
    return "\n".join(lines)


def _chrome(events: Sequence[Event]) -> bytes:
    """Return the events in Chrome's trace format, for viewers that do not read TensorFlow's."""
    threads = {name: number for number, name in enumerate(dict.fromkeys(event.thread for event in events))}
    first = min(event.start_us for event in events)
    told: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": number, "args": {"name": name}}
        for name, number in threads.items()
    ]
    told += [
        {
            "ph": "X",
            "name": event.operator,
            "pid": 0,
            "tid": threads[event.thread],
            "ts": event.start_us - first,
            "dur": event.us,
            "args": {"node": event.name},
        }
        for event in events
    ]
    return json.dumps({"traceEvents": told}).encode()
