"""Are operations counted right? By hand where a layer is simple, against published figures where a model is known.

Published: ResNet-18 has 1.814 GMACs at 224 x 224 (torchvision's table of weights), BERT-base 22.5 GFLOPs at 128
tokens (Jiao et al., TinyBERT, 2020, table 1).

Usage: python benchmarks/flops.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, ResNetConfig, ResNetForImageClassification

from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.probes.cost.flops import count_flops


class Attention(nn.Module):
    """Self-attention without projections."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend to itself."""
        return nn.functional.scaled_dot_product_attention(x, x, x)


def resnet18() -> nn.Module:
    config = ResNetConfig(layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512])
    config.num_labels = 1000
    return ResNetForImageClassification(config)


CASES: tuple[tuple[str, Callable[[], nn.Module], Any, float], ...] = (
    (
        "convolution 3x3, 64 to 128, 56x56",
        lambda: nn.Conv2d(64, 128, 3, padding=1),
        (1, 64, 56, 56),
        2 * 128 * 56**2 * 64 * 9,
    ),
    ("linear 512 to 1000", lambda: nn.Linear(512, 1000), (1, 512), 2 * 512 * 1000),
    ("attention, 8 heads of 64, 128 tokens", Attention, (1, 8, 128, 64), 2 * 2 * 8 * 128 * 128 * 64),
    ("LSTM 256 to 512, 20 steps", lambda: nn.LSTM(256, 512), (20, 1, 256), 20 * 2 * 4 * 512 * (256 + 512)),
    ("ResNet-18, published", resnet18, (1, 3, 224, 224), 2 * 1.814e9),
    ("BERT-base, published", lambda: BertModel(BertConfig()), torch.int64, 22.5e9),
)


def main() -> None:
    print("| model | truth, MFLOP | flops | torch's counter alone |\n|---|---|---|---|")
    for name, build, shape, truth in CASES:
        torch.manual_seed(0)
        inputs = torch.randint(0, 1000, (1, 128)) if shape is torch.int64 else torch.rand(*shape)
        module = build().eval()
        ours = count_flops(TorchModel(module, "student"), inputs, 1)
        with torch.no_grad(), FlopCounterMode(display=False) as theirs:
            module(inputs)
        told = f"{ours.per_sample / 1e6:,.3f} ({ours.per_sample / truth - 1:+.2%})"
        alone = theirs.get_total_flops()
        print(f"| {name} | {truth / 1e6:,.3f} | {told} | {alone / 1e6:,.3f} ({alone / truth - 1:+.2%}) |")


if __name__ == "__main__":
    main()
