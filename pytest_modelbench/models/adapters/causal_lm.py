"""Language models of Hugging Face that are in memory: decoder-only and encoder-decoder, with their tokeniser."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, StoppingCriteriaList

from pytest_modelbench.data.prompts import GenerationSettings, Prompt, Prompts, settings_of
from pytest_modelbench.errors import ModelError, NotApplicable, shown
from pytest_modelbench.models.adapters.greedy import Greedy
from pytest_modelbench.models.adapters.text_tokens import TextTokens
from pytest_modelbench.models.adapters.token_cache import counted_bytes, expected_bytes
from pytest_modelbench.models.adapters.token_rows import TokenClock, TokenRow
from pytest_modelbench.models.adapters.torch_device import finish
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.text import CacheSize, LikelihoodModel, TextModel

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


class LanguageModel(TorchModel, LikelihoodModel):
    """A module with `generate()` and its tokeniser: prompts become texts, and arrays of token ids logits.

    Args:
        module: of the transformers library.
        tokenizer: of the transformers library; it is not changed.
        name: `teacher`, or the student's label.
        device: as for `TorchModel`.
        prefix: what a pipeline writes before each prompt that is a string.

    Raises:
        ModelError: the module does not generate, or the tokenizer is not one.
    """

    kind = "language model"
    libraries = ("torch", "transformers")

    def __init__(
        self, module: nn.Module, tokenizer: Any, name: str, device: str | None = None, prefix: str = ""
    ) -> None:
        super().__init__(module, name, device)
        if not generates(module):
            raise ModelError(
                f"{name} is a {type(module).__name__}, which has no generate(). Load it with AutoModelForCausalLM or "
                "AutoModelForSeq2SeqLM"
            )
        self.tokens = TextTokens(tokenizer_of(tokenizer, name), prefix)
        self.greedy = Greedy(module, self.tokens, _embeddings_of(module))
        config = getattr(module, "config", None)
        self.encodes = bool(getattr(config, "is_encoder_decoder", False))
        stated = (getattr(_text_config(config), attribute, None) for attribute in _CONTEXT)
        self.context = next((number for number in stated if isinstance(number, int) and number > 0), None)

    @property
    def first_token(self) -> int | None:  # type: ignore[override]  # it never changes
        """The token that begins a text; None where the tokeniser adds none."""
        return self.tokens.first_token

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Generate a text for each prompt; other inputs are the module's own, such as `input_ids`."""
        return TextModel.bind(self, inputs) if _are_prompts(inputs) else super().bind(inputs)

    def generating(
        self, prompts: Sequence[Prompt], settings: GenerationSettings
    ) -> Callable[[], Sequence[Generation]]:
        """Tokenise the prompts, pad them, and return one call of `generate()` for the batch.

        Shorter prompts are padded on the left, those of an encoder on the right.
        """
        rows = [self._checked_ids(number, prompt, settings) for number, prompt in enumerate(prompts)]
        self._refuse_longer(rows, settings)
        ids, mask = self._padded(rows)
        keywords = self.greedy.keywords(settings)
        stops = () if settings.exactly else settings.stop
        ends = frozenset() if settings.exactly else self.greedy.ends | self.tokens.special_ids(stops)

        def generate() -> Sequence[Generation]:
            answers = [TokenRow(self.tokens, ends, stops) for _ in rows]
            start_ns = self._now()
            clock = TokenClock(self._token_came, answers if stops else ())
            sequences = self._generated(ids, mask, keywords, stopping_criteria=StoppingCriteriaList([clock]))
            clock.fill(answers, sequences)
            return tuple(row.answer(start_ns, len(prompt)) for row, prompt in zip(answers, rows, strict=True))

        return generate if rows else tuple

    def _generated(self, ids: torch.Tensor, mask: torch.Tensor, keywords: Mapping[str, Any], **more: Any) -> Any:
        module: Any = self.module
        return module.generate(input_ids=ids, attention_mask=mask, **keywords, **more)

    def _now(self) -> int:
        finish(self.device)
        return self.clock_ns()

    def _token_came(self) -> int:
        self.beat()
        return self._now()

    def _checked_ids(self, number: int, prompt: Prompt, settings: GenerationSettings) -> list[int]:
        try:
            return self.prompt_ids(prompt, settings)
        except ModelError as error:
            raise self._blamed(f"{self.name}: prompt {number} of the batch: {error}") from error

    def _refuse_longer(self, rows: Sequence[list[int]], settings: GenerationSettings) -> None:
        if self.context is None or not rows:
            return
        context, new = self.context, settings.max_new_tokens
        if self.encodes and new > context:
            raise self._blamed(
                f"{self.name} takes {context} tokens, and max_new_tokens is {new}. Write max_new_tokens={context}"
            )
        number = max(range(len(rows)), key=lambda row: len(rows[row]))
        count, taken = len(rows[number]), 0 if self.encodes else new
        if count + taken > context:
            limit = f"the context of {context}" + (f" minus max_new_tokens={new}" if taken else "")
            advice = (
                f", or write EvalData(..., max_new_tokens={context - count})" if taken and count < context else ""
            )
            prompt = f"prompt {number} of the batch ({shown(self.text_of(rows[number]))})"
            raise self._blamed(
                f"{self.name}: {prompt} has {count} tokens; {limit} leaves {max(context - taken, 0)}. "
                f"Shorten the prompt{advice}"
            )

    def _padded(self, rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids and the mask of a batch, each of shape (rows, tokens)."""
        width = max(map(len, rows), default=0)
        gaps = [width - len(row) for row in rows]
        ids = [self._filled(row, [self.greedy.pad] * gap) for row, gap in zip(rows, gaps, strict=True)]
        mask = [self._filled([1] * len(row), [0] * gap) for row, gap in zip(rows, gaps, strict=True)]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _filled(self, row: list[int], gap: list[int]) -> list[int]:
        return row + gap if self.encodes else gap + row

    def vocabulary(self) -> str:
        """Return a hash of the tokens that the module has embeddings for, their ids and the special ones."""
        return self.tokens.vocabulary(_embeddings_of(self.module))

    def token_count(self, text: str) -> int:
        """Return how many tokens a text has, without special ones."""
        return len(self.text_ids(text))

    def prompt_ids(self, prompt: Prompt, settings: GenerationSettings) -> list[int]:
        """Return the tokens of a prompt, template and special tokens included."""
        return self._known(self.tokens.prompt_ids(prompt, settings))

    def text_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, without special ones."""
        return self._known(self.tokens.text_ids(text))

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, special ones left out."""
        return self.tokens.text_of(ids)

    def _known(self, ids: list[int]) -> list[int]:
        """Return ids that the module has embeddings for."""
        embeddings = _embeddings_of(self.module)
        highest = max(ids, default=-1)
        if embeddings is not None and highest >= embeddings:
            raise self._blamed(
                f"{self.name}: the tokenizer gives the id {highest} ({len(self.tokens.tokenizer)} tokens), and the "
                f"module has {embeddings} embeddings. Give the tokenizer that the model was trained with"
            )
        return ids

    def forced(self, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the log-probabilities at each place of a text, shape (len(ids), vocabulary)."""
        if not before:
            raise self._blamed(f"{self.name}: forced() needs at least one token before the text")
        self._refuse_long_text(len(before), len(ids))
        inputs = self._forced_inputs([int(token) for token in before], [int(token) for token in ids])
        with self._failing([*before, *ids]):
            logits = self.module(**inputs, **self._last(max(len(ids), 1)), return_dict=True).logits[0]
            places = logits[logits.shape[0] - len(ids) :] if ids else logits[:0]
            probabilities: npt.NDArray[np.float32] = places.float().log_softmax(-1).cpu().numpy()
        return probabilities

    def _forced_inputs(self, before: list[int], ids: list[int]) -> dict[str, torch.Tensor]:
        if self.encodes:
            return {
                "input_ids": self._row(before),
                "decoder_input_ids": self._row([self._decoder_start(), *ids][: max(len(ids), 1)]),
            }
        return {"input_ids": self._row([*before, *ids][: len(before) + max(len(ids), 1) - 1])}

    def _last(self, places: int) -> dict[str, int]:
        """Return the argument that leaves out the logits of other places than the last, if the module has it."""
        takes = "logits_to_keep" in inspect.signature(self.module.forward).parameters
        return {"logits_to_keep": places} if takes else {}

    def _row(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(ids)], device=self.device)

    def _decoder_start(self) -> int:
        owners = (getattr(self.module, "generation_config", None), self.module.config)
        names = ("decoder_start_token_id", "bos_token_id")
        starts = (getattr(owner, name, None) for name in names for owner in owners)
        start = next((start for start in starts if start is not None), None)
        if start is None:
            raise self._blamed(f"{self.name} is an encoder-decoder whose configuration has no decoder_start_token_id")
        return int(start[0] if isinstance(start, list) else start)

    def _refuse_long_text(self, before: int, count: int) -> None:
        longest = max(before, count) if self.encodes else before + count
        if self.context is not None and longest > self.context:
            raise self._blamed(f"{self.name} takes {self.context} tokens at once, found {longest}")

    @contextlib.contextmanager
    def _failing(self, ids: Sequence[int]) -> Iterator[None]:
        """Run the module, and blame it for what it raises."""
        with self.running():
            try:
                yield
            except BaseException as error:
                raise self.failure(ids, error) from error

    def cache_after(self, tokens: int) -> CacheSize:
        """Return the size of the cache that `generate()` keeps after a prompt."""
        self._refuse_long_text(tokens, 1)
        keywords = self.greedy.keywords(GenerationSettings(max_new_tokens=1)) | {"return_dict_in_generate": True}
        ids = self._row([self.greedy.pad] * tokens)
        with self._failing([0] * tokens):
            output = self._generated(ids, torch.ones_like(ids), keywords)
        counted = counted_bytes(output.get("past_key_values"))
        if not counted:
            raise NotApplicable(f"{self.name} keeps no cache of keys and values that can be counted")
        expected = expected_bytes(self.module.config, tokens, self.dtype.itemsize)
        return CacheSize(tokens=tokens, counted_bytes=counted, expected_bytes=expected)

    def failure(self, inputs: Any, error: BaseException) -> ModelError:
        """Return an error that names this model already as it is."""
        return error if isinstance(error, ModelError) and error.blames else super().failure(inputs, error)

    def around(self, module: nn.Module) -> TorchModel:
        """Return a model of another module with the same tokeniser."""
        return LanguageModel(module, self.tokens.tokenizer, self.name, prefix=self.tokens.prefix)

    def look(self, inputs: Any) -> None:
        """Follow one forward pass over the first prompt: what `generate()` makes on its way is not a weight."""
        if _are_prompts(inputs):
            before = self.prompt_ids(inputs[0], settings_of(inputs))
            inputs = self._forced_inputs(before, before[:1])
        super().look(inputs)

    def fingerprint(self) -> str:
        """Hash the module and the tokeniser."""
        return f"{super().fingerprint()}|tokenizer:{self.tokens.fingerprint}"

    def describe(self) -> dict[str, Any]:
        """Return how it decodes and tokenises, too."""
        tokenizer = self.tokens.tokenizer
        return {
            **super().describe(),
            "tokenizer": {
                "class": type(tokenizer).__name__,
                "tokens": len(tokenizer),
                "chat_template": self.tokens.has_template,
            },
            "context": self.context,
            "decoding": self.greedy.describe(),
        }


