"""The hooks of a fresh process that only loads and runs one model, so that others can read what that takes."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import weakref
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_modelbench.bench.loaded import loading_for
from pytest_modelbench.bench.timed_run import real_batches
from pytest_modelbench.errors import MeasurementError, cause_of
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.structure import structure_of
from pytest_modelbench.plugin.fixture_lookup import made_from
from pytest_modelbench.plugin.items import plan_of, session_of, settings_of
from pytest_modelbench.plugin.kpi_fixture import KpiAccess
from pytest_modelbench.plugin.not_built import BUILT_ROLES, leave_out
from pytest_modelbench.plugin.stash import IMPORT_S
from pytest_modelbench.probes.cost.launch import Launch, Launching, LaunchRequest, refuse_other_structure
from pytest_modelbench.probes.cost.resident import gives_back
from pytest_modelbench.probes.requests import Request

SMALLEST_CHECKED_BYTES = 16e6
SMALLEST_SHARED_BYTES = 5e5
_ADAPTERS = {
    "torch": ("torch_module", "saved_torch"),
    "torch._inductor": ("aot_package",),
    "sklearn": ("sklearn_estimator",),
    "transformers": ("huggingface",),
    "onnxruntime": ("onnx_runtime",),
    "openvino": ("openvino",),
    "ai_edge_litert.interpreter": ("litert",),
    "executorch.runtime": ("executorch",),
}
"""Our own modules that a model of a library needs; what they take is not the model's."""


@dataclass
class Built:
    """One build of the model and what it took; nothing of it keeps the model in memory."""

    launch: Launch
    structure: str
    held_bytes: int
    itself: weakref.ref[Any] | None

    def unlike(self, first: Built, kept: Any) -> str:
        """Say why the memory of this second build is not the model's; nothing where it is.

        Args:
            first: the build before it.
            kept: what was built then, where it is still in memory.
        """
        if kept is not None and self.itself is not None and self.itself() is kept:
            return "its fixture returns the very same object again"
        if self.structure != first.structure:
            return "its fixture builds another model the second time"
        weights = self.launch.weights_bytes
        if weights > SMALLEST_SHARED_BYTES and self.held_bytes < weights / 2 <= first.held_bytes:
            return "its fixture keeps the weights between two calls"
        return ""


