"""Compact encoder, barycenter map and decoder: gated convolutions on a half-resolution stem.

Ours, not the published network's. Two kinds of block, chosen by what 2 CPU cores do fast: dense 3x3
convolutions with a multiplicative gate at H/2 and H/4, where depthwise ones are bound by memory
(measured, bfloat16, width 32 at 48x48: 270 against 80 GFLOP/s), and depthwise ones with channel
attention at H/8, where parameters are dear. The gate is that of NAFNet (Chen et al., ECCV 2022).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.network.banks import DeblurringBank, KernelBank
from napari_baryir.network.config import GatedConfig
from napari_baryir.network.layers import (
    STATISTICS,
    LayerNorm2d,
    cell_statistics,
    norm_in_full_precision,
    start_at_zero,
    window_mean,
)
from napari_baryir.network.scene import PHYSICS, Scene, SceneHead, at_place, correct
from napari_baryir.network.spectrum import LogSpectrum, SpectrumReader

MAX_LOG_GAIN = 3.0
"""Bound on the log of the coarse gain: 20 times, more than the darkest training image needs."""


def _gate(x: Tensor) -> Tensor:
    """Return the product of the two halves of the channels: (B, 2C, H, W) to (B, C, H, W)."""
    a, b = x.chunk(2, dim=1)
    return a * b


class GatedBlock(nn.Module):
    """``x + project(gate(conv3x3(norm(x))))``, (B, C, H, W) to the same.

    Starts as the identity (`project` is zero), so that depth costs nothing early in training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.project = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor) -> Tensor:
        update: Tensor = self.project(_gate(self.expand(self.norm(x))))
        return x + update


class ContextBlock(nn.Module):
    """Depthwise gated block with channel attention over a window, then a gated feed-forward part.

    (B, C, H, W) to the same. `context` is the half-width of the attention's window, in cells: with
    a window instead of the whole input, patches in training, tiles and whole images see the same
    statistics. With `starts_as_identity` the last layer of each part starts at zero.
    """

    def __init__(self, channels: int, context: int, *, starts_as_identity: bool = True) -> None:
        super().__init__()
        self.context = context
        self.norm = LayerNorm2d(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.spatial = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attention = nn.Conv2d(channels, channels, 1)
        nn.init.ones_(self.attention.get_parameter("bias"))  # starts open, not shut
        self.project = nn.Conv2d(channels, channels, 1)
        self.feed_norm = LayerNorm2d(channels)
        self.feed_expand = nn.Conv2d(channels, 2 * channels, 1)
        self.feed_project = nn.Conv2d(channels, channels, 1)
        if starts_as_identity:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.feed_project.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = _gate(self.spatial(self.expand(self.norm(x))))
        y = y * self.attention(window_mean(y, self.context))
        x = x + self.project(y)
        update: Tensor = self.feed_project(_gate(self.feed_expand(self.feed_norm(x))))
        return x + update


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(GatedBlock(channels) for _ in range(count)))


def _context_blocks(channels: int, count: int, context: int) -> nn.Sequential:
    return nn.Sequential(*(ContextBlock(channels, context) for _ in range(count)))


