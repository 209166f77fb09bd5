"""From what a kpi marker says to a gate: the KPI found, keywords checked, limits parsed and bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_modelbench.errors import LimitSyntaxError, UsageMistake, shown
from pytest_modelbench.gates.gate import Gate, with_members
from pytest_modelbench.gates.keywords import keyword_of
from pytest_modelbench.grammar.conditional import ConditionalLimit, branches_of, read_conditional
from pytest_modelbench.grammar.directions import is_reversed, refuse_reversed
from pytest_modelbench.grammar.limits import BoundLimit, bind_limit, parse_limit
from pytest_modelbench.grammar.tiers import unknown_tier
from pytest_modelbench.grammar.units import dimension_of, parse_quantity
from pytest_modelbench.kpis.catalogue import find_kpi
from pytest_modelbench.kpis.kpi import Kpi


def read_gate(
    args: Sequence[Any], keywords: Mapping[str, Any], confidence: float | None = None, source: str = "marker"
) -> Gate:
    """Read `kpi(name, *limits, **options)`.

    Args:
        args: the KPI's name and the limits' texts.
        keywords: measurement options; `better`, `unit`, `metric` for a custom KPI.
        confidence: the ini file's, for gates that state none.
        source: where it is written.

    Raises:
        UsageMistake: anything that cannot be understood; the message starts with the KPI where it is known.
    """
    if not args or not isinstance(args[0], str):
        first = f"found {shown(args[0])}" if args else "found nothing"
        raise UsageMistake(f"a kpi marker starts with the KPI's name, {first}. Write kpi('latency_p99', '<= 120 ms')")
    name = args[0]
    measuring = {key: value for key, value in keywords.items() if key != "allow_reversed"}
    kpi, options = find_kpi(name, measuring)
    try:
        checked = {**kpi.options, **_checked_options(options)}
        limits = tuple(_read_limit(text, kpi, source) for text in args[1:])
        checked = with_members(kpi, _all_bounds(limits), checked)
        _refuse_impossible(kpi, limits)
        _check_directions(kpi, limits, allowed=keywords.get("allow_reversed", False))
        kpi.check(checked, _all_bounds(limits))
    except UsageMistake as mistake:
        raise UsageMistake(f"kpi {shown(name)}: {mistake}") from mistake
    if "under" in checked:
        kpi = replace(kpi, name=f"{kpi.name} under {checked['under']}")  # another quantity, beside the plain one
    stated = checked.pop("confidence", None)
    fallback = confidence if "confidence" in kpi.options else None
    return Gate(kpi=kpi, limits=limits, options=checked, confidence=stated if stated is not None else fallback)


def _read_limit(text: str, kpi: Kpi, source: str) -> BoundLimit | ConditionalLimit:
    def bind(limit: str, of: Kpi = kpi) -> BoundLimit:
        parsed = parse_limit(limit)
        if of.paired and parsed.subject not in {"", "regression"}:
            raise UsageMistake(_compares_already(str(parsed), of))
        if of.alone and not of.members and parsed.subject not in {"", "regression"}:
            raise UsageMistake(_compares_never(str(parsed), of))
        return bind_limit(
            parsed,
            kpi=of.name,
            unit=of.unit,
            better=of.better,
            bounds=of.bounds,
            source=source,
            percent=of.percent,
            member=of.member,
        )

    def bind_other(name: str, limit: str) -> BoundLimit:
        other, _ = find_kpi(name, {})
        bound = bind(limit, other)
        _refuse_impossible(other, (bound,))
        _check_condition(text, other, bound)
        if bound.regresses:
            raise UsageMistake(
                f"{text!r}: a condition is about the student and its teacher, not about regression. Write two gates"
            )
        if kpi.timed and other.timed:
            raise UsageMistake(
                f"{text!r}: a condition on a timed KPI is for limits on untimed ones, and {kpi.name} is timed. "
                "Write two gates"
            )
        return bound

    try:
        return read_conditional(text, bind, bind_other) or bind(text)
    except LimitSyntaxError as error:
        if kpi.unit == "tier":
            raise UsageMistake(f"{text!r}: {unknown_tier(text.strip(' <>='))}. Write '<= T4'") from error
        raise


def _check_condition(text: str, kpi: Kpi, bound: BoundLimit) -> None:
    try:
        kpi.check(kpi.options, (bound,))
    except UsageMistake as mistake:
        raise UsageMistake(
            f"{text!r}: a condition takes the default options of its KPI, which {kpi.name} cannot be measured with. "
            "Write two gates"
        ) from mistake


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if not _fits(name, value):
            raise UsageMistake(f"{name}={shown(value)}, expected {keyword_of(name).expected}")
        if name == "memory":
            _check_memory(value)
    if options.get("batch_size") is not None and "memory" in options:
        raise UsageMistake(
            "memory= bounds a search for the best batch size, and batch_size= names one. Write one of them"
        )
    return dict(options)


def _fits(name: str, value: Any) -> bool:
    """Whether an option takes a value; an object of the user's may raise where it is compared."""
    try:
        takes = keyword_of(name).takes
        return takes is None or bool(takes(value))
    except Exception:  # noqa: BLE001 - the user's own __eq__, __lt__ or __hash__
        return False


