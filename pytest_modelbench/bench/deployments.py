"""Exports that a session makes: each once, in a fresh process, for the gates on exports and for derived students."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.bench.asking import Bench, Built, ItemPlan
from pytest_modelbench.bench.loaded import loading_for
from pytest_modelbench.bench.shelf import Job, Tell, Wire
from pytest_modelbench.data.arrays import rows
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import ModelError, ProcessLost
from pytest_modelbench.exports.deployed import Deployed, key_of_source, name_of_source
from pytest_modelbench.exports.options import ExportOptions, Target, parse_target
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.exports.steps import Exported, Status, Step
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import SavedModel
from pytest_modelbench.probes.wire import Arrays
from pytest_modelbench.store.export_record import keep_export
from pytest_modelbench.store.file_names import file_name


class Deployments:
    """The exports of one item's models.

    Args:
        bench: the parts of the session.
        plan: the item.
        sources: where its models and data come from.
    """

    def __init__(self, bench: Bench, plan: ItemPlan, sources: Built) -> None:
        self._bench = bench
        self._plan = plan
        self._sources = sources

    def exported(self, role: str, targets: Sequence[str], options: ExportOptions) -> list[Exported]:
        """Return a model's exports, one for each format; of a student that is deployed, those of its source.

        Args:
            role: "student", "teacher" or "previous".
            targets: the formats, as `parse_target` reads them.
            options: what is asked of each.

        Raises:
            MeasurementError: the fresh process cannot build the model, or builds another one.
        """
        candidate, name = self._sources.candidate(role), self._plan.student if role == "student" else role
        if isinstance(candidate, Deployed):
            candidate, name = candidate.source, name_of_source(name, candidate.target)
        return [self._exported(role, candidate, name, parse_target(target), options) for target in targets]

    def file_of(self, deployed: Deployed) -> SavedModel:
        """Return the file that the item's student is deployed as, exported once.

        Raises:
            ModelError: the export is not ready; the message has the step, what was seen and the remedy.
            MeasurementError: see `exported`.
        """
        plan = self._plan
        what = (plan.student, key_of_source(deployed.source), deployed.target)
        key = ("deployed", *what, plan.home, plan.origin, plan.settings)
        return self._bench.shelf.once(key, functools.partial(self._file_of, deployed))

    def _file_of(self, deployed: Deployed) -> SavedModel:
        plan, target = self._plan, parse_target(deployed.target)
        source = name_of_source(plan.student, deployed.target)
        options = ExportOptions(seed=plan.settings.seed)
        exported = self._exported("student", deployed.source, source, target, options)
        notes = {name: value for name, value in exported.to_json().items() if name != "file"}
        self._bench.notes.models.setdefault(plan.student, {})["deployed"] = {"source": source, **notes}
        if not exported.ready or exported.file is None:
            raise ModelError(f"{plan.student}: {not_ready(source, exported)}")
        provider = (("provider", target.provider),) if target.provider else ()
        return SavedModel(str(exported.file), provider, trusted=True, pads=target.variant == "fixed")

    def _exported(self, role: str, candidate: Any, name: str, target: Target, options: ExportOptions) -> Exported:
        bench, plan, settings = self._bench, self._plan, self._plan.settings
        loading = loading_for(name, settings)
        model = bench.shelf.once(
            ("hash of a source", key_of_source(candidate), loading), lambda: adapt(candidate, loading).fingerprint()
        )
        data = bench.loaded.eval_data(self._sources.data()).first()
        text = json.dumps(options.to_json(), sort_keys=True)
        run = (name, str(target), text, plan.home, plan.origin, settings.device, settings.threads)
        job = Job(
            kind="export",
            same=(*run, model, data.key),
            run=run,
            measure=functools.partial(self._export, role, model, name, target, options),
            wire=Wire(pack_exported, unpack_exported),
            shown=f"exporting {name} to {target} in a fresh process",
        )
        exported = bench.shelf.take(job)
        recorded = bench.files.recorded
        return recorded.find(name, exported, model) if recorded is not None and untried(exported) else exported

    def _export(
        self, role: str, model: str, name: str, target: Target, options: ExportOptions, tell: Tell
    ) -> Exported:
        tell(0.0, options.budget_s)
        folder = tempfile.mkdtemp(prefix="export-", dir=self._bench.files.folder())
        request = ExportRequest(
            role=role,
            model=model,
            target=str(target),
            options=options.to_json(),
            folder=folder,
            budget_s=options.budget_s,
        )
        try:
            exported: Exported = self._bench.fresh(self._plan.nodeid, request)
        except ProcessLost as error:
            return lost(target, error)
        self._keep(folder, name, target)
        if self._bench.files.recording is not None and not untried(exported):
            keep_export(self._bench.files.recording, name, exported, model)
        return exported

    def _keep(self, folder: str, name: str, target: Target) -> None:
        """Copy the files to where the user wants to keep them; other files there stay."""
        kept = self._bench.files.kept
        if kept is not None and any(Path(folder).iterdir()):
            shutil.copytree(folder, kept / file_name(name) / file_name(str(target)), dirs_exist_ok=True)


def export_batches(data: EvalData, samples: int) -> list[Any]:
    """Return the inputs of the first batches of the data, in its batch size, with at least so many samples."""
    inputs: list[Any] = []
    count = 0
    for batch in data.batches():
        inputs.append(batch.inputs)
        count += rows(batch.inputs)
        if count >= samples:
            break
    return inputs


def untried(exported: Exported) -> bool:
    """Whether this machine could not try the format, for what it needs is not installed."""
    step = exported.stopped_at
    return step is not None and step.name == "install" and step.status is Status.ERROR


def not_ready(source: str, exported: Exported) -> str:
    """Say at which step an export stopped, what was seen there, and what to do."""
    step = exported.stopped_at
    if step is None:
        return f"the export of {source} to {exported.target} is not ready: a required step was not taken"
    remedy = f". {step.remedy}" if step.remedy else ""
    return f"the export of {source} to {exported.target} is not ready: {step.name}: {step.evidence}{remedy}"


def lost(target: Target, error: ProcessLost) -> Exported:
    """Return the export whose process crashed or took too long."""
    remedy = (
        "Export the model by itself to see where it stops"
        if "did not end" in error.how
        else "Export the model by itself, and report the crash to the exporter's project"
    )
    step = Step(name="export", status=Status.FAIL, evidence=f"its process {error.how}", remedy=remedy)
    return Exported(target=str(target), steps=(step,))


def pack_exported(exported: Exported) -> Arrays:
    """Return an export as arrays, for other workers."""
    return {"text": np.array(json.dumps(exported.to_json()))}


def unpack_exported(arrays: Arrays) -> Exported:
    """Return what `pack_exported` packed."""
    return Exported.from_json(json.loads(str(arrays["text"])))
