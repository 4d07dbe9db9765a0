"""The published backbone: transformer blocks with attention between channels ("BaryNet").

Written from its mathematics, and held to its numbers by the conformance tests. With prompts in the
decoder it is the paper's best variant, of which neither code nor numbers of layers are published.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_baryir.errors import InputError
from napari_baryir.network.config import RestormerConfig
from napari_baryir.network.layers import LayerNorm2d, norm_in_full_precision
from napari_baryir.network.prompts import PromptBlock
from napari_baryir.network.transformer import (
    EPS,
    Downsample,
    Upsample,
    conv1x1,
    conv3x3,
    make_blocks,
)

NOISE_HEADS = 4
"""The fusion block and the two noise blocks of the decoder have four heads at every width. So do
the blocks that read prompts."""


class Encoder(nn.Module):
    """E: an image becomes the source embedding z, and features for the skips."""

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__()
        _check_heads(config)
        d, n, h = config.width, config.encoder_blocks, config.heads
        self.stem = conv3x3(3, d)
        self.level1 = make_blocks(n[0], d, h[0], config.expansion)
        self.down1 = Downsample(d)
        self.level2 = make_blocks(n[1], 2 * d, h[1], config.expansion)
        self.down2 = Downsample(2 * d)
        self.level3 = make_blocks(n[2], 4 * d, h[2], config.expansion)
        self.down3 = Downsample(4 * d)
        self.latent = make_blocks(n[3], 8 * d, h[3], config.expansion)
        self.norm = LayerNorm2d(8 * d, EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Encode ``x``, (B, 3, H, W), into z, (B, 8D, H/8, W/8), and skips at H, H/2 and H/4."""
        x = x.contiguous(memory_format=torch.channels_last)
        e1 = self.level1(self.stem(x))  # (B, D, H, W)
        e2 = self.level2(self.down1(e1))  # (B, 2D, H/2, W/2)
        e3 = self.level3(self.down2(e2))  # (B, 4D, H/4, W/4)
        # At H/8 the running sum of the blocks is float32 under autocast too: z is read from it.
        deep = self.latent(self.down3(e3).to(self.norm.weight.dtype))  # (B, 8D, H/8, W/8)
        return norm_in_full_precision(self.norm, deep), (e1, e2, e3)


class BarycenterMap(nn.Module):
    """T: the source embedding becomes the degradation-agnostic one.

    `norm` is the encoder's, to be used for b as well; None makes an own one.
    """

    def __init__(self, config: RestormerConfig, norm: nn.Module | None) -> None:
        super().__init__()
        channels = 8 * config.width
        self.blocks = make_blocks(
            config.barycenter_blocks, channels, config.heads[3], config.expansion
        )
        if norm is None:
            self.norm = LayerNorm2d(channels, EPS)
        # A shared norm belongs to the encoder. Held in a tuple it is not registered here again, so
        # that its two tensors have one name each in the state dict.
        self._shared_norm = () if norm is None else (norm,)

    def forward(self, z: Tensor) -> Tensor:
        """Map z, (B, 8D, H/8, W/8), to b of the same shape."""
        norm = self._shared_norm[0] if self._shared_norm else self.norm
        return norm_in_full_precision(norm, self.blocks(z))


