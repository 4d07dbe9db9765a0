"""Sample pictures of a run: degraded, restored and true, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_baryir.atomic import written_aside
from napari_baryir.network import BaryIR
from napari_baryir.training.validation import Pair

Pictures = Mapping[str, NDArray[np.uint8]]
"""Domain to degraded | restored | truth, (H, W, 3)."""

GAP = 4
"""White pixels between pictures."""


@torch.inference_mode()
def sample_pictures(
    model: BaryIR,
    pairs: dict[str, list[Pair]],
    device: torch.device,
    autocast: torch.dtype | None,
) -> dict[str, NDArray[np.uint8]]:
    """Restore the first validation image of every domain.

    Parameters
    ----------
    model
        In evaluation mode.
    pairs, device, autocast
        As in `validate`.
    """
    pictures = {}
    for domain, (pair, *_) in pairs.items():
        x = pair.degraded.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            restored = model(x).restored
        three = [_picture(image) for image in (pair.degraded, restored, pair.clean)]
        gap = np.full((three[0].shape[0], GAP, 3), 255, np.uint8)
        pictures[domain] = np.concatenate((three[0], gap, three[1], gap, three[2]), axis=1)
    return pictures


def save_pictures(folder: Path, step: int, pictures: Pictures) -> None:
    """Write ``DOMAIN/STEP.png`` for each, so that a folder shows a domain over the steps."""
    from PIL import Image

    for domain, picture in pictures.items():
        with written_aside(folder / domain / f"{step:08d}.png") as aside:
            Image.fromarray(picture).save(aside, format="PNG")


def pictures_every(steps: int, validate_every: int, most: int) -> int:
    """Steps between validations that show pictures, so that there are `most` at most; 0: never."""
    validations = -(-steps // validate_every)
    return -(-validations // most) * validate_every if most else 0


def _picture(image: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W), about [0, 1], to (H, W, 3)."""
    values = image[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return np.asarray(np.rint(255 * values), np.uint8)
