"""Estimates of what is wrong with an image, and where, from the residual embeddings."""

from __future__ import annotations

from napari_baryir.degradation.estimation import estimate_degradation, iter_estimate
from napari_baryir.degradation.results import Contributions, DegradationEstimate

__all__ = ["Contributions", "DegradationEstimate", "estimate_degradation", "iter_estimate"]
