"""Quantities: a number with a unit, converted within one dimension only.

Decimal prefixes are powers of 1000 (`MB`), binary ones powers of 1024 (`MiB`), as in IEC 80000-13.
`%` is relative, `pp` counts percentage points, `x` is a bare factor; they never convert into each other
silently, because `drop <= 2` means two different things.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.grammar.tiers import find_tier, tier_name

_DIMENSIONS: dict[str, dict[str, float]] = {
    "time": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
    "size": {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "TB": 1e12,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
        "TiB": 2.0**40,
    },
    "energy": {"mJ": 1e-3, "J": 1.0, "kJ": 1e3, "µWh": 3.6e-3, "mWh": 3.6, "Wh": 3600.0, "kWh": 3.6e6},
    "power": {"mW": 1e-3, "W": 1.0, "kW": 1e3},
    "mass": {"mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3},
    "rate": {"/s": 1.0, "1/s": 1.0, "samples/s": 1.0, "qps": 1.0},
    "count": {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9},
    "percent": {"%": 1.0},
    "points": {"pp": 1.0},
    "factor": {"x": 1.0},
}
_UNITS: dict[str, tuple[str, float]] = {
    symbol: (dimension, factor) for dimension, table in _DIMENSIONS.items() for symbol, factor in table.items()
}
_ALIASES = {"μs": "µs", "percent": "%", "×": "x"}
_LADDERS = {
    "time": ("ns", "µs", "ms", "s"),
    "size": ("B", "kB", "MB", "GB", "TB"),
    "energy": ("mJ", "J", "kJ", "kWh"),
    "watt-hours": ("µWh", "mWh", "Wh", "kWh"),
    "power": ("mW", "W", "kW"),
    "mass": ("mg", "g", "kg", "t"),
}
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def dimension_of(symbol: str) -> str | None:
    """Return the dimension that a unit belongs to, or None for a custom unit.

    >>> dimension_of("MiB"), dimension_of("clicks")
    ('size', None)
    """
    unit = _UNITS.get(_ALIASES.get(symbol, symbol))
    if unit is None and find_tier(symbol) is not None:
        return "a hardware tier"
    return unit[0] if unit else None


def quantity_of(dimension: str) -> str:
    """Return a dimension as what a KPI is.

    >>> quantity_of("energy"), quantity_of("points")
    ('an energy', 'in points')
    """
    if dimension in {"percent", "points"}:
        return f"in {dimension}"
    return dimension if dimension.startswith("a ") else f"{'an' if dimension == 'energy' else 'a'} {dimension}"


def unit_of(dimension: str) -> str:
    """Return a dimension as what a unit is.

    >>> unit_of("size"), unit_of("percent"), unit_of("factor")
    ('a unit of size', 'percent', 'a factor')
    """
    if dimension in {"time", "size", "energy", "power", "mass"}:
        return f"a unit of {dimension}"
    return dimension if dimension in {"percent", "points"} else quantity_of(dimension)


def units_of(dimension: str) -> tuple[str, ...]:
    """Return the spellings of a dimension's units, smallest first."""
    return tuple(symbol for symbol in _DIMENSIONS[dimension] if symbol)


@dataclass(frozen=True)
class Quantity:
    """A finite number with its unit as the user spelled it.

    >>> Quantity(1500.0, "us").to("ms")
    1.5
    >>> str(Quantity(85.0, "%")), str(Quantity(120.0, "ms"))
    ('85%', '120 ms')
    """

    value: float
    unit: str = ""

    def to(self, unit: str) -> float:
        """Return the number in another unit of the same dimension.

        Raises:
            UsageMistake: the two units do not measure the same thing.
        """
        if unit == self.unit:
            return self.value
        here, there = _UNITS.get(self.unit), _UNITS.get(unit)
        if here is None or there is None or here[0] != there[0]:
            raise UsageMistake(f"'{self}' cannot be expressed in '{unit}': {_two_dimensions(self.unit, unit)}")
        converted = self.value * here[1] / there[1]
        if not math.isfinite(converted) or (self.value and not converted):
            raise UsageMistake(f"'{self}' is too {'small' if converted == 0 else 'large'} for the unit '{unit}'")
        return converted

    def __str__(self) -> str:
        if find_tier(self.unit) is not None:
            return self.unit
        number = f"{self.value:.15g}"
        if float(number) != self.value:
            number = repr(self.value)
        return number + ("" if self.unit in {"", "%", "x", "k", "M", "G", "/s"} else " ") + self.unit


def _two_dimensions(first: str, second: str) -> str:
    def name(unit: str) -> str:
        dimension = dimension_of(unit)
        return f"'{unit}' is {unit_of(dimension)}" if dimension else f"'{unit}' is a custom unit"

    return f"{name(first)}, {name(second)}"


