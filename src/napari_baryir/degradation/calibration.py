"""Turn residual embeddings into probabilities and severity; kept in the weights file.

The embeddings are projected onto a small subspace in which the degradations of the calibration
differ most and in which cells of one degradation scatter equally in all directions (Fisher's
discriminants, whitened). There each domain has its prototype, and nearness to it counts.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator, model_validator
from scipy import ndimage, special

from napari_baryir.domains import CLEAN, UNKNOWN
from napari_baryir.errors import WeightsError, in_words
from napari_baryir.network.config import Frozen

Array = NDArray[np.float32]

Number = Annotated[float, Field(ge=-1e6, le=1e6)]
"""What the distances and errors of a calibration may be; those that are shipped are below 3000."""

Width = Annotated[float, Field(ge=1e-6, le=1e6)]
"""What is divided by."""

HALF_SEVERITY = 0.1
"""The expected error |degraded - clean|, of the range, that is severity 0.5."""


class SeverityCurve(Frozen):
    """Severity within one domain: a coordinate along its residuals, then a rising curve."""

    direction: tuple[Number, ...]
    """In the subspace, (d,)."""
    inputs: tuple[Number, ...] = Field(min_length=2)
    """Coordinates, strictly rising."""
    errors: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = Field(min_length=2)
    """Expected error |degraded - clean| there, of the range, not falling."""

    @model_validator(mode="after")
    def _rises(self) -> SeverityCurve:
        if len(self.inputs) != len(self.errors):
            raise ValueError("there must be one error per input")
        if any(after <= before for before, after in itertools.pairwise(self.inputs)):
            raise ValueError("inputs must rise strictly")
        if any(after < before for before, after in itertools.pairwise(self.errors)):
            raise ValueError("errors must not fall")
        return self

    def expected_error(self, points: Array) -> Array:
        """Return the expected absolute error at points of the subspace, (..., d) to (...)."""
        along = points @ np.asarray(self.direction, np.float32)
        return np.interp(along, self.inputs, self.errors).astype(np.float32)


class Calibration(Frozen):
    """Everything that turns projected residuals into an estimate, but the projection itself."""

    version: Literal[1] = 1
    domains: tuple[str, ...] = Field(min_length=2)
    """Degradations in the model's order, then "clean"."""
    window: int = Field(ge=1, le=99)
    """Side of the square of cells over which residuals are averaged, odd."""
    prototypes: tuple[tuple[Number, ...], ...]
    """(K, d): the mean of each of `domains` in the subspace."""
    offsets: tuple[Number, ...] = ()
    """(K,): added to the logit of each of `domains`; empty for none."""
    temperature: Width
    """The temperature of the softmax over half squared distances d^2 / 2 to the prototypes."""
    tail: Width | None = None
    """Heavy tails, as Student's t has: d^2 becomes ``tail log(1 + d^2 / tail)``, so that one cell
    far from its prototype does not count for hundreds; None for Gauss's."""
    unknown_distance: Number
    """Distance to the nearest prototype at which "unknown" is as likely as not."""
    unknown_width: Width
    """The distance over which it gradually becomes so."""
    severity: tuple[SeverityCurve, ...]
    """One for each of `domains` but "clean"."""
    data: str = ""
    """The images that it was calibrated on."""

    @field_validator("window")
    @classmethod
    def _is_odd(cls, window: int) -> int:
        if window % 2 == 0:
            raise ValueError("must be odd, so that a window has a middle")
        return window

    @model_validator(mode="after")
    def _fits_together(self) -> Calibration:
        if self.domains[-1] != CLEAN or len(set(self.domains)) < len(self.domains):
            raise ValueError("domains must differ and end with 'clean'")
        if not all(name.isprintable() for name in self.domains):
            raise ValueError("names of domains must consist of letters that can be printed")
        if len(self.prototypes) != len(self.domains):
            raise ValueError("there must be one prototype per domain")
        if len(self.offsets) not in (0, len(self.domains)):
            raise ValueError("there must be one offset per domain, or none")
        if len(self.severity) != len(self.domains) - 1:
            raise ValueError("there must be one severity curve per degradation")
        lengths = {len(p) for p in self.prototypes} | {len(s.direction) for s in self.severity}
        if len(lengths) > 1:
            raise ValueError("prototypes and directions must have as many numbers as each other")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Return the domains of an estimate: these and "unknown"."""
        return (*self.domains, UNKNOWN)

    def judge(self, cells: Array) -> tuple[Array, Array]:
        """Return probabilities (K, h, w), "unknown" the last, and severity (h, w) of a plane;
        float32.

        `cells` are projected residuals, (h, w, d).
        """
        return self.judge_pooled(pool(cells, self.window))

    def judge_pooled(self, points: Array) -> tuple[Array, Array]:
        """Judge residuals that are averaged over their windows already, as `judge` does."""
        prototypes = np.asarray(self.prototypes, np.float32)
        squared = np.stack([np.square(points - p).sum(axis=-1) for p in prototypes])
        offsets = np.asarray(self.offsets or np.zeros(len(squared)), np.float32)
        far = squared if self.tail is None else self.tail * np.log1p(squared / self.tail)
        logits = offsets.reshape(-1, *(1,) * (squared.ndim - 1)) - far / (2 * self.temperature)
        known = special.softmax(logits, axis=0)
        beyond = (np.sqrt(squared.min(axis=0)) - self.unknown_distance) / self.unknown_width
        unknown = special.expit(beyond)
        error = np.zeros(points.shape[:-1], np.float32)
        for share, curve in zip(known, self.severity, strict=False):  # clean adds nothing
            error += share * curve.expected_error(points)
        probabilities = np.concatenate([known * (1 - unknown), unknown[None]])
        return probabilities.astype(np.float32), severity_of(error)


def severity_of(error: Array) -> Array:
    """Turn an expected error, as a part of the range, into a severity: ``e / (e + 0.1)``."""
    return error / (error + np.float32(HALF_SEVERITY))


def pool(cells: Array, window: int) -> Array:
    """Average over squares of `window` cells, cut off at the edges: (h, w, d) to the same."""
    inside = np.ones((*cells.shape[:2], 1), np.float32)
    sums, counts = (
        ndimage.uniform_filter(values, (window, window, 1), mode="constant")
        for values in (np.asarray(cells, np.float32), inside)
    )
    return np.asarray(sums / counts, np.float32)


@dataclass(frozen=True)
class Reading:
    """A calibration together with its projection."""

    calibration: Calibration
    subspace: Array
    """(d, D): rows are directions of the residual embedding."""

    @classmethod
    def of(cls, model: Any, name: str) -> Reading:
        """Return the calibration and the projection of a network.

        Raises `WeightsError` if the network is not calibrated, or its calibration cannot be read.
        """
        stored, subspace = getattr(model, "calibration", None), getattr(model, "subspace", None)
        if not stored or subspace is None:
            raise WeightsError(
                f"the weights of '{name}' are not calibrated, so that what their residuals mean is "
                "not known; run napari-baryir calibrate WEIGHTS --data FOLDER_OF_CLEAN_IMAGES"
            )
        try:
            calibration = Calibration.model_validate(stored)
        except ValidationError as error:
            raise WeightsError(
                f"the calibration of '{name}' cannot be read ({in_words(error)}); "
                "run napari-baryir calibrate"
            ) from None
        directions = subspace.detach().cpu().numpy().astype(np.float32)
        width = getattr(model, "evidence_width", directions.shape[-1])
        if directions.ndim != 2 or directions.shape[1] != width:
            raise WeightsError(
                f"the subspace of '{name}' has the shape {directions.shape}, but its residuals "
                f"have {width} channels; run napari-baryir calibrate"
            )
        if len(directions) != len(calibration.prototypes[0]):
            raise WeightsError(
                f"the calibration of '{name}' is for {len(calibration.prototypes[0])} directions, "
                f"but there are {len(directions)}; run napari-baryir calibrate"
            )
        return cls(calibration, directions)
