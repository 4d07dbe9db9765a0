"""Low-rank adapters (LoRA; Hu et al., ICLR 2022) on convolutions: ``W + B A``, W untouched."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

MARK = "parametrizations."
"""In the names of what PyTorch keeps of an adapted weight."""


class LowRank(nn.Module):
    """Adds a matrix of low rank to the weight of a convolution, (O, I, k, k).

    Only shape and dtype of the weight are read. `rank` is that of the update, seen as an (O, I k k)
    matrix.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        # B starts at zero, so that the first step is that of the starting model.
        self.left = nn.Parameter(torch.zeros(rows, rank, dtype=weight.dtype))
        self.right = nn.Parameter(torch.empty(rank, columns, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.right, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted weight, of the shape of `weight`."""
        return weight + (self.left @ self.right).view(weight.shape)


def add_low_rank(model: nn.Module, rank: int) -> list[str]:
    """Freeze a network and give its convolutions adapters, which alone are trained; return their
    names.

    Depthwise and other grouped convolutions have little to save and stay as they are. The rank of a
    convolution is at most half of what its weight could have.
    """
    model.requires_grad_(False)
    adapted = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.groups == 1
    ]
    for _, layer in adapted:
        most = min(layer.weight.shape[0], layer.weight[0].numel())
        parametrize.register_parametrization(
            layer, "weight", LowRank(layer.weight, max(1, min(rank, most // 2)))
        )
        layer.get_parameter("parametrizations.weight.original").requires_grad_(False)
    return [name for name, _ in adapted]


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of the same network without adapters, which gives the same answers.

    PyTorch's own way of taking adapters off changes a class that copies of the network share.
    """
    state = {name: value for name, value in model.state_dict().items() if MARK not in name}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and parametrize.is_parametrized(layer, "weight"):
            state[f"{name}.weight"] = layer.weight.detach()
    return state
