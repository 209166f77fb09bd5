"""Models behind an endpoint: how they are named, and which hosts may be asked. Standard library only.

A test suite must never send requests to an unintended machine: a host that is not this one has to be allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pytest_modelbench.errors import UsageMistake, shown

SCHEMES = ("kserve", "rest")
"""Of SPECs; `rest://host:port/path` is asked by HTTP with JSON."""
PORT = 80


@dataclass(frozen=True, kw_only=True)
class RestEndpoint:
    """A model behind a plain HTTP endpoint, with your own request and response functions.

    Attributes:
        url: such as "http://127.0.0.1:8000/predict".
        encode: makes the body of a request from a batch: bytes, a string, or what JSON can hold. By default
            `{"inputs": ...}` with nested lists; a mapping of arrays becomes an object of lists.
        decode: makes the outputs from the body of a response, as bytes. By default the array in `"outputs"`, or an
            object of arrays as a mapping.
        headers: more headers by name, such as those of an authorisation.
        timeout_s: the longest that one call may take, in seconds.
    """

    url: str
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[bytes], Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0


def is_endpoint(spec: str) -> bool:
    """Whether a SPEC names an endpoint.

    >>> is_endpoint("kserve://127.0.0.1:8000/digits"), is_endpoint("models.py:load")
    (True, False)
    """
    return spec.partition("://")[0] in SCHEMES


def address_of(url: str) -> tuple[str, int, str]:
    """Return host, port and path of an endpoint.

    Raises:
        UsageMistake: it is not an URL of `kserve://`, `rest://` or `http://` with a host.
    """
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {*SCHEMES, "http"} or not host:
        raise UsageMistake(
            f"{shown(url)} is not an endpoint. Write kserve://host:port/MODEL, rest://host:port/path, or "
            "RestEndpoint(url='http://host:port/path'); for https, run a proxy on this machine"
        )
    return host, port or PORT, parts.path + (f"?{parts.query}" if parts.query else "")


def refuse_host(url: str, allowed: Sequence[str]) -> None:
    """Refuse an endpoint on another machine that the user has not allowed, before anything is sent.

    Raises:
        UsageMistake: it is not, or the URL cannot be read.
    """
    host = address_of(url)[0]
    if host in allowed or _is_loopback(host):
        return
    raise UsageMistake(
        f"{shown(url)}: {host} is not this machine, and nothing was sent to it. If it may be measured, write "
        f"--modelbench-endpoint-allow={host}"
    )


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone: looking it up would send a packet."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
