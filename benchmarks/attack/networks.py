"""The networks of an attack: as small as they can be, so that a case costs milliseconds."""

from __future__ import annotations

import functools

import numpy as np
import torch

from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS

DOMAINS = ("noise", "haze", "clean")


@functools.cache
def small_network(*, scene: bool) -> BaryIR:
    """Return a calibrated network with seeded weights; with `scene`, one that can be steered."""
    extra = {"scene": 16, "steering": 2} if scene else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BaryIR(VARIANTS["tiny"].model_copy(update=extra), domains=DOMAINS)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    rows = np.random.default_rng(0).standard_normal((2, model.evidence_width)).astype(np.float32)
    curve = {"direction": [1.0, 0.0], "inputs": [-1.0, 1.0], "errors": [0.0, 0.9]}
    model.subspace = torch.from_numpy(rows)
    model.calibration = {
        "domains": list(DOMAINS), "window": 3,
        "prototypes": [[0.6, 0.0], [-0.6, 0.3], [0.0, -0.6]],
        "temperature": 0.2, "unknown_distance": 1.2, "unknown_width": 0.2,
        "severity": [curve, curve],
    }  # fmt: skip
    return model.eval()
