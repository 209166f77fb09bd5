"""The answers of one call of `generate()`: when each token came, and where each row of the batch ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import StoppingCriteria

from pytest_modelbench.models.adapters.text_tokens import Detokeniser, TextTokens
from pytest_modelbench.models.generation import Generation, Piece


class TokenRow:
    """One row of a batch, token by token: it ends at its end token or stop text, not where the batch ends.

    Args:
        tokens: makes texts.
        ends: the end tokens.
        stops: texts that end the answer, which is cut before them.

    Attributes:
        ids: the tokens of the answer.
        finish: "stop" once the row has ended.
    """

    def __init__(self, tokens: TextTokens, ends: frozenset[int], stops: Sequence[str]) -> None:
        self._detokeniser = Detokeniser(tokens.text_of)
        self._ends, self._stops = ends, stops
        self._longest = max(map(len, stops), default=0)
        self._pieces: list[Piece] = []
        self._text = ""
        self._waiting = self._last_ns = self._end_ns = 0
        self.ids: list[int] = []
        self.finish: str | None = None

    def add(self, token: int, at_ns: int) -> None:
        """Add the next token, unless the row has ended."""
        if self.finish is not None:
            return
        self._end_ns = at_ns
        if token in self._ends:
            self.finish = "stop"
            return
        self._last_ns = at_ns
        self.ids.append(token)
        self._waiting += 1
        self._take(self._detokeniser.add(token))

    def _take(self, text: str) -> None:
        if not text:
            return
        self._pieces.append(Piece(text=text, at_ns=self._last_ns, tokens=self._waiting))
        self._waiting = 0
        start = max(0, len(self._text) - self._longest + 1)
        self._text += text
        places = [self._text.find(stop, start) for stop in self._stops]
        if any(place >= 0 for place in places):
            self._cut(min(place for place in places if place >= 0))

    def _cut(self, length: int) -> None:
        """Keep the first characters; a token that has one of them stays."""
        kept: list[Piece] = []
        for piece in self._pieces:
            if length > 0:
                kept.append(replace(piece, text=piece.text[:length]))
            length -= len(piece.text)
        self._pieces, self.finish = kept, "stop"
        del self.ids[sum(piece.tokens or 0 for piece in kept) :]

    def answer(self, start_ns: int, prompt_tokens: int) -> Generation:
        """Return the answer; its tokens are counted without the end token, the stop text and padding."""
        if self._waiting:
            self._take(self._detokeniser.rest())
        return Generation(
            start_ns=start_ns,
            end_ns=self._end_ns,
            pieces=tuple(self._pieces),
            finish=self.finish or "length",
            usage={"prompt_tokens": prompt_tokens, "completion_tokens": len(self.ids)},
            token_ids=tuple(self.ids),
        )


class TokenClock(StoppingCriteria):
    """Reads the clock at each new token of a batch; ends the rows that have their stop text.

    A criterion is asked once for each step of all rows, with batches too, which a streamer refuses.

    Args:
        now: returns nanoseconds, after the device has finished.
        rows: those whose stop text is looked for on the way; none without stop texts.
    """

    def __init__(self, now: Callable[[], int], rows: Sequence[TokenRow]) -> None:
        self._now = now
        self._rows = rows
        self.times_ns: list[int] = []
        self.prompt_width = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:  # noqa: ARG002 - the interface
        """Return which rows have ended, shape (rows,)."""
        at_ns = self._now()
        if not self.times_ns:
            self.prompt_width = input_ids.shape[1] - 1
        self.times_ns.append(at_ns)
        if not self._rows:
            return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            row.add(token, at_ns)
        return torch.tensor([row.finish is not None for row in self._rows], device=input_ids.device)

    def fill(self, rows: Sequence[TokenRow], sequences: torch.Tensor) -> None:
        """Give rows their tokens with the times after the call, if they did not get them on the way."""
        if self._rows:
            return
        for row, ids in zip(rows, sequences[:, self.prompt_width :].tolist(), strict=True):
            for token, at_ns in zip(ids, self.times_ns, strict=False):  # a device may compute one step more
                row.add(token, at_ns)