class ResidualPyramid(nn.Module):
    """The residual embedding, brought to the size and width of each skip."""

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__()
        d, n, h = config.width, config.residual_blocks, config.heads
        self.reduce_latent = conv1x1(8 * d, 8 * d)
        self.up3 = Upsample(8 * d)
        self.mix3 = conv1x1(4 * d, 4 * d)
        self.level3 = make_blocks(n[0], 4 * d, h[2], config.expansion)
        self.reduce3 = conv1x1(4 * d, 4 * d)
        self.up2 = Upsample(4 * d)
        self.mix2 = conv1x1(2 * d, 2 * d)
        self.level2 = make_blocks(n[1], 2 * d, h[1], config.expansion)
        self.reduce2 = conv1x1(2 * d, 2 * d)
        self.up1 = Upsample(2 * d)

    def forward(self, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Expand r, (B, 8D, H/8, W/8), to H, H/2 and H/4 with D, 2D and 4D channels."""
        p3 = self.up3(self.reduce_latent(r))  # (B, 4D, H/4, W/4)
        p2 = self.up2(self.reduce3(self.level3(self.mix3(p3))))  # (B, 2D, H/2, W/2)
        p1 = self.up1(self.reduce2(self.level2(self.mix2(p2))))  # (B, D, H, W)
        return p1, p2, p3


class Decoder(nn.Module):
    """D: barycenter, residual and skips become the restored image.

    With `config.prompts`, a prompt block comes last at H/8, H/4 and H/2, before each upsampling; at
    H/8 it sees barycenter and residual fused.
    """

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__()
        d, n, h = config.width, config.decoder_blocks, config.heads
        expansion = config.expansion
        self.skip_factor = config.skip_factor
        self.pyramid = ResidualPyramid(config)

        self.fuse_noise = make_blocks(1, 16 * d, NOISE_HEADS, expansion)
        self.fuse_reduce = conv1x1(16 * d, 4 * d)
        self.up3 = Upsample(4 * d)

        self.join3 = conv1x1(6 * d, 4 * d)
        self.level3 = make_blocks(n[0], 4 * d, h[2], expansion)
        self.noise3 = make_blocks(1, 4 * d, NOISE_HEADS, expansion)
        self.reduce3 = conv1x1(4 * d, 4 * d)
        self.up2 = Upsample(4 * d)

        self.join2 = conv1x1(4 * d, 2 * d)
        self.level2 = make_blocks(n[1], 2 * d, h[1], expansion)
        self.noise2 = make_blocks(1, 2 * d, NOISE_HEADS, expansion)
        self.reduce2 = conv1x1(2 * d, 2 * d)
        self.up1 = Upsample(2 * d)

        self.level1 = make_blocks(n[2], 2 * d, h[0], expansion)
        self.refinement = make_blocks(config.refinement_blocks, 2 * d, h[0], expansion)
        self.output = conv3x3(2 * d, 3)

        self.prompt3, self.prompt2, self.prompt1 = _prompt_blocks(config, (4 * d, 4 * d, 2 * d))

    def forward(self, x: Tensor, b: Tensor, r: Tensor, skips: tuple[Tensor, ...]) -> Tensor:
        """Restore the image x that was encoded: (B, 3, H, W) to the same, not clamped.

        `b` and `r` are (B, 8D, H/8, W/8), `skips` the encoder's features at H, H/2 and H/4.
        """
        p1, p2, p3 = self.pyramid(r)
        e1, e2, e3 = skips
        u = self.prompt3(self.fuse_reduce(self.fuse_noise(torch.cat((b, r), 1))))
        u = self.up3(u)  # (B, 2D, H/4, W/4)
        u = self.join3(torch.cat((u, self._conditioned(e3, p3)), 1))  # (B, 4D, H/4, W/4)
        u = self.prompt2(self.reduce3(self.noise3(self.level3(u))))
        u = self.up2(u)  # (B, 2D, H/2, W/2)
        u = self.join2(torch.cat((u, self._conditioned(e2, p2)), 1))
        u = self.prompt1(self.reduce2(self.noise2(self.level2(u))))
        u = self.up1(u)  # (B, D, H, W)
        u = torch.cat((u, self._conditioned(e1, p1)), 1)  # (B, 2D, H, W)
        restored: Tensor = self.output(self.refinement(self.level1(u)))
        return restored.to(x.dtype) + x

    def _conditioned(self, skip: Tensor, pyramid: Tensor) -> Tensor:
        return torch.add(skip, pyramid, alpha=self.skip_factor)


def _prompt_blocks(config: RestormerConfig, features: tuple[int, int, int]) -> list[nn.Module]:
    """Make the prompt blocks at H/8, H/4 and H/2; without prompts they change nothing."""
    prompts = config.prompts
    if prompts is None:
        return [nn.Identity() for _ in features]
    return [
        PromptBlock(
            width,
            length=prompts.length,
            channels=channels,
            size=size,
            heads=NOISE_HEADS,
            expansion=config.expansion,
        )
        for width, channels, size in zip(features, prompts.channels, prompts.sizes, strict=True)
    ]


def _check_heads(config: RestormerConfig) -> None:
    """Raise `InputError` for widths that do not divide into heads."""
    d, h = config.width, config.heads
    needs = [(d * 2**i, h[i]) for i in range(4)] + [(2 * d, h[0]), (2 * d, NOISE_HEADS)]
    if config.prompts is not None:
        widths = zip((4 * d, 4 * d, 2 * d), config.prompts.channels, strict=True)
        needs += [(features + channels, NOISE_HEADS) for features, channels in widths]
    for channels, heads in needs:
        if channels % heads:
            raise InputError(
                f"{channels} channels do not divide into {heads} heads; choose another width "
                "or, with prompts, other channels of theirs"
            )
    if d % 2:
        raise InputError(f"width {d} is odd; downsampling needs an even one")
