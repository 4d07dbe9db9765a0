"""Packages of the BioImage Model Zoo, for the programs that run its models."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from napari_baryir.atomic import written_aside
from napari_baryir.exports.onnx_file import OPSET, ExportError, export_onnx, need, picture
from napari_baryir.exports.picture import LEAST_SIDE, WholePicture
from napari_baryir.imaging.intensity import PERCENTILES
from napari_baryir.network import BaryIR
from napari_baryir.weights.registry import ModelCard

SIZE = {"min": LEAST_SIDE, "step": 1}
"""Sides that programs may choose, pixels: any, as `WholePicture` continues them to whole cells."""
GREY_RANGE = (100.0, 4000.0)
"""Least and greatest value of the test picture of a grey model: any camera's."""
LEVELS = 255
EXPLANATION = {
    1: "a grey plane of any range. Its 0.1 and 99.9 percentiles go to 0 and 1, and the restored "
    "plane stays in these units.",
    3: "an 8-bit RGB picture. The restored picture has values from 0 to 255, not rounded.",
}


def export_package(
    model: BaryIR, card: ModelCard, path: str | os.PathLike[str], channels: int
) -> float:
    """Write a network as a zipped package, and have bioimageio.core test it.

    The package has the ONNX file of `export_onnx`, the model card, and a test picture with torch's
    answer, which onnxruntime must repeat.

    Parameters
    ----------
    model, channels
        As of `export_onnx`.
    card
        Title, summary, licence and card of the model.
    path
        File to write, ``.zip``; replaced if it is there. The folder is made when missing.

    Returns
    -------
    float
        The largest difference of the ONNX file from torch, in [0, 1].

    Raises
    ------
    VersionError
        If the libraries of the extra ``export`` are not installed.
    ExportError
        If the ONNX file differs from torch, or the test fails; nothing is written then.
    """
    need("bioimageio.core")
    from bioimageio.core import test_model
    from bioimageio.spec import save_bioimageio_package
    from loguru import logger

    logger.disable("bioimageio")  # it says each step on the terminal
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        difference = export_onnx(model, folder / "weights.onnx", channels)
        given, answer = _test_tensors(WholePicture(model, channels).eval())
        for kind, pixels in {"input": given, "output": answer}.items():
            np.save(folder / f"test_{kind}.npy", pixels)
            # For people to look at. tifffile would call three planes of 8 bits colours.
            tifffile.imwrite(folder / f"sample_{kind}.tif", pixels[0], photometric="minisblack")
        (folder / "README.md").write_text(_document(card, channels), encoding="utf-8")
        package = folder / "package.zip"
        save_bioimageio_package(_description(card, folder, channels), output_path=package)
        summary = test_model(package, weight_format="onnx")
        if summary.status != "passed":
            raise ExportError(f"bioimageio.core refuses the package: {summary.format()}")
        with written_aside(Path(path)) as aside:
            shutil.copyfile(package, aside)
    return difference


def _test_tensors(whole: WholePicture) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return a test picture as users have it, and torch's answer after our preparation."""
    unit = picture(1, whole.channels, 96, 128)
    given: NDArray[Any]
    scale = 1.0 if whole.channels == 1 else float(LEVELS)
    if whole.channels == 1:
        low, high = GREY_RANGE
        given = low + (high - low) * unit
        bottom, top = np.percentile(given, PERCENTILES)
        shown = (given - bottom) / (top - bottom)
    else:
        given = np.rint(unit * LEVELS).astype(np.uint8)
        shown = given / LEVELS
    with torch.inference_mode():
        answer = whole(torch.from_numpy(shown.astype(np.float32))).numpy() * np.float32(scale)
    return given, answer


def _description(card: ModelCard, folder: Path, channels: int) -> Any:
    """Return the description of the package, checked by bioimageio.spec."""
    from bioimageio.spec.model import v0_5 as spec

    names = ["intensity"] if channels == 1 else ["red", "green", "blue"]
    axes: list[dict[str, Any]] = [
        {"type": "batch"},
        {"type": "channel", "channel_names": names},
        *({"type": "space", "id": axis, "size": SIZE} for axis in "yx"),
    ]
    same = {axis: {"size": {"tensor_id": "picture", "axis_id": axis}} for axis in "yx"}
    before: list[dict[str, Any]]
    after: list[dict[str, Any]] = []
    if channels == 1:
        low, high = PERCENTILES
        per_picture = {"axes": ["channel", "y", "x"], "min_percentile": low, "max_percentile": high}
        before = [{"id": "scale_range", "kwargs": per_picture}]
        values: dict[str, Any] = {"type": "float32"}
    else:
        # Without the last of them, [0, 1] would be cast back to the type of the input.
        before = [
            {"id": "scale_linear", "kwargs": {"gain": 1 / LEVELS}},
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        ]
        after = [{"id": "scale_linear", "kwargs": {"gain": float(LEVELS)}}]
        values = {"type": "uint8", "range": (0, LEVELS)}
    return spec.ModelDescr.model_validate(
        {
            "type": "model",
            "format_version": spec.ModelDescr.implemented_format_version,
            "name": re.sub(r"[^A-Za-z0-9_+ ()-]", "-", f"BaryIR {card.title}")[:128],
            "description": _summary(card)[:1000],
            "authors": [{"name": "napari-baryir developers"}],
            "cite": [{"text": "Tang et al., TPAMI 2026", "doi": "10.48550/arXiv.2602.23169"}],
            "license": _licence(card),
            "documentation": {"source": folder / "README.md"},
            "tags": ["2d", "image-restoration", "denoising", "onnx"],
            "inputs": [
                {
                    "id": "picture", "axes": axes, "data": values, "preprocessing": before,
                    "test_tensor": {"source": folder / "test_input.npy"},
                    "sample_tensor": {"source": folder / "sample_input.tif"},
                }
            ],
            "outputs": [
                {
                    "id": "restored", "axes": [a | same.get(a.get("id", ""), {}) for a in axes],
                    "data": {"type": "float32"}, "postprocessing": after,
                    "test_tensor": {"source": folder / "test_output.npy"},
                    "sample_tensor": {"source": folder / "sample_output.tif"},
                }
            ],
            "weights": {
                "onnx": {"source": folder / "weights.onnx", "opset_version": OPSET}
            },
        }
    )  # fmt: skip


def _summary(card: ModelCard) -> str:
    """Return the summary, without the path that a file which has none is called by."""
    return card.summary.replace(str(card.path), card.file)


def _licence(card: ModelCard) -> str | None:
    """Return the licence by its SPDX name; None if it has none, since a package takes no other."""
    from bioimageio.spec.generic.v0_3 import LicenseId

    try:
        return str(LicenseId(card.licence))
    except ValueError:
        return None


def _document(card: ModelCard, channels: int) -> str:
    """Return the documentation of the package, in Markdown: the model card, and what differs."""
    own = card.card_path
    about = f"# {card.name}\n\n{_summary(card)}" if own is None else own.read_text("utf-8").rstrip()
    return (
        f"{about}\n\n## In this package\n\nRestores {EXPLANATION[channels]} Give whole pictures "
        "where memory allows: haze, darkness and background are decided for the whole of one. "
        f"Licence of the weights: {card.licence}.\n\n## Validation\n\n"
        "Compare restored pictures of known degradation with the clean ones by PSNR and SSIM, "
        "beside the untouched input: `napari-baryir evaluate` does so.\n"
    )
