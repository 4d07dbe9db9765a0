"""From a picture to the restored picture, in one network that needs nothing around it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from napari_baryir.imaging.intensity import NETWORK_HIGH, NETWORK_LOW
from napari_baryir.network import BaryIR
from napari_baryir.network.layers import CELL
from napari_baryir.network.scene import Scene

LEAST_SIDE = 16
"""Height and width of the smallest picture, pixels: the margins of the spectrum reflect 12."""
LEAST_CELLS = LEAST_SIDE // CELL
"""Cells of the reduced picture along its shorter side, at least."""


class WholePicture(nn.Module):
    """Restores whole pictures of any size, (B, channels, H, W), as ``tile="whole"`` does.

    All that surrounds the network is inside: values are held within what it was trained on, the
    picture is continued to whole cells of its grid, and the scene is decided on the picture that
    is reduced by means over areas. Every size is computed from the input, so that an exported graph
    has them free.

    Two things differ from `napari_baryir.restore`. The intensity map is the caller's: values are
    about [0, 1]. And a picture that is more than ten times as long as it is wide is reduced to 16
    pixels across instead of 8.

    Parameters
    ----------
    model
        Any configuration, in evaluation mode.
    channels
        3 for colours. 1 for grey, which the network is shown in all three channels, and whose three
        answers are averaged.
    """

    def __init__(self, model: BaryIR, channels: int) -> None:
        super().__init__()
        self.model = model
        self.channels = channels

    def forward(self, picture: Tensor) -> Tensor:
        shown = picture.clamp(NETWORK_LOW, NETWORK_HIGH).expand(-1, 3, -1, -1)
        height, width = shown.shape[2:]
        lengths = [torch.full((), side, dtype=torch.int64) for side in (height, width)]
        down, right = ((length + CELL - 1) // CELL for length in lengths)
        x = _continued(_continued(shown, 2, _as_size(down)), 3, _as_size(right))
        latents = self.model.encode(x)
        scene: Scene | None = None
        place: Tensor | None = None
        if self.model.scene_side:
            scene = self._look(shown, lengths)
            parts = (CELL * down / lengths[0], CELL * right / lengths[1])
            place = torch.stack((torch.zeros(()), torch.zeros(()), *parts)).expand(
                shown.shape[0], 4
            )
        restored = self.model.decode(x, latents, scene=scene, place=place)
        # Slices of a size that is a symbol have none that the export could compare.
        inside = restored.index_select(2, torch.arange(height)).index_select(3, torch.arange(width))
        change = inside - shown
        return picture + (change.mean(dim=1, keepdim=True) if self.channels == 1 else change)

    def _look(self, shown: Tensor, lengths: list[Tensor]) -> Scene:
        """Decide for the picture, reduced as `scene_size` says."""
        longer = torch.maximum(*lengths)
        weights = []
        for side, length in zip(shown.shape[2:], lengths, strict=True):
            share, whole = length * self.model.scene_side, longer * CELL
            cells = share // whole
            # Half a cell goes to the even number, as Python rounds; in integers, which are exact.
            cells = cells + (2 * (share - cells * whole) + cells % 2 + whole - 1) // (2 * whole)
            weights.append(area_weights(side, CELL * _as_size(cells.clamp(min=LEAST_CELLS))))
        scene = self.model.look(weights[0] @ (shown @ weights[1].T))
        assert scene is not None
        return scene


def _as_size(cells: Tensor) -> int:
    """Return a number of cells as a size: a symbol while the network is exported."""
    size = cast("int", cells.item())
    torch._check(size >= LEAST_CELLS)
    return size


def area_weights(length: int, size: int) -> Tensor:
    """Return how much each of `length` pixels counts in each of `size` equal areas.

    The values of `napari_baryir.imaging.reduction.area_weights`, as a graph: (size, length)
    float32, each row sums to 1.
    """
    pixels, areas = torch.arange(length), torch.arange(size)[:, None]
    ends = torch.minimum((areas + 1) * length, (pixels + 1) * size)
    covered = (ends - torch.maximum(areas * length, pixels * size)).clamp(min=0)
    return covered.to(torch.float32) / torch.full((), length, dtype=torch.float32)


def _continued(picture: Tensor, axis: int, cells: int) -> Tensor:
    """Continue a picture along an axis by its reflection, to whole cells."""
    end = picture.shape[axis] - 1
    return picture.index_select(axis, end - (torch.arange(CELL * cells) - end).abs())
