"""Write the pages that come from the code, and the JSON Schema of modelbench.toml.

Usage: python docs/generate.py
"""

from __future__ import annotations

import json
from pathlib import Path

from pytest_modelbench.gates.harder_inputs import UNDER
from pytest_modelbench.gates.keywords import KEYWORDS, PAGES
from pytest_modelbench.gates.sla_schema import sla_schema
from pytest_modelbench.kpis.catalogue import CATALOGUE, PILLARS
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.reports.json_report import report_schema
from pytest_modelbench.reports.schema_parts import gate_table, with_parts

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- keywords: made by docs/generate.py -->", "<!-- end of keywords -->"
MOST_TAKERS = 4
TABLE_BEGIN, TABLE_END = "<!-- docs/generate.py writes this table -->\n\n", "\n\n<!-- until here -->"


def kpi_page() -> str:
    """Return the reference of KPIs."""
    lines = ["# KPIs", "", "`pytest --modelbench-kpis` prints this catalogue.", "", *kpi_table(), ""]
    for pillar in PILLARS:
        lines += [f"## {pillar.capitalize()}", ""]
        for kpi in CATALOGUE.values():
            if kpi.pillar != pillar:
                continue
            options = ", ".join(f"`{name}=`" for name in kpi.options) or "none"
            lines += [
                f"### {kpi.name}",
                "",
                f"{kpi.definition[0].upper()}{kpi.definition[1:]}.",
                "",
                f"- unit: {f'`{kpi.unit}`' if kpi.unit else 'none'}; {kpi.better} is better",
                f"- method: {kpi.method}",
                f"- source: {kpi.source}",
                f"- options: {options}",
                "",
            ]
    return "\n".join(lines)


def kpi_table() -> list[str]:
    """Return the lines of the table of all KPIs, each with a link to its section."""
    lines = ["| KPI | unit | better | family |", "|---|---|---|---|"]
    for kpi in CATALOGUE.values():
        family = kpi.derive.removeprefix("pytest_modelbench.kpis.").partition(".")[0]
        unit = f"`{kpi.unit}`" if kpi.unit else ""
        lines.append(f"| [`{kpi.name}`](#{kpi.name}) | {unit} | {kpi.better} | {family} |")
    return lines


def option_page() -> str:
    """Return the reference of options."""
    lines = [
        "# Options",
        "",
        "The command line overrides `modelbench.toml`, which overrides the ini file, which overrides the default.",
        "The table `[run]` of a `modelbench.toml` takes the named options for the items of that file.",
        "",
        "| command line | ini file | `[run]` | |",
        "|---|---|---|---|",
    ]
    for option in OPTIONS:
        metavar = f" {option.metavar}" if option.metavar else ""
        flag = f"`{option.flag}{metavar}`".replace("|", "\\|") if option.where != "ini" else ""
        ini = f"`{option.name}`" if option.where != "command line" else ""
        run = f"`{option.name.removeprefix('modelbench_')}`" if option.run else ""
        lines.append(f"| {flag} | {ini} | {run} | {option.help} |")
    return "\n".join([*lines, ""])


def keyword_table() -> str:
    """Return the table of the kpi marker's keywords, for the page about gates."""
    lines = ["| keyword | what it does | default | KPIs |", "|---|---|---|---|"]
    for name, keyword in KEYWORDS.items():
        told = keyword.told.replace("|", "\\|")
        written = f"[`{name}=`]({PAGES[name]})" if name in PAGES else f"`{name}=`"
        lines.append(f"| {written} | {told} | {_default(name)} | {_takers(name)} |")
    return "\n".join(lines)


def _default(name: str) -> str:
    """Return the default of a keyword: that of most KPIs, then those of others."""
    kpis: dict[str, list[str]] = {}
    for kpi in CATALOGUE.values():
        if name in kpi.options:
            value = kpi.options[name]
            kpis.setdefault(KEYWORDS[name].unset if value is None else f"`{value}`", []).append(kpi.name)
    most, *others = sorted(kpis, key=lambda value: -len(kpis[value])) or [KEYWORDS[name].unset or "`False`"]
    return "; ".join([most, *(f"{', '.join(f'`{kpi}`' for kpi in kpis[value])}: {value}" for value in others)])


def _takers(name: str) -> str:
    """Return the KPIs that take a keyword; of many, how many of the catalogue do."""
    takers = [kpi.name for kpi in CATALOGUE.values() if name in kpi.options]
    if name == "allow_reversed":
        return "all"
    if name in UNDER:
        return "every quality KPI of one forward pass"
    if not takers:
        return "custom KPIs"
    names = ", ".join(f"`{kpi}`" for kpi in takers[:MOST_TAKERS])
    return names + (f" and {len(takers) - MOST_TAKERS} [others](kpis.md)" if len(takers) > MOST_TAKERS else "")


def gates_page() -> str:
    """Return the page about gates with its table of keywords as the code has it."""
    page = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{keyword_table()}\n\n{END}{after}"


def report_page() -> str:
    """Return the page about the JSON report, whose table of a gate's fields is made."""
    before, _, rest = (ROOT / "docs" / "report.md").read_text(encoding="utf-8").partition(TABLE_BEGIN)
    return f"{before}{TABLE_BEGIN}{gate_table()}{TABLE_END}{rest.partition(TABLE_END)[2]}"


def generated() -> dict[Path, str]:
    """Return every generated file with its text."""
    return {
        ROOT / "docs" / "kpis.md": kpi_page(),
        ROOT / "docs" / "options.md": option_page(),
        ROOT / "docs" / "gates.md": gates_page(),
        ROOT / "pytest_modelbench" / "modelbench.schema.json": json.dumps(sla_schema(), indent=1) + "\n",
        ROOT / "docs" / "report.md": report_page(),
        ROOT / "pytest_modelbench" / "reports" / "schema.json": json.dumps(with_parts(report_schema()), indent=2)
        + "\n",
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
