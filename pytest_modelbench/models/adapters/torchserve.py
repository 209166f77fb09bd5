"""Models that TorchServe serves: each sample is a request of its own, for the server gathers its batches itself.

https://docs.pytorch.org/serve/inference_api.html and https://docs.pytorch.org/serve/management_api.html describe it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modelbench.data.arrays import as_array, is_sparse, map_tree, rows, take
from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.endpoint import JSON, TIMEOUT_S, EndpointModel, array_of, as_bytes, timeout_of
from pytest_modelbench.models.adapters.http_calls import CallError, Connection, Reply, request_bytes
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.endpoints import RestEndpoint
from pytest_modelbench.models.saved import Loading

INFERENCE, MANAGEMENT = 8080, 8081
"""TorchServe's default ports."""
PATIENCE_S = 2.0
"""How long the management API may take, which need not be reachable."""
BYTES = {"Content-Type": "application/octet-stream"}
_DESCRIBED = ("modelVersion", "runtime", "minWorkers", "maxWorkers", "batchSize", "maxBatchDelay")


class TorchServeModel(EndpointModel):
    """A model of TorchServe: a call sends the samples of a batch one after the other and joins their outputs.

    Raises:
        ModelError: the URL names no model, or the server is not there or not healthy.
    """

    def __init__(self, endpoint: RestEndpoint, loading: Loading) -> None:
        super().__init__(endpoint.url, loading, endpoint.timeout_s, endpoint.headers, endpoint.key_env)
        name, _, version = self.path.strip("/").partition("/")
        if not name or "/" in version or "?" in self.path:
            raise ModelError(
                f"{self.name}: {endpoint.url} names no model. Write torchserve://host:port/MODEL[/VERSION]"
            )
        self.endpoint, self.model = endpoint, f"{name}/{version}".rstrip("/")
        self.health = self._healthy()
        self.described = self._description()

    def _healthy(self) -> str:
        """Return the health that the server states.

        Raises:
            ModelError: it does not answer, or is not healthy.
        """
        try:
            reply = self.get("/ping")
            health = re.search(rb'"status"\s*:\s*"((?:partial )?healthy)"', reply.body, re.IGNORECASE)
            if health is None:
                raise CallError(f"the server is not healthy: {reply}")
        except CallError as error:
            raise self.failed(error) from error
        return health.group(1).decode()

    def _description(self) -> dict[str, Any]:
        """Return what the management API says of the model; nothing if it cannot be reached."""
        port = dict(self.loading.options).get("management", MANAGEMENT if self.port == INFERENCE else None)
        if port is None:
            return {}
        asking = Connection(self.host, int(port), PATIENCE_S, secret=self.connection.secret)
        request = request_bytes("GET", f"{self.host}:{port}", f"/models/{self.model}", b"", self._headers)
        with contextlib.suppress(CallError, ValueError, TypeError, KeyError, AttributeError):
            (model,) = json.loads(asking.call(request).body)
            asking.close()
            workers = len(model.get("workers") or ())
            return {**{name: model[name] for name in _DESCRIBED if name in model}, "workers": workers}
        return {}

    def encoded(self, inputs: Any) -> Callable[[], Any]:
        """Make a body for each sample."""
        requests = [self._request(sample) for sample in samples_of(inputs)]
        return lambda: self._joined([self.answered(request) for request in requests])

    def _request(self, sample: Any) -> bytes:
        try:
            body = (self.endpoint.encode or _plain)(sample)
            kind = BYTES if isinstance(body, bytes | bytearray) else JSON
            return self.request("POST", f"/predictions/{self.model}", as_bytes(body), kind)
        except Exception as error:
            cause = CallError(f"encode= cannot read a sample: {cause_of(error)}")
            raise self.failed(cause) from error

    def _joined(self, replies: Sequence[Reply]) -> Any:
        outputs = [self._output(reply) for reply in replies]
        try:
            return _stacked(outputs)
        except (TypeError, ValueError) as error:
            cause = CallError(
                f"the responses are not arrays of one shape ({cause_of(error)}); the first is {replies[0]}. For "
                "another form, write RestEndpoint(url='torchserve://...', decode=...)"
            )
            raise self.failed(cause) from error

    def _output(self, reply: Reply) -> Any:
        try:
            return self.endpoint.decode(reply.body) if self.endpoint.decode else _output_of(reply)
        except CallError as error:
            raise self.failed(error) from error
        except Exception as error:
            raise self.undecoded(reply, error) from error

    def replicate(self) -> Model:
        """Open another connection to the same server."""
        return TorchServeModel(self.endpoint, self.loading)

    def fingerprint(self) -> str:
        """Hash URL and version; by identity if no version is known, or a function of the user's is between."""
        version = self.described.get("modelVersion")
        if version is None or self.endpoint.encode or self.endpoint.decode:
            return super().fingerprint()
        text = repr((self.url, version))
        return f"endpoint:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"

    def describe(self) -> dict[str, Any]:
        """Return the server's health, and what its management API says of the model."""
        return {**super().describe(), "server": "TorchServe", "health": self.health, "serving": self.described}


