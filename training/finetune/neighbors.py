"""Neighbor2Neighbor (Huang et al., CVPR 2021): to denoise by noisy images alone.

Why this and not a blind spot. A blind-spot network may not see the pixel that it predicts, so it
throws away the best witness, and a trained network would have to be rebuilt or trained on a few
masked pixels per patch. Neighbor2Neighbor takes any network as it is, and every pixel teaches:
two neighbours of a cell have nearly the same signal but noise of their own, so that one is an
unbiased target for the other. Both ask for noise that is independent from pixel to pixel; noise
that is not (after interpolation, sharpening or JPEG) is copied as if it were signal.

The published loss is, for two sub-images g1 y and g2 y of a noisy image y and the network f,

    |f(g1 y) - g2 y|^2 + gamma |f(g1 y) - g2 y - (g1 f(y) - g2 f(y))|^2,

its second term because neighbours differ a little in signal too; f(y) carries no gradient. As a
function of f(g1 y) this is (1 + gamma) times the square distance to one corrected target,

    t = g2 y + gamma / (1 + gamma) (g1 f(y) - g2 f(y)),

plus a constant. So it is an ordinary pair, (g1 y, t), and the ordinary training step learns it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GAMMA = 2.0
"""Weight of the correction: the larger of the published 1 (strong noise) and 2 (synthetic)."""

_ADJACENT = np.array([[1, 2], [0, 3], [0, 3], [1, 2]])
"""Pixels 0 1 / 2 3 of a cell: those that share a side with each."""


def draw_neighbors(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose two adjacent pixels in each 2x2 cell.

    Parameters
    ----------
    height, width
        Of the noisy image, even.
    rng
        Where the choices come from.

    Returns
    -------
    (2, height / 2, width / 2), int64: numbers 0 to 3 of the pixels of g1 and of g2, row by row.
    """
    first = rng.integers(4, size=(height // 2, width // 2))
    other = rng.integers(2, size=first.shape)
    return np.stack([first, _ADJACENT[first, other]])


def take_neighbors(image: Tensor, choice: Tensor) -> Tensor:
    """Sub-image of the chosen pixels: (B, C, H, W) and (B, H/2, W/2) to (B, C, H/2, W/2)."""
    b, c, h, w = image.shape
    cells = image.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).flatten(4)
    index = choice[:, None, :, :, None].expand(-1, c, -1, -1, 1)
    return cells.gather(4, index).squeeze(4)


def corrected_target(
    noisy: Tensor, restored: Tensor, choices: Tensor, gamma: float = GAMMA
) -> Tensor:
    """The target t of the module's docstring.

    Parameters
    ----------
    noisy, restored
        y and f(y), (B, C, H, W).
    choices
        (B, 2, H/2, W/2), int64, of `draw_neighbors`.
    gamma
        Weight of the correction.
    """
    first, second = choices.unbind(dim=1)
    difference = take_neighbors(restored, first) - take_neighbors(restored, second)
    return take_neighbors(noisy, second) + gamma / (1 + gamma) * difference.detach()


def as_choices(choices: NDArray[np.int64]) -> Tensor:
    """One image's choices as a batch of one."""
    return torch.from_numpy(choices)[None]
