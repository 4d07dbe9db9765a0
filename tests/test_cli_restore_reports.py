"""What ``napari-baryir restore`` says of its work: lines, JSON, reports, sidecars."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_baryir.cli import main
from napari_baryir.files import read_image, write_image
from napari_baryir.sample_data import fluorescence_stack
from restore_command import Run, files_below, made, picture


def test_quiet_says_nothing_but_errors(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    imageio.imwrite(made("in/a.png"), picture())
    made("in/notes.txt").write_text("no image")
    assert run("in", "-o", "out", "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    made("in/b.png").write_bytes(b"no image")
    assert run("in", "-o", "out", "-q") == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("failed: in/b.png")
    assert run("missing.png", "-o", "out", "-q") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "missing.png: there is no such file" in err


def test_json_and_report_have_the_whole_record_of_each_image(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite(made("in/a.png"), picture())
    made("in/b.png").write_bytes(b"no image")
    assert run("in", "-o", "out", "--json", "--report", "r.json", "--strength", "0.5") == 1
    a, b = json.loads(capsys.readouterr().out)
    assert [a, b] == json.loads(Path("r.json").read_text())
    assert (a["file"], a["result"], a["state"]) == ("in/a.png", "out/a.png", "restored")
    assert (a["settings"]["strength"], a["settings"]["axes"]) == (0.5, "YXS")
    assert len(a["weights_hash"]) == 64
    assert b["state"] == "failed"
    assert "not a readable PNG" in b["error"]


def test_a_line_and_the_record_say_that_a_picture_hardly_changed(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite("a.png", picture())
    assert run("a.png", "-o", "same.png", "--strength", "0", "--report", "r.json") == 0
    assert "; practically unchanged)" in capsys.readouterr().out
    assert json.loads(Path("r.json").read_text())[0]["change"] == 0
    assert run("a.png", "-o", "new.png", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    gaps = imageio.imread("new.png") / 255 - imageio.imread("a.png") / 255
    assert entry["change"] == pytest.approx(np.sqrt(np.square(gaps).mean()), rel=1e-5)
    assert entry["change"] > 0


def test_a_report_keeps_the_record_of_what_is_skipped_and_replaces_nothing_else(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite(made("in/a.png"), picture())
    assert run("in", "-o", "out", "--report", "r.json") == 0
    (before,) = json.loads(Path("r.json").read_text())
    imageio.imwrite(made("in/b.png"), picture())
    assert run("in", "-o", "out", "--report", "r.json") == 0
    kept, new = json.loads(Path("r.json").read_text())
    assert kept == before
    assert (new["file"], new["state"]) == ("in/b.png", "restored")
    Path("mine.json").write_text('{"not": "a report"}')
    capsys.readouterr()
    assert run("in", "-o", "out", "--report", "mine.json") == 2
    assert "mine.json is there already and is no report" in capsys.readouterr().err
    assert Path("mine.json").read_text() == '{"not": "a report"}'


def test_a_report_has_the_shares_before_and_after_and_a_sidecar_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two channels of the noisy sample, which the shipped weights restore."""
    monkeypatch.chdir(tmp_path)
    channels = [fluorescence_stack(seed=seed, shape=(3, 64, 64)).degraded for seed in (0, 1)]
    write_image("in.ome.zarr", np.stack(channels), axes="CZYX")
    words = ["in.ome.zarr", "-o", "out.tif", "--sidecar", "--report", "r.json", "--device", "cpu"]
    assert main(["restore", *words]) == 0
    (entry,) = json.loads(Path("r.json").read_text())
    assert json.loads(Path("out.tif.json").read_text()) == [entry]
    before, after = entry["estimate"]["before"], entry["estimate"]["after"]
    assert read_image("out.tif").axes == "CZYX"
    names = [f"C{c} Z{z}" for c, z in np.ndindex(2, 3)]
    assert [[plane["plane"] for plane in each] for each in (before, after)] == [names, names]
    for plane in before + after:
        assert sum(plane["shares"].values()) == pytest.approx(1)
        assert 0 <= plane["severity"] <= 1
    assert np.mean([p["severity"] for p in after]) < np.mean([p["severity"] for p in before])
    noise = [np.mean([p["shares"]["noise"] for p in planes]) for planes in (before, after)]
    assert noise[1] < noise[0] / 2


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
        imageio.imwrite(made(f"in/{name}"), picture())
    assert run("in", "-o", "out", "--sidecar") == 0
    assert set(names) < set(files_below(Path("out")))
    assert len(list(Path("out").glob("*.json"))) == 2

    def full(path: Path, entries: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("napari_baryir.commands.report._write", full)
    assert run("in", "-o", "second", "--sidecar") == 1
    assert set(names) == set(files_below(Path("second")))
