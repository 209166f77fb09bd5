"""From the teacher's time to the student's, layer by layer: which layers gained the time, and which lost it."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.layers import weighted_layers
from pytest_modelbench.diagnosis.subject import Call
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.results import Estimate, json_object
from pytest_modelbench.stats.intervals import centre_interval

BETWEEN = "between layers"
"""The row of what runs outside of every layer: functions, residual sums, Python."""
ONE_SIDE = 0.025
BLOCK_NS = 4_000_000
MOST_CALLS = 200
FEWEST_ROUNDS, MOST_ROUNDS = 8, 40
_WHOLE = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Layers whose fast path does not call the layers inside of them."""
CALL = "_call_impl"
"""What torch calls of a module: its hooks and its `forward`."""
Clock = Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """What one layer's time changed by.

    Attributes:
        path: of the layer in its module, the same in both models, or `BETWEEN`.
        layer: its class, such as "Linear"; of teacher and student if they differ.
        teacher_ms: its time in one call of the teacher, in ms; None if the teacher calls no such layer.
        student_ms: the same in the student.
        change_ms: the student's less the teacher's, with its 95% interval.
    """

    path: str
    layer: str
    teacher_ms: float | None
    student_ms: float | None
    change_ms: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return json_object(
            {
                "path": self.path,
                "layer": self.layer,
                "teacher_ms": self.teacher_ms,
                "student_ms": self.student_ms,
                "change_ms": self.change_ms.value,
                "change_ms_low": self.change_ms.low,
                "change_ms_high": self.change_ms.high,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """The steps from the teacher's time to the student's; they add up to the difference, but for noise.

    Attributes:
        clock: whose time it is, such as "processor time of the calling thread".
        teacher_ms: one call of the teacher.
        student_ms: one call of the student.
        changes: of each layer and of what runs between layers, the largest first.
    """

    clock: str
    teacher_ms: float
    student_ms: float
    changes: tuple[LayerChange, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return json_object(
            {
                "clock": self.clock,
                "teacher_ms": self.teacher_ms,
                "student_ms": self.student_ms,
                "changes": [change.to_json() for change in self.changes],
            }
        )


def measure_waterfall(
    teacher: Model, student: Model, inputs: Any, *, budget_s: float = 3.0, beat: Callable[[], None] = lambda: None
) -> Waterfall:
    """Time the layers of both models in turn.

    Layers are the innermost modules, with their hooks. Their calls are wrapped for the time of the measurement only,
    and totals come from calls without the wrapping.

    Args:
        teacher: a torch module in its adapter.
        student: the same.
        inputs: one batch that both take.
        budget_s: seconds after which no further round begins; the fewest rounds are run in any case.
        beat: called after each block of calls.

    Raises:
        NotApplicable: a model is not a torch module, is compiled or scripted, or calls no layer.
    """
    models = {"teacher": teacher, "student": student}
    modules = {role: _module_of(model) for role, model in models.items()}
    now, clock = _clock_of(models.values())
    with contextlib.ExitStack() as stack:
        for model in models.values():
            stack.enter_context(model.running())
        timed = {role: _TimedModule(modules[role], models[role].bind(inputs), now) for role in models}
        rounds = _rounds(timed, budget_s, beat)
    for role, module in timed.items():
        if not module.calls_of_layers:
            raise NotApplicable(f"{models[role].name} calls no layer by itself")
    return _waterfall(rounds, modules, clock)


def _module_of(model: Model) -> nn.Module:
    module = getattr(model, "module", None)
    if not isinstance(module, nn.Module):
        raise NotApplicable(f"{model.name} is not a torch module: layers are those of torch")
    compiled = any(type(part).__name__ == "OptimizedModule" or _is_compiled(part) for part in module.modules())
    if compiled or isinstance(module, torch.jit.ScriptModule):
        raise NotApplicable(f"{model.name} is {'compiled' if compiled else 'TorchScript'}: its kernels span layers")
    return module


def _is_compiled(part: nn.Module) -> bool:
    return getattr(part, "_compiled_call_impl", None) is not None


def _clock_of(models: Any) -> tuple[Clock, str]:
    """Return the clock of both models: processor time, or the wall clock after a GPU has finished."""
    devices = {device for model in models if (device := getattr(model, "device", torch.device("cpu"))).type != "cpu"}
    if not devices:
        return time.thread_time_ns, "processor time of the calling thread"

    def now() -> int:
        for device in devices:
            getattr(torch, device.type).synchronize()
        return time.perf_counter_ns()

    return now, "wall clock, the device waited for at each layer"


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that are timed, by path: innermost ones, and those that compute their parts themselves."""
    whole = {path for path, part in weighted_layers(module).items() if path}
    whole |= {path for path, part in module.named_modules() if path and isinstance(part, _WHOLE)}
    chosen = {
        path: part
        for path, part in module.named_modules()
        if path and (path in whole or not any(True for _ in part.children()))
    }
    return {
        path: part
        for path, part in chosen.items()
        if not isinstance(part, torch.jit.ScriptModule)
        and not any(path.startswith(f"{outer}.") for outer in chosen if outer != path)
    }


class _TimedModule:
    """A module with its call, whose layers can be timed."""

    def __init__(self, module: nn.Module, call: Call, now: Clock) -> None:
        self._call, self._now = call, now
        self._layers = layers_of(module)
        self._spent: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()
        self._inside = False
        self._here = threading.get_ident()
        self._calls = 1
        self._cost_ns = median(-now() + now() for _ in range(101))

    @property
    def calls_of_layers(self) -> int:
        """How many calls of layers were timed."""
        return self._runs.total()

    def fill(self) -> None:
        """Warm up, and find out how many calls fill a block."""
        self.plain_ms()
        fastest = min(self.plain_ms(), self.plain_ms())
        self._calls = max(1, min(MOST_CALLS, math.ceil(BLOCK_NS / 1e6 / max(fastest, 1e-6))))

    def plain_ms(self) -> float:
        """Return the time of one call, over a block of them."""
        start = self._now()
        for _ in range(self._calls):
            self._call()
        return (self._now() - start) / 1e6 / self._calls

    def layers_ms(self) -> dict[str, float]:
        """Return the time of each layer in one call, over a block of them; the clock's own cost is taken out."""
        self._spent.clear()
        self._runs.clear()
        with self._wrapped():
            for _ in range(self._calls):
                self._call()
        return {
            path: max(spent - self._runs[path] * self._cost_ns, 0.0) / 1e6 / self._calls
            for path, spent in self._spent.items()
        }

    @contextlib.contextmanager
    def _wrapped(self) -> Iterator[None]:
        """Wrap each layer's call with its hooks: hooks of our own would end the fast paths of attention."""
        with contextlib.ExitStack() as stack:
            for path, layer in self._layers.items():
                own = vars(layer).get(CALL)
                setattr(layer, CALL, self._timed(path, getattr(layer, CALL)))
                stack.callback(put_back, layer, own)
            yield

    def _timed(self, path: str, call: Callable[..., Any]) -> Callable[..., Any]:
        now = self._now

        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside or threading.get_ident() != self._here:
                return call(*args, **kwargs)
            self._inside = True
            start = now()
            try:
                return call(*args, **kwargs)
            finally:
                self._spent[path] += now() - start
                self._runs[path] += 1
                self._inside = False

        return timed


def put_back(layer: nn.Module, own: Any) -> None:
    """Undo the wrapping of a layer's call; `own` is what the instance itself had, or None."""
    if own is None:
        delattr(layer, CALL)
    else:
        setattr(layer, CALL, own)


@dataclass(frozen=True, kw_only=True)
class _Round:
    """One round: the time of a call of each role, and of its layers, in ms."""

    calls: Mapping[str, float]
    layers: Mapping[str, Mapping[str, float]]


def _rounds(timed: Mapping[str, _TimedModule], budget_s: float, beat: Callable[[], None]) -> list[_Round]:
    ends = time.monotonic() + budget_s
    for model in timed.values():
        model.fill()
        beat()
    rounds: list[_Round] = []
    was = gc.isenabled()
    gc.disable()
    try:
        while len(rounds) < FEWEST_ROUNDS or (len(rounds) < MOST_ROUNDS and time.monotonic() < ends):
            order = list(timed.items())[:: -1 if len(rounds) % 2 else 1]
            calls, layers = {}, {}
            for role, model in order:
                layers[role] = model.layers_ms()
                beat()
            for role, model in reversed(order):
                calls[role] = model.plain_ms()
                beat()
            rounds.append(_Round(calls=calls, layers=layers))
    finally:
        if was:
            gc.enable()
    return rounds


def _waterfall(rounds: Sequence[_Round], modules: Mapping[str, nn.Module], clock: str) -> Waterfall:
    names = {role: {path: _class_of(part) for path, part in layers_of(modules[role]).items()} for role in modules}
    paths = {path: None for role in names for turn in rounds for path in turn.layers[role]}
    changes = [_change(path, rounds, _kinds(path, names)) for path in paths]
    changes.append(_between(rounds))
    return Waterfall(
        clock=clock,
        teacher_ms=_centre([turn.calls["teacher"] for turn in rounds]),
        student_ms=_centre([turn.calls["student"] for turn in rounds]),
        changes=tuple(sorted(changes, key=lambda change: -abs(change.change_ms.value))),
    )


def _change(path: str, rounds: Sequence[_Round], layer: str) -> LayerChange:
    times = {role: [turn.layers[role].get(path) for turn in rounds] for role in ("teacher", "student")}
    pairs = zip(times["teacher"], times["student"], strict=True)
    return LayerChange(
        path=path,
        layer=layer,
        teacher_ms=_centre_or_none(times["teacher"]),
        student_ms=_centre_or_none(times["student"]),
        change_ms=centre_interval([(after or 0.0) - (before or 0.0) for before, after in pairs], ONE_SIDE),
    )


def _between(rounds: Sequence[_Round]) -> LayerChange:
    """Return the step of what runs outside of layers: a call's time less that of its layers."""
    teacher, student = (
        [turn.calls[role] - sum(turn.layers[role].values()) for turn in rounds] for role in ("teacher", "student")
    )
    return LayerChange(
        path=BETWEEN,
        layer="",
        teacher_ms=_centre(teacher),
        student_ms=_centre(student),
        change_ms=centre_interval([after - before for before, after in zip(teacher, student, strict=True)], ONE_SIDE),
    )


def _class_of(part: nn.Module) -> str:
    """Return the name that torch prints of a module: quantised layers have others than their classes."""
    return str(part._get_name())  # type: ignore[no-untyped-call] # noqa: SLF001 - what `repr` of a module calls


def _kinds(path: str, names: Mapping[str, Mapping[str, str]]) -> str:
    before, after = names["teacher"].get(path), names["student"].get(path)
    return f"{before} to {after}" if before and after and before != after else before or after or ""


def _centre(values: Sequence[float]) -> float:
    return centre_interval(values, ONE_SIDE).value


def _centre_or_none(values: Sequence[float | None]) -> float | None:
    times = [value for value in values if value is not None]
    return _centre(times) if times else None
