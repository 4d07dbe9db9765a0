"""Measure the degradation estimates on clean images that nothing was trained or calibrated on.

    python -m benchmarks.estimates --data photo=PHOTOS/val microscopy=MICROSCOPY/val

Everything is seeded: the same images and weights give the same figures, but for the times.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from skimage import filters

from napari_baryir import estimate_degradation, load_model, restore
from napari_baryir.degradation import DegradationEstimate
from napari_baryir.domains import CLEAN
from napari_baryir.training.calibrate.scenes import KnownScene, as_chosen, make_scene
from napari_baryir.training.data.images import Profile, load_clean_images
from napari_baryir.training.evaluate.unseen import DRAWN

LARGEST = 512
"""Side to which larger images are cut, pixels."""
IMAGES = 32
"""Clean images, spread evenly over those there are."""
PER_PAIR = 3
"""Composites of each ordered pair of domains."""
DISCS = 16
"""Clean images with a disc, of each degradation."""
LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Levels at which one and the same image is degraded."""
LADDERS = 6
"""Images that are degraded at each of these, of each degradation."""


@dataclass(frozen=True)
class Bench:
    """One model and the clean images to measure it on."""

    model: Any
    profile: str
    images: Sequence[NDArray[np.float32]]

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """Return the degradations of the model, then clean."""
        return tuple(self.estimate(self.images[0]).domains[:-1])

    def estimate(self, image: NDArray[np.float32]) -> DegradationEstimate:
        """Estimate a plane as a user would."""
        axes = "YXS" if image.ndim == 3 else "YX"
        return estimate_degradation(image, axes=axes, model=self.model)

    def scene(self, number: int, domains: Sequence[str], **options: Any) -> KnownScene:
        """Return a seeded scene of a clean image."""
        key = zlib.crc32(repr((number, tuple(domains), sorted(options.items()))).encode())
        rng = np.random.default_rng((2027, key))
        return make_scene(self.images[number], domains, rng, profile=self.profile, **options)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write Markdown to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="PROFILE=FOLDER",
        help="clean images of each profile, photo or microscopy",
    )  # fmt: skip
    parser.add_argument(
        "--model", nargs="+", default=[], metavar="PROFILE=MODEL",
        help="a name or a weights file; default: PROFILE-compact",
    )  # fmt: skip
    parser.add_argument("--images", type=int, default=IMAGES, help=f"of each; default: {IMAGES}")
    args = parser.parse_args(argv)
    models = dict(pair.split("=", 1) for pair in args.model)
    for pair in args.data:
        profile, folder = pair.split("=", 1)
        name = models.get(profile, f"{profile}-compact")
        bench = Bench(load_model(name), profile, clean_images(Path(folder), profile, args.images))
        title = f"{Path(name).stem} on {len(bench.images)} images of {Path(folder).name}"
        _write([f"## {title}", ""])
        for part in (whole_images, composites, severity, discs, unseen, cost):
            _write([*part(bench), ""])


