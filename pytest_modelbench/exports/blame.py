"""Why an ONNX file computes something else than its source: the kernels, the optimiser, or the file itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel
    from pytest_modelbench.models.base import Model

EXACT = {"session.x64quantprecision": "1"}
"""Makes ONNX Runtime multiply integers on x86 without saturation, at some cost."""
INTEGER_FLAGS = ("avx512_vnni", "avx512vnni", "avx_vnni", "avxvnni", "amx_int8")
"""What a processor with integer products that do not saturate says of itself."""


@dataclass(frozen=True, kw_only=True)
class Blame:
    """What a failed comparison comes from.

    Attributes:
        cause: "kernels" or "optimiser".
        evidence: what was run, and what it gave.
        remedy: what to do about it.
        parity: what the other way of running the same file gives.
    """

    cause: str
    evidence: str
    remedy: str
    parity: float


def blame(
    model: OnnxModel,
    parity: Callable[[Model], float],
    limit: float,
    flags: Collection[str] | None = None,
) -> Blame | None:
    """Run a file that failed its comparison in other ways, and say which part of the runtime makes the difference.

    Args:
        model: the file as it is deployed.
        parity: compares a model with the source, over the same samples as before.
        limit: the greatest parity that passes.
        flags: of the processor; None for this one's.

    Returns:
        None if no other way is right either: the difference is in the file.
    """
    was = parity(model)
    if "int8" in model.precision().get("computes_in", {}):
        exact = _tried(lambda: model.run_otherwise(EXACT), parity)
        if exact is not None and exact <= limit:
            return _saturation(was, exact, processor_flags() if flags is None else flags)
    plain = _tried(lambda: model.run_otherwise(optimised=False), parity)
    if plain is None or plain > limit:
        return None
    return Blame(
        cause="optimiser",
        evidence=f"parity is {was:.2g} as deployed, and {plain:.2g} with ONNX Runtime's graph optimisation off: the "
        "file is right, and the optimiser changes its outputs",
        remedy="serve it at a lower graph_optimization_level, or quantise it so that fused operators round the same "
        "(reduce_range=True, or weights per channel)",
        parity=plain,
    )


def _saturation(was: float, exact: float, flags: Collection[str]) -> Blame:
    has = sorted(set(flags) & set(INTEGER_FLAGS))
    processor = f"this processor has {', '.join(has)}" if has else "this processor has no VNNI"
    return Blame(
        cause="kernels",
        evidence=f"parity is {was:.2g} as deployed, and {exact:.2g} with session.x64quantprecision=1: the file is "
        f"right, and the sums of 8-bit products saturate in the kernels ({processor})",
        remedy="quantise with reduce_range=True or with unsigned weights (QuantType.QUInt8), or set "
        "session.x64quantprecision=1 where it is deployed",
        parity=exact,
    )


def _tried(made: Callable[[], Model], parity: Callable[[Model], float]) -> float | None:
    """Return the parity of another way to run the file; None if the runtime refuses it."""
    from pytest_modelbench.errors import ModelError

    try:
        return parity(made())
    except ModelError:
        return None  # not every file runs in every configuration


def processor_flags() -> frozenset[str]:
    """Return the flags of this machine's processor."""
    import cpuinfo

    return frozenset(cpuinfo.get_cpu_info().get("flags", ()))
