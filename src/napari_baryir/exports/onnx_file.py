"""Networks as ONNX files, which onnxruntime and many other programs run without Python."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_baryir.atomic import written_aside
from napari_baryir.errors import BaryIRError, VersionError
from napari_baryir.exports.picture import LEAST_SIDE, WholePicture
from napari_baryir.network import BaryIR
from napari_baryir.version import __version__

OPSET = 20
"""Version of the operators; the first whose DFT and GridSample are as the network needs them."""
TOLERANCE = 1e-5
"""Largest difference from torch, in [0, 1], at which a file is kept."""
TRIED = ((1, 64, 96), (2, 83, 40), (1, 17, 150))
"""Batch, height and width of the pictures that the file is tried on."""


class ExportError(BaryIRError, RuntimeError):
    """An exported network that answers other than torch does."""


def export_onnx(model: BaryIR, path: str | os.PathLike[str], channels: int) -> float:
    """Write a network to one ONNX file, and try it beside torch.

    Its input ``picture`` and output ``restored`` are (batch, channels, height, width), float32,
    about [0, 1]; batch, height and width are free, the sides from 16 pixels. Everything that
    `WholePicture` does is in the file.

    Parameters
    ----------
    model
        In evaluation mode.
    path
        File to write; replaced if it is there. The folder is made when missing.
    channels
        1 or 3.

    Returns
    -------
    float
        The largest difference from torch that was found, in [0, 1].

    Raises
    ------
    VersionError
        If the libraries of the extra ``export`` are not installed.
    ExportError
        If the file differs from torch by more than `TOLERANCE`; nothing is written then.
    """
    whole = WholePicture(model, channels).eval()
    program = _converted(whole)
    program.model.metadata_props.update(
        {
            "producer": f"napari-baryir {__version__}",
            "weights_sha256": model.weights_hash or "",
            "licence": str(model.provenance.get("licence", "unknown")),
            "domains": ", ".join(model.domains),
        }
    )
    with written_aside(Path(path)) as aside:
        program.save(aside)
        difference = largest_difference(whole, aside)
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the ONNX file differs from torch by {difference:.1g}, more than {TOLERANCE:g}, "
                "so it was not kept; try another version of onnxruntime, and report this"
            )
    return difference


def _converted(whole: WholePicture) -> Any:
    """Translate to ONNX, with batch, height and width free."""
    need("onnx", "onnxscript", "onnxruntime")
    import onnx_ir  # of onnxscript

    size = {
        0: torch.export.Dim("batch"),
        2: torch.export.Dim("height", min=LEAST_SIDE),
        3: torch.export.Dim("width", min=LEAST_SIDE),
    }
    example = torch.from_numpy(picture(2, whole.channels, 88, 104))
    # The exporter says much about itself, in its log, on the terminal and as warnings.
    chatty = logging.getLogger("torch.onnx")
    level = chatty.level
    chatty.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(whole, (example,), dynamic_shapes=(size,))
            program = torch.onnx.export(
                exported, dynamo=True, opset_version=OPSET, verbose=False,
                input_names=["picture"], output_names=["restored"],
            )  # fmt: skip
    finally:
        chatty.setLevel(level)
    assert program is not None  # since it has no file to write
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        value.shape = onnx_ir.Shape(("batch", whole.channels, "height", "width"))  # s64, s84, s32
    return program


def largest_difference(whole: WholePicture, path: Path) -> float:
    """Return the largest difference between onnxruntime and torch over the pictures of `TRIED`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for batch, height, width in TRIED:
        x = picture(batch, whole.channels, height, width)
        with torch.inference_mode():
            wanted = whole(torch.from_numpy(x)).numpy()
        (found,) = session.run(None, {"picture": x})
        differences.append(float(np.abs(found - wanted).max()))
    return max(differences)


def picture(batch: int, channels: int, height: int, width: int) -> NDArray[np.float32]:
    """Make pictures to try a network on: shapes, shading and noise, (batch, channels, H, W)."""
    generator = np.random.default_rng(height)
    down, right = np.mgrid[:height, :width]
    shapes = (np.sin(down / 7) + np.sin(right / 5) > 0.3) * 0.5 + right / width * 0.3
    noisy = shapes + generator.normal(0, 0.08, (batch, channels, height, width))
    pictures: NDArray[np.float32] = np.clip(noisy, 0, 1).astype(np.float32)
    return pictures


def need(*modules: str) -> None:
    """Raise `VersionError` unless libraries are installed that only exporting needs."""
    missing = [name for name in modules if not _is_installed(name)]
    if missing:
        raise VersionError(
            f"exporting needs {', '.join(missing)}; install them with: "
            "pip install 'napari-baryir[export]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
