"""Conditional limits, in the one grammar: `LIMIT if KPI LIMIT, else LIMIT`.

`drop <= 3 pp if parameters reduction >= 75%, else drop <= 1 pp`: a student that is four times smaller may lose more.
The condition is a limit on another KPI of the same student; it is judged first, and picks the limit that holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.limits import BoundLimit, check_text
from pytest_modelbench.results import Verdict

_CONDITIONAL = re.compile(r"(?P<then>.+?)\s+if\s+(?P<kpi>\w+)\s+(?P<when>.+?)\s*,?\s+else\s+(?P<otherwise>.+)")
_EXAMPLE = "Write for example 'drop <= 3 pp if parameters reduction >= 75%, else drop <= 1 pp'."


@dataclass(frozen=True, kw_only=True)
class ConditionalLimit:
    """A condition on another KPI, and the limits that hold with and without it.

    `outcome` is the condition's verdict once it is judged, and `because` says so.
    """

    text: str
    kpi: str
    when: BoundLimit
    then: BoundLimit
    otherwise: BoundLimit
    outcome: Verdict | None = None
    because: str = ""

    @property
    def measure(self) -> str:
        """What is judged; a conditional limit is never compared with other limits."""
        return "conditional"

    @property
    def needs_teacher(self) -> bool:
        """Whether one of the two limits compares with the teacher."""
        return self.then.needs_teacher or self.otherwise.needs_teacher

    @property
    def regresses(self) -> bool:
        """Whether one of the two limits compares with a baseline."""
        return self.then.regresses or self.otherwise.regresses

    def __str__(self) -> str:
        return f"{self.then.limit} if {self.kpi} {self.when.limit}, else {self.otherwise.limit}"

    def settled(self, outcome: Verdict, because: str) -> ConditionalLimit:
        """Return the conditional limit with its condition judged."""
        return replace(self, outcome=outcome, because=because)

    @property
    def branches(self) -> tuple[BoundLimit, ...]:
        """The limits that still apply: one once the condition is decided, otherwise both."""
        if self.outcome is Verdict.PASS:
            return (self.then,)
        return (self.otherwise,) if self.outcome is Verdict.FAIL else (self.then, self.otherwise)


def read_conditional(
    text: object, bind: Callable[[str], BoundLimit], bind_other: Callable[[str, str], BoundLimit]
) -> ConditionalLimit | None:
    """Read a conditional limit; None for a plain limit.

    Args:
        text: as written.
        bind: reads and binds a limit of the gate's own KPI.
        bind_other: reads and binds a limit of another KPI, given its name.

    Raises:
        UsageMistake: there is a condition, and it cannot be understood.
    """
    check_text(text)
    if not isinstance(text, str) or not re.search(r"\bif\b|\belse\b", text):
        return None
    match = _CONDITIONAL.fullmatch(text.strip())
    if match is None:
        raise UsageMistake(f"cannot read {text!r}: expected LIMIT if KPI LIMIT, else LIMIT. {_EXAMPLE}")
    return ConditionalLimit(
        text=text,
        kpi=match["kpi"],
        when=bind_other(match["kpi"], match["when"]),
        then=bind(match["then"].rstrip(",")),
        otherwise=bind(match["otherwise"]),
    )


def branches_of(limit: BoundLimit | ConditionalLimit) -> tuple[BoundLimit, ...]:
    """Return the limits that may apply: a plain one itself."""
    return (limit,) if isinstance(limit, BoundLimit) else limit.branches
