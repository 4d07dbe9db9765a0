"""The tutorials run as they stand: every Python block, and every command with few steps.

NAPARI_BARYIR_WHOLE_TUTORIALS=1 leaves the steps as they are written, and measures what the pages
promise (minutes).
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from finetune_start import keep_any
from napari_baryir import cli
from napari_baryir.commands import finetune
from napari_baryir.sample_data import fluorescence_stack
from napari_baryir.training.data.images import refuse
from napari_baryir.training.finetune import plan

DOCS = Path(__file__).parents[1] / "docs"
WHOLE = bool(os.environ.get("NAPARI_BARYIR_WHOLE_TUTORIALS"))
FEW_STEPS = shlex.split("--steps 2 --validate-every 1 --batch 2 --patch 32 --calibration-scenes 0")

Tell = Callable[[], str]


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block, in order."""
    text = (DOCS / page).read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert text.count("```") == 2 * len(found), "a block does not start or end as it should"
    assert {language for language, _ in found} <= {"python", "sh"}, "nothing else is run"
    return found


def commands(block: str) -> list[list[str]]:
    """The arguments of each command of a shell block; all are ours."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert all(line[0] == "napari-baryir" for line in lines if line), block
    return [line[1:] for line in lines if line]


def run(page: str, tell: Tell) -> list[str]:
    """Run all blocks where we are; what each command told."""
    names: dict[str, object] = {}
    told = []
    for language, block in blocks(page):
        if language == "python":
            exec(compile(block, page, "exec"), names)
            continue
        for words in commands(block):
            short = [] if WHOLE or words[0] != "finetune" else FEW_STEPS
            assert cli.main([*words, *short]) == 0, words
            told.append(tell())
    return told


def scores(told: list[str], command: int) -> tuple[float, float]:
    """PSNR of the input and of the restored image in the table of ``evaluate --pairs``."""
    found = re.search(r"^\| pairs \| \d+ \| ([\d.]+) / [\d.]+ \| ([\d.]+) /", told[command], re.M)
    assert found, told[command]
    return float(found[1]), float(found[2])


@pytest.fixture
def tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tell:
    """Be in an empty folder; what was told to stdout since the last call."""
    monkeypatch.chdir(tmp_path)
    if not WHOLE:
        # Two steps teach nothing, but what they make must be kept; one small image judges it.
        keep_any(monkeypatch)
        for name, value in (("SIDE", 64), ("OWN_IMAGES", 1), ("REHEARSED_PLANES", 2)):
            monkeypatch.setattr(plan, name, value)
    return lambda: capsys.readouterr().out


def read(path: str) -> np.ndarray:
    return tifffile.imread(path) if path.endswith("tif") else np.asarray(Image.open(path))


@pytest.mark.timeout(900)
def test_the_tutorial_of_restoring_brings_images_nearer_to_the_truth(tell: Tell) -> None:
    told = run("tutorial_restore.md", tell)
    for name in ("photo.png", "stack.tif"):
        degraded, restored, truth = (
            read(f"{folder}/{name}").astype(float) for folder in ("degraded", "restored", "truth")
        )
        assert read(f"restored/{name}").dtype == read(f"degraded/{name}").dtype
        assert restored.shape == degraded.shape
        assert np.mean((restored - truth) ** 2) < np.mean((degraded - truth) ** 2)
    assert "restored 2" in told[1]
    half, whole, none = (
        read(path).astype(float)
        for path in ("half.png", "restored/photo.png", "degraded/photo.png")
    )
    inside = (whole > 0) & (whole < 255)  # blended before values beyond these are cut off
    assert np.abs(half - (whole + none) / 2)[inside].max() <= 1
    assert len(Path("estimate.csv").read_text("utf-8").splitlines()) == 1 + 1 + 4
    assert Path("report.csv").is_file()


@pytest.mark.timeout(3000 if WHOLE else 900)
def test_the_tutorial_of_pairs_trains_restores_and_measures(tell: Tell) -> None:
    told = run("tutorial_finetune_pairs.md", tell)
    (untouched, before), (_, after) = scores(told, 0), scores(told, 2)
    assert before < untouched + 3  # the model that ships does not know such stripes
    assert len(list(Path("restored").iterdir())) == 1
    assert "slanted stripes" in told[3]
    if WHOLE:
        assert after > before + 5


@pytest.mark.timeout(3000 if WHOLE else 900)
def test_the_tutorial_without_clean_images_trains_restores_and_measures(tell: Tell) -> None:
    told = run("tutorial_finetune_noisy.md", tell)
    (untouched, before), (_, after) = scores(told, 0), scores(told, 2)
    assert before > untouched + 1.5
    assert len(list(Path("restored").iterdir())) == 1
    assert "camera noise" in told[3]
    if WHOLE:  # so few steps do not beat the model that ships, and the page says so
        assert after > untouched + 1.5


def test_the_commands_of_the_reference_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("noisy", "clean"):  # that the page's commands are about
        Path(folder).mkdir()
        for number in range(2):
            sample = fluorescence_stack(number, shape=(2, 64, 64))
            image = sample.degraded if folder == "noisy" else sample.clean
            tifffile.imwrite(f"{folder}/{number}.tif", image, metadata={"axes": sample.axes})
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    kinds = set()
    for language, block in blocks("finetune.md"):
        assert language == "sh"
        for words in commands(block):
            args = parser.parse_args(words[1:])
            given = finetune._given(args)
            refuse(given.problems, "the images")
            finetune._settings(args)
            kinds.add(type(given).__name__)
    assert kinds == {"Pairs", "CleanImages", "NoisyImages"}


def test_the_readme_leads_to_every_tutorial() -> None:
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    pages = sorted(page.name for page in DOCS.glob("tutorial_*.md"))
    assert len(pages) == 3
    for page in pages:
        assert f"(docs/{page})" in readme


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (DOCS / target).exists(), target
