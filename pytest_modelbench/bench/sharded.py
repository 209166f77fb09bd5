"""What gates may ask of data that come in shards: one pass over all of them answers all gates of a student."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.deployments import Deployments
from pytest_modelbench.bench.engines.engine import Engine
from pytest_modelbench.bench.loaded import loading_for
from pytest_modelbench.bench.shard_cache import prepared
from pytest_modelbench.bench.shard_pass import Passed, ShardPass, not_resumed, pass_key
from pytest_modelbench.bench.shard_task import ANCHOR, UNKNOWN_CONTENT, ModelSource, ShardTask, Spot
from pytest_modelbench.bench.shelf import Job, Tell
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.shards.sharded import ShardedData
from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.exports.deployed import Deployed
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.kpis.anchored import doubt_of
from pytest_modelbench.kpis.kpi import Question, derivation_of
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.kinds import OUTPUTS, PREDICTIONS

IN_PARTS = (PREDICTIONS, OUTPUTS)
"""The kinds of measurement that are one pass over the data."""


class Sharded:
    """The part of `kpis.kpi.Measurements` that is about data in shards."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._shelf = asking.bench.shelf
        self._notes = asking.bench.notes

    def merged(self, question: Question) -> Summary | None:
        """Return what all shards add to a question's evidence; None of data that are not in shards.

        Raises:
            ModelbenchError: a shard cannot be read or a model failed; or the question cannot be asked of a shard.
            MeasurementError: a limit rests on a teacher that is no better than a constant.
        """
        data = self._data()
        if data is None:
            return None
        if isinstance(question.options.get("bins"), int):
            raise MeasurementError(
                f"{question.kpi.name}: bins={question.options['bins']} groups of equal size depend on all samples at "
                "once, and these are in shards. Write the edges: bins=[18, 30, 50]"
            )
        passed, key = self._passed(data), _key(question)
        if key in passed.failures:
            raise passed.failures[key][1]
        if question.anchored and ANCHOR in passed.failures:
            raise passed.failures[ANCHOR][1]
        if question.anchored and (doubt := doubt_of(passed.summaries[ANCHOR], "teacher")):
            raise MeasurementError(f"{doubt}. Put it right, or write allow_weak_teacher=True")
        return replace(passed.summaries[key], memo=passed.memo)

    def outputs(self, role: str) -> Outputs | None:
        """Return a model's outputs for all samples, in the order of their hashes; None of data not in shards.

        Raises:
            NotApplicable: there are too many samples.
        """
        data = self._data()
        if data is None:
            return None
        columns = self._passed(data).columns
        if columns is None:
            raise MeasurementError(f"the outputs of {role} were not gathered")
        name = self._asking.model(role).name
        return self._shelf.once(("gathered", id(columns), role), lambda: columns.outputs(role, name))

    def _data(self) -> ShardedData | None:
        data = self._asking.data()
        return data if isinstance(data, ShardedData) else None

    def _passed(self, data: ShardedData) -> Passed:
        """Return what the pass over all shards came to, made once for all gates of a student."""
        asking, engine = self._asking, self._asking.bench.engines.of(self._asking.settings)
        asked, anchored, gathered, roles = self._asked()
        models = {role: self.source(role, data, alone=engine.name == "serial") for role in roles}

        def measure(tell: Tell) -> Passed:
            refuse_many_workers(engine)
            lasting = asking.bench.files.lasting()
            task = ShardTask(
                reader=data.reader,
                models=models,
                asked=asked,
                anchored=anchored,
                gathered=gathered,
                kept=prepared(lasting, [source.content for source in models.values()]),
                budget_s=asking.settings.budget_s,
            )
            needed, key = memory_of_workers(engine), pass_key(task, data)
            folder = None if lasting is None or key is None else lasting / "passes" / key
            passed = ShardPass(data, task, folder, resume=asking.settings.resume).run(engine, tell)
            unknown = [not_resumed(task)] if key is None and asking.settings.resume else []
            self._note(data, passed, engine.describe() + needed, unknown)
            return passed

        content = tuple((role, source.content, source.loading) for role, source in models.items())
        job = Job(
            kind="shards",
            same=(content, data.key, tuple(sorted(asked)), anchored, gathered, asking.settings),
            measure=measure,
            shown=f"{' and '.join(source.loading.name for source in models.values())} over {len(data.names):,} shards"
            f" ({engine.describe()}{memory_of_workers(engine)})",
        )
        return self._shelf.take(job)

    def _asked(self) -> tuple[dict[str, Question], bool, bool, list[str]]:
        """Return what the gates of this student ask of each shard.

        Returns:
            The questions by key; whether one rests on the teacher; whether one needs all outputs at once; and the
            roles of the models that are asked.
        """
        asking = self._asking
        gates: list[Assignment] = [asking.gate]
        if not asking.roles:
            gates += asking.bench.of_kinds(asking.plan, [kind.name for kind in IN_PARTS])
        asked: dict[str, Question] = {}
        anchored = gathered = paired = False
        for gate in gates:
            if gate.kpi.probe not in IN_PARTS or "under" in gate.options:
                continue
            question = gate.question(with_teacher=gate.with_teacher or bool(asking.roles), seed=asking.settings.seed)
            derivation = derivation_of(gate.kpi)
            paired = paired or question.with_teacher or gate.kpi.paired
            if not isinstance(derivation, Reduction):
                gathered = gathered or "transform" not in gate.options  # which is refused over shards
                continue
            paired = paired or (derivation.excused and asking.has("teacher") and not asking.contract_for("teacher"))
            asked[_key(question)] = replace(question, anchored=False)
            anchored = anchored or question.anchored
        return asked, anchored, gathered, ["student", "teacher"] if paired else ["student"]

    def source(self, role: str, data: EvalData, *, alone: bool) -> ModelSource:
        """Return how a worker gets the model of a role.

        Args:
            role: of the model.
            data: whose first samples tell whether it is the same model, if its content has no hash.
            alone: whether the session's own process is the worker.

        Raises:
            MeasurementError: only this process has it.
            NotApplicable: it is the teacher, and the session only has its contract.
        """
        asking = self._asking
        if asking.contract_for(role) is not None:
            raise NotApplicable(
                "data in shards are judged beside the teacher itself, and this session has its contract"
            )
        model = asking.model(role)
        given: Any = model if alone else self._portable(role)
        if given is None:
            raise MeasurementError(
                f"the workers of the engine build {model.name} themselves, and what its fixture returns is an object "
                f"of this process. Name its factory: --modelbench-{role} module:function, [models] in "
                "modelbench.toml, or return the path of a saved model"
            )
        content, spot = asking.hash_of(model), None
        if not alone and UNKNOWN_CONTENT in content:
            spot = self._shelf.once(("spot", content, data.key), lambda: Spot.of(model, data.first()))
        loading = loading_for(model.name, asking.settings)
        lasting = self._shelf.once(("lasting", model.serial), model.lasting_hash)
        return ModelSource(given=given, loading=loading, content=content, spot=spot, lasting=lasting)

    def _portable(self, role: str) -> Any:
        """Return what another process can make a role's model from."""
        asking = self._asking
        candidate = asking.sources.candidate(asking.roles.get(role, role))
        if isinstance(candidate, Deployed):
            candidate = Deployments(asking.bench, asking.plan, asking.sources).file_of(candidate)
        return asking.bench.loaded.portable(candidate)

    def _note(self, data: ShardedData, passed: Passed, engine: str, unknown: list[str]) -> None:
        for model, calls in passed.calls.items():
            self._notes.forward_passes[model] = self._notes.forward_passes.get(model, 0) + calls
        notes = self._notes.data.setdefault(self._asking.plan.suite, {})
        resumed = [f"{passed.resumed:,} shards from an earlier run"] if passed.resumed else []
        notes |= {"samples": passed.manifest.n, "hash": passed.manifest.digest, "engine": engine}
        notes["notes"] = [*dict.fromkeys([*data.notes, *resumed, *unknown, *notes.get("notes", [])])]


def memory_of_workers(engine: Engine) -> str:
    """Say how much memory the workers of this machine take: each about what this process has now.

    This process has loaded the same libraries and the same models.
    """
    return f", about {format_judged(_rss(), 'B')} each" if engine.name == "processes" else ""


def refuse_many_workers(engine: Engine) -> None:
    """Refuse workers that this machine has no memory for; what those of the pass before have is free.

    Raises:
        MeasurementError: there is less memory.
    """
    if engine.name != "processes":
        return
    import psutil

    each, free = _rss(), psutil.virtual_memory().available
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            free += child.memory_info().rss
    if engine.workers * each > free:
        raise MeasurementError(
            f"{engine.workers} workers need about {format_judged(each, 'B')} each, as this process does, and "
            f"{format_judged(free, 'B')} are free. Write --modelbench-workers={max(1, free // each)}"
        )


def _rss() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _key(question: Question) -> str:
    """Return a text that is equal for questions that read shards alike."""
    options = sorted((name, repr(value)) for name, value in question.options.items() if name != "confidence")
    return f"{question.kpi.name}|{options}|{question.with_teacher}|{question.lenient}"
