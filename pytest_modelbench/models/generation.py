"""What a language model answered, and when: the text, the times of its parts, and what follows from them.

A part is what arrived together. It is not a token: a server may send several tokens at once, or one without text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of an answer that has text.

    Attributes:
        text: not empty.
        at_ns: when it arrived, in nanoseconds of the clock.
        reasoning: whether it comes before the answer, as the server marks it.
        tokens: how many tokens came since the last piece; None where the server does not state it for each one.
    """

    text: str
    at_ns: int
    reasoning: bool = False
    tokens: int | None = None


@dataclass(frozen=True)
class Figure:
    """A time in milliseconds; None if it is not defined, with the reason."""

    ms: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The answer to one prompt.

    Attributes:
        start_ns: when the request was sent, in nanoseconds of the clock; the connection was open.
        end_ns: when the last piece or the reason for the end arrived, the later of both.
        pieces: the parts with text, in their order.
        finish: why it ended, such as "stop" or "length"; None if the server does not state it.
        usage: the server's counts of tokens, such as "prompt_tokens" and "completion_tokens".
        counted: tokens of the first arrival and of all pieces as a tokenizer counts them; None without one.
        token_ids: the tokens of the answer, without the end token; None if the model does not give them.
        whole: whether the text was returned as a whole, so that the times of its tokens are not defined.
    """

    start_ns: int
    end_ns: int
    pieces: tuple[Piece, ...] = ()
    finish: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    counted: tuple[int, int] | None = None
    token_ids: tuple[int, ...] | None = None
    whole: bool = False

    @property
    def text(self) -> str:
        """The answer, without the reasoning before it."""
        return "".join(piece.text for piece in self.pieces if not piece.reasoning)

    @property
    def reasoning(self) -> str:
        """The text that the server marks as reasoning."""
        return "".join(piece.text for piece in self.pieces if piece.reasoning)

    @property
    def first_arrival(self) -> tuple[Piece, ...]:
        """The pieces that arrived first, together."""
        return tuple(piece for piece in self.pieces if piece.at_ns == self.pieces[0].at_ns)

    @property
    def tokens(self) -> int | None:
        """The number of tokens: the server's, which holds the end token if there is one, else the tokenizer's."""
        stated = self.usage.get("completion_tokens")
        return stated if stated is not None else None if self.counted is None else self.counted[1]

    @property
    def own_tokens(self) -> int | None:
        """The number of tokens without the end token, if the model or a tokenizer states that; else `tokens`."""
        if self.token_ids is not None:
            return len(self.token_ids)
        return self.tokens if self.counted is None else self.counted[1]

    @property
    def total(self) -> Figure:
        """Return the time from the request to the end."""
        return self._since_start(self.end_ns)

    @property
    def time_to_first_token(self) -> Figure:
        """Return the time from the request to the first piece, reasoning or not."""
        return self._since_start(self.pieces[0].at_ns) if self.pieces else self._empty()

    @property
    def time_to_first_answer(self) -> Figure:
        """Return the time from the request to the first piece that is not reasoning."""
        if not self.pieces:
            return self._empty()
        times = [piece.at_ns for piece in self.pieces if not piece.reasoning]
        return self._since_start(times[0]) if times else Figure(None, "the answer has reasoning only")

    @property
    def time_per_output_token(self) -> Figure:
        """Return the time from the first arrival to the last token, divided by the tokens that came after the first.

        The tokens of each piece are the server's, else the tokenizer's. If the server states their total only, those
        of the first arrival are estimated as its share of the pieces; the end is then that of the answer, as the
        total holds the end token.
        """
        if not self.pieces:
            return self._empty()
        if self.tokens is None:
            return Figure(None, "neither the server's usage nor a tokenizer tells how many tokens the answer has")
        if self.tokens < 2:
            return Figure(None, f"the answer has {self.tokens} token(s)")
        first, total, end_ns = self._counts()
        if self.pieces[-1].at_ns == self.pieces[0].at_ns or total <= first:
            return Figure(None, f"all {self.tokens} tokens arrived at once")
        return Figure((end_ns - self.pieces[0].at_ns) / (total - first) / 1e6)

    def _counts(self) -> tuple[int, int, int]:
        """Return the tokens of the first arrival, those until the end, and the end in nanoseconds."""
        last_ns = self.pieces[-1].at_ns
        stated = [piece.tokens for piece in self.pieces if piece.tokens is not None]
        if len(stated) == len(self.pieces):
            return sum(stated[: len(self.first_arrival)]), sum(stated), last_ns
        if self.counted is not None:
            return *self.counted, last_ns
        total = self.tokens or 0
        return max(1, round(total * len(self.first_arrival) / len(self.pieces))), total, self.end_ns

    def _since_start(self, at_ns: int) -> Figure:
        return Figure((at_ns - self.start_ns) / 1e6)

    def _empty(self) -> Figure:
        return Figure(None, f"the answer has no text (finish reason {self.finish})")


def counted(answer: Generation, tokenizer: Callable[[str], int] | None) -> Generation:
    """Return an answer with the tokens of its first arrival and of all its text, as a tokenizer counts them."""
    if tokenizer is None:
        return answer
    first, whole = ("".join(piece.text for piece in part) for part in (answer.first_arrival, answer.pieces))
    return replace(answer, counted=(tokenizer(first), tokenizer(whole)))


def end_of(text: str, stops: Sequence[str]) -> int | None:
    """Return where the first of the texts that end an answer begins; None without one.

    >>> end_of("4. Next: 5", ("Next", ".")), end_of("4", ("Next",))
    (1, None)
    """
    return min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=None)


def cut(answer: Generation, stops: Sequence[str]) -> Generation:
    """Return an answer that ends before the first of some texts, as it is if it has none of them.

    A model that did not end there took the time until `end_ns`, which stays. Its number of tokens is that of the
    pieces that are left if each states its own; otherwise it is not known. `counted` and `token_ids` are left out.
    """
    left = end_of(answer.text, stops)
    if left is None:
        return answer
    pieces = []
    for piece in answer.pieces:
        text = piece.text if piece.reasoning else piece.text[:left]
        left -= 0 if piece.reasoning else len(text)
        if text:
            pieces.append(replace(piece, text=text))
    tokens = [piece.tokens for piece in pieces if piece.tokens is not None]
    usage = {name: count for name, count in answer.usage.items() if name != "completion_tokens"}
    if len(tokens) == len(pieces):
        usage["completion_tokens"] = sum(tokens)
    return replace(answer, pieces=tuple(pieces), finish="stop", usage=usage, counted=None, token_ids=None)
