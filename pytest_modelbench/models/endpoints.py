"""Models behind an endpoint: how they are named, and which hosts may be asked. Standard library only.

A test suite must never send requests to an unintended machine: a host that is not this one has to be allowed.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pytest_modelbench.errors import ModelError, UsageMistake, shown

SCHEMES: Mapping[str, str] = {
    "kserve": "endpoint",
    "rest": "endpoint",
    "torchserve": "TorchServe endpoint",
    "openai": "OpenAI endpoint",
}
"""Of SPECs, each with its row in `formats.FORMATS`; all of them are HTTP."""
PORT = 80
FORMS = "kserve://host:port/MODEL, rest://host:port/path, torchserve://host:port/MODEL, openai://host:port/v1#MODEL"
"""How each kind is written."""


@dataclass(frozen=True, kw_only=True)
class RestEndpoint:
    """A model behind a plain HTTP endpoint or TorchServe, with your own request and response functions.

    Attributes:
        url: such as "http://127.0.0.1:8000/predict", which gets a request for each batch, or
            "torchserve://127.0.0.1:8080/MODEL", which gets one for each sample.
        encode: makes the body of a request from a batch (TorchServe: from one sample): bytes, a string, or what JSON
            can hold. By default `{"inputs": ...}` with nested lists; a mapping of arrays becomes an object of lists.
        decode: makes the outputs from the body of a response, as bytes. By default the array in `"outputs"`, or an
            object of arrays as a mapping.
        headers: more headers by name, such as those of an authorisation.
        key_env: the name of the environment variable that holds the key of a header `Authorization: Bearer KEY`.
        timeout_s: the longest that one request may take, in seconds.
    """

    url: str
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[bytes], Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_env: str | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class OpenAIEndpoint:
    """A language model behind an OpenAI-compatible endpoint, whose answers are streamed; prompts in, texts out.

    Attributes:
        url: such as "openai://127.0.0.1:8000/v1#MODEL".
        api: "chat" asks `/chat/completions`, "completions" asks `/completions`, which takes strings only.
        max_tokens: the most tokens of an answer.
        request: more fields of each request. They override those that are sent by default; None leaves one out.
        decode: makes an output, such as a label or a number, from the text of an answer; by default the text without
            white space around it.
        tokenizer: for servers that do not state how many tokens a text has: a tokenizer with `encode()`, or a
            function that returns the number.
        headers: more headers by name.
        key_env: the name of the environment variable that holds the key of a header `Authorization: Bearer KEY`.
        timeout_s: the longest that one answer may take, in seconds.
    """

    url: str
    api: str = "chat"
    max_tokens: int = 256
    request: Mapping[str, Any] = field(default_factory=dict)
    decode: Callable[[str], Any] | None = None
    tokenizer: Any = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key_env: str | None = None
    timeout_s: float = 300.0


def is_endpoint(spec: str) -> bool:
    """Whether a SPEC names an endpoint.

    >>> is_endpoint("kserve://127.0.0.1:8000/digits"), is_endpoint("models.py:load")
    (True, False)
    """
    return spec.partition("://")[0] in SCHEMES


def adapter_of(candidate: Any) -> str | None:
    """Return the class of `models.adapters` that asks an endpoint, as "module:name"; None for what is not a value."""
    if isinstance(candidate, OpenAIEndpoint):
        return "openai_text:OpenAIModel"
    if isinstance(candidate, RestEndpoint):
        return "torchserve:TorchServeModel" if candidate.url.startswith("torchserve://") else "endpoint:RestModel"
    return None


def address_of(url: str) -> tuple[str, int, str]:
    """Return host, port and path of an endpoint.

    Raises:
        UsageMistake: it is not an URL of one of the schemes or `http://` with a host, or holds a password.
    """
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
        url = re.sub(r"//.*@", "//", url)  # a password is not shown
    if parts.username is not None:
        raise UsageMistake(
            f"the endpoint at {host} has a user or a password in its URL. Write the name of the environment variable "
            "that holds its key: key_env='NAME'"
        )
    if parts.scheme not in {*SCHEMES, "http"} or not host:
        raise UsageMistake(
            f"{shown(url)} is not an endpoint. Write {FORMS}, or RestEndpoint(url='http://host:port/path'); for "
            "https, run a proxy on this machine"
        )
    return host, port or PORT, parts.path + (f"?{parts.query}" if parts.query else "")


def refuse_elsewhere(candidate: Any, allowed: Sequence[str]) -> None:
    """Refuse a fixture's value that is an endpoint on another machine; anything else passes.

    Raises:
        UsageMistake: as for `refuse_host`.
    """
    url = str(candidate) if isinstance(candidate, str | Path) else getattr(candidate, "path", "")
    if adapter_of(candidate) is not None:
        refuse_host(candidate.url, allowed)
    elif isinstance(url, str) and is_endpoint(url):
        refuse_host(url, allowed)


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


def key_of(model: str, key_env: str | None) -> str:
    """Return the key that an environment variable holds; "" where none is named.

    Raises:
        ModelError: the variable is not set, or holds what a header cannot; the message does not show it.
    """
    if not key_env:
        return ""
    key = os.environ.get(key_env, "").strip()
    if not key or not (key.isascii() and key.isprintable()):
        fault = "holds characters that a header cannot" if key else "is not set"
        raise ModelError(f"{model}: key_env={key_env!r}: the environment variable {fault}. Put the key there")
    return key
