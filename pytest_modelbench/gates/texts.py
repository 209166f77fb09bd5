"""Keywords of KPIs of generated text."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_modelbench.gates.keyword import Keyword, choice

TEXT: Mapping[str, Keyword] = {
    "normalise": choice("what is done to answers and references before they are compared", ("spaces", "none")),
}
