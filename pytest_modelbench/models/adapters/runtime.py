"""The common part of the adapters of deployed files: a runtime loads the file and runs it on arrays by name."""

from __future__ import annotations

import hashlib
import os
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.padding import cut_back, padded, size_to_pad_to
from pytest_modelbench.models.adapters.ports import Feeds, Port
from pytest_modelbench.models.base import Artefact, Model
from pytest_modelbench.models.saved import Loading

Arrays = Mapping[str, npt.NDArray[Any]]


class RuntimeModel(Model):
    """A model in a file that a runtime executes.

    Inputs are matched by name if they are a mapping, and by order if they are one array or a tuple. They are cast to
    the types of the file before a call is timed, and the report states each cast. Outputs are a mapping by name, of
    arrays that belong to the caller. If the file takes one batch size only, smaller batches are padded to it.

    Attributes:
        loading: how it was loaded: name, device, threads, options.
        threads: how many threads one call uses.
        casts: the types of inputs that were changed, by the input's name, such as "float64 -> float32".
        padding: to which batch size smaller batches were padded, and the smallest of them; empty if none was.
    """

    computes_here = True
    runtime: ClassVar[str] = ""
    """The runtime in words, for messages."""
    names_inputs: ClassVar[bool] = True
    """Whether its files have names of inputs; without, the data's are matched by order."""

    def __init__(self, path: Path, loading: Loading) -> None:
        super().__init__(loading.name)
        self.file: Path = path
        self.loading = loading
        self.threads = threads_for(loading)
        self.casts: dict[str, str] = {}
        self.padding: dict[str, Any] = {}

    @abstractmethod
    def inputs(self) -> Sequence[Port]:
        """Return the inputs that the file has, in its order."""

    @abstractmethod
    def prepared(self, feeds: Arrays) -> Callable[[], Any]:
        """Return a call that runs the model on arrays of the right names and types.

        It returns new arrays by name, or in a tuple where the file has no names of outputs.
        """

    def files(self) -> list[Path]:
        """Return all files that the model consists of, the one that names the others first."""
        return [self.file]

    def precision(self) -> dict[str, Any]:
        """Return in which number types the runtime computes, as JSON types; empty if it does not tell."""
        return {}

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Name, cast and pad the inputs, outside of the timed path.

        Raises:
            ModelError: their names, number or shapes are not the file's, or a type cannot be cast.
        """
        feeds = self.feeds(inputs)
        size = size_to_pad_to(self.inputs(), feeds) if self.loading.pads else None
        return self.prepared(feeds) if size is None else self._padded(feeds, size)

    def _padded(self, feeds: Arrays, size: int) -> Callable[[], Any]:
        """Return a call on a batch that is padded to `size` rows; its outputs are those of the batch alone."""
        count = len(next(iter(feeds.values())))
        call = self.prepared({name: padded(array, size) for name, array in feeds.items()})
        self.padding["note"] = f"batches are padded to {size}"
        self.padding["smallest"] = min(count, self.padding.get("smallest", count))

        def call_and_cut() -> Any:
            outputs = call()
            try:
                return cut_back(outputs, size, count)
            except ValueError as error:
                raise self._blamed(
                    f"{self.name}: the file {self.file.name} takes only batch {size}, and a batch of {count} cannot "
                    f"be padded: {error}. Export it with a dynamic batch, or give batches of {size} samples each"
                ) from error

        return call_and_cut

    def feeds(self, inputs: Any) -> dict[str, npt.NDArray[Any]]:
        """Return a batch as arrays by the names and with the types of the file's inputs.

        Raises:
            ModelError: see `bind`.
        """
        what = f"the file {self.file.name}"
        return Feeds(self.name, what, self.inputs(), self.casts, named=self.names_inputs).of(inputs)

    def check_shape(self, port: Port, shape: tuple[int, ...], exported: str) -> None:
        """Refuse an input of another shape than the file takes; `exported` says how to export a dynamic one.

        Raises:
            ModelError: a dimension that is not open differs, or their number does.
        """
        wanted = port.shape
        if wanted is None or (
            len(wanted) == len(shape)
            and all(expected in {None, size} for expected, size in zip(wanted, shape, strict=True))
        ):
            return
        sizes = "x".join(map(str, shape))
        if not shape or shape[1:] != wanted[1:]:
            raise ModelError(f"{self.name}: found an input of shape {sizes}, the file {self.file.name} takes {port}")
        raise ModelError(
            f"{self.name}: the file {self.file.name} takes only batch {wanted[0]}: {port}, found {sizes}. Export "
            f"it with {exported}; or write EvalData(..., batch_size={wanted[0]}), and batch_size={wanted[0]} "
            f"(parity: batch_sizes=[{wanted[0]}]) in the gate; or write '{self.file.name}?pad=yes', so that smaller "
            "batches are padded"
        )

    def replicate(self) -> Model | None:
        """Load the file once more: another session has memory of its own."""
        return type(self)(self.file, self.loading)

    def fingerprint(self) -> str:
        """Hash all files of the model, and how they are run."""
        digest = hashlib.blake2b(repr(self.loading.options).encode(), digest_size=16)
        for path in self.files():
            digest.update(f"{path.relative_to(self.file.parent)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        return f"file:{digest.hexdigest()}"

    def weights_hash(self) -> str | None:
        """Hash all files: the weights are in them."""
        return self.fingerprint()

    def artefact(self) -> Artefact:
        """Return the size of all files of the model."""
        files = self.files()
        more = f" and {len(files) - 1} more file(s)" if len(files) > 1 else ""
        return Artefact(
            size_bytes=sum(path.stat().st_size for path in files),
            method=f"{self.runtime} file {self.file.name}{more}",
        )

    def describe(self) -> dict[str, Any]:
        """Return the file, threads, casts of inputs and the number types that the runtime computes in."""
        return {
            **super().describe(),
            "format": self.runtime,
            "file": self.file.name,
            "threads": self.threads,
            "precision": self.precision(),
            "casts": self.casts,  # filled by later calls, as is what follows
            "padding": self.padding,
            **({"options": dict(self.loading.options)} if self.loading.options else {}),
        }

    def unreadable(self, error: BaseException) -> ModelError:
        """Return the error for a file that the runtime refuses."""
        return ModelError(
            f"{self.name}: {self.file} cannot be loaded by {self.runtime}: {cause_of(error)}. It is damaged or cut "
            f"off, or was written for another version of {self.runtime}. Export it once more"
        )


def threads_for(loading: Loading) -> int:
    """Return how many threads a runtime gets: those of the settings, else torch's, else all processors allowed."""
    if loading.threads:
        return loading.threads
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
