"""Profiles of models of TensorFlow: operators, shares, and the log folder of TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from suites import Judge

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.probes.cost import tensorflow_profile
from pytest_modelbench.probes.cost.profile import refuse_while_profiling

MODELS = """
import pytest
import numpy as np
import keras
from keras import layers
from pytest_modelbench import EvalData

def net(depth):
    keras.utils.set_random_seed(0)
    return keras.Sequential([layers.Input((40,)), *(layers.Dense(40, activation="tanh") for _ in range(depth))])

@pytest.fixture(scope="session")
def teacher_model():
    return net(8)

@pytest.fixture(scope="session")
def student_model():
    return net(2)

@pytest.fixture(scope="session")
def eval_data():
    inputs = np.random.default_rng(0).normal(size=(64, 40)).astype(np.float32)
    return EvalData(inputs, np.arange(64) % 40, task="multiclass", outputs="logits")
"""
SUITE = """
import pytest
from pytest_modelbench.probes.cost.recorded import Profile

@pytest.mark.kpi("operator_count", "ratio <= 0.6")
@pytest.mark.kpi("top_operator_share")
@pytest.mark.kpi("copy_share", "<= 90%")
@pytest.mark.kpi("compile_gain")
def test_operators(): ...

def test_fixture(profiler, teacher, student, eval_data):
    table = profiler.compare(teacher, student, eval_data.inputs[:8])
    assert "no layers" in table and "Tanh" in table
    with profiler.record("a block", framework="tensorflow", calls=2) as recording:
        student(eval_data.inputs[:8])
        student(eval_data.inputs[:8])
    assert recording.profile.operator_count >= 4
"""


def test_kpis_and_artefacts_of_a_profile(judge: Judge, tmp_path: Path) -> None:
    """The student runs fewer operators; its traces are a log folder of TensorBoard and a trace for Perfetto."""
    folder = tmp_path / "profiles"
    finished = judge(SUITE, f"--modelbench-artifacts={folder}", more=MODELS)
    assert finished.result.ret == 0, finished.text
    counts = finished.gate("operator_count")["readings"]
    assert counts["teacher"]["value"] == 4 * counts["student"]["value"]
    assert counts["student"]["method"].startswith("tf.profiler over 4 calls")
    assert finished.gate("compile_gain")["verdict"] == "not_applicable"
    (item,) = [path for path in folder.iterdir() if path.is_dir()]
    assert len(list(item.glob("*.tensorboard/plugins/profile/*/*.xplane.pb"))) == 3
    events = json.loads((item / "student.trace.json").read_bytes())["traceEvents"]
    assert any(event["name"] == "Tanh" for event in events)
    (table,) = item.glob("a-block*.operators.txt")
    assert "Tanh" in table.read_text()


def test_a_block_without_operators_is_not_applicable() -> None:
    """There is nothing to share out."""
    with (
        pytest.raises(NotApplicable, match="no operator of TensorFlow ran"),
        tensorflow_profile.record(1),
    ):
        pass


def test_nothing_is_measured_inside_of_a_profile(tmp_path: Path) -> None:
    """A profile inside of another one, and every timing, is an error; after it both go on."""
    tf.profiler.experimental.start(str(tmp_path))
    try:
        with pytest.raises(MeasurementError, match="inside of another one"), tensorflow_profile.record(1):
            pass
        with pytest.raises(MeasurementError, match="latency: tf.profiler is recording"):
            refuse_while_profiling("latency")
    finally:
        tf.profiler.experimental.stop(save=False)
    refuse_while_profiling("latency")


def test_a_block_that_raises_ends_the_profile() -> None:
    """Its own error comes through, and another profile can be taken."""
    for _ in range(2):
        with pytest.raises(KeyError), tensorflow_profile.record(1):
            _raise()
    assert not tensorflow_profile.is_recording()


def _raise() -> Any:
    raise KeyError
