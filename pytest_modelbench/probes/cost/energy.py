"""Energy of models above idle: windows of several seconds in turn, read through CodeCarbon, by component.

What a component's number is worth is stated with it: `measured` by a counter of the hardware, `modelled` from a
power that was never measured, or `constant`. Constant power tells models apart by their latency only, so it counts
for nothing here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.energy_source import Component, EnergySource
from pytest_modelbench.probes.cost.profile import refuse_while_profiling
from pytest_modelbench.probes.timing.rotation import Rotation
from pytest_modelbench.probes.wire import Arrays
from pytest_modelbench.stats.intervals import FloatArray

FEWEST_ROUNDS = 3
IDLE_SHARE = 0.4
SHORTEST_WINDOW_S = 1.0
MANY_CALLS = 10_000


@dataclass(frozen=True, kw_only=True)
class Window:
    """Joules by component over some seconds, in which `samples` samples were answered."""

    seconds: float
    joules: Mapping[str, float]
    samples: int = 0

    def of(self, components: Sequence[Component]) -> float:
        """Return the joules of the components that count."""
        return sum(self.joules.get(component.name, 0.0) for component in components if component.counts)


@dataclass(frozen=True, kw_only=True)
class EnergyMeasurement:
    """Windows of every model and of the idle machine, round by round; limits judge at `looks`, numbers of rounds.

    If samples are output tokens, `vocabularies` are equal for equal tokenisers, "" where none is known.
    """

    windows: Mapping[str, Sequence[Window]]
    idle: Sequence[Window]
    components: Sequence[Component]
    looks: tuple[int, ...]
    elapsed_s: tuple[float, ...]
    batch_size: int
    vocabularies: Mapping[str, str] = field(default_factory=dict)

    @property
    def provenance(self) -> str:
        """The worth of what counts: that of its worst component."""
        worths = [component.provenance for component in self.components if component.counts]
        return "modelled" if "modelled" in worths else "measured"

    def idle_watts(self, rounds: int) -> float:
        """Return the power of the idle machine over some rounds."""
        idle = self.idle[:rounds]
        return sum(window.of(self.components) for window in idle) / sum(window.seconds for window in idle)

    def above_idle(self, role: str, rounds: int) -> FloatArray:
        """Return each round's joules for a sample above idle.

        Raises:
            MeasurementError: a round's are not above idle.
        """
        windows = self.windows[role][:rounds]
        idle_w = [idle.of(self.components) / idle.seconds for idle in self.idle[:rounds]]  # each round's own
        joules = np.array(
            [(w.of(self.components) - idle * w.seconds) / w.samples for w, idle in zip(windows, idle_w, strict=True)]
        )
        if (joules <= 0).any():
            raise MeasurementError(
                f"the {role} took no more energy than the idle machine ({humanise(max(idle_w), 'W')}) in a window of "
                f"{windows[0].seconds:.1f} s: other work on the machine drowns it. Write a longer "
                "--modelbench-energy-window"
            )
        return joules

    def component_above_idle(self, role: str, component: Component, rounds: int) -> float:
        """Return one component's joules for a sample above idle, the mean of some rounds; it may be below 0."""
        name = component.name
        rows = zip(self.windows[role][:rounds], self.idle[:rounds], strict=True)
        joules = [
            (window.joules.get(name, 0.0) - idle.joules.get(name, 0.0) / idle.seconds * window.seconds)
            / window.samples
            for window, idle in rows
        ]
        return sum(joules) / len(joules)

    def watts(self, role: str, rounds: int) -> FloatArray:
        """Return each round's power above idle while the model ran."""
        windows = self.windows[role][:rounds]
        samples = np.array([window.samples for window in windows])
        seconds = np.array([window.seconds for window in windows])
        power: FloatArray = self.above_idle(role, rounds) * samples / seconds
        return power


@dataclass(frozen=True, kw_only=True)
class EnergySettings:
    """How energy is measured.

    `window_s` seconds of answers for each model in a round, `budget_s` for all (three rounds are taken in any case),
    `seed` of the order, `wait` sleeps. `counted`: each call returns how many samples it answered.
    """

    batch_size: int = 1
    window_s: float = 5.0
    budget_s: float = 60.0
    seed: int = 0
    wait: Callable[[float], None] = time.sleep
    counted: bool = False


def measure_energy(
    models: Mapping[str, Model],
    batches: Sequence[Any],
    source: EnergySource,
    settings: EnergySettings,
    decided: Callable[[EnergyMeasurement], bool],
    progress: Callable[[float, float], None],
) -> EnergyMeasurement:
    """Let each model answer for a window, in turn and in random order, with idle windows between.

    Limits are judged after three rounds and, if they are open, once more when the budget ends.

    Args:
        models: by role.
        batches: real batches that the calls rotate through.
        source: of energy.
        settings: batch size, window, budget, seed.
        decided: says at a look whether every limit is decided.
        progress: told the seconds elapsed and the budget.

    Raises:
        ModelError: a model raised.
        MeasurementError: nothing here tells models apart.
    """
    if not any(component.counts for component in source.components):
        methods = "; ".join(f"{component.name}: {component.method}" for component in source.components)
        raise MeasurementError(f"there is no energy to compare on this machine ({methods or 'nothing is read'})")
    rng = np.random.default_rng(settings.seed)
    windows: dict[str, list[Window]] = {role: [] for role in models}
    idle: list[Window] = []
    looks: list[int] = []
    elapsed: list[float] = []
    clock = next(iter(models.values())).clock_ns
    start = clock()
    longest, rotation = 0.0, Rotation(len(batches))
    while True:
        before, first = clock(), rotation.next()  # all models of a round begin with the same batch
        idle.append(_idle(source, IDLE_SHARE * settings.window_s, settings.wait))
        for role in sorted(models, key=lambda _: rng.random()):
            windows[role].append(_answering(models[role], batches, source, settings, first))
        now = (clock() - start) / 1e9
        longest = max(longest, (clock() - before) / 1e9)
        progress(now, settings.budget_s)
        exhausted = len(idle) >= FEWEST_ROUNDS and now + longest > settings.budget_s
        if len(idle) != FEWEST_ROUNDS and not exhausted:
            continue
        looks.append(len(idle))
        elapsed.append(now)
        measurement = EnergyMeasurement(
            windows=windows,
            idle=idle,
            components=source.components,
            looks=tuple(looks),
            elapsed_s=tuple(elapsed),
            batch_size=settings.batch_size,
        )
        if exhausted or decided(measurement):
            return measurement


