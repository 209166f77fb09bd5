"""Hugging Face: models saved by `save_pretrained()` or on the hub, and pipelines."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from pytest_modelbench.data.arrays import leaves
from pytest_modelbench.errors import ModelError, message_of, visible
from pytest_modelbench.models.adapters.causal_lm import LanguageModel, generates
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.models.reads import follow
from pytest_modelbench.models.saved import HUB, Loading

_PIPELINES = ("text-classification", "image-classification", "audio-classification")
_TEXT_PIPELINES = ("text-generation", "text2text-generation", "summarization", "translation")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
)


class PretrainedModel(TorchModel):
    """A model of the transformers library, loaded from a folder or from the hub.

    Args:
        module: of the transformers library.
        loading: the model's name, and its device.
        source: the folder, or the name on the hub.
        why_no_text: why it answers no prompts, where it generates.
    """

    libraries = ("torch", "transformers")

    def __init__(self, module: Any, loading: Loading, source: str, why_no_text: str = "") -> None:
        super().__init__(module, loading.name, loading.device)
        self.why_no_text = why_no_text
        self._came_from(source)

    def _came_from(self, source: str) -> None:
        self.source = source
        self.file = Path(source) if Path(source).is_dir() else None

    def _files(self) -> list[Path]:
        return sorted(file for file in Path(self.source).rglob("*") if file.is_file())

    def fingerprint(self) -> str:
        """Hash the folder's files; a model from the hub by what it computes."""
        if not Path(self.source).is_dir():
            return super().fingerprint()
        digest = hashlib.blake2b(digest_size=16)
        for path in self._files():
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "blake2b").digest())
        return f"file:{digest.hexdigest()}"

    def artefact(self) -> Artefact:
        """Return the size of the folder's files; of a model from the hub, that of its weights."""
        folder = Path(self.source)
        if not folder.is_dir():
            return super().artefact()
        size = sum(file.stat().st_size for file in self._files())
        return Artefact(size_bytes=size, method=f"all files of {folder.name}/")

    def describe(self) -> dict[str, Any]:
        """Return where it came from too."""
        return {**super().describe(), "format": "Hugging Face", "file": Path(self.source).name}


class PretrainedLanguageModel(PretrainedModel, LanguageModel):
    """A language model from a folder or from the hub, with the tokeniser that was saved with it."""

    def __init__(self, module: Any, tokenizer: Any, loading: Loading, source: str) -> None:
        LanguageModel.__init__(self, module, tokenizer, loading.name, loading.device)
        self._came_from(source)


def load_pretrained(source: str, loading: Loading) -> Model:
    """Load a folder that `save_pretrained()` wrote, or `hf://organisation/name[@revision]`.

    The class is the one that the configuration names; weights are read from safetensors only, unless pickles are
    allowed.

    Raises:
        ModelError: there is no such model, it names no class, or its weights are pickled.
    """
    name, _, revision = source.removeprefix(HUB).partition("@") if source.startswith(HUB) else (source, "", "")
    where: dict[str, Any] = {"revision": revision} if revision else {}
    if not source.startswith(HUB):
        where["local_files_only"] = True  # a folder never asks the hub
    keywords = where if loading.allow_pickle else {**where, "use_safetensors": True}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **where)
        classes = getattr(config, "architectures", None) or []
        if not classes or not hasattr(transformers, classes[0]):
            raise ModelError(
                f"{loading.name}: the configuration of {name} names no class of transformers ({classes}). "
                "Load it in a factory: AutoModelFor....from_pretrained(...)"
            )
        module, info = getattr(transformers, classes[0]).from_pretrained(name, output_loading_info=True, **keywords)
    except (OSError, ValueError, ImportError) as error:
        first = message_of(error)
        raise ModelError(f"{loading.name}: {source} cannot be loaded by transformers: {first}") from error
    refuse_random(info, classes[0], source, loading)
    tokenizer, why_none = _tokenizer_of(name, where) if generates(module) else (None, "")
    if tokenizer is None:
        return PretrainedModel(module, loading, name, why_none)
    return PretrainedLanguageModel(module, tokenizer, loading, name)


def refuse_random(info: Mapping[str, Any], class_name: str, source: str, loading: Loading) -> None:
    """Refuse a model of which some weights were not saved.

    Args:
        info: what `from_pretrained(..., output_loading_info=True)` says of the loading.
        class_name: of the module.
        source: of the weights.
        loading: the model's name.

    Raises:
        ModelError: naming the weights.
    """
    absent = sorted(map(str, [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]))
    if absent:
        raise ModelError(
            f"{loading.name}: {source} lacks weights of {class_name}, which would be random: {', '.join(absent[:3])}"
            f"{' ...' if len(absent) > 3 else ''} ({len(absent)})"
        )


