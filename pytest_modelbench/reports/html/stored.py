"""Whether a report that was read from a file has every field that its page needs, in the right form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.results import Verdict
from pytest_modelbench.store.forms import (
    Form,
    are,
    has,
    is_count,
    is_flag,
    is_number,
    is_reading,
    is_table,
    is_text,
    maybe,
)

_VERDICTS = frozenset(verdict.value for verdict in Verdict)


def _is_verdict(value: Any) -> bool:
    return isinstance(value, str) and value in _VERDICTS


_LIMIT: Form = {
    "text": is_text,
    "verdict": _is_verdict,
    "value": is_number,
    "ci_low": is_number,
    "ci_high": is_number,
    "margin": is_number,
    "unit": is_text,
    "reason": is_text,
    "needed_n": is_number,
    "needed_seconds": is_number,
}
_GATE: Form = {
    "verdict": _is_verdict,
    "limits": are(lambda value: has(value, _LIMIT)),
    "readings": lambda value: has(value, dict.fromkeys(("teacher", "student"), maybe(is_reading))),
}
_GATE_MAYBE: Form = {"worst_samples": are(lambda _: True), "targets": are(is_text)}
_CAUSE: Form = {
    "cause": is_text,
    "text": is_text,
    "remedy": is_text,
    "skipped": is_text,
    "gives_back": is_number,
    "gives_back_low": is_number,
    "gives_back_high": is_number,
}
_DIAGNOSIS: Form = {
    **dict.fromkeys(("causes", "refuted", "skipped"), are(lambda value: has(value, _CAUSE))),
    "student": is_text,
    "reason": is_text,
    "time_ratio": is_number,
}
_REPORT: Form = {
    "complete": is_flag,
    "exit_status": is_count,
    "settings": lambda value: is_table(value) and is_number(value.get("budget_s")),
    "summary": lambda value: is_table(value) and all(map(is_count, value.values())) and None not in value.values(),
    "diagnosis": are(lambda value: is_table(value) and ("student" not in value or has(value, _DIAGNOSIS))),
}
_REPORT_MAYBE: Form = {"command": is_text, "mistakes": are(is_text), "environment": is_table}


def why_not_shown(report: Mapping[str, Any]) -> str | None:
    """Say which field of a report has a form that its page cannot show; None where there is none.

    Args:
        report: as `store.baseline.read_report` returns it.
    """
    for name, fits in {**_REPORT, **_REPORT_MAYBE}.items():
        if name in _REPORT and name not in report:
            return f"it has no field {name!r}"
        if name in report and not fits(report[name]):
            return f"its field {name!r} cannot be read"
    return why_gates_not_shown(report)


def why_gates_not_shown(report: Mapping[str, Any]) -> str | None:
    """Say which field of a gate has a form that no page can show; None where there is none."""
    for place, gate in enumerate(report["gates"]):
        for name, fits in {**_GATE, **_GATE_MAYBE}.items():
            if name in _GATE and name not in gate:
                return f"its field 'gates[{place}]' has no field {name!r}"
            if name in gate and not fits(gate[name]):
                return f"its field 'gates[{place}].{name}' cannot be read"
    return None
