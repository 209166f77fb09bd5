"""Names that a tracker accepts, no two of them equal."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NameRule:
    """What a tracker's names may be.

    Attributes:
        refused: a character that a name may not have.
        most: the number of characters of the longest name.
        joint: what joins the parts of a name.
        start: what every name starts with; a letter is put before one that starts with something else.
    """

    refused: re.Pattern[str]
    most: int
    joint: str = "."
    start: re.Pattern[str] | None = None

    def name(self, parts: Iterable[str]) -> str:
        """Return a name of some parts in which refused characters are `_`; several names may become equal."""
        text = self.refused.sub("_", self.joint.join(parts).strip()) or "_"
        return text if self.start is None or self.start.match(text) else f"k_{text}"

    def names(self, keys: Iterable[tuple[str, ...]]) -> Mapping[tuple[str, ...], str]:
        """Return a name for each key, no two of them equal.

        A key whose name another key would have too gets a hash, unless it is that name itself. The hash depends on
        the key alone, so that a name is the same in every run that has these keys.
        """
        wanted = {key: self.name(key) for key in keys}
        taken: dict[str, int] = {}
        for name in wanted.values():
            taken[name[: self.most]] = taken.get(name[: self.most], 0) + 1
        return {key: self._unique(key, name, taken) for key, name in wanted.items()}

    def _unique(self, key: tuple[str, ...], name: str, taken: Mapping[str, int]) -> str:
        if len(name) <= self.most and (key == (name,) or taken[name] == 1):
            return name
        mark = "_" + hashlib.sha256("\0".join(key).encode("utf-8", "backslashreplace")).hexdigest()[:8]
        return name[: self.most - len(mark)] + mark
