"""Language models behind an OpenAI-compatible endpoint: each prompt is one request, each answer one stream."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import leaves
from pytest_modelbench.data.prompts import GenerationSettings, Prompts
from pytest_modelbench.errors import ModelError, cause_of, shown
from pytest_modelbench.models.adapters.endpoint import JSON, EndpointModel, timeout_of
from pytest_modelbench.models.adapters.event_stream import read_answer
from pytest_modelbench.models.adapters.http_calls import CallError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.endpoints import OpenAIEndpoint
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.text import TextModel

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
FIXED: Mapping[str, Any] = {
    "temperature": 0,
    "seed": 0,
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}
"""Fields of each request. `continuous_usage_stats` is for vLLM; most other servers ignore it."""


class OpenAIModel(EndpointModel, TextModel):
    """A language model of a server: prompts in, the outputs that `decode` makes of its answers out.

    Attributes:
        generations: the answers of the last call, with their times.

    Raises:
        ModelError: the URL names no model, or an option has no meaning.
    """

    def __init__(self, endpoint: OpenAIEndpoint, loading: Loading) -> None:
        url, _, self.model = endpoint.url.partition("#")
        super().__init__(url, loading, endpoint.timeout_s, endpoint.headers, endpoint.key_env)
        self.url = self.runs_at = endpoint.url
        self.endpoint = endpoint
        self.generations: tuple[Generation, ...] = ()
        self.noted["finish_reasons"] = {}
        self._check()

    def _check(self) -> None:
        endpoint, name = self.endpoint, f"{self.name}: {shown(self.endpoint.url)}"
        if not self.model:
            raise ModelError(f"{name} names no model. Write openai://host:port/v1#MODEL")
        if endpoint.api not in PATHS:
            raise ModelError(f"{name}: api={shown(endpoint.api)}, expected 'chat' or 'completions'")
        if type(endpoint.max_tokens) is not int or endpoint.max_tokens < 1:
            raise ModelError(f"{name}: max_tokens={shown(endpoint.max_tokens)}, expected a whole number above 0")

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Make a body for each prompt; prompts with settings are answered with texts, others as `decode` says."""
        if isinstance(inputs, Prompts):
            return TextModel.bind(self, inputs)
        return EndpointModel.bind(self, inputs)

    def encoded(self, inputs: Any) -> Callable[[], Any]:
        """Make a body for each prompt."""
        generate = self.generating(inputs)
        return lambda: self._outputs(generate())

    def generating(
        self, prompts: Any, settings: GenerationSettings | None = None
    ) -> Callable[[], tuple[Generation, ...]]:
        """Return a call that sends the prompts of a batch one after the other, and returns the answers with times.

        Raises:
            ModelError: a prompt is neither a string nor a list of messages.
        """
        requests = [self._request(prompt, settings) for prompt in self._prompts(prompts)]

        def generate() -> tuple[Generation, ...]:
            self.generations = tuple(self._generation(request) for request in requests)
            return self.generations

        return generate

    def _prompts(self, inputs: Any) -> list[Any]:
        columns = leaves(inputs)
        if len(columns) != 1 or hasattr(columns[0], "columns"):
            raise self._blamed(
                f"{self.name} takes one prompt for each sample, found {len(columns)} inputs or a table"
            )
        (column,) = columns
        listed = getattr(column, "tolist", getattr(column, "to_list", None))
        prompts = list(column) if listed is None else listed()
        for number, prompt in enumerate(prompts):
            if not isinstance(prompt, str) and (self.endpoint.api != "chat" or not _is_messages(prompt)):
                raise self._blamed(
                    f"{self.name}: prompt {number} of the batch is {shown(prompt)}; expected a string"
                    + (
                        ', or a list such as [{"role": "user", "content": "..."}]'
                        if self.endpoint.api == "chat"
                        else ""
                    )
                )
        return prompts

    def _request(self, prompt: Any, settings: GenerationSettings | None = None) -> bytes:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if settings is not None and settings.system:
            messages = [{"role": "system", "content": settings.system}, *messages]
        asked = {"messages": messages} if self.endpoint.api == "chat" else {"prompt": prompt}
        default = {"model": self.model, **asked, "max_tokens": self.endpoint.max_tokens, **FIXED}
        if settings is not None:
            default["max_tokens"] = settings.max_new_tokens
        if settings is not None and settings.stop:
            default["stop"] = list(settings.stop)
        fields = {name: value for name, value in {**default, **self.endpoint.request}.items() if value is not None}
        try:
            body = json.dumps(fields, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise self.failed(CallError(f"JSON cannot hold the request: {cause_of(error)}")) from error
        return self.request("POST", self.path.rstrip("/") + PATHS[self.endpoint.api], body, JSON)

    def _generation(self, request: bytes) -> Generation:
        """Return the answer to a request; the connection is open before the clock is read.

        Raises:
            ModelError: the call failed; a part of an answer is not one.
        """
        connection = self.connection
        try:
            connection.open()
            start_ns, parts = self.clock_ns(), connection.parts(request)
            with contextlib.closing(parts):
                answer = read_answer(parts, start_ns, self.endpoint.tokenizer, connection.secret)
                connection.finish(parts)
        except CallError as error:
            raise self.failed(error) from error
        finally:
            self.noted["reopened_connections"] = connection.reopened
        reasons = self.noted["finish_reasons"]
        reasons[str(answer.finish)] = reasons.get(str(answer.finish), 0) + 1
        return answer

    def _outputs(self, answers: Sequence[Generation]) -> npt.NDArray[Any]:
        decode = self.endpoint.decode or str.strip
        outputs = []
        for answer in answers:
            try:
                outputs.append(decode(answer.text))
            except Exception as error:
                fault = CallError(f"decode= cannot read the answer {shown(answer.text)}: {cause_of(error)}")
                raise self.failed(fault) from error
        texts = all(isinstance(output, str) for output in outputs)
        try:
            return np.array(outputs, dtype=object if texts else None)
        except ValueError as error:
            raise self.failed(CallError(f"decode= returned values of different shapes: {error}")) from error

    def replicate(self) -> Model:
        """Open another connection to the same server."""
        return OpenAIModel(self.endpoint, self.loading)

    def describe(self) -> dict[str, Any]:
        """Return the model's name at the server and how it is asked, without the key."""
        asked = {"api": self.endpoint.api, "max_tokens": self.endpoint.max_tokens, **FIXED}
        return {**super().describe(), "model": self.model, "request": {**asked, **_as_json(self.endpoint.request)}}


def load_openai(spec: str, loading: Loading) -> Model:
    """Return the model that `openai://...` names.

    Raises:
        ModelError: as for `OpenAIModel`.
    """
    options = dict(loading.options)
    endpoint = functools.partial(
        OpenAIEndpoint, url=spec, timeout_s=timeout_of(spec, loading, OpenAIEndpoint.timeout_s)
    )
    tokens = options.get("max_tokens", str(OpenAIEndpoint.max_tokens))
    most: Any = int(tokens) if tokens.isascii() and tokens.isdecimal() else tokens
    api, key_env = options.get("api", OpenAIEndpoint.api), options.get("key_env")
    return OpenAIModel(endpoint(api=api, max_tokens=most, key_env=key_env), loading)


def _is_messages(prompt: Any) -> bool:
    """Whether a prompt is a list of messages, each with a role and content."""
    if not isinstance(prompt, list | tuple) or not prompt:
        return False
    return all(isinstance(message, Mapping) and {"role", "content"} <= set(message) for message in prompt)


def _as_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as JSON types; what is none is shown."""
    return dict(json.loads(json.dumps(dict(fields), default=shown)))
