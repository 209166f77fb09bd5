"""Write the pages that come from the code, and the JSON Schema of modelbench.toml.

Usage: python docs/generate.py
"""

from __future__ import annotations

import json
from pathlib import Path

from pytest_modelbench.gates.sla_schema import sla_schema
from pytest_modelbench.kpis.catalogue import CATALOGUE, PILLARS
from pytest_modelbench.options import OPTIONS
from pytest_modelbench.reports.json_report import report_schema
from pytest_modelbench.reports.schema_parts import gate_table, with_parts

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- docs/generate.py writes this table -->\n\n", "\n\n<!-- until here -->"


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


def report_page() -> str:
    """Return the page about the JSON report, whose table of a gate's fields is made."""
    before, _, rest = (ROOT / "docs" / "report.md").read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}{gate_table()}{END}{rest.partition(END)[2]}"


def generated() -> dict[Path, str]:
    """Return every generated file with its text."""
    return {
        ROOT / "docs" / "kpis.md": kpi_page(),
        ROOT / "docs" / "options.md": option_page(),
        ROOT / "pytest_modelbench" / "modelbench.schema.json": json.dumps(sla_schema(), indent=1) + "\n",
        ROOT / "docs" / "report.md": report_page(),
        ROOT / "pytest_modelbench" / "reports" / "schema.json": json.dumps(with_parts(report_schema()), indent=2)
        + "\n",
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
