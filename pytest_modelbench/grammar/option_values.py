"""What the values of options must be: each is read from a text, or checked as a modelbench.toml has it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.limits import bind_limit, parse_limit
from pytest_modelbench.grammar.units import parse_quantity

WEEK_S, DAY_S = 7 * 86_400, 86_400


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of ASCII digits between two bounds, the least of which `above` excludes; `whole` ones take no point.

    >>> Number(least=1, most=1024, whole=True)("8")
    8
    >>> Number(least=1, most=1024, whole=True)("1.5")
    Traceback (most recent call last):
    ValueError: an integer from 1 to 1,024
    """

    least: float
    most: float
    whole: bool = False
    above: bool = False
    example: str = ""

    @property
    def expected(self) -> str:
        """What a message says of it."""
        kind = "an integer" if self.whole else "a number"
        span = f"above {self.least:,} and up to" if self.above else f"from {self.least:,} to"
        return f"{kind} {span} {self.most:,}" + (f", such as {self.example}" if self.example else "")

    def __call__(self, text: str) -> float:
        """Read a text.

        Raises:
            ValueError: it is not such a number; the message states the expected range.
        """
        try:
            value = (int if self.whole else float)(text) if text.isascii() else None
        except ValueError:
            value = None
        return self.checked(value)

    def checked(self, value: object) -> float:
        """Return a number that is written without quotes.

        Raises:
            ValueError: it is not such a number.
        """
        if isinstance(value, int | float) and self.fits(value):
            return value
        raise ValueError(self.expected)

    def fits(self, value: object) -> bool:
        """Whether something is such a number."""
        kinds = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        return self.least <= value <= self.most and not (self.above and value == self.least)


CONFIDENCE = Number(least=0.5, most=0.999999, above=True, example="0.95")
"""The confidence of one side of an interval; nearer to 1 no sample could support it."""


@dataclass(frozen=True)
class OneOf:
    """One word of several."""

    choices: Collection[str]

    def __call__(self, text: str) -> str:
        """Return a word that is known.

        Raises:
            ValueError: it is another; the message lists them.
        """
        if text not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)}")
        return text


def device(text: str) -> str:
    """Check a device's name, as torch spells it.

    Raises:
        ValueError: it is spelled otherwise.
    """
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]+)?", text):
        raise ValueError("cpu, cuda, cuda:N or mps")
    return text


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A result tracker by its name, the module that describes it, and where it sends to.

    `where` is empty for the tracker's own settings.
    """

    name: str
    module: str
    where: str = ""

    def __str__(self) -> str:
        """Return what the user wrote, without the user name and the password of an address."""
        return f"{self.name}:{without_credentials(self.where)}" if self.where else self.name


def without_credentials(text: str) -> str:
    """Return a text without the user names and passwords of the addresses in it.

    >>> without_credentials("https://me:secret@runs.example.com/a")
    'https://***@runs.example.com/a'
    """
    return re.sub(r"(?<=//)[^/\s]*@", "***@", text)


def destinations(known: Mapping[str, str]) -> Callable[[str], list[Destination]]:
    """Return what reads trackers with their places, separated by commas: `mlflow:sqlite:///runs.db,tensorboard`.

    Args:
        known: the modules of trackers by their names.
    """

    def convert(text: str) -> list[Destination]:
        parts = [part.strip().partition(":") for part in text.split(",")]
        if any(name not in known or (colon and not where) for name, colon, where in parts):
            raise ValueError(
                f"NAME or NAME:WHERE, separated by commas, with NAME one of {', '.join(known)}, such as "
                "mlflow:sqlite:///mlflow.db"
            )
        return [Destination(name=name, module=known[name], where=where) for name, _, where in parts]

    return convert


def writable_folder(text: str) -> str:
    """Make a folder, or see that it can be written to.

    Raises:
        ValueError: it cannot.
    """
    folder = Path(at_home(text))
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError as error:
        raise ValueError(f"a folder in one that exists. Make that first: mkdir -p {folder.parent}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"a folder that can be written ({getattr(error, 'strerror', None) or error})") from error
    if not os.access(folder, os.W_OK):
        raise ValueError("a folder that can be written (permission denied)")
    return str(folder)


def country(text: str) -> str:
    """Read the code of a country.

    Raises:
        ValueError: it has not three letters.
    """
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError("an ISO 3166-1 alpha-3 code, such as DEU")
    return text.upper()


def unprintable(word: str, most: int) -> str:
    """Return the violated requirement of a name printed in one line of a table; empty if it fits."""
    if len(word) > most:
        return f"expected at most {most} characters, and it has {len(word):,}"
    return "" if word.isprintable() else "expected printable characters on one line"


def at_home(text: str) -> str:
    """Return a path with the home folder in the place of `~`, where there is one."""
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        return text


def written_to(flag: str, *suffixes: str) -> Callable[[str], str]:
    """Return what checks a path that is written to: its ending says that no test was taken for it.

    Args:
        flag: the option, for messages.
        suffixes: the endings that it may have; without any, every ending but those of a project's own files.
    """

    def convert(text: str) -> str:
        path = at_home(text)
        if "\0" in path:
            raise ValueError("a path without NUL characters")
        fits = path.endswith(suffixes) if suffixes else not path.endswith(OF_A_PROJECT)
        if (fits and not path.endswith(("/", os.sep))) or _is_stream(path):
            return path
        wanted = f"a path that ends in {' or '.join(suffixes)}" if suffixes else "the path of a file, teacher.mbc"
        raise ValueError(f"{wanted}, written {flag}=PATH")

    return convert


OF_A_PROJECT = (".py", ".toml", ".ini", ".cfg", ".md", ".txt", ".yml", ".yaml", ".json")


def _is_stream(path: str) -> bool:
    """Whether something is written to without being a file: a device or a named pipe."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def regression(text: str) -> str:
    """Return the limit on `regression` that a percentage means.

    Raises:
        ValueError: it is not a percentage, or one that every better student breaks.
    """
    try:
        limit = parse_limit(f"regression <= {text}")
        bound = bind_limit(limit, kpi="", unit="", better="lower", bounds=(0.0, float("inf")))
    except UsageMistake as mistake:
        raise ValueError("a percentage, such as 5%") from mistake
    if bound.threshold < 0:
        raise ValueError("a percentage of at least 0%, such as 5%")
    return str(limit)


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


def host_name(text: str) -> str:
    """Read the name or address of a host, without scheme and port.

    Raises:
        ValueError: it is something else.
    """
    if not re.fullmatch(r"[\w.:-]+", text) or "://" in text or re.search(r"^[^:]+:\d+$", text):
        raise ValueError("the name or address of a host, without scheme and port, such as models.example.com")
    return text
