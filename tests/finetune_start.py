"""What the tests of fine-tuning share: a tiny model, tiny images, few steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.steps import Steps
from napari_baryir.training.finetune import FinetuneProgress, FinetuneResult, plan, tuning
from napari_baryir.weights.files import save_weights

DOMAINS = ("noise", "stripes", "clean")
QUICK: dict[str, Any] = {
    "steps": 6, "validate_every": 3, "batch": 4, "patch": 32, "device": "cpu",
    "precision": "float32", "calibration_scenes": 0, "rate": 2e-3, "ema": 0.5,
}  # fmt: skip
QUICKEST = QUICK | {"steps": 4, "validate_every": 2, "batch": 2}


def save_tiny_model(path: Path) -> Path:
    """Write a tiny microscopy model, called tiny; it starts as the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BaryIR(VARIANTS["tiny"], domains=DOMAINS).eval()
    model.prototypes = torch.nn.functional.normalize(torch.ones(3, 32) + torch.eye(3, 32))
    model.provenance = {"name": "tiny", "image_kind": "microscopy", "licence": "BSD-3-Clause"}
    save_weights(model, path)
    return path


def write_pairs(folder: Path) -> tuple[Path, Path]:
    """Write four pairs whose degraded image is the clean one, darker and with an offset."""
    low, high = folder / "low", folder / "high"
    low.mkdir()
    high.mkdir()
    for number in range(4):
        clean = scene(number)
        tifffile.imwrite(high / f"{number}.tif", clean)
        noisy = np.random.default_rng(number).normal(0.5 * clean + 300, 40)
        tifffile.imwrite(low / f"{number}.tif", noisy.astype(np.uint16))
    return low, high


def scene(seed: int, side: int = 64) -> NDArray[np.uint16]:
    """Discs on a slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = 200 + 4.0 * x
    for _ in range(6):
        cy, cx, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(4, 10)
        image[np.hypot(y - cy, x - cx) < r] += rng.uniform(300, 900)
    return image.astype(np.uint16)


def forgive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of a network that starts as the identity cost the old domains more than 0.3 dB."""
    monkeypatch.setattr(tuning, "FORGIVEN", 1000.0)
    monkeypatch.setattr(plan, "OLD_IMAGES", 1)  # enough to see what is forgotten


def keep_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps teach little: every validation counts as better."""
    forgive(monkeypatch)
    monkeypatch.setattr(tuning, "LEAST_GAIN", -1000.0)


def finish(steps: Any) -> tuple[list[FinetuneProgress], FinetuneResult]:
    """Return all progress but that of validations, and the result."""
    run = Steps(steps)
    return [each for each in run if each.validating is None], run.result


def measured(steps: Iterator[FinetuneProgress]) -> FinetuneProgress:
    """Go on until the starting model is measured: the last progress before the first step."""
    return next(each for each in steps if each.validating is None)
