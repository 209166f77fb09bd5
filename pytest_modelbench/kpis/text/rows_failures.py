"""Answers that fail: empty, cut off, looping, or not of the form that was asked for."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.kpis.kpi import ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import GENERATIONS


def _share(name: str, definition: str, source: str, derive: str = "failures", **options: Any) -> Kpi:
    return Kpi(
        name=name,
        pillar="reliability",
        unit="%",
        better="lower",
        definition=f"share of answers {definition}",
        method="one greedy answer to each prompt; Wilson interval, Tango's for the difference, by prompt or group",
        source=source,
        probe=GENERATIONS,
        derive=f"{ROOM}.text.{derive}:{name}",
        bounds=SHARE,
        options={**options, "confidence": None},
    )


KPIS = (
    _share("empty_share", "with nothing but white space", "counted"),
    _share("truncated_share", "that ended at max_new_tokens", "finish reason 'length' of the model or server"),
    _share(
        "repetition_share",
        "that repeat a block of words (characters, where a language writes no spaces) at least 4 times in a row, of "
        "16 words or more in all, or one token or character 16 times",
        "Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR (2020)",
    ),
    _share(
        "wrong_script_share",
        "most letters of which are of another script than script=, by default that of the references, else of the "
        "teacher's answers",
        "names of characters in Unicode",
        "failures_script",
        script=None,
    ),
    _share("invalid_json_share", "that are not one JSON value, such as those in a code fence", "RFC 8259"),
    _share(
        "special_token_share",
        "that have special tokens as text, such as </s>, <|im_end|> or [INST], which no reference has",
        "counted",
    ),
    _share(
        "refusal_share",
        "that begin as a refusal in English does, or with one of phrases=",
        "a list of openings, in docs/text.md",
        phrases=None,
    ),
)
