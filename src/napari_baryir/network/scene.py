"""Decide what is coarse once for a whole plane, from a reduced picture of it.

Haze, darkness and background are properties of a scene. Decided per window, featureless sky is
ambiguous; so the embeddings of a reduced picture of the whole plane decide, and every tile
reads that decision. Each correction is physical and is the identity where it is absent:

- haze, ``J = (x - A) / t + A`` (Koschmieder's model), one airlight A per scene, t at least 0.1;
- darkness, ``y = x exp(e)`` and a tone curve ``y + c y (1 - y)``, at most 20 times brighter;
- background, ``J = x - L`` with a smooth light L.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.network.layers import CELL, STATISTICS, start_at_zero, window_mean

PHYSICS = ("low light", "haze", "background")
"""Domains that are corrected by physics, in the order in which they are undone."""
DEPTH_LIMIT, EXPOSURE_LIMIT, LIGHT_LIMIT = 2.3, 3.0, 1.5
"""Largest optical depth (t = 0.1), log exposure (20 times) and background light."""
LIMITS = {"haze": DEPTH_LIMIT, "low light": EXPOSURE_LIMIT, "background": LIGHT_LIMIT}
SOFT, LEAK = 0.05, 0.02
"""What is physically at least zero bends softly there, and keeps a slope below, so that it can
always be learnt. (With a dead zone around zero, 250 steps taught neither haze nor darkness; with a
slope of 0.05 from zero on, 1,400 steps taught darkness alone.)"""
BRIGHT = 20.0
"""How strongly airlight is looked for where the dark channel (He et al., CVPR 2009) is bright."""
GUIDED_RADIUS, GUIDED_EPSILON = 6, 1e-3
"""The guided filter (He et al., ECCV 2010): pixels of the reduced picture, and squared range."""


class Scene(NamedTuple):
    """The decision for one plane, at the size of its reduced picture (h, w)."""

    maps: Tensor
    """(B, P, h, w), float32, hardly below 0: optical depth, log exposure or light of each of the
    network's physical domains, in its order."""
    airlight: Tensor
    """(B, 3): the colour of haze."""
    curve: Tensor
    """(B, 1): c of the tone curve."""
    context: Tensor
    """(B, D): added to the features of the fine decoder."""
    residual: Tensor
    """(B, D, h/8, w/8): r of the reduced picture."""

    def detach(self) -> Scene:
        """Return the same values without gradients."""
        return Scene(*(value.detach() for value in self))


