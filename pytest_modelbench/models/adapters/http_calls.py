"""One kept-alive HTTP connection: a call is one send and one response, and whatever goes wrong is said.

The standard library's client sends headers and body apart. Here a request is one buffer that is made before the call.
"""

from __future__ import annotations

import http.client
import select
import socket
from collections.abc import Mapping
from dataclasses import dataclass

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


def request_bytes(
    method: str, host: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole request of HTTP/1.1."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: keep-alive"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


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
        try:
            connected.sendall(request)
            return self._received(connected)
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
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _received(self, connected: socket.socket) -> Reply:
        response = http.client.HTTPResponse(connected)
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
            raise CallError(f"status {response.status} {response.reason}: {as_text(body)}")
        return Reply(headers=headers, body=body)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _was_closed(connected: socket.socket) -> bool:
    """Whether the other side closed a connection between two calls, or sent something that nobody asked for."""
    readable, _, _ = select.select([connected], [], [], 0)
    return bool(readable)


def as_text(body: bytes) -> str:
    """Return the start of a body as text, in one line."""
    text = " ".join(body[: 4 * SHOWN].decode("utf-8", "replace").split())
    return f"{text[:SHOWN]}..." if len(text) > SHOWN else text or "nothing"