class Launched:
    """One launch: the fixture or factory of the model is measured where it is called; the other model is not built.

    Args:
        request: which model, and which batches.
        import_s: seconds that the frameworks took to import, before anything of the user's was.
    """

    def __init__(self, request: LaunchRequest, import_s: float) -> None:
        self.request = request
        self.launching = Launching(request, import_s)
        self.process = os.getpid()
        self.item: pytest.Item | None = None
        self.set_ups: list[tuple[pytest.FixtureDef[Any], Any]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember the item: a session's fixtures do not know it."""
        self.item = item
        gc.collect()
        gc.freeze()  # no later collection walks through torch again, which would take longer than most models do

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Put nothing in the place of what is not measured, unless some fixture of the user's is made from it."""
        return None if self.item is None else leave_out(fixturedef, request, self.item, self.request.role)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Build and run the model in the place of the test's body."""
        request, settings, session = self.request, settings_of(pyfuncitem), session_of(pyfuncitem.config)
        access = cast("KpiAccess", pyfuncitem.funcargs["kpi"])
        batches = real_batches(session.eval_data(access.data()).first(), request.batch_size)
        session.limit_threads(settings)
        first = self._built(pyfuncitem, batches)
        refuse_other_structure(request.role, first.structure, request.model)
        launch = self._memory_of_second(pyfuncitem, batches, first) if request.memory else first.launch
        if os.getpid() == self.process:  # what builds the model may have forked
            launch.write(Path(request.path))
        return True

    def _built(self, item: pytest.Function, batches: Sequence[Any]) -> Built:
        """Build the model, unless its fixture has been set up with the item's, and run it."""
        settings, access = settings_of(item), cast("KpiAccess", item.funcargs["kpi"])
        name = plan_of(item).student if self.request.role == "student" else self.request.role
        with self.launching.loading():
            candidate = access.candidate(self.request.role)
            model = adapt(candidate, loading_for(name, settings, alone=True))
        self._refuse_built_before(model)
        try:
            itself = weakref.ref(candidate)
        except TypeError:
            itself = None  # such as a path: it is loaded anew each time
        launch = self.launching.run(model, batches)
        return Built(launch, structure_of(model), self.launching.added.held_bytes, itself)

    def _memory_of_second(self, item: pytest.Function, batches: Sequence[Any], first: Built) -> Launch:
        """Let go of the model, build it again, and return the launch with the memory that this takes.

        Where it cannot be built twice the memory is the first build's, and the launch says why.
        """
        why = self._not_again()
        if not why:
            try:
                self._let_go(item)
                kept = first.itself() if first.itself is not None else None  # somebody else holds it
                self.launching = Launching(self.request, first.launch.import_s, again=True)
                for definition, request in self.set_ups:
                    with self.launching.loading():
                        definition.execute(request)
                second = self._built(item, batches)
            except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:  # noqa: BLE001 - the first stands
                why = f"building it a second time raised {cause_of(error)}"
            else:
                why = second.unlike(first, kept)
        return replace(first.launch, first_build=why) if why else first.launch.with_memory_of(second.launch)

    def _not_again(self) -> str:
        """Say what forbids a second build, if anything does."""
        if len(self.set_ups) > 1:
            return "its fixture overrides another of the same name"
        return "" if gives_back() else "the allocator of this process keeps freed memory"

    def _let_go(self, item: pytest.Function) -> None:
        """Tear down the model's fixture and what is made from it, and forget the model."""
        fixture = f"{self.request.role}_model"
        for definition, request in reversed(self.set_ups):
            definition.finish(request)
        for name in [name for name in item.funcargs if fixture in made_from(item, name)]:
            del item.funcargs[name]
        session_of(item.config).forget("spec")
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _refuse_built_before(self, model: Model) -> None:
        """Refuse to call a model small that was in memory before its fixture was called.

        Raises:
            MeasurementError: what was measured cannot hold its weights.
        """
        if model.file is not None or not self.request.memory or self.launching.again:
            return  # what comes from a file is built here, and may be mapped without being read
        figures = [
            (model.weight_bytes(), self.launching.added.held_bytes),
            (model.weight_bytes("cuda"), self.launching.gpu_held_bytes()),
        ]
        others = {f"{role}_model" for role in BUILT_ROLES if role != self.request.role}
        derived = self.item is not None and others.intersection(made_from(self.item, f"{self.request.role}_model"))
        role = self.request.role
        for weights, held in figures:
            if weights > SMALLEST_CHECKED_BYTES and held < weights / 2 and not derived:
                raise MeasurementError(
                    f"the weights of the {role} take {humanise(weights, 'B')}, and its fixture added only "
                    f"{humanise(max(held, 0), 'B')}: it was built before, by another fixture or at import. Build it "
                    f"in {role}_model"
                )


class MeasuredSetUp:
    """Measures the set-up of the model's fixture; its own fixtures, if it has any, are there before."""

    def __init__(self, launched: Launched) -> None:
        self.launched = launched
        self.fixture = f"{launched.request.role}_model"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Measure one fixture's own function, and remember how it is called."""
        if fixturedef.argname != self.fixture:
            return (yield)
        definitions = [definition for definition, _ in self.launched.set_ups]
        if fixturedef not in definitions:
            self.launched.set_ups.append((fixturedef, request))
        with self.launched.launching.loading():
            return (yield)


def measure_launch(config: pytest.Config, request: Request) -> None:
    """Make this process one that only measures a launch, if that is what it is asked for."""
    if not isinstance(request, LaunchRequest):
        return
    for library in request.frameworks:
        for adapter in _ADAPTERS.get(library, ()):
            importlib.import_module(f"pytest_modelbench.models.adapters.{adapter}")
    launched = Launched(request, config.stash.get(IMPORT_S, 0.0))
    config.pluginmanager.register(launched, "modelbench-launched")
    config.pluginmanager.register(MeasuredSetUp(launched), "modelbench-measured-set-up")
