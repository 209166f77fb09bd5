"""Wrong inputs, each with the whole message that a user sees: `mistakes.toml` has them all.

A mistake in what is written (markers, files, options, ini values) ends the run with exit code 4; a model, data or
file that turns out to be wrong fails its item. Neither shows a traceback of ours.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from suites import FAKES, Judge

CORPUS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text(encoding="utf-8"))[
    "mistake"
]
GATE = "import pytest\n\n@pytest.mark.kpi({})\ndef test_gate(): ...\n"
FIXTURE = '\n@pytest.fixture(scope="session")\ndef {}(): return {}\n'
WRITTEN = ("marker", "toml", "option", "ini", "test")


def test_corpus_is_large_and_has_every_kind() -> None:
    """At least 80 inputs, none twice, of every way in."""
    inputs = [str({key: value for key, value in one.items() if key != "message"}) for one in CORPUS]
    assert len(CORPUS) >= 80
    assert len(set(inputs)) == len(inputs)
    assert {kind for one in CORPUS for kind in one} >= {*WRITTEN, "student", "teacher", "data", "file"}


@pytest.mark.parametrize("one", CORPUS, ids=lambda one: next(f"{kind}-{text}"[:60] for kind, text in one.items()))
def test_mistake(judge: Judge, pytester: pytest.Pytester, one: dict[str, Any]) -> None:
    """The message stands there whole, once; the exit code is 4, or 1 for what only running can find."""
    for name, content in one.get("file", {}).items():
        (pytester.path / name).write_bytes(content.encode("latin-1"))
    if "toml" in one:
        (pytester.path / "modelbench.toml").write_text(one["toml"])
    if "ini" in one:
        pytester.makeini(f"[pytest]\n{one['ini']}\n")
    more = "".join(
        FIXTURE.format({"data": "eval_data"}.get(role, f"{role}_model"), one[role])
        for role in ("student", "teacher", "data")
        if role in one
    )
    tests = one.get("test") or GATE.format(one.get("marker", "'top1_accuracy', 'drop <= 50 pp'"))
    finished = judge(tests, *one.get("option", []), fakes=FAKES, more=more)
    expected = one["message"].replace("{folder}", str(pytester.path))
    if any(kind in one for kind in WRITTEN):
        assert finished.result.ret == pytest.ExitCode.USAGE_ERROR, finished.text
        told = str(finished.result.stderr).replace("ERROR: ", "").strip()
        assert told == expected
    else:
        assert finished.result.ret == pytest.ExitCode.TESTS_FAILED, finished.text
        assert [gate["reason"] for gate in finished.report["gates"]] == [expected]
    assert "Traceback" not in finished.text
    assert "INTERNALERROR" not in finished.text
