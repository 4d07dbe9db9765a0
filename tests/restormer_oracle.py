"""The transformer block in its straightforward form: what the fast form must equal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_baryir.network.transformer import (
    ChannelAttention,
    GatedFeedForward,
    TransformerBlock,
)


def layer_norm(x: Tensor, norm: nn.Module) -> Tensor:
    """Mean and variance over dimension 1, then scale and shift."""
    weight, bias = norm.weight[:, None, None], norm.bias[:, None, None]
    mean = x.mean(1, keepdim=True)
    variance = ((x - mean) ** 2).mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + norm.eps) * weight + bias


def attention(x: Tensor, module: ChannelAttention) -> Tensor:
    """Normalise q and k, attend head by head, and project afterwards."""
    batch, channels, height, width = x.shape
    q, k, v = (
        part.reshape(batch, module.heads, channels // module.heads, height * width)
        for part in module.qkv_depthwise(module.qkv(x)).chunk(3, dim=1)
    )
    q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
    weights = torch.softmax(q @ k.transpose(-2, -1) * module.temperature, dim=-1)
    return module.project_out((weights @ v).reshape(batch, channels, height, width))


def feed_forward(x: Tensor, module: GatedFeedForward) -> Tensor:
    """Gate one half with the other's GELU, written out with the error function."""
    a, b = module.depthwise(module.project_in(x)).chunk(2, dim=1)
    gelu = a * 0.5 * (1 + torch.erf(a / 2**0.5))
    return module.project_out(gelu * b)


def block(x: Tensor, module: TransformerBlock) -> Tensor:
    """Attention, then feed-forward, each on the norm of its input."""
    x = x + attention(layer_norm(x, module.norm1), module.attention)
    return x + feed_forward(layer_norm(x, module.norm2), module.feed_forward)