def parse_quantity(text: str) -> Quantity:
    """Read a number with an optional unit, or the name of a hardware tier, which is a quantity of memory.

    Raises:
        UsageMistake: no number, or one that is too large or too small to be held.

    >>> parse_quantity("120 ms")
    Quantity(value=120.0, unit='ms')
    >>> parse_quantity("85%"), parse_quantity("1.5M")
    (Quantity(value=85.0, unit='%'), Quantity(value=1.5, unit='M'))
    """
    stripped = text.strip()
    size = find_tier(stripped)
    if size is not None:
        return Quantity(size, stripped)
    match = _NUMBER.match(stripped)
    if match is None:
        raise UsageMistake(f"expected a number with a unit, found {shown(stripped)}")
    if re.match(r",[0-9]", stripped[match.end() :]):
        raise UsageMistake("expected a decimal point, found a comma")
    value = float(match.group().replace("_", ""))
    if not math.isfinite(value):
        raise UsageMistake(f"{_short(match.group())} is too large for a number")
    if value == 0 and re.search(r"[1-9]", re.split(r"[eE]", match.group())[0]):
        raise UsageMistake(f"{_short(match.group())} is too small for a number")
    unit = stripped[match.end() :].strip()
    if find_tier(unit) is not None:
        raise UsageMistake(f"the hardware tier {unit} takes no number")
    return Quantity(value, _ALIASES.get(unit, unit))


def _short(number: str) -> str:
    return shown(number).strip("'")


def nearest_unit(symbol: str, dimension: str | None) -> str | None:
    """Return the unit that a misspelled one most likely means: the same letters in other case before all others.

    >>> nearest_unit("mb", "size"), nearest_unit("mss", "time"), nearest_unit("clicks", "time")
    ('MB', 'ms', None)
    """
    wanted = units_of(dimension) if dimension in _DIMENSIONS else tuple(unit for unit in _UNITS if unit)
    same = [unit for unit in wanted if unit.lower() == symbol.lower()]
    near = same or difflib.get_close_matches(symbol, wanted, n=1, cutoff=0.4)
    return near[0] if near else None


def unknown_unit(symbol: str, dimension: str | None) -> str:
    """Say that a unit is unknown, list those that fit and name the nearest.

    >>> unknown_unit("mss", "time")
    "unknown unit 'mss' (time units: ns, us, µs, ms, s, min, h; nearest: 'ms')"
    """
    wanted = units_of(dimension) if dimension in _DIMENSIONS else ()
    near = nearest_unit(symbol, dimension)
    listed = f"{dimension} units: {', '.join(wanted)}" if wanted else "no such unit"
    return f"unknown unit {shown(symbol)} ({listed}{f'; nearest: {near!r}' if near else ''})"


def humanise(value: float, unit: str, digits: int = 3) -> str:
    """Format a number for people: significant digits, and the unit of its dimension that reads best.

    >>> humanise(0.000063, "s"), humanise(1234567, "B"), humanise(98.6111, "%"), humanise(152778, "")
    ('63 µs', '1.23 MB', '98.6%', '152,778')
    """
    number, unit = readable([value], unit, digits)
    return with_unit(number[0], unit)


def with_unit(number: str, unit: str) -> str:
    """Put a unit behind a formatted number; `samples/s` is shortened to `/s`, and one of something is singular.

    >>> with_unit("1", "formats"), with_unit("2", "formats")
    ('1 format', '2 formats')
    """
    if unit == "samples/s":
        return f"{number}/s"
    if number == "1" and unit == "formats":
        unit = "format"
    return number + ("" if unit in {"", "%", "x"} else " ") + unit


def readable(values: Sequence[float], unit: str, digits: int = 3) -> tuple[list[str], str]:
    """Format numbers in one unit, that which reads best for the largest; infinite ones become `?`.

    >>> readable([0.0004, 0.0012, float("inf")], "s")
    (['0.4', '1.2', '?'], 'ms')
    """
    if unit == "tier":
        return [tier_name(value) for value in values], ""
    finite = [abs(value) for value in values if math.isfinite(value)]
    dimension = dimension_of(unit)
    scale = 1.0
    if dimension in _LADDERS and any(finite):
        table, ladder = _DIMENSIONS[dimension], _LADDERS["watt-hours" if unit == "Wh" else dimension]
        base = max(finite) * _UNITS[unit][1]
        best = next((u for u in reversed(ladder) if base >= table[u]), ladder[0])
        scale, unit = _UNITS[unit][1] / table[best], best
    return [_number(value * scale, unit, digits) for value in values], unit


def _number(value: float, unit: str, digits: int) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "?"
    if unit == "" and value == int(value):
        return f"{int(value):,}"
    return _significant(value, digits)


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals > 8:
        return f"{value:.{digits}g}"
    text = f"{round(value, decimals):,.{max(decimals, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
