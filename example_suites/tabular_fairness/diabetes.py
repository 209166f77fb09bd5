"""A teacher, a distilled student and one pruned until it is unfair, on scikit-learn's diabetes patients.

The question is whether the disease will progress more than it does in half of all patients. Sex and age are measured
with ten features, and are what the models must not treat differently.
"""

from __future__ import annotations

import copy
import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from fairlearn.metrics import equalized_odds_difference
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SEED = 0


class Patients(NamedTuple):
    """Features (n, 10), whether the disease progresses above the median (n,), sex and age group (n,)."""

    features: npt.NDArray[np.float32]
    progresses: npt.NDArray[np.int64]
    sex: npt.NDArray[np.str_]
    age: npt.NDArray[np.str_]


@functools.cache
def patients() -> tuple[Patients, Patients]:
    """Return the patients for training and those for testing, half each."""
    data = load_diabetes(scaled=False)
    table, target = data.data, data.target
    names = list(data.feature_names)
    sex = np.where(table[:, names.index("sex")] == 2, "sex 2", "sex 1")
    age = np.where(table[:, names.index("age")] < 50, "under 50", "50 and over")
    scaled = ((table - table.mean(axis=0)) / table.std(axis=0)).astype(np.float32)
    everyone = scaled, (target > np.median(target)).astype(np.int64), sex, age
    parts = train_test_split(*everyone, test_size=0.5, random_state=SEED, stratify=everyone[1])
    return Patients(*parts[::2]), Patients(*parts[1::2])


def network(hidden: int) -> nn.Sequential:
    """Return an untrained network of two hidden layers that tells two classes apart."""
    layers = [nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)]
    return nn.Sequential(*layers)


def fit(model: nn.Module, targets: Tensor, steps: int, rate: float, decay: float) -> nn.Module:
    """Train on all training patients at once; targets are labels (n,) or probabilities (n, 2)."""
    features = torch.from_numpy(patients()[0].features)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(model(features), targets).backward()
        optimiser.step()
    return model.eval()


@functools.cache
def teacher() -> nn.Module:
    """Return the teacher, trained in half a second."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        return fit(network(64), torch.from_numpy(patients()[0].progresses), steps=60, rate=3e-3, decay=1e-2)


def distilled() -> nn.Module:
    """Return a student of 16 units that learned the teacher's probabilities."""
    logits = teacher()(torch.from_numpy(patients()[0].features))
    soft = torch.softmax(logits, dim=1).detach()
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        return fit(network(16), soft, steps=400, rate=1e-2, decay=0.0)


def pruned_until_unfair() -> nn.Module:
    """Return the teacher with more and more of its smallest weights set to zero, until it is unfair to one sex.

    That is once equalized odds of the training patients are 15 points further apart than the teacher's.
    """
    before = odds_apart(teacher())
    for hundredths in range(50, 98, 2):
        student = prune(teacher(), hundredths / 100)
        if odds_apart(student) - before > 0.15:
            return student
    raise RuntimeError("pruning did not make the teacher unfair")


def prune(model: nn.Module, share: float) -> nn.Module:
    """Return a copy with the given share of all weights set to zero, smallest first."""
    small = copy.deepcopy(model)
    layers = [layer for layer in small.modules() if isinstance(layer, nn.Linear)]
    sizes = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    smallest = sizes.kthvalue(int(len(sizes) * share)).values
    with torch.no_grad():
        for layer in layers:
            layer.weight[layer.weight.abs() <= smallest] = 0
    return small


def odds_apart(model: nn.Module) -> float:
    """Return how far the sexes' rates of true and false alarms are apart among the training patients."""
    known = patients()[0]
    with torch.inference_mode():
        said = model(torch.from_numpy(known.features)).argmax(dim=1).numpy()
    return float(equalized_odds_difference(known.progresses, said, sensitive_features=known.sex))
