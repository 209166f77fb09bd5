"""The gradient of a torch module's outputs by its inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pytest_modelbench.data.arrays import output_array

Array = npt.NDArray[Any]


def gradient_of(
    call: Callable[[torch.Tensor], Any], inputs: torch.Tensor, weights: Callable[[Array], Array]
) -> npt.NDArray[np.float64] | None:
    """Return the gradient by the inputs of the sum of weights times outputs; None where none comes back.

    Args:
        call: returns the outputs that are meant, for inputs.
        inputs: on the module's device.
        weights: returns the weights for outputs, in their shape.
    """
    with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # operators without a gradient warn, and the gradient shows it
        leaf = inputs.detach().clone().requires_grad_()
        output = call(leaf)
        if not isinstance(output, torch.Tensor):
            return None
        by_output = torch.as_tensor(weights(output_array(output.detach()))).to(output)
        if not output.requires_grad:
            return None
        try:
            (gradient,) = torch.autograd.grad(output, leaf, by_output, allow_unused=True)
        except RuntimeError:
            return None  # an operator that has no gradient
    unknown: Any = gradient  # torch's annotation has no None
    return None if unknown is None else gradient.double().cpu().numpy()
