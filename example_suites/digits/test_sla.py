"""The service level agreement that a student of the digits teacher must keep."""

from __future__ import annotations

import pytest

from pytest_modelbench import EdgeCase, KpiAccess, Model


@pytest.mark.kpi("top1_accuracy", ">= 95%", "drop <= 3 pp")
def test_accuracy() -> None:
    """The student may lose two digits in a hundred against its teacher."""


@pytest.mark.kpi("top1_accuracy", "drop <= 5 pp", confidence=0.95)
def test_accuracy_beyond_this_data_set() -> None:
    """A drop of five points is ruled out also for digits like these, not only for these."""


@pytest.mark.kpi("agreement", ">= 96%")
@pytest.mark.kpi("negative_flip_rate", "<= 2%")
@pytest.mark.kpi("mcnemar_p")
def test_same_answers() -> None:
    """The student rarely answers otherwise, and breaks little that worked."""


@pytest.mark.kpi("f1", "drop <= 3 pp")
@pytest.mark.kpi("log_loss", "<= 0.2")
def test_every_class() -> None:
    """No class is sacrificed, and the student is not confidently wrong."""


@pytest.mark.kpi("class_drop", "<= 8 pp")
@pytest.mark.kpi("slice_drop", "<= 8 pp")
def test_no_digit_is_lost() -> None:
    """No digit and no kind of image pays for the others."""


@pytest.mark.kpi("corruption_drop", "<= 8 pp", corruptions=["gaussian_noise", "gaussian_blur", "contrast"])
def test_harder_images() -> None:
    """Noisy, blurred and faint images cost the student no more than eight points against the teacher."""


@pytest.mark.kpi("pgd_accuracy", "drop <= 12 pp", eps="8/255", range=(0, 1), samples=30, steps=10)
@pytest.mark.kpi("robust_accuracy", "drop <= 12 pp", eps="8/255", range=(0, 1), samples=30, steps=10)
def test_attacked_images() -> None:
    """Changes of at most 8 of 255 levels, on purpose, cost the student little more than the teacher."""


@pytest.mark.kpi("ood_auroc", ">= 80%", "drop <= 8 pp", ood="shuffled")
def test_foreign_images() -> None:
    """The student is less sure of images that are none of digits, nearly as clearly as the teacher."""


@pytest.mark.kpi("kl_divergence", "<= 0.1 nat")
@pytest.mark.kpi("ece", "<= 5%", "difference <= 2 pp")
def test_confidence() -> None:
    """The student is about as sure as the teacher, and as often right as it is sure."""


@pytest.mark.kpi("latency_p50", "speedup >= 2.5x")
@pytest.mark.kpi("latency_p99", "<= 50 ms")
def test_latency(kpi: KpiAccess) -> None:
    """A single digit is answered in 40% of the time, and the tail has a bound."""
    assert kpi["latency_p50"].student.value < kpi["latency_p50"].teacher.value


@pytest.mark.kpi("throughput", "ratio >= 2", batch_size=64)
def test_throughput() -> None:
    """Batches of 64 go through at twice the teacher's rate."""


@pytest.mark.kpi("parameters", "reduction >= 90%")
@pytest.mark.kpi("size_on_disk", "reduction >= 90%", "<= 200 kB")
def test_size() -> None:
    """The student fits where the teacher does not."""


@pytest.mark.kpi("peak_memory", "<= 50 MB", "difference <= 10 MB")
@pytest.mark.kpi("hardware_tier", "<= CPU 4 GB")
def test_memory() -> None:
    """The student needs no more memory than the teacher, but for what libraries take, and a small machine."""


@pytest.mark.kpi("energy_per_1k", "reduction >= 50%")
@pytest.mark.kpi("carbon_per_1m", "reduction >= 50%")
@pytest.mark.kpi("flops", "reduction >= 60%")
def test_cost() -> None:
    """A query takes half of the energy at most, whatever it is measured by, and two fifths of the operations."""


@pytest.mark.kpi("nonfinite_outputs", "== 0")
@pytest.mark.kpi("determinism", "== 0")
@pytest.mark.kpi("batch_invariance", "<= 0.5 pp")
@pytest.mark.kpi("headroom", ">= 4 bits")
def test_stability() -> None:
    """Every output is a number, the same one each time and in any batch, with room for float16."""


@pytest.mark.edge_case("numbers")
def test_edge_cases(student: Model, edge_case: EdgeCase) -> None:
    """Blank, glaring and broken images, and batches of odd sizes, are answered as well as by the teacher."""
    student.check_finite(edge_case)


@pytest.mark.kpi("export", "includes onnx, openvino")
def test_export() -> None:
    """Two runtimes execute the student, in every batch size, with the outputs that it has in Python."""


@pytest.mark.modelbench_deploy("onnx")
@pytest.mark.kpi("agreement", ">= 96%")
@pytest.mark.kpi("parity", "<= 1e-4")
@pytest.mark.kpi("nonfinite_outputs", "== 0")
@pytest.mark.kpi("latency_p50", "speedup >= 2.5x")
@pytest.mark.kpi("size_on_disk", "<= 200 kB")
def test_shipped() -> None:
    """The agreement holds for the ONNX file too, and the file is the model that it was exported from."""
