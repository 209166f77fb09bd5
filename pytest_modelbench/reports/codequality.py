"""Gates that did not pass in GitLab's code quality format, which shows them at their tests in a merge request.

The format: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.causes import WORDS
from pytest_modelbench.reports.limit_texts import failures_first
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.results import Verdict
from pytest_modelbench.store.recognising import CHECK_NAME, is_code_quality
from pytest_modelbench.store.replacing import replacing

_SEVERITIES = {
    Verdict.ERROR: "critical",
    Verdict.FAIL: "major",
    Verdict.INCONCLUSIVE: "minor",
    Verdict.NO_BASELINE: "minor",
}


def code_quality(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an issue for each gate that failed, is an error or is open, the worst first.

    GitLab compares the fingerprints of two branches, so that they depend on what is asked, and not on what was found.

    Args:
        report: the JSON report.
    """
    return list(_issues(report))


def _issues(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    tests = {test["nodeid"]: test for test in report["tests"]}
    seen: Counter[str] = Counter()
    for gate in failures_first(report["gates"]):
        verdict = Verdict(gate["verdict"])
        if verdict not in _SEVERITIES:
            continue
        test = tests.get(gate["nodeid"], {})
        asked = json.dumps([gate[name] for name in ("nodeid", "suite", "student", "kpi", "options")], sort_keys=True)
        seen[asked] += 1
        what = f"{WORDS[verdict][0]}: {gate['kpi']} of {gate['student']}: {gate['reason']}"
        yield {
            "check_name": f"{CHECK_NAME}{gate['kpi']}",
            "description": visible(" ".join(what.split())),
            "fingerprint": hashlib.sha256(f"{asked} {seen[asked]}".encode()).hexdigest(),
            "severity": _SEVERITIES[verdict],
            "location": {
                "path": test.get("file") or gate["nodeid"].partition("::")[0],
                "lines": {"begin": test.get("line") or 1},
            },
        }


def _write(ending: Ending, path: Path) -> None:
    with (
        replacing(path, CODE_QUALITY.name, is_code_quality) as temporary,
        temporary.open("w", encoding="ascii") as file,
    ):
        json.dump(code_quality(ending.told), file, indent=1)
        file.flush()
        os.fsync(file.fileno())


CODE_QUALITY = Report(
    name="code quality report",
    flag="--modelbench-codequality",
    asked=lambda settings: settings.codequality,
    ours=is_code_quality,
    write=_write,
)
