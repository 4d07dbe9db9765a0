"""The command line's door: help, versions, errors, exit codes."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from napari_baryir import __version__, cli

SHOW_IMPORTS = """
import contextlib, io, json, sys
from napari_baryir.cli import main
found = {}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main(words)
    heavy = {"torch", "napari", "qtpy", "skimage", "zarr", "matplotlib"} & set(sys.modules)
    found[" ".join(words)] = [*heavy, text.getvalue().split()[0:2]]
sys.stdout.write(json.dumps(found))
"""


def test_help_imports_nothing_heavy() -> None:
    asked = [["--help"], *([command, "--help"] for command in cli.COMMANDS)]
    answer = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS, json.dumps([["--version"], *asked])],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(answer.stdout) == {
        "--version": [["napari-baryir", __version__]],
        **{" ".join(words): [["usage:", "napari-baryir"]] for words in asked},
    }


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text.lower()
    assert f"napari-baryir {command} " in text


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in cli.COMMANDS)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_nobody_reading_any_more_is_no_error() -> None:
    """As in ``napari-baryir models | head -1``, when head has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from napari_baryir.cli import main; sys.exit(main(['models']))"
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    assert done.stderr == b""
    assert done.returncode == cli.UNHEARD


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"napari-baryir {__version__}\n"


def test_an_error_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import-weights", str(tmp_path / "none.pth"), str(tmp_path / "out.safetensors")]
    assert cli.main(arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith("napari-baryir: error: ")
    assert text.count("\n") == 1
    assert "none.pth" in text


def test_debug_shows_where_an_error_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import-weights", str(tmp_path / "none.pth"), str(tmp_path / "x"), "--debug"]
    assert cli.main(arguments) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_baryir.commands.models.run", interrupted)
    assert cli.main(["models"]) == 130
    assert capsys.readouterr().err == "napari-baryir: stopped\n"


@pytest.mark.parametrize(("typed", "meant"), [("restor", "restore"), ("modle", "models")])
def test_a_mistyped_command_is_answered_with_the_nearest(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([typed])
    assert stopped.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_help_explains_a_command_or_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    for words, shown in ((["help", "models"], "NAME"), (["help"], "import-weights")):
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 0
        assert shown in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["help", "modles"])
    assert "did you mean models?" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk_behind_stdout_is_an_error_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_baryir", "models"],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == cli.FAILED
    assert done.stderr.startswith(b"napari-baryir: error: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "kept", "given"),
    [
        (["-v", "models"], ["models"], {"verbose"}),
        (["models", "--verbose"], ["models"], {"verbose"}),
        (["models", "--debug", "-q"], ["models"], {"debug", "quiet"}),
        (["restore", "--", "-v"], ["restore", "--", "-v"], set()),
    ],
)
def test_common_options_may_stand_anywhere_before_a_double_dash(
    words: list[str], kept: list[str], given: set[str]
) -> None:
    rest, common = cli._common_options(words)
    assert rest == kept
    assert {option for option, is_given in common.items() if is_given} == given


def test_every_command_explains_the_options_that_all_have(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        text = capsys.readouterr().out
        assert {"--quiet", "--verbose", "--debug"} <= set(text.replace(",", " ").split()), command


def test_verbose_says_more_and_quiet_nothing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import-weights", str(checkpoint), "-o", str(tmp_path / "w.safetensors")]
    assert cli.main(words) == 0
    usual = capsys.readouterr()
    assert (usual.out.count("\n"), usual.err) == (1, "")
    assert cli.main(["-v", *words]) == 0
    more = capsys.readouterr()
    assert more.out == usual.out
    assert "header: " in more.err
    assert re.search(r"import-weights took [\d.]+ s, with version", more.err)
    assert cli.main(["-q", "-v", *words]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_mistyped_option_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    for words, meant in ((["models", "--jsn"], "--json"), (["--versoin"], "--version")):
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 2
        assert f"unknown: {words[-1]}; did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "in.png", "-o", "-"], ["restore", "in.png", "-o", "x", "--report", "-"],
        ["estimate", "in.png", "-o", "-"], ["evaluate", "--clean", "x", "-o", "a.md", "-o", "-"],
        ["import-weights", "x.pth", "-"], ["demo", "-o", "-"],
        ["calibrate", "x.safetensors", "--data", "x", "-o", "-"],
        ["finetune", "--model", "photo-compact", "--noisy", "x", "-o", "-"],
    ],
)  # fmt: skip
def test_the_standard_output_takes_no_results(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert "results do not go to the standard output" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["fine"], "finetune"),
        (["restore", "--str"], "--strength"),
        (["restore", "--precision", "bf"], "bfloat16"),
        (["restore", "pict"], "picture.png"),
    ],
)
def test_bash_completes_commands_options_values_and_files(
    typed: list[str], offered: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "picture.png").touch()
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)
    words = " ".join(["napari-baryir", *typed])
    ask = (
        f"source '{script}'; COMP_WORDS=({words}); COMP_CWORD={len(typed)}; "
        "$(complete -p napari-baryir | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [offered], done.stderr


def test_completion_without_shtab_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "zsh"]) == 2
    assert "pip install shtab" in capsys.readouterr().err
