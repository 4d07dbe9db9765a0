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
import torch

from napari_baryir import __version__, available_models, cli, load_model
from napari_baryir.errors import InputError, ModelUnavailableError
from napari_baryir.network import BaryIR
from napari_baryir.weights.files import save_weights

SHOW_IMPORTS = """
import sys
from napari_baryir.cli import main
try:
    main({arguments})
finally:
    heavy = {{"torch", "napari", "qtpy", "skimage", "zarr", "matplotlib"}} & set(sys.modules)
    sys.stderr.write(" ".join(heavy))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([command, "--help"] for command in cli.COMMANDS)],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS.format(arguments=arguments)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert answer.stderr == ""
    assert "napari-baryir" in answer.stdout


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


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["restor"])
    assert stopped.value.code == 2
    assert "restore" in capsys.readouterr().err


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
    pytest.importorskip("shtab")
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


def test_models_lists_shipped_and_own_models(
    tmp_path: Path,
    tiny_model: BaryIR,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NAPARI_BARYIR_MODELS", str(tmp_path))
    tiny_model.provenance = {"title": "Zebrafish at night", "licence": "CC0-1.0"}
    save_weights(tiny_model, tmp_path / "zebrafish.safetensors")
    (tmp_path / "zebrafish.md").write_text("Trained on one fish.", encoding="utf-8")
    assert cli.main(["models"]) == 0
    text = capsys.readouterr().out
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert {"photo-compact", "microscopy-compact", "zebrafish"} <= set(lines)
    assert "Zebrafish at night" in lines["zebrafish"]
    assert str(tmp_path) in lines["zebrafish"]
    assert "Trained on one fish" not in text
    assert cli.main(["models", "zebrafish", "--verbose"]) == 0
    text = capsys.readouterr().out
    assert "Trained on one fish." in text
    assert "photo-compact" not in text


def test_published_models_are_listed_until_they_are_imported(
    tmp_path: Path,
    tiny_model: BaryIR,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NAPARI_BARYIR_MODELS", str(tmp_path))
    save_weights(tiny_model, tmp_path / "published-5d.safetensors")
    assert cli.main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "not here yet" in lines["published-3d"]
    assert str(tmp_path) in lines["published-5d"]
    with pytest.raises(ModelUnavailableError, match=r"published-3d.*import-weights"):
        load_model("published-3d")


def test_models_as_json_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "photo-compact", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert (card["name"], card["images"], card["available"]) == ("photo-compact", "photo", True)
    assert Path(card["path"]).is_file()
    assert cli.main(["models", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_model_card_in_another_encoding_is_shown_all_the_same(
    tmp_path: Path,
    tiny_model: BaryIR,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NAPARI_BARYIR_MODELS", str(tmp_path))
    save_weights(tiny_model, tmp_path / "FISH.SAFETENSORS")
    (tmp_path / "FISH.md").write_bytes(b"Zebrab\xe4rblinge")
    assert cli.main(["models", "FISH", "--verbose"]) == 0
    assert "Zebrab" in capsys.readouterr().out
    assert load_model("FISH").domains == tiny_model.domains


def test_no_model_is_named_auto(
    tmp_path: Path,
    tiny_model: BaryIR,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NAPARI_BARYIR_MODELS", str(tmp_path))
    path = tmp_path / "auto.safetensors"
    with pytest.raises(InputError, match="use another name"):
        save_weights(tiny_model, path)
    assert cli.main(["import-weights", str(checkpoint), "-o", str(path)]) == 2
    assert "'auto' means the model that suits an image" in capsys.readouterr().err
    assert not path.exists()
    save_weights(tiny_model, tmp_path / "worms.safetensors")
    (tmp_path / "worms.safetensors").rename(path)
    assert "auto" not in [card.name for card in available_models()]


def test_import_weights_asks_once_where_to_write(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "imported.SAFETENSORS"
    assert cli.main(["import-weights", str(checkpoint)]) == 2
    assert cli.main(["import-weights", str(checkpoint), "x", "-o", str(out)]) == 2
    assert capsys.readouterr().err.count("-o OUT.safetensors") == 2
    assert cli.main(["import-weights", str(checkpoint), "-o", str(out)]) == 0
    assert load_model(out).config is not None


def test_an_unknown_model_name_is_answered_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["models", "nonesuch"]) == 2
    assert "photo-compact" in capsys.readouterr().err


def test_import_weights_writes_what_can_be_loaded(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shared / "conformance" / "whole_module_checkpoint.pth"
    out = tmp_path / "published.safetensors"
    assert cli.main(["import-weights", str(source), str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    with torch.inference_mode():
        assert load_model(out)(torch.rand(1, 3, 16, 16)).restored.shape == (1, 3, 16, 16)
