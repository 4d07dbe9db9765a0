"""``napari-baryir restore`` with bad files, wrong options, interruptions and odd terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import pytest

from napari_baryir.cli import main
from napari_baryir.steps import Steps
from restore_command import Run, files_below, made, picture


def test_a_model_that_is_not_there_is_told_even_where_all_is_done(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    imageio.imwrite(made("in/a.png"), picture())
    assert run("in", "-o", "out") == 0
    capsys.readouterr()
    assert run("in", "-o", "out") == 0
    assert "in/a.png: out/a.png is there" in capsys.readouterr().out
    assert main(["restore", "in", "-o", "out", "--model", "photo-compct"]) == 2
    assert "did you mean photo-compact?" in capsys.readouterr().err


def test_one_bad_file_is_reported_in_a_line_and_the_rest_goes_on(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "z"):
        imageio.imwrite(made(f"in/{name}.png"), picture())
    Path("in/cut.png").write_bytes(Path("in/a.png").read_bytes()[:200])
    Path("in/empty.tif").touch()
    for name in ("word.jpg", "word.tif"):
        Path(f"in/{name}").write_text("hello")
    assert run("in", "missing.png", "-o", "out") == 1
    captured = capsys.readouterr()
    bad = ["in/cut.png", "in/empty.tif", "in/word.jpg", "in/word.tif", "missing.png"]
    assert "in/word.tif: not a TIFF file (it begins with b'hello')" in captured.err
    lines = captured.err.splitlines()
    assert len(lines) == len(bad)
    for name, line in zip(bad, lines, strict=True):
        assert line.startswith("failed: ")
        assert name in line
    assert "restored 2; failed 5: " + ", ".join(bad) in captured.out
    assert files_below(Path("out")) == ["a.png", "z.png"]


def test_ctrl_c_leaves_finished_files_and_no_half_ones(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        imageio.imwrite(made(f"in/{name}.png"), picture(shape=(24, 60, 3)))
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
        (["in/c.png", "in/d.png", "-o", "out"], "in/c.png, in/d.png: there is no such file"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_any_work(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    for name in ("in/a.png", "in/b/a.png"):
        imageio.imwrite(made(name), picture())
    Path("empty").mkdir()
    before = files_below(Path())
    assert run(*arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert files_below(Path()) == before


def test_an_unknown_degradation_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "a.png", picture())
    code = (
        "import sys; from napari_baryir.cli import main\n"
        "assert main(['restore', 'a.png', '-o', 'out', '--remove', 'nois']) == 2\n"
        "assert main(['restore', 'b.png', '-o', 'out']) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "does not know nois; did you mean noise? it can remove" in done.stderr
    assert "b.png: there is no such file" in done.stderr


def test_a_model_that_is_not_there_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        imageio.imwrite(made(f"in/{name}.png"), picture())
    assert main(["restore", "in", "-o", "out", "--model", "none.safetensors"]) == 2
    assert capsys.readouterr().err.count("none.safetensors") == 1
    assert not Path("out").exists() or files_below(Path("out")) == []


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
