"""Which runtime executes a SavedModel where TensorFlow is not installed; the tests with it are in tests/with_tensorflow."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

FOLDER = Path(__file__).parent / "files" / "dense_savedmodel"


def wrapped(spec: str) -> Model:
    return adapt(spec, Loading(name="student", alone=True))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that says which runtimes are installed, others are not."""
    original = importlib.util.find_spec

    def only(*names: str) -> None:
        def find(name: str, *rest: Any) -> Any:
            missing = name in {"tensorflow", "openvino"} and name not in names
            return None if missing else original(name, *rest)

        monkeypatch.setattr(importlib.util, "find_spec", find)

    return only


def test_openvino_runs_it_where_tensorflow_is_missing(installed: Callable[..., None]) -> None:
    """The report names the runtime."""
    installed("openvino")
    student = wrapped(str(FOLDER))
    assert student.describe()["format"] == "OpenVINO"
    assert np.asarray(next(iter(student(np.ones((2, 4), np.float32)).values()))).shape[0] == 2


@pytest.mark.parametrize(
    ("options", "there", "words"),
    [
        (
            "",
            (),
            (
                "and tensorflow and openvino are not installed. Install one: pip install 'pytest-modelbench[tensorflow]', "
                "or pip install 'pytest-modelbench[openvino]'"
            ),
        ),
        (
            "?runtime=tensorflow",
            ("openvino",),
            "and tensorflow is not installed. Install it: pip install 'pytest-modelbench[tensorflow]'",
        ),
        (
            "?precision=f32",
            (),
            "and openvino is not installed. Install it: pip install 'pytest-modelbench[openvino]'",
        ),
        ("?runtime=onnx", ("openvino",), "runtime=onnx is unknown, expected tensorflow or openvino"),
        (
            "?signature=shares",
            ("openvino",),
            (
                "OpenVINO runs the signature serving_default only. signature=... needs TensorFlow: pip install "
                "'pytest-modelbench[tensorflow]'"
            ),
        ),
        (
            "?runtime=tensorflow&precision=f32",
            ("tensorflow", "openvino"),
            "precision=... is an option of OpenVINO. Write runtime=openvino too",
        ),
    ],
)
def test_what_cannot_run_says_what_to_install(
    installed: Callable[..., None], options: str, there: tuple[str, ...], words: str
) -> None:
    """Or which option belongs to the other runtime."""
    installed(*there)
    with pytest.raises(ModelError) as caught:
        wrapped(f"{FOLDER}{options}")
    assert words in str(caught.value)
