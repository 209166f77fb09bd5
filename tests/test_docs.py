"""The documentation: every block that can run is run, generated pages are current, links and texts hold."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
FENCE = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
SHOP = {
    "shop/__init__.py": "",
    "shop/models.py": """
import torch
from torch import nn

def net(width, noise=0.0):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(3, 8, generator=generator)
    model = nn.Sequential(nn.Linear(8, width, bias=False), nn.ReLU(), nn.Linear(width, 3))
    copies, signs = width // 16, torch.cat([torch.eye(8), -torch.eye(8)])
    with torch.no_grad():
        model[0].weight.copy_(signs.repeat(copies, 1))
        wide = (truth @ signs.T).repeat(1, copies) / copies
        model[2].weight.copy_(wide + noise * torch.randn(3, width, generator=generator))
        model[2].bias.zero_()
    return model

def load_teacher(): return net(131072)
def load_student(): return net(32, noise=0.002)
def load_small(): return net(16, noise=0.005)
load_int8 = load_student
""",
    "shop/data.py": """
import torch
from shop.models import load_teacher

def test_set():
    torch.manual_seed(1)
    inputs = torch.randn(200, 8)
    return inputs, load_teacher()(inputs).argmax(1)
""",
}


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(m["language"], m["title"], m["text"]) for m in FENCE.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(pytester: pytest.Pytester, page: Path) -> None:
    """In the order of the page, in one empty folder with the package `shop`: files are written, commands exit with 0."""
    for name, content in SHOP.items():
        write(pytester.path / name, content)
    for block in blocks(page):
        if block.title is not None:
            write(pytester.path / block.title, block.text)
        elif block.language == "python":
            assert pytester.run(sys.executable, "-c", block.text).ret == 0, block.text
        elif block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    result = run(pytester, shlex.split(line[2:]))
                    assert result.ret == 0, f"{line}\n{result.stdout}\n{result.stderr}"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(pytester: pytest.Pytester, words: list[str]) -> pytest.RunResult:
    """Run a command; pytest in this process, which has loaded torch already."""
    if words[0] == "pytest":
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *words[1:])
    assert words[0] == "python"
    return pytester.run(sys.executable, *words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_is_no_code(page: Path) -> None:
    """Only installation and shown output are not run; YAML is at least YAML."""
    for block in blocks(page):
        assert block.language in {"python", "toml", "ini", "console", "yaml", "shell", "text"}, block
        if block.language in {"toml", "ini"}:
            assert block.title, "a TOML or ini block is a file"
        if block.language == "yaml":
            assert yaml.safe_load(block.text)
        if block.language == "shell":
            assert block.text.startswith(("pip install", "make "))


def test_generated_files_are_current() -> None:
    """Run `python docs/generate.py` after changing an option, a KPI or a table of modelbench.toml."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, text in module.generated().items():
        assert path.read_text(encoding="utf-8") == text, path


def test_pages_are_in_the_navigation() -> None:
    """Nobody finds a page that is not."""
    listed = (ROOT / "mkdocs.yml").read_text()
    assert not [page.name for page in PAGES if page.parent.name == "docs" and f"{page.name}\n" not in listed]
