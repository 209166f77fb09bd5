"""The resolved options of one session: command line over ini over default."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.exports.options import parse_target
from pytest_modelbench.grammar.option_values import (
    CONFIDENCE,
    DAY_S,
    WEEK_S,
    Destination,
    Number,
    OneOf,
    at_home,
    country,
    destinations,
    device,
    host_name,
    parse_tier,
    regression,
    writable_folder,
    written_to,
)
from pytest_modelbench.models.named import NamedSpec, parse_spec
from pytest_modelbench.options import ENGINES, OPTIONS, SUITES, TRACKERS, Option


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one session does; immutable, made once from the command line and the ini file.

    `budget_s` bounds one timed measurement, in seconds. `confidence` is None where quality limits judge the
    point (see `kpis`); timed limits then use 0.95. `threads` and `device` are None where torch's own choice
    and the model's own device stand. `engine` is None where none was chosen, `workers` and `num_gpus` (of each
    worker) where they are left to it, `shards` where data in memory are not cut for it.
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
    record_export: str | None = None
    export_record: str | None = None
    json_path: str | None = None
    benchmark_json: str | None = None
    markdown: str | None = None
    html: str | None = None
    openmetrics: str | None = None
    codequality: str | None = None
    history: str | None = None
    log: tuple[Destination, ...] = ()
    deploy: tuple[str, ...] = ()
    endpoint_allow: tuple[str, ...] = ()
    device: str | None = None
    threads: int | None = None
    seed: int = 0
    budget_s: float = 60.0
    engine: str | None = None
    workers: int | None = None
    num_gpus: float | None = None
    shards: int | None = None
    resume: bool = False
    inconclusive: str = "fail"
    diagnose: str = "auto"
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
        plain["log"] = [str(destination) for destination in self.log]
        return plain


@functools.lru_cache
def differing_settings(own: Settings, session: Settings) -> Mapping[str, Any]:
    """Return the settings of a file's own that differ from the session's, as plain JSON types."""
    if own is session:
        return {}
    of_session = session.to_json()
    return {name: value for name, value in own.to_json().items() if value != of_session[name]}


def _told(named: NamedSpec | None) -> dict[str, Any] | None:
    return None if named is None else {"spec": named.spec, "name": named.name}


def _formats(text: str) -> tuple[str, ...]:
    """Read formats that models can be exported to, separated by commas.

    Raises:
        ValueError: one is unknown; the message suggests the nearest.
    """
    expected = "a string of formats, separated by commas, such as 'onnx,openvino'"
    if not text.strip():
        raise ValueError(expected)
    try:
        return tuple(dict.fromkeys(str(parse_target(part)) for part in text.split(",")))
    except UsageMistake as mistake:
        raise ValueError(f"{expected}: {mistake}") from mistake


_CONVERT: dict[str, tuple[str, Callable[[str], Any]]] = {
    "modelbench": ("enabled", bool),
    "modelbench_teacher": ("teacher", parse_spec),
    "modelbench_student": ("students", parse_spec),
    "modelbench_data": ("data", parse_spec),
    "modelbench_previous": ("previous", parse_spec),
    "modelbench_baseline": ("baseline", at_home),
    "modelbench_save_baseline": ("save_baseline", written_to("--modelbench-save-baseline", ".json")),
    "modelbench_fail_on_regression": ("fail_on_regression", regression),
    "modelbench_reference": ("reference", OneOf(("teacher", "workload"))),
    "modelbench_contract": ("contract", at_home),
    "modelbench_record_export": ("record_export", written_to("--modelbench-record-export", ".json")),
    "modelbench_export_record": ("export_record", at_home),
    "modelbench_record_contract": ("record_contract", written_to("--modelbench-record-contract")),
    "modelbench_suite": ("suites", OneOf(SUITES)),
    "modelbench_json": ("json_path", written_to("--modelbench-json", ".json")),
    "modelbench_benchmark_json": ("benchmark_json", written_to("--modelbench-benchmark-json", ".json")),
    "modelbench_markdown": ("markdown", written_to("--modelbench-markdown", ".md")),
    "modelbench_openmetrics": ("openmetrics", written_to("--modelbench-openmetrics", ".txt", ".prom")),
    "modelbench_codequality": ("codequality", written_to("--modelbench-codequality", ".json")),
    "modelbench_html": ("html", written_to("--modelbench-html", ".html", ".htm")),
    "modelbench_history": ("history", written_to("--modelbench-history", ".jsonl")),
    "modelbench_log": ("log", destinations(TRACKERS)),
    "modelbench_deploy": ("deploy", _formats),
    "modelbench_device": ("device", device),
    "modelbench_threads": ("threads", Number(least=1, most=1024, whole=True)),
    "modelbench_seed": ("seed", Number(least=0, most=2**63 - 1, whole=True)),
    "modelbench_budget": ("budget_s", Number(least=1, most=WEEK_S)),
    "modelbench_engine": ("engine", OneOf(ENGINES)),
    "modelbench_workers": ("workers", Number(least=1, most=100_000, whole=True)),
    "modelbench_shards": ("shards", Number(least=1, most=100_000, whole=True)),
    "modelbench_num_gpus": ("num_gpus", Number(least=0, most=1024, above=True, example="0.5")),
    "modelbench_resume": ("resume", bool),
    "modelbench_inconclusive": ("inconclusive", OneOf(("fail", "warn"))),
    "modelbench_diagnose": ("diagnose", OneOf(("auto", "always", "never"))),
    "modelbench_strict": ("strict", bool),
    "modelbench_allocator": ("allocator", OneOf(("steady", "system"))),
    "modelbench_confidence": ("confidence", CONFIDENCE),
    "modelbench_allow_pickle": ("allow_pickle", bool),
    "modelbench_plan": ("plan", bool),
    "modelbench_tiers": ("tiers", parse_tier),
    "modelbench_endpoint_allow": ("endpoint_allow", host_name),
    "modelbench_artifacts": ("artifacts", writable_folder),
    "modelbench_country": ("country", country),
    "modelbench_grid_intensity": ("grid_intensity", Number(least=0, most=100_000)),
    "modelbench_energy_window": ("energy_window_s", Number(least=1, most=DAY_S)),
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
        value = self.values.get(option.name)
        return None if value is None or value in ("", []) else value


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
        value = place.get(option)
        try:
            values[_CONVERT[option.name][0]] = _convert(option, value)
        except ValueError as error:
            mistakes.append(f"{place.where(option)}: found {shown(value)}, expected {error}")
    if values.get("record_contract"):
        values |= {"contract": None, "baseline": None}  # of the ini file
    settings = Settings(**values)
    mistakes += _name_mistakes(settings.students)
    return settings, mistakes


def conflicts(options: Mapping[str, Any], *, enabled: bool, workers: bool, dist: str = "no") -> Iterator[str]:
    """Yield a mistake for each option of the command line that means nothing beside the others.

    Args:
        options: by option name, None for what was not given.
        enabled: whether anything is judged.
        workers: whether pytest-xdist runs the tests.
        dist: how it gives them to the workers.
    """
    for option in OPTIONS:
        if options.get(option.name) == "":
            yield f"{option.flag}: its value is empty. Write {option.flag}={option.metavar}"
    if enabled and dist == "each":
        yield "--dist each: every worker would run every test, and a gate has one verdict. Write --dist load"
    reports = (
        *("json", "save_baseline", "benchmark_json", "markdown", "html"),
        *("openmetrics", "codequality", "history", "log"),
    )
    for name in (*reports, "plan", "suite", "record_contract", "resume"):
        if options.get(f"modelbench_{name}") and not enabled:
            ending = (
                ", so there is no report. Add --modelbench" if name in reports else " without --modelbench. Add it"
            )
            yield f"--modelbench-{name.replace('_', '-')}: nothing is judged{ending}"
    if workers and options.get("modelbench_plan"):
        yield "--modelbench-plan: workers have no plan. Remove -n"
    if workers and options.get("modelbench_record_contract"):
        yield "--modelbench-record-contract: one process measures the teacher. Remove -n"
    others = [name for name in ("contract", "baseline", "save_baseline") if options.get(f"modelbench_{name}")]
    if options.get("modelbench_record_contract") and others:
        yield "--modelbench-record-contract: nothing is judged while it is recorded. Remove the others"


def engine_conflicts(settings: Settings, places: Sequence[Given], *, workers: bool) -> Iterator[str]:
    """Yield a mistake for an engine that does not go with what else is given.

    Args:
        settings: resolved of the places.
        places: from the strongest to the weakest.
        workers: whether pytest-xdist runs the tests.
    """
    name = settings.engine
    if not settings.enabled or name == "serial" or (name is None and settings.shards is None):
        return
    wheres = {
        option.name: place.where(option)
        for option in OPTIONS
        for place in reversed(places)
        if place.get(option) is not None
    }
    if name is None and "modelbench_engine" in wheres:  # what was given is no engine, which is a mistake of its own
        return
    if name is None:
        yield f"{wheres['modelbench_shards']}: shards are for workers. Write --modelbench-engine=processes, too"
        return
    if workers:
        yield (
            f"{wheres['modelbench_engine']}: the engine {name} spreads the pass over data itself, and so would each "
            "worker of pytest-xdist. Write -n0"
        )
    if name == "dask" and settings.num_gpus is not None:
        yield (
            f"{wheres['modelbench_num_gpus']}: the engine dask gives workers no GPUs. Start its cluster by "
            "dask-cuda, or write --modelbench-engine=ray"
        )


def check_typed(option: Option, value: object) -> None:
    """Check a value that a modelbench.toml gives an option: numbers without quotes, strings with them.

    Raises:
        ValueError: it is of another type, or out of range; the message says what is expected.
    """
    convert = _CONVERT[option.name][1]
    if isinstance(convert, Number):
        convert.checked(value)
    elif isinstance(value, str):
        convert(value)
    else:
        convert("")  # which no option takes, so its message says what it takes


def typed(option: Option) -> Number | OneOf | None:
    """Return the range or the choices of an option's values, for schemas."""
    convert = _CONVERT[option.name][1]
    return convert if isinstance(convert, Number | OneOf) else None


def _convert(option: Option, value: Any) -> Any:
    convert = _CONVERT[option.name][1]
    if option.kind == "list":
        values = [convert(text) for text in value]
        parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
        return tuple(parts)
    return convert(value if option.kind == "flag" else str(value))


def _name_mistakes(students: Sequence[NamedSpec]) -> list[str]:
    names = [student.name for student in students]
    if len(students) > 1 and None in names:
        return ["--modelbench-student: several students need a name each. Write '--modelbench-student NAME=SPEC'"]
    twice = sorted({name for name in names if name is not None and names.count(name) > 1})
    return [f"--modelbench-student: the name {shown(name)} is given twice" for name in twice]
