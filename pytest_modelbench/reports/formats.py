"""The reports that a session can write. One more is one file with its `Report`, its option, and a line here."""

from __future__ import annotations

from pytest_modelbench.reports.benchmark_json import BENCHMARKS
from pytest_modelbench.reports.codequality import CODE_QUALITY
from pytest_modelbench.reports.contract_file import CONTRACT
from pytest_modelbench.reports.history_line import HISTORY
from pytest_modelbench.reports.html.html_report import HTML
from pytest_modelbench.reports.json_report import BASELINE, JSON
from pytest_modelbench.reports.markdown import MARKDOWN
from pytest_modelbench.reports.openmetrics import OPENMETRICS
from pytest_modelbench.reports.report import Report

REPORTS: tuple[Report, ...] = (
    CONTRACT,
    JSON,
    BASELINE,
    BENCHMARKS,
    MARKDOWN,
    HTML,
    OPENMETRICS,
    CODE_QUALITY,
    HISTORY,
)
"""In the order in which they are written."""
