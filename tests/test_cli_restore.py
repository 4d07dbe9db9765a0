"""``napari-baryir restore`` from files to files, with a tiny network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import torch

from napari_baryir import load_model, restore
from napari_baryir.cli import main
from napari_baryir.files import read_image, write_image
from napari_baryir.network import BaryIR
from napari_baryir.steps import Steps
from napari_baryir.weights.files import save_weights

Run = Callable[..., int]


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory, tiny_model: BaryIR) -> Path:
    """Weights of a random network that changes an image a little."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.mul_(0.5)
    save_weights(tiny_model, path)
    return path


@pytest.fixture
def run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in an empty folder, on the CPU, with the tiny network."""
    monkeypatch.chdir(tmp_path)

    def restored(*arguments: object) -> int:
        words = [str(argument) for argument in arguments]
        return main(["restore", *words, "--model", str(model), "--device", "cpu"])

    return restored


def picture(seed: int = 0, shape: tuple[int, ...] = (24, 32, 3)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_becomes_what_the_library_makes_of_it(run: Run, model: Path) -> None:
    data = picture(shape=(3, 40, 24)).astype(np.uint16) * 9
    tifffile.imwrite("in.tif", data, imagej=True, metadata={"axes": "ZYX", "unit": "um"})
    assert run("in.tif", "-o", "out.tif", "--tile", "24", "--overlap", "8") == 0
    expected = restore(data, axes="ZYX", model=load_model(model), tile=24, overlap=8).image
    with tifffile.TiffFile("out.tif") as file:
        assert file.series[0].axes == "ZYX"
        assert file.imagej_metadata["unit"] == "um"
        written = file.asarray()
    np.testing.assert_array_equal(written, expected)
    assert np.any(written != data)


def test_strength_0_gives_the_input_back(run: Run) -> None:
    imageio.imwrite("in.png", picture())
    assert run("in.png", "-o", "out.png", "--strength", "0", "--ensemble") == 0
    np.testing.assert_array_equal(imageio.imread("out.png"), picture())


def test_folders_keep_their_structure_and_formats(run: Run) -> None:
    imageio.imwrite(_made("in/a.png"), picture())
    imageio.imwrite(_made("in/b/c.jpg"), picture())
    tifffile.imwrite(_made("in/b/d/e.tif"), picture(shape=(24, 32)))
    write_image("in/f.ome.zarr", picture(shape=(2, 24, 32)), axes="ZYX")
    Path("in/notes.txt").write_text("not an image")
    Path("in/.hidden.png").write_bytes(b"x")
    assert run("in", "-o", "out") == 0
    images = [name for name in files_below(Path("out")) if ".zarr" not in name]
    assert images == ["a.png", "b/c.jpg", "b/d/e.tif"]
    again = read_image("out/f.ome.zarr")
    assert (again.axes, again.shape) == ("ZYX", (2, 24, 32))


def test_patterns_are_expanded_and_keep_what_is_below_their_fixed_part(run: Run) -> None:
    for name in ("data/x/1.png", "data/x/deep/2.png", "data/y/3.png", "data/4.png"):
        imageio.imwrite(_made(name), picture())
    assert run("data/*/?.png", "-o", "out") == 0
    assert files_below(Path("out")) == ["x/1.png", "y/3.png"]
    assert run("data/**/*.png", "-o", "all") == 0
    assert files_below(Path("all")) == ["4.png", "x/1.png", "x/deep/2.png", "y/3.png"]


def test_what_is_done_is_skipped_until_the_input_is_newer_or_it_is_forced(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        imageio.imwrite(_made(f"in/{name}.png"), picture())
    assert run("in", "-o", "out") == 0
    capsys.readouterr()
    marked = Path("out/a.png")
    marked.write_bytes(b"mine")
    assert run("in", "-o", "out") == 0
    assert "restored 0; skipped 2" in capsys.readouterr().out
    assert marked.read_bytes() == b"mine"
    newer = marked.stat().st_mtime + 10
    os.utime("in/a.png", (newer, newer))
    assert run("in", "-o", "out") == 0
    assert "restored 1; skipped 1" in capsys.readouterr().out
    assert marked.read_bytes() != b"mine"
    marked.write_bytes(b"mine")
    assert run("in", "-o", "out", "--overwrite") == 0
    assert "restored 2" in capsys.readouterr().out
    assert marked.read_bytes() != b"mine"


def test_a_named_file_that_is_there_is_neither_kept_in_silence_nor_replaced(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite("in.png", picture())
    Path("out.png").write_bytes(b"mine")
    assert run("in.png", "-o", "out.png") == 2
    assert "out.png is there already; --overwrite replaces it" in capsys.readouterr().err
    assert Path("out.png").read_bytes() == b"mine"
    assert run("in.png", "-o", "out.png", "--overwrite") == 0
    assert imageio.imread("out.png").shape == (24, 32, 3)


def test_a_model_that_is_not_there_is_told_even_where_all_is_done(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite(_made("in/a.png"), picture())
    assert run("in", "-o", "out") == 0
    capsys.readouterr()
    assert run("in", "-o", "out") == 0
    assert "in/a.png: out/a.png is there" in capsys.readouterr().out
    assert main(["restore", "in", "-o", "out", "--model", "photo-compct"]) == 2
    assert "did you mean 'photo-compact'?" in capsys.readouterr().err


def test_one_bad_file_is_reported_in_a_line_and_the_rest_goes_on(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "z"):
        imageio.imwrite(_made(f"in/{name}.png"), picture())
    Path("in/cut.png").write_bytes(Path("in/a.png").read_bytes()[:200])
    Path("in/empty.tif").touch()
    Path("in/word.jpg").write_text("hello")
    assert run("in", "missing.png", "-o", "out") == 1
    captured = capsys.readouterr()
    bad = ["in/cut.png", "in/empty.tif", "in/word.jpg", "missing.png"]
    lines = captured.err.splitlines()
    assert len(lines) == len(bad)
    for name, line in zip(bad, lines, strict=True):
        assert line.startswith("failed: ")
        assert name in line
    assert "restored 2; failed 4: " + ", ".join(bad) in captured.out
    assert files_below(Path("out")) == ["a.png", "z.png"]


def test_ctrl_c_leaves_finished_files_and_no_half_ones(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        imageio.imwrite(_made(f"in/{name}.png"), picture(shape=(24, 60, 3)))
    import napari_baryir.restoration as restoration

    real, started = restoration.iter_restore, []

    def interrupted(image: Any, **options: Any) -> Any:
        started.append(1)
        for progress in (steps := Steps(real(image, **options))):
            yield progress
            if len(started) == 2 and progress.done == 1:
                raise KeyboardInterrupt
        return steps.result

    monkeypatch.setattr(restoration, "iter_restore", interrupted)
    assert run("in", "-o", "out", "--tile", "24", "--overlap", "8") == 130
    assert files_below(Path("out")) == ["a.png"]
    assert "stopped" in capsys.readouterr().err


def test_results_inside_the_input_folder_are_not_restored_again(run: Run) -> None:
    imageio.imwrite(_made("in/a.png"), picture())
    for _ in range(2):
        assert run("in", "-o", "in/restored", "--overwrite") == 0
        assert files_below(Path("in")) == ["a.png", "restored/a.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in", "-o", "in"], "is the folder of the inputs"),
        (["in/a.png", "-o", "in/a.png"], "would overwrite the input"),
        (["in/a.png", "-o", "in"], "would overwrite the input"),
        (["in/a.png", "in/b/a.png", "-o", "out"], "both become"),
        (["in", "-o", "out.tif"], "names one file but there are 2"),
        (["in/a.png", "-o", "out.gif"], ".gif files cannot be written"),
        (["empty", "-o", "out"], "no images in empty"),
        (["in/*.jpg", "-o", "out"], "no file matches"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_any_work(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    for name in ("in/a.png", "in/b/a.png"):
        imageio.imwrite(_made(name), picture())
    Path("empty").mkdir()
    before = files_below(Path())
    assert run(*arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert files_below(Path()) == before


def test_a_file_can_change_its_format(run: Run) -> None:
    data = picture(shape=(2, 3, 24, 32))
    metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.2, "Channel": {"Name": ["a", "b", "c"]}}
    tifffile.imwrite("in.ome.tif", data, photometric="minisblack", metadata=metadata)
    assert run("in.ome.tif", "-o", "out.ome.zarr") == 0
    image = read_image("out.ome.zarr")
    assert image.axes == "CZYX"
    assert image.scale["X"] == 0.2
    assert image.channel_names == ("a", "b", "c")
    assert run("out.ome.zarr", "-o", "back.tif", "--strength", "0") == 0
    np.testing.assert_array_equal(np.asarray(image.data), read_image("back.tif").data)


def test_axes_are_taken_from_the_user_and_guesses_are_said(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite("in.tif", picture(shape=(24, 32, 5)), photometric="minisblack", metadata=None)
    assert run("in.tif", "-o", "guessed.tif") == 0
    captured = capsys.readouterr()
    assert "taken to be ZYX" in captured.err
    assert run("in.tif", "-o", "told.tif", "--axes", "YXC") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "YXC" in captured.out
    assert np.any(tifffile.imread("told.tif") != tifffile.imread("guessed.tif"))
    assert run("in.tif", "-o", "wrong.tif", "--axes", "YX") == 1
    assert "'YX' has 2 letters but the image has 3" in capsys.readouterr().err
    assert not Path("wrong.tif").exists()


def test_a_model_that_is_not_there_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        imageio.imwrite(_made(f"in/{name}.png"), picture())
    assert main(["restore", "in", "-o", "out", "--model", "none.safetensors"]) == 2
    assert capsys.readouterr().err.count("none.safetensors") == 1
    assert not Path("out").exists() or files_below(Path("out")) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "auto"),
        (["--remove", "auto"], "auto"),
        (["--remove", "noise, low light"], ["noise", "low light"]),
        (["--remove", "noise=0.5"], {"noise": 0.5}),
        (["--remove", "noise=0.5,haze"], {"noise": 0.5, "haze": 1.0}),
    ],
)
def test_what_to_remove_reaches_the_library(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: object
) -> None:
    import napari_baryir.restoration as restoration

    real, told = restoration.iter_restore, []

    def watched(image: Any, *, remove: object, **options: Any) -> Any:
        told.append(remove)
        return real(image, **options)

    monkeypatch.setattr(restoration, "iter_restore", watched)
    imageio.imwrite("in.png", picture())
    assert run("in.png", "-o", "out.png", *words) == 0
    assert told == [expected]


def test_quiet_says_nothing_but_errors(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    imageio.imwrite(_made("in/a.png"), picture())
    _made("in/notes.txt").write_text("no image")
    assert run("in", "-o", "out", "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert run("missing.png", "-o", "out", "-q") == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("failed: missing.png")


def test_json_and_report_have_the_whole_record_of_each_image(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite(_made("in/a.png"), picture())
    _made("in/b.png").write_bytes(b"no image")
    assert run("in", "-o", "out", "--json", "--report", "r.json", "--strength", "0.5") == 1
    a, b = json.loads(capsys.readouterr().out)
    assert [a, b] == json.loads(Path("r.json").read_text())
    assert (a["file"], a["result"], a["state"]) == ("in/a.png", "out/a.png", "restored")
    assert (a["settings"]["strength"], a["settings"]["axes"]) == (0.5, "YXS")
    assert len(a["weights_hash"]) == 64
    assert b["state"] == "failed"
    assert "not a readable PNG" in b["error"]


def test_a_report_keeps_the_record_of_what_is_skipped_and_replaces_nothing_else(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite(_made("in/a.png"), picture())
    assert run("in", "-o", "out", "--report", "r.json") == 0
    (before,) = json.loads(Path("r.json").read_text())
    imageio.imwrite(_made("in/b.png"), picture())
    assert run("in", "-o", "out", "--report", "r.json") == 0
    kept, new = json.loads(Path("r.json").read_text())
    assert kept == before
    assert (new["file"], new["state"]) == ("in/b.png", "restored")
    Path("mine.json").write_text('{"not": "a report"}')
    capsys.readouterr()
    assert run("in", "-o", "out", "--report", "mine.json") == 2
    assert "mine.json is there already and is no report" in capsys.readouterr().err
    assert Path("mine.json").read_text() == '{"not": "a report"}'


def test_a_report_has_the_shares_before_and_after_and_a_sidecar_says_the_same(run: Run) -> None:
    stack = picture(shape=(2, 3, 32, 40))
    write_image("in.ome.zarr", stack, axes="CZYX")
    assert main(["restore", "in.ome.zarr", "-o", "out.tif", "--sidecar", "--report", "r.json"]) == 0
    (entry,) = json.loads(Path("r.json").read_text())
    assert json.loads(Path("out.tif.json").read_text()) == [entry]
    before, after = entry["estimate"]["before"], entry["estimate"]["after"]
    for planes, axes in ((before, "CZYX"), (after, read_image("out.tif").axes)):
        assert [plane["plane"] for plane in planes] == [
            f"{axes[0]}{i} {axes[1]}{j}"
            for i, j in np.ndindex((2, 3) if axes[0] == "C" else (3, 2))
        ]
    for plane in before + after:
        assert sum(plane["shares"].values()) == pytest.approx(1)
        assert 0 <= plane["severity"] <= 1
    assert [plane["shares"] for plane in after] != [plane["shares"] for plane in before]


def test_a_report_of_a_model_that_is_not_calibrated_has_no_shares(run: Run) -> None:
    imageio.imwrite("in.png", picture())
    assert run("in.png", "-o", "out.png", "--report", "r.json") == 0
    (entry,) = json.loads(Path("r.json").read_text())
    assert entry["estimate"] == {"before": None, "after": None}


def test_a_sidecar_replaces_nothing_else(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    imageio.imwrite("in.png", picture())
    Path("out.png.json").write_text("{}")
    assert run("in.png", "-o", "out.png", "--sidecar") == 2
    assert "--sidecar out.png.json is there already" in capsys.readouterr().err
    assert not Path("out.png").exists()


def test_sidecars_have_names_that_fit_and_one_that_fails_stops_no_batch(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["x" * 250 + ".png", "中" * 83 + ".png"]
    for name in names:
        imageio.imwrite(_made(f"in/{name}"), picture())
    assert run("in", "-o", "out", "--sidecar") == 0
    assert set(names) < set(files_below(Path("out")))
    assert len(list(Path("out").glob("*.json"))) == 2

    def full(path: Path, entries: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("napari_baryir.commands.report._write", full)
    assert run("in", "-o", "second", "--sidecar") == 1
    assert set(names) == set(files_below(Path("second")))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names as text")
@pytest.mark.parametrize(
    ("command", "encoding"), [("restore", "cp1252"), ("estimate", "utf-8:strict")]
)
def test_names_that_the_terminal_s_encoding_lacks_do_not_stop_a_batch(
    command: str, encoding: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("中".encode(), b"caf\xe9", b"$x_$"):
        imageio.imwrite(folder / "a.png", picture())
        os.rename(folder / "a.png", os.fsencode(folder) + b"/" + name + b".png")
    done = subprocess.run(
        [sys.executable, "-m", "napari_baryir", command, "in", "-o", "out", "--device", "cpu"],
        env={**os.environ, "PYTHONIOENCODING": encoding}, cwd=tmp_path, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="a shell is needed")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_neither_files_nor_exit_code(closed: str, tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "a.png", picture())
    command = f'"{sys.executable}" -m napari_baryir restore a.png -o out/ --device cpu {closed}'
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0
    assert imageio.imread(tmp_path / "out" / "a.png").shape == (24, 32, 3)


@pytest.mark.parametrize(
    "option",
    [["--strength", "2"], ["--strength", "x"], ["--tile", "3"], ["--axes", "TZ"], ["--axes", "YXX"],
     ["--precision", "int8"], ["--overlap", "-1"], ["--intensity", "5"],
     ["--remove", "noise,,haze"], ["--remove", "noise=2"], ["--remove", "noise,noise"]],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(
    run: Run, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("in.png", "-o", "out.png", *option)
    assert stopped.value.code == 2
    assert option[0] in capsys.readouterr().err


def _made(path: str) -> Path:
    """A path whose folder is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)
