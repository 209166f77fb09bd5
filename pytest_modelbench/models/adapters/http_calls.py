"""One kept-alive HTTP connection: a call is one send and one response, and every fault is reported.

The standard library's client sends headers and body apart. Here a request is one buffer that is made before the call.
A response is read as a whole, or part by part with the time at which each part was received.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import select
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pytest_modelbench.errors import ModelbenchError

SHOWN = 200
"""How much of a server's text a message shows."""
PART = 2**16
"""The most bytes of a response that are received at once."""
GRACE_S = 0.1
"""How long a response whose content is complete may take to end before the next request, before its connection is
closed. If one took longer, the connection is closed after each of the next ones at once."""


Parts = Iterator[tuple[int, bytes]]
"""Of a response's body, each with the time at which its last bytes were received."""


class CallError(ModelbenchError):
    """A call to an endpoint failed; the text says how, with what the server sent."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response: its headers in lower case, and its body; `secret` is what no message shows."""

    headers: Mapping[str, str]
    body: bytes
    status: int = 200
    secret: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """The start of the body, for messages."""
        return as_text(self.body, self.secret)

    @property
    def content_type(self) -> str:
        """The content type that the server states, or "none"."""
        return self.headers.get("content-type", "none")

    def __str__(self) -> str:
        """Return status, content type and the start of the body, for messages."""
        return f"status {self.status}, content type {self.content_type}, body {self.text}"


class Request(bytes):
    """A whole request; what shows its `repr`, such as a traceback, does not show the key that it may hold."""

    def __repr__(self) -> str:
        """Return the number of bytes."""
        return f"<request of {len(self)} bytes>"


