"""What a failed comparison of an ONNX file comes from.

Saturation is only seen on processors without VNNI, so the way it shows is played by a fake session here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pytest_modelbench.errors import ModelError
from pytest_modelbench.exports.blame import EXACT, Blame, blame, processor_flags
from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading

LIMIT = 1e-2


class Deployed:
    """A file whose parity depends on how it is run."""

    def __init__(self, found: Mapping[str, float], how: str = "deployed", *, integers: bool = True) -> None:
        self.found = found
        self.how = how
        self.integers = integers

    def precision(self) -> dict[str, Any]:
        return {"computes_in": {"int8": 1} if self.integers else {"float32": 1}}

    def run_otherwise(self, entries: Mapping[str, str] | None = None, *, optimised: bool = True) -> Deployed:
        how = "exact" if entries == EXACT else "deployed" if optimised else "plain"
        if how not in self.found:
            raise ModelError("Attempt to replace the existing tensor")
        return Deployed(self.found, how)


def blamed(found: Mapping[str, float], *, flags: tuple[str, ...] = (), integers: bool = True) -> Blame | None:
    def parity(model: Model) -> float:
        return found[cast("Deployed", model).how]

    return blame(cast("OnnxModel", Deployed(found, integers=integers)), parity, LIMIT, flags)


@pytest.mark.parametrize(
    ("flags", "processor"), [((), "this processor has no VNNI"), (("avx_vnni", "sse"), "this processor has avx_vnni")]
)
def test_saturation(flags: tuple[str, ...], processor: str) -> None:
    """Right without the fast kernels: named with the processor, and with what to do."""
    found = blamed({"deployed": 0.43, "exact": 2e-4, "plain": 0.43}, flags=flags)
    assert found is not None
    assert found.cause == "kernels"
    assert "parity is 0.43 as deployed, and 0.0002 with session.x64quantprecision=1" in found.evidence
    assert processor in found.evidence
    assert "reduce_range=True" in found.remedy


def test_the_optimiser(tmp_path: Path) -> None:
    """Right without the optimiser, also where a file cannot be run the exact way."""
    for found in ({"deployed": 0.4, "exact": 0.4, "plain": 1e-3}, {"deployed": 0.4, "plain": 1e-3}):
        told = blamed(found)
        assert told is not None
        assert (told.cause, told.parity) == ("optimiser", 1e-3)
    told = blamed({"deployed": 0.4, "exact": 1e-9, "plain": 1e-3}, integers=False)
    assert told is not None
    assert told.cause == "optimiser"


def test_the_file_itself() -> None:
    """Wrong in every way: neither kernels nor optimiser."""
    assert blamed({"deployed": 0.4, "exact": 0.4, "plain": 0.4}) is None
    assert blamed({"deployed": 0.4}) is None


def test_a_real_file_is_run_in_all_ways(tmp_path: Path) -> None:
    """A real session takes the configurations that are tried; a file that is wrong by itself is blamed on nothing."""
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weights"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["batch", 4])],
        [onnx.numpy_helper.from_array(np.ones((8, 4), dtype=np.int8), "weights")],
    )
    path = tmp_path / "integers.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    seen = []

    def parity(model: Model) -> float:
        seen.append(model(np.ones((2, 8), dtype=np.uint8))["y"].tolist())
        return 1.0

    assert blame(OnnxModel(path, Loading(name="student")), parity, LIMIT) is None
    assert seen == [[[8, 8, 8, 8]] * 2] * 3
    assert processor_flags()
