"""Small models of the digits that hide their gradient in the usual ways, each with the labels of one plain model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import nn

Array = npt.NDArray[Any]


@functools.cache
def digits() -> tuple[Array, Array]:
    """Return images of 8 x 8 in 0 to 1, (1797, 1, 8, 8), and their labels, in a random order."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return (data.images / 16).astype(np.float32)[order, None], data.target[order]


@functools.cache
def plain(width: int = 6) -> nn.Module:
    """Return a small net that was trained on the first 1,200 digits."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * width, 10)),
    )
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    inputs, labels = torch.tensor(digits()[0][:1200]), torch.tensor(digits()[1][:1200])
    for _ in range(12):
        for batch in torch.randperm(1200).reshape(-1, 60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return net.eval()


class Through(nn.Module):
    """A net with something before or behind it."""

    def __init__(self, net: nn.Module, function: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.net, self.function = net, function

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Apply the function."""
        return self.function(self.net, inputs)


def one_hot(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return 1 for the label and 0 for the others."""
    return nn.functional.one_hot(net(inputs).argmax(1), 10).float()


MASKS: dict[str, Callable[[nn.Module, torch.Tensor], torch.Tensor]] = {
    "rounded": lambda net, inputs: net((inputs * 15).round() / 15),
    "saturated": lambda net, inputs: (20 * net(inputs)).softmax(1),
    "one_hot": one_hot,
    "session": lambda net, inputs: torch.from_numpy(net(inputs).detach().numpy().copy()),
}
"""What hides the gradient of a net."""


def masked(name: str) -> nn.Module:
    """Return the plain model behind one of the masks."""
    return Through(plain(), MASKS[name])
