"""Evaluation: the metrics against slow formulas, the cases, the rows, the reports, the command."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data, io

from napari_baryir import cli, steps
from napari_baryir.commands import evaluate as command
from napari_baryir.errors import DataError, InputError
from napari_baryir.network import BaryIR
from napari_baryir.training.evaluate import (
    INPUT,
    Evaluation,
    ImageScore,
    iter_evaluate,
    score_plane,
)
from napari_baryir.training.evaluate.cases import FileCase, list_pairs, list_synthetic
from napari_baryir.training.evaluate.peers import PEERS
from napari_baryir.training.evaluate.report import to_csv, to_markdown, write_report
from napari_baryir.weights.files import save_weights


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folder of two small clean photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    io.imsave(folder / "face.png", data.astronaut()[:64, 200:280], check_contrast=False)
    io.imsave(folder / "cup.png", data.coffee()[100:164, 200:272], check_contrast=False)
    return folder


@pytest.fixture
def identity_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `restore` return its input, so that a model's row must equal the input's."""

    def restore(image: NDArray[Any], **_: Any) -> SimpleNamespace:
        return SimpleNamespace(image=image)

    monkeypatch.setattr("napari_baryir.restoration.restore", restore)


def finish(cases: Any, **options: Any) -> Evaluation:
    """Run an evaluation to its end."""
    return steps.finish(iter_evaluate(cases, "auto", **options))


def test_a_case_does_not_depend_on_what_else_is_measured(photos: Path) -> None:
    few = list_synthetic([photos / "face.png"], domains=["rain"], seed=3)
    all_cases = list_synthetic([photos], seed=3)
    (same,) = [c for c in all_cases if c.name == "face.png" and c.domain == "rain"]
    np.testing.assert_array_equal(few[0].load().degraded, same.load().degraded)
    (other,) = list_synthetic([photos / "face.png"], domains=["rain"], seed=4)
    assert not np.array_equal(other.load().degraded, same.load().degraded)


def test_photographic_noise_has_the_sigma_it_is_reported_at(photos: Path) -> None:
    cases = list_synthetic([photos], domains=["noise"])
    assert [c.domain for c in cases] == 2 * ["noise 15", "noise 25", "noise 50"]
    for case in cases[:2]:  # at 50 clipping takes too much away
        pair = case.load()
        assert pair.sigma is not None
        inside = (pair.clean > 0.25) & (pair.clean < 0.75)
        assert np.std((pair.degraded - pair.clean)[inside]) == pytest.approx(pair.sigma, rel=0.05)


def test_level_replaces_sigmas_and_the_limit_spreads(photos: Path) -> None:
    cases = list_synthetic([photos], domains=["noise", "haze"], level=1.0, limit=1)
    assert [(c.domain, c.load().level) for c in cases] == [("noise", 1.0), ("haze", 1.0)]
    assert len({c.name for c in list_synthetic([photos], limit=2)}) == 2


