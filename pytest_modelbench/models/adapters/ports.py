"""The inputs and outputs of deployed models: matched by name, cast before the timed call, and each cast stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_tree
from pytest_modelbench.errors import ModelError, cause_of


@dataclass(frozen=True, kw_only=True)
class Port:
    """One input or output of a deployed model.

    Attributes:
        name: as the file has it.
        dtype: the numpy type of its elements, such as "float32"; "" if the file leaves it open.
        shape: its dimensions; None for one that may be any number.
    """

    name: str
    dtype: str = ""
    shape: tuple[int | None, ...] | None = None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else "x".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({self.dtype or 'any type'}, {shape})"


class Feeds:
    """Names and casts the inputs of a deployed model, outside of the timed path.

    Args:
        name: of the model, for messages.
        what: whose inputs they are, such as "the file model.onnx".
        ports: the inputs that it takes, in its order.
        casts: gets the types of inputs that were changed, by the input's name.
        named: whether the names of the ports are the file's own; without, a mapping is matched by order too.
    """

    def __init__(
        self, name: str, what: str, ports: Sequence[Port], casts: dict[str, str], *, named: bool = True
    ) -> None:
        self.name, self.what, self.ports, self.casts, self.named = name, what, ports, casts, named

    def of(self, inputs: Any) -> dict[str, npt.NDArray[Any]]:
        """Return a batch as arrays by the names and with the types of the ports.

        A mapping is matched by name, or by order where the file has no names; one array, or a tuple of as many as
        there are ports, by order.

        Raises:
            ModelError: the names or their number are others, or a type cannot be cast without loss.
        """
        ports = {port.name: port for port in self.ports}
        by_name = self._by_name(inputs, list(ports))
        return {name: self._cast(ports[name], as_array(by_name[name])) for name in ports}

    def _by_name(self, inputs: Any, names: Sequence[str]) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            if set(inputs) == set(names):
                return dict(inputs)
            if not self.named and len(inputs) == len(names):
                return dict(zip(names, inputs.values(), strict=True))
            problems = filter(None, (_listed("lack", names, inputs), _listed("have", inputs, names)))
            raise ModelError(
                f"{self.name}: the inputs {' and '.join(problems)}; {self.what} takes "
                f"{', '.join(map(repr, names))}. Give the inputs these names, or export the file with the data's"
            )
        values = inputs if isinstance(inputs, tuple) else (inputs,)
        if len(values) != len(names) or any(map(is_tree, values)):
            raise ModelError(
                f"{self.name}: found {len(values)} input(s), and {self.what} takes {len(names)}: "
                f"{', '.join(map(str, self.ports))}. Give a mapping by name, or one array for each"
            )
        return dict(zip(names, values, strict=True))

    def _cast(self, port: Port, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not port.dtype or array.dtype == port.dtype:
            return np.ascontiguousarray(array)
        wanted = np.dtype(port.dtype)
        if wanted.kind in "iu" and array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
            raise ModelError(
                f"{self.name}: the input {port.name!r} has fractions ({array.dtype}), and {self.what} "
                f"takes {port.dtype}"
            )
        if wanted.kind in "iu" and array.size and array.dtype.kind in "iuf":
            info = np.iinfo(wanted)
            if array.min() < info.min or array.max() > info.max:
                raise ModelError(
                    f"{self.name}: the input {port.name!r} has values from {array.min()} to {array.max()}, and "
                    f"{self.what} takes {port.dtype}"
                )
        try:
            cast = np.ascontiguousarray(array.astype(wanted))
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{self.name}: the input {port.name!r} is {array.dtype}, and {self.what} takes "
                f"{port.dtype}: {cause_of(error)}"
            ) from error
        self.casts[port.name] = f"{array.dtype} -> {port.dtype}"
        return cast


def _listed(what: str, names: Iterable[str], others: Iterable[str]) -> str:
    """Name those of some names that are not among others; "" where all are."""
    quoted = [repr(name) for name in names if name not in set(others)]
    return f"{what} {', '.join(quoted)}" if quoted else ""
