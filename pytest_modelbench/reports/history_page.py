"""A history as one page of HTML with a small chart for each trend: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.history import note_lines, sentence, value_text
from pytest_modelbench.reports.trends import Finding, Trend
from pytest_modelbench.store.history import History

GENERATOR = "pytest-modelbench history"
WIDTH, HEIGHT, EDGE = 480.0, 80.0, 6.0
LABEL = 60.0
"""Units of length for the scale at the right."""
_STYLE = (
    "body{font:14px sans-serif;max-width:60em;margin:2em auto;color-scheme:light dark}svg{width:100%;height:auto}"
    "polyline{fill:none;stroke:#0072b2;stroke-width:1.2}circle{fill:#0072b2}.worse{stroke:#d55e00;fill:#d55e00}"
    ".better{stroke:#009e73;fill:#009e73}line{stroke-dasharray:4 3}text{font-size:9px;fill:currentColor}"
    "polygon{fill:#0072b2;opacity:.18;stroke:none}"
)
Element = ET.Element


def page(history: History, of: Sequence[Trend], found: Sequence[Finding]) -> str:
    """Return the page: for each trend a chart with its interval, its changes in words, and a table of all runs."""
    root = Element("html", lang="en")
    head, body = ET.SubElement(root, "head"), ET.SubElement(root, "body")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="generator", content=GENERATOR)
    _add(head, "title", f"History {history.path}")
    _add(head, "style", _STYLE)
    _add(body, "h1", f"History {history.path}, {len(history.runs)} runs")
    for note in note_lines(history):
        _add(body, "p", note)
    for trend in of:
        own = [finding for finding in found if finding.trend is trend]
        _add(body, "h2", trend.name)
        body.append(chart(trend, own))
        changes = ET.SubElement(body, "ul")
        for finding in own:
            _add(changes, "li", sentence(finding))
        if not own:
            body.remove(changes)
        body.append(_table(trend))
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def chart(trend: Trend, found: Sequence[Finding]) -> Element:
    """Return a trend as SVG: a mark with a tooltip for each run, the intervals, a line for each change."""
    svg = Element("svg", viewBox=f"0 0 {WIDTH + LABEL:g} {HEIGHT:g}", role="img")
    _add(svg, "title", trend.name)
    values = [point.compared for point in trend.points]
    ends = [end for point in trend.points for end in (point.low, point.high) if end is not None]
    low, high = min(values + ends), max(values + ends)
    step = (WIDTH - 2 * EDGE) / max(len(values) - 1, 1)

    def at(position: int, value: float) -> tuple[float, float]:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(EDGE + position * step, 1), round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)

    lows = [at(i, point.compared if point.low is None else point.low) for i, point in enumerate(trend.points)]
    highs = [at(i, point.compared if point.high is None else point.high) for i, point in enumerate(trend.points)]
    ET.SubElement(svg, "polygon", points=_path([*lows, *reversed(highs)]))
    ET.SubElement(svg, "polyline", points=_path([at(i, value) for i, value in enumerate(values)]))
    numbers = {point.run.number: i for i, point in enumerate(trend.points)}
    for finding in found:
        x = str(round(EDGE + (numbers[finding.after.number] - 0.5) * step, 1))
        kind = "worse" if finding.is_worse else "better"
        mark = ET.SubElement(svg, "line", {"x1": x, "x2": x, "y1": "0", "y2": f"{HEIGHT:g}", "class": kind})
        _add(mark, "title", sentence(finding))
    for i, point in enumerate(trend.points):
        place = at(i, point.compared)
        dot = ET.SubElement(svg, "circle", cx=f"{place[0]}", cy=f"{place[1]}", r="1.8")
        _add(dot, "title", f"{point.run.name}, {point.run.content['time'][:16]}: {value_text(trend, point.compared)}")
    for value in dict.fromkeys((high, low)):
        label = ET.SubElement(svg, "text", x=f"{WIDTH - EDGE + 4:g}", y=f"{at(0, value)[1] + 3:g}")
        label.text = value_text(trend, value)
    return svg


def _table(trend: Trend) -> Element:
    details = Element("details")
    _add(details, "summary", f"{len(trend.points)} runs")
    table = ET.SubElement(details, "table")
    for cells in (("run", "time", "branch", "value", "verdict"), *map(tuple, _rows(trend))):
        row = ET.SubElement(table, "tr")
        for cell in cells:
            _add(row, "td", cell)
    return details


def _rows(trend: Trend) -> list[list[str]]:
    return [
        [
            point.run.name,
            point.run.content["time"][:16],
            point.run.content["branch"] or "",
            value_text(trend, point.compared),
            point.gate["verdict"],
        ]
        for point in trend.points
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _add(parent: Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = visible(text)