def _compares_already(limit: str, kpi: Kpi) -> str:
    example = "95%" if kpi.unit == "%" else f"5 {kpi.unit}".strip()
    return (
        f"'{limit}': {kpi.name} compares student and teacher already. Write a limit on its value, such as "
        f"'{'>=' if kpi.better == 'higher' else '<='} {example}'"
    )


def _compares_never(limit: str, kpi: Kpi) -> str:
    example = "<= 1e-4" if kpi.percent else {"x": ">= 1.2x", "qps": ">= 300 qps"}.get(kpi.unit, "== 0")
    return (
        f"'{limit}': {kpi.name} is not compared with the teacher's. Write a limit on its value, such as '{example}'"
    )


def _check_memory(value: Any) -> None:
    expected = f"memory={shown(value)}, expected a string such as '512 MB' or '2 GiB'"
    if not isinstance(value, str):
        raise UsageMistake(expected)
    try:
        quantity = parse_quantity(value)
    except UsageMistake as mistake:
        raise UsageMistake(f"{expected}: {mistake}") from mistake
    if dimension_of(quantity.unit) != dimension_of("B") or quantity.value <= 0:
        raise UsageMistake(expected)


def _all_bounds(limits: Sequence[BoundLimit | ConditionalLimit]) -> list[BoundLimit]:
    return [bound for limit in limits for bound in branches_of(limit)]


def _check_directions(kpi: Kpi, limits: Sequence[BoundLimit | ConditionalLimit], *, allowed: object) -> None:
    """Refuse limits that a better student breaks; the condition of one demands nothing and may point anywhere."""
    bounds = _all_bounds(limits)
    if not isinstance(allowed, bool):
        raise UsageMistake(f"allow_reversed={shown(allowed)}, expected True or False")
    if allowed and not any(is_reversed(bound, kpi.better) for bound in bounds):
        raise UsageMistake("allow_reversed=True, and no better student would break these limits. Remove it")
    for bound in () if allowed or kpi.two_sided else bounds:
        refuse_reversed(bound, kpi.name, kpi.better)


def _refuse_impossible(kpi: Kpi, limits: Sequence[BoundLimit | ConditionalLimit]) -> None:
    bounds = _all_bounds(limits)
    if kpi.report_only and bounds:
        raise UsageMistake(
            f"{bounds[0].limit}: this KPI is for the report only and takes no limit. Write kpi({kpi.name!r})"
        )
    if kpi.timed and any(bound.limit.op == "==" for bound in bounds):
        raise UsageMistake("'==' can never be proven for a timed KPI. Write '<=' and '>='")
    plain = [limit for limit in limits if isinstance(limit, BoundLimit)]
    for measure in {limit.measure for limit in plain}:
        same = [limit for limit in plain if limit.measure == measure]
        low = max((limit.threshold for limit in same if limit.limit.op in {">=", ">", "=="}), default=-math.inf)
        high = min((limit.threshold for limit in same if limit.limit.op in {"<=", "<", "=="}), default=math.inf)
        if low > high:
            raise UsageMistake(f"{' and '.join(repr(str(limit.limit)) for limit in same)} can never hold together")
