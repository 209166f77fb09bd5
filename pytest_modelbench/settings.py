"""The resolved options of one session: command line beats ini beats default.

`OPTIONS` is the one table behind the command line, the ini file, `--help` and these settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ALLOCATORS = ("steady", "system")
INCONCLUSIVE = ("fail", "warn")


@dataclass(frozen=True, kw_only=True)
class NamedSpec:
    """Where to find a model or data, as given on the command line: `[NAME=]module:attribute`."""

    spec: str
    name: str | None = None


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
    json_path: str | None = None
    device: str | None = None
    threads: int | None = None
    seed: int = 0
    budget_s: float = 60.0
    inconclusive: str = "fail"
    strict: bool = False
    allocator: str = "steady"
    confidence: float | None = None
    show_kpis: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON types."""
        plain = asdict(self)
        plain["students"] = list(plain["students"])
        return plain


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: how it is spelled, what its value must be, and its help text."""

    field: str
    name: str
    help: str
    convert: Callable[[str], Any] = str
    kind: str = "value"  # value | flag | list
    metavar: str | None = None
    ini_only: bool = False

    @property
    def flag(self) -> str:
        """The spelling on the command line."""
        return "--" + self.name.replace("_", "-")


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
    """Read `[NAME=]module:attribute` or `[NAME=]path/to/file.py:attribute`.

    Raises:
        ValueError: there is no attribute behind a colon.

    >>> parse_spec("int8=shop.models:load_int8")
    NamedSpec(spec='shop.models:load_int8', name='int8')
    """
    match = re.fullmatch(r"(?:([\w.-]+)=)?(.+:[A-Za-z_][\w.]*)", text)
    if match is None:
        raise ValueError("module:factory or path/to/file.py:factory")
    return NamedSpec(spec=match.group(2), name=match.group(1))


OPTIONS: tuple[Option, ...] = (
    Option(field="enabled", name="modelbench", kind="flag", help="judge the gates (without it they are skipped)"),
    Option(
        field="teacher", name="modelbench_teacher", metavar="SPEC", convert=parse_spec,
        help="the teacher, as module:factory or file.py:factory; beats the fixture teacher_model",
    ),
    Option(
        field="students", name="modelbench_student", metavar="[NAME=]SPEC", kind="list", convert=parse_spec,
        help="a student, as module:factory; repeat it for several; beats the fixture student_model",
    ),
    Option(
        field="data", name="modelbench_data", metavar="SPEC", convert=parse_spec,
        help="the evaluation data, as module:factory; beats the fixture eval_data",
    ),
    Option(field="json_path", name="modelbench_json", metavar="PATH", help="write the JSON report to PATH"),
    Option(
        field="device", name="modelbench_device", metavar="DEVICE", convert=_device,
        help="move torch models and their inputs to cpu, cuda, cuda:N or mps (default: where the model is)",
    ),
    Option(
        field="threads", name="modelbench_threads", metavar="N", convert=_at_least(1, int),
        help="number of threads for torch (default: torch's own)",
    ),
    Option(
        field="seed", name="modelbench_seed", metavar="N", convert=_at_least(0, int),
        help="seed of the block order and of every bootstrap (default: 0)",
    ),
    Option(
        field="budget_s", name="modelbench_budget", metavar="SECONDS", convert=_at_least(1, float),
        help="longest time that one timed measurement may take, in seconds (default: 60)",
    ),
    Option(
        field="inconclusive", name="modelbench_inconclusive", metavar="{fail,warn}", convert=_one_of(*INCONCLUSIVE),
        help="what an inconclusive verdict does to its item: fail it, or pass it with a warning (default: fail)",
    ),
    Option(
        field="strict", name="modelbench_strict", kind="flag",
        help="also fail when nothing was judged: no gate collected, or a gate without its baseline",
    ),
    Option(
        field="allocator", name="modelbench_allocator", metavar="{steady,system}", convert=_one_of(*ALLOCATORS),
        help="keep freed memory in the process while timing, or leave the C library's defaults (default: steady)",
    ),
    Option(field="show_kpis", name="modelbench_kpis", kind="flag", help="print the catalogue of KPIs and exit"),
    Option(
        field="confidence", name="modelbench_confidence", metavar="C", convert=_confidence, ini_only=True,
        help="confidence of each side for every gate that states none; makes quality limits non-inferiority tests",
    ),
)  # fmt: skip


def resolve_settings(command_line: Mapping[str, Any], ini: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """Combine the sources and return the settings with every mistake found in them.

    Args:
        command_line: values by option name; None (or an empty list) where not given.
        ini: values by option name; None, "" or an empty list where not given.

    Returns:
        The settings, with defaults in the place of mistaken values, and one message per mistake.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for option in OPTIONS:
        given, where = command_line.get(option.name), option.flag
        if given is None or given == []:
            given, where = ini.get(option.name), f"ini value {option.name}"
        if given is None or given in ("", []):
            continue
        try:
            values[option.field] = _convert(option, given)
        except ValueError as error:
            mistakes.append(f"{where}: found {given!r}, expected {_expected(option, error)}")
    settings = Settings(**values)
    mistakes += _name_mistakes(settings.students)
    return settings, mistakes


def _convert(option: Option, given: Any) -> Any:
    if option.kind == "flag":
        return bool(given)
    if option.kind == "list":
        return tuple(option.convert(text) for text in given)
    return option.convert(given)


def _expected(option: Option, error: ValueError) -> str:
    told = str(error)
    if told.startswith(("could not convert", "invalid literal")):
        return f"a number. Write '{option.flag} 4'"
    return told


def _name_mistakes(students: Sequence[NamedSpec]) -> list[str]:
    names = [student.name for student in students]
    if len(students) > 1 and None in names:
        return ["--modelbench-student: several students need a name each. Write '--modelbench-student NAME=SPEC'"]
    twice = sorted({name for name in names if name is not None and names.count(name) > 1})
    return [f"--modelbench-student: the name {name!r} is given twice" for name in twice]
