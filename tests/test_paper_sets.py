"""The paper's test sets: found in every published layout, listed where they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_baryir.errors import DataError, InputError
from napari_baryir.training.evaluate import INPUT, Evaluation, ImageScore
from napari_baryir.training.evaluate.report import to_markdown
from napari_baryir.training.paper.published_scores import PAPER_SCORES, TEST_SETS
from napari_baryir.training.paper.test_sets import SETS, list_paper_sets

README_LAYOUT = {
    "SOTS outdoor": ("dehaze/input/{}_0.8_0.2.jpg", "dehaze/target/{}.png"),
    "Rain100L": ("derain/Rain100L/input/{}.png", "derain/Rain100L/target/{}.png"),
    "BSD68": ("denoise/bsd68/{}.png", None),
    "GoPro": ("deblur/input/{}.png", "deblur/target/{}.png"),
    "LOL-v1": ("lowlight/low/{}.png", "lowlight/high/{}.png"),
}
UNPACKED = {
    "SOTS outdoor": ("SOTS/outdoor/hazy/{}_1_0.16.jpg", "SOTS/outdoor/gt/{}.png"),
    "Rain100L": ("Rain100L/rainy/rain-{}.png", "Rain100L/norain-{}.png"),
    "BSD68": ("CBSD68/{}.png", None),
    "GoPro": ("GoPro/test/GOPR0384_11_00/blur/{}.png", "GoPro/test/GOPR0384_11_00/sharp/{}.png"),
    "LOL-v1": ("eval15/low/{}.png", "eval15/high/{}.png"),
}


def save(path: Path, value: int = 100, size: tuple[int, int] = (16, 24)) -> Path:
    """A grey RGB file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


def make(root: Path, layout: dict[str, tuple[str, str | None]], count: int = 2) -> Path:
    """Made-up files of every set."""
    for degraded, clean in layout.values():
        for number in range(1, count + 1):
            save(root / degraded.format(f"{number:03d}"), 60 + number)
            if clean is not None:
                save(root / clean.format(f"{number:03d}"), 100 + number)
    return root


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sets of two images count as whole."""
    for module in ("paper.test_sets", "evaluate.report"):
        monkeypatch.setattr(
            f"napari_baryir.training.{module}.TEST_SETS", dict.fromkeys(TEST_SETS, 2)
        )


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("layout", [README_LAYOUT, UNPACKED])
def test_every_set_is_found_and_paired_in_its_published_layouts(
    tmp_path: Path, layout: dict[str, tuple[str, str | None]]
) -> None:
    cases = list_paper_sets(make(tmp_path, layout))
    assert list(dict.fromkeys(case.domain for case in cases)) == list(TEST_SETS)
    for case in cases:
        pair = case.load()
        assert pair.degraded.shape == pair.clean.shape == (16, 24, 3)
        if not case.domain.startswith("BSD68"):
            assert pair.clean.max() - pair.degraded.max() in range(38, 43)  # JPEG may be off by 2


@pytest.mark.usefixtures("small_sets")
def test_the_noise_on_bsd68_is_the_same_every_time(tmp_path: Path) -> None:
    make(tmp_path, README_LAYOUT)
    first, second = (list_paper_sets(tmp_path, sets=["BSD68"]) for _ in "12")
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.load().degraded, b.load().degraded)
    other = list_paper_sets(tmp_path, sets=["BSD68"], seed=1)[0].load()
    assert not np.array_equal(other.degraded, first[0].load().degraded)


def test_all_that_is_missing_or_half_there_is_listed_at_once(tmp_path: Path) -> None:
    make(tmp_path, README_LAYOUT)
    (tmp_path / "derain/Rain100L/target/002.png").unlink()
    save(tmp_path / "deblur/target/001.png", size=(16, 16))
    (tmp_path / "lowlight/low/001.png").write_bytes(b"not an image")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "denoise/bsd68/001.png")
    for path in (tmp_path / "dehaze").rglob("*.*"):
        path.unlink()
    with pytest.raises(DataError) as caught:
        list_paper_sets(tmp_path, sets=SETS)
    message = str(caught.value)
    for expected in (
        "dehaze/input has no images",
        "1 files without a clean one",
        "002.png",
        "Rain100L: 1 files; the published set has 100",
        "deblur/input/001.png is 24 x 16 pixels, but",
        "lowlight/low/001.png cannot be read",
        "denoise/bsd68/001.png is not an RGB image",
        "--incomplete",
    ):
        assert expected in message


def test_sets_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    make(tmp_path, {"GoPro": README_LAYOUT["GoPro"]})
    with pytest.raises(DataError, match=r"LOL-v1 is not there: no folder lowlight"):
        list_paper_sets(tmp_path, sets=["LOL-v1"])
    with pytest.raises(InputError, match="no test set Rain100H"):
        list_paper_sets(tmp_path, sets=["Rain100H"])
    with pytest.raises(DataError, match="there is no folder"):
        list_paper_sets(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="none of SOTS outdoor"):
        list_paper_sets(tmp_path / "empty")


def test_incomplete_sets_are_measured_when_that_is_asked_for(tmp_path: Path) -> None:
    make(tmp_path, README_LAYOUT)
    (tmp_path / "derain/Rain100L/target/002.png").unlink()
    cases = list_paper_sets(tmp_path, incomplete=True, limit=1)
    assert [case.domain for case in cases] == list(TEST_SETS)


def evaluation(domain: str, count: int) -> Evaluation:
    rows = [ImageScore(str(i), domain, INPUT, 20, 0.5, None, None, 0.1) for i in range(count)]
    return Evaluation(tuple(rows))


def test_published_scores_stand_beside_whole_sets_and_are_marked() -> None:
    whole = to_markdown(evaluation("LOL-v1", 15))
    assert "Published, not measured here" in whole
    assert "| LOL-v1 | 20.41 / 0.806 | 22.89 / 0.829 | 23.37 / 0.854 | 23.88 / 0.862 |" in whole
    part = to_markdown(evaluation("LOL-v1", 3))
    assert "3 of 15 images were measured" in part
    assert "23.37" not in part
    assert "ublished" not in to_markdown(evaluation("noise", 15))


def test_published_tables_are_whole() -> None:
    for method, row in PAPER_SCORES.items():
        assert len(row) == 5
        assert set(row) <= set(TEST_SETS), method
        assert all(20 < psnr < 40 and 0.7 < ssim < 1 for psnr, ssim in row.values())
    # The averages that the tables print for BaryIR, from their own columns: 33.13 and 30.72 dB.
    for method, printed in (("BaryIR with PromptIR, 3D", 33.13), ("BaryIR, 5D", 30.72)):
        mean = np.mean([psnr for psnr, _ in PAPER_SCORES[method].values()])
        assert mean == pytest.approx(printed, abs=0.01)


def test_every_set_has_a_place_to_look_in() -> None:
    assert {name.partition(" sigma")[0] for name in TEST_SETS} == set(SETS)