def _idle(source: EnergySource, seconds: float, wait: Callable[[float], None]) -> Window:
    source.start()
    wait(seconds)
    return Window(seconds=seconds, joules=source.stop(seconds))


def _answering(
    model: Model, batches: Sequence[Any], source: EnergySource, settings: EnergySettings, first: int
) -> Window:
    clock, calls, samples = model.clock_ns, 0, 0
    with model.running():
        bound = [model.bind(batch) for batch in batches]
        try:
            bound[0]()  # what a first call allocates is not of the window
            source.start()
            start = clock()
            end = start + settings.window_s * 1e9
            while clock() < end:
                output = bound[(first + calls) % len(bound)]()
                samples += int(output) if settings.counted else settings.batch_size
                calls += 1
                if calls == MANY_CALLS and clock() == start:
                    raise MeasurementError("the clock did not move; nothing can be measured with it")
            seconds = (clock() - start) / 1e9
        except MeasurementError:
            raise
        except BaseException as error:
            raise model.failure(batches[(first + calls) % len(batches)], error) from error
    if not samples:
        raise MeasurementError(f"{model.name} answered nothing in a window of {humanise(seconds, 's')}")
    return Window(seconds=seconds, joules=source.stop(seconds), samples=samples)


def pack_energy(measurement: EnergyMeasurement) -> Arrays:
    """Return a measurement as arrays, for other workers."""
    return {"text": np.array(json.dumps(asdict(measurement)))}


def unpack_energy(arrays: Arrays) -> EnergyMeasurement:
    """Return what `pack_energy` packed."""
    content = json.loads(str(arrays["text"]))
    windows = {role: [Window(**window) for window in rounds] for role, rounds in content.pop("windows").items()}
    idle = [Window(**window) for window in content.pop("idle")]
    components = tuple(Component(*component) for component in content.pop("components"))
    looks, elapsed_s = (tuple(content.pop(name)) for name in ("looks", "elapsed_s"))
    return EnergyMeasurement(
        windows=windows, idle=idle, components=components, looks=looks, elapsed_s=elapsed_s, **content
    )


class EnergyUse:
    """What a block took: joules above idle, seconds, and joules of each component.

    Attributes:
        joules: above idle, of the components that are not constants.
        seconds: of the block.
        by_component: joules, idle included.
        provenance: `measured` or `modelled`.
    """

    joules = 0.0
    seconds = 0.0
    by_component: Mapping[str, float]
    provenance = ""

    @property
    def watts(self) -> float:
        """The mean power above idle."""
        return self.joules / self.seconds


class EnergyMeter:
    """Measures the energy of a block: `with energy_meter as energy: ...`, then `energy.joules`.

    The idle machine is measured before the block. A block of less than a second is refused: what counters and
    estimates say of it is noise.

    Args:
        source: of energy.
        idle_s: how long the idle machine is measured.
        clock: seconds.
        wait: sleeps.

    Raises:
        MeasurementError: at the end of the block, if it was too short, or nothing here tells blocks apart.
    """

    def __init__(
        self,
        source: EnergySource,
        idle_s: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._idle_s = idle_s
        self._clock = clock
        self._wait = wait

    def __enter__(self) -> EnergyUse:
        __tracebackhide__ = True
        refuse_while_profiling("energy")
        components = self._source.components
        if not any(component.counts for component in components):
            raise MeasurementError("there is no energy to measure on this machine: CodeCarbon knows constants only")
        self._idle = _idle(self._source, self._idle_s, self._wait)
        self._use = EnergyUse()
        self._source.start()
        self._start = self._clock()
        return self._use

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        use, components = self._use, self._source.components
        use.seconds = self._clock() - self._start
        use.by_component = self._source.stop(use.seconds)
        if kind is None and use.seconds < SHORTEST_WINDOW_S:
            raise MeasurementError(
                f"the block took {humanise(use.seconds, 's')}, and the energy of less than {SHORTEST_WINDOW_S:g} s "
                "is noise. Repeat what it does, and divide"
            )
        idle_w = self._idle.of(components) / self._idle.seconds
        use.joules = Window(seconds=use.seconds, joules=use.by_component).of(components) - idle_w * use.seconds
        counted = {component.provenance for component in components if component.counts}
        use.provenance = "modelled" if "modelled" in counted else "measured"
