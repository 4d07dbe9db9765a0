"""One tile through the encoder, and through the decoder where contributions are asked for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_baryir.degradation.results import Contributions
from napari_baryir.devices import Precision
from napari_baryir.network import BaryIR
from napari_baryir.network.baryir import Latents
from napari_baryir.restoration.engine import MemoryAware

PARTS = tuple(part.name for part in fields(Contributions))
"""The maps of `Contributions`, in the order in which the engine gives them."""

BOTH = ((True, True), (True, False), (False, True), (False, False))
"""Presence of the barycenter and of the residual in the four images that contributions compare."""


class EstimateEngine(MemoryAware):
    """Computes the projected residuals of a tile by a `BaryIR`, and contributions on request.

    `subspace`, (d, D), has the directions that residuals are projected on. `contributions` decodes
    as well, four times.
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

    def _look(self, reduced: Tensor) -> Any:
        """Return the scene of a plane with and without each embedding, as far as it is needed."""
        network, parts = cast(BaryIR, self.model), BOTH if self.contributions else BOTH[:1]
        return {(b, r): network.look(reduced, use_barycenter=b, use_residual=r) for b, r in parts}

    def _run(self, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Compute cells (h, w, d); with contributions also their maps, (H, W, 5, C)."""
        network = cast(BaryIR, self.model)
        # Entered per tile: both are per thread and must not outlive a yield of our callers.
        with torch.inference_mode():
            x = self.input_tensor(tile)
            with self.autocast():
                latents = network.encode(x)
            scene = self._scene[True, True] if self._scene else None
            place = self.place(*tile.shape[:2]) if self._scene else None
            # Outside of autocast: the residual is a small difference of large numbers.
            evidence = latents.residual.float()
            if scene is not None:
                evidence = network.evidence(latents, scene, place)
            cells = torch.einsum("dc,chw->hwd", self.subspace, evidence[0])
            answers = [cells.cpu().numpy()]
            if self.contributions:
                maps = self._decode(network, x, latents, place)
                if tile.shape[2] == 1:
                    maps = maps.mean(dim=1, keepdim=True)
                answers.append(maps.permute(2, 3, 0, 1).contiguous().cpu().numpy())
        for answer in answers:
            self.require_finite(answer)
        return tuple(answers)

    def values(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a tile of a lazy image, (H, W, C).

        To projected residuals, each followed by 1 where the tile is of one value, else 0; with
        contributions to these maps, (H, W, 5 C).
        """
        cells, *decoded = self.compute(tile)
        if decoded:
            return decoded[0].reshape(*tile.shape[:2], -1)
        empty = np.full((*cells.shape[:2], 1), (tile == tile[:1, :1]).all(), np.float32)
        return np.concatenate([cells, empty], axis=-1)

    def _decode(self, network: BaryIR, x: Tensor, latents: Latents, place: Tensor | None) -> Tensor:
        """Return `PARTS` of a tile, (5, C, H, W)."""
        decoded = []
        for b, r in BOTH:
            with self.autocast():
                seen = {"scene": self._scene[b, r], "place": place} if self._scene else {}
                restored = network.decode(x, latents, use_barycenter=b, use_residual=r, **seen)
            decoded.append(restored[0].float())
        both, only_b, only_r, neither = decoded
        without_b, without_r = both - only_r, both - only_b
        of_b, of_r = (without_b + (only_b - neither)) / 2, (without_r + (only_r - neither)) / 2
        return torch.stack([without_b, without_r, of_b, of_r, both - neither])
