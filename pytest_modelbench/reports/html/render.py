"""Makes pages of templates: one style sheet and one policy for all of them, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from pytest_modelbench.errors import visible

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = "pytest_modelbench.reports.html"


def render(template: str, head: str, **values: Any) -> str:
    """Return a page.

    Args:
        template: the name of a file in `templates/` that extends `base.html`.
        head: the first lines, by which the file is recognised.
        values: what the template shows.
    """
    environment, style = _templates()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(head=head, style=style, style_hash=digest, **values)


@cache
def _templates() -> tuple[Environment, str]:
    """Return the templates and the style sheet."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files(_PACKAGE).joinpath("templates", "report.css").read_text(encoding="utf-8")
    return environment, f"\n{style}"


def _shown(value: Any) -> Any:
    """Return a value as the page shows it: texts without hidden characters, lengths with one digit.

    What a template has already made is of another class, and stays as it is.
    """
    if type(value) is str:
        return visible(value)
    return f"{value:.1f}".removesuffix(".0") if type(value) is float else value
