"""What a user names a model or data by. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.grammar.option_values import unprintable


@dataclass(frozen=True, kw_only=True)
class NamedSpec:
    """Where to find a model or data: `[NAME=]SPEC`, on the command line or in modelbench.toml.

    Attributes:
        spec: `module:factory`, `file.py:factory`, either with `@weights`, or a saved model.
        name: the student's label.
        folder: where relative paths start and modules are looked for first; None is pytest's own folder.
        where: what the user wrote it as, for messages.
        reading: keyword arguments of `EvalData` for data that do not bring them.
        deploy: the formats that a student is judged in besides, such as "onnx".
        target: the format of a student that is judged as it is deployed; "" for the model itself.
    """

    spec: str
    name: str | None = None
    folder: str | None = None
    where: str = ""
    reading: tuple[tuple[str, Any], ...] = ()
    deploy: tuple[str, ...] = ()
    target: str = ""

    @property
    def sharded(self) -> bool:
        """Whether it is data in many files, which `reading` lists as `shards`."""
        return any(name == "shards" for name, _ in self.reading)


def spec_key(named: NamedSpec, folder: str = "") -> tuple[Any, ...]:
    """Return what makes two SPECs the same: what is built of them is built once.

    Args:
        named: as written.
        folder: where relative paths start if the SPEC brings no folder.
    """
    return "spec", named.spec, named.folder or folder, named.reading


def parse_spec(text: str) -> NamedSpec:
    """Read `[NAME=]SPEC`; whether the SPEC names something that exists is `models.locate`'s to say.

    Raises:
        ValueError: there is nothing in it.

    >>> given = parse_spec("int8=shop.models:load_int8")
    >>> given.name, given.spec
    ('int8', 'shop.models:load_int8')
    """
    match = re.fullmatch(r"(?:([\w.-]+)=)?+(.*\S.*)", text)
    if match is None:
        raise ValueError("module:factory, file.py:factory or a saved model")
    if fault := unprintable(match.group(1) or "", 100):
        raise ValueError(f"NAME=SPEC with a short name: {fault}")
    return NamedSpec(spec=match.group(2), name=match.group(1))
