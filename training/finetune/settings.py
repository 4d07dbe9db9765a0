"""The settings of a fine-tuning, and the sizes that fit into memory."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from napari_baryir.devices import MEMORY_SHARE, free_memory
from napari_baryir.errors import DeviceError
from napari_baryir.training.recipe import LossSettings, OptimizerSettings, TrainingSettings

Mode = Literal["frozen-encoder", "lora", "full"]

RATES: dict[Mode, float] = {"frozen-encoder": 2e-4, "lora": 1e-3, "full": 1e-4}
"""Learning rates: half or a quarter of the recipes' where trained weights move, more where adapters
start at zero."""

PATCHES = (96, 64, 48, 32)
"""Sides that are tried, the recipes' first; multiples of 8."""
BATCHES = (12, 8, 6, 4, 2)
"""Batch sizes that are tried for each."""

TRAINING_BYTES = {"gated": 110, "restormer": 5500}
"""Memory of a training step per pixel and unit of width, float32. What is kept for the way back was
counted at 87 (gated, width 32) and 4,410 (restormer, width 48); a quarter is for the rest."""


class FinetuneSettings(TrainingSettings):
    """The settings of one fine-tuning; they meet `napari_baryir.training.recipe.StepSettings`."""

    mode: Mode = "frozen-encoder"
    """"frozen-encoder": T and D learn. "lora": low-rank updates of all convolutions, the least
    memory and the least forgetting. "full": everything learns; for many images."""
    domain: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,40}$")] | None = None
    """Name of the degradation; a new name is a new domain. None: "own", or the one that is made."""
    steps: PositiveInt = 1500
    """Most steps; fewer if the validation no longer improves."""
    batch: PositiveInt | None = None
    """Samples per step, half of them rehearsal; None: what fits into free memory."""
    patch: PositiveInt | None = None
    """Side of the patches, pixels, a multiple of 8; None: what fits."""
    rank: PositiveInt = 8
    """Rank of the updates in mode "lora"."""
    rate: PositiveFloat | None = None
    """Highest learning rate; None: that of the mode."""
    turn: bool = True
    """Whether patches of pairs are turned and turned over. False where a direction matters, such
    as that of stripes, and there are many images."""
    brightness: Literal["auto", "match", "keep"] = "auto"
    """Brightness of pairs: "match" maps each clean image linearly onto its degraded one, as images
    of other exposures need; "keep" takes its values as the goal; "auto" matches grey pairs whose
    ranges differ by more than a factor of two."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the files, at least one, that are never trained on."""
    validate_every: PositiveInt = 100
    """Steps."""
    patience: PositiveInt = 6
    """Validations without improvement after which it stops."""
    calibration_scenes: Annotated[int, Field(ge=0)] = 960
    """Pictures to calibrate the estimates on at the end; 0: leave them uncalibrated."""
    resume: bool = False
    """Whether to go on with the run that was stopped beside the output."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the averaged weights, which are the ones that are kept."""
    losses: LossSettings = LossSettings(first_floor=2e-4, floor=2e-4, floor_steps=0)
    """Weights of the terms, with the floor at which recipes end."""

    @model_validator(mode="after")
    def _fits(self) -> FinetuneSettings:
        if self.patch is not None and (self.patch % 8 or self.patch < PATCHES[-1]):
            raise ValueError(f"patch must be a multiple of 8, at least {PATCHES[-1]}")
        if self.batch is not None and self.batch < BATCHES[-1]:
            raise ValueError(f"batch must be at least {BATCHES[-1]}: one of yours, one rehearsed")
        if self.domain in ("clean", "unknown"):
            raise ValueError(f"domain {self.domain!r} has a meaning of its own; choose another")
        return self

    @property
    def optimizer(self) -> OptimizerSettings:
        """Return how the network and the potentials move."""
        rate = self.rate or RATES[self.mode]
        return OptimizerSettings(rate=rate, warm_up=min(50, self.steps // 10), constant=0.5)

    def identity(self) -> dict[str, Any]:
        """List what must not change between a stop and its resumption."""
        return self.model_dump(
            mode="json", exclude={"device", "precision", "resume", "calibration_scenes"}
        )


def choose_sizes(
    settings: FinetuneSettings, model: Any, device: torch.device, free: int | None = None
) -> tuple[int, int]:
    """Choose the largest batch and patch size that fit into memory, `free` bytes or what is
    measured.

    Sizes that the settings give are kept. Raises `DeviceError` if not even the smallest fit.
    """
    budget = MEMORY_SHARE * (free_memory(device) if free is None else free)
    per_pixel = TRAINING_BYTES[model.config.backbone] * model.config.width
    for patch in (settings.patch,) if settings.patch else PATCHES:
        for batch in (settings.batch,) if settings.batch else BATCHES:
            # Small batches of large patches before large batches of small ones only down to 6.
            roomy = batch >= 6 or patch == PATCHES[-1] or settings.patch or settings.batch
            if roomy and batch * patch**2 * per_pixel <= budget:
                return batch, patch
    raise DeviceError(
        f"fine-tuning this model does not fit into the memory of {device} "
        f"({budget / 2**30:.1f} GiB may be used); close other programs, give a smaller batch or "
        "patch, or use another device"
    )
