"""Which students are judged in which formats besides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.plugin.deploying import with_deployed


@pytest.mark.parametrize(
    ("own", "targets", "names"),
    [
        ((), [], [None]),
        (("onnx",), [], ["student", "student@onnx"]),
        ((), ["onnx", "openvino"], ["student", "student@onnx", "student@openvino"]),
        (("openvino",), ["onnx", "openvino"], ["student", "student@openvino", "student@onnx"]),
    ],
)
def test_a_student_is_followed_by_its_formats(
    own: tuple[str, ...], targets: Sequence[str], names: Sequence[str | None]
) -> None:
    """Its own come first, each format once; without any it keeps having no name, so that no id changes."""
    found = with_deployed([NamedSpec(spec="shop:load", deploy=own)], targets)
    assert [spec.name for spec in found] == names
    assert [spec.target for spec in found] == ["", *(str(name).partition("@")[2] for name in names[1:])]
    assert {spec.spec for spec in found} == {"shop:load"}