def load_torchserve(spec: str, loading: Loading) -> Model:
    """Return the model that `torchserve://...` names.

    Raises:
        ModelError: as for `TorchServeModel`, or an option has no meaning.
    """
    port = dict(loading.options).get("management", "1")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16):
        raise ModelError(f"{loading.name}: {spec}?management={port}, expected a port, such as management=8081")
    return TorchServeModel(RestEndpoint(url=spec, timeout_s=timeout_of(spec, loading, TIMEOUT_S)), loading)


def samples_of(inputs: Any) -> list[Any]:
    """Return the samples of a batch, without the batch's axis; those of a sparse matrix are dense."""
    return [map_tree(_first, take(inputs, at, at + 1)) for at in range(rows(inputs))]


def _first(leaf: Any) -> Any:
    if hasattr(leaf, "iloc"):
        return leaf.iloc[0]
    return as_array(leaf)[0] if is_sparse(leaf) or hasattr(leaf, "to_numpy") else leaf[0]


def _plain(sample: Any) -> Any:
    """Return bytes as they are, and anything else as JSON: strings, numbers, nested lists, objects of them."""
    if isinstance(sample, bytes):
        return sample
    return json.dumps(map_tree(_listed, sample), allow_nan=False)


def _listed(leaf: Any) -> Any:
    return leaf if isinstance(leaf, str | int | float | list) else as_array(leaf).tolist()


def _output_of(reply: Reply) -> Any:
    """Return a response's JSON; an object of at least two numbers is the label with the largest one.

    The handlers `image_classifier` and `text_classifier` return such objects, with the first few labels only.

    Raises:
        CallError: it is not JSON, or one of the numbers is not a number.
    """
    content = _json(reply)
    if not isinstance(content, Mapping) or len(content) < 2 or not all(map(_is_number, content.values())):
        return content
    if not all(map(math.isfinite, content.values())):
        raise CallError(f"the scores of the labels are not finite: {reply}")
    return max(content, key=lambda label: content[label])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stacked(outputs: Sequence[Any]) -> Any:
    """Join the outputs of samples to arrays, by name if they have names.

    Raises:
        TypeError: an output is not an array, number, label, or mapping of them.
        ValueError: they have different shapes or names.
    """
    first = outputs[0]
    if isinstance(first, Mapping) and first:
        if any(not isinstance(output, Mapping) or set(output) != set(first) for output in outputs):
            raise ValueError("the names differ")
        return {name: _stacked([output[name] for output in outputs]) for name in first}
    return array_of([output.tolist() if hasattr(output, "tolist") else output for output in outputs])


def _json(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise CallError(
            f"the response is not JSON: {reply}. For another form, write RestEndpoint(url='torchserve://...', "
            "decode=...)"
        ) from error
