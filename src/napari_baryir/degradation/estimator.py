"""One tile through the encoder, and through the decoder where contributions are asked for."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_baryir.devices import Precision
from napari_baryir.network import BaryIR
from napari_baryir.network.baryir import Latents
from napari_baryir.restoration.engine import MemoryAware

PARTS = ("barycenter", "residual", "shapley_barycenter", "shapley_residual", "total")
"""The maps of `Contributions`, in the order in which the engine gives them."""


class EstimateEngine(MemoryAware):
    """Computes the projected residuals of a tile, and contributions on request.

    Parameters
    ----------
    model, device, precision, overlap
        As for `MemoryAware`; `model` is a `BaryIR`.
    subspace
        (d, D): the directions that residuals are projected on.
    contributions
        Whether to decode as well, four times.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        precision: Precision,
        subspace: NDArray[np.float32],
        *,
        overlap: int = 48,
        contributions: bool = False,
    ) -> None:
        super().__init__(model, device, precision, overlap=overlap)
        self.contributions = contributions
        self.subspace = torch.from_numpy(np.array(subspace, np.float32)).to(device)

    def _run(self, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Cells (h, w, d); with contributions also their maps, (H, W, 5, C)."""
        network = cast(BaryIR, self.model)
        # Entered per tile: both are per thread and must not outlive a yield of our callers.
        with torch.inference_mode():
            x = self.input_tensor(tile)
            with self.autocast():
                latents = network.encode(x)
            # Outside of autocast: the residual is a small difference of large numbers.
            cells = torch.einsum("dc,chw->hwd", self.subspace, latents.residual[0].float())
            answers = [cells.cpu().numpy()]
            if self.contributions:
                maps = self._decode(network, x, latents)
                if tile.shape[2] == 1:
                    maps = maps.mean(dim=1, keepdim=True)
                answers.append(maps.permute(2, 3, 0, 1).contiguous().cpu().numpy())
        for answer in answers:
            self.require_finite(answer)
        return tuple(answers)

    def _decode(self, network: BaryIR, x: Tensor, latents: Latents) -> Tensor:
        """`PARTS` of a tile, (5, C, H, W)."""

        def decoded(*, barycenter: bool, residual: bool) -> Tensor:
            with self.autocast():
                restored = network.decode(
                    x, latents, use_barycenter=barycenter, use_residual=residual
                )
            return restored[0].float()

        both = decoded(barycenter=True, residual=True)
        only_b = decoded(barycenter=True, residual=False)
        only_r = decoded(barycenter=False, residual=True)
        neither = decoded(barycenter=False, residual=False)
        parts: dict[str, Any] = {
            "barycenter": both - only_r,
            "residual": both - only_b,
            "shapley_barycenter": ((both - only_r) + (only_b - neither)) / 2,
            "shapley_residual": ((both - only_b) + (only_r - neither)) / 2,
            "total": both - neither,
        }
        return torch.stack([parts[name] for name in PARTS])
