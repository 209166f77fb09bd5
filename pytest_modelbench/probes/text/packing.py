"""Answers as arrays, for the workers of a parallel run and for the teacher's contract.

Times are left out: those of another process or machine say nothing of this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.probes.text.measured import Generations

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def pack_generations(measured: Generations) -> Arrays:
    """Return answers as arrays of numbers: their texts as UTF-8 bytes of JSON.

    Raises:
        TypeError: ids that JSON cannot hold.
    """
    token_ids = [answer.token_ids for answer in measured.answers]
    told = {
        "model": measured.model,
        "ids": None if isinstance(measured.ids, range) else _plain(measured.ids),
        "settings": asdict(measured.settings),
        "vocabulary": measured.vocabulary,
        "sent": dict(measured.sent),
        "answers": [
            (answer.text, answer.reasoning, answer.finish, dict(answer.usage), answer.counted)
            for answer in measured.answers
        ],
    }
    return {
        "told": np.frombuffer(json.dumps(told).encode(), dtype=np.uint8),
        "tokens": np.array([-1 if ids is None else len(ids) for ids in token_ids], dtype=np.int32),
        "token_ids": np.array([number for ids in token_ids for number in ids or ()], dtype=np.int32),
    }


def unpack_generations(arrays: Mapping[str, Any]) -> Generations:
    """Return what `pack_generations` packed: answers whose times are not defined."""
    told, ends = json.loads(arrays["told"].tobytes()), np.maximum(arrays["tokens"], 0).cumsum()
    each = zip(told["answers"], arrays["tokens"], np.split(arrays["token_ids"], ends[:-1]), strict=True)
    answers = tuple(_answer(answer, None if size < 0 else tuple(ids.tolist())) for answer, size, ids in each)
    settings = told["settings"]
    return Generations(
        model=told["model"],
        answers=answers,
        ids=range(len(answers)) if told["ids"] is None else told["ids"],
        settings=GenerationSettings(**{**settings, "stop": tuple(settings["stop"])}),
        vocabulary=told["vocabulary"],
        sent=told["sent"],
    )


def _answer(fields: Sequence[Any], token_ids: tuple[int, ...] | None) -> Generation:
    text, reasoning, finish, usage, counted = fields
    parts = ((reasoning, True), (text, False))
    return Generation(
        start_ns=0,
        end_ns=0,
        pieces=tuple(Piece(text=part, at_ns=0, reasoning=before) for part, before in parts if part),
        finish=finish,
        usage=usage,
        counted=None if counted is None else (counted[0], counted[1]),
        token_ids=token_ids,
        whole=True,
    )


def _plain(ids: Sequence[Any]) -> list[Any]:
    return [sample.item() if isinstance(sample, np.generic) else sample for sample in ids]
