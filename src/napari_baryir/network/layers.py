"""Layers that every backbone uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)

CELL = 8
"""Pixels a side of the cells of the latent grid, H/8 x W/8."""
STATISTICS = 9
"""Channels of `cell_statistics`."""
FEW_CHANNELS = 8
"""Below that many a mean over windows is taken plane by plane."""


class LayerNorm2d(nn.Module):
    """Layer norm over the C `channels` of each pixel; `eps` is added to the variance."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``, (B, C, H, W), fastest when it is channels-last."""
        # On the channels-last view the channels are the last, contiguous dimension: one fused
        # kernel and no copy, against several passes over memory along dimension 1.
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def norm_in_full_precision(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm in the precision of its weights (float32), whatever autocast says.

    (B, C, H, W), any floating dtype, to the same. For z and b: their difference r is a few per cent
    of them, which is rounding noise in 16 bits.
    """
    dtype = next(norm.parameters()).dtype
    with torch.autocast(x.device.type, enabled=False):
        y: Tensor = norm(x.to(dtype))
    return y


def window_mean(x: Tensor, half_width: int) -> Tensor:
    """Average (B, C, H, W) over squares of ``2 * half_width + 1``, cut off at the edges.

    In float32 at least, whatever autocast says; the result has the dtype of `x`.
    """

    def band(length: int) -> Tensor:
        where = torch.arange(length, device=x.device)
        near = ((where[:, None] - where).abs() <= half_width).to(precise.dtype)
        return near / near.sum(dim=1, keepdim=True)

    # Multiplying by banded matrices is several times as fast as pooling with stride 1, whose inner
    # loop PyTorch does not vectorise.
    with torch.autocast(x.device.type, enabled=False):
        precise = x if x.dtype == torch.float64 else x.float()
        batch, channels, height, width = x.shape
        if channels < FEW_CHANNELS:
            return (band(height) @ (precise @ band(width).T)).to(x.dtype)
        # On the channels-last view, as the convolutions around it are.
        rows = precise.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
        rows = (band(height) @ rows).reshape(batch, height, width, channels)
        mean = band(width) @ rows
    return mean.to(x.dtype).permute(0, 3, 1, 2)


def cell_statistics(x: Tensor) -> Tensor:
    """Return mean, minimum (dark channel; He et al., CVPR 2009) and maximum of each cell.

    (B, 3, H, W) to (B, 9, H/8, W/8).
    """
    means, least = F.avg_pool2d(x, CELL), -F.max_pool2d(-x, CELL)
    return torch.cat((means, least, F.max_pool2d(x, CELL)), dim=1)


def start_at_zero(layer: nn.Module) -> None:
    """Make a layer answer 0 at first, so that adding its output changes nothing at the start."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def on_device(model: N, device: str | torch.device) -> N:
    """Put a network on a device, its weights channels-last; returns the same network."""
    # Torch's annotations leave out the documented argument memory_format.
    move = cast("Callable[..., N]", model.to)
    return move(device, memory_format=torch.channels_last)