class Encoder(nn.Module):
    """(B, 3, H, W) to z, (B, 4 width, H/8, W/8), and the skips at H/2 and H/4.

    If the network reads the spectrum, that is a third skip, (B, FEATURES, H/8, W/8).
    """

    def __init__(self, config: GatedConfig) -> None:
        super().__init__()
        c1, c2, c3 = config.width, 2 * config.width, 4 * config.width
        n1, n2, n3 = config.encoder_blocks
        self.stem = nn.Conv2d(3 * 4, c1, 3, padding=1)
        self.level1 = _blocks(c1, n1)
        self.down1 = nn.Conv2d(c1, c2, 2, stride=2)
        self.level2 = _blocks(c2, n2)
        self.down2 = nn.Conv2d(c2, c3, 2, stride=2)
        self.statistics = nn.Conv2d(STATISTICS, c3, 1)
        self.log_spectrum = LogSpectrum(config.context)
        self.spectrum = SpectrumReader(config.spectrum, c3) if config.spectrum else None
        self.level3 = _context_blocks(c3, n3, config.context)
        self.norm = LayerNorm2d(c3)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        e1 = self.level1(self.stem(F.pixel_unshuffle(x, 2)))
        e2 = self.level2(self.down1(e1))
        # Norms all but remove absolute brightness, and haze and darkness are just that.
        e3 = self.down2(e2) + self.statistics(cell_statistics(x))
        skips: tuple[Tensor, ...] = (e1, e2)
        if self.spectrum is not None:
            spectrum = self.log_spectrum(x)
            e3 = e3 + self.spectrum(spectrum)
            skips = (*skips, spectrum)
        return norm_in_full_precision(self.norm, self.level3(e3)), skips


class BarycenterMap(nn.Module):
    """T: z to b, (B, D, H/8, W/8) to the same.

    The blocks add to z in float32, so that under autocast only what T changes is rounded.
    """

    def __init__(self, config: GatedConfig) -> None:
        super().__init__()
        channels = 4 * config.width
        self.blocks = nn.Sequential(
            *(
                # Not the identity at the start: r = z - b = 0 has no direction to contrast.
                ContextBlock(channels, config.context, starts_as_identity=False)
                for _ in range(config.barycenter_blocks)
            )
        )
        self.norm = LayerNorm2d(channels)

    def forward(self, z: Tensor) -> Tensor:
        return norm_in_full_precision(self.norm, self.blocks(z))


