"""``napari-baryir demo``: restore samples whose truth is known, measure, and draw."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_baryir.commands.arguments import add_device
from napari_baryir.commands.console import Voice, as_table, run_shown
from napari_baryir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_baryir.sample_data import Sample

DEFAULT_SAMPLES = ("photo-noise", "photo-rain", "fluorescence-stack")

HELP = """\
Restore bundled samples, print how close they come to the truth, and draw degraded, restored, truth
and difference side by side.

examples:
  napari-baryir demo
  napari-baryir demo --gui

The photographs are scikit-image's, the microscopy is synthetic; both are degraded with fixed seeds,
so that the truth is known and everybody gets the same images. PSNR (in dB) and SSIM (at most 1) are
higher the closer an image is to the truth. Nothing is downloaded.
"""


@dataclass(frozen=True)
class Restored:
    """A sample and its restored image."""

    sample: Sample
    image: NDArray[Any]
    """Restored; shape, dtype and units of the sample."""
    model: str
    before: tuple[float, float]
    """PSNR in dB and SSIM of the degraded image."""
    after: tuple[float, float]
    """PSNR in dB and SSIM of the restored image."""
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", default="demo-output", metavar="FOLDER",
        help="where demo.png goes; default: demo-output",
    )  # fmt: skip
    parser.add_argument("--gui", action="store_true", help="show the images in napari as well")
    parser.add_argument(
        "--samples", nargs="+", metavar="NAME", default=DEFAULT_SAMPLES,
        help="photo-noise, photo-noise-haze, photo-rain, dark-photo, fluorescence-stack, "
        f"blurred-timelapse; default: {' '.join(DEFAULT_SAMPLES)}",
    )  # fmt: skip
    parser.add_argument(
        "--model", default="auto", help="as for `napari-baryir restore`; default: auto"
    )
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Restore the samples, print the table, write the figure, and show them on request."""
    from napari_baryir.sample_data import SAMPLES

    unknown = sorted(set(args.samples) - set(SAMPLES))
    if unknown:
        raise InputError(f"no sample {', '.join(unknown)}; there are {', '.join(SAMPLES)}")
    if args.gui and importlib.util.find_spec("napari") is None:
        raise InputError(
            "--gui needs napari, which is not installed; install it with: "
            "pip install 'napari-baryir[all]'"
        )
    voice = Voice(args)
    results = [
        restore_sample(SAMPLES[name](), args.model, args.device, voice) for name in args.samples
    ]
    voice.line(_table(results))
    path = Path(args.output) / "demo.png"
    draw(results, path)
    voice.line(f"\ndegraded, restored, truth and difference: {path}")
    if args.gui:
        from napari_baryir.widgets.demo import show_samples

        show_samples(results)
    return 0


def restore_sample(sample: Sample, model: str, device: str, voice: Voice) -> Restored:
    """Restore a sample and compare it with its truth, before and after."""
    from napari_baryir.restoration import iter_restore

    steps = iter_restore(sample.degraded, axes=sample.axes, model=model, device=device)
    done = run_shown(steps, f"{sample.name}: tile", voice)
    voice.detail(sample.name, done.settings)
    return Restored(
        sample, done.image, Path(done.model).stem,
        before=compare(sample.degraded, sample), after=compare(done.image, sample),
        seconds=done.seconds,
    )  # fmt: skip


def compare(image: NDArray[Any], sample: Sample) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of an image against a sample's truth.

    The range of values is that of the dtype for photographs and that of the truth for microscopy.
    SSIM of a stack is the mean over its planes; PSNR is that of the whole stack.
    """
    import numpy as np
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    colour = _is_colour(sample)
    clean = sample.clean
    span = 255.0 if colour else float(clean.max()) - float(clean.min())
    psnr = float(peak_signal_noise_ratio(clean, image, data_range=span))
    pairs = [(clean, image)] if colour else list(zip(clean, image, strict=True))
    ssim = [
        structural_similarity(a, b, data_range=span, channel_axis=-1 if colour else None)
        for a, b in pairs
    ]
    return psnr, float(np.mean(ssim))


def _is_colour(sample: Sample) -> bool:
    return sample.axes.endswith("S")


def _table(results: Sequence[Restored]) -> str:
    header = ("sample", "model", "PSNR before", "after", "SSIM before", "after", "seconds")
    rows = [
        (
            each.sample.name, each.model, f"{each.before[0]:.2f} dB", f"{each.after[0]:.2f} dB",
            f"{each.before[1]:.3f}", f"{each.after[1]:.3f}", f"{each.seconds:.1f}",
        )
        for each in results
    ]  # fmt: skip
    return as_table(header, rows)


def draw(results: Sequence[Restored], path: Path) -> None:
    """Draw each sample in a row: degraded, restored, truth, difference; a stack's middle plane."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from napari_baryir.atomic import written_aside

    shapes = [
        each.sample.clean.shape[0 if _is_colour(each.sample) else 1 :][:2] for each in results
    ]
    heights = [4 * height / width + 0.5 for height, width in shapes]  # inches, with the title
    figure = Figure(figsize=(16, sum(heights)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    ratios = {"height_ratios": heights}
    grid = figure.subplots(len(results), 4, squeeze=False, gridspec_kw=ratios)
    for row, each in zip(grid, results, strict=True):
        _draw_row(row, each)
    with written_aside(path) as aside:
        canvas.print_figure(aside, format="png", dpi=100)


def _draw_row(row: Any, each: Restored) -> None:
    import numpy as np

    sample = each.sample
    colour = _is_colour(sample)
    middle = () if colour else (sample.clean.shape[0] // 2,)
    degraded, restored, clean = (
        image[middle] for image in (sample.degraded, each.image, sample.clean)
    )
    low, high = (0, 255) if colour else (int(clean.min()), int(clean.max()))
    off = np.abs(restored.astype(np.float32) - clean.astype(np.float32)) / max(high - low, 1)
    off = off.mean(axis=-1) if colour else off
    titles = (
        f"{sample.title}\nPSNR {each.before[0]:.2f} dB, SSIM {each.before[1]:.3f}",
        f"restored by {each.model}\nPSNR {each.after[0]:.2f} dB, SSIM {each.after[1]:.3f}",
        "truth",
        "|restored - truth|, white: 20 % of the range",
    )
    for axes, image, title in zip(row, (degraded, restored, clean), titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        axes.set_title(title, fontsize=10)
    row[3].imshow(off, cmap="gray", vmin=0, vmax=0.2)
    row[3].set_title(titles[3], fontsize=10)
    for axes in row:
        axes.set_axis_off()