def from_pair(candidate: Sequence[Any], loading: Loading) -> Model:
    """Return the model of a tuple `(module, tokenizer)`.

    Raises:
        ModelError: it is a list, the order or the length is another one, or as for `LanguageModel`.
    """
    if not isinstance(candidate, tuple) or len(candidate) != 2 or not isinstance(candidate[0], nn.Module):
        ends = "()" if isinstance(candidate, tuple) else "[]"
        types = ", ".join(type(part).__name__ for part in candidate)
        raise ModelError(f"{loading.name} is {ends[0]}{types}{ends[1]}. Return (module, tokenizer)")
    module, tokenizer = candidate
    return LanguageModel(module, tokenizer, loading.name, loading.device)


def generates(module: Any) -> bool:
    """Whether a module generates texts."""
    able = getattr(module, "can_generate", None)
    return callable(getattr(module, "generate", None)) and (able is None or bool(able()))


def tokenizer_of(tokenizer: Any, name: str) -> Any:
    """Return a tokeniser, also out of a processor.

    Raises:
        ModelError: it is something else.
    """
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    if not isinstance(inner, PreTrainedTokenizerBase):
        raise ModelError(
            f"{name}: the tokenizer is {shown(tokenizer)} of type {type(tokenizer).__name__}; expected one of "
            "transformers, such as AutoTokenizer.from_pretrained(...) or "
            "PreTrainedTokenizerFast(tokenizer_object=...)"
        )
    return inner


def _are_prompts(inputs: Any) -> bool:
    if isinstance(inputs, Prompts):
        return True
    if not isinstance(inputs, list | np.ndarray) or not len(inputs):
        return False
    first = inputs[0]
    return isinstance(first, str) or (isinstance(first, list) and bool(first) and isinstance(first[0], Mapping))


def _text_config(config: Any) -> Any:
    """Return the part of a configuration that is about texts: models of pictures and texts have several."""
    inner = getattr(config, "get_text_config", None)
    return config if inner is None else inner()


def _embeddings_of(module: Any) -> int | None:
    """Return how many tokens have an embedding; None where that cannot be seen."""
    try:
        embedding = module.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    number = getattr(embedding, "num_embeddings", None)
    return number if isinstance(number, int) else None
