"""The resolved options of one session: command line beats ini beats default."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.limits import bind_limit, parse_limit
from pytest_modelbench.options import OPTIONS, SUITES, Option
from pytest_modelbench.units import parse_quantity

ALLOCATORS = ("steady", "system")
INCONCLUSIVE = ("fail", "warn")
REFERENCES = ("teacher", "workload")


@dataclass(frozen=True, kw_only=True)
class NamedSpec:
    """Where to find a model or data: `[NAME=]SPEC`, on the command line or in modelbench.toml.

    Attributes:
        spec: `module:factory`, `file.py:factory`, either with `@weights`, or a saved model.
        name: the student's label.
        folder: where relative paths start and modules are looked for first; None is pytest's own folder.
        where: what the user wrote it as, for messages.
        reading: keyword arguments of `EvalData` for data that do not bring them.
    """

    spec: str
    name: str | None = None
    folder: str | None = None
    where: str = ""
    reading: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one session does; immutable, made once from the command line and the ini file.

    `budget_s` bounds one timed measurement, in seconds. `confidence` is None where quality limits judge the
    point (see `kpis`); timed limits then use 0.95. `threads` and `device` are None where torch's own choice
    and the model's own device stand.
    """

    enabled: bool = False
    teacher: NamedSpec | None = None
    students: tuple[NamedSpec, ...] = ()
    data: NamedSpec | None = None
    previous: NamedSpec | None = None
    suites: tuple[str, ...] = ()
    baseline: str | None = None
    save_baseline: str | None = None
    fail_on_regression: str | None = None
    reference: str | None = None
    contract: str | None = None
    record_contract: str | None = None
    json_path: str | None = None
    benchmark_json: str | None = None
    device: str | None = None
    threads: int | None = None
    seed: int = 0
    budget_s: float = 60.0
    inconclusive: str = "fail"
    strict: bool = False
    allocator: str = "steady"
    confidence: float | None = None
    allow_pickle: bool = False
    plan: bool = False
    tiers: tuple[tuple[str, float], ...] = ()
    artifacts: str | None = None
    country: str | None = None
    grid_intensity: float | None = None
    energy_window_s: float = 5.0

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON types."""
        plain = asdict(self)
        for name in ("teacher", "data", "previous"):
            plain[name] = _told(getattr(self, name))
        plain["students"] = [_told(student) for student in self.students]
        return plain


@functools.lru_cache
def differing_settings(own: Settings, session: Settings) -> Mapping[str, Any]:
    """Return the settings of a file's own that differ from the session's, as plain JSON types."""
    if own is session:
        return {}
    of_session = session.to_json()
    return {name: value for name, value in own.to_json().items() if value != of_session[name]}


def _told(given: NamedSpec | None) -> dict[str, Any] | None:
    return None if given is None else {"spec": given.spec, "name": given.name}


def _at_least(least: float, number: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        value = number(text)
        if not least <= value < float("inf"):
            raise ValueError(f"at least {least:g}")
        return value

    return convert


def _one_of(*choices: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return convert


def _device(text: str) -> str:
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", text):
        raise ValueError("cpu, cuda, cuda:N or mps")
    return text


def _writable_folder(text: str) -> str:
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"a folder that can be written ({error.strerror or error})") from error
    if not os.access(folder, os.W_OK):
        raise ValueError("a folder that can be written (permission denied)")
    return text


def _country(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError("an ISO 3166-1 alpha-3 code, such as DEU")
    return text.upper()


def _json_path(text: str) -> str:
    if not text.endswith(".json"):
        raise ValueError("a path that ends in .json, written --modelbench-save-baseline=PATH")
    return text


def _regression(text: str) -> str:
    try:
        limit = parse_limit(f"regression <= {text}")
        bind_limit(limit, kpi="", unit="", better="lower", bounds=(0.0, float("inf")))
        return str(limit)
    except UsageMistake as mistake:
        raise ValueError("a percentage, such as 5%") from mistake


def check_confidence(value: float) -> float:
    """Return the confidence of one side of an interval.

    Raises:
        ValueError: it is not between 0.5 and 1, both excluded.
    """
    if not 0.5 < value < 1:
        raise ValueError("a number between 0.5 and 1, such as 0.95")
    return value


def _confidence(text: str) -> float:
    return check_confidence(float(text))


def parse_spec(text: str) -> NamedSpec:
    """Read `[NAME=]SPEC`; whether the SPEC names something that exists is `models.locate`'s to say.

    Raises:
        ValueError: there is nothing in it.

    >>> given = parse_spec("int8=shop.models:load_int8")
    >>> given.name, given.spec
    ('int8', 'shop.models:load_int8')
    """
    match = re.fullmatch(r"(?:([\w.-]+)=)?+(.*\S.*)", text)
    if match is None:
        raise ValueError("module:factory, file.py:factory or a saved model")
    return NamedSpec(spec=match.group(2), name=match.group(1))


def parse_tier(text: str) -> tuple[str, float]:
    """Read a hardware tier, `NAME = MEMORY`.

    Raises:
        ValueError: it is spelled otherwise.

    >>> parse_tier("Jetson = 8 GB")
    ('Jetson', 8000000000.0)
    """
    name, _, memory = (part.strip() for part in text.partition("="))
    try:
        size = parse_quantity(memory).to("B")
    except UsageMistake as mistake:
        raise ValueError("NAME = MEMORY, such as T4 = 16 GB") from mistake
    if not name or size <= 0:
        raise ValueError("NAME = MEMORY, such as T4 = 16 GB")
    return name, size


_CONVERT: dict[str, tuple[str, Callable[[str], Any]]] = {
    "modelbench": ("enabled", bool),
    "modelbench_teacher": ("teacher", parse_spec),
    "modelbench_student": ("students", parse_spec),
    "modelbench_data": ("data", parse_spec),
    "modelbench_previous": ("previous", parse_spec),
    "modelbench_baseline": ("baseline", str),
    "modelbench_save_baseline": ("save_baseline", _json_path),
    "modelbench_fail_on_regression": ("fail_on_regression", _regression),
    "modelbench_reference": ("reference", _one_of(*REFERENCES)),
    "modelbench_contract": ("contract", str),
    "modelbench_record_contract": ("record_contract", str),
    "modelbench_suite": ("suites", _one_of(*SUITES)),
    "modelbench_json": ("json_path", str),
    "modelbench_benchmark_json": ("benchmark_json", str),
    "modelbench_device": ("device", _device),
    "modelbench_threads": ("threads", _at_least(1, int)),
    "modelbench_seed": ("seed", _at_least(0, int)),
    "modelbench_budget": ("budget_s", _at_least(1, float)),
    "modelbench_inconclusive": ("inconclusive", _one_of(*INCONCLUSIVE)),
    "modelbench_strict": ("strict", bool),
    "modelbench_allocator": ("allocator", _one_of(*ALLOCATORS)),
    "modelbench_confidence": ("confidence", _confidence),
    "modelbench_allow_pickle": ("allow_pickle", bool),
    "modelbench_plan": ("plan", bool),
    "modelbench_tiers": ("tiers", parse_tier),
    "modelbench_artifacts": ("artifacts", _writable_folder),
    "modelbench_country": ("country", _country),
    "modelbench_grid_intensity": ("grid_intensity", _at_least(0, float)),
    "modelbench_energy_window": ("energy_window_s", _at_least(1, float)),
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """Values by option name from one place; None, "" and an empty list mean: not given.

    `where` names the place of an option in messages.
    """

    values: Mapping[str, Any]
    where: Callable[[Option], str]

    def get(self, option: Option) -> Any:
        """Return what was given for an option, or None."""
        found = self.values.get(option.name)
        return None if found is None or found in ("", []) else found


def resolve_settings(places: Sequence[Given]) -> tuple[Settings, list[str]]:
    """Combine what was given and return the settings with every mistake found in it.

    Args:
        places: from the strongest to the weakest.

    Returns:
        The settings, with defaults in the place of mistaken values, and one message per mistake.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for option in OPTIONS:
        place = next((place for place in places if place.get(option) is not None), None)
        if option.name not in _CONVERT or place is None:
            continue
        found = place.get(option)
        try:
            values[_CONVERT[option.name][0]] = _convert(option, found)
        except ValueError as error:
            mistakes.append(f"{place.where(option)}: found {found!r}, expected {_expected(error)}")
    if values.get("record_contract"):
        values |= {"contract": None, "baseline": None}  # of the ini file
    settings = Settings(**values)
    mistakes += _name_mistakes(settings.students)
    return settings, mistakes


