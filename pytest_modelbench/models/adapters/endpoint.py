"""Adapters for models behind an endpoint: the Open Inference Protocol, and plain JSON with the user's functions."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, map_tree
from pytest_modelbench.errors import ModelError, NotApplicable, UsageMistake, cause_of
from pytest_modelbench.models.adapters.http_calls import CallError, Connection, Reply, request_bytes, without
from pytest_modelbench.models.adapters.open_inference import Tensors, decoded, encoded, fits, metadata_of
from pytest_modelbench.models.adapters.ports import Feeds
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.models.endpoints import RestEndpoint, address_of, is_endpoint, key_of, refuse_host
from pytest_modelbench.models.saved import Loading

TIMEOUT_S = 60.0
JSON = {"Content-Type": "application/json"}
_ID = b"0" * 16
"""Stands in a request for the number of the call, which has as many characters."""


class EndpointModel(Model):
    """A model that a server runs: a call is a request over one kept-alive connection, and its response.

    Bodies are made before the timed call. Nothing is sent again: a call that fails is an error with the server's
    text.
    Where the server computes is not known, so no waiting is subtracted from a call's time.

    Args:
        url: of the endpoint.
        loading: the model's name, and the hosts that may be asked.
        timeout_s: the longest that a request may take, in seconds.
        headers: of each request.
        key_env: the name of the environment variable that holds the key, if there is one.

    Raises:
        ModelError: the host is not allowed, or the environment variable holds no key.
    """

    kind = "endpoint"
    libraries = ()

    def __init__(
        self,
        url: str,
        loading: Loading,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        key_env: str | None = None,
    ) -> None:
        super().__init__(loading.name)
        try:
            refuse_host(url, loading.endpoints)
            self.host, self.port, self.path = address_of(url)
        except UsageMistake as mistake:
            raise ModelError(f"{loading.name}: {mistake}") from mistake
        self.url, self.loading, self.runs_at = url, loading, url
        key = key_of(loading.name, key_env)
        self.connection = Connection(self.host, self.port, timeout_s, clock_ns=self.clock_ns, secret=key)
        self._headers = {**(headers or {}), **({"Authorization": f"Bearer {key}"} if key else {})}
        self.noted: dict[str, Any] = {"encode_ms": None, "reopened_connections": 0}
        """What later calls find out, for the report."""

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """Return a whole request with the model's own headers, which override the given ones."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return request_bytes(method, f"{host}:{self.port}", path, body, {**(headers or {}), **self._headers})

    def get(self, path: str) -> Reply:
        """Ask the server about itself, outside of timed calls.

        Raises:
            CallError: it failed.
        """
        return self.connection.call(self.request("GET", path))

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Encode a batch, and return a call that sends it and decodes the response."""
        start = time.perf_counter()
        call = self.encoded(inputs)
        self.noted["encode_ms"] = round((time.perf_counter() - start) * 1e3, 3)
        return call

    @abstractmethod
    def encoded(self, inputs: Any) -> Callable[[], Any]:
        """Return a call that sends a batch whose body is made now."""

    def failed(self, error: CallError) -> ModelError:
        """Return the error for a call of the server that failed."""
        return self._blamed(without(self.connection.secret, f"{self.name} at {self.url}: {error}"))

    def undecoded(self, reply: Reply, error: BaseException) -> ModelError:
        """Return the error for a response that the user's `decode` cannot read."""
        cause = CallError(
            f"decode= cannot read the response {reply.text!r} (status {reply.status}, content type "
            f"{reply.content_type}): {cause_of(error)}"
        )
        return self.failed(cause)

    def answered(self, request: bytes) -> Reply:
        """Return the response to a request.

        Raises:
            ModelError: the call failed.
        """
        try:
            return self.connection.call(request)
        except CallError as error:
            raise self.failed(error) from error
        finally:
            self.noted["reopened_connections"] = self.connection.reopened

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def count_parameters(self) -> ParameterCount:
        """Refuse: the weights are on the server.

        Raises:
            NotApplicable: always.
        """
        raise NotApplicable(f"{self.name} is behind {self.url}: its parameters are on the server")

    def artefact(self) -> Artefact:
        """Refuse: the files are on the server.

        Raises:
            NotApplicable: always.
        """
        raise NotApplicable(f"{self.name} is behind {self.url}: its files are on the server")

    def describe(self) -> dict[str, Any]:
        """Return the URL, and what the calls found out."""
        return {**super().describe(), "url": self.url, "calls": self.noted}


