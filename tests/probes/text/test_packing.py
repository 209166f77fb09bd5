"""Answers as arrays: everything but their times comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.probes.text.measured import Generations
from pytest_modelbench.probes.text.packing import pack_generations, unpack_generations

ANSWERS = (
    Generation(
        start_ns=5,
        end_ns=30,
        pieces=(
            Piece(text="hm, ", at_ns=9, reasoning=True),
            Piece(text="wörd \ud800", at_ns=20),
            Piece(text="!", at_ns=30),
        ),
        finish="stop",
        usage={"completion_tokens": 3},
        counted=(1, 3),
        token_ids=(7, 8),
    ),
    Generation(start_ns=0, end_ns=1, token_ids=()),
    Generation(start_ns=0, end_ns=1, finish="length", token_ids=(9,)),
    Generation(start_ns=0, end_ns=1),
)


@pytest.mark.parametrize("ids", [range(4), ["a", 2, np.int64(3), 4.5]])
def test_everything_but_times_comes_back(ids: Any) -> None:
    """Texts, reasoning, finish, usage and tokens; no token at all is not an unknown number of tokens."""
    settings = GenerationSettings(max_new_tokens=4, stop=("\n",), system="s", chat="never")
    measured = Generations(
        model="m", answers=ANSWERS, ids=ids, settings=settings, vocabulary="v", sent={"temperature": 0}
    )
    arrays = pack_generations(measured)
    assert {array.dtype.kind for array in arrays.values()} == {"u", "i"}
    back = unpack_generations(arrays)
    assert (back.model, list(back.ids), back.settings, back.vocabulary) == ("m", list(ids), settings, "v")
    assert back.sent == {"temperature": 0}
    assert back.texts == measured.texts == ("wörd \ud800!", "", "", "")
    for was, answer in zip(ANSWERS, back.answers, strict=True):
        kept = ("text", "reasoning", "finish", "usage", "counted", "token_ids", "tokens")
        assert [getattr(answer, name) for name in kept] == [getattr(was, name) for name in kept]
    assert back.answers[0].time_per_output_token.ms is None


def test_ids_that_cannot_go_to_another_process() -> None:
    """Then each worker asks the model, which a TypeError says."""
    with pytest.raises(TypeError):
        pack_generations(Generations(model="m", answers=ANSWERS, ids=[object()] * 4, settings=GenerationSettings()))
