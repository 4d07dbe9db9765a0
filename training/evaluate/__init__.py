"""Measure PSNR and SSIM of restored images against the truth, beside the untouched input and peers.

The protocol, to the letter. The intensity map is chosen from the degraded image, for each channel
of the whole stack, as `restore` chooses it (8-bit and RGB: the full range; everything else: the
0.1 and 99.9 percentiles). Input, restored image and truth go through that one map, are clamped to
[0, 1] and compared in full: no border is cropped, colours are compared as RGB, alpha is left out.
PSNR and SSIM are scikit-image's with data_range 1 (SSIM: 7x7 uniform windows, mean over the
colours). The score of a stack is the mean over its planes, that of a domain the mean over its
images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import DataError
from napari_baryir.imaging.intensity import IntensityMap
from napari_baryir.training.data import images
from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.evaluate.cases import Case, Pair
from napari_baryir.training.evaluate.peers import PEERS, PlaneDistance, check_peers

if TYPE_CHECKING:
    from napari_baryir.network import BaryIR

Planes = list[Array]
INPUT = "input"
"""The method that does nothing."""

SSIM_WINDOW = 7
"""scikit-image's default; smaller images have no SSIM."""


@dataclass(frozen=True)
class ImageScore:
    """The score of one method on one image."""

    image: str
    domain: str
    method: str
    """"input", a model's name, or one of ``PEERS``."""
    psnr: float
    """In dB; infinite where nothing differs."""
    ssim: float
    """Up to 1; NaN for images smaller than 7x7."""
    level: float | None
    """Strength of the degradation, 0 to 1, where it is known."""
    sigma: float | None
    """Standard deviation of the noise in [0, 1] that peers were given."""
    seconds: float
    """That the method took."""
    lpips: float | None = None
    """LPIPS where it was asked for; NaN for images smaller than 32x32."""


@dataclass(frozen=True)
class Evaluation:
    """All scores of one run."""

    scores: tuple[ImageScore, ...]

    @property
    def methods(self) -> list[str]:
        """List the methods in the order in which they were met, the input first."""
        return list(dict.fromkeys(score.method for score in self.scores))

    @property
    def domains(self) -> list[str]:
        """List the domains in the order in which they were met."""
        return list(dict.fromkeys(score.domain for score in self.scores))

    def mean(self, domain: str, method: str) -> tuple[float, float] | None:
        """Return mean PSNR and SSIM; None where the method was not used on that domain."""
        found = self._of(domain, method)
        if not found:
            return None
        return float(np.mean([s.psnr for s in found])), float(np.mean([s.ssim for s in found]))

    def mean_lpips(self, domain: str, method: str) -> float | None:
        """Return mean LPIPS; None where it was not measured."""
        found = [s.lpips for s in self._of(domain, method) if s.lpips is not None]
        return float(np.mean(found)) if found else None

    def count(self, domain: str) -> int:
        """Count the images."""
        return len(self._of(domain, INPUT))

    def _of(self, domain: str, method: str) -> list[ImageScore]:
        return [s for s in self.scores if s.domain == domain and s.method == method]


def psnr(image: NDArray[Any], clean: NDArray[Any], *, least_error: float = 0.0) -> float:
    """Compute PSNR in dB of values about [0, 1]; infinite where nothing differs.

    Below a mean square error of `least_error` nothing counts, for means that must stay finite.
    """
    difference = np.subtract(image, clean, dtype=np.float64)
    error = max(float(np.mean(difference**2)), least_error)
    # scikit-image's formula; its function warns of a division by zero where nothing differs.
    return math.inf if error == 0 else -10 * math.log10(error)


