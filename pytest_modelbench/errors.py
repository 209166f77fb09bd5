"""The one exception tree.

ModelbenchError
├── UsageMistake            something the user wrote cannot be understood
│   └── LimitSyntaxError    a limit's text breaks the grammar
├── ModelError              a model raised, or answered in a shape that cannot be judged
├── DataError               the evaluation data is empty, inconsistent or ambiguous
├── MeasurementError        a probe could not do its work
│   └── DoesNotFit          a KPI is for another task, or for data with something that these do not have
├── CheckFailure            a model breaks a rule that a test checks in its body; an AssertionError too
└── NotApplicable           the question makes no sense here (a callable has no parameters)

Messages say where, what was found, what was expected and what to write instead.
"""

from __future__ import annotations


class ModelbenchError(Exception):
    """The root of every error that pytest-modelbench raises on purpose.

    `blames` names the model whose fault it is, where that is known.
    """

    blames: str | None = None


class UsageMistake(ModelbenchError):
    """A marker, option or fixture that cannot mean anything; reported at collection."""


class LimitSyntaxError(UsageMistake):
    """A limit's text breaks the grammar; `str()` shows the text with a caret under the fault."""

    def __init__(self, text: str, position: int, problem: str, advice: str = "") -> None:
        self.text = text
        self.position = position
        self.problem = problem
        self.advice = advice
        caret = f"\n    {text}\n    {' ' * position}^"
        super().__init__(f"cannot read {text!r}: {problem}{caret}" + (f"\n{advice}" if advice else ""))


class ModelError(ModelbenchError):
    """A model raised, or returned something that cannot be judged."""


class DataError(ModelbenchError):
    """Evaluation data that is empty, inconsistent or ambiguous."""


class MeasurementError(ModelbenchError):
    """A probe could not do its work."""


class DoesNotFit(MeasurementError):
    """A KPI is for another task, or needs what the data do not have; ready-made suites leave it out."""


class CheckFailure(ModelbenchError, AssertionError):
    """A model breaks a rule that a test checks in its body."""


class NotApplicable(ModelbenchError):
    """The KPI has no meaning for this model or session; the item is skipped with this reason."""
