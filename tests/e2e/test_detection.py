"""Detectors in real runs: torch modules over a loader of images of different sizes, and what does not fit."""

from __future__ import annotations

import pytest
from suites import Judge

DETECTORS = """
import pytest
import torch
from pytest_modelbench import EvalData

SIZES = [(60 + 10 * (i % 3), 80) for i in range(24)]
BOXES = [torch.tensor([[5.0, 5.0, 25.0 + i, 45.0], [30.0, 10.0, 70.0, 50.0]]) for i in range(24)]

class Images(torch.utils.data.Dataset):
    def __len__(self):
        return len(SIZES)

    def __getitem__(self, i):
        image = torch.full((3, *SIZES[i]), float(i))
        return image, {"boxes": BOXES[i], "labels": torch.tensor([1, 2]), "iscrowd": torch.zeros(2)}

class Detector(torch.nn.Module):
    '''Answers as torchvision's detectors do; it moves the boxes of every third image.'''

    def __init__(self, shift):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(shift))

    def forward(self, images):
        numbers = [int(image[0, 0, 0]) for image in images]
        return [
            {"boxes": BOXES[i] + self.shift * (i % 3 == 0), "labels": torch.tensor([1, 2]), "scores": torch.ones(2) * 0.9}
            for i in numbers
        ]

@pytest.fixture(scope="session")
def teacher_model():
    return Detector(0.0)

@pytest.fixture(scope="session")
def student_model():
    return Detector(3.0)

@pytest.fixture(scope="session")
def eval_data():
    loader = torch.utils.data.DataLoader(Images(), batch_size=4, collate_fn=lambda batch: tuple(zip(*batch)))
    return EvalData(loader, task="detection", classes={1: "cat", 2: "dog"})
"""
GATES = """
import pytest

@pytest.mark.kpi("map", ">= 60%", "drop <= 50 pp")
@pytest.mark.kpi("map_50", ">= 99%")
@pytest.mark.kpi("map_75", "drop <= 1 pp", confidence=0.9)
@pytest.mark.kpi("mar_1", ">= 60%")
@pytest.mark.kpi("map_large", ">= 1%")
def test_gate(): ...
"""


def test_a_loader_of_images_of_different_sizes(judge: Judge) -> None:
    """The usual conftest of torchvision: verdicts, classes and the images that lost most are in the report."""
    finished = judge(GATES, fakes=DETECTORS)
    assert finished.result.ret == pytest.ExitCode.TESTS_FAILED
    verdicts = {name.rpartition(":")[2]: verdict for name, verdict in finished.verdicts.items()}
    assert verdicts == {"map": "pass", "map_50": "pass", "map_75": "fail", "mar_1": "pass", "map_large": "error"}
    gate = finished.gate("map")
    rows = {row["name"]: row for row in gate["breakdown"]}
    assert list(rows) == ["class=cat", "class=dog"]
    assert gate["worst_samples"][0] == "0"
    assert rows["class=cat"]["n"] == 24
    assert rows["class=cat"]["teacher"] == pytest.approx(100)
    assert 50 < rows["class=cat"]["student"] < 95
    assert finished.gate("map_large")["reason"] == (
        "map_large needs targets with an area from 9216 pixels up, and these data have none (crowds do not count)"
    )


def test_mistakes_of_a_model_are_one_message(judge: Judge) -> None:
    """The sample, what was found, what was expected, what to write; no traceback of ours."""
    more = """
@pytest.fixture(scope="session")
def student_model():
    return lambda images: [
        {"boxes": [[30, 20, 10, 9], [5, 5, 20, 30]], "labels": [1, 1], "scores": [0.5, 0.4]} for _ in images
    ]
"""
    finished = judge(
        "import pytest\n@pytest.mark.kpi('map', '>= 60%')\ndef test_gate(): ...\n", fakes=DETECTORS, more=more
    )
    assert finished.gate("map")["reason"] == (
        "the sample 0: student returned the box [30, 20, 10, 9], whose x2 is less than its x1 (format xyxy). The numbers "
        "look like xywh: write output_format='xywh'"
    )
    assert "Traceback" not in finished.text
    assert "INTERNALERROR" not in finished.text
