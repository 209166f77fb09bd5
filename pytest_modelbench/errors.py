"""The one exception tree.

ModelbenchError
├── UsageMistake            something the user wrote cannot be understood
│   └── LimitSyntaxError    a limit's text breaks the grammar
├── ModelError              a model raised, or answered in a shape that cannot be judged
├── DataError               the evaluation data is empty, inconsistent or ambiguous
├── MeasurementError        a probe could not do its work
│   ├── ProcessLost         a fresh process crashed, or was stopped because it took too long
│   └── DoesNotFit          a KPI is for another task, or for data with something that these do not have
├── CheckFailure            a model breaks a rule that a test checks in its body; an AssertionError too
└── NotApplicable           the question makes no sense here (a callable has no parameters)
    └── Skipped             a fixture of the user's skipped, so nothing was asked at all

Messages say where, what was found, what was expected and what to write instead. An object of the user's enters a
message through `cause_of`, `message_of` or `shown` only: its own `__str__` or `__repr__` may raise, print escape
sequences or fill a terminal.
"""

from __future__ import annotations

import unicodedata

_LONGEST = 500
_SHORT = 120


class ModelbenchError(Exception):
    """The root of every error that pytest-modelbench raises on purpose.

    `blames` names the model whose fault it is, where that is known.
    """

    blames: str | None = None


def error_class(name: str) -> type[ModelbenchError] | None:
    """Return the class of our errors that has a name, which another process sends; None if none has."""
    found = globals().get(name)
    return found if isinstance(found, type) and issubclass(found, ModelbenchError) else None


class UsageMistake(ModelbenchError):
    """A marker, option or fixture that cannot mean anything; reported at collection."""


class LimitSyntaxError(UsageMistake):
    """A limit's text breaks the grammar; `str()` shows the text with a caret under the fault."""

    def __init__(self, text: str, position: int, problem: str, advice: str = "") -> None:
        self.text = text
        self.position = position
        self.problem = problem
        self.advice = advice
        line = "".join(
            " " if character.isspace() else "?" if _is_hidden(character) else character for character in text
        )
        caret = f"\n    {line}\n    {' ' * position}^"
        super().__init__(f"cannot read {text!r}: {problem}{caret}" + (f"\n{advice}" if advice else ""))


class ModelError(ModelbenchError):
    """A model raised, or returned something that cannot be judged."""


class DataError(ModelbenchError):
    """Evaluation data that is empty, inconsistent or ambiguous."""


class MeasurementError(ModelbenchError):
    """A probe could not do its work."""


class ProcessLost(MeasurementError):
    """A fresh process crashed, or was stopped because it took too long; `how` says which, as a verb."""

    def __init__(self, text: str, how: str) -> None:
        super().__init__(text)
        self.how = how


class DoesNotFit(MeasurementError):
    """A KPI is for another task, or needs what the data do not have; ready-made suites leave it out."""


class CheckFailure(ModelbenchError, AssertionError):
    """A model breaks a rule that a test checks in its body."""


class NotApplicable(ModelbenchError):
    """The KPI has no meaning for this model or session; the item is skipped with this reason."""


class Skipped(NotApplicable):
    """A fixture that makes a model or data skipped: its gates are not run and have no verdict."""


def visible(text: str) -> str:
    r"""Return a text without characters that a terminal would obey or cannot print.

    >>> visible("a\x1b[2Jb\ud800")
    'a\\x1b[2Jb\\ud800'
    """
    return "".join(_escaped(character) if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in {"Cc", "Cf", "Cs"}


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def message_of(error: BaseException) -> str:
    r"""Return the first line of an exception's message, even if its class breaks `str()`.

    >>> message_of(ValueError("no such file\nsecond line")), message_of(ValueError())
    ('no such file', 'no message')
    """
    try:
        text = str(error).strip()
    except Exception as failure:  # noqa: BLE001 - the user's own __str__
        return f"its message cannot be read ({type(failure).__name__})"
    return visible(text.splitlines()[0][:_LONGEST]) if text else "no message"


def cause_of(error: BaseException) -> str:
    """Return an exception's class and the first line of its message.

    >>> cause_of(KeyError("label"))
    "KeyError: 'label'"
    """
    return f"{type(error).__name__}: {message_of(error)}"


def shown(value: object) -> str:
    """Return a short `repr` of anything, also where its own cannot be had.

    >>> shown("x" * 1000) == "'" + "x" * 119 + "..."
    True
    """
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the user's own __repr__
        return f"<{type(value).__name__} without a repr>"
    return visible(text if len(text) <= _SHORT else f"{text[:_SHORT]}...")
