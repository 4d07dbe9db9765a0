"""Prompts for the decoder, in the manner of PromptIR (Potlapalli et al., NeurIPS 2023).

Written from the paper's mathematics. With C prompt components P_c and features F:

    w = softmax(W mean(F))                    mean over all places; one weight per component
    P = conv3x3(resize(sum_c w_c P_c))        to the size of F
    F + reduce(block([F, P]))                 block: attention and feed-forward, as everywhere

Departure: in the paper the last line is ``reduce(block([F, P]))``. Here it is added to F, and
`reduce` starts at zero. The decoder then starts as the one without prompts, exactly: published
weights fit into it, and what prompts add can be measured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_baryir.network.transformer import TransformerBlock, conv1x1, conv3x3


class PromptGeneration(nn.Module):
    """Mix learnt components into a prompt for the features at hand.

    The mean is over all places of the input, as in the paper, and not over a window as in the
    compact network: the channel attention of every block here pools over the whole input anyway, so
    that a window would not make tiles agree. A tile's prompt therefore depends on that tile's
    content, and, since the components are stretched over the tile, on where a place lies in it.

    `features` are the channels C of the features, `length` the number N of components, `channels`
    those of the prompt, P, and `size` the side S of the components, which are resized to the
    features, so that no parameter depends on the size of the image.
    """

    def __init__(self, features: int, *, length: int, channels: int, size: int) -> None:
        super().__init__()
        self.components = nn.Parameter(torch.randn(length, channels, size, size))
        self.choose = nn.Linear(features, length)
        self.smooth = conv3x3(channels, channels)

    def weights(self, features: Tensor) -> Tensor:
        """Return shares of the components, (B, N), from (B, C, H, W); they sum to 1 over N."""
        return torch.softmax(self.choose(features.mean((2, 3))), dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Make the prompt for ``features``: (B, C, H, W) to (B, P, H, W)."""
        # Mixed before it is resized: both are linear, and the components are small.
        mixed = self.weights(features) @ self.components.flatten(1)  # (B, P S S)
        mixed = mixed.unflatten(1, self.components.shape[1:])  # (B, P, S, S)
        resized = functional.interpolate(mixed, size=features.shape[-2:], mode="bilinear")
        prompt: Tensor = self.smooth(resized)
        return prompt


class PromptBlock(nn.Module):
    """Let features interact with the prompt that is made for them: (B, C, H, W) to the same.

    `heads` of the attention divide C + `channels`; `expansion` is that of the feed-forward part.
    The others are as for `PromptGeneration`.
    """

    def __init__(
        self, features: int, *, length: int, channels: int, size: int, heads: int, expansion: float
    ) -> None:
        super().__init__()
        self.prompt = PromptGeneration(features, length=length, channels=channels, size=size)
        self.interact = TransformerBlock(features + channels, heads, expansion)
        self.reduce = conv1x1(features + channels, features)
        nn.init.zeros_(self.reduce.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Add a prompt that fits them to ``features``."""
        prompt = self.prompt(features).to(features.dtype)
        update: Tensor = self.reduce(self.interact(torch.cat((features, prompt), 1)))
        return features + update