class RestModel(EndpointModel):
    """A model behind plain HTTP with JSON, or with the user's own functions for requests and responses."""

    def __init__(self, endpoint: RestEndpoint, loading: Loading) -> None:
        super().__init__(endpoint.url, loading, endpoint.timeout_s, endpoint.headers, endpoint.key_env)
        if is_endpoint(endpoint.url) and not endpoint.url.startswith("rest://"):
            raise ModelError(
                f"{loading.name}: RestEndpoint(url=) takes http:// and torchserve://, not {endpoint.url}"
            )
        self.endpoint = endpoint

    def encoded(self, inputs: Any) -> Callable[[], Any]:
        """Make the body by `encode`."""
        request = self.request("POST", self.path or "/", self._body(inputs), JSON)

        def call() -> Any:
            return self._outputs(self.answered(request))

        return call

    def _body(self, inputs: Any) -> bytes:
        try:
            return as_bytes((self.endpoint.encode or _plain_request)(inputs))
        except Exception as error:
            cause = cause_of(error)
            raise self._blamed(f"{self.name} at {self.url}: encode= cannot read the inputs: {cause}") from error

    def _outputs(self, reply: Reply) -> Any:
        decode = self.endpoint.decode
        try:
            return decode(reply.body) if decode else plain_outputs(reply)
        except CallError as error:
            raise self.failed(error) from error
        except Exception as error:
            raise self.undecoded(reply, error) from error

    def replicate(self) -> Model:
        """Open another connection to the same server."""
        return type(self)(self.endpoint, self.loading)


class KServeModel(EndpointModel):
    """A model of a server that speaks the Open Inference Protocol (Triton, KServe, MLServer, OpenVINO Model Server).

    Tensors are binary if the server says that it takes them so, else JSON, and the report states which.

    Raises:
        ModelError: the server is not ready, has no such model, or does not describe it.
    """

    def __init__(self, url: str, loading: Loading) -> None:
        super().__init__(url, loading, timeout_of(url, loading, TIMEOUT_S))
        name, _, version = self.path.strip("/").partition("/")
        if not name:
            raise ModelError(f"{self.name}: {url} names no model. Write kserve://host:port/MODEL, or MODEL/VERSION")
        self.model_path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
        try:
            self.get(f"{self.model_path}/ready")
            self.metadata = metadata_of(self.get(self.model_path), self.get("/v2"))
        except CallError as error:
            raise self.failed(error) from error
        self.casts: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._stats = self._server_times()

    def encoded(self, inputs: Any) -> Callable[[], Any]:
        """Make the body in the types that the server's metadata state; each request has a number of its own."""
        feeds = Feeds(self.name, f"the model at {self.url}", self.metadata.inputs, self.casts).of(inputs)
        for port in self.metadata.inputs:
            if not fits(feeds[port.name].shape, port.shape):
                raise self._blamed(
                    f"{self.name} at {self.url}: the input {port.name!r} has the shape {feeds[port.name].shape}, and "
                    f"the server takes {port}"
                )
        body, headers = encoded(feeds, self.metadata, _ID.decode())
        before, _, after = self.request("POST", f"{self.model_path}/infer", body, headers).partition(_ID)

        def call() -> Tensors:
            number = f"{next(self._numbers):016x}"
            reply = self.answered(before + number.encode() + after)
            try:
                return decoded(reply, number, self.metadata)
            except CallError as error:
                self.connection.close()  # what comes next may be this call's
                raise self.failed(error) from error

        return call

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Read the server's own times before and after a series of calls, if it tells them."""
        try:
            yield
        finally:
            now = self._server_times()
            calls = now["count"] - self._stats["count"]
            if calls:
                for part in ("queue", "compute"):
                    spent = now[part] - self._stats[part]
                    self.noted[f"server_{part}_ms"] = round(spent / calls / 1e6, 4)

    def _server_times(self) -> dict[str, float]:
        """Return how many requests the server has answered, and its nanoseconds of queueing and computing."""
        nothing = dict.fromkeys(("count", "queue", "compute"), 0.0)
        if not self.metadata.has_statistics:
            return nothing
        try:
            (stats,) = json.loads(self.get(f"{self.model_path}/stats").body)["model_stats"]
            parts = stats["inference_stats"]
            return {
                "count": float(parts["success"]["count"]),
                "queue": float(parts["queue"]["ns"]),
                "compute": float(parts["compute_infer"]["ns"]),
            }
        except (CallError, ValueError, KeyError, TypeError):
            self.metadata = self.metadata.without_statistics()  # it lists them, and does not give them
            return nothing

    def replicate(self) -> Model:
        """Open another connection to the same server."""
        return KServeModel(self.url, self.loading)

    def fingerprint(self) -> str:
        """Hash URL, server and versions; by identity where the server tells no version of the model."""
        metadata = self.metadata
        if not metadata.versions:
            return super().fingerprint()
        ports = [str(port) for port in (*metadata.inputs, *metadata.outputs)]
        text = repr((self.url, metadata.server, metadata.versions, ports))
        return f"endpoint:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"

    def describe(self) -> dict[str, Any]:
        """Return server, versions, and whether tensors travel as binary data or as JSON."""
        return {
            **super().describe(),
            "server": self.metadata.server,
            "versions": list(self.metadata.versions),
            "tensors": "binary" if self.metadata.binary else "JSON",
            "casts": self.casts,
        }