def scene_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the size of the reduced picture: `side` along the longer axis, multiples of 8."""
    longer = max(height, width)

    def reduced(length: int) -> int:
        return max(CELL, round(length * side / longer / CELL) * CELL)

    return reduced(height), reduced(width)


def at_place(maps: Tensor, place: Tensor, size: tuple[int, int]) -> Tensor:
    """Sample maps of a scene, (B, P, h, w), at the pixels of tiles, bilinearly.

    `place` is top, left, height and width of each tile, (B, 4), as parts of the plane's height and
    width. Tiles may reach beyond the plane, where its edge continues. `size` is height and width of
    the tiles in pixels.
    """
    place = place.to(maps)
    down = (torch.arange(size[0], device=maps.device, dtype=maps.dtype) + 0.5) / size[0]
    right = (torch.arange(size[1], device=maps.device, dtype=maps.dtype) + 0.5) / size[1]
    y = place[:, 0, None] + place[:, 2, None] * down
    x = place[:, 1, None] + place[:, 3, None] * right
    grid = torch.stack(
        (x[:, None, :].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])), dim=-1
    )
    return F.grid_sample(maps, grid * 2 - 1, padding_mode="border", align_corners=False)


def whole(batch: int) -> Tensor:
    """Return the place of a tile that is the whole plane, (B, 4)."""
    return torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(batch, 4)


def correct(
    x: Tensor, scene: Scene, maps: Tensor, physics: tuple[str, ...], amounts: dict[str, Tensor]
) -> Tensor:
    """Undo what is coarse in x, (B, 3, H, W).

    Of `scene` the airlight and the curve are read; `maps` are its maps at the pixels of x, (B, P,
    H, W), and `physics` their names. `amounts` is how much of a domain to undo, (B, 1, 1, 1); a
    domain that is absent is undone wholly.
    """
    one = x.new_ones(())
    for number, name in enumerate(physics):
        amount = amounts.get(name, one)
        value = maps[:, number : number + 1] * amount
        if name == "low light":
            x = x * torch.exp(value)
            x = x + amount * scene.curve[..., None, None] * x * (1 - x)
        elif name == "haze":
            airlight = scene.airlight[..., None, None]
            x = airlight + (x - airlight) * torch.exp(value)
        else:
            x = x - value
    return x


class SceneHead(nn.Module):
    """Embeddings of a reduced picture to the decision for its scene.

    `channels` are D, of the embeddings b and r and of the decoder's features; `physics` the domains
    of `PHYSICS` that the network knows.
    """

    def __init__(self, channels: int, physics: tuple[str, ...]) -> None:
        super().__init__()
        self.physics = physics
        self.maps = nn.Conv2d(2 * channels, max(1, len(physics)), 1)
        self.attention = nn.Conv2d(channels, 1, 1)
        self.pooled = nn.Linear(3 * channels + 4 * STATISTICS, channels)
        # Presence of each domain, then the airlight's offset and the curve.
        self.whole = nn.Linear(channels, len(physics) + 4)
        self.context = nn.Linear(channels, channels)
        for layer in (self.maps, self.attention, self.whole, self.context):
            start_at_zero(layer)
        nn.init.constant_(self.maps.get_parameter("bias"), 0.02)  # nearly the identity

    def forward(
        self, image: Tensor, b: Tensor, r: Tensor, hidden: Tensor, statistics: Tensor
    ) -> Scene:
        """Decide from the reduced picture (B, 3, h, w) and its features at h/8, w/8."""
        means = [f.float().mean(dim=(2, 3)) for f in (b, r, hidden, statistics)]
        # Haze is seen best in the spread and the least of what the cells hold.
        extremes = [f(dim=(2, 3)) for f in (statistics.amax, statistics.amin)]
        spread = statistics.float().var(dim=(2, 3), correction=0).add(1e-6).sqrt()
        pooled = F.relu(self.pooled(torch.cat((*means, *extremes, spread), dim=1)))
        known = self.whole(pooled).float()
        count = len(self.physics)
        presence = 2 * torch.sigmoid(known[:, :count])[..., None, None]  # 1 at first
        everywhere = pooled[..., None, None].expand(-1, -1, *hidden.shape[2:])
        raw = self.maps(torch.cat((hidden, everywhere), dim=1)).float()[:, :count] * presence
        limits = raw.new_tensor([LIMITS[name] for name in self.physics])[:, None, None]
        amounts = limits * torch.tanh(_softly_positive(raw) / limits)
        maps = F.interpolate(amounts, size=image.shape[2:], mode="bilinear")
        sharp = guided(image.float().mean(dim=1, keepdim=True), maps)
        smooth = maps.new_tensor([name == "background" for name in self.physics])[:, None, None]
        colours = F.avg_pool2d(image.float(), CELL).flatten(2)
        # Starts as the dark channel prior has it: haze is thickest where the darkest colour is
        # brightest. From the mean colour haze and airlight would have to be found together.
        dark = statistics[:, 3:6].amin(dim=1, keepdim=True).float()
        weights = torch.softmax((self.attention(hidden).float() + BRIGHT * dark).flatten(2), dim=2)
        offset = 0.3 * torch.tanh(known[:, count : count + 3])
        return Scene(
            maps=torch.where(smooth > 0, maps, sharp),
            airlight=(colours * weights).sum(dim=2) + offset,
            curve=0.5 * torch.tanh(known[:, count + 3 :]),
            context=self.context(pooled).float(),
            residual=r.float(),
        )


def _softly_positive(x: Tensor) -> Tensor:
    return F.celu(x, SOFT) + LEAK * x.clamp(max=0)


def guided(guide: Tensor, maps: Tensor) -> Tensor:
    """Bend the edges of maps (B, P, h, w) to those of a guide (B, 1, h, w): the guided filter."""

    def mean(x: Tensor) -> Tensor:
        return window_mean(x, GUIDED_RADIUS)

    centre, level = mean(guide), mean(maps)
    slope = (mean(guide * maps) - centre * level) / (
        mean(guide * guide) - centre * centre + GUIDED_EPSILON
    )
    return mean(slope) * guide + mean(level - slope * centre)
