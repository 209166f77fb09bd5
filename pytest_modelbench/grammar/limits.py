"""The one grammar of limits, for markers, TOML and the command line: `[subject] op quantity`.

With T the teacher's value, S the student's and B the baseline's:

| subject      | judged value        | quantity            | for KPIs                |
|--------------|---------------------|---------------------|-------------------------|
| (none)       | S                   | the KPI's unit      | all                     |
| `reduction`  | (T-S)/T             | `%` or a fraction   | all                     |
| `increase`   | (S-T)/T             | `%` or a fraction   | all                     |
| `ratio`      | S/T                 | `x` or bare         | all                     |
| `speedup`    | T/S                 | `x` or bare         | times                   |
| `difference` | S-T                 | the KPI's unit, `pp`| all                     |
| `drop`       | T-S, or (T-S)/T     | `pp`, or `%`        | higher is better        |
| `regression` | how much worse than B, of B | `%`         | all                     |

`includes NAME, NAME` is for KPIs that count a set: each name must be in it.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pytest_modelbench.errors import LimitSyntaxError, UsageMistake, shown
from pytest_modelbench.grammar.includes import INCLUDES, known_names, parse_names, refuse_comparison
from pytest_modelbench.grammar.tiers import find_tier, unknown_tier
from pytest_modelbench.grammar.units import (
    Quantity,
    dimension_of,
    nearest_unit,
    parse_quantity,
    quantity_of,
    unit_of,
    unknown_unit,
)

SUBJECTS = ("reduction", "increase", "ratio", "speedup", "difference", "drop", "regression")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"[<>=!≤≥]+")
_OPERATOR_SLIPS = {"=>": ">=", "=<": "<=", "=": "==", "≤": "<=", "≥": ">="}
_LONGEST = 300


@dataclass(frozen=True)
class Limit:
    """What must hold: `<= 120 ms`, `reduction >= 85%`.

    `subject` is empty for a limit on the student's own value. `text` is what the user wrote and takes no part
    in equality; `str()` gives the canonical spelling, which parses back to an equal limit. `names`: of `includes`.
    """

    subject: str
    op: str
    quantity: Quantity
    text: str = field(default="", compare=False)
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.names:
            return f"{self.subject} {', '.join(self.names)}"
        return " ".join(part for part in (self.subject, self.op, str(self.quantity)) if part)


def check_text(text: object) -> None:
    """Refuse a value that is not a string, or is longer than any limit.

    Raises:
        UsageMistake: it cannot be a limit.
    """
    if not isinstance(text, str):
        raise UsageMistake(f"a limit is a string such as '<= 120 ms', found {shown(text)}")
    if len(text) > _LONGEST:
        raise UsageMistake(
            f"a limit is a short string such as '<= 120 ms', found {len(text):,} characters: {shown(text)}"
        )


def parse_limit(text: str) -> Limit:
    """Read one limit.

    Raises:
        LimitSyntaxError: with a caret under the first character that does not fit, and what to write.

    >>> str(parse_limit("reduction>=85 %"))
    'reduction >= 85%'
    >>> parse_limit("reduction => 85%")
    Traceback (most recent call last):
    pytest_modelbench.errors.LimitSyntaxError: cannot read 'reduction => 85%': '=>' is not an operator
        reduction => 85%
                  ^
    Write 'reduction >= 85%'.
    """
    check_text(text)
    at = len(text) - len(text.lstrip())
    subject = ""
    if word := _WORD.match(text, at):
        subject, at = word.group(), _skip_space(text, word.end())
        if subject == INCLUDES:
            names = parse_names(text, at)
            return Limit(subject, ">=", Quantity(len(names), ""), text, names)
        if subject not in SUBJECTS:
            raise _unknown_subject(text, word.start(), subject)
    op = _OPERATOR.match(text, at)
    if op is None:
        raise LimitSyntaxError(text, at, f"expected one of {' '.join(OPERATORS)}", _example(subject))
    if op.group() not in OPERATORS:
        right = _OPERATOR_SLIPS.get(op.group())
        advice = f"Write '{text[: op.start()]}{right}{text[op.end() :]}'." if right else _example(subject)
        raise LimitSyntaxError(text, op.start(), f"{op.group()!r} is not an operator", advice)
    at = _skip_space(text, op.end())
    try:
        quantity = parse_quantity(text[at:])
    except UsageMistake as error:
        comma = "comma" in str(error)
        advice = f"Write '{text[:at]}{text[at:].replace(',', '.', 1)}'." if comma else _example(subject)
        raise LimitSyntaxError(text, at, str(error), advice) from error
    return Limit(subject, op.group(), quantity, text)


def _skip_space(text: str, at: int) -> int:
    return at + len(text[at:]) - len(text[at:].lstrip())


def _example(subject: str) -> str:
    return {
        "": "Write for example '<= 120 ms'.",
        "drop": "Write for example 'drop <= 2 pp'.",
        "ratio": "Write for example 'ratio <= 1.05'.",
        "speedup": "Write for example 'speedup >= 2x'.",
        "difference": "Write for example 'difference <= 5 ms'.",
    }.get(subject, f"Write for example '{subject} >= 85%'.")


def _unknown_subject(text: str, at: int, word: str) -> LimitSyntaxError:
    subjects = (*SUBJECTS, INCLUDES)
    near = difflib.get_close_matches(word, subjects, n=1)
    advice = f"Write '{text.replace(word, near[0], 1)}'." if near else f"Subjects: {', '.join(subjects)}."
    return LimitSyntaxError(text, at, f"unknown subject '{word}'", advice)


@dataclass(frozen=True, kw_only=True)
class BoundLimit:
    """A limit checked against its KPI, with the threshold in the terms that are judged.

    `measure` names the judged value: `value`, one of the relative subjects, `drop_points`, `drop_relative`, or
    `includes`: how many of the limit's names are in the set.
    `threshold` is in the KPI's unit for `value`, `difference` and `drop_points`, otherwise a fraction (0.85).
    """

    limit: Limit
    measure: str
    threshold: float
    source: str = "marker"

    @property
    def regresses(self) -> bool:
        """Whether the judged value compares with a baseline, or with the previous student."""
        return self.measure == "regression"

    @property
    def needs_teacher(self) -> bool:
        """Whether the judged value compares with the teacher."""
        return self.measure not in {"value", "regression", INCLUDES}

    @property
    def is_upper(self) -> bool:
        """Whether smaller judged values are on the right side."""
        return self.limit.op in {"<=", "<"}

    def __str__(self) -> str:
        return str(self.limit)

    def holds(self, value: float) -> bool:
        """Whether a judged value satisfies the limit; NaN never does."""
        return not math.isnan(value) and OPERATORS[self.limit.op](value, self.threshold)

    def decide(self, low: float, high: float) -> bool | None:
        """Return whether the whole interval satisfies the limit, none of it does, or neither (None)."""
        if math.isnan(low) or math.isnan(high):
            return None
        if self.limit.op == "==":
            return low == high == self.threshold if low == high or not low <= self.threshold <= high else None
        ends = self.holds(low), self.holds(high)
        return ends[0] if ends[0] == ends[1] else None

    def margin(self, value: float) -> float:
        """Return the distance to the limit, positive on the right side, in the judged terms."""
        if self.limit.op == "==":
            return -abs(value - self.threshold)
        return self.threshold - value if self.is_upper else value - self.threshold


def bind_limit(
    limit: Limit,
    *,
    kpi: str,
    unit: str,
    better: str,
    bounds: tuple[float, float],
    source: str = "marker",
    percent: bool = False,
    member: Callable[[str], object] | None = None,
) -> BoundLimit:
    """Check a limit against the KPI it is for, and convert its threshold.

    Args:
        limit: as parsed.
        kpi: the KPI's name, for messages.
        unit: the KPI's unit.
        better: `higher` or `lower`.
        bounds: the least and the greatest value that the KPI can take.
        source: where the limit was written: marker, command line, ...
        percent: whether a KPI without a unit also takes percent, of which 100 are 1.
        member: reads a name, for a KPI that counts a set; see `grammar.includes`.

    Raises:
        UsageMistake: the subject or a name does not fit the KPI, the unit is of another dimension, `pp` or `%` is
            missing where it matters, or no value (or every value) would satisfy the limit.
    """
    subject, quantity, written = limit.subject, limit.quantity, limit.text or str(limit)
    if limit.names:
        limit = replace(limit, names=known_names(limit.names, written, kpi, member))
        return BoundLimit(limit=limit, measure=INCLUDES, threshold=quantity.value, source=source)
    if member is not None:
        refuse_comparison(subject, written, kpi)
        limit = replace(limit, quantity=Quantity(quantity.value, quantity.unit or unit))
    if subject == "drop" and better != "higher":
        raise UsageMistake(
            f"{written!r}: 'drop' is for KPIs where higher is better, and for {kpi} lower is better. "
            f"Write 'increase {limit.op} {Quantity(quantity.value, '%')}'."
        )
    if subject == "speedup" and dimension_of(unit) != "time":
        raise UsageMistake(f"{written!r}: 'speedup' compares times, and {kpi} is not a time. Write 'ratio'.")
    if unit == "tier":
        measure, threshold = "value", _tier(limit, kpi)
    elif percent and not subject and quantity.unit == "%":
        measure, threshold = "value", quantity.value / 100
    elif subject in {"", "difference"}:
        measure, threshold = subject or "value", _in_kpi_unit(limit, kpi, unit)
    elif subject == "drop":
        measure, threshold = _drop(limit, unit)
    elif subject in {"ratio", "speedup"}:
        measure, threshold = subject, _factor(limit)
    else:
        measure, threshold = subject, _fraction(limit)
    bound = BoundLimit(limit=limit, measure=measure, threshold=threshold, source=source)
    _refuse_vacuous(bound, bounds, kpi)
    return bound


def _tier(limit: Limit, kpi: str) -> float:
    written = limit.text or str(limit)
    if limit.subject:
        raise UsageMistake(f"{written!r}: {kpi} takes a limit on the student's own tier only. Write '<= T4'")
    if find_tier(limit.quantity.unit) is None:
        raise UsageMistake(f"{written!r}: {unknown_tier(str(limit.quantity))}. Write '<= T4'")
    return limit.quantity.value


def _in_kpi_unit(limit: Limit, kpi: str, unit: str) -> float:
    quantity, written = limit.quantity, limit.text or str(limit)
    if quantity.unit == unit:
        if unit == "%" and limit.subject == "difference":
            points = Limit(limit.subject, limit.op, Quantity(quantity.value, "pp"))
            raise UsageMistake(
                f"{written!r}: '%' is relative and 'pp' counts points of {kpi}. Write '{points}', "
                f"or 'increase {limit.op} {quantity}' for a relative change."
            )
        return quantity.value
    if unit == "%" and quantity.unit == "pp" and limit.subject == "difference":
        return quantity.value
    if quantity.unit == "" and unit == "%" and 0 < abs(quantity.value) <= 1:
        number = f"{quantity.value:g}"
        raise UsageMistake(
            f"{written!r}: {kpi} is in percent, from 0 to 100. Write '{limit.op} {100 * quantity.value:g}%', or "
            f"'{limit.op} {number}%' if you mean {number} percent"
        )
    if quantity.unit == "" and unit in {"%", "x"}:
        return quantity.value  # `top1_accuracy >= 90` can only mean 90 of the KPI's own points
    dimension = dimension_of(unit)
    if dimension_of(quantity.unit) is None:
        at = max(written.rfind(quantity.unit), 0)
        problem, meant = f"{kpi} is in '{unit}', found {quantity.unit!r}", unit
        if dimension is not None:
            problem, meant = unknown_unit(quantity.unit, dimension), nearest_unit(quantity.unit, dimension) or unit
        raise LimitSyntaxError(written, at, problem, f"Write '{_with_unit(limit, meant)}'.")
    if quantity.unit == "" and unit:
        raise UsageMistake(f"{written!r}: {kpi} needs a unit. Write '{_with_unit(limit, unit)}'.")
    if (spelled := dimension_of(quantity.unit)) is not None and spelled != dimension:
        wanted = quantity_of(dimension).replace("count", "plain number") if dimension else f"in '{unit}'"
        compares = f", or 'increase {limit.op} {quantity}' against the teacher"
        compares = compares if spelled == "percent" and dimension != "points" else ""
        raise UsageMistake(
            f"{written!r}: {kpi} is {wanted}; '{quantity.unit}' is {unit_of(spelled)}. "
            f"Write for example '{_with_unit(limit, unit)}'{compares}."
        )
    return quantity.to(unit)


def _with_unit(limit: Limit, unit: str) -> str:
    return str(Limit(limit.subject, limit.op, Quantity(limit.quantity.value, unit)))


def _drop(limit: Limit, unit: str) -> tuple[str, float]:
    value, spelled = limit.quantity.value, limit.quantity.unit
    if spelled == "%":
        return "drop_relative", value / 100
    if spelled == "pp" and unit in {"%", ""}:
        return "drop_points", value if unit == "%" else value / 100
    number = f"{value:g}"
    if spelled == "pp":
        raise UsageMistake(f"'{limit}': 'pp' counts points of a share, and this KPI is in '{unit}'. "
                           f"Write 'drop {limit.op} {number}%'.")  # fmt: skip
    raise UsageMistake(
        f"{limit.text or str(limit)!r}: say whether the drop is in points or relative. "
        f"Write 'drop {limit.op} {number} pp' or 'drop {limit.op} {number}%'."
    )


def _fraction(limit: Limit) -> float:
    value, spelled = limit.quantity.value, limit.quantity.unit
    if spelled == "%":
        return value / 100
    if spelled in {"", "x"} and abs(value) < 1:
        return value
    raise UsageMistake(
        f"{limit.text or str(limit)!r}: '{limit.subject}' is relative and takes '%'. "
        f"Write '{limit.subject} {limit.op} {value:g}%'."
    )


def _factor(limit: Limit) -> float:
    value, spelled = limit.quantity.value, limit.quantity.unit
    if spelled in {"", "x"}:
        return value
    if spelled == "%":
        return value / 100
    raise UsageMistake(
        f"{limit.text or str(limit)!r}: '{limit.subject}' is a factor. Write '{limit.subject} {limit.op} {value:g}'."
    )


def _range_of(measure: str, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the least and greatest judged value, given the least and greatest value of the KPI."""
    low, high = bounds
    if measure == "value":
        return bounds
    if measure in {"difference", "drop_points"}:
        return low - high, high - low
    if low < 0:  # signed KPIs (r2): relative values are unbounded
        return -math.inf, math.inf
    return {
        "reduction": (-math.inf, 1.0),
        "drop_relative": (-math.inf, 1.0),
        "increase": (-1.0, math.inf),
        "regression": (-1.0, math.inf),
    }.get(measure, (0.0, math.inf))


def _refuse_vacuous(bound: BoundLimit, bounds: tuple[float, float], kpi: str) -> None:
    low, high = _range_of(bound.measure, bounds)
    op, threshold, written = bound.limit.op, bound.threshold, bound.limit.text or str(bound.limit)
    spans = f"{bound.limit.subject or kpi} is between {_plain(low, bound)} and {_plain(high, bound)}"
    never = {
        "<=": threshold < low,
        "<": threshold <= low,
        ">=": threshold > high,
        ">": threshold >= high,
        "==": not low <= threshold <= high,
    }[op]
    always = {
        "<=": threshold >= high,
        "<": threshold > high,
        ">=": threshold <= low,
        ">": threshold < low,
        "==": False,
    }[op]
    if never:
        raise UsageMistake(f"{written!r} can never hold: {spans}")
    if always:
        raise UsageMistake(f"{written!r} always holds: {spans}")


def _plain(value: float, bound: BoundLimit) -> str:
    if math.isinf(value):
        return "minus infinity" if value < 0 else "infinity"
    if bound.measure in {"reduction", "increase", "drop_relative", "regression"}:
        return f"{value * 100:g}%"
    return f"{value:g}"
