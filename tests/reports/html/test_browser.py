"""The page in a browser: the policy lets its style through and nothing else, and it fits a narrow screen."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from full_report import loaded_report

from pytest_modelbench.reports.html.page import html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium and no chrome is on the PATH"),
]
LONG = "a_name_without_any_space_" * 8
LOOK = """
<script>
onload = () => {
  const inner = document.querySelector("iframe").contentDocument, root = inner.documentElement;
  const wide = [...inner.querySelectorAll("body *")].filter(element =>
    !element.closest(".scroll, svg, .unseen") && element.getBoundingClientRect().right > root.clientWidth + 1);
  document.title = JSON.stringify({
    width: root.scrollWidth, client: root.clientWidth, wide: wide.map(element => element.outerHTML.slice(0, 200)),
    curve: getComputedStyle(inner.querySelector("path.curve.s0")).stroke,
    drawn: [...inner.querySelectorAll("figure > svg")].filter(svg => svg.getBoundingClientRect().height > 40).length,
    figures: inner.querySelectorAll("figure").length,
    alive: inner.ran === true,
  });
};
</script>
"""


def look(folder: Path, page: str, width: int) -> tuple[dict[str, Any], str]:
    """Return what a browser makes of a page in a frame of a width, and what it complains about."""
    assert BROWSER is not None
    wrapper = folder / "wrapper.html"
    wrapper.write_text(
        f'{LOOK}<iframe width="{width}" height="900" srcdoc="{escape(page)}"></iframe>', encoding="utf-8"
    )
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", wrapper.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout.decode(), re.DOTALL)
    assert title is not None, done.stderr.decode()[-2000:]
    return json.loads(unescape(title[1])), done.stderr.decode()


@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits(tmp_path: Path, width: int) -> None:
    """Nothing is wider than the screen but tables, which scroll by themselves; every plot is drawn in its colours."""
    report = loaded_report("small", LONG)
    report["gates"][0]["reason"] = report["mistakes"] = [LONG]
    report["gates"][0]["reason"] = LONG
    seen, complaints = look(tmp_path, html(report), width)
    assert seen["wide"] == []
    assert seen["width"] == seen["client"] <= width
    assert seen["drawn"] == seen["figures"] >= 10
    assert seen["curve"] == "rgb(0, 114, 178)"
    assert "Content Security Policy" not in complaints


def test_nothing_that_is_slipped_in_runs(tmp_path: Path) -> None:
    """Even if a script were in the page, its own policy keeps it from running; so the policy is in force."""
    page = html(loaded_report("small")).replace("</body>", "<script>document.ran = true</script></body>")
    seen, complaints = look(tmp_path, page, 800)
    assert not seen["alive"]
    assert "Content Security Policy" in complaints
