"""The fixture `profiler`: profiles of chosen calls in the item's report, and as files where they are asked for."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from pytest_modelbench.errors import NotApplicable, UsageMistake
from pytest_modelbench.models.base import Model
from pytest_modelbench.plugin.items import settings_of
from pytest_modelbench.probes.cost.profile import Framework, compare_profiles, profile_model, recorder
from pytest_modelbench.probes.cost.recorded import Profile, Recording
from pytest_modelbench.reports.waterfall import waterfall_table
from pytest_modelbench.store.file_names import file_name
from pytest_modelbench.store.replacing import replacing

_SECTION = "modelbench profile"


class Profiler:
    """Profiles calls with torch.profiler, those of a model of TensorFlow with tf.profiler.

    Tables go into the item's report, traces into --modelbench-artifacts.

    `profiler.profile(student, batch)` profiles some calls of a model, `with profiler.record("name"):` a block, and
    `profiler.compare(teacher, student, batch)` says which layers and which operators gained and lost time.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._taken: dict[str, int] = {}

    def profile(self, model: Model, inputs: Any, *, calls: int = 10) -> Profile:
        """Profile calls of a model on one batch.

        Raises:
            ModelError: the model raised.
            NotApplicable: it runs no operator of torch, or of TensorFlow if it is a model of TensorFlow.
            MeasurementError: a profiler is recording already.
        """
        __tracebackhide__ = True
        (profile,) = profile_model(model, [inputs], calls, recordings=1)
        self._keep(model.name, profile, profile.table)
        return profile

    @contextlib.contextmanager
    def record(self, name: str = "block", *, calls: int = 1, framework: Framework = "torch") -> Iterator[Recording]:
        """Profile a block; `.profile` of what it gives is there after it.

        Args:
            name: of the block, for tables and files.
            calls: how many calls of a model are in it.
            framework: whose operators are recorded, "torch" or "tensorflow".

        Raises:
            MeasurementError: a profiler is recording already.
            NotApplicable: no operator of the framework ran.
        """
        __tracebackhide__ = True
        if framework not in get_args(Framework):
            expected = " or ".join(map(repr, get_args(Framework)))
            raise UsageMistake(f"profiler.record(framework={framework!r}) is unknown, expected {expected}")
        torch = sys.modules.get("torch")
        cuda = torch is not None and torch.cuda.is_initialized()
        with recorder(calls, cuda=cuda, framework=framework) as recording:
            yield recording
        self._keep(name, recording.profile, recording.profile.table)

    def compare(self, teacher: Model, student: Model, inputs: Any, *, calls: int = 10) -> str:
        """Return a table of the layers that gained and lost time from teacher to student, and one of the operators.

        Layers are timed without a profiler, in rounds that take both models by turns, and each change has its
        interval; operators come from one profile of each. What has no layers of torch has operators only.

        Raises:
            ModelError: a model raised.
            NotApplicable: one runs no operator of torch.
        """
        __tracebackhide__ = True
        steps = _layers(teacher, student, inputs)
        before, after = (self.profile(model, inputs, calls=calls) for model in (teacher, student))
        table = "\n".join([*steps, "", compare_profiles(before, after)])
        self._item.add_report_section("call", f"{_SECTION}: {teacher.name} and {student.name}", table)
        return table

    def _keep(self, name: str, profile: Profile, table: str) -> None:
        self._item.add_report_section("call", f"{_SECTION}: {name}", table)
        folder = settings_of(self._item).artifacts
        if folder is None:
            return
        number = self._taken[name] = self._taken.get(name, 0) + 1
        stem = file_name(name) + (f"-{number}" if number > 1 else "")
        target = Path(self._item.config.invocation_params.dir, folder, file_name(self._item.nodeid))
        target.mkdir(parents=True, exist_ok=True)
        _write(target / f"{stem}.operators.txt", table.encode())
        for path, content in profile.tensorboard.items():
            (target / f"{stem}.tensorboard" / path).parent.mkdir(parents=True, exist_ok=True)
            _write(target / f"{stem}.tensorboard" / path, content)
        if profile.tensorboard:
            _write(target / f"{stem}.trace.json", profile.trace)
            return
        _write(target / f"{stem}.pt.trace.json", profile.trace)
        _write(target / f"{stem}.memory.json", json.dumps(profile.memory_timeline()).encode())


def _layers(teacher: Model, student: Model, inputs: Any) -> list[str]:
    from pytest_modelbench.diagnosis.waterfall import measure_waterfall

    try:
        return waterfall_table(measure_waterfall(teacher, student, inputs).to_json())
    except NotApplicable as reason:
        return [f"no layers: {reason}"]


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


class NvtxRanges:
    """Names items for Nsight Systems: an NVTX range around each body and the judging of its gates."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Put the range around the call phase, where torch is loaded and sees a GPU."""
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_available():
            return (yield)
        torch.cuda.nvtx.range_push(item.nodeid)
        try:
            return (yield)
        finally:
            torch.cuda.nvtx.range_pop()