def clean_images(folder: Path, profile: Profile, count: int) -> list[NDArray[np.float32]]:
    """Clean planes, (H, W, 3) in [0, 1] or (H, W), of at most `LARGEST` pixels a side."""
    images = load_clean_images(str(folder), profile)
    chosen = sorted({round(i) for i in np.linspace(0, len(images) - 1, min(count, len(images)))})
    planes = []
    for number in chosen:
        image = np.asarray(images[number], np.float32) / (255 if profile == "photo" else 1)
        top, left = (max(side - LARGEST, 0) // 2 for side in image.shape[:2])
        planes.append(np.ascontiguousarray(image[top : top + LARGEST, left : left + LARGEST]))
    return planes


def whole_images(bench: Bench) -> Iterator[str]:
    """Yield how often the largest share is that of the one degradation that an image has."""
    right, said = {}, {}
    for domain in bench.domains:
        tops = [
            next(iter(bench.estimate(bench.scene(number, [domain]).degraded).summary[0]))
            for number in range(len(bench.images))
        ]
        right[domain] = tops.count(domain) / len(tops)
        said[domain] = Counter(top for top in tops if top != domain)
    yield "Whole images with one degradation, right domain (targets 95 %, each 85 %, clean 90 %):"
    yield f"{np.mean(list(right.values())):.1%}; {_shares(right)}"
    for domain, counts in said.items():
        if counts:
            others = ", ".join(f"{name} {count}" for name, count in counts.most_common())
            yield f"- {domain}, instead: {others}"


def composites(bench: Bench) -> Iterator[str]:
    """Yield how many places of two halves, away from the border, get the domain of their half."""
    right: dict[str, list[float]] = {domain: [] for domain in bench.domains}
    pairs = itertools.permutations(bench.domains, 2)
    for turn, (left, second) in enumerate(pairs):
        for repeat in range(PER_PAIR):
            number = (turn * PER_PAIR + repeat) % len(bench.images)
            scene = bench.scene(number, [left, second], kind="side by side")
            named = bench.estimate(scene.degraded).probabilities.argmax(axis=0)
            for place, domain in enumerate(scene.domains):
                own = named[scene.labels == place]
                right[domain].append(float((own == bench.domains.index(domain)).mean()))
    means = {domain: float(np.mean(values)) for domain, values in right.items()}
    yield "Halves with different degradations, right places away from the border (target 85 %):"
    yield f"{np.mean(list(means.values())):.1%}; {_shares(means)}"


def severity(bench: Bench) -> Iterator[str]:
    """Rank correlations of the severity with the level and with the local error."""
    levels, places, ladders = {}, {}, {}
    everywhere: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for domain in bench.domains:
        means, drawn, pairs = [], [], []
        for number in range(len(bench.images)):
            scene = bench.scene(number, [domain])
            estimate = bench.estimate(scene.degraded)
            means.append(estimate.severities[0])
            drawn.append(scene.levels[0])
            # Every fifth cell each way: neighbours share their window.
            cells = np.s_[2::5, 2::5]
            pairs.append((estimate.severity[cells].ravel(), _windows(scene)[cells].ravel()))
        everywhere += pairs
        if domain != CLEAN:
            levels[domain] = _spearman(means, drawn)
            places[domain] = _spearman(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
            ladders[domain] = _ladder(bench, domain)
    pooled = _spearman(*(np.concatenate(side) for side in zip(*everywhere, strict=True)))
    yield "Severity, rank correlation with the level over images, within domains (target 0.9):"
    yield _numbers(levels)
    yield f"- over the levels {LADDER} of one and the same image, mean: {_numbers(ladders)}"
    yield "Severity, rank correlation with the local error |degraded - clean| (target 0.7):"
    yield f"{pooled:.2f} over the places of all images; within domains {_numbers(places)}"


def discs(bench: Bench) -> Iterator[str]:
    """Intersection over union of a degraded disc in a clean picture with what the maps mark."""
    by_domain, by_severity = {}, {}
    for domain in bench.domains[:-1]:
        overlaps = []
        for number in range(min(DISCS, len(bench.images))):
            scene = bench.scene(number, [CLEAN, domain], kind="disc", level=0.6)
            estimate = bench.estimate(scene.degraded)
            severity = np.asarray(estimate.severity)
            marked = (
                estimate.probabilities[bench.domains.index(CLEAN)] < 0.5,
                severity > filters.threshold_otsu(severity),
            )
            inside = scene.second
            overlaps.append([(each & inside).sum() / (each | inside).sum() for each in marked])
        by_domain[domain], by_severity[domain] = (float(x) for x in np.mean(overlaps, axis=0))
    yield "Degraded disc in a clean picture, mean intersection over union (target 0.5):"
    yield f"where clean is unlikely: {_numbers(by_domain)}"
    yield f"where the severity is above Otsu's threshold: {_numbers(by_severity)}"


def unseen(bench: Bench) -> Iterator[str]:
    """Yield the domains that the estimate names for degradations that training never saw."""
    yield "Degradations never seen in training:"
    for name, apply in DRAWN.items():
        tops: Counter[str] = Counter()
        shares, severities = [], []
        for number, image in enumerate(bench.images):
            estimate = bench.estimate(apply(image, np.random.default_rng((2028, number))))
            tops[next(iter(estimate.summary[0]))] += 1
            shares.append(estimate.summary[0]["unknown"])
            severities.append(estimate.severities[0])
        said = ", ".join(f"{top} {n / len(bench.images):.0%}" for top, n in tops.most_common())
        yield (
            f"- {name}: unknown {tops['unknown'] / len(bench.images):.0%} of images, "
            f"{np.mean(shares):.0%} of places; images by largest share: {said}; "
            f"severity {np.mean(severities):.2f}"
        )


def cost(bench: Bench) -> Iterator[str]:
    """Time of estimating against that of restoring the same image."""
    image = np.tile(bench.images[0], (3, 3) + (1,) * (bench.images[0].ndim - 2))[:LARGEST, :LARGEST]
    axes = "YXS" if image.ndim == 3 else "YX"
    options: dict[str, Any] = {"axes": axes, "model": bench.model}
    times: dict[str, list[float]] = {"restore": [], "estimate": [], "contributions": []}
    for _ in range(4):  # in turn, so that all meet the same load; the first round warms up
        for name, run in (
            ("restore", lambda: restore(image, **options)),
            ("estimate", lambda: estimate_degradation(image, **options)),
            ("contributions", lambda: estimate_degradation(image, contributions=True, **options)),
        ):
            begin = time.process_time()
            run()
            times[name].append(time.process_time() - begin)
    best = {name: min(values[1:]) for name, values in times.items()}
    yield f"Cost on {image.shape[0]}x{image.shape[1]} pixels, processor time:"
    yield (
        f"restore {best['restore']:.2f} s; of it estimate "
        f"{best['estimate'] / best['restore']:.2f} (target 0.6), with contributions "
        f"{best['contributions'] / best['restore']:.2f} (target 3.2)"
    )


def _ladder(bench: Bench, domain: str) -> float:
    """Return the mean rank correlation with the level where nothing but the level changes."""
    found = []
    for number in range(min(LADDERS, len(bench.images))):
        means = []
        for level in LADDER:
            rng = np.random.default_rng((2029, number))
            scene = make_scene(
                bench.images[number], [domain], rng, profile=bench.profile, level=level
            )
            means.append(bench.estimate(scene.degraded).severities[0])
        found.append(_spearman(means, LADDER))
    return float(np.mean(found))


def _windows(scene: KnownScene) -> NDArray[np.float32]:
    """Return the local error as the network sees it, averaged over the window of the estimates."""
    from napari_baryir.degradation.calibration import pool
    from napari_baryir.training.calibrate import WINDOW

    return pool(as_chosen(scene).errors()[..., None], WINDOW)[..., 0]


def _spearman(first: Any, second: Any) -> float:
    return float(stats.spearmanr(first, second).statistic)


def _shares(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0%}" for name, value in values.items())


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