def score_plane(image: NDArray[Any], clean: NDArray[Any]) -> tuple[float, float]:
    """Compute PSNR in dB and SSIM of (H, W) or (H, W, 3), both first clamped to [0, 1].

    Raises `DataError` if the shapes differ.
    """
    from skimage.metrics import structural_similarity

    if image.shape != clean.shape:
        raise DataError(f"cannot compare shape {image.shape} with {clean.shape}")
    a, b = (np.clip(x.astype(np.float64), 0, 1) for x in (clean, image))
    ssim = math.nan
    if min(a.shape[:2]) >= SSIM_WINDOW:
        channel_axis = -1 if a.ndim == 3 else None
        ssim = float(structural_similarity(a, b, data_range=1, channel_axis=channel_axis))
    return psnr(b, a), ssim


def clamped_planes(image: NDArray[Any], axes: str, maps: Sequence[IntensityMap]) -> Planes:
    """Cut an image of any axes into planes, each mapped by its channel's map and clamped."""
    return [np.clip(plane, 0, 1) for plane in images.map_planes(image, axes, maps)]


def iter_evaluate(
    cases: Sequence[Case],
    model: str | Path | BaryIR,
    *,
    model_name: str = "model",
    peers: bool = False,
    perceptual: PlaneDistance | None = None,
    restore_options: Mapping[str, Any] | None = None,
) -> Generator[ImageScore, None, Evaluation]:
    """Measure a model, yielding each `ImageScore` as it is known; returns all as an `Evaluation`.

    `cases` are from `list_pairs` or `list_synthetic`. `peers` measures ``PEERS`` too, on noisy
    images; `perceptual` is from `load_lpips`, to measure LPIPS too. `restore_options` are further
    arguments of `restore`: device, precision, tile, strength, ...

    Raises `DataError` if there is no case, a pair does not fit together, or a peer is not
    installed.
    """
    if not cases:
        raise DataError("there is nothing to evaluate; give at least one image")
    if peers:
        check_peers()
    scores: list[ImageScore] = []
    options = dict(restore_options or {})
    for case in cases:
        for score in _case_scores(case, model, model_name, peers, perceptual, options):
            scores.append(score)
            yield score
    return Evaluation(tuple(scores))


def _case_scores(
    case: Case,
    model: str | Path | BaryIR,
    model_name: str,
    peers: bool,
    perceptual: PlaneDistance | None,
    options: dict[str, Any],
) -> Generator[ImageScore, None, None]:
    from napari_baryir.restoration import restore  # brings torch

    pair = case.load()
    maps = images.channel_maps(pair.degraded, pair.axes)
    degraded, clean = (
        clamped_planes(image, pair.axes, maps) for image in (pair.degraded, pair.clean)
    )
    sigma = _true_sigma(pair, degraded, clean) if case.noisy else None

    def timed(method: str, make: Callable[[], Planes]) -> ImageScore:
        start = time.perf_counter()
        made = make()
        seconds = time.perf_counter() - start
        each = [score_plane(a, b) for a, b in zip(made, clean, strict=True)]
        decibels, ssim = (float(np.mean(scores)) for scores in zip(*each, strict=True))
        lpips = None
        if perceptual is not None:
            lpips = float(np.mean([perceptual(a, b) for a, b in zip(made, clean, strict=True)]))
        return ImageScore(
            case.name, case.domain, method, decibels, ssim, pair.level, sigma, seconds, lpips
        )

    def restored() -> Planes:
        result = restore(pair.degraded, axes=pair.axes, model=model, intensity=maps, **options)
        return clamped_planes(np.asarray(result.image), pair.axes, maps)

    yield timed(INPUT, lambda: degraded)
    yield timed(model_name, restored)
    if peers and sigma is not None:
        for name, denoise in PEERS.items():
            yield timed(name, partial(list, map(denoise, degraded, repeat(sigma))))


def _true_sigma(pair: Pair, degraded: Planes, clean: Planes) -> float:
    """Return the standard deviation of the noise in [0, 1], as made or else as measured."""
    if pair.sigma is not None:
        return pair.sigma  # made in [0, 1] already
    difference = np.stack(degraded).astype(np.float64) - np.stack(clean)
    return math.sqrt(float(np.mean(difference**2)))
