"""Adapter for packages of AOTInductor (.pt2): machine code that was compiled from a torch program."""

from __future__ import annotations

import json
import platform
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._inductor import cpu_vec_isa

from pytest_modelbench.data.arrays import map_tree
from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading, refuse_code

_METADATA = "_metadata.json"


class AotModel(RuntimeModel):
    """A package of AOTInductor, run as the program that it was compiled from: on tensors, with its own outputs.

    Args:
        path: of the package.
        loading: its name; the device is the one that the package was compiled for.

    Raises:
        ModelError: the package is damaged, or was compiled for another machine or device.
    """

    kind = "aotinductor"
    runtime = "AOTInductor"
    libraries = ("torch", "torch._inductor")

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(path, loading)
        self.metadata = read_metadata(path, loading.name)
        self._refuse_foreign()
        try:
            self.package = torch._inductor.aoti_load_package(str(path))  # noqa: SLF001 - torch documents it
        except Exception as error:  # the loader raises whatever its compiler and linker meet
            raise self.unreadable(error) from error
        self.device = torch.device(self.metadata.get("AOTI_DEVICE_KEY", "cpu"))
        self.computes_here = self.device.type == "cpu"

    def _refuse_foreign(self) -> None:
        """Compare what the package was compiled for with this machine, before any of its code runs.

        Raises:
            ModelError: it is another machine, or its instructions are newer than those of this one.
        """
        machine, compiled = platform.machine(), self.metadata.get("AOTI_MACHINE", "")
        if compiled and compiled != machine:
            raise ModelError(f"{self.name}: {self.file} was compiled for {compiled}, and this machine is {machine}")
        device, asked = self.metadata.get("AOTI_DEVICE_KEY", "cpu"), (self.loading.device or "").partition(":")[0]
        if asked and asked != device:
            raise ModelError(
                f"{self.name}: {self.file} was compiled for {device}, and the device asked for is {asked}"
            )
        if machine not in {"x86_64", "AMD64"}:
            return  # other machines do not tell in these words
        here = [name.upper() for name in cpu_vec_isa.x86_isa_checker()]
        needed = self.metadata.get("AOTI_CPU_ISA", "").upper().split()
        if newer := [name for name in needed if name not in here]:
            raise ModelError(
                f"{self.name}: {self.file} was compiled for {' '.join(needed)}, and this processor has "
                f"{' '.join(here) or 'none of these'}: its first {newer[0]} instruction would end the process. "
                "Compile it on this machine, or with ATEN_CPU_CAPABILITY=avx2"
            )

    def inputs(self) -> Sequence[Port]:
        """Return nothing: a package does not tell what types its inputs have."""
        return ()

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Make tensors of a batch; mappings become keyword arguments, tuples positional ones.

        Arrays of float64 become float32, since the type that the package takes is unknown; tensors keep their type.
        """
        prepared, package = map_tree(self._to_tensor, inputs), self.package
        named = dict(prepared) if isinstance(prepared, Mapping) else {}
        positional = () if named else prepared if isinstance(prepared, tuple) else (prepared,)
        if len(named) == 1 and not self._keywords():  # one input has no order
            positional, named = tuple(named.values()), {}

        def call() -> Any:
            outputs = package(*positional, **named)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return outputs

        return call

    def _keywords(self) -> list[str]:
        """Return the names of the inputs that the program was exported with as keyword arguments."""
        _, called = json.loads(self.package.loader.get_call_spec()[0])
        names: list[str] = json.loads(called["children_spec"][1]["context"])
        return names

    def _to_tensor(self, leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.to(self.device)
        array = np.asarray(leaf)
        if array.dtype == np.float64:
            self.casts["arrays"] = "float64 -> float32"
            array = array.astype(np.float32)
        return torch.as_tensor(array).to(self.device)

    def prepared(self, feeds: Arrays) -> Callable[[], Arrays]:
        """Return a call on arrays as keyword arguments."""
        return self.bind(dict(feeds))

    def precision(self) -> dict[str, Any]:
        """Return the instructions that the package was compiled for."""
        return {"isa": self.metadata.get("AOTI_CPU_ISA", "")}


def load_package(path: str, loading: Loading) -> Model:
    """Load a package of AOTInductor.

    Raises:
        ModelError: it is damaged, was compiled for another machine, or is not trusted.
    """
    refuse_code(path, "an AOTInductor package", loading, "Give the torch.export archive that it was compiled from")
    return AotModel(Path(path), loading)


def read_metadata(path: Path, name: str) -> dict[str, str]:
    """Return what a package says of the machine that it was compiled for.

    Raises:
        ModelError: it is damaged, or says nothing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [json.loads(archive.read(part)) for part in archive.namelist() if part.endswith(_METADATA)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ModelError(f"{name}: {path} cannot be read as an AOTInductor package: {cause_of(error)}") from error
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ModelError(f"{name}: {path} does not say which machine it was compiled for (no *{_METADATA})")
    return {str(key): str(value) for entry in entries for key, value in entry.items()}
