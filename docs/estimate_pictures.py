"""Make the pictures of docs/estimates.md from the bundled samples and the shipped weights.

    python docs/estimate_pictures.py

Writes estimate-*.png to docs/images. Everything is seeded; nothing is downloaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_baryir import DegradationEstimate, estimate_degradation
from napari_baryir.commands.estimate_figure import draw_domains, draw_image, draw_severity
from napari_baryir.sample_data import fluorescence_stack, photo_noise
from napari_baryir.training.calibrate.scenes import KnownScene, make_scene

DPI = 80
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--photo-model", default="photo-compact")
    parser.add_argument("--microscopy-model", default="microscopy-compact")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    photo = np.asarray(photo_noise().clean, np.float32)[:384, :480] / 255
    plane = np.asarray(fluorescence_stack().clean[6], np.float32)
    plane = plane / np.percentile(plane, 99.9)
    cases: list[tuple[str, Any, str, list[tuple[str, ...]], str]] = [
        ("halves", photo, "photo", [("noise", "haze"), ("clean", "blur")], args.photo_model),
        (
            "microscopy", plane, "microscopy", [("noise", "background"), ("clean", "stripes")],
            args.microscopy_model,
        ),
    ]  # fmt: skip
    for name, clean, profile, pairs, model in cases:
        draw_pairs(args.out / f"estimate-{name}.png", clean, profile, pairs, model)
    draw_disc(args.out / "estimate-disc.png", photo, args.photo_model)
    draw_levels(args.out / "estimate-levels.png", photo, args.photo_model)
    draw_contributions(args.out / "estimate-contributions.png", photo, args.photo_model)


def draw_pairs(
    path: Path, clean: Any, profile: str, pairs: list[tuple[str, ...]], model: str
) -> None:
    """Halves with different degradations, a row each: image, severity, domain."""
    figure = _figure(3, len(pairs), clean.shape)
    for row, domains in zip(figure.subplots(len(pairs), 3), pairs, strict=True):
        scene = make_scene(
            clean,
            domains,
            np.random.default_rng(1),
            profile=profile,
            kind="side by side",
            level=0.6,
        )
        estimate = _draw_row(figure, row, scene, model)
        row[0].set_title(" | ".join(domains))
        _mark_middle(row, estimate)
    _save(figure, path)


def draw_disc(path: Path, clean: Any, model: str) -> None:
    """A noisy disc in a clean picture."""
    figure = _figure(3, 1, clean.shape)
    scene = make_scene(
        clean, ("clean", "noise"), np.random.default_rng(3), profile="photo", kind="disc", level=0.6
    )
    row = figure.subplots(1, 3)
    _draw_row(figure, row, scene, model)
    for axes in row:
        axes.contour(_pixels(scene.second), [0.5], colors="white", linewidths=1)
    row[0].set_title("clean, with a noisy disc")
    _save(figure, path)


def draw_levels(path: Path, clean: Any, model: str) -> None:
    """Mean severity of one picture over the level of each degradation."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    domains = estimate_degradation(clean, model=model).domains[:-2]
    for domain in domains:
        severities = []
        for level in LEVELS:
            scene = make_scene(
                clean, (domain,), np.random.default_rng(4), profile="photo", level=level
            )
            severities.append(estimate_degradation(scene.degraded, model=model).severities[0])
        axes.plot(LEVELS, severities, marker="o", label=domain)
    unharmed = estimate_degradation(clean, model=model).severities[0]
    axes.axhline(unharmed, color="grey", linestyle=":", label="untouched")
    axes.set_xlabel("level of the degradation")
    axes.set_ylabel("mean severity")
    axes.set_ylim(0, 1)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def draw_contributions(path: Path, clean: Any, model: str) -> None:
    """Draw the parts of a restored picture that come from barycenter and residual."""
    scene = make_scene(
        clean, ("noise", "haze"), np.random.default_rng(1), profile="photo", kind="side by side",
        level=0.6,
    )  # fmt: skip
    found = estimate_degradation(scene.degraded, model=model, contributions=True).contributions
    assert found is not None
    figure = _figure(3, 1, clean.shape)
    parts = (("all", found.total), ("barycenter's share", found.shapley_barycenter),
             ("residual's share", found.shapley_residual))  # fmt: skip
    for axes, (title, values) in zip(figure.subplots(1, 3), parts, strict=True):
        drawn = axes.imshow(values.mean(axis=2), cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_title(title)
        axes.axis("off")
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    _save(figure, path)


def _draw_row(figure: Figure, row: Any, scene: KnownScene, model: str) -> DegradationEstimate:
    axes = "YXS" if scene.degraded.ndim == 3 else "YX"
    estimate = estimate_degradation(scene.degraded, axes=axes, model=model)
    draw_image(row[0], np.atleast_3d(scene.degraded), estimate)
    drawn = draw_severity(row[1], estimate)
    figure.colorbar(drawn, ax=row[1], shrink=0.8)
    draw_domains(row[2], estimate)
    return estimate


def _mark_middle(row: Any, estimate: DegradationEstimate) -> None:
    middle = estimate.severity.shape[-1] // 2 * estimate.cell - 0.5
    for axes in row:
        axes.axvline(middle, color="white", linewidth=1, linestyle="--")


def _pixels(cells: NDArray[Any]) -> NDArray[Any]:
    return cells.repeat(8, axis=0).repeat(8, axis=1).astype(float)


def _figure(columns: int, rows: int, shape: tuple[int, ...]) -> Figure:
    side = 3.4
    height = side * shape[0] / shape[1] + 0.4
    return Figure(figsize=(columns * side + 1.6, rows * height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DPI)


if __name__ == "__main__":
    main()
