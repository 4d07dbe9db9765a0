"""A figure of an estimate: the image, its severity, and its domains."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.atomic import written_aside
from napari_baryir.domains import colors_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_baryir.degradation import DegradationEstimate


def write_figure(
    path: Path, estimate: DegradationEstimate, plane: NDArray[Any], title: str
) -> None:
    """Draw the first plane of an estimate; `plane` is that of the image, (H, W, samples)."""
    from matplotlib.figure import Figure  # not pyplot, which would want a screen

    height, width = plane.shape[:2]
    side = 3.6
    figure = Figure(
        figsize=(3 * side + 1.6, side * min(2.0, max(0.5, height / width)) + 0.9),
        layout="constrained",
    )
    left, middle, right = figure.subplots(1, 3)
    # A name may hold bytes that are no text, and signs that would begin a formula.
    title = title.encode("utf-8", "backslashreplace").decode()
    title = title if len(estimate.summary) == 1 else f"{title}, first plane"
    figure.suptitle(title, parse_math=False)
    draw_image(left, plane, estimate)
    drawn = draw_severity(middle, estimate)
    figure.colorbar(drawn, ax=middle, shrink=0.8)
    draw_domains(right, estimate)
    with written_aside(path) as aside, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the font lacks a letter
        figure.savefig(aside, format=path.suffix[1:], dpi=110)


def draw_image(axes: Axes, plane: NDArray[Any], estimate: DegradationEstimate) -> None:
    """Draw the plane as the network saw it."""
    colours = plane[..., :3] if plane.shape[-1] >= 3 else plane[..., :1]
    unit = np.nan_to_num(np.clip(estimate.intensity[0].apply(colours), 0, 1))
    axes.imshow(unit if unit.shape[-1] == 3 else unit[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.set_title("image")
    axes.axis("off")


def draw_severity(axes: Axes, estimate: DegradationEstimate) -> Any:
    """Draw the severity of the first plane, on the image's pixels."""
    severity = _first(estimate.severity, 2)
    drawn = axes.imshow(severity, cmap="inferno", vmin=0, vmax=1, extent=_extent(estimate))
    _fit(axes, estimate)
    axes.set_title(f"severity, mean {estimate.severities[0]:.2f}")
    return drawn


def draw_domains(axes: Axes, estimate: DegradationEstimate) -> None:
    """Draw the likeliest domain of each cell of the first plane, with a legend of shares."""
    from matplotlib.patches import Patch

    colours = colors_of(estimate.domains)
    palette = np.array([colours[name] for name in estimate.domains])
    likeliest = _first(estimate.probabilities, 3).argmax(axis=0)
    axes.imshow(palette[likeliest], extent=_extent(estimate), interpolation="nearest")
    _fit(axes, estimate)
    drawn = {estimate.domains[k] for k in np.unique(likeliest)}
    shown = [(n, s) for n, s in estimate.summary[0].items() if s >= 0.01 or n in drawn]
    legend = axes.legend(
        handles=[
            Patch(facecolor=colours[name], edgecolor="black", label=f"{name} {share:.0%}")
            for name, share in shown
        ],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        title="mean probability",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_title("likeliest domain")


def _first(maps: Any, inner: int) -> NDArray[np.float32]:
    return np.asarray(maps[(0,) * (maps.ndim - inner)])


def _extent(estimate: DegradationEstimate) -> tuple[float, float, float, float]:
    """Return where the cells lie in pixels, with pixel centres at whole numbers."""
    h, w = estimate.severity.shape[-2:]
    return -0.5, w * estimate.cell - 0.5, h * estimate.cell - 0.5, -0.5


def _fit(axes: Axes, estimate: DegradationEstimate) -> None:
    """Cut off cells outside of the image."""
    height, width = (estimate.image_shape[estimate.image_axes.index(letter)] for letter in "YX")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_xticks([])  # the frame stays: clean is as white as the page
    axes.set_yticks([])
