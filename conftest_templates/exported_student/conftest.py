"""A student that ships as a file: what pytest --modelbench needs to know.

This runs as it is, on scikit-learn's digits, so that you can see the table first. Then put your own models and data
where it says REPLACE.
"""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

from pytest_modelbench import Deployed, EvalData


@pytest.fixture(scope="session")
def teacher_model(digits) -> nn.Module:
    """REPLACE: return the model that you compressed, e.g. `MyNet.from_checkpoint("teacher.ckpt")`."""
    return trained(128, digits)


# For several formats: params=["onnx", "openvino"] and request.param; every gate runs for each.
@pytest.fixture(scope="session", params=["onnx"])
def student_model(request, digits, teacher_model) -> Deployed:
    """REPLACE: the model that ships, and the format that it is exported to. Or return the path of your own file."""
    return Deployed(trained(32, digits, teacher_model), request.param)


@pytest.fixture(scope="session")
def eval_data(digits) -> EvalData:
    """REPLACE: images and labels that neither model was trained on; a Dataset or DataLoader works too."""
    _, test_x, _, test_y = digits
    return EvalData(test_x, test_y, task="multiclass", outputs="logits")


# Everything below belongs to the example: delete it with the example's models.


@pytest.fixture(scope="session")
def digits() -> list[torch.Tensor]:
    """Return training and test images (n, 1, 8, 8) in 0..1, training and test labels."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return train_test_split(images, torch.tensor(labels), test_size=1 / 3, random_state=0, stratify=labels)


def trained(width: int, digits: list[torch.Tensor], teacher: nn.Module | None = None) -> nn.Module:
    """Train a small network, distilled from a teacher where there is one."""
    torch.manual_seed(0)
    train_x, _, train_y, _ = digits
    convolution = nn.Conv2d(1, width // 4, 3, padding=1)
    model = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(width * 16, width), nn.ReLU())
    model.append(nn.Linear(width, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(10):
        for index in torch.randperm(len(train_x)).split(64):
            logits = model(train_x[index])
            loss = functional.cross_entropy(logits, train_y[index])
            if teacher is not None:
                with torch.no_grad():
                    soft = functional.softmax(teacher(train_x[index]) / 4, dim=1)
                loss = loss + 16 * functional.kl_div(
                    functional.log_softmax(logits / 4, dim=1), soft, reduction="batchmean"
                )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model
