"""The documentation site is built without a broken link; its notebooks and commands work."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_baryir import cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md"])
NEEDED = ("ipykernel", "mkdocs", "material", "mkdocstrings", "nbconvert")

FEWER = {
    "steps = 100": "steps = 2",
    "validate_every=25": "validate_every=1",
    "batch=8": "batch=2",
    "patch=64": "patch=32",
    "(128, 128)": "(64, 64)",
    "(2, 128, 128)": "(2, 64, 64)",
}
"""Settings of the fine-tuning notebook, and those of the test."""

needs_docs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED),
    reason="needs the extra docs: pip install 'napari-baryir[docs]'",
)


def build(site: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Build the site strictly."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    environment.pop("RUN_NOTEBOOKS", None)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@needs_docs
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    for page, words in (
        ("index.html", "before-photo.jpg"),
        ("getting-started/index.html", "File &gt; Open Sample"),
        ("models/photo-compact/index.html", "licence"),
        ("notebooks/restore/index.html", "fluorescence_stack"),
        ("published-weights/index.html", "import-weights"),  # as page_address has it
        ("api/index.html", 'id="napari_baryir.restore"'),
    ):
        assert words in (tmp_path / page).read_text("utf-8"), page
    html = [page.read_text("utf-8") for page in tmp_path.rglob("*.html")]
    loaded = [re.findall(r'(?:src="|stylesheet" href=")(https?://[^"]+)', text) for text in html]
    assert loaded == [[]] * len(html)  # pages are whole without another server


@needs_docs
def test_broken_links_are_refused(tmp_path: Path) -> None:
    for name in ("docs", "training", "src"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "*.pyc")
        )
    for path in ROOT.glob("*.*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    with (tmp_path / "docs" / "real.md").open("a", encoding="utf-8") as page:
        page.write("\n[page](no-page.md) [place](../README.md#no-place) [file](../no-file.toml)\n")
    done = build(tmp_path / "site", tmp_path)
    assert done.returncode != 0
    for missing in ("no-page.md", "#no-place", "no-file.toml"):
        assert missing in done.stderr


@needs_docs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    if path.stem == "finetune":
        shorten(notebook)
    copy = tmp_path / path.name
    copy.write_text(json.dumps(notebook), "utf-8")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--inplace"]
    done = subprocess.run(
        [*command, "--ExecutePreprocessor.timeout=600", str(copy)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    code = [cell for cell in cells(copy) if cell["cell_type"] == "code"]
    assert {output["output_type"] for cell in code for output in cell["outputs"]} & {"display_data"}
    assert None not in {cell["execution_count"] for cell in code}


@needs_docs
def test_a_notebook_that_was_run_becomes_a_page_with_pictures(tmp_path: Path) -> None:
    import nbformat

    cell = nbformat.v4.new_code_cell(
        "import matplotlib.pyplot as plt\nopen('mess', 'w').close()\nplt.plot([1, 2])\nplt.show()"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "tiny.ipynb")
    code = (
        "import hooks, pathlib, sys\n"
        "page = hooks.notebook_page(pathlib.Path('tiny.ipynb'))\n"
        "[picture] = set(page) - {'tiny.md'}\n"
        "assert page[picture].startswith(b'\\x89PNG')\n"
        "assert f']({picture})' in page['tiny.md']\n"
    )
    paths = os.pathsep.join([str(DOCS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths, "RUN_NOTEBOOKS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.ipynb"]


def shorten(notebook: dict[str, Any]) -> None:
    """Let few steps fine-tune; they teach nothing, but what they make must be kept."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    text = "\n".join("".join(cell["source"]) for cell in code)
    for long, short in FEWER.items():
        assert long in text
        for cell in code:
            cell["source"] = "".join(cell["source"]).replace(long, short)
    code[0]["source"] += (
        "\nfrom napari_baryir.training.finetune import plan, tuning"
        "\ntuning.LEAST_GAIN, tuning.FORGIVEN = -1000.0, 1000.0"
        "\nplan.SIDE, plan.OWN_IMAGES, plan.OLD_IMAGES, plan.REHEARSED_PLANES = 64, 1, 1, 2"
    )


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook."""
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    return found


def test_notebooks_are_stored_without_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["finetune", "restore"]
    for path in NOTEBOOKS:
        code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
        assert [cell["outputs"] for cell in code] == [[]] * len(code), path.name
        assert {cell["execution_count"] for cell in code} == {None}


def test_notebooks_open_in_colab_from_the_repository_that_pyproject_names() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    name = urls["Source"].removeprefix("https://github.com/")
    for path in NOTEBOOKS:
        where = f"{name}/blob/main/docs/notebooks/{path.name}"
        assert f"(https://colab.research.google.com/github/{where})" in "".join(
            cells(path)[0]["source"]
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    for name, (module, _) in cli.COMMANDS.items():
        command = importlib.import_module(f"napari_baryir.commands.{module}")
        monkeypatch.setattr(command, "run", lambda args, name=name: ran.append(name) or 0)
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```$", page.read_text("utf-8"), re.S | re.M)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    asked = [line[1:] for line in lines if line[:1] == ["napari-baryir"]]
    for words in asked:
        if words[0] == "help":  # prints the help and exits
            assert words[1] in cli.COMMANDS
            ran.append("help")
            continue
        assert cli.main(words) == 0, words
    assert ran == [words[0] for words in asked]


def test_the_python_of_the_how_to_restores_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    group = zarr.create_group("large.zarr")
    stack = np.arange(3 * 32 * 32, dtype=np.uint16).reshape(3, 32, 32)
    group.create_array("0", data=stack, chunks=(1, 32, 32))
    (block,) = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "microscopists.md").read_text("utf-8"), re.S | re.M
    )
    names: dict[str, Any] = {}
    exec(compile(block, "microscopists.md", "exec"), names)
    assert np.array_equal(names["plane"], names["result"][2])
    assert names["result"].dtype == stack.dtype