def test_microscopy_stacks_are_cut_into_planes(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 4096, (2, 24, 30)).astype(np.uint16)
    io.imsave(tmp_path / "cells.tif", stack, check_contrast=False)
    cases = list_synthetic([tmp_path], profile="microscopy", domains=["noise", "stripes"])
    assert [c.name for c in cases] == 2 * ["cells.tif[0]"] + 2 * ["cells.tif[1]"]
    assert cases[0].load().degraded.shape == (24, 30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "radar"}, "no degradation profile 'radar'"),
        ({"domains": ["snow"]}, "no domain 'snow'"),
        ({"level": 1.5}, "level 1.5 is outside"),
        ({"sigmas": [90]}, "sigma 90 is outside"),
    ],
)
def test_choices_outside_the_tables_are_refused(
    photos: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        list_synthetic([photos], **options)


def test_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in"):
        list_synthetic([tmp_path])
    with pytest.raises(DataError, match="there is no"):
        list_synthetic([tmp_path / "missing"])
    with pytest.raises(DataError, match="nothing to evaluate"):
        next(iter_evaluate([], "auto"))


def test_pairs_match_by_name_whatever_the_suffix(photos: Path, tmp_path: Path) -> None:
    degraded = tmp_path / "degraded"
    degraded.mkdir()
    io.imsave(degraded / "cup.tif", data.coffee()[100:164, 200:272], check_contrast=False)
    (pair,) = list_pairs(degraded, photos)
    assert (pair.name, pair.clean.name) == ("cup.tif", "cup.png")
    np.testing.assert_array_equal(pair.load().degraded, pair.load().clean)
    io.imsave(degraded / "tea.png", data.coffee()[:64, :72], check_contrast=False)
    with pytest.raises(DataError, match=r"tea\.png has no partner"):
        list_pairs(degraded, photos)


def test_an_image_and_a_folder_are_no_pair(photos: Path) -> None:
    with pytest.raises(DataError, match="give two folders, or two images"):
        list_pairs(photos / "cup.png", photos)
    with pytest.raises(DataError, match="there is no"):
        list_pairs(photos / "cup.png", photos / "missing")
    with pytest.raises(DataError, match="there is no"):
        list_pairs(photos / "missing", photos / "cup.png")


def test_peers_are_refused_before_any_work_where_pywavelets_is_missing(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(DataError, match="PyWavelets"):
        next(iter_evaluate(list_synthetic([photos]), "auto", peers=True))


@pytest.mark.parametrize(
    "arguments",
    [["--sigma", "25"], ["--domains", "rain"], ["--level", "0"]],
)
def test_pairs_are_not_degraded_again(photos: Path, arguments: list[str]) -> None:
    with pytest.raises(InputError, match="use --clean"):
        run_command("--pairs", str(photos), str(photos), *arguments)


def test_a_pair_must_agree_in_shape(photos: Path) -> None:
    with pytest.raises(DataError, match="a pair must agree"):
        FileCase("x", photos / "cup.png", photos / "face.png").load()


@pytest.mark.usefixtures("identity_restore")
def test_the_input_is_always_measured_and_an_identity_equals_it(photos: Path) -> None:
    evaluation = finish(list_synthetic([photos], domains=["haze", "blur"]), model_name="identity")
    assert evaluation.methods == [INPUT, "identity"]
    for domain in ("haze", "blur"):
        assert evaluation.mean(domain, INPUT) == evaluation.mean(domain, "identity")
        assert evaluation.count(domain) == 2
    case = list_synthetic([photos], domains=["haze"])[0]
    pair = case.load()
    expected = score_plane(pair.degraded, pair.clean)
    assert (evaluation.scores[0].psnr, evaluation.scores[0].ssim) == pytest.approx(expected)


@pytest.mark.usefixtures("identity_restore")
def test_every_peer_gains_on_noise_and_none_runs_elsewhere(photos: Path) -> None:
    cases = list_synthetic([photos], domains=["noise", "haze"], sigmas=[25])
    evaluation = finish(cases, peers=True)
    untouched = evaluation.mean("noise 25", INPUT)
    assert untouched is not None
    for peer in PEERS:
        gained = evaluation.mean("noise 25", peer)
        assert gained is not None
        assert gained[0] > untouched[0] + 3
        assert gained[1] > untouched[1]
        assert evaluation.mean("haze", peer) is None


@pytest.mark.usefixtures("identity_restore")
def test_peers_of_a_pair_are_given_the_noise_that_is_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clean = np.full((40, 40, 3), 128, np.uint8)
    noisy = np.clip(clean + np.rint(20 * rng.standard_normal(clean.shape)), 0, 255)
    io.imsave(tmp_path / "clean.png", clean, check_contrast=False)
    io.imsave(tmp_path / "noisy.png", noisy.astype(np.uint8), check_contrast=False)
    evaluation = finish(list_pairs(tmp_path / "noisy.png", tmp_path / "clean.png"), peers=True)
    (sigma,) = {score.sigma for score in evaluation.scores}
    assert sigma == pytest.approx(20 / 255, rel=0.05)


def test_reports_hold_every_score_and_every_mean(tmp_path: Path) -> None:
    def row(image: str, method: str, psnr: float) -> ImageScore:
        return ImageScore(image, "haze", method, psnr, 0.5, None, None, 0.25)

    evaluation = Evaluation(
        (row("a", INPUT, 20), row("a", "m", 30), row("b", INPUT, 21), row("b", "m", math.inf))
    )
    assert to_markdown(evaluation).splitlines() == [
        "| domain | images | input | m |",
        "| --- | --- | --- | --- |",
        "| haze | 2 | 20.50 / 0.5000 | inf / 0.5000 |",
        "",
        "PSNR in dB / SSIM, means over the images; a report that ends in .csv has every image.",
    ]
    rows = list(csv.DictReader(to_csv(evaluation).splitlines()))
    assert [(r["image"], r["method"], r["psnr"]) for r in rows] == [
        ("a", "input", "20.0000"),
        ("a", "m", "30.0000"),
        ("b", "input", "21.0000"),
        ("b", "m", "inf"),
    ]
    assert rows[0]["level"] == ""
    with pytest.raises(InputError, match="a report is"):
        write_report(evaluation, tmp_path / "report.xlsx")


def run_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(arguments)
    args.quiet = args.verbose = False
    return command.run(args)


def test_the_command_measures_and_reports(
    photos: Path, tmp_path: Path, tiny_model: BaryIR, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_weights(tiny_model, weights)
    report = tmp_path / "report.csv"
    arguments = ["--model", str(weights), "--clean", str(photos), "--domains", "rain"]
    assert run_command(*arguments, "--limit", "1", "-o", str(report), "--device", "cpu") == 0
    assert "| domain | images | input | tiny |" in capsys.readouterr().out
    assert [r["method"] for r in csv.DictReader(report.read_text().splitlines())] == [
        "input",
        "tiny",
    ]


def test_json_has_the_score_of_every_image_and_null_for_what_is_infinite(
    tmp_path: Path, identity_restore: None, capsys: pytest.CaptureFixture[str]
) -> None:
    same = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    for folder in ("degraded", "clean"):
        (tmp_path / folder).mkdir()
        io.imsave(tmp_path / folder / "a.png", same)
    pairs = ["--pairs", str(tmp_path / "degraded"), str(tmp_path / "clean")]
    assert run_command(*pairs, "--json", "--device", "cpu") == 0
    scores = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [(score["method"], score["psnr"]) for score in scores] == [
        ("input", None),
        ("model", None),
    ]
    assert scores[0]["ssim"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clean", "x", "--sets", "GoPro"], "use --paper"),
        (["--paper", "x", "--unseen"], "use --clean"),
        (["--clean", "x", "--unseen", "--sigma", "25"], "has its own levels"),
        (["--clean", "x", "--unseen", "--profile", "microscopy"], "has its own levels"),
        (["--paper", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_options_that_do_not_fit_the_data_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises((InputError, DataError), match=message):
        run_command(*arguments)


def test_the_command_measures_what_was_never_trained_on(
    photos: Path, tmp_path: Path, identity_restore: None, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.md"
    arguments = ["--clean", str(photos), "--unseen", "--domains", "snow", "jpeg 10"]
    assert run_command(*arguments, "--limit", "1", "-o", str(report)) == 0
    rows = report.read_text("utf-8").splitlines()
    assert [row.split(" | ")[0] for row in rows[2:4]] == ["| snow", "| jpeg 10"]
    assert capsys.readouterr().out == report.read_text("utf-8")


def test_the_help_states_the_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    text = capsys.readouterr().out
    for stated in (
        "data_range=1",
        "without cropping",
        "clamped to [0, 1]",
        "true sigma",
        "not unseen",
    ):
        assert stated in text
