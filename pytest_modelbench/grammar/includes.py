"""The part of the grammar that is about sets: `includes NAME, NAME`, for KPIs that count what a set has."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_modelbench.errors import LimitSyntaxError, UsageMistake

INCLUDES = "includes"
_OPERATOR = re.compile(r"[<>=!≤≥]")
_EXAMPLE = "Write for example 'includes onnx, openvino'."


def parse_names(text: str, at: int) -> tuple[str, ...]:
    """Read the names that follow `includes`.

    Args:
        text: the whole limit.
        at: where the list starts.

    Raises:
        LimitSyntaxError: the list is empty, has an empty place, an operator, or a name twice.

    >>> parse_names("includes onnx:fp16, openvino", 9)
    ('onnx:fp16', 'openvino')
    """
    if not text[at:].strip():
        raise LimitSyntaxError(text, at, "'includes' needs names", _EXAMPLE)
    if operator := _OPERATOR.search(text, at):
        raise LimitSyntaxError(text, operator.start(), "'includes' takes names and no operator", _EXAMPLE)
    names: list[str] = []
    start = at
    for part in text[at:].split(","):
        name, begin = part.strip(), start + len(part) - len(part.lstrip())
        if not name:
            comma = start + len(part) if start == at else start - 1
            raise LimitSyntaxError(text, comma, "a name is missing at this comma", _without_comma(text, at))
        if len(name.split()) > 1:
            apart = f"Write '{INCLUDES} {', '.join(name.split())}'."
            raise LimitSyntaxError(text, begin, f"{name!r} is not a name", apart)
        if name in names:
            raise LimitSyntaxError(text, begin, f"{name!r} is named twice", "Name it once.")
        names.append(name)
        start += len(part) + 1
    return tuple(names)


def _without_comma(text: str, at: int) -> str:
    names = ", ".join(filter(None, (name.strip() for name in text[at:].split(","))))
    return f"Write '{INCLUDES} {names}'." if names else _EXAMPLE


def known_names(
    names: tuple[str, ...], written: str, kpi: str, member: Callable[[str], object] | None
) -> tuple[str, ...]:
    """Return names as the KPI's own reader spells them.

    Args:
        names: as they are written.
        written: the limit, for messages.
        kpi: the name of the KPI.
        member: reads one name, and raises `UsageMistake` for one that the KPI does not know; None for a KPI that is
            not the size of a set.

    Raises:
        UsageMistake: the KPI is not the size of a set, or does not know a name, or two names mean the same.
    """
    if member is None:
        raise UsageMistake(f"{written!r}: 'includes' is for KPIs that count a set, and {kpi} is a number")
    spellings: list[str] = []
    for name in names:
        try:
            spelled = str(member(name))
        except UsageMistake as mistake:
            raise UsageMistake(f"{written!r}: {mistake}") from mistake
        if spelled in spellings:
            raise UsageMistake(f"{written!r}: {spelled!r} is named twice. Name it once")
        spellings.append(spelled)
    return tuple(spellings)


def refuse_comparison(subject: str, written: str, kpi: str) -> None:
    """Refuse a limit that compares a set with that of another model.

    Raises:
        UsageMistake: it has a subject.
    """
    if subject:
        raise UsageMistake(
            f"{written!r}: {kpi} counts a set, and '{subject}' compares values of two models. Write "
            f"'{INCLUDES} NAME, NAME' or a number such as '>= 2'"
        )