def request_bytes(
    method: str, host: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Request:
    """Return a whole request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: keep-alive"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Request("\r\n".join([*lines, "", ""]).encode() + body)


class _Stream(io.RawIOBase):
    """What a socket receives until a moment: a server that sends byte by byte does not stretch a call's timeout."""

    def __init__(self, connected: socket.socket, timeout_s: float, clock_ns: Callable[[], int]) -> None:
        super().__init__()
        self._socket, self._clock_ns = connected, clock_ns
        self._until = time.monotonic() + timeout_s
        self.at_ns = 0
        """When the last bytes were received."""
        self.busy_ns = 0
        """The longest that the reader took for what it had received before it asked for more."""

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - always "rb"
        return io.BufferedReader(self, PART)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        if self.at_ns:
            self.busy_ns = max(self.busy_ns, self._clock_ns() - self.at_ns)
        size = self._socket.recv_into(buffer)
        self.at_ns = self._clock_ns()
        return size

    def hurry(self, seconds: float) -> None:
        """Wait no longer than this for what is left."""
        self._until = min(self._until, time.monotonic() + seconds)
        self.at_ns = 0  # what lies between two requests is not reading


class Connection:
    """A connection that is opened at the first call, and again after one that failed.

    Args:
        host: of the server.
        port: of the server.
        timeout_s: the longest that a call may take, in seconds.
        clock_ns: the clock that tells when parts of a response were received.
        secret: a key that requests hold and that no message shows.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout_s: float,
        *,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        secret: str = "",
    ) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        self.clock_ns, self.secret = clock_ns, secret
        self.reopened = 0
        """How often it was opened again because the server had closed it, or did not end a response."""
        self._socket: socket.socket | None = None
        self._stream: _Stream | None = None
        self._left: http.client.HTTPResponse | None = None
        self.lingers = False
        """Whether the server did not end a response in time."""
        self._dropped = False

    def call(self, request: bytes) -> Reply:
        """Send a request and return the response.

        Raises:
            CallError: no connection, a timeout, a reset, a status that is not 200, or a body that was cut off.
        """
        with self._response(request) as (response, _):
            reply = self._whole(response)
        _check_status(response, reply)
        return reply

    @contextlib.contextmanager
    def parts(self, request: bytes) -> Iterator[Parts]:
        """Send a request and give the parts of the response's body, each with the time of its last bytes.

        Leave the context when the content is complete: what is left of the response is read before the next request,
        so that no call waits for the end of its own. After an error the connection is closed.

        Yields:
            An iterator of nanoseconds of the clock, and bytes.

        Raises:
            CallError: as for `call`.
        """
        with self._response(request) as (response, stream):
            if response.status != http.client.OK:
                _check_status(response, self._whole(response))
            try:
                yield ((stream.at_ns, part) for part in iter(functools.partial(self._read, response), b""))
            except BaseException:
                self.close()
                raise
            if self.lingers and not response.isclosed():
                self._drop()
            else:
                self._left = response

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """Return the next part of a body; nothing at its end."""
        with self._faults():
            part = response.read1(PART)
            if not part and response.length:
                raise http.client.IncompleteRead(b"", response.length)
            return part

    @property
    def busy_ns(self) -> int:
        """The longest that the reader of the last response took before it asked for more of it, in nanoseconds."""
        return self._stream.busy_ns if self._stream else 0

    def drain(self) -> None:
        """Read what is left of the last response; close the connection of a server that does not end it."""
        response, self._left = self._left, None
        if response is None or self._stream is None:
            return
        self._stream.hurry(GRACE_S)
        try:
            while self._read(response):
                pass
        except CallError as error:  # the connection is closed, and the next call opens another
            self.lingers = isinstance(error.__cause__, TimeoutError)
            self._drop()
        finally:
            self._end(response)

    def open(self) -> None:
        """Open the connection if it is not, so that the next call need not.

        Raises:
            CallError: there is no connection.
        """
        self._connected()

    @contextlib.contextmanager
    def _response(self, request: bytes) -> Iterator[tuple[http.client.HTTPResponse, _Stream]]:
        """Send a request, and give the response when its headers are there; it must be read to its end.

        Raises:
            CallError: no connection, a timeout, a reset, or a body that was cut off.
        """
        connected = self._connected()
        stream = self._stream = _Stream(connected, self.timeout_s, self.clock_ns)
        response = http.client.HTTPResponse(cast("Any", stream))  # which it only asks for makefile()
        try:
            with self._faults():
                connected.settimeout(self.timeout_s)  # reading the last response has shortened it
                connected.sendall(request)
                response.begin()
                yield response, stream
        finally:
            if self._left is not response:
                self._end(response)

    def _end(self, response: http.client.HTTPResponse) -> None:
        response.close()  # a connection that is kept alive stays open
        if response.will_close:
            self.close()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Close the connection at every error, and raise those of the call as ours."""
        try:
            yield
        except CallError:
            raise
        except BaseException as error:  # also an alarm: the response must not be taken for the next call's
            self.close()
            text = self._fault(error)
            if text is None:
                raise
            raise CallError(text) from error

    def _fault(self, error: BaseException) -> str | None:
        """Say how a call failed; None for what is not a fault of the call."""
        if isinstance(error, http.client.IncompleteRead):
            size = len(error.partial)
            return "the body was cut off" + (f" after {size} bytes" if size else "")
        if isinstance(error, TimeoutError):
            return f"no response within {self.timeout_s:g} s"
        broke = isinstance(error, OSError | http.client.HTTPException)
        return f"the connection broke: {type(error).__name__}: {error}" if broke else None

    def _whole(self, response: http.client.HTTPResponse) -> Reply:
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(headers=headers, body=body, status=response.status, secret=self.secret)

    def _connected(self) -> socket.socket:
        self.drain()
        if self._socket is not None and _was_closed(self._socket):
            self._drop()
        if self._socket is None:
            try:
                self._socket = socket.create_connection((self.host, self.port), timeout=self.timeout_s)
            except OSError as error:
                raise CallError(f"cannot connect to {self.host}:{self.port}: {error}") from error
            self.reopened += self._dropped
            self._dropped = False
            self._closing = weakref.finalize(self, self._socket.close)  # also where nobody closes it
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _drop(self) -> None:
        """Close a connection that the server has closed or keeps busy."""
        self.close()
        self._dropped = True

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._left = None
        if self._socket is not None:
            self._closing()
            self._socket = None


def _was_closed(connected: socket.socket) -> bool:
    """Whether the other side closed a connection between two calls, or sent something unrequested."""
    if not hasattr(select, "poll"):  # Windows, where select() takes any socket
        return bool(select.select([connected], [], [], 0)[0])
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _check_status(response: http.client.HTTPResponse, reply: Reply) -> None:
    """Check that a response has the status 200.

    Raises:
        CallError: it has another; the text has the server's words.
    """
    if reply.status == http.client.OK:
        return
    kind, moved = reply.headers.get("content-type"), reply.headers.get("location")
    notes = [f"content type {kind}"] * bool(kind) + [f"redirected to {moved}, not followed"] * bool(moved)
    noted = f" ({', '.join(notes)})" if notes else ""
    raise CallError(f"status {reply.status} {response.reason}{noted}: {reply.text}")


def as_text(body: bytes, secret: str = "") -> str:
    """Return the start of a body as text, in one line, without a secret that a server may repeat."""
    text = " ".join(without(secret, body.decode("utf-8", "replace"))[: 4 * SHOWN].split())
    return f"{text[:SHOWN]}..." if len(text) > SHOWN else text or "nothing"


def without(secret: str, text: str) -> str:
    """Return a text with stars in the place of a secret."""
    return text.replace(secret, "***") if secret else text
