"""Times of tokens as arrays, so that a worker can take what another one has measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.probes.text.measured_times import TokenSetup, TokenTimes, Visit
from pytest_modelbench.probes.wire import Arrays

OF_MEASUREMENT = ("characters", "looks", "elapsed_s", "numbers")


def pack_token_times(measurement: TokenTimes) -> Arrays:
    """Return times of tokens as arrays; ids as texts."""
    content = asdict(measurement) | {"ids": [str(name) for name in measurement.ids]}
    return {"text": np.array(json.dumps(content))}


def unpack_token_times(arrays: Mapping[str, Any]) -> TokenTimes:
    """Return what `pack_token_times` packed."""
    content = json.loads(str(arrays["text"]))
    content |= {name: tuple(content[name]) for name in OF_MEASUREMENT}
    content["units"] = tuple(map(tuple, content["units"]))
    content["prompt_tokens"] = {role: tuple(counts) for role, counts in content["prompt_tokens"].items()}
    content["setup"] = TokenSetup(**content["setup"])
    content["visits"] = [_visit(visit) for visit in content["visits"]]
    return TokenTimes(**content)


def _visit(visit: Mapping[str, Any]) -> Visit:
    answers = {role: tuple(_answer(answer) for answer in answers) for role, answers in visit["answers"].items()}
    return Visit(unit=visit["unit"], answers=answers)


def _answer(fields: Mapping[str, Any]) -> Generation:
    tuples = {name: fields[name] and tuple(fields[name]) for name in ("counted", "token_ids")}
    return Generation(**{**fields, **tuples, "pieces": tuple(Piece(**piece) for piece in fields["pieces"])})
