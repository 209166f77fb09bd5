"""Adapters for torch models in files: TorchScript, torch.export, and weights for a module that a factory makes."""

from __future__ import annotations

import copy
import hashlib
import importlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.base import Artefact, Model
from pytest_modelbench.models.formats import refuse_stand_in
from pytest_modelbench.models.saved import Loading, refuse_pickle

_SHOWN_KEYS = 3


class FileModel(TorchModel):
    """A torch module that came out of a file: the file is its content and its artefact."""

    def __init__(self, module: nn.Module, loading: Loading, path: Path, how: str) -> None:
        super().__init__(module, loading.name, loading.device)
        self.loading = loading
        self.file: Path = path
        self.how = how

    def fingerprint(self) -> str:
        """Hash the file."""
        with self.file.open("rb") as file:
            return f"file:{hashlib.file_digest(file, 'blake2b').hexdigest()[:32]}"

    def artefact(self) -> Artefact:
        """Return the size of the file."""
        return Artefact(size_bytes=self.file.stat().st_size, method=f"{self.how} {self.file.name}")

    def replicate(self) -> Model | None:
        """Return a deep copy, or None where memory cannot hold one."""
        module = self.copied_module()
        return None if module is None else type(self)(module, self.loading, self.file, self.how)

    def describe(self) -> dict[str, Any]:
        """Return the file and its format too."""
        return {**super().describe(), "format": self.how, "file": self.file.name}


def load_script(path: str, loading: Loading) -> Model:
    """Load a TorchScript file.

    Raises:
        ModelError: torch cannot read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated, and still deployed
            module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, "TorchScript", loading, error) from error
    return FileModel(module, loading, Path(path), "TorchScript file")


def load_exported(path: str, loading: Loading) -> Model:
    """Load a torch.export archive.

    Raises:
        ModelError: torch cannot read it.
    """
    try:
        _register_quantised(path)
        archive = path if path.endswith(".pt2") else io.BytesIO(Path(path).read_bytes())  # torch goes by the suffix
        module = torch.export.load(archive).module()
    except Exception as error:  # torch.export raises whatever its readers meet
        raise _unreadable(path, "a torch.export archive", loading, error) from error
    return FileModel(module, loading, Path(path), "torch.export archive")


def _register_quantised(path: str) -> None:
    """Register the operators that programs quantised by PT2E call, if the archive names them."""
    with zipfile.ZipFile(path) as archive:
        programs = [archive.read(name) for name in archive.namelist() if name.endswith(".json")]
    if any(b"quantized_decomposed" in program for program in programs):
        importlib.import_module("torch.ao.quantization.fx._decomposed")


def from_program(program: Any, name: str, device: str | None = None) -> Model:
    """Return what a program of torch.export runs as: its `module()`, as deployed users call it."""
    return TorchModel(program.module(), name, device)


def load_pickled_torch(path: str, loading: Loading) -> Model:
    """Load a module that `torch.save` pickled, if that is allowed; weights alone are not a model.

    Raises:
        ModelError: it holds weights only, pickles are not allowed, or torch cannot read it.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        refuse_pickle(
            path,
            "a pickled module",
            loading,
            "Save the model by torch.export.save or its state_dict as safetensors with module:factory@weights",
        )
        content = _unpickled(path, loading)
    except (RuntimeError, EOFError, ValueError) as error:
        raise _unreadable(path, "by torch.save", loading, error) from error
    if isinstance(content, nn.Module):
        return FileModel(content, loading, Path(path), "module by torch.save")
    if isinstance(content, Mapping):
        raise ModelError(
            f"{loading.name}: {path} holds weights only. Name what they are for as well: "
            f"module:factory@{Path(path).name}"
        )
    raise ModelError(f"{loading.name}: {path} holds a {type(content).__name__}, expected a torch.nn.Module")


def _unpickled(path: str, loading: Loading) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs foreign code
        raise _unreadable(path, "a pickled module", loading, error) from error


def load_weights(made: Any, path: Path, loading: Loading) -> Model:
    """Fill a module with a state_dict from safetensors, or from a `.pt` file read with `weights_only=True`.

    Raises:
        ModelError: `made` is not a module, the file is not a state_dict, or the two do not fit.
    """
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"{loading.name}: {path.name} holds weights, and the factory made a {type(made).__name__}; "
            "expected a torch.nn.Module"
        )
    refuse_stand_in(path, loading.name)
    state = _state_of(path, loading)
    if not loading.alone:
        made = copy.deepcopy(made)  # the factory may give the same module to another role
    try:
        incompatible = made.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes that differ
        first = str(error).splitlines()[1:2] or [str(error)]
        raise ModelError(f"{loading.name}: the weights in {path} do not fit the module:{_tight(first[0])}") from error
    missing = [key for key in incompatible.missing_keys if not _aliases(made, key) & state.keys()]
    problems = [
        f" {what}: {', '.join(keys[:_SHOWN_KEYS])}{' ...' if len(keys) > _SHOWN_KEYS else ''} ({len(keys)})"
        for what, keys in (("missing", missing), ("unexpected", incompatible.unexpected_keys))
        if keys
    ]
    if problems:
        raise ModelError(f"{loading.name}: the weights in {path} do not fit the module:{';'.join(problems)}")
    return WeightsModel(made, loading, path, "weights in")


class WeightsModel(FileModel):
    """A module of the user's code whose weights came out of a file: the code is part of its content."""

    def fingerprint(self) -> str:
        """Hash the module itself, not only the file."""
        return TorchModel.fingerprint(self)


def _aliases(module: nn.Module, key: str) -> set[str]:
    """Return the other names of a shared weight, of which a file needs to hold one only."""
    tensors = module.state_dict(keep_vars=True)
    return {name for name, tensor in tensors.items() if tensor is tensors[key] and name != key}


def _state_of(path: Path, loading: Loading) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                return load_file(path)
            except SafetensorError as error:
                raise _unreadable(str(path), "safetensors", loading, error) from error
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{loading.name}: {path} holds more than weights (torch.load refuses it with weights_only=True). "
            "Save the state_dict alone: safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise _unreadable(str(path), "a state_dict", loading, error) from error
    if not isinstance(state, Mapping):
        raise ModelError(f"{loading.name}: {path} holds a {type(state).__name__}, expected a state_dict")
    return dict(state)


def _unreadable(path: str, what: str, loading: Loading, error: BaseException) -> ModelError:
    return ModelError(f"{loading.name}: {path} cannot be read as {what}: {cause_of(error)}")


def _tight(line: str) -> str:
    return f" {line.strip()}"
