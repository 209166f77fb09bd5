"""The gradient of a torch module's outputs by its inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from pytest_modelbench.data.arrays import output_array, select_output

if TYPE_CHECKING:
    from pytest_modelbench.models.adapters.torch_module import TorchModel

Array = npt.NDArray[Any]


def pull_back(
    model: TorchModel, inputs: Any, select: str | int | None, weights: Callable[[Array], Array]
) -> npt.NDArray[np.float64] | None:
    """Return the gradient by the inputs, in evaluation mode; None where the module detaches its outputs from them.

    See `Model.pull_back`.
    """
    with model.running(), torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # operators without a gradient warn, and the gradient shows it
        leaf = model.to_device(inputs).detach().clone().requires_grad_()
        try:
            output = select_output(model.applied(leaf)(), select, model.name)
        except BaseException as error:
            raise model.failure(inputs, error) from error
        if not isinstance(output, torch.Tensor):
            return None
        by_output = torch.as_tensor(weights(output_array(output.detach()))).to(output)
        if not output.requires_grad:
            return None
        try:
            (gradient,) = torch.autograd.grad(output, leaf, by_output, allow_unused=True)
        except RuntimeError:
            return None  # an operator that has no gradient
    return None if gradient is None else gradient.double().cpu().numpy()
