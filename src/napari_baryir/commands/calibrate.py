"""``napari-baryir calibrate``: teach the estimates of any weights what their residuals mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari_baryir.commands.arguments import add_device
from napari_baryir.commands.console import Voice, run_shown
from napari_baryir.errors import InputError

if TYPE_CHECKING:
    import torch

    from napari_baryir.network import BaryIR
    from napari_baryir.training.data.images import Profile

HELP = """\
Calibrate the degradation estimates of a weights file, imported ones included, and store the
calibration in it.

examples:
  napari-baryir calibrate my-model.safetensors --data clean-photos/ --profile photo
  napari-baryir calibrate published.safetensors --data photos/ --profile photo -o mine.safetensors
  napari-baryir calibrate photo-compact --data photos/ -o mine.safetensors

The clean images are degraded in the ways that the profile names, in pieces of several sizes, some
with two degradations side by side. The residuals of three quarters of the images give the
prototypes; the last quarter gives temperature and the bounds of "unknown"; all of them give the
severity. The training images will do; do not use images that the estimates shall be measured on.
The network itself stays as it is. Files that are calibrated already are calibrated anew.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", help="a weights file (.safetensors), or the name of a model")
    parser.add_argument(
        "--data", required=True, metavar="CLEAN_FOLDER",
        help="folder of clean images, searched recursively; at least 8, better 100",
    )  # fmt: skip
    parser.add_argument(
        "--profile", choices=("photo", "microscopy"),
        help="how to degrade them; default: as the weights were trained",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="OUT",
        help="file to write; default: WEIGHTS itself, where that is a path",
    )  # fmt: skip
    parser.add_argument(
        "--scenes", type=int, help="how many pictures to degrade; default: 960, a few minutes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random; default: 0")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate, and write the file."""
    from napari_baryir.devices import choose_device
    from napari_baryir.training.calibrate import SCENES, calibrate
    from napari_baryir.training.data.images import load_clean_files
    from napari_baryir.weights.files import load_weights, save_weights
    from napari_baryir.weights.registry import REGISTRY, find_weights

    if args.output is None and (args.weights in REGISTRY or not Path(args.weights).is_file()):
        raise InputError(
            f"{args.weights} is not the path of a weights file, and the file behind a model's name "
            "is not overwritten; say where to write with -o OUT.safetensors"
        )
    device = choose_device(args.device)
    path = find_weights(args.weights)
    target = Path(args.output or path)
    if target.suffix.lower() != ".safetensors":
        raise InputError(f"-o {target}: weights files end in .safetensors")
    model = load_weights(path, device=device)
    profile: Profile = args.profile or _profile(model, path)
    files = load_clean_files(args.data, profile)
    scenes = SCENES if args.scenes is None else args.scenes
    voice = Voice(args)
    details = {"profile": profile, "images": len(files), "scenes": scenes, "seed": args.seed}
    voice.detail("calibration", {**details, "device": device, "weights": path})
    steps = calibrate(model, files, profile, scenes=scenes, seed=args.seed)
    calibration = run_shown(steps, "picture", voice)
    save_weights(model, target, dtype=_stored_dtype(path))
    voice.line(f"calibrated for {', '.join(calibration.domains)}: {target}")
    return 0


def _profile(model: BaryIR, path: Path) -> Profile:
    kind = model.provenance.get("image_kind")
    if kind not in ("photo", "microscopy"):
        raise InputError(
            f"{path.name} does not say what images it is for; give --profile photo or microscopy"
        )
    return cast("Profile", kind)


def _stored_dtype(path: Path) -> torch.dtype:
    """Return the precision in which a file holds its network; it is written back unchanged."""
    import torch
    from safetensors import safe_open

    from napari_baryir.weights.files import ESTIMATES

    with safe_open(path, framework="pt") as file:
        names = set(file.keys()).difference(ESTIMATES)
        kinds = {file.get_slice(name).get_dtype() for name in names}
    if kinds == {"F16"}:
        return torch.float16
    return torch.bfloat16 if kinds == {"BF16"} else torch.float32
