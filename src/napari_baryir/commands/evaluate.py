"""``napari-baryir evaluate``: PSNR, SSIM and LPIPS against the truth."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_baryir.commands.arguments import add_device, add_speech
from napari_baryir.commands.console import StepsShown, Voice
from napari_baryir.errors import InputError
from napari_baryir.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_baryir.training.evaluate import Evaluation
    from napari_baryir.training.evaluate.cases import Case

HELP = """\
Measure a model against the truth, beside the untouched input.

examples:
  napari-baryir evaluate --pairs noisy/ clean/
  napari-baryir evaluate --clean photos/ --domains noise --sigma 25 --peers -o report.md
  napari-baryir evaluate --clean photos/ --unseen -o unseen.csv -o unseen.md
  napari-baryir evaluate --paper data/test --model paper_5d.safetensors -o paper.csv -o paper.md

protocol:
  Input, restored image and truth are mapped to [0, 1] by one intensity map, the one that restoring
  chooses from the degraded image: the full range for 8-bit and RGB images, otherwise the 0.1 and
  99.9 percentiles of each channel over the whole stack. They are clamped to [0, 1] and compared in
  full, without cropping, in RGB where there are colours; alpha is left out. PSNR and SSIM are
  scikit-image's with data_range=1 (SSIM: uniform 7x7 windows, mean over the colours). A stack's
  score is the mean over its planes, a domain's the mean over its images. The untouched input is
  always reported.

  With --clean, images are degraded with fixed seeds: the same seed, file name and domain give the
  same pair, whatever else is measured. The level of a degradation is drawn between mildest and
  strongest for each image unless --level fixes it. Photographs are degraded to 8-bit values, so
  noise is clipped and rounded as in a file; their noise is reported at sigma 15, 25 and 50 of 255
  unless --sigma or --level says otherwise. Microscopy files are cut into planes, mapped to [0, 1]
  as restoring would map their stack, before they are degraded.

  --peers adds scikit-image's denoisers for noise and for --pairs, given the true sigma: the one
  that the noise was made with; for microscopy and pairs, the root mean square of degraded - clean
  in [0, 1]. Non-local means: 5x5 patches, 13x13 search, h = 0.8 sigma, fast mode. Wavelet:
  BayesShrink, soft, in YCbCr. Total variation: Chambolle, weight 0.7 sigma.

  --paper measures the test sets of the BaryIR paper (SOTS outdoor, Rain100L, BSD68 in colour at
  sigma 15, 25 and 50, GoPro, LOL-v1) under the folder that the authors' README calls test, or as
  the data sets are unpacked. What is missing or half there is listed before anything starts.
  Published scores stand beside complete sets in the report, in a table of their own: the authors
  cropped to multiples of 8 or 16 and cut noise off to integers instead of rounding it.

  --unseen degrades --clean photographs in ways that no recipe trains on: JPEG of quality 10 to 40,
  5 % salt and pepper, snow, and noise of sigma 60 and 75 (training has 5 to 50). It measures
  mixtures too, two degradations at once, each named "mixture ..."; these are not unseen, since the
  later stages of the compact recipes train on mixtures.

  --lpips adds LPIPS 0.1 with AlexNet on [-1, 1], if the package lpips is installed and AlexNet's
  weights can be had.

  --json writes a list with the scores of every image and method, as a report that ends in .csv has
  them. Infinite PSNR, of equal images, and what has no value are null.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="auto", metavar="NAME_OR_FILE", help="default: auto")
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--pairs", nargs=2, type=Path, metavar=("DEGRADED", "CLEAN"),
        help="two folders with files of the same names (suffixes may differ), or two files",
    )  # fmt: skip
    data.add_argument(
        "--clean", nargs="+", type=Path, metavar="PATH",
        help="folders (recursively) or files of clean images, to be degraded",
    )  # fmt: skip
    data.add_argument(
        "--paper", type=Path, metavar="FOLDER", help="the folder with the paper's test sets"
    )
    paper = parser.add_argument_group("with --paper")
    paper.add_argument("--sets", nargs="+", metavar="SET", help="default: those that are there")
    paper.add_argument(
        "--incomplete", action="store_true", help="measure sets that lack images all the same"
    )
    seeded = parser.add_argument_group("with --clean")
    seeded.add_argument("--profile", choices=("photo", "microscopy"), default="photo")
    seeded.add_argument(
        "--domains", nargs="+", metavar="DOMAIN", help="default: all of the profile"
    )
    seeded.add_argument(
        "--sigma", nargs="+", type=float, metavar="S", help="of photographic noise, of 255"
    )
    seeded.add_argument("--level", type=float, help="0 (mildest) to 1 (strongest) for every image")
    seeded.add_argument(
        "--unseen", action="store_true",
        help="degrade photographs in ways never trained on, and by mixtures",
    )  # fmt: skip
    seeded.add_argument("--seed", type=int, default=0, help="of --paper's noise, too")
    parser.add_argument("--peers", action="store_true", help="measure classical denoisers too")
    parser.add_argument("--lpips", action="store_true", help="measure LPIPS too")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="at most N images (or planes; of each set)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, action="append", default=[], metavar="FILE",
        help="report.csv (every image) or report.md (means); may be given twice",
    )  # fmt: skip
    add_device(parser)
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16")
    add_speech(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, show progress, and report."""
    from napari_baryir.training.evaluate.report import check_report_path, to_markdown, write_report

    for path in args.output:
        check_report_path(path)
    voice = Voice(args)
    evaluation = _evaluate(args, _list_cases(args), voice)
    voice.document([asdict(score) for score in evaluation.scores])
    voice.line(to_markdown(evaluation).rstrip())
    for path in args.output:
        write_report(evaluation, path)
    return 0


def _list_cases(args: argparse.Namespace) -> Sequence[Case]:
    _check_options(args)
    if args.pairs:
        from napari_baryir.training.evaluate.cases import list_pairs

        return list_pairs(*args.pairs, limit=args.limit)
    if args.paper:
        from napari_baryir.training.paper.test_sets import list_paper_sets

        return list_paper_sets(
            args.paper, sets=args.sets, seed=args.seed, limit=args.limit, incomplete=args.incomplete
        )
    if args.unseen:
        from napari_baryir.training.evaluate.unseen import list_unseen

        return list_unseen(args.clean, domains=args.domains, seed=args.seed, limit=args.limit)
    from napari_baryir.training.evaluate.cases import PHOTO_SIGMAS, list_synthetic

    return list_synthetic(
        args.clean, profile=args.profile, domains=args.domains, sigmas=args.sigma or PHOTO_SIGMAS,
        level=args.level, seed=args.seed, limit=args.limit,
    )  # fmt: skip


def _check_options(args: argparse.Namespace) -> None:
    """Raise `InputError` for options that say nothing about the data that were given."""
    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit {args.limit}: at least one image must be measured")
    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: give a number from 0")
    fixed = args.sigma or args.level is not None
    if not args.clean and (fixed or args.domains or args.unseen):
        raise InputError(
            "--domains, --sigma, --level and --unseen degrade clean images; use --clean"
        )
    if not args.paper and (args.sets or args.incomplete):
        raise InputError("--sets and --incomplete are for the paper's test sets; use --paper")
    if args.unseen and (fixed or args.profile != "photo"):
        raise InputError("--unseen has its own levels, for photographs; leave the others out")
    if args.sigma and args.level is not None:
        raise InputError("--sigma and --level both fix the noise; give one of them")
    if args.sigma and args.profile != "photo":
        raise InputError("--sigma is for photographic noise; use --level for microscopy")


def _evaluate(args: argparse.Namespace, cases: Sequence[Case], voice: Voice) -> Evaluation:
    from napari_baryir.training.evaluate import iter_evaluate

    perceptual = None
    if args.lpips:
        from napari_baryir.training.evaluate.peers import load_lpips

        perceptual = load_lpips()
    options: dict[str, Any] = {"device": args.device, "precision": args.precision}
    # A file is loaded once, not once an image.
    model: Any = args.model
    if model != "auto":
        from napari_baryir import load_model

        model = load_model(model)
    name = "model" if args.model == "auto" else Path(args.model).stem
    steps = iter_evaluate(
        cases, model, model_name=name, peers=args.peers, perceptual=perceptual,
        restore_options=options,
    )  # fmt: skip
    scores = Steps(steps)
    done = 0
    with StepsShown(silent=voice.quiet, passing=True) as shown:
        for score in scores:
            done += score.method == name
            shown.show("image", done, len(cases))
            voice.detail(f"{score.image}, {score.method}", asdict(score))
    return scores.result
