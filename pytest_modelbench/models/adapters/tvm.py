"""Adapter for libraries that TVM compiled: a relax program that `export_library` wrote."""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.errors import ModelError, NotApplicable, cause_of
from pytest_modelbench.models.adapters.ports import Port
from pytest_modelbench.models.adapters.runtime import Arrays, RuntimeModel
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.saved import Loading, refuse_code

for _name, _value in {
    "TVM_THREAD_POOL_SPIN_COUNT": "0",  # else its threads spin for more than 10 ms after a call
    "TVM_BIND_THREADS": "0",  # else it pins the calling thread to one processor, for good
    "TVM_NUM_THREADS": str(os.cpu_count() or 1),  # the most that a model can ask for; else half of the processors
}.items():
    os.environ.setdefault(_name, _value)  # read when TVM makes its threads

import tvm  # noqa: E402 - after its settings
from tvm import relax  # noqa: E402

MAIN = "main"
"""The function of the library that is the model."""
_MARK = b"\0__tvm_ffi__library_bin\0"
"""The symbol that holds the program in each library of `export_library`."""
_BIG_CORES = 1
"""TVM's word for "the fast processors first"."""
_SEGMENT = 56
"""The size of a program header of ELF in bytes."""
_PARAMETER = re.compile(
    rf'ErrorContext\(fn={MAIN}, loc=param\[(\d+)\], param=([^,]+), annotation=(.*?)\) "(?=[,\]])', re.DOTALL
)
_TENSOR = re.compile(r'R\.Tensor\(\((.*)\), dtype="(\w+)"\)')
_ANY_SHAPE = re.compile(r'R\.Tensor\(dtype="(\w+)"(?:, ndim=(\d+))?\)')
_SIZE = re.compile(r"(?:T\.int64\()?(\d+)\)?")


class TvmModel(RuntimeModel):
    """A relax program in TVM's virtual machine.

    TVM keeps the names, types and shapes of inputs, and no names of outputs: these are an array or a tuple, in the
    order in which the program returns them.

    Raises:
        ModelError: TVM cannot load the library, it has no function `main`, or not one of tensors.
    """

    kind = "tvm"
    runtime = "TVM"
    libraries = ("tvm",)

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(path, loading)
        kind, _, index = (loading.device or "cpu").partition(":")
        try:
            self.device = tvm.device(kind, int(index or 0))
        except ValueError as error:
            raise ModelError(f"{self.name}: TVM has no device {loading.device!r}: {cause_of(error)}") from error
        if not self.device.exist:
            raise ModelError(f"{self.name}: TVM finds no device {loading.device!r} here")
        self.computes_here = kind == "cpu"
        try:
            library = tvm.runtime.load_module(str(path))
            if not library.implements_function("vm_load_executable", query_imports=True):
                raise ModelError(
                    f"{self.name}: {path} holds no relax program. Compile an IRModule by tvm.compile(...)"
                )
            self.machine = relax.VirtualMachine(library, self.device)
            self.main = self.machine[MAIN]
            self._inputs = list(self._ports(str(library["stats"]())))
        except (RuntimeError, ValueError, OSError, AttributeError, TypeError) as error:
            raise self.unreadable(error) from error

    def _ports(self, stats: str) -> Iterator[Port]:
        """Yield the inputs of `main`, by the annotations that TVM checks them against."""
        annotations = {int(index): annotation for index, _, annotation in _PARAMETER.findall(stats)}
        ask = self.machine.module
        for i in range(ask["get_function_arity"](MAIN)):
            yield self._port(str(ask["get_function_param_name"](MAIN, i)), annotations.get(i, ""))

    def _port(self, name: str, annotation: str) -> Port:
        if tensor := _TENSOR.fullmatch(annotation):
            sizes = [_SIZE.fullmatch(size.strip()) for size in tensor[1].split(",") if size.strip()]
            return Port(name=name, dtype=tensor[2], shape=tuple(size and int(size[1]) for size in sizes))
        if tensor := _ANY_SHAPE.fullmatch(annotation):
            return Port(name=name, dtype=tensor[1], shape=(None,) * int(tensor[2]) if tensor[2] else None)
        if annotation and not annotation.startswith("R.Tensor("):
            raise ModelError(
                f"{self.name}: {self.file} takes {annotation} as its input {name!r}. Compile a function of tensors: "
                "one parameter for each array"
            )
        return Port(name=name)

    def inputs(self) -> Sequence[Port]:
        """Return the parameters of the function `main`."""
        return self._inputs

    def prepared(self, feeds: Arrays) -> Callable[[], Any]:
        """Return a run of `main` on tensors of TVM; its outputs are copied to new arrays."""
        tvm.get_global_func("runtime.config_threadpool")(_BIG_CORES, self.threads)  # one pool for all libraries
        main, tensors = self.main, [tvm.runtime.tensor(array, self.device) for array in feeds.values()]
        return lambda: _arrays(main(*tensors))

    def count_parameters(self) -> ParameterCount:
        """Refuse: TVM folds weights into constants that it does not list.

        Raises:
            NotApplicable: always.
        """
        raise NotApplicable(f"{self.name} is a TVM library, which does not tell which of its constants are weights")


def load_library(path: str, loading: Loading) -> Model:
    """Load a library that TVM's `export_library` wrote.

    Loading a library executes code from it, so its structure is read before, and pickles must be allowed.

    Raises:
        ModelError: it is damaged or of another maker, it is not trusted, or TVM cannot load it.
    """
    _check(Path(path), loading)
    refuse_code(path, "a shared library", loading, "Give the ONNX file or the module that it was compiled from")
    return TvmModel(Path(path), loading)


def _check(path: Path, loading: Loading) -> None:
    """Read that a file is a whole library of TVM's, without loading it.

    Raises:
        ModelError: it is not.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not _is_whole(content):
            raise ModelError(f"{loading.name}: {path} is damaged: parts that its ELF header names lie outside of it")
        if content.find(_MARK) < 0:
            raise ModelError(
                f"{loading.name}: {path} is a program or shared library that TVM's export_library did not write. "
                "Wrap it in a function that takes a batch and returns outputs"
            )


def _is_whole(content: mmap.mmap) -> bool:
    """Whether all segments and sections of a 64-bit ELF file lie inside of it: the system's loader crashes on others.

    The fields are those of Elf64_Ehdr and Elf64_Phdr (System V ABI, chapters 4 and 5).
    """
    header = struct.Struct("<16sHHIQQQIHHHHHH")
    if len(content) < header.size:
        return False
    fields = header.unpack_from(content)
    first, sections, size, number = fields[5], fields[6], fields[9], fields[10]
    end: int = max(first + size * number, sections + fields[11] * fields[12])
    if end > len(content) or size < _SEGMENT or not number:
        return False
    for i in range(number):
        offset, in_file = (struct.unpack_from("<Q", content, first + i * size + place)[0] for place in (8, 32))
        if offset + in_file > len(content):
            return False
    return True


def _arrays(value: Any) -> Any:
    """Return outputs as arrays that belong to the caller."""
    if isinstance(value, tvm.runtime.Tensor):
        return value.numpy()
    if isinstance(value, tvm.ir.Array | tuple | list):
        return tuple(map(_arrays, value))
    return np.asarray(value)
