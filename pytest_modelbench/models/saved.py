"""Saved models: which format a file has, and the adapter that loads it. Loads nothing heavy before it must.

The format is read from the content, not from the name, and nothing is unpickled unless the user allows it: a pickle
is a program, and loading it runs it.
"""

from __future__ import annotations

import importlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import ModelError, shown

if TYPE_CHECKING:
    from pytest_modelbench.models.base import Model

HUB = "hf://"
KNOWN = (
    "a TorchScript file, a torch.export archive (.pt2), a skops file, a folder that save_pretrained() of "
    "Hugging Face wrote, or hf://organisation/name"
)


@dataclass(frozen=True)
class SavedModel:
    """The path of a model that was saved as a whole, or its name on the Hugging Face hub."""

    path: str


@dataclass(frozen=True)
class Filled:
    """A module without its weights, and the file that holds them."""

    made: Any
    weights: Path


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How saved models are loaded for one role: its name, the device, whether pickles are allowed.

    `alone` says that this process builds no other model, so that what a factory made can be filled as it is.
    """

    name: str
    device: str | None = None
    allow_pickle: bool = False
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A format of saved models that others bring.

    Attributes:
        suffix: how the names of its files or folders end, such as ".acme".
        load: the function that loads one into a `Model`, as "module:function"; it gets the path and a `Loading`.
    """

    suffix: str
    load: str


EXTENSIONS: dict[str, FileFormat] = {}
"""Formats that others bring to a session, asked before the built-in ones."""
LOADERS = {
    "TorchScript": "saved_torch:load_script",
    "torch.export": "saved_torch:load_exported",
    "torch.save": "saved_torch:load_pickled_torch",
    "Hugging Face": "huggingface:load_pretrained",
    "skops": "sklearn_estimator:load_skops",
    "pickle": "sklearn_estimator:load_pickle",
}


def known_formats() -> str:
    """Name the formats that can be loaded."""
    return ", ".join([*(f"a {name} file ({form.suffix})" for name, form in EXTENSIONS.items()), KNOWN])


def load_saved(saved: SavedModel, loading: Loading) -> Model:
    """Load a saved model into the adapter of its format.

    Raises:
        ModelError: there is no such file, its format is unknown, it is a pickle and pickles are not allowed, or
            loading it failed.
    """
    path = Path(saved.path)
    if saved.path.startswith(HUB):
        return _load("Hugging Face", saved.path, loading)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        there = False
    if not there:
        raise ModelError(
            f"{loading.name} is {shown(saved.path)}, and there is no such file. Known are {known_formats()}"
        )
    for name, form in EXTENSIONS.items():
        if path.name.endswith(form.suffix):
            return _load_by_extension(name, form, path, loading)
    return _load(_format_of(path, loading.name), str(path), loading)


def _load_by_extension(name: str, form: FileFormat, path: Path, loading: Loading) -> Model:
    from pytest_modelbench.models.base import Model

    module, _, function = form.load.partition(":")
    what = f"{loading.name}: {form.load!r}, which loads the format {name},"
    try:
        load = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"{what} cannot be imported: {error}") from error
    found = load(str(path), loading)
    if not isinstance(found, Model):
        raise ModelError(f"{what} returned {shown(found)}, expected a Model")
    return found


def fill(filled: Filled, loading: Loading) -> Model:
    """Load weights into the module that a factory made.

    Raises:
        ModelError: it made no torch module, or the weights do not fit it.
    """
    found: Model = _function("saved_torch:load_weights")(filled.made, filled.weights, loading)
    return found


def refuse_pickle(path: str, what: str, loading: Loading, instead: str) -> None:
    """Refuse a pickled model unless pickles are allowed.

    Raises:
        ModelError: they are not; the message says what to write instead.
    """
    if not loading.allow_pickle:
        raise ModelError(
            f"{loading.name}: {path} is {what}, and unpickling executes code from the file. {instead}, "
            "or trust it with --modelbench-allow-pickle"
        )


def _load(name: str, path: str, loading: Loading) -> Model:
    model: Model = _function(LOADERS[name])(path, loading)
    return model


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f"pytest_modelbench.models.adapters.{module}"), name)


def _format_of(path: Path, name: str) -> str:
    if path.is_dir():
        if (path / "config.json").is_file():
            return "Hugging Face"
        raise ModelError(f"{name}: the folder {path} has no config.json. Known are {known_formats()}")
    if path.stat().st_size == 0:
        raise ModelError(f"{name}: {path} is empty (0 bytes)")
    if zipfile.is_zipfile(path):
        return _format_of_archive(path, name)
    if path.suffix == ".safetensors":
        raise ModelError(
            f"{name}: {path} holds weights only. Name what they are for as well: module:factory@{path.name}"
        )
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80" or path.suffix in {".pkl", ".pickle", ".joblib"}:
        return "pickle"
    later = " ONNX is not supported yet." if path.suffix == ".onnx" else ""
    raise ModelError(f"{name}: {path} has an unknown format.{later} Known are {known_formats()}")


def _format_of_archive(path: Path, name: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ModelError(f"{name}: {path} is damaged: {error}") from error
    if any(member.endswith("/constants.pkl") for member in members):
        return "TorchScript"
    if any(member.endswith(("archive_format", "serialized_exported_program.json")) for member in members):
        return "torch.export"
    if any(member.endswith("data.pkl") for member in members):
        return "torch.save"
    if "schema.json" in members:
        return "skops"
    raise ModelError(f"{name}: {path} is an archive of unknown format. Known are {known_formats()}")
