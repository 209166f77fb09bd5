"""One kept-alive HTTP connection: a call is one send and one response, and every fault is reported.

The standard library's client sends headers and body apart. Here a request is one buffer that is made before the call.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pytest_modelbench.errors import ModelbenchError

SHOWN = 200
"""How much of a server's text a message shows."""


class CallError(ModelbenchError):
    """A call to an endpoint failed; the text says how, with what the server sent."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response: its headers in lower case, and its body."""

    headers: Mapping[str, str]
    body: bytes
    status: int = 200

    def __str__(self) -> str:
        """Return status, content type and the start of the body, for messages."""
        kind = self.headers.get("content-type", "none")
        return f"status {self.status}, content type {kind}, body {as_text(self.body)}"


def request_bytes(
    method: str, host: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: keep-alive"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Stream(io.RawIOBase):
    """What a socket receives until a moment: a server that sends byte by byte does not stretch a call's timeout."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        super().__init__()
        self._socket, self._until = connected, until

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - always "rb"
        return io.BufferedReader(self, 2**16)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv_into(buffer)


class Connection:
    """A connection that is opened at the first call, and again after one that failed.

    Args:
        host: of the server.
        port: of the server.
        timeout_s: the longest that a call may take, in seconds.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        self.reopened = 0
        """How often the server had closed the connection before a call, so that it was opened again."""
        self._socket: socket.socket | None = None

    def call(self, request: bytes) -> Reply:
        """Send a request and return the response.

        Raises:
            CallError: no connection, a timeout, a reset, a status that is not 200, or a body that was cut off.
        """
        connected = self._connected()
        until = time.monotonic() + self.timeout_s
        try:
            connected.settimeout(self.timeout_s)  # reading the last response has shortened it
            connected.sendall(request)
            return self._received(_Stream(connected, until))
        except CallError:
            raise
        except TimeoutError as error:
            self.close()
            raise CallError(f"no response within {self.timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise CallError(f"the connection broke: {type(error).__name__}: {error}") from error
        except BaseException:  # such as an alarm: the response must not be taken for the next call's
            self.close()
            raise

    def _connected(self) -> socket.socket:
        if self._socket is not None and _was_closed(self._socket):
            self.close()
            self.reopened += 1
        if self._socket is None:
            try:
                self._socket = socket.create_connection((self.host, self.port), timeout=self.timeout_s)
            except OSError as error:
                raise CallError(f"cannot connect to {self.host}:{self.port}: {error}") from error
            self._closing = weakref.finalize(self, self._socket.close)  # also where nobody closes it
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _received(self, stream: _Stream) -> Reply:
        response = http.client.HTTPResponse(cast("Any", stream))  # which it only asks for makefile()
        try:
            response.begin()
            body = response.read()
        except http.client.IncompleteRead as error:
            self.close()
            raise CallError(f"the body was cut off after {len(error.partial)} bytes") from error
        finally:
            response.close()  # a connection that is kept alive stays open
        if response.will_close:
            self.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status != http.client.OK:
            kind, moved = headers.get("content-type"), headers.get("location")
            notes = [f"content type {kind}"] * bool(kind) + [f"redirected to {moved}, not followed"] * bool(moved)
            noted = f" ({', '.join(notes)})" if notes else ""
            raise CallError(f"status {response.status} {response.reason}{noted}: {as_text(body)}")
        return Reply(headers=headers, body=body, status=response.status)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._socket is not None:
            self._closing()
            self._socket = None


def _was_closed(connected: socket.socket) -> bool:
    """Whether the other side closed a connection between two calls, or sent something unrequested."""
    readable, _, _ = select.select([connected], [], [], 0)
    return bool(readable)


def as_text(body: bytes) -> str:
    """Return the start of a body as text, in one line."""
    text = " ".join(body[: 4 * SHOWN].decode("utf-8", "replace").split())
    return f"{text[:SHOWN]}..." if len(text) > SHOWN else text or "nothing"