def _tokenizer_of(name: str, where: dict[str, Any]) -> tuple[Any, str]:
    """Return the tokeniser that was saved with a model; or None, and why there is none: token ids need none."""
    folder = Path(name)
    if folder.is_dir() and not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        return None, f"{name} has no tokenizer. Write tokenizer.save_pretrained({name!r})"
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **where), ""
    except Exception as error:  # noqa: BLE001 - readers raise what they meet, also that a package is missing
        cause = visible(" ".join(str(error).split()))
        return None, f"the tokenizer in {name} cannot be loaded by transformers: {cause:.300}"


def from_pipeline(pipeline: Any, name: str) -> Model:
    """Return the model of a pipeline: one that generates text, or a classifier.

    Raises:
        ModelError: the pipeline is for another task, or has no tokenizer.
    """
    if not pipeline.task.startswith(_TEXT_PIPELINES):
        return PipelineModel(pipeline, name)
    prefix = getattr(pipeline, "prefix", None) or getattr(pipeline.model.config, "prefix", None) or ""
    return LanguageModel(pipeline.model, pipeline.tokenizer, name, prefix=prefix)


class PipelineModel(Model):
    """A classifying pipeline: raw inputs (texts, images) in, one probability per label out, in the order of its ids.

    Tokenising and the like are part of the service, so they are timed too. The batch size is that of the batch.

    Raises:
        ModelError: the pipeline is for another task.
    """

    kind = "pipeline"
    libraries = ("torch", "transformers")

    def __init__(self, pipeline: Any, name: str) -> None:
        super().__init__(name)
        if pipeline.task not in _PIPELINES:
            known = ", ".join((*_PIPELINES, *_TEXT_PIPELINES))
            raise ModelError(
                f"{name} is a pipeline for {pipeline.task!r}; pipelines for {known} are known. "
                "Write a function that calls it and returns one row per sample"
            )
        self.pipeline = pipeline
        self.inner = TorchModel(pipeline.model, name)
        labels = pipeline.model.config.id2label
        self.classes = [labels[key] for key in sorted(labels)]

    def running(self) -> Any:
        """Evaluation mode, as for the model inside."""
        return self.inner.running()

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return the pipeline over one batch, its answers as an array (n, labels)."""
        texts = [leaf.tolist() if hasattr(leaf, "tolist") else list(leaf) for leaf in leaves(inputs)]
        if len(texts) > 2:
            raise ModelError(f"{self.name} is a pipeline and takes a text or a pair, found {len(texts)} inputs")
        pairs = (
            [{"text": first, "text_pair": second} for first, second in zip(*texts, strict=True)] if texts[1:] else []
        )
        batch = pairs or texts[0]
        return functools.partial(self._scores, batch)

    def _scores(self, batch: list[Any]) -> Any:
        answers = self.pipeline(batch, top_k=None, batch_size=max(len(batch), 1))
        column = {label: i for i, label in enumerate(self.classes or ())}
        scores = np.zeros((len(batch), len(column)), dtype=np.float32)
        for row, answer in enumerate(answers):
            for entry in answer:
                scores[row, column[entry["label"]]] = entry["score"]
        return scores

    def replicate(self) -> Model | None:
        """Return a pipeline around a copy of the model, or None where it cannot be copied."""
        module = self.inner.copied_module()
        if module is None:
            return None
        pipeline = copy.copy(self.pipeline)
        pipeline.model = module
        return PipelineModel(pipeline, self.name)

    def fingerprint(self) -> str:
        """Hash the model inside; the tokeniser counts by identity."""
        return f"{self.inner.fingerprint()}|{type(self.pipeline).__qualname__}|{self.serial}"

    def unsure(self) -> bool:
        """Whether the model inside is."""
        return self.inner.unsure()

    def look(self, inputs: Any) -> None:
        """Follow the pipeline over a batch: what its tokeniser makes is the input of the model inside."""
        with self.running():
            try:
                self.inner.reads = follow(self.bind(inputs), None)
            except BaseException as error:
                raise self.failure(inputs, error) from error

    def count_parameters(self) -> ParameterCount:
        """Count those of the model inside."""
        return self.inner.count_parameters()

    def artefact(self) -> Artefact:
        """Return that of the model inside."""
        return self.inner.artefact()

    def describe(self) -> dict[str, Any]:
        """Return task and model."""
        return {**self.inner.describe(), "kind": self.kind, "task": self.pipeline.task}