class SkipCondition(nn.Module):
    """Scale and shift of a skip by the residual pyramid: the skip (B, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale_shift = nn.Conv2d(channels, 2 * channels, 1)
        start_at_zero(self.scale_shift)

    def forward(self, skip: Tensor, pyramid: Tensor) -> Tensor:
        scale, shift = self.scale_shift(pyramid).chunk(2, dim=1)
        conditioned: Tensor = skip * (1 + scale) + shift
        return conditioned


class Decoder(nn.Module):
    """Image, b, r and skips to the restored image, (B, 3, H, W), float32.

    Haze, darkness and background are coarse: they are corrected first, and the fine decoder sees
    the corrected image and adds texture. With a scene the correction is physical and decided once
    for the whole plane, for those of `domains` that `PHYSICS` has; without one, it is a gain and an
    offset per colour on the H/8 grid.
    """

    def __init__(self, config: GatedConfig, domains: tuple[str, ...] = ()) -> None:
        super().__init__()
        c1, c2, c3 = config.width, 2 * config.width, 4 * config.width
        n3, n2, n1 = config.decoder_blocks
        self.fuse = nn.Conv2d(2 * c3, c3, 1)
        self.level3 = _context_blocks(c3, n3, config.context)
        self.context = config.context
        # ReLU units that only dark, or only hazy, places switch on learn undisturbed by the rest.
        self.coarse_hidden = nn.Conv2d(c3 + STATISTICS, c3, 1)
        self.head: SceneHead | None = None
        if config.scene:
            self.head = SceneHead(c3, tuple(name for name in PHYSICS if name in domains))
            # How much of what is fine to change, from the evidence in r; wide open at first.
            self.gate = nn.Conv2d(c3, 1, 1)
            start_at_zero(self.gate)
            nn.init.constant_(self.gate.get_parameter("bias"), 4.0)
        else:
            self.coarse = nn.Conv2d(c3, 6, 1)
            start_at_zero(self.coarse)
        self.pyramid2 = nn.Conv2d(c3, 4 * c2, 1)
        self.pyramid1 = nn.Conv2d(c2, 4 * c1, 1)
        self.condition2 = SkipCondition(c2)
        self.condition1 = SkipCondition(c1)
        self.up2 = nn.Conv2d(c3, 4 * c2, 1)
        self.level2 = _blocks(c2, n2)
        self.up1 = nn.Conv2d(c2, 4 * c1, 1)
        self.corrected = nn.Conv2d(3 * 4, c1, 1)
        self.level1 = _blocks(c1, n1)
        self.output = nn.Conv2d(c1, 3 * 4, 3, padding=1)
        self.bank = (
            KernelBank(c3, config.kernel_bank, config.kernel_size) if config.kernel_bank else None
        )
        self.deblurring = (
            DeblurringBank(config.deblurring, config.kernel_size, config.spectrum)
            if config.deblurring
            else None
        )
        start_at_zero(self.output)  # the untouched image is the starting point

    def look(self, reduced: Tensor, b: Tensor, r: Tensor) -> Scene:
        """Decide what is coarse from the reduced picture (B, 3, h, w) of a plane."""
        assert self.head is not None
        statistics = cell_statistics(reduced)
        y = self.level3(self.fuse(torch.cat((b, r), dim=1)))
        hidden = self._coarse_hidden(y, statistics)
        scene: Scene = self.head(reduced, b, r, hidden, statistics)
        return scene

    def _coarse_hidden(self, y: Tensor, statistics: Tensor) -> Tensor:
        around = window_mean(statistics, self.context)
        return F.relu(self.coarse_hidden(torch.cat((y, around), dim=1)))

    def _coarsely(
        self, x: Tensor, y: Tensor, seen: tuple[Scene, Tensor] | None, amounts: dict[str, Tensor]
    ) -> Tensor:
        """Correct what is coarse in x, (B, 3, H, W)."""
        if self.head is not None:
            assert seen is not None
            scene, place = seen
            maps = at_place(scene.maps, place, (x.shape[2], x.shape[3]))
            return correct(x.float(), scene, maps, self.head.physics, amounts)
        coarse = self.coarse(self._coarse_hidden(y, cell_statistics(x))).float()
        log_gain, offset = F.interpolate(coarse, size=x.shape[2:], mode="bilinear").chunk(2, dim=1)
        return x * torch.exp(MAX_LOG_GAIN * torch.tanh(log_gain / MAX_LOG_GAIN)) + offset

    def forward(
        self,
        x: Tensor,
        b: Tensor,
        r: Tensor,
        skips: tuple[Tensor, ...],
        seen: tuple[Scene, Tensor] | None = None,
        amounts: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Restore a tile x from its embeddings and the encoder's features.

        `seen` are the scene and the tile's place in it, as in `at_place`, for networks with a
        scene. `amounts` is how much of a domain to remove, (B, 1, 1, 1); empty for all.
        """
        amounts = amounts or {}
        e1, e2, *spectrum = skips
        y = self.fuse(torch.cat((b, r), dim=1))
        if seen is not None:
            y = y + seen[0].context[..., None, None]
        y = self.level3(y)
        corrected = self._coarsely(x, y, seen, amounts)
        p2 = F.pixel_shuffle(self.pyramid2(r), 2)
        p1 = F.pixel_shuffle(self.pyramid1(p2), 2)
        fine: Tensor = torch.zeros_like(corrected) if self.bank is None else self.bank(x, y)
        if self.deblurring is not None:
            fine = fine + self.deblurring(x, *spectrum) * amounts.get("blur", 1.0)
        y = self.level2(F.pixel_shuffle(self.up2(y), 2) + self.condition2(e2, p2))
        y = F.pixel_shuffle(self.up1(y), 2) + self.condition1(e1, p1)
        y = self.level1(y + self.corrected(F.pixel_unshuffle(corrected, 2)))
        fine = fine + F.pixel_shuffle(self.output(y), 2).float()
        if self.head is not None:
            open_ = torch.sigmoid(self.gate(r).float())
            fine = fine * F.interpolate(open_, size=x.shape[2:], mode="bilinear")
            # Where no fine degradation is asked for, nothing fine is changed.
            asked = [amount for name, amount in amounts.items() if name not in PHYSICS]
            if asked:
                fine = fine * torch.stack(asked).amax(dim=0)
        return corrected + fine
