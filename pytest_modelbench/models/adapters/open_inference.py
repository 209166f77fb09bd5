"""The bodies of the Open Inference Protocol, version 2: binary tensors if the server takes them so, else JSON.

https://kserve.github.io/website/latest/modelserving/data_plane/v2_protocol/ describes it, and Triton's extension for
binary tensor data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.models.adapters.http_calls import CallError, Reply, as_text
from pytest_modelbench.models.adapters.ports import Port

Tensors = Mapping[str, npt.NDArray[Any]]
BINARY = "binary_tensor_data"
LENGTH = "inference-header-content-length"
TYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "BYTES": "object",
}  # fmt: skip
"""The protocol's types of elements, as numpy's. BF16 has none, and is refused."""
_NAMES = {dtype: name for name, dtype in TYPES.items()}


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a server tells of itself and of one model.

    Attributes:
        inputs: of the model.
        outputs: of the model.
        versions: of the model; empty if the server tells none.
        server: its name and version.
        extensions: of the protocol, that the server lists.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    versions: tuple[str, ...] = ()
    server: str = ""
    extensions: frozenset[str] = frozenset()

    @property
    def binary(self) -> bool:
        """Whether tensors travel as binary data."""
        return BINARY in self.extensions

    @property
    def has_statistics(self) -> bool:
        """Whether the server tells its own times."""
        return "statistics" in self.extensions

    def without_statistics(self) -> Metadata:
        """Return the same of a server that tells no times."""
        return replace(self, extensions=self.extensions - {"statistics"})


def metadata_of(model: Reply, server: Reply) -> Metadata:
    """Read what a server tells of a model and of itself.

    Raises:
        CallError: it is something else than the protocol says.
    """
    told, about = _object(model.body), _object(server.body)
    try:
        return Metadata(
            inputs=tuple(_port(port) for port in told["inputs"]),
            outputs=tuple(_port(port) for port in told["outputs"]),
            versions=tuple(map(str, told.get("versions") or ())),
            server=f"{about.get('name', '')} {about.get('version', '')}".strip(),
            extensions=frozenset(about.get("extensions") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        body = as_text(model.body)
        raise CallError(f"the metadata are not those of the Open Inference Protocol: {body}") from error


def encoded(tensors: Tensors, metadata: Metadata, number: str) -> tuple[bytes, dict[str, str]]:
    """Return the body of a request and the headers that belong to it.

    Args:
        tensors: the inputs by name, in the model's types.
        metadata: of the model.
        number: of the request.

    Raises:
        CallError: JSON cannot hold a value, such as NaN.
    """
    parts: list[bytes] = []
    inputs = []
    for name, array in tensors.items():
        told: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": _NAMES[_plain(array)]}
        if metadata.binary:
            parts.append(_raw(array))
            told["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            told["data"] = [_text(value) for value in array.ravel().tolist()]
        inputs.append(told)
    request: dict[str, Any] = {"id": number, "inputs": inputs}
    if metadata.binary:
        request["outputs"] = [{"name": port.name, "parameters": {"binary_data": True}} for port in metadata.outputs]
    try:
        head = json.dumps(request, allow_nan=False).encode()
    except ValueError as error:
        raise CallError("the inputs have NaN or infinite values, which JSON cannot hold") from error
    if not metadata.binary:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return b"".join([head, *parts]), headers


def decoded(reply: Reply, number: str) -> Tensors:
    """Read the outputs of a response by name; they are new arrays.

    Raises:
        CallError: it belongs to another request, or is not what the protocol says.
    """
    size = reply.headers.get(LENGTH)
    head, rest = (reply.body, b"") if size is None else (reply.body[: int(size)], reply.body[int(size) :])
    told = _object(head)
    if "error" in told:
        raise CallError(str(told["error"]))
    if told.get("id") not in {number, None, ""}:
        raise CallError(f"the response is that of request {told['id']!r}, and this is {number!r}")
    try:
        found = {}
        for output in told["outputs"]:
            found[output["name"]], rest = _output(output, rest)
    except (KeyError, TypeError, ValueError) as error:
        raise CallError(f"the response is not that of the Open Inference Protocol: {as_text(head)}") from error
    if rest:
        raise CallError(f"the response has {len(rest)} bytes more than its outputs")
    return found


def _output(told: Mapping[str, Any], rest: bytes) -> tuple[npt.NDArray[Any], bytes]:
    dtype, shape = np.dtype(TYPES[told["datatype"]]), tuple(told["shape"])
    size = (told.get("parameters") or {}).get("binary_data_size")
    if size is None:
        return np.asarray(told["data"], dtype=dtype).reshape(shape), rest
    if len(rest) < size:
        raise CallError(f"the output {told['name']!r} was cut off: {len(rest)} of {size} bytes")
    raw = rest[:size]
    array = _texts(raw) if dtype.kind == "O" else np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype)
    return array.reshape(shape), rest[size:]


def _port(told: Mapping[str, Any]) -> Port:
    sizes = tuple(None if int(size) < 0 else int(size) for size in told["shape"])
    return Port(name=str(told["name"]), dtype=TYPES[told["datatype"]], shape=sizes)


def _plain(array: npt.NDArray[Any]) -> str:
    return "object" if array.dtype.kind in "OUS" else array.dtype.name


def _raw(array: npt.NDArray[Any]) -> bytes:
    """Return an array's elements, little-endian; texts each after their length."""
    if _plain(array) != "object":
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    texts = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _texts(raw: bytes) -> npt.NDArray[Any]:
    found, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        found.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return np.array(found, dtype=object)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _object(body: bytes) -> dict[str, Any]:
    """Read a JSON object, which has no NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        found = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = f"{error} is not JSON" if str(error) in {"NaN", "Infinity", "-Infinity"} else "it is not JSON"
        raise CallError(f"the response cannot be read, {reason}: {as_text(body)}") from error
    if not isinstance(found, dict):
        raise CallError(f"the response is not a JSON object: {as_text(body)}")
    return found
