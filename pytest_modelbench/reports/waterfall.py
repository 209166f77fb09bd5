"""The waterfall in words: the steps from the teacher's time to the student's, as a line and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

IN_A_LINE = 4
ROWS = 10
_WIDTH = 44
Steps = Mapping[str, Any]


def waterfall_line(waterfall: Steps) -> str:
    """Return the largest steps in one line.

    >>> step = {"path": "conv", "layer": "Conv2d", "teacher_ms": 3.0, "student_ms": 1.0, "change_ms": -2.0}
    >>> waterfall_line({"teacher_ms": 4.0, "student_ms": 2.0, "changes": [step]})
    "layer by layer, from the teacher's 4.00 ms to its 2.00 ms: conv -2.00"
    """
    shown, rest = _split(waterfall["changes"], IN_A_LINE)
    steps = [f"{step['path']} {step['change_ms']:+{_digits(waterfall)}}" for step in shown]
    if rest:
        steps.append(f"{len(rest)} other steps {_sum(rest):+{_digits(waterfall)}}")
    return (
        f"layer by layer, from the teacher's {_ms(waterfall, 'teacher')} ms to its {_ms(waterfall, 'student')} ms: "
        + (", ".join(steps))
    )


def waterfall_table(waterfall: Steps, rows: int = ROWS) -> list[str]:
    """Return the table of the largest steps: time in teacher and student, and the change with its interval."""
    shown, rest = _split(waterfall["changes"], rows)
    digits = _digits(waterfall)
    clock = waterfall["clock"]
    head = f"{'layer':{_WIDTH}} {'teacher':>10} {'student':>10} {'change':>10}  ms for each call, {clock}"
    lines = [head]
    for step in shown:
        name = f"{step['path']} ({step['layer']})" if step["layer"] else step["path"]
        times = "".join(f" {_or_dash(step[key], digits):>10}" for key in ("teacher_ms", "student_ms"))
        low, high = step["change_ms_low"], step["change_ms_high"]
        interval = "" if low is None or high is None else f"  ({low:+{digits}} to {high:+{digits}})"
        lines.append(f"{name[-_WIDTH:]:{_WIDTH}}{times} {step['change_ms']:>+10{digits}}{interval}")
    if rest:
        lines.append(f"{f'{len(rest)} other steps':{_WIDTH}} {'':>10} {'':>10} {_sum(rest):>+10{digits}}")
    teacher, student = waterfall["teacher_ms"], waterfall["student_ms"]
    lines.append(f"{'a call':{_WIDTH}} {teacher:>10{digits}} {student:>10{digits}} {student - teacher:>+10{digits}}")
    return lines


def _split(changes: Sequence[Steps], most: int) -> tuple[Sequence[Steps], Sequence[Steps]]:
    """Return the steps to show and the others; one alone is shown too."""
    most += len(changes) == most + 1
    return changes[:most], changes[most:]


def _sum(changes: Sequence[Steps]) -> float:
    return float(sum(step["change_ms"] for step in changes))


def _digits(waterfall: Steps) -> str:
    """Return the format of times: three digits of the longer call, and two places at least."""
    longest = max(waterfall["teacher_ms"], waterfall["student_ms"])
    return ".2f" if longest >= 1 else ".3f" if longest >= 0.1 else ".4f"


def _ms(waterfall: Steps, role: str) -> str:
    return f"{waterfall[f'{role}_ms']:{_digits(waterfall)}}"


def _or_dash(value: float | None, digits: str) -> str:
    return "-" if value is None else f"{value:{digits}}"
