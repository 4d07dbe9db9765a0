"""``napari-baryir export``: models for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_baryir.commands.console import as_size, echo
from napari_baryir.errors import InputError
from napari_baryir.version import page_address

SUFFIXES = {"onnx": ".onnx", "bioimageio": ".zip"}

HELP = f"""\
Write a model as an ONNX file, or as a package of the BioImage Model Zoo. Needs the extra `export`:
pip install 'napari-baryir[export]'.

examples:
  napari-baryir export photo-compact -o photo.onnx
  napari-baryir export microscopy-compact -o microscopy.zip --to bioimageio

The ONNX file takes and gives pictures (batch, channels, height, width) of any size from 16 pixels,
float32, 0 for black and 1 for white. It is tried beside PyTorch before it is kept, and a package
also by bioimageio.core. {page_address("export.md")} says more.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model's name, or a weights file")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="file to write")
    parser.add_argument(
        "--to", choices=tuple(SUFFIXES), help="default: as FILE is named, .onnx or .zip"
    )
    parser.add_argument(
        "--channels", type=int, choices=(1, 3),
        help="1 for grey, 3 for colours; default: 1 for models of microscopy, else 3",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write, try, and say how well it agrees."""
    from napari_baryir.exports.onnx_file import export_onnx
    from napari_baryir.exports.zoo_package import export_package
    from napari_baryir.weights.registry import find_card, load_model

    path = Path(args.output)
    suffix = path.suffix.lower()
    to = args.to or {kept: name for name, kept in SUFFIXES.items()}.get(suffix)
    if to is None or suffix != SUFFIXES[to]:
        raise InputError(f"{path}: name the file *.onnx for ONNX, or *.zip for a package")
    card, model = find_card(args.model), load_model(args.model)
    channels = args.channels or (1 if card.image_kind == "microscopy" else 3)
    if to == "onnx":
        difference = export_onnx(model, path, channels)
    else:
        difference = export_package(model, card, path, channels)
    size = as_size(path.stat().st_size)
    echo(f"{args.model} -> {path}  ({size}; differs from PyTorch by at most {difference:.1g})")
    return 0
