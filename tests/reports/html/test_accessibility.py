"""The pages for everyone: axe-core without violations, the keyboard, headings, contrast, and what a printer shows."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from full_report import full_report, loaded_report
from full_report import gate as report_gate
from histories import counted, gate, line, write_history

from pytest_modelbench.commands.cli import main
from pytest_modelbench.reports.comparison import compare_reports
from pytest_modelbench.reports.html.comparison_page import comparison_page
from pytest_modelbench.reports.html.page import html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
AXE = importlib.util.find_spec("axe_playwright_python")
"""The package that brings axe-core; only its file is used."""
in_a_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium and no chrome is on the PATH")
DARK = "--blink-settings=preferredColorScheme=0"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


def report_page(folder: Path) -> str:
    """Return the page of a report with every part, of a run that was interrupted."""
    report = loaded_report()
    shares = {"fog:1": 97.0, "fog:5": 20.0, "snow:1": 92.0, "snow:5": 80.0}
    cells = [{"name": name, "n": 200, "value": value, "teacher": 95.0} for name, value in shares.items()]
    report["gates"].append(report_gate("corruption_accuracy", unit="%", breakdown=cells))
    return html({**report, "complete": False, "mistakes": ["a mistake"]})


def compared_page(folder: Path) -> str:
    """Return the page of a comparison of three reports: one broke a gate, one has other packages."""
    old, new, other = full_report("small"), full_report("small"), full_report("small")
    for report in (old, other):
        report["gates"][0]["verdict"] = "pass"
    new["gates"][4]["better"] = "lower"
    new["gates"][4]["readings"]["student"]["value"] *= 2
    other["gates"] = other["gates"][3:]
    paths = [folder / f"{name}.json" for name in ("old", "new", "other")]
    for path, report in zip(paths, (old, new, other), strict=True):
        path.write_text(json.dumps(report), encoding="utf-8")
    return comparison_page(compare_reports(paths, 0.05))


def history_page(folder: Path) -> str:
    """Return the page of a history whose ratio rose."""
    ratios = [0.4 + 0.002 * (run % 3) + 0.05 * (run >= 30) for run in range(40)]
    write_history(folder / "h.jsonl", [line(run, gate(ratio), counted(5.0)) for run, ratio in enumerate(ratios)])
    assert main(["history", "plot", str(folder / "h.jsonl"), "--output", str(folder / "h.html")]) == 0
    return (folder / "h.html").read_text(encoding="utf-8")


PAGES: list[Callable[[Path], str]] = [report_page, compared_page, history_page]


def ran(folder: Path, page: str, script: str, *arguments: str) -> Any:
    """Return what a script sets as the title of a page, without the page's policy, which would forbid the script."""
    assert BROWSER is not None
    place = folder / "page.html"
    place.write_text(POLICY.sub("", page).replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=30000", *arguments, "--dump-dom", place.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout.decode(), re.DOTALL)
    assert title is not None, done.stderr.decode()[-2000:]
    return json.loads(unescape(title[1]))


def violations(folder: Path, page: str, *arguments: str) -> list[str]:
    """Return what axe-core finds, with the first place of each."""
    assert AXE is not None
    assert AXE.origin is not None
    axe = (Path(AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    report = (
        "addEventListener('load', () => axe.run(document).then(found => { document.title = JSON.stringify({"
        "passes: found.passes.length,"
        "violations: found.violations.map(one => `${one.id}: ${one.nodes[0].html} ${one.nodes[0].failureSummary}`)"
        "}) }))"
    )
    seen = ran(folder, page, f"{axe}\n{report}", *arguments)
    assert seen["passes"] > 20
    return list(seen["violations"])


@pytest.mark.slow
@in_a_browser
@pytest.mark.skipif(AXE is None, reason="axe-playwright-python, which brings axe-core, is not installed")
@pytest.mark.parametrize("arguments", [("--window-size=1400,1000",), ("--window-size=500,900", DARK)])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing(tmp_path: Path, page: Callable[[Path], str], arguments: tuple[str, ...]) -> None:
    """No rule of axe-core is violated, its best practices included: wide and light, narrow and dark."""
    assert violations(tmp_path, page(tmp_path), *arguments) == []


@pytest.mark.slow
@in_a_browser
@pytest.mark.skipif(AXE is None, reason="axe-playwright-python, which brings axe-core, is not installed")
def test_axe_finds_what_is_wrong(tmp_path: Path) -> None:
    """The check can fail: a picture without a text, and a text that is too pale."""
    page = report_page(tmp_path).replace("</main>", '<img src="a.png"><p style="color: #ccc">pale</p></main>')
    assert {violation.split(":")[0] for violation in violations(tmp_path, page)} == {"image-alt", "color-contrast"}


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("page", PAGES)
def test_the_keyboard(tmp_path: Path, page: Callable[[Path], str]) -> None:
    """The skip link is first and is seen when it has the focus; links, details and tables show where the focus is."""
    script = """
    const reached = [...document.querySelectorAll("a, summary, [tabindex='0']")], unseen = [];
    document.querySelectorAll("details").forEach(details => details.open = true);
    for (const element of reached) {
      element.focus();
      const style = getComputedStyle(element);
      if (document.activeElement !== element || style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2)
        unseen.push(element.outerHTML.slice(0, 100));
    }
    reached[0].focus();
    document.title = JSON.stringify({
      window: document.hasFocus(), unseen, count: reached.length, first: reached[0].getAttribute("href"),
      skip: reached[0].getBoundingClientRect().top >= 0, target: !!document.querySelector(reached[0].hash),
      scrolls: [...document.querySelectorAll(".scroll")].every(table => table.tabIndex === 0),
    });
    """
    shown = page(tmp_path)
    for _ in range(5):  # on a busy machine the window itself may have no focus yet
        seen = ran(tmp_path, shown, f"onload = () => {{ {script} }}")
        if seen["window"] and not seen["unseen"]:
            break
    assert seen["window"]
    assert seen["unseen"] == []
    assert (seen["first"], seen["skip"], seen["target"], seen["scrolls"]) == ("#content", True, True, True)
    assert seen["count"] > 5


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("page", PAGES)
def test_on_paper(tmp_path: Path, page: Callable[[Path], str]) -> None:
    """In the print style tables are open, and neither they nor any text are wider than a sheet."""
    printed = page(tmp_path).replace("@media print", "@media screen").replace("prefers-color-scheme: dark", "print")
    script = """
    const width = document.documentElement.clientWidth;
    const cut = [...document.querySelectorAll("table, svg, p, pre, h1, h2")].filter(element =>
      !element.closest(".unseen") && element.getBoundingClientRect().right > width + 1);
    const tables = [...document.querySelectorAll("details table")];
    document.title = JSON.stringify({
      cut: cut.map(element => element.outerHTML.slice(0, 100)), tables: tables.length,
      shown: tables.filter(table => table.checkVisibility({contentVisibilityAuto: true})
        && table.getBoundingClientRect().height > 10).length,
      scrolling: [...document.querySelectorAll(".scroll")].filter(part => part.scrollHeight > part.clientHeight + 1
        && getComputedStyle(part).overflowY !== "visible").length,
    });
    """
    seen = ran(tmp_path, printed, f"onload = () => {{ {script} }}", "--window-size=720,1000")
    assert seen["cut"] == []
    assert seen["shown"] == seen["tables"] > 0
    assert seen["scrolling"] == 0


@pytest.mark.parametrize("page", PAGES)
def test_headings_are_in_order(tmp_path: Path, page: Callable[[Path], str]) -> None:
    """One of the first level, and none that skips a level; each section is named by its heading."""
    text = page(tmp_path)
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    named = re.findall(r'<section aria-labelledby="([^"]+)"', text)
    assert named
    assert all(re.search(rf'<h2 id="{name}"', text) for name in named)


def test_contrast() -> None:
    """Texts have 4.5 to 1 against what is behind them, marks and lines that matter 3 to 1: light, dark, printed."""
    style = re.findall(r"<style>(.*?)</style>", html(full_report()), re.DOTALL)[0]
    themes = [dict(re.findall(r"--(\w+): (#\w+)", part)) for part in re.findall(r":root \{(.*?)\}", style, re.DOTALL)]
    assert len(themes) == 3
    for theme in themes:
        for ground in ("paper", "panel"):
            assert all(contrast(theme[ink], theme[ground]) >= 4.5 for ink in ("ink", "soft")), theme
        for mark in ("good", "bad", "open", "limit", "teacher", "s0", "s1", "s2", "s3", "s4", "s5"):
            assert contrast(theme[mark], theme["paper"]) >= 3, (mark, theme[mark])


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2, contrast ratio)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as `#09f` or `#0099ff` (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
