"""A comparison of reports in GitHub's Markdown: what broke and what is worse first, then every gate in a part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_modelbench.reports.causes import some
from pytest_modelbench.reports.compare import SAME, UNKNOWN, Change
from pytest_modelbench.reports.comparison import (
    Comparison,
    Row,
    causes,
    cell_text,
    counts,
    reasons,
    turned,
    word_of,
    worse_by,
)
from pytest_modelbench.reports.limit_texts import rerun_command
from pytest_modelbench.reports.markdown import MOST_CHARACTERS, code, plain
from pytest_modelbench.store.recognising import COMPARISON_HEAD

MOST_BROKEN, MOST_CHANGED, MOST_CAUSES = 10, 50, 10
_ROOM = 300
"""Characters that are kept for the last line and for the end of a part."""


def comparison_markdown(comparison: Comparison, most: int = MOST_CHARACTERS) -> str:
    """Return a comparison as Markdown.

    Args:
        comparison: of two reports or more.
        most: characters; rows that do not fit are left out, and a line counts them.
    """
    head = [COMPARISON_HEAD, f"### pytest-modelbench comparison: {comparison.headline}", ""]
    for name, of_report in comparison.later():
        head.append(f"- {plain(name)} against {plain(comparison.names[0])}: {counts(of_report)}")
    head += _broken(comparison)
    for _, of_report in comparison.later():
        mended = turned(of_report, broke=False)
        head += [f"- {plain(mended)}"] if mended else []
    changed = [row for row in comparison.rows if any(map(_is_changed, row.changes))]
    text = "\n".join(head) + "\n"
    if changed:
        text += "\n" + "\n".join(_table(comparison, changed[:MOST_CHANGED])) + "\n"
    text = text if len(text) <= most - _ROOM else text[: most - _ROOM].rpartition("\n")[0] + "\n"
    text += _fitting("Why some were not compared, or how", list(_causes(comparison)), most - len(text))
    return text + _fitting("All gates", list(_table(comparison, comparison.rows)), most - len(text))


def _is_changed(change: Change | None) -> bool:
    return change is not None and (change.broke or change.mended or change.result not in {SAME, UNKNOWN})


def _broken(comparison: Comparison) -> Iterator[str]:
    """Yield what passed in the first report and does not pass in a later one, with the command that reruns it."""
    several, left = len(comparison.names) > 2, 0
    for (name, of_report), report in zip(comparison.later(), comparison.reports[1:], strict=True):
        broken = [change for change in of_report if change.broke]
        for change in broken[:MOST_BROKEN]:
            where = f"in {plain(name)}, " if several else ""
            gate = f"**{word_of(change.verdicts[1])}** {plain(change.kpi)} of {plain(change.student)}"
            yield f"- {gate}: {where}passed before; {plain('; '.join(reasons(change)))}"
            yield f"  {code(rerun_command(report, change.gate))}"
        left += max(len(broken) - MOST_BROKEN, 0)
    if left:
        yield f"- and {left:,} more that passed before"


def _table(comparison: Comparison, rows: Sequence[Row]) -> Iterator[str]:
    if len(comparison.names) == 2:
        yield "| KPI | student | before | now | worse by | result | verdict |"
        yield "|---|---|--:|--:|--:|---|---|"
        for row in rows:
            change = row.any
            before, now = map(word_of, change.verdicts)
            cells = (change.kpi, change.student, change.before, change.now, worse_by(change), change.result)
            yield _line([*cells, now if before == now else f"{before} → {now}"])
        return
    yield _line(["KPI", "student", *comparison.names])
    yield "|---|---|" + "--:|" * len(comparison.names)
    for row in rows:
        shown = [_with_verdict(change) for change in row.changes]
        yield _line([row.any.kpi, row.any.student, row.before, *shown])


def _with_verdict(change: Change | None) -> str:
    turned_to = f", {word_of(change.verdicts[1])}" if change is not None and (change.broke or change.mended) else ""
    return f"{cell_text(change)}{turned_to}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(plain, cells))} |"


def _causes(comparison: Comparison) -> Iterator[str]:
    for _, of_report in comparison.later():
        gates = causes(of_report)
        for cause, names in list(gates.items())[:MOST_CAUSES]:
            yield f"- {plain(some(names))}: {plain(cause)}"
        if len(gates) > MOST_CAUSES:
            yield f"- and {len(gates) - MOST_CAUSES:,} more reasons"


def _fitting(title: str, lines: Sequence[str], room: int) -> str:
    """Return a part that unfolds with as many lines as there is room for; "" if there is none."""
    left, shown = room - _ROOM - len(title), []
    for text in lines:
        left -= len(text) + 1
        if left < 0:
            break
        shown.append(text)
    if len(shown) < min(3, len(lines)) or not lines:
        return ""
    more = len(lines) - len(shown)
    rest = f"\n\nLeft out: {more:,} lines." if more else ""
    body = "\n".join(shown)
    return f"\n<details><summary>{title}</summary>\n\n{body}{rest}\n\n</details>\n"
