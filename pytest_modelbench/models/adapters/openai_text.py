"""Language models behind an OpenAI-compatible endpoint: each prompt is one request, each answer one stream."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import leaves
from pytest_modelbench.data.prompts import GenerationSettings, Prompts, salted, with_system
from pytest_modelbench.errors import ModelError, cause_of, shown
from pytest_modelbench.models.adapters.endpoint import JSON, EndpointModel, timeout_of
from pytest_modelbench.models.adapters.event_stream import read_answer
from pytest_modelbench.models.adapters.http_calls import CallError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.endpoints import OpenAIEndpoint
from pytest_modelbench.models.generation import Generation, counted, cut
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.text import TextModel
from pytest_modelbench.models.tokenizers import counter, vocabulary_of

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
FIXED: Mapping[str, Any] = {
    "temperature": 0,
    "seed": 0,
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}
"""Fields of each request. `continuous_usage_stats` is for vLLM; most other servers ignore it."""
SLOW_MS = 1.0
"""How long reading a part of a response may take us before the report says so: the next part is then stamped late."""


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
        self._count = counter(f"{self.name}: {shown(endpoint.url)}", endpoint.tokenizer)
        self._told: dict[str, Any] = {}
        self._set(None)

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
            ModelError: a prompt is neither a string nor a list of messages, or the endpoint's API does not do what
                the settings ask for.
        """
        listed = self._prompts(prompts)
        if settings is not None:
            self._check_settings(settings, listed)
        self._set(settings)
        requests = [self._request(prompt, settings) for prompt in listed]
        self.connection.drain()

        def generate() -> tuple[Generation, ...]:
            self.generations = tuple(self._generation(request, settings) for request in requests)
            return self.generations

        return generate

    def _check_settings(self, settings: GenerationSettings, prompts: Sequence[Any]) -> None:
        """Check that the endpoint's API can do what the data ask for.

        Raises:
            ModelError: the server's chat template would be applied to strings, or cannot be.
        """
        api, chat = self.endpoint.api, settings.chat
        if api == "chat" and chat == "never" and any(isinstance(prompt, str) for prompt in prompts):
            raise self._unfit("chat='never'", "puts strings into the server's chat template", "completions")
        if api == "completions" and chat == "always":
            raise self._unfit("chat='always'", "has no chat template", "chat")
        if api == "completions" and settings.system:
            raise self._unfit(f"system={shown(settings.system)}", "takes no system message", "chat")

    def _unfit(self, asked: str, fault: str, api: str) -> ModelError:
        return self._blamed(
            f"{self.name} at {self.url}: the data have {asked}, and {PATHS[self.endpoint.api]} {fault}. Write "
            f"OpenAIEndpoint(api='{api}'), or ?api={api} after the SPEC"
        )

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

    def _set(self, settings: GenerationSettings | None) -> None:
        """Set the fields of each request, also in what the report has already got."""
        self._sent = self._fields(settings)
        self._told.clear()
        self._told.update(json.loads(json.dumps({"api": self.endpoint.api, **self._sent}, default=shown)))

    def _fields(self, settings: GenerationSettings | None) -> dict[str, Any]:
        """Return the fields of each request without the prompt: ours, those of the settings, those of the user."""
        fields = {"model": self.model, "max_tokens": self.endpoint.max_tokens, **FIXED}
        if settings is not None:
            fields["max_tokens"] = settings.max_new_tokens
            if settings.exactly:  # vLLM has both, SGLang and llama.cpp have ignore_eos
                fields |= {"ignore_eos": True, "min_tokens": settings.max_new_tokens}
            elif settings.stop:
                fields["stop"] = list(settings.stop)
        return {name: value for name, value in {**fields, **self.endpoint.request}.items() if value is not None}

    def _request(self, prompt: Any, settings: GenerationSettings | None = None) -> bytes:
        settings = settings or GenerationSettings()
        prompt = salted(prompt, settings.salt)
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        chat = {"messages": with_system(messages, settings.system)}
        asked = chat if self.endpoint.api == "chat" else {"prompt": prompt}
        try:
            body = json.dumps({**asked, **self._sent}, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise self.failed(CallError(f"JSON cannot hold the request: {cause_of(error)}")) from error
        return self.request("POST", self.path.rstrip("/") + PATHS[self.endpoint.api], body, JSON)

    def _generation(self, request: bytes, settings: GenerationSettings | None) -> Generation:
        """Return the answer to a request; the connection is open before the clock is read.

        Raises:
            ModelError: the call failed; a part of an answer is not one.
        """
        connection = self.connection
        try:
            connection.open()
            start_ns = self.clock_ns()
            with connection.parts(request) as parts:
                answer = read_answer(parts, start_ns, secret=connection.secret)
        except CallError as error:
            raise self.failed(error) from error
        finally:
            self.noted["reopened_connections"] = connection.reopened
        if settings is not None and not settings.exactly:
            answer = cut(answer, settings.stop)
        answer = counted(answer, self._count)
        self._note(answer, settings)
        self.beat()
        return answer

    def _note(self, answer: Generation, settings: GenerationSettings | None) -> None:
        """Note what the report says of the answers."""
        _add(self.noted["finish_reasons"], str(answer.finish))
        if settings is not None and settings.exactly and answer.tokens not in {None, settings.max_new_tokens}:
            _add(self.noted.setdefault("tokens_instead_of_exactly", {}), str(answer.tokens))
        stated = answer.usage.get("completion_tokens")
        if stated is not None and answer.counted is not None:
            tokens = self.noted.setdefault("tokens", {"by_server": 0, "by_tokenizer": 0})
            tokens["by_server"] += stated
            tokens["by_tokenizer"] += answer.counted[1]
        if self.connection.busy_ns > SLOW_MS * 1e6:
            slowest = self.noted.get("slowest_reading_ms", 0.0)
            self.noted["slowest_reading_ms"] = max(slowest, round(self.connection.busy_ns / 1e6, 3))

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
        copied = OpenAIModel(self.endpoint, self.loading)
        copied.connection.lingers = self.connection.lingers
        return copied

    def describe(self) -> dict[str, Any]:
        """Return the model's name at the server and the fields of the last requests, without prompt and key."""
        return {**super().describe(), "model": self.model, "request": self._told}

    @property
    def sent(self) -> dict[str, Any]:
        """The fields of the last requests without the prompt."""
        return self._sent

    def vocabulary(self) -> str:
        """Return what is equal for equal tokenizers; "" without one."""
        return vocabulary_of(self.endpoint.tokenizer)

    def token_count(self, text: str) -> int | None:
        """Return the number of tokens by the tokenizer; None without one."""
        return None if self._count is None else self._count(text)


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


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _is_messages(prompt: Any) -> bool:
    """Whether a prompt is a list of messages, each with a role and content."""
    if not isinstance(prompt, list | tuple) or not prompt:
        return False
    return all(isinstance(message, Mapping) and {"role", "content"} <= set(message) for message in prompt)
