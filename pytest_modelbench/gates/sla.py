"""What a `modelbench.toml` says: models, data, settings and KPIs, each with its line. Standard library only.

[models]
teacher = "shop.models:load_teacher"
[models.students]
distilled = "shop.models:load_student"
[data]
eval = "shop.data:test_set"
[run]
threads = 1
[kpi]
parameters = "reduction >= 85%"
latency_p99 = ["<= 120 ms", "reduction >= 50%"]
[kpi.top1_accuracy]
limits = "drop <= 2 pp"
confidence = 0.95
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_modelbench.data.prompts import is_text_file
from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.exports.options import parse_target
from pytest_modelbench.gates.sla_data import DATA_KEYS, fault_of, kind_of, wrong_source, wrong_task
from pytest_modelbench.gates.toml_lines import depth, line_of_each_key
from pytest_modelbench.grammar.option_values import unprintable
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.settings import check_typed

TABLES = ("models", "data", "run", "kpi")
MODEL_KEYS = ("teacher", "student", "students", "previous")
STUDENT_KEYS = ("model", "deploy")
RUN_KEYS = {option.name.removeprefix("modelbench_"): option for option in OPTIONS if option.run}
HOMES = {"run": tuple(RUN_KEYS), "data": DATA_KEYS, "models": MODEL_KEYS}
DEEPEST, MOST_BYTES = 50, 16 * 2**20
_ITEM_NAME = re.compile(r"[A-Za-z_]\w*")
_HOOKS = re.compile(r"(setup|teardown)_(module|function|method)|(setUp|tearDown)Module|pytest\w*|__\w*")
Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KpiEntry:
    """One key of the table `[kpi]`: an item named `name` that judges `kpi`."""

    name: str
    kpi: str
    limits: tuple[str, ...]
    options: Mapping[str, Any]
    line: int


@dataclass(frozen=True, kw_only=True)
class Sla:
    """The content of one file; `named` are models and data by fixture, `run` values by option name."""

    named: Mapping[str, tuple[NamedSpec, ...]] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    kpis: tuple[KpiEntry, ...] = ()
    lines: Mapping[Path, int] = field(default_factory=dict)


def read_sla(text: str, place: str, folder: str, *, bare: bool = False) -> tuple[Sla, list[str], bool]:
    """Read a file and return what could be understood, every mistake with its line, and whether it is TOML at all.

    Args:
        text: the content.
        place: the file's name in messages.
        folder: where its relative paths start.
        bare: whether it may leave the table [kpi] out, for something else is judged with its models.
    """
    try:
        table = tomllib.loads(text)
        if depth(table) > DEEPEST:
            raise RecursionError
    except (ValueError, RecursionError) as error:
        return Sla(), [f"{place}:{_broken(text, error)}"], False
    reader = _Reader(line_of_each_key(text, table), place, folder)
    sla = Sla(
        named=reader.named(table),
        run=reader.run(table),
        kpis=tuple(reader.kpis(table, bare=bare)),
        lines=reader.lines,
    )
    reader.check_names(table, TABLES, (), "table")
    return sla, sorted(reader.mistakes, key=_line_in), True


def _line_in(mistake: str) -> int:
    match = re.search(r":(\d+): ", mistake)
    return int(match[1]) if match else 0


def _decode_error(message: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)
    return (match[2], match[1]) if match else ("1", message.removesuffix(" (at end of document)"))


def _broken(text: str, error: Exception) -> str:
    """Return the line and the reason why a text is not readable TOML."""
    if isinstance(error, tomllib.TOMLDecodeError):
        line, reason = _decode_error(str(error))
        return f"{line}: this is not valid TOML: {reason}"
    if isinstance(error, RecursionError):
        lines = text.split("\n")
        worst = max(range(len(lines)), key=lambda at: len(re.findall(r"[\[{]", lines[at])))
        return f"{worst + 1}: its arrays and tables lie more than {DEEPEST} deep in each other"
    return f"{_line_of_digits(text)}: a number has more digits than can be read"


def _line_of_digits(text: str) -> int:
    digits = re.search(r"[0-9_]{1000,}", text)
    return text.count("\n", 0, digits.start()) + 1 if digits else 1


class _Reader:
    """Reads the tables of one file and gathers mistakes."""

    def __init__(self, lines: Mapping[Path, int], place: str, folder: str) -> None:
        self.lines = lines
        self.place = place
        self.folder = folder
        self.mistakes: list[str] = []

    def where(self, *path: str) -> str:
        return f"{self.place}:{self.lines.get(path, 1)}"

    def mistake(self, path: Path, text: str) -> None:
        self.mistakes.append(f"{self.where(*path)}: {text}")

    def check_names(self, table: Iterable[str], names: tuple[str, ...], above: Path, what: str) -> None:
        for key in table:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                home = next((home for home, keys in HOMES.items() if key in keys), None)
                advice = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(names)}"
                if home is not None and len(above) < 2:
                    advice = f": it is a key of [{home}]. Move it there"
                inside = f" in [{'.'.join(above)}]" if above else ""
                self.mistake((*above, key), f"unknown {what} {shown(key)}{inside}{advice}")

    def table(self, parent: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
        value = parent.get(path[-1], {})
        if isinstance(value, dict):
            return value
        self.mistake(path, f"{'.'.join(path)} is {kind_of(value)}, expected a table: [{'.'.join(path)}]")
        return {}

    def named(self, table: Mapping[str, Any]) -> dict[str, tuple[NamedSpec, ...]]:
        models = self.table(table, "models")
        self.check_names(models, MODEL_KEYS, ("models",), "key")
        students = self.table(models, "models", "students")
        if models.get("students") == {}:
            self.mistake(("models", "students"), "the table [models.students] is empty. Name a student in it")
        by_fixture = {"teacher_model": self.specs(models, ("models",), ["teacher"])}
        if "student" in models and "students" in models:
            self.mistake(("models", "student"), "both student and [models.students] are given. Remove one of them")
        by_fixture["student_model"] = (
            *self.students(models, ("models",), ["student"]),
            *self.students(students, ("models", "students"), list(students), labels=True),
        )
        by_fixture["eval_data"] = self.data(table)
        by_fixture["previous_model"] = self.specs(models, ("models",), ["previous"])
        return {fixture: specs for fixture, specs in by_fixture.items() if specs}

    def specs(
        self, table: Mapping[str, Any], above: Path, keys: list[str], *, labels: bool = False
    ) -> tuple[NamedSpec, ...]:
        specs = []
        for key in keys:
            path, value = (*above, key), table.get(key)
            if labels and (fault := unprintable(key, 100) or ("" if key.strip() else "expected a name")):
                self.mistake(path, f"the student's name is {shown(key)}, {fault}")
            elif key in table and isinstance(value, str) and value.strip():
                name = key if labels else None
                specs.append(NamedSpec(spec=value.strip(), name=name, folder=self.folder, where=self.where(*path)))
            elif key in table:
                self.mistake(
                    path,
                    f"{key} is {kind_of(value)}, expected a string: module:factory, file.py:factory or a saved model",
                )
        return tuple(specs)

    def students(
        self, table: Mapping[str, Any], above: Path, keys: list[str], *, labels: bool = False
    ) -> list[NamedSpec]:
        """Read students: each is a spec, or a table of a spec (`model`) and formats (`deploy`)."""
        students = []
        for key in keys:
            path, value = (*above, key), table.get(key)
            plain: Any = value
            deploy: tuple[str, ...] = ()
            if isinstance(value, dict):
                self.check_names(value, STUDENT_KEYS, path, "key")
                if "model" not in value:
                    self.mistake(path, f'{key} has no model. Write {key} = {{model = "module:factory", ...}}')
                    continue
                plain = value["model"]
                deploy = self.deploy((*path, "deploy"), value["deploy"]) if "deploy" in value else ()
                if not isinstance(plain, str):
                    self.mistake((*path, "model"), f"model of {key} is {kind_of(plain)}, expected a string")
                    continue
            specs = self.specs({**table, key: plain} if key in table else table, above, [key], labels=labels)
            students += [replace(spec, deploy=deploy) for spec in specs]
        return students

    def deploy(self, path: Path, value: Any) -> tuple[str, ...]:
        """Read the formats that a student is deployed in: an array, or a string with commas."""
        names = value.split(",") if isinstance(value, str) else value
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name, str) and name.strip() for name in names)
        ):
            self.mistake(path, f'deploy is {kind_of(value)}, expected an array of formats, such as ["onnx"]')
            return ()
        targets = []
        for target in names:
            try:
                targets.append(str(parse_target(target)))
            except UsageMistake as mistake:
                self.mistake(path, f"deploy: {mistake}")
        return tuple(dict.fromkeys(targets))

    def data(self, table: Mapping[str, Any]) -> tuple[NamedSpec, ...]:
        data = self.table(table, "data")
        self.check_names(data, tuple(DATA_KEYS), ("data",), "key")
        keys = [key for key in data if key in DATA_KEYS and key != "eval"]
        faults = {key: fault for key in keys if (fault := fault_of(key, data[key]))}
        for key, fault in (*wrong_source(data), *wrong_task(data), *faults.items()):
            self.mistake(("data", key), fault)
        reading = {key: _tuple(data[key]) for key in keys if key not in faults}
        if is_text_file(data.get("eval")):
            reading = {"task": "text"} | reading
        specs = self.specs(data, ("data",), ["eval"])
        if "shards" in reading and "eval" not in data:
            specs = (NamedSpec(spec="shards", folder=self.folder, where=self.where("data", "shards")),)
        elif data and "eval" not in data and "shards" not in data:
            self.mistake(("data",), '[data] has no eval. Write eval = "module:factory" or eval = "prompts.jsonl"')
        return tuple(replace(spec, reading=tuple(reading.items())) for spec in specs)

    def run(self, table: Mapping[str, Any]) -> dict[str, Any]:
        run = self.table(table, "run")
        self.check_names(run, tuple(RUN_KEYS), ("run",), "key")
        run = {key: _joined(value) if key == "deploy" else value for key, value in run.items()}
        return {RUN_KEYS[key].name: value for key, value in run.items() if key in RUN_KEYS and self.fits(key, value)}

    def fits(self, key: str, value: Any) -> bool:
        """Whether a setting has a value of its type and range, whether or not the command line overrides it."""
        try:
            check_typed(RUN_KEYS[key], value)
        except ValueError as error:
            self.mistake(("run", key), f"[run] {key}: found {shown(value)}, expected {error}")
            return False
        return True

    def kpis(self, table: Mapping[str, Any], *, bare: bool) -> Iterator[KpiEntry]:
        kpis = self.table(table, "kpi")
        if not kpis and bare:
            return
        if not kpis and "kpi" not in table:
            self.mistakes.append(f"{self.place}:1: there is no table [kpi], so nothing is judged")
        elif not kpis and table["kpi"] == {}:
            self.mistake(("kpi",), "the table [kpi] is empty, so nothing is judged")
        for name, value in kpis.items():
            entry = self.kpi(name, value)
            if entry is not None:
                yield entry

    def kpi(self, name: str, value: Any) -> KpiEntry | None:
        path = ("kpi", name)
        if not _ITEM_NAME.fullmatch(name) or _HOOKS.fullmatch(name):
            self.mistake(
                path,
                f"{shown(name)} cannot name an item: use letters, digits and underscores (latency_p99_9), and none "
                "of pytest's own names",
            )
            return None
        options = dict(value) if isinstance(value, dict) else {}
        limits = options.pop("limits", []) if isinstance(value, dict) else value
        kpi = options.pop("kpi", name)
        limits = [limits] if isinstance(limits, str) else limits
        if not isinstance(limits, list) or not all(isinstance(limit, str) for limit in limits):
            self.mistake(
                path,
                f"the limits of {name} are {kind_of(limits)}, expected a string or an array of strings, such as "
                '["<= 120 ms", "reduction >= 85%"]',
            )
            return None
        odd = [key for key in options if not re.fullmatch(r"[a-z][a-z_]*", key) or key in {"self", "limit"}]
        if odd:
            nearest = "; did you mean 'limits'?" if odd[0] == "limit" else ""
            self.mistake((*path, odd[0]), f"unknown option {shown(odd[0])} of {name}{nearest}")
            return None
        if not isinstance(kpi, str):
            self.mistake(path, f"kpi of {name} is {kind_of(kpi)}, expected a string: the name of a KPI")
            return None
        return KpiEntry(name=name, kpi=kpi, limits=tuple(limits), options=options, line=self.lines.get(path, 1))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _joined(value: Any) -> Any:
    """Return an array of strings as one string with commas, as the command line has it; anything else as it is."""
    texts = isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
    return ",".join(value) if texts else value
