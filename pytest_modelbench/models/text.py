"""What a probe needs to know about a model that generates text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_modelbench.data.prompts import GenerationSettings, Prompt, settings_of
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.generation import Generation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class CacheSize:
    """The memory of a model's cache of keys and values after a prompt.

    Attributes:
        tokens: of the prompt.
        counted_bytes: of the tensors of the cache.
        expected_bytes: what layers, heads and head size give by the configuration; None where it states none.
    """

    tokens: int
    counted_bytes: int
    expected_bytes: int | None = None


class TextModel(Model):
    """A model that answers prompts with texts.

    Attributes:
        streams: whether answers arrive piece by piece. If not, the times of tokens are not defined.
        beat: called at each token that a model gives on the way: a long answer is not one that never ends.
    """

    streams: bool = True
    beat: Callable[[], None] = staticmethod(lambda: None)

    @abstractmethod
    def generating(
        self, prompts: Sequence[Prompt], settings: GenerationSettings
    ) -> Callable[[], Sequence[Generation]]:
        """Prepare the prompts and return a call that generates an answer to each, greedily, and times its pieces.

        What is not generation (templates, tokenising, encoding requests) happens before the call.

        Args:
            prompts: strings or messages; several make one batch where the model takes batches.
            settings: the longest answer, what ends one, and the chat template.

        Raises:
            ModelError: a prompt has another form, is longer than the context, or the model raised.
        """

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return a call that gives the answers to a batch of prompts, as an array of texts (n,)."""
        import numpy as np

        generate = self.generating(list(inputs), settings_of(inputs))
        return lambda: np.array([answer.text for answer in generate()], dtype=object)

    def vocabulary(self) -> str:
        """Return a text that is equal for equal tokenisers; "" where none is known."""
        return ""

    def token_count(self, text: str) -> int | None:  # noqa: ARG002 - for models with a tokeniser
        """Return how many tokens a text has, without special ones; None without a tokeniser."""
        return None

    @property
    def sent(self) -> Mapping[str, Any]:
        """The fields that a server gets with each prompt, as last sent; empty for a model without a server."""
        return {}


class LikelihoodModel(TextModel):
    """A text model that gives the likelihood of stated tokens, too.

    Attributes:
        context: the most tokens that it takes at once; None where nothing states it.
        first_token: the id of the token that begins a text; None where the tokeniser adds none.
        encodes: whether what comes before a text goes through an encoder, so that texts alone have no likelihood.
    """

    context: int | None = None
    first_token: int | None = None
    encodes: bool = False

    @abstractmethod
    def prompt_ids(self, prompt: Prompt, settings: GenerationSettings) -> list[int]:
        """Return the tokens of a prompt as generation gives them to the model, template and first token included."""

    @abstractmethod
    def text_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, without special ones."""

    @abstractmethod
    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, special ones left out."""

    @abstractmethod
    def forced(self, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the log-probabilities of every next token at each place of a text that is stated.

        Args:
            before: the tokens before the text, at least one; an encoder-decoder encodes them.
            ids: the tokens of the text.

        Returns:
            Natural logarithms of shape (len(ids), vocabulary), by log-softmax in float32: row i is about ids[i],
            after `before` and ids[:i].

        Raises:
            ModelError: the model raised, or the tokens are more than its context.
        """

    def cache_after(self, tokens: int) -> CacheSize:  # noqa: ARG002 - for models with a cache
        """Return the size of the cache of keys and values after a prompt of some tokens.

        Raises:
            NotApplicable: it has none that can be counted.
        """
        raise NotApplicable(f"{self.name} has no cache of keys and values that can be counted")
