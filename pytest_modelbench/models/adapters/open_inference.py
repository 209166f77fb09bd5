"""The bodies of the Open Inference Protocol, version 2: binary tensors if the server takes them so, else JSON.

https://kserve.github.io/website/latest/modelserving/data_plane/v2_protocol/ describes it, and Triton's extension for
binary tensor data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.models.adapters.http_calls import CallError, Reply
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
        name: of the model.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    versions: tuple[str, ...] = ()
    server: str = ""
    extensions: frozenset[str] = frozenset()
    name: str = ""

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
    metadata, about = _object(model.body, model), _object(server.body, server)
    try:
        return Metadata(
            inputs=tuple(_port(port) for port in metadata["inputs"]),
            outputs=tuple(_port(port) for port in metadata["outputs"]),
            versions=tuple(map(str, metadata.get("versions") or ())),
            server=f"{about.get('name', '')} {about.get('version', '')}".strip(),
            extensions=frozenset(about.get("extensions") or ()),
            name=str(metadata.get("name") or ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CallError(f"the metadata are not those of the Open Inference Protocol: {model}") from error


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
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": _NAMES[_plain(array)]}
        if metadata.binary:
            parts.append(_raw(array))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = [_text(value) for value in array.ravel().tolist()]
        inputs.append(entry)
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


def decoded(reply: Reply, number: str, metadata: Metadata) -> Tensors:
    """Read the outputs of a response by name; they are new arrays.

    Raises:
        CallError: it belongs to another request or model, or is not what the protocol or the metadata say.
    """
    size = reply.headers.get(LENGTH, "")
    if size and not size.isdecimal():
        raise CallError(f"the response has the header {LENGTH}: {size}, expected a number of bytes")
    head, rest = (reply.body[: int(size)], reply.body[int(size) :]) if size else (reply.body, b"")
    response = _object(head, reply)
    if "error" in response:
        raise CallError(str(response["error"]))
    if response.get("id") not in (number, None, ""):
        raise CallError(f"the response is that of request {response['id']!r}, and this is {number!r}")
    try:
        outputs = {}
        for output in response["outputs"]:
            outputs[output["name"]], rest = _output(output, rest)
    except (KeyError, TypeError, ValueError) as error:
        raise CallError(f"the response is not that of the Open Inference Protocol: {reply}") from error
    if rest:
        raise CallError(f"the response has {len(rest)} bytes more than its outputs")
    model = response.get("model_name")
    if model and metadata.name and model != metadata.name:
        raise CallError(f"the response is that of the model {model!r}, and {metadata.name!r} was asked")
    _check_outputs(outputs, metadata.outputs)
    return outputs


def _check_outputs(outputs: Tensors, ports: Sequence[Port]) -> None:
    """Check that a response has the outputs that the metadata state.

    Raises:
        CallError: one is missing or unknown, or has another type or shape.
    """
    stated = ", ".join(map(str, ports))
    if set(outputs) != {port.name for port in ports}:
        raise CallError(f"the response has the outputs {', '.join(outputs) or 'none'}; the metadata state {stated}")
    for port in ports:
        array = outputs[port.name]
        if _plain(array) != port.dtype or not fits(array.shape, port.shape):
            raise CallError(
                f"the output {port.name!r} is {array.dtype} of shape {array.shape}; the metadata state {port}"
            )


def fits(shape: Sequence[int], wanted: Sequence[int | None] | None) -> bool:
    """Whether a shape is one of those that a port takes."""
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(of is None or size == of for size, of in zip(shape, wanted, strict=True))


def _output(output: Mapping[str, Any], rest: bytes) -> tuple[npt.NDArray[Any], bytes]:
    dtype, shape = np.dtype(TYPES[output["datatype"]]), tuple(output["shape"])
    size = (output.get("parameters") or {}).get("binary_data_size")
    if size is None:
        return np.asarray(output["data"], dtype=dtype).reshape(shape), rest
    if len(rest) < size:
        raise CallError(f"the output {output['name']!r} was cut off: {len(rest)} of {size} bytes")
    raw = rest[:size]
    array = _texts(raw) if dtype.kind == "O" else np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype)
    return array.reshape(shape), rest[size:]


def _port(tensor: Mapping[str, Any]) -> Port:
    sizes = tuple(None if int(size) < 0 else int(size) for size in tensor["shape"])
    if tensor["datatype"] not in TYPES:
        raise CallError(f"{tensor['name']!r} has the type {tensor['datatype']}; known are {', '.join(TYPES)}")
    return Port(name=str(tensor["name"]), dtype=TYPES[tensor["datatype"]], shape=sizes)


def _plain(array: npt.NDArray[Any]) -> str:
    return "object" if array.dtype.kind in "OUS" else array.dtype.name


def _raw(array: npt.NDArray[Any]) -> bytes:
    """Return an array's elements, little-endian; texts each after their length."""
    if _plain(array) != "object":
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    texts = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _texts(raw: bytes) -> npt.NDArray[Any]:
    texts, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        texts.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return np.array(texts, dtype=object)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _object(body: bytes, reply: Reply) -> dict[str, Any]:
    """Read the JSON object of a response; NaN and Infinity are values, for a server may write them so."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CallError(f"the response cannot be read, it is not JSON: {reply}") from error
    if not isinstance(content, dict):
        raise CallError(f"the response is not a JSON object: {reply}")
    return content
