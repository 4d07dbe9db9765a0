"""Restore a folder of real photographs and lay inputs and results side by side on one sheet.

python docs/real_sheet.py FOLDER docs/images/real.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from napari_baryir import load_model, restore
from napari_baryir.files import is_image_path

SIDE = 384
"""Long side of the photographs as they are restored, pixels."""
SHOWN = 170
"""Long side of each picture on the sheet, pixels."""
COLUMNS = 4


def main(folder: str, sheet: str) -> None:
    """Restore every photograph of a folder, in the order of their names."""
    model = load_model("photo-compact")
    tiles = []
    for path in sorted(p for p in Path(folder).iterdir() if is_image_path(p)):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        before = np.asarray(picture)
        after = restore(before, axes="YXS", model=model).image
        tile = Image.new("RGB", (2 * SHOWN + 8, SHOWN + 8), "white")
        for number, pixels in enumerate((before, after)):
            small = Image.fromarray(pixels)
            small.thumbnail((SHOWN, SHOWN))
            tile.paste(small, (number * SHOWN + 2, 4))
        tiles.append(tile.crop((0, 0, tile.width, small.height + 8)))
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    heights = [max(tile.height for tile in row) for row in rows]
    whole = Image.new("RGB", (COLUMNS * tiles[0].width, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, tile in enumerate(row):
            whole.paste(tile, (column * tile.width, sum(heights[:number])))
    whole.save(sheet, quality=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
