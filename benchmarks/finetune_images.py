"""Images to measure fine-tuning on: a degradation that no model saw, and noisy frames alone.

``python -m benchmarks.finetune_images MICROSCOPY OUT``, where MICROSCOPY has the folders train and
val. docs/finetune.md has the commands that learn from them and measure.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]

ANGLE = 30.0
"""Angle of the stripes, degrees; those that the shipped model knows lie along rows and columns."""
STRIPES, READ_NOISE = 0.08, 0.08
"""Standard deviations, of the range."""
PHOTONS, FAINT_READ_NOISE = 60.0, 0.03
"""Noise of the time-lapse: photons at full range; standard deviation as a part of the range."""
PLANES = {"train": 4, "val": 6}
"""Number of planes that are taken from each file."""
SIDE = 512
"""Planes are cut to this many pixels."""
LOW, RANGE = 2000, 20000
"""Grey values of the files."""
TIMELAPSE = "drosophila_embryo_timelapse.tif"


def striped(clean: Array, rng: np.random.Generator) -> Array:
    """Slanted stripes and read noise on a plane (H, W) in [0, 1]."""
    y, x = np.mgrid[: clean.shape[0], : clean.shape[1]]
    along = x * np.sin(np.deg2rad(ANGLE)) + y * np.cos(np.deg2rad(ANGLE))
    lines = ndimage.gaussian_filter1d(rng.standard_normal(4096), 1.0)
    offsets = np.interp(along - along.min(), np.arange(4096), lines / lines.std())
    noisy: Array = clean + STRIPES * offsets + READ_NOISE * rng.standard_normal(clean.shape)
    return noisy


def in_range(values: Array) -> Array | None:
    """Return values mapped to about [0, 1] by their percentiles; None where all are one."""
    low, high = np.percentile(values, (0.1, 99.9))
    if high <= low:
        return None
    mapped: Array = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1.2)
    return mapped


def write(path: Path, values: Array, **options: Any) -> None:
    """Write a stack as uint16 TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.clip(LOW + RANGE * values, 0, 65535).astype(np.uint16), **options)


def main() -> None:
    """Write OUT/train and OUT/val with degraded and clean; OUT/noisy and its truth, OUT/truth."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("microscopy", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    for split, most in PLANES.items():
        for path in sorted((args.microscopy / split).glob("*.tif")):
            stack = tifffile.imread(path)
            colours = stack.shape[-1] <= 4
            planes = np.moveaxis(stack, -1, 0) if colours else stack.reshape(-1, *stack.shape[-2:])
            for number, plane in enumerate(planes[:most]):
                clean = in_range(plane)
                if clean is None:
                    continue
                clean = clean[:SIDE, :SIDE]
                name = f"{path.stem}_{number}.tif"
                write(args.out / split / "clean" / name, clean)
                write(args.out / split / "degraded" / name, striped(clean, rng))
    rng = np.random.default_rng(3)
    movie = in_range(tifffile.imread(args.microscopy / "val" / TIMELAPSE))
    if movie is None:
        raise SystemExit(f"{TIMELAPSE} has one value everywhere")
    photons = rng.poisson(movie * PHOTONS) / PHOTONS
    noisy = photons + FAINT_READ_NOISE * rng.standard_normal(movie.shape)
    for folder, values in (("noisy", noisy), ("truth", movie)):
        write(args.out / folder / "embryo.tif", values, imagej=True, metadata={"axes": "TYX"})


if __name__ == "__main__":
    main()
