"""Two students that break the agreement, each in one way."""

from __future__ import annotations

from typing import Any

import torch
from models import load
from torch import nn


def coarse() -> Any:
    """Return the distilled student with the weights of its layers rounded to few levels."""
    module, tokenizer = load("distilled")
    with torch.no_grad():
        for layer in module.model.layers.modules():
            if isinstance(layer, nn.Linear):
                step = layer.weight.abs().max() / 4
                layer.weight.copy_((layer.weight / step).round() * step)
    return module, tokenizer


def stops_early() -> Any:
    """Return the distilled student with an end token that is far likelier than it was: answers lack their date."""
    module, tokenizer = load("distilled")
    bias = torch.zeros(len(tokenizer))
    bias[tokenizer.eos_token_id] = 8.0
    module.lm_head.bias = nn.Parameter(bias)
    return module, tokenizer
