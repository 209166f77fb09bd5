"""Exports a model to one format, step by step: no step follows a required one that did not pass."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import leaves, map_tree, rows, take
from pytest_modelbench.errors import ModelbenchError, ModelError, NotApplicable, cause_of
from pytest_modelbench.exports.exporters import EXPORTERS, Exporter, imported, versions
from pytest_modelbench.exports.options import ExportOptions, Target
from pytest_modelbench.exports.parity import Parity, compare, join
from pytest_modelbench.exports.remedies import (
    DENSE_ZEROS,
    MASKS,
    OUT_OF_BOUNDS,
    attached_masks,
    explained,
    remedy_for,
)
from pytest_modelbench.exports.source import Source, evaluating, rows_of, source_of
from pytest_modelbench.exports.speed import speedup
from pytest_modelbench.exports.steps import STOPPING, Exported, Status, Step
from pytest_modelbench.exports.taking import NotReadyError, Seen, taken
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading, SavedModel

HALF_PARITY = 2e-3
"""The greatest parity that passes for a variant with weights in float16, where a smaller one is asked for."""
HALVES = frozenset({"fp16", "f16"})
MOST_ALONE = 64
"""How many samples are run one by one to compare their labels with those of a batch."""
_LOST_BATCH = (
    "Export with a named size or Dim.DYNAMIC for the batch, and without int(x.shape[0]) in the model; or write "
    "':fixed' after the format to allow one batch size only"
)
_TOO_LARGE = "Export in half precision ('onnx:fp16', 'openvino:f16'), quantise the student, or raise size="
_TOO_SLOW = "Judge the exported student by latency_p50 at other batch sizes (deploy=), or lower speed="
_TOO_NOISY = "Repeat it on a quiet machine, or give speed= a limit further from the value"
_SINGLE_PRECISION = (
    "skl2onnx computes in float32, and a tree's thresholds or large values need more: scale the features before the "
    "estimator, or keep them in float64 up to the scaler"
)


def export_to(
    model: Model,
    batches: Sequence[Any],
    target: Target,
    folder: Path,
    options: ExportOptions,
    beat: Callable[[], None] = lambda: None,
) -> Exported:
    """Export a model and find out whether the file is ready to be deployed.

    The model is left as it was: exporters get a copy, or the model itself if it cannot be copied. Nothing is printed.

    Args:
        model: a torch module or a scikit-learn estimator in its adapter.
        batches: of real inputs as the model takes them, the first of the data's batch size; at least one.
        target: the format with its variant and provider.
        folder: where files are written; it is created.
        options: of the export and its checks.
        beat: called after each step and each call of a model.
    """
    trial = _Trial(model, batches, target, folder, options, beat)
    trial.run()
    return Exported(target=str(target), steps=tuple(trial.steps), file=trial.file, tools=trial.tools)


class _Trial:
    """One export while it is under way."""

    def __init__(
        self,
        model: Model,
        batches: Sequence[Any],
        target: Target,
        folder: Path,
        options: ExportOptions,
        beat: Callable[[], None],
    ) -> None:
        self.model, self.batches, self.target, self.folder = model, batches, target, folder
        self.options, self.beat = options, beat
        self.steps: list[Step] = []
        self.tools: dict[str, str] = {}
        self.file: Path | None = None
        self.reference: list[Any] = []
        self.deployed: Model | None = None

    @property
    def limit(self) -> float:
        """The greatest parity that passes."""
        return max(self.options.parity, HALF_PARITY) if self.target.variant in HALVES else self.options.parity

    def run(self) -> None:
        """Take the steps in their order, until one does not pass."""
        every: tuple[tuple[str, Callable[[], Seen]], ...] = (
            ("install", self.install),
            ("export", self.export),
            ("check", self.check),
            ("load", self.load),
            ("run", self.first_batch),
            ("parity", self.parity),
            ("dynamic_batch", self.dynamic_batch),
            ("alone_and_in_batch", self.alone_and_in_batch),
            ("size", self.size),
            ("speed", self.speed),
        )
        for name, work in every:
            step = taken(name, work)
            self.steps.append(step)
            self.beat()
            if step.status in STOPPING:
                return

    def install(self) -> Seen:
        """Import the exporter and the runtime."""
        name = self.target.format
        try:
            self.tools = versions(EXPORTERS[name], estimator=self._estimator)
        except (ImportError, OSError) as error:
            if EXPORTERS[name].screened:
                raise self._screened() from error
            raise NotReadyError(
                f"a package that it needs cannot be imported ({cause_of(error)})",
                f"Install it: pip install {EXPORTERS[name].install}",
                status=Status.ERROR,
            ) from error
        return Seen(evidence=", ".join(f"{tool} {version}" for tool, version in self.tools.items()))

    def _screened(self) -> NotReadyError:
        """Screen the model for TensorRT, which cannot run here, and write what to run where it can."""
        from pytest_modelbench.exports.screening import screened

        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = self._asked(self._eager, self.batches)
        source = source_of(self.model, self.batches, self.target, self.options, self.reference[0])
        with evaluating(source):
            evidence, numbers = screened(source, self.batches, self.reference, self.folder)
        remedy = (
            "With an NVIDIA GPU run the commands in tensorrt.sh, which --modelbench-artifacts=DIR keeps, or the "
            "suite with --modelbench-record-export=PATH, and pass --modelbench-export-record=PATH here"
        )
        return NotReadyError(evidence, remedy, numbers, status=Status.ERROR)

    @property
    def _estimator(self) -> bool:
        return self.model.kind == "sklearn"

    @property
    def _exporter(self) -> Exporter:
        return EXPORTERS[self.target.format]

    def export(self) -> Seen:
        """Write the file from a copy of the model, in evaluation mode."""
        if self._estimator and not self._exporter.estimators:
            raise NotReadyError(
                f"{self.model.name} is a scikit-learn estimator, which is exported to onnx only", "Write 'onnx'"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = self._asked(self._eager, self.batches)
        source = source_of(self.model, self.batches, self.target, self.options, self.reference[0])
        notes, remedy = _of_pruning(source)
        try:
            with evaluating(source):
                self.file = self._exporter.function(self.target.variant)(source, self.folder)
        except Exception as error:
            evidence, advice = explained(error)
            raise NotReadyError("; ".join([evidence, *notes]), advice or remedy) from error
        return Seen(evidence="; ".join([self.file.name, *notes]), remedy=remedy, numbers={"bytes": self._bytes})

    @property
    def _bytes(self) -> int:
        """The size of all files of the format."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @functools.cached_property
    def _eager(self) -> Model:
        """The model that answers are compared with: in float32, where the module is in half precision."""
        if str(getattr(self.model, "dtype", "")) not in {"torch.float16", "torch.bfloat16"}:
            return self.model
        from pytest_modelbench.models.adapters.torch_module import TorchModel

        module = self.model.copied_module() if isinstance(self.model, TorchModel) else None
        return self.model if module is None else TorchModel(module.float(), self.model.name)

    def check(self) -> Seen:
        """Check the file by its format's own checker."""
        if not self._exporter.check:
            return Seen(status=Status.SKIP, evidence=f"{self.target.format} has no checker")
        return Seen(evidence=str(imported(self._exporter.check)(self.file)))

    def load(self) -> Seen:
        """Load the file with the threads of torch, on the provider that is asked for."""
        provider = (("provider", self.target.provider),) if self.target.provider else ()
        self.deployed = adapt(
            SavedModel(str(self.file), options=provider, trusted=True),
            Loading(name=f"{self.model.name}@{self.target}", threads=_threads(), pads=self.target.variant == "fixed"),
        )
        description = self.deployed.describe()
        shown = {key: description[key] for key in ("provider", "threads", "precision") if description.get(key)}
        evidence = ", ".join(f"{key} {value}" for key, value in shown.items() if not isinstance(value, dict))
        return Seen(evidence=evidence, numbers=shown)

    def first_batch(self) -> Seen:
        """Run the first batch."""
        batch = self.batches[0]
        self._asked(self._loaded, [batch])
        return Seen(evidence=f"a batch of {rows(batch)}", numbers={"rows": rows(batch)})

    @property
    def _loaded(self) -> Model:
        if self.deployed is None:
            raise NotReadyError("the file was not loaded")
        return self.deployed

    def parity(self) -> Seen:
        """Compare the file's outputs with the model's on all batches of the first one's size."""
        same = [i for i, batch in enumerate(self.batches) if rows(batch) == rows(self.batches[0])]
        batches, reference = [self.batches[i] for i in same], [self.reference[i] for i in same]
        parity = join(
            [
                compare(ours, theirs, rows=rows(batch))
                for batch, ours, theirs in zip(batches, reference, self._asked(self._loaded, batches), strict=True)
            ]
        )
        numbers = {**parity.to_json(), "limit": self.limit}
        if parity.nothing or parity.broken or parity.value > self.limit:
            words = self._parity_in_words(parity)
            remedy = _SINGLE_PRECISION if self._estimator and not parity.broken else self._remedy_of(words)
            raise self._blamed(parity, batches, reference, remedy or self._told_remedy(), numbers)
        return Seen(evidence=self._parity_in_words(parity), numbers=numbers)

    def _blamed(
        self,
        parity: Parity,
        batches: Sequence[Any],
        reference: Sequence[Any],
        remedy: str,
        numbers: Mapping[str, Any],
    ) -> NotReadyError:
        """Say what a failed comparison comes from, if another way to run the same file is right."""
        words = self._parity_in_words(parity)
        if self.target.format != "onnx" or parity.nothing or parity.broken:
            return NotReadyError(words, remedy, numbers)
        from pytest_modelbench.exports.blame import blame
        from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel

        def value_of(model: Model) -> float:
            pairs = zip(batches, reference, self._asked(model, batches), strict=True)
            return join([compare(ours, theirs, rows=rows(batch)) for batch, ours, theirs in pairs]).value

        cause = blame(self.deployed, value_of, self.limit) if isinstance(self.deployed, OnnxModel) else None
        if cause is None:
            return NotReadyError(words, remedy, numbers)
        return NotReadyError(f"{words}; {cause.evidence}", cause.remedy, {**numbers, "cause": cause.cause})

    def _remedy_of(self, words: str) -> str:
        """Return the remedy for other values; memory outside of a tensor may hold any, also NaN."""
        warned = any(OUT_OF_BOUNDS in step.evidence for step in self.steps if step.name == "export")
        return "" if warned else remedy_for(words)

    def _told_remedy(self) -> str:
        """Return the remedy for what the exporter warned of."""
        exported = next((step for step in self.steps if step.name == "export"), None)
        return remedy_for(exported.evidence) if exported else ""

    def _parity_in_words(self, parity: Parity) -> str:
        if parity.nothing or parity.broken:
            return parity.as_words()
        worst = parity.mislabelled or f"worst: output {parity.worst_output!r}, sample {parity.worst_sample}"
        sign = "<=" if parity.value <= self.limit else ">"
        return f"{parity.value:.3g} {sign} {self.limit:g}, {parity.as_words()}; {worst}; {parity.samples} samples"

    def dynamic_batch(self) -> Seen:
        """Run each batch size that is asked for, and compare: neither fewer rows nor another row's values pass."""
        if self.target.variant == "fixed":
            return Seen(status=Status.SKIP, evidence="a fixed batch size is allowed")
        first = self.batches[0]
        sized = {size: rows_of(first, size) for size in (*self.options.batch_sizes, rows(first))}
        sized |= {rows(batch): batch for batch in self.batches if rows(batch) != rows(first)}
        values = {str(size): self._at_size(batch, size) for size, batch in sized.items()}
        return Seen(evidence=f"batch sizes {', '.join(values)}", numbers={"parity": values})

    def _at_size(self, batch: Any, size: int) -> float:
        reference = self._asked(self._eager, [batch])[0]
        try:
            outputs = self._asked(self._loaded, [batch])[0]
        except ModelError as error:
            evidence, _ = explained(error)
            raise NotReadyError(f"batch size {size} does not run: {evidence}", _LOST_BATCH) from error
        parity = compare(reference, outputs, rows=size)
        if parity.nothing or parity.broken:
            raise NotReadyError(f"batch size {size}: {parity.as_words()}", _LOST_BATCH, {"batch_size": size})
        if parity.value > self.limit:
            numbers = {"batch_size": size, "parity": parity.value}
            remedy = self._told_remedy() or _LOST_BATCH
            raise NotReadyError(f"batch size {size}: {self._parity_in_words(parity)}", remedy, numbers)
        return parity.value

    def alone_and_in_batch(self) -> Seen:
        """Count samples whose label changes when they are run alone; reported, never a failure."""
        if self.target.variant == "fixed":
            return Seen(status=Status.SKIP, evidence="a fixed batch size is allowed")
        batch = take(self.batches[0], 0, MOST_ALONE)
        count = rows(batch)
        alone = self._asked(self._loaded, [take(batch, i, i + 1) for i in range(count)])
        whole = self._asked(self._loaded, [batch])[0]
        changed = _changed_labels(whole, alone, count)
        if changed is None:
            return Seen(status=Status.SKIP, evidence="the outputs have no labels")
        return Seen(
            evidence=f"{changed} of {count} samples have another label alone than in a batch",
            numbers={"changed": changed, "samples": count},
        )

    def size(self) -> Seen:
        """Weigh all files of the format, where a limit is given."""
        most, size = self.options.size, self._bytes
        numbers = {"bytes": size, "limit": most}
        if most is None:
            return Seen(status=Status.SKIP, evidence="no size= is given", numbers=numbers)
        if size > most:
            raise NotReadyError(f"{humanise(size, 'B')} > {humanise(most, 'B')}", _TOO_LARGE, numbers)
        return Seen(evidence=f"{humanise(size, 'B')} <= {humanise(most, 'B')}", numbers=numbers)

    def speed(self) -> Seen:
        """Time the file and its source by turns, where a limit is given; what noise decides is inconclusive."""
        least = self.options.speed
        if least is None:
            return Seen(status=Status.SKIP, evidence="no speed= is given")
        gain = speedup(self.model, self._loaded, self.batches[0], self.beat)
        low, high = gain.low or 0.0, math.inf if gain.high is None else gain.high
        words = f"{gain.value:.3g}x as fast as the source ({low:.3g}x to {high:.3g}x)"
        numbers = {"speedup": gain.value, "low": gain.low, "high": gain.high, "limit": least}
        if low >= least:
            return Seen(evidence=f"{words}, >= {least:g}x", numbers=numbers)
        if high < least:
            raise NotReadyError(f"{words}, < {least:g}x", _TOO_SLOW, numbers)
        raise NotReadyError(f"{words}, around {least:g}x", _TOO_NOISY, numbers, status=Status.INCONCLUSIVE)

    def _asked(self, model: Model, batches: Sequence[Any]) -> list[Any]:
        """Return a model's outputs for some batches, as trees of copied arrays that later calls do not change."""
        outputs = []
        for batch in batches:
            outputs.append(map_tree(_own, model(batch)))
            self.beat()
        return outputs


