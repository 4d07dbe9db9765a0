"""Arguments of more than one command."""

from __future__ import annotations

import argparse
from typing import Any

from napari_baryir.errors import InputError


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the images of a command that takes many."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN",
        help="image files, folders (with all folders inside) or patterns such as '*.tif'",
    )  # fmt: skip


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what an image is, and which network is to see it."""
    parser.add_argument(
        "--model", default="auto",
        help="a name that `napari-baryir models` lists, or a weights file; default: auto, which is "
        "photo-compact for colour images and microscopy-compact for all others",
    )  # fmt: skip
    parser.add_argument(
        "--axes", type=_axes, metavar="AXES",
        help="what each dimension is, a letter each: T time, Z depth, C channel, Y height, "
        "X width, S red-green-blue; for example TYX. Default: as the file says",
    )  # fmt: skip
    parser.add_argument(
        "--intensity", type=_intensity, action="append", metavar="LOW,HIGH",
        help="values that the network sees as 0 and 1; given once, or once per channel; write "
        "--intensity=-1,1 where LOW is negative. Or full (range of the data type), percentile, or "
        "auto (default), which chooses by data type and content",
    )  # fmt: skip


def add_device(parser: argparse._ActionsContainer) -> None:
    """Add the option of every command that uses a network."""
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps"
    )


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that sends images through a network."""
    group = parser.add_argument_group("computing")
    add_device(group)
    group.add_argument(
        "--precision", default="auto", choices=("auto", "float32", "bfloat16", "float16"),
        help="default: auto, bfloat16 on NVIDIA GPUs and CPUs that are faster in it, else float32",
    )  # fmt: skip
    group.add_argument(
        "--tile", type=_tile, default="auto", metavar="PIXELS",
        help="side of the pieces that an image is cut into; auto (default): by free memory; "
        "whole: not cut at all",
    )  # fmt: skip
    group.add_argument(
        "--overlap", type=_pixels, default="auto", metavar="PIXELS",
        help="how far neighbouring pieces overlap; default: auto",
    )  # fmt: skip


def add_speech(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands whose results programs can read."""
    parser.add_argument("--json", action="store_true", help="write the results to stdout as JSON")


def computing_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return how to compute, and the intensity, as `napari_baryir.restore` takes them."""
    chosen = args.intensity or ["auto"]
    intensity = chosen[0] if len(chosen) == 1 else chosen
    names = ("device", "precision", "tile", "overlap")
    return {**{name: getattr(args, name) for name in names}, "intensity": intensity}


def _axes(text: str) -> str:
    upper = text.upper()
    if not set("YX") <= set(upper) <= set("TZCYXS") or len(set(upper)) < len(upper):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a combination of T, Z, C, Y, X and S with Y and X; for example TYX"
        )
    return upper


def _intensity(text: str) -> str | tuple[float, float]:
    from napari_baryir.imaging.intensity import read_intensity

    try:
        return read_intensity(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _tile(text: str) -> int | str:
    return text if text == "whole" else _pixels(text, 16)


def _pixels(text: str, least: int = 0) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor at least {least} pixels")
    return int(text)