def conflicts(given: Mapping[str, Any], *, enabled: bool, workers: bool) -> Iterator[str]:
    """Yield a mistake for each option of the command line that means nothing beside the others.

    Args:
        given: by option name, None for what was not given.
        enabled: whether anything is judged.
        workers: whether pytest-xdist runs the tests.
    """
    reports = ("json", "save_baseline", "benchmark_json")
    for name in (*reports, "plan", "suite", "record_contract"):
        if given.get(f"modelbench_{name}") and not enabled:
            ending = (
                ", so there is no report. Add --modelbench" if name in reports else " without --modelbench. Add it"
            )
            yield f"--modelbench-{name.replace('_', '-')}: nothing is judged{ending}"
    if workers and given.get("modelbench_plan"):
        yield "--modelbench-plan: workers plan nothing of their own. Leave -n out"
    if workers and given.get("modelbench_record_contract"):
        yield "--modelbench-record-contract: one process measures the teacher. Leave -n out"
    others = [name for name in ("contract", "baseline", "save_baseline") if given.get(f"modelbench_{name}")]
    if given.get("modelbench_record_contract") and others:
        yield "--modelbench-record-contract: nothing is judged while it is recorded. Leave the others out"


def _convert(option: Option, given: Any) -> Any:
    convert = _CONVERT[option.name][1]
    if option.kind == "list":
        return tuple(convert(text) for text in given)
    return convert(given if option.kind == "flag" else str(given))


def _expected(error: ValueError) -> str:
    told = str(error)
    return "a number, such as 4" if told.startswith(("could not convert", "invalid literal")) else told


def _name_mistakes(students: Sequence[NamedSpec]) -> list[str]:
    names = [student.name for student in students]
    if len(students) > 1 and None in names:
        return ["--modelbench-student: several students need a name each. Write '--modelbench-student NAME=SPEC'"]
    twice = sorted({name for name in names if name is not None and names.count(name) > 1})
    return [f"--modelbench-student: the name {name!r} is given twice" for name in twice]
