"""Measure what restoring does to clean images and to every degradation, from mild to strong.

    python -m benchmarks.harm photo-compact --data PHOTOS/val --sheet worst.png

A restoration that ruins a good image is worse than none, so the worst image counts beside the
median. Everything is seeded: the same images and weights give the same figures.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.estimates import clean_images
from napari_baryir import estimate_degradation, load_model, restore
from napari_baryir.domains import CLEAN
from napari_baryir.training.degradations import DEGRADATIONS, PLAIN, degrade
from napari_baryir.training.degradations.files import FileFormat, through_file
from napari_baryir.training.evaluate import psnr

Array = NDArray[np.float32]
Make = Callable[[Array, np.random.Generator], Array]

IMAGES = 18
"""Clean images, spread evenly over those there are."""
SIDE = 384
"""To which larger images are cut, pixels."""
LEVELS = {"mild": 0.1, "middling": 0.5, "strong": 1.0}
LOSS = 0.5
"""A gain below minus this is a loss, dB."""
MIXTURES = {
    "photo": (("haze", "noise"), ("rain", "noise"), ("low light", "noise"), ("blur", "noise")),
    "microscopy": (("background", "noise"), ("blur", "noise"), ("noise", "stripes")),
}
"""Mixtures of middling degradations, in the order in which they happen."""
QUALITIES = (95, 90, 75, 40)
"""Qualities of JPEG."""
UNTOUCHED = 99.0
"""PSNR that stands for no difference, dB."""
ON_SHEET = 12
"""Images on the sheet of the worst."""


@dataclass(frozen=True)
class Condition:
    """One thing that may have happened to an image."""

    name: str
    make: Make
    keeps: bool = False
    """Whether the image is fine as it is, so that the distance to it counts."""


@dataclass(frozen=True)
class Outcome:
    """One image before and after restoring, with its figures."""

    condition: str
    degraded: Array
    restored: Array
    clean: Array
    before: float
    """PSNR of the degraded image, dB."""
    after: float
    """PSNR of the restored image, dB."""
    moved: float
    """PSNR of the restored image to the degraded one, dB."""
    said: str
    """The largest share of the estimate."""

    @property
    def gain(self) -> float:
        """Return the gain of restoring, dB; a clean image counts as 60 dB and gains at most 0."""
        return min(self.after, 60.0) - min(self.before, 60.0)


def conditions(profile: str) -> Iterator[Condition]:
    """List the conditions of a profile: fine images first."""
    yield Condition(CLEAN, lambda image, rng: image, keeps=True)
    if profile == "photo":
        for quality in QUALITIES:
            yield Condition(f"JPEG {quality}", _saved(quality), keeps=quality >= 75)
    for domain, known in DEGRADATIONS[profile].items():
        for variant in (PLAIN, *known.others):
            for strength, level in LEVELS.items():
                name = f"{domain} ({variant}, {strength})"
                yield Condition(name, _degraded(profile, [domain], level, variant))
    for mixture in MIXTURES[profile]:
        yield Condition(" then ".join(mixture), _degraded(profile, mixture, 0.5, PLAIN))


def _saved(quality: int) -> Make:
    return lambda image, rng: through_file(image, FileFormat(quality, 2 if quality < 90 else 0))


def _degraded(profile: str, domains: Sequence[str], level: float, variant: str) -> Make:
    def make(image: Array, rng: np.random.Generator) -> Array:
        for domain in domains:
            made = degrade(image, domain, rng, profile=profile, level=level, variant=variant)
            image = made.image
        return image

    return make


def psnr_of(image: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio of images about [0, 1], dB."""
    return min(UNTOUCHED, psnr(np.clip(image, 0, 1), np.clip(truth, 0, 1)))


def measure(model: Any, condition: Condition, images: Sequence[Array]) -> list[Outcome]:
    """Restore and estimate every image under a condition."""
    outcomes = []
    for number, clean in enumerate(images):
        rng = np.random.default_rng((2028, zlib.crc32(condition.name.encode()), number))
        degraded = np.asarray(condition.make(clean, rng), np.float32)
        axes = "YXS" if degraded.ndim == 3 else "YX"
        restored = restore(degraded, axes=axes, model=model).image
        summary = estimate_degradation(degraded, axes=axes, model=model).summary[0]
        outcomes.append(
            Outcome(
                condition.name,
                degraded,
                restored,
                clean,
                psnr_of(degraded, clean),
                psnr_of(restored, clean),
                psnr_of(restored, degraded),
                next(iter(summary)),
            )
        )
    return outcomes


HEADER = (
    "| what comes in | dB | median gain | worst | lose over 0.5 dB | to the input, "
    "median and least | estimate |\n| --- | --- | --- | --- | --- | --- | --- |"
)


def row(condition: Condition, outcomes: Sequence[Outcome]) -> str:
    """Write one row of the table, below `HEADER`."""
    gains = np.array([outcome.gain for outcome in outcomes])
    moved = np.array([outcome.moved for outcome in outcomes])
    said = ", ".join(
        f"{name} {count / len(outcomes):.0%}"
        for name, count in Counter(outcome.said for outcome in outcomes).most_common(2)
    )
    before = np.mean([outcome.before for outcome in outcomes])
    kept = f"{np.median(moved):.1f}, {moved.min():.1f}" if condition.keeps else ""
    return (
        f"| {condition.name} | {before:.1f} | {np.median(gains):+.2f} | {gains.min():+.2f} | "
        f"{np.mean(gains < -LOSS):.0%} | {kept} | {said} |"
    )


def sheet(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw degraded, restored and clean images side by side, the worst first."""
    worst = sorted(outcomes, key=lambda outcome: outcome.gain)[:ON_SHEET]
    rows = []
    for outcome in worst:
        parts = (outcome.degraded, outcome.restored, outcome.clean)
        planes = [np.clip(p, 0, 1) * 255 for p in parts]
        planes = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in planes]
        strip = np.concatenate([np.rint(p).astype(np.uint8)[:256, :256] for p in planes], axis=1)
        missing = ((0, 256 - strip.shape[0]), (0, 768 - strip.shape[1]), (0, 0))
        rows.append(np.pad(strip, missing))
    if len(rows) % 2:
        rows.append(np.zeros_like(rows[0]))
    half = len(rows) // 2
    both = [np.concatenate(rows[:half]), np.concatenate(rows[half:])]
    Image.fromarray(np.concatenate(both, axis=1)).save(path)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one model, and write Markdown to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name or a weights file")
    parser.add_argument("--data", required=True, type=Path, help="folder of clean images")
    parser.add_argument("--profile", choices=list(DEGRADATIONS), help="default: the model's own")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"default: {IMAGES}")
    parser.add_argument("--only", default="", help="conditions whose name has this in it")
    parser.add_argument("--sheet", type=Path, help="PNG file for the worst images")
    args = parser.parse_args(argv)
    model = load_model(args.model)
    profile = args.profile or model.provenance.get("image_kind", "photo")
    images = [image[:SIDE, :SIDE] for image in clean_images(args.data, profile, args.images)]
    _write(f"{len(images)} images of {args.data.name}, by {Path(args.model).stem}:\n")
    _write(HEADER)
    everything: list[Outcome] = []
    for condition in conditions(profile):
        if args.only in condition.name:
            outcomes = measure(model, condition, images)
            everything += outcomes
            _write(row(condition, outcomes))
    if args.sheet:
        sheet(everything, args.sheet)


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