def load_endpoint(spec: str, loading: Loading) -> Model:
    """Return the model that `kserve://...` or `rest://...` names.

    Raises:
        ModelError: the host is not allowed, or the server does not answer as it should.
    """
    if spec.startswith("kserve://"):
        return KServeModel(spec, loading)
    url = f"http://{spec.partition('://')[2]}"
    return RestModel(RestEndpoint(url=url, timeout_s=timeout_of(url, loading, TIMEOUT_S)), loading)


def timeout_of(url: str, loading: Loading, default_s: float) -> float:
    """Return the seconds of the option `timeout` of a SPEC.

    Raises:
        ModelError: it is not a number above 0.
    """
    text = dict(loading.options).get("timeout")
    try:
        seconds = default_s if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ModelError(f"{loading.name}: {url}?timeout={text}, expected seconds above 0, such as timeout=10")
    return seconds


def _plain_request(inputs: Any) -> Any:
    return {"inputs": map_tree(lambda leaf: as_array(leaf).tolist(), inputs)}


def plain_outputs(reply: Reply) -> Any:
    """Return the array in `"outputs"` of a JSON object, or a mapping of arrays; NaN and Infinity are values.

    Raises:
        CallError: the response is something else; the text says what came.
    """

    def unlike(reason: str) -> CallError:
        return CallError(
            f'{reason}; expected {{"outputs": nested lists}} as JSON, or RestEndpoint(decode=...) for another form: '
            f"{reply}"
        )

    if not reply.body.strip():
        raise unlike("the response is empty")
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise unlike("the response is not JSON") from error
    if not isinstance(content, Mapping) or "outputs" not in content:
        raise unlike('the response has no "outputs"')
    outputs = content["outputs"]
    try:
        if isinstance(outputs, Mapping) and outputs:
            return {name: array_of(value) for name, value in outputs.items()}
        return array_of(outputs)
    except (TypeError, ValueError) as error:
        raise unlike('"outputs" are not arrays of numbers or strings') from error


def array_of(value: Any) -> Any:
    """Return nested lists as an array; `null` is NaN, as which some servers write it.

    Raises:
        TypeError: it is not a list, or holds something else than numbers, truth values and strings.
        ValueError: inner lists have different lengths.
    """
    if not isinstance(value, list):
        raise TypeError(type(value).__name__)
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "O" else array


def as_bytes(body: Any) -> bytes:
    """Return a body as bytes: bytes and strings as they are, anything else as JSON.

    Raises:
        ValueError: JSON cannot hold a value, such as NaN.
        TypeError: JSON cannot hold an object.
    """
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    return body.encode() if isinstance(body, str) else json.dumps(body, allow_nan=False).encode()
