"""What restoring and estimating decide before the first tile: network, tiles, intensity maps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from napari_baryir.devices import choose_tile
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.imaging.tiles import TileGrid
from napari_baryir.model_source import ModelSource, find_model
from napari_baryir.options import Options, choose_intensities

OVERLAP = 96
"""Pixels, at most three eighths of a tile. On one noisy photograph, tiles of 256 by either shipped
network then differ from the whole image by at most 0.008 of the range, 0.0002 on average (with 48:
0.016 and 0.0005); `test_restoration` holds both shipped networks to 0.03."""


@dataclass(frozen=True)
class Plan:
    """What is decided once the network is loaded and the image looked at."""

    options: Options
    source: ModelSource
    grid: TileGrid
    intensities: tuple[IntensityMap, ...]
    started: datetime
    begin: float

    @property
    def seconds(self) -> float:
        """Time since the work was planned."""
        return time.perf_counter() - self.begin

    @classmethod
    def of(cls, options: Options) -> Plan:
        """Load the network, look at the image, and lay out the tiles."""
        started, begin = datetime.now(UTC), time.perf_counter()
        layout = options.layout
        source = find_model(options.model, rgb=layout.rgb)
        height, width = layout.height, layout.width
        multiple = int(cast(Any, source.module).size_multiple)
        tile = options.tile
        if tile == "auto":
            tile = choose_tile(height, width, source.module, options.device)
        # Whole cells of the network's grid; the last one of a plane may lie partly outside.
        if tile == "whole" or int(tile) >= max(height, width):
            tile = -(-max(height, width) // multiple) * multiple
        tile = max(2, int(tile) // multiple) * multiple
        asked = OVERLAP if options.overlap == "auto" else int(options.overlap)
        overlap = min(asked, tile * 3 // 8 if options.overlap == "auto" else tile // 2)
        intensities = choose_intensities(options.image, layout, options.intensity)
        grid = TileGrid(height, width, tile, overlap, multiple)
        return cls(options, source, grid, intensities, started, begin)
