"""Layers that every backbone uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel.

    Parameters
    ----------
    channels
        Number of channels C.
    eps
        Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, (B, C, H, W), fastest when it is channels-last."""
        # On the channels-last view the channels are the last, contiguous dimension: one fused
        # kernel and no copy, against several passes over memory along dimension 1.
        y = functional.layer_norm(
            x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps
        )
        return y.permute(0, 3, 1, 2)


def norm_in_full_precision(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm in the precision of its weights (float32), whatever autocast says.

    For z and b: their difference r is a few per cent of them, which is rounding noise in 16 bits.

    Parameters
    ----------
    norm
        Module with floating-point parameters.
    x
        (B, C, H, W), any floating dtype.

    Returns
    -------
    Tensor
        (B, C, H, W), in the dtype of the norm's parameters.
    """
    dtype = next(norm.parameters()).dtype
    with torch.autocast(x.device.type, enabled=False):
        y: Tensor = norm(x.to(dtype))
    return y


def start_at_zero(layer: nn.Module) -> None:
    """Make a layer answer 0 at first, so that adding its output changes nothing at the start."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
