"""Decide what the first tile needs: network, tiles, intensity maps, amounts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from napari_baryir.devices import choose_tile
from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap, choose_intensity
from napari_baryir.imaging.tiles import TileGrid
from napari_baryir.restoration.engine import TileEngine
from napari_baryir.restoration.options import Options
from napari_baryir.restoration.portable_model import PortableModel, find_model
from napari_baryir.version import __version__
from napari_baryir.weights.registry import require_removable

OVERLAP = 128
"""Pixels, at most half of a tile, and three eighths of one below 256. On one noisy photograph,
tiles of 256 by either shipped network then differ from the whole image by at most 0.009 of the
range, 0.0001 on average (with 96: 0.037 and 0.0002). What is decided for the scene does not differ.
`test_restoration` holds both shipped networks to 0.03."""


@dataclass(frozen=True)
class Plan:
    """The decisions that need the network and the image: tiles, intensity maps, amounts."""

    options: Options
    model: PortableModel
    grid: TileGrid
    intensities: tuple[IntensityMap, ...]
    removed: tuple[float, ...] | None
    """Amount of each of the network's degradations to remove; None for all of all."""
    started: datetime
    begin: float

    @property
    def denoises(self) -> bool:
        """Return whether noise is to be removed."""
        return self.options.remove is None or self.options.remove.get("noise", 0) > 0

    @property
    def layout(self) -> PlaneLayout:
        return self.options.layout

    def engine(self) -> TileEngine:
        """Return the network, ready to restore tiles."""
        options = self.options
        return TileEngine(
            self.model.load(), options.device, options.precision, overlap=self.grid.overlap,
            ensemble=options.asked.ensemble, removed=self.removed,
        )  # fmt: skip

    def provenance(self, tile: int | None) -> dict[str, Any]:
        """Return the fields of a `Provenance`; `tile`: greatest side that fitted, if known."""
        options, grid = self.options, self.grid
        return {
            "axes_guessed": options.axes_guessed,
            "model": self.model.name,
            "weights_hash": self.model.weights_hash,
            "intensity": self.intensities,
            "device": str(options.device),
            "precision": options.precision,
            "tile": min(grid.tile, tile or grid.tile),
            "overlap": grid.overlap,
            "seconds": time.perf_counter() - self.begin,
            "started": self.started.isoformat(timespec="seconds"),
            "version": __version__,
        }

    @classmethod
    def of(cls, options: Options) -> Plan:
        """Load the network, look at the image, and lay out the tiles."""
        started, begin = datetime.now(UTC), time.perf_counter()
        layout = options.layout
        model = find_model(options.asked.model, rgb=layout.rgb)
        removed = _removed_amounts(options.remove, model.module, model.name)
        height, width = layout.height, layout.width
        multiple = int(cast(Any, model.module).size_multiple)
        tile = options.asked.tile
        if tile == "auto":
            tile = choose_tile(height, width, model.module, options.device)
        # Whole cells of the network's grid; the last one of a plane may lie partly outside.
        if tile == "whole" or int(tile) >= max(height, width):
            tile = -(-max(height, width) // multiple) * multiple
        tile = max(2, int(tile) // multiple) * multiple
        if options.asked.overlap == "auto":
            overlap = min(OVERLAP, tile // 2 if tile >= 2 * OVERLAP else tile * 3 // 8)
        else:
            overlap = min(int(options.asked.overlap), tile // 2)
        intensities = _choose_intensities(options)
        grid = TileGrid(height, width, tile, overlap, multiple)
        return cls(options, model, grid, intensities, removed, started, begin)


def _removed_amounts(
    remove: Mapping[str, float] | None, module: Any, name: str
) -> tuple[float, ...] | None:
    """Return the amount to remove of each degradation that a network knows.

    Raises `InputError` if the network does not know one of the names, or cannot be steered.
    """
    if remove is None:
        return None
    known: tuple[str, ...] = getattr(module, "degradations", ())
    if getattr(module, "subspaces", None) is None:
        raise InputError(
            f"model '{name}' removes all that it finds and cannot leave any of it; "
            "use remove='auto', or another model"
        )
    require_removable(remove, known, name)
    return tuple(remove.get(each, 0.0) for each in known)


def _choose_intensities(options: Options) -> tuple[IntensityMap, ...]:
    """Return one map per channel; a mode looks at all planes of the channel."""
    layout, mode = options.layout, options.intensity
    if not isinstance(mode, str):
        return mode
    return tuple(
        choose_intensity(layout.channel_values(options.image, c), rgb=layout.rgb, mode=mode)
        for c in range(layout.channels)
    )
