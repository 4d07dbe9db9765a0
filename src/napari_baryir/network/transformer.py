"""Transformer blocks with attention between channels, in the form that moves least memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_baryir.network.layers import LayerNorm2d

EPS = 1e-5
"""Added to the variance by every norm of the published network."""
NORM_FLOOR = 1e-12
"""Smallest length that a query or key is divided by."""


def conv1x1(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Make a 1x1 convolution without bias."""
    return nn.Conv2d(channels_in, channels_out, 1, bias=False)


def conv3x3(channels_in: int, channels_out: int, *, depthwise: bool = False) -> nn.Conv2d:
    """Make a 3x3 convolution without bias that keeps the size."""
    groups = channels_in if depthwise else 1
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, groups=groups, bias=False)


class ChannelAttention(nn.Module):
    """Attention between the channels of each head, pooled over all pixels.

    ``W_o (softmax(unit(q) unit(k)^T * temperature) v)``: q, k and v come from a 1x1 and a depthwise
    3x3 convolution, ``unit`` divides a channel by its L2 norm over the pixels. `heads` divide the
    number of `channels`, C.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv1x1(channels, 3 * channels)
        self.qkv_depthwise = conv3x3(3 * channels, 3 * channels, depthwise=True)
        self.project_out = conv1x1(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over ``x``, (B, C, H, W)."""
        batch, channels, height, width = x.shape
        # One row per pixel: a view when x is channels-last.
        rows = self.qkv_depthwise(self.qkv(x)).permute(0, 2, 3, 1).flatten(1, 2)  # (B, HW, 3C)
        q, k, v = rows.split(channels, dim=2)
        mixing = self._mixing_matrix(q, k).to(v.dtype)  # (B, C, C)
        y = torch.bmm(v, mixing.transpose(1, 2))  # (B, HW, C)
        return y.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _mixing_matrix(self, q: Tensor, k: Tensor) -> Tensor:
        """Fold attention and output projection into one matrix per sample, ``W_o blockdiag(A)``.

        So v is read once and ``A v`` is never written. Dividing q and k by their norms is folded
        as well: it scales rows and columns of ``q k^T``, C x C/heads numbers instead of 2 HW C.
        q and k, (B, HW, C) each, to (B, C, C).
        """
        batch, pixels, channels = q.shape
        if q.dtype == torch.float16:  # sums over a large tile exceed its largest number, 65504
            q, k = q * pixels**-0.5, k * pixels**-0.5
        gram = self._split_heads(q) @ self._split_heads(k).transpose(2, 3)  # (B, heads, c, c)
        q_norm = self._norms(q, gram.dtype)  # (B, heads, c, 1)
        k_norm = self._norms(k, gram.dtype).transpose(2, 3)
        attention = torch.softmax(gram / q_norm / k_norm * self.temperature, dim=3)
        # W_o by heads: (heads, C, c)
        project = self.project_out.weight.view(channels, self.heads, -1).transpose(0, 1)
        mixing = project.to(attention.dtype) @ attention  # (B, heads, C, c)
        return mixing.transpose(1, 2).reshape(batch, channels, channels)

    def _split_heads(self, rows: Tensor) -> Tensor:
        """View (B, HW, C) as (B, heads, C/heads, HW)."""
        batch, pixels, _ = rows.shape
        return rows.view(batch, pixels, self.heads, -1).permute(0, 2, 3, 1)

    def _norms(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the L2 norm of each channel over the pixels, (B, heads, C/heads, 1)."""
        # Squares and a sum run three times as fast here as linalg.vector_norm along dimension 1.
        squares = rows.square().sum(1, dtype=torch.promote_types(rows.dtype, torch.float32))
        norms = squares.clamp_min(NORM_FLOOR**2).sqrt()
        return norms.view(len(rows), self.heads, -1, 1).to(dtype)


class GatedFeedForward(nn.Module):
    """``W_2 (gelu(a) * b)``, a and b the halves of a 1x1 and a depthwise 3x3 convolution.

    Of C `channels`, each half has ``int(expansion * C)``.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(expansion * channels)
        self.project_in = conv1x1(channels, 2 * hidden)
        self.depthwise = conv3x3(2 * hidden, 2 * hidden, depthwise=True)
        self.project_out = conv1x1(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each pixel of ``x``, (B, C, H, W)."""
        a, b = self.depthwise(self.project_in(x)).chunk(2, dim=1)
        y: Tensor = self.project_out(functional.gelu(a) * b)
        return y


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each on the norm of its input and added to it."""

    def __init__(self, channels: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels, EPS)
        self.attention = ChannelAttention(channels, heads)
        self.norm2 = LayerNorm2d(channels, EPS)
        self.feed_forward = GatedFeedForward(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x``, (B, C, H, W)."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.feed_forward(self.norm2(x))
        return y


class Downsample(nn.Module):
    """Half the size, twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Bring (B, C, H, W) to (B, 2C, H/2, W/2)."""
        return functional.pixel_unshuffle(self.conv(x), 2)


class Upsample(nn.Module):
    """Twice the size, half the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Bring (B, C, H, W) to (B, C/2, 2H, 2W)."""
        return functional.pixel_shuffle(self.conv(x), 2)


def make_blocks(count: int, channels: int, heads: int, expansion: float) -> nn.Sequential:
    """Make a sequence of transformer blocks."""
    return nn.Sequential(*(TransformerBlock(channels, heads, expansion) for _ in range(count)))
