"""What a user asks of an export: formats with their variants, and what each must hold. Standard library only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown

BATCH_SIZES = (1, 2, 7)
"""The batch sizes that every exported file is run with: never only the one that it was exported with."""
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "onnx": ("fp16", "fixed"),
    "openvino": ("f32", "f16", "fixed"),
    "torch_export": ("fixed",),
    "aotinductor": ("fixed",),
    "executorch": ("fixed",),
    "tensorrt": (),
    "tvm": ("fixed",),
}
"""The formats that a model can be exported to, each with the variants that it has."""
_TARGET = re.compile(r"(?P<format>[a-z_]+)(?::(?P<variant>\w+))?(?:@(?P<provider>\w+))?")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A format with its variant, and the execution provider of ONNX Runtime that it must run on.

    `fixed` as a variant allows the file to take one batch size only.
    """

    format: str
    variant: str = ""
    provider: str = ""

    def __str__(self) -> str:
        return (
            self.format
            + (f":{self.variant}" if self.variant else "")
            + (f"@{self.provider}" if self.provider else "")
        )


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is asked of an export, apart from its format.

    Attributes:
        opset: of ONNX; None for the exporter's own.
        batch_sizes: that the file must take.
        dynamic: the dimensions of each input that may vary, by its name or position; None for the first of each.
        parity: the greatest parity that passes, without unit.
        samples: how many samples of the evaluation data the outputs are compared on.
        budget_s: the longest that one export may take, in seconds.
        seed: for what is drawn at random.
    """

    opset: int | None = None
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    dynamic: Mapping[str, Sequence[int]] | None = None
    parity: float = 1e-4
    samples: int = 256
    budget_s: float = 300.0
    seed: int = 0

    @classmethod
    def of_gate(cls, options: Mapping[str, Any], *, budget_s: float = 300.0, seed: int = 0) -> ExportOptions:
        """Return what the measurement options of a gate ask; those that it does not have get their defaults."""
        parity = parity_of(options.get("parity", cls.parity))
        return cls(
            opset=options.get("opset"),
            batch_sizes=tuple(options.get("batch_sizes") or BATCH_SIZES),
            dynamic=options.get("dynamic"),
            parity=cls.parity if parity is None else parity,
            samples=options.get("samples", cls.samples),
            budget_s=budget_s,
            seed=seed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ExportOptions:
        """Return what `to_json` made plain."""
        return cls(**{**record, "batch_sizes": tuple(record["batch_sizes"])})


def parity_of(value: object) -> float | None:
    """Return the greatest parity that a number, or a text such as "<= 1e-4", allows; None for anything else.

    >>> parity_of("<= 1e-4"), parity_of(0.01), parity_of("1 ms")
    (0.0001, 0.01, None)
    """
    if isinstance(value, str) and value.lstrip().startswith("<="):
        try:
            value = float(value.lstrip()[2:])
        except ValueError:
            return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value <= 1 else None  # type: ignore[arg-type, operator]


def parse_target(text: str) -> Target:
    """Read `FORMAT[:VARIANT][@PROVIDER]`.

    Raises:
        UsageMistake: the format or its variant is unknown; the nearest one is suggested.

    >>> str(parse_target("onnx:fp16"))
    'onnx:fp16'
    """
    match = _TARGET.fullmatch(text.strip())
    if match is None or match["format"] not in VARIANTS:
        near = difflib.get_close_matches(match["format"] if match else text, VARIANTS, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(VARIANTS)}"
        raise UsageMistake(f"{shown(text)} is not a format that a model can be exported to. {advice}")
    variant, provider = match["variant"] or "", match["provider"] or ""
    variants = VARIANTS[match["format"]]
    if variant and variant not in variants:
        has = f"has the variants {', '.join(variants)}" if variants else "has no variants"
        raise UsageMistake(f"{shown(text)}: the format {match['format']} {has}, found {variant!r}")
    if provider and match["format"] != "onnx":
        raise UsageMistake(f"{shown(text)}: only onnx takes an execution provider. Write {match['format']!r}")
    return Target(format=match["format"], variant=variant, provider=provider)
