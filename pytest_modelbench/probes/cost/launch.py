"""Measure the start of a model: a fresh process builds it, twice if possible.

The first build is the cold start. It also imports what its library puts off until then, and takes what torch
allocates once for a process: none of that is the model's memory, so memory is that of a second build.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.resident import EXACT, Added, PeakMeter
from pytest_modelbench.probes.wire import Arrays


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What a fresh process is asked to do: load the model of a role, and run batches of a size through it.

    `model` is the structure that it must have. `frameworks` are imported before anything is measured. `memory` asks
    for a second build, whose memory is measured. `student` is the file that the student is deployed as; empty where
    its fixture builds it. `path` is the file that the answer goes into.
    """

    kind: ClassVar[str] = "launch"
    setup: ClassVar[str] = ""  # no gate's timing is asked for
    role: str
    model: str
    batch_size: int
    frameworks: tuple[str, ...]
    memory: bool
    budget_s: float
    student: str = ""
    path: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    def answer(self) -> Launch:
        """Read what the process has left."""
        return Launch(**json.loads(Path(self.path).read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What one launch took: seconds, and bytes of resident memory above what the process held before.

    Attributes:
        import_s: of the frameworks; 0 where something else had imported them.
        load_s: from the call of what builds the model until it is ready, the first time.
        first_output_s: of the first call.
        base_bytes: what interpreter, frameworks and tests held before the model was built.
        load_peak_bytes: the most while it was loaded.
        loaded_bytes: what it held once it was loaded.
        run_peak_bytes: the most while it ran, on top of what was held before it was loaded.
        gpu_bytes: the most that its tensors took on its GPU, None where it has none; `gpu_reserved_bytes` is what the
            caching allocator held for them.
        method: how the peak was seen.
        weights_bytes: the model's own tensors, 0 where that is not known.
        imported_bytes: what the first build held beyond the second: imports that its library had put off.
        first_build: why the memory is that of the first build, imports included; empty where it is the second's.
    """

    import_s: float
    load_s: float
    first_output_s: float
    base_bytes: int
    load_peak_bytes: int
    loaded_bytes: int
    run_peak_bytes: int
    batch_size: int
    method: str
    gpu_bytes: int | None = None
    gpu_reserved_bytes: int | None = None
    weights_bytes: int = 0
    imported_bytes: int = 0
    first_build: str = ""

    @property
    def exact(self) -> bool:
        """Whether its memory is that of a second build, seen in full."""
        return not self.first_build and EXACT in self.method

    def with_memory_of(self, second: Launch) -> Launch:
        """Return this launch with the memory of a second build in the same process."""
        return replace(
            second,
            load_s=self.load_s,
            first_output_s=self.first_output_s,
            base_bytes=self.base_bytes,
            imported_bytes=max(self.loaded_bytes - second.loaded_bytes, 0),
        )

    @property
    def peak_bytes(self) -> int:
        """The most that loading and running took."""
        return max(self.load_peak_bytes, self.run_peak_bytes)

    def write(self, path: Path) -> None:
        """Leave it for the parent, whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(path)


def pack_launches(launches: Sequence[Launch]) -> Arrays:
    """Return launches as arrays, for other workers."""
    return {"text": np.array(json.dumps([asdict(launch) for launch in launches]))}


def unpack_launches(arrays: Arrays) -> list[Launch]:
    """Return what `pack_launches` packed."""
    return [Launch(**launch) for launch in json.loads(str(arrays["text"]))]


class Launching:
    """Measures one build of a model and its first calls, in the process that they happen in.

    `loading()` encloses the code that builds the model: several blocks add up, and one inside of another counts once.
    """

    def __init__(self, request: LaunchRequest, import_s: float, *, again: bool = False) -> None:
        self.request = request
        self.again = again
        self.import_s = import_s
        self.added = Added()
        self.load_s = 0.0
        self.base_bytes: int | None = None
        self._inside = False
        self._gpu_before: dict[str, int] = {}

    @contextlib.contextmanager
    def loading(self, *, timed: bool = True) -> Iterator[None]:
        """Measure a part of loading.

        Args:
            timed: whether its seconds count; False for what only looks at the model.
        """
        if self._inside:
            yield
            return
        if self.base_bytes is None:
            self._gpu_before = gpu_bytes_before()
        self._inside = True
        try:
            with PeakMeter() as use:
                start = time.perf_counter()
                yield
                took = time.perf_counter() - start
        finally:
            self._inside = False
        if timed:
            self.load_s += took
        else:
            use.peak_bytes = max(use.held_bytes, 0)  # what looking took and gave back is not the model's
        self.base_bytes = use.before_bytes if self.base_bytes is None else self.base_bytes
        self.added.after(use)

    def gpu_held_bytes(self, cuda: Any = None) -> int:
        """Return what loading has added on all GPUs, over which a large model may be spread."""
        torch = sys.modules.get("torch")
        cuda = cuda if cuda is not None or torch is None else torch.cuda
        if cuda is None or not cuda.is_initialized():
            return 0
        held = sum(int(cuda.memory_allocated(number)) for number in range(cuda.device_count()))
        return held - sum(self._gpu_before.values())

    def run(self, model: Model, batches: Sequence[Any]) -> Launch:
        """Run batches through the model and return what the launch has taken.

        Raises:
            ModelError: the model raised.
        """
        load_peak, loaded = self.added.peak_bytes, self.added.held_bytes
        with PeakMeter() as use, model.running():
            first_s = _timed(model, batches[0])
            for batch in batches[1:]:
                _timed(model, batch)
        running = Added()
        running.held_bytes = loaded
        running.after(use)
        allocated, reserved = gpu_bytes(model, self._gpu_before)
        return Launch(
            import_s=self.import_s,
            load_s=self.load_s,
            first_output_s=first_s,
            base_bytes=self.base_bytes or use.before_bytes,
            load_peak_bytes=load_peak,
            loaded_bytes=loaded,
            run_peak_bytes=running.peak_bytes,
            batch_size=self.request.batch_size,
            method=use.method,
            gpu_bytes=allocated,
            gpu_reserved_bytes=reserved,
            weights_bytes=model.weight_bytes(),
        )


def refuse_other_structure(role: str, structure: str, wanted: str) -> None:
    """Refuse a model that a fresh process built and that has other parts, shapes or types than the parent's.

    Other values of the same weights cost the same: a model that nothing seeds is measured like any other.

    Raises:
        MeasurementError: they differ.
    """
    if structure != wanted:
        raise MeasurementError(
            f"in a fresh process the {role} is another model, with other layers, shapes or types: its fixture or "
            "factory depends on something that this process lacks, such as an option of your conftest"
        )


def _timed(model: Model, batch: Any) -> float:
    start = time.perf_counter()
    try:
        model.bind(batch)()
    except BaseException as error:
        raise model.failure(batch, error) from error
    return time.perf_counter() - start


def gpu_bytes_before(cuda: Any = None) -> dict[str, int]:
    """Start new high-water marks on every GPU that is in use, and return the bytes allocated there by device.

    Args:
        cuda: torch.cuda, or a fake of it.
    """
    torch = sys.modules.get("torch")
    cuda = cuda if cuda is not None or torch is None else torch.cuda
    if cuda is None or not cuda.is_initialized():
        return {}
    allocated = {}
    for number in range(cuda.device_count()):
        cuda.reset_peak_memory_stats(number)
        allocated[f"cuda:{number}"] = int(cuda.memory_allocated(number))
    return allocated


def gpu_bytes(model: Model, before: Mapping[str, int], cuda: Any = None) -> tuple[int | None, int | None]:
    """Return the most bytes that tensors have taken on a model's GPU since `before`, and those reserved for them.

    Args:
        model: whose `device` is read; two Nones unless it is a CUDA device.
        before: what `gpu_bytes_before` returned.
        cuda: torch.cuda, or a fake of it.
    """
    device = getattr(model, "device", None)
    if getattr(device, "type", None) != "cuda":
        return None, None
    if cuda is None:
        cuda = sys.modules["torch"].cuda
    number = getattr(device, "index", None) or 0
    taken = int(cuda.max_memory_allocated(number)) - before.get(f"cuda:{number}", 0)
    return taken, int(cuda.max_memory_reserved(number))