def _own(leaf: Any) -> Any:
    return leaf.detach().cpu().clone() if hasattr(leaf, "detach") else leaf


def _of_pruning(source: Source) -> tuple[list[str], str]:
    """Say which pruning masks are still attached, and that zeros of 2:4 sparsity are stored as dense."""
    if source.model.kind == "sklearn":
        return [], ""
    masks = attached_masks(source.module)
    if masks:
        return [f"pruning masks or parametrisations are attached and are exported too: {', '.join(masks[:3])}"], MASKS
    try:
        sparse = source.model.count_parameters().in_two_of_four
    except (ModelbenchError, NotApplicable):
        return [], ""
    return ([f"{sparse:,} parameters are 2:4 sparse, stored as dense"], DENSE_ZEROS) if sparse else ([], "")


def _threads() -> int | None:
    """Return how many threads torch uses; None where torch is not loaded."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _changed_labels(whole: Any, alone: Sequence[Any], count: int) -> int | None:
    """Return how many rows have their largest value elsewhere alone than in the batch; None without such outputs."""
    changed = None
    for at, leaf in enumerate(leaves(whole)):
        scores = np.asarray(leaf)
        if scores.ndim < 2 or scores.shape[0] != count or scores.shape[-1] < 2 or scores.dtype.kind != "f":
            continue
        ones = np.concatenate([np.asarray(leaves(output)[at]) for output in alone])
        same = (scores.argmax(-1) == ones.argmax(-1)).reshape(count, -1).all(axis=1)
        changed = max(changed or 0, int((~same).sum()))
    return changed
