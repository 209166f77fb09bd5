"""Saved models: which format a file has, and the adapter that loads it. Loads nothing heavy before it must.

The format is read from the content, not from the name, and nothing is unpickled unless the user allows it: a pickle
is a program, and loading it runs it.
"""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import ModelbenchError, ModelError, cause_of, shown
from pytest_modelbench.models import formats
from pytest_modelbench.models.endpoints import SCHEMES, is_endpoint
from pytest_modelbench.models.formats import FORMATS, SavedFormat, check_archive, format_of
from pytest_modelbench.models.trial import try_first

if TYPE_CHECKING:
    from pytest_modelbench.models.base import Model

HUB = "hf://"
PAD = "pad=yes"
_ADAPTERS = "pytest_modelbench.models.adapters"


@dataclass(frozen=True)
class SavedModel:
    """A model that was saved as a whole: its path, or its name on the Hugging Face hub.

    Attributes:
        path: of the file or folder.
        options: how its runtime runs it, such as `{"provider": "CUDAExecutionProvider"}`, as pairs.
        trusted: whether this session made the file itself, so that it may hold code.
        pads: whether smaller batches are padded to the one size that the file takes.
    """

    path: str
    options: tuple[tuple[str, str], ...] = ()
    trusted: bool = False
    pads: bool = False

    @classmethod
    def parse(cls, text: str) -> SavedModel:
        """Read `PATH` or `PATH?option=value&option=value`; a file whose name has a question mark is a path.

        >>> SavedModel.parse("model.onnx?provider=CUDAExecutionProvider").options
        (('provider', 'CUDAExecutionProvider'),)
        """
        path, mark, options = text.partition("?")
        if not mark or is_there(Path(text)):
            return cls(text)
        pairs = [pair for pair in options.split("&") if pair != PAD]
        named = tuple((name, value) for name, _, value in (pair.partition("=") for pair in pairs))
        return cls(path, named, pads=PAD in options.split("&"))

    def __str__(self) -> str:
        """Return what `parse` reads."""
        pairs = [*(f"{name}={value}" for name, value in self.options), *[PAD] * self.pads]
        return self.path + "?" * bool(pairs) + "&".join(pairs)


@dataclass(frozen=True)
class Filled:
    """A module without its weights, and the file that holds them."""

    made: Any
    weights: Path


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How saved models are loaded for one role: its name, the device, whether pickles are allowed.

    `alone` says that this process builds no other model, so that what a factory made can be filled as it is.
    `threads` is how many threads a runtime gets for one call; None for as many as torch uses. `options` are those of
    `SavedModel`. `endpoints` are the hosts, apart from this machine, that requests may be sent to. `pads` says
    whether smaller batches may be padded to the one size that a file takes.
    """

    name: str
    device: str | None = None
    allow_pickle: bool = False
    alone: bool = False
    threads: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[str, ...] = ()
    pads: bool = False


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


def known_formats() -> str:
    """Name the formats that can be loaded."""
    return ", ".join(
        [*(f"a {name} file ({form.suffix})" for name, form in EXTENSIONS.items()), formats.known_formats()]
    )


def load_saved(saved: SavedModel, loading: Loading) -> Model:
    """Load a saved model into the adapter of its format.

    Raises:
        ModelError: there is no such file, its format is unknown, it is a pickle and pickles are not allowed, or
            loading it failed.
    """
    path = Path(saved.path)
    if saved.path.startswith(HUB):
        return _load(FORMATS["Hugging Face"], saved.path, loading)
    if is_endpoint(saved.path):
        saved_format = FORMATS[SCHEMES[saved.path.partition("://")[0]]]
        _check_options(saved_format, saved, loading)
        return _load(saved_format, saved.path, replace(loading, options=saved.options))
    if not is_there(path):
        raise ModelError(
            f"{loading.name} is {shown(saved.path)}, and there is no such file. Known are {known_formats()}"
        )
    for name, form in EXTENSIONS.items():
        if path.name.endswith(form.suffix):
            return _load_by_extension(name, form, path, loading)
    saved_format = format_of(path, loading.name, known_formats())
    _check_options(saved_format, saved, loading)
    allowed = loading.allow_pickle or saved.trusted
    pads = loading.pads or saved.pads
    return _load(saved_format, str(path), replace(loading, options=saved.options, allow_pickle=allowed, pads=pads))


def _load_by_extension(name: str, form: FileFormat, path: Path, loading: Loading) -> Model:
    from pytest_modelbench.models.base import Model

    module, _, function = form.load.partition(":")
    what = f"{loading.name}: {form.load!r}, which loads the format {name},"
    try:
        load = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"{what} cannot be imported: {error}") from error
    model = load(str(path), loading)
    if not isinstance(model, Model):
        raise ModelError(f"{what} returned {shown(model)}, expected a Model")
    return model


def fill(filled: Filled, loading: Loading) -> Model:
    """Load weights into the module that a factory made.

    Raises:
        ModelError: it made no torch module, or the weights do not fit it.
    """
    pair = isinstance(filled.made, tuple) and len(filled.made) == 2
    load = _function("paired_weights:load_paired" if pair else "saved_torch:load_weights")
    model: Model = load(filled.made, filled.weights, loading)
    return model


def refuse_code(path: str, what: str, loading: Loading, instead: str) -> None:
    """Refuse a file with compiled code, as a pickle is refused, unless such files are allowed.

    Raises:
        ModelError: they are not; the message says what to give instead.
    """
    if not loading.allow_pickle:
        raise ModelError(
            f"{loading.name}: {path} is {what}, and loading it executes code from the file. {instead}, or trust it "
            "with --modelbench-allow-pickle"
        )


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


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; a name that no file may have names none."""
    try:
        return path.exists()
    except (OSError, ValueError, RuntimeError):  # too long a name, a NUL in it, a loop of links
        return False


def _check_options(saved_format: SavedFormat, saved: SavedModel, loading: Loading) -> None:
    """Refuse options that the runtime of a format does not have.

    Raises:
        ModelError: one is unknown, empty or given twice.
    """
    names = [name for name, _ in saved.options]
    for name, value in saved.options:
        if name not in saved_format.options or not value or names.count(name) > 1:
            options = " and ".join(f"{option}=..." for option in saved_format.options)
            takes = f"takes the options {options}, each once" if options else "takes no options"
            raise ModelError(f"{loading.name}: {saved.path}?{name}={value}: the format {saved_format.name} {takes}")


def _load(saved_format: SavedFormat, path: str, loading: Loading) -> Model:
    try:
        load = _function(saved_format.load)
        if not loading.alone:  # a process that measures the load is not the first one to do it
            _refuse_damaged(saved_format, Path(path), loading)
        model: Model = load(path, loading)
    except ModelbenchError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{loading.name}: {path} needs a package that cannot be imported ({cause_of(error)}). Install it: "
            f"pip install {saved_format.install}"
        ) from error
    except Exception as error:  # runtimes raise whatever they meet in a damaged file
        raise ModelError(
            f"{loading.name}: {path} cannot be loaded as {saved_format.name}: {cause_of(error)}"
        ) from error
    return model


def _refuse_damaged(saved_format: SavedFormat, path: Path, loading: Loading) -> None:
    """Compare the checksums of an archive, and load a file in a fresh process if damage to it can end the process.

    Raises:
        ModelError: it is damaged.
    """
    check_archive(path, loading.name)
    if saved_format.tried_first:
        try_first(f"{_ADAPTERS}.{saved_format.load}", path, asdict(loading))


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(f"{_ADAPTERS}.{module}"), name)
