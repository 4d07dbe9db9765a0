"""A tiny network with a calibration that makes its estimates differ from place to place."""

from __future__ import annotations

import numpy as np
import torch

from fake_networks import random_gated_network
from napari_baryir.network import BaryIR

DOMAINS = ("noise", "haze")
"""Of the network; its estimates add clean and unknown."""


def calibrated_network() -> BaryIR:
    """Seeded weights; every domain is the most probable one somewhere in a noisy image."""
    model = random_gated_network()
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((1, 3, 128, 128), np.float32))
    with torch.inference_mode():
        residual = model.encode(image).residual[0].flatten(1).numpy()  # (D, cells)
    rows = rng.standard_normal((2, len(residual))).astype(np.float32)
    rows /= np.maximum((rows @ residual).std(axis=1, keepdims=True), 1e-6)
    cells = (rows @ residual).T  # (cells, 2)
    middle = cells.mean(axis=0)
    prototypes = [middle + offset for offset in np.array([[0.6, 0.0], [-0.6, 0.3], [0.0, -0.6]])]
    low, high = float(cells[:, 0].min()), float(cells[:, 0].max())
    curve = {"direction": (1.0, 0.0), "inputs": (low, high), "errors": (0.0, 0.9)}
    model.domains = DOMAINS
    model.subspace = torch.from_numpy(rows)
    model.calibration = {
        "domains": [*DOMAINS, "clean"],
        "window": 1,
        "prototypes": [[float(x) for x in p] for p in prototypes],
        "temperature": 0.2,
        "unknown_distance": 1.2,
        "unknown_width": 0.2,
        "severity": [curve, curve],
    }
    return model
