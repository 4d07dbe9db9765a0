# ruff: noqa: E501 (tables with a row per case)
"""Files of any format, name and damage, through the command line."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from benchmarks.attack.guard import Broken, require, require_unchanged, snapshot, watched
from benchmarks.attack.networks import small_network
from benchmarks.attack.writers import DAMAGES, WRITERS, damage
from napari_baryir.cli import main
from napari_baryir.files import read_image
from napari_baryir.weights.files import save_weights

NAMES = [
    "a", "two words", "中文", "ü", "-x", "--help", "a[1]", "*", "new\nline", "100%", "a.b.c",
    ".hidden", "x" * 200, "~", "$HOME", "A.TIF", "\udce9", "'quoted'", "{0}", "%s", "CON", "a\\b",
    "y" * 246,
]  # fmt: skip

SPOKEN = (
    "InputError", "WeightsError", "UnsafeWeightsError", "ModelUnavailableError", "DeviceError",
    "DataError", "MemoryError", "OSError", "PermissionError", "FileNotFoundError",
)  # fmt: skip
"""Errors that a message on the terminal may name: ours, and those of the system."""


@dataclass(frozen=True)
class FileCase:
    """One case; its repr is all that is needed to make it again."""

    suffix: str
    kind: str
    name: str
    damage: str
    words: tuple[str, ...]
    out: str
    seed: int


WORDS: Any = st.one_of(
    st.sampled_from([
        ("--strength", "0.5"), ("--strength", "0"), ("--tile", "16"), ("--tile", "16", "--overlap", "8"),
        ("--overlap", "3"), ("--axes", "YX"), ("--axes", "ZYX"), ("--axes", "CYX"), ("--axes", "YXS"),
        ("--axes", "TYX"), ("--axes", "yx"), ("--intensity", "full"), ("--intensity", "0,255"),
        ("--intensity", "percentile"), ("--intensity=-1,1",), ("--precision", "bfloat16"),
        ("--remove", "noise"), ("--remove", "noise=0.5,haze"), ("--remove", "fog"), ("--ensemble",),
        ("--json",), ("-q",), ("-v",), ("--overwrite",), ("--report", "report.json"),
        ("--sidecar",),
    ]),
    st.sampled_from([
        ("--tile", "0"), ("--tile", "x"), ("--axes", "YY"), ("--intensity", "nan,1"),
        ("--intensity", "1e308,-1e308"), ("--strength", "nan"), ("--model", "nobody"),
        ("--device", "cuda:99"), ("--device", "x"), ("--report", "."), ("--no-such-option",),
        ("--tile", "99999999999999999999"), ("--overlap", "99999"), ("--intensity", "-inf,inf"),
        ("--report", "in"), ("--axes", ""), ("--model", ""), ("--model", "."), ("--model", "in"),
    ]),
)  # fmt: skip

OUTS = [
    "out/", "out/", "out/", "out", "o.tif", "o.png", "o.jpg", "o.ome.zarr", "o.ozx", "o.webp",
    "in", "in/", ".", "o.xyz", "o.csv", "o.json", "o.ome.zarr/", "-", "", "o.lsm", "no/such/o.tif",
]  # fmt: skip


@st.composite
def file_cases(draw: Any) -> FileCase:
    """Draw a case: half of the files are sound."""
    suffix = draw(st.sampled_from([".tif"] * 4 + [".png"] * 2 + [".ome.zarr"] * 2 + list(WRITERS)))
    words = tuple(
        word for some in draw(st.lists(WORDS, max_size=2)) for word in some
    )  # fmt: skip
    command = draw(st.sampled_from(["restore", "restore", "restore", "estimate"]))
    extra = draw(st.sampled_from([(), (), ("--maps", "ome-zarr"), ("--contributions",)]))
    return FileCase(
        suffix,
        draw(st.sampled_from(list(WRITERS[suffix]))),
        draw(st.sampled_from(["a"] * 20 + NAMES)),
        draw(st.sampled_from(["none"] * 9 + list(DAMAGES))),
        (command, *words, *(extra if command == "estimate" else ())),
        draw(st.sampled_from(OUTS)),
        draw(st.integers(0, 2**32 - 1)),
    )


@functools.cache
def weights_file() -> Path:
    """Return the weights that the command line uses."""
    path = Path(tempfile.mkdtemp()) / "small.safetensors"
    save_weights(small_network(scene=True), path)
    return path


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """Work in an empty folder, which is deleted."""
    before = Path.cwd()
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def run_command(words: list[str], codes: tuple[int, ...] = (0, 1, 2)) -> tuple[int, str, str]:
    """Run the command line here: exit code, stdout, stderr; check what it says.

    Raises
    ------
    Broken
        If it shows a traceback or an error that no user should meet.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), watched():
        try:
            code = main(words)
        except SystemExit as error:
            code = int(error.code or 0)
    said = err.getvalue()
    require("Traceback" not in said, f"traceback: {said[-1500:]}")
    for name in re.findall(r"\b([A-Za-z_]+(?:Error|Exception|Warning))\b", said):
        require(name in SPOKEN, f"{name} is shown: {said[-800:]}")
    require(code in codes, f"exit code {code}: {said[-500:]}")
    require(code == 0 or bool(said.strip()), "fails without a word")
    return code, out.getvalue(), said


def attack_file(case: FileCase) -> None:
    """Write a file, damage it, run a command on it, and check all promises."""
    rng = np.random.default_rng(case.seed)
    with work_folder() as folder:
        (folder / "in").mkdir()
        source = folder / "in" / f"{case.name}{case.suffix}"
        WRITERS[case.suffix][case.kind](source, rng)
        if case.damage != "none":
            damage(source, case.damage, rng)
        before = snapshot(folder)
        alone = case.seed % 2
        image = str(source.relative_to(folder)) if alone else "in"
        words = [*case.words, "--model", str(weights_file()), "--device", "cpu"]
        if "--model" in case.words:
            words = [*case.words, "--device", "cpu"]
        code, out, said = run_command([*words, "-o", case.out, "--", image])
        if "--json" in case.words and code < 2 and case.words[0] == "restore":
            json.loads(out)
        after = snapshot(folder)
        lost = [name for name, digest in before.items() if after.get(name) != digest]
        require(not lost, f"lost or changed: {lost}")
        require(not list(folder.rglob("*.part")), "parts are left over")
        made = [name for name in after if name not in before and name != "report.json"]
        if code == 2:
            require(not made, f"fails and leaves {made}")
        if case.words[0] == "restore" and code == 0 and case.name != ".hidden":
            require(bool(made), f"says it is done and writes nothing: {said}")
            if case.damage == "none":
                _check_result(folder, source, made, case)


def _check_result(folder: Path, source: Path, made: list[str], case: FileCase) -> None:
    """Make sure that the result of a sound file is read again, with the shape of the source."""
    made = [name for name in made if not name.endswith(".json")]  # sidecars
    top = next((n for n in made if ".zarr" not in n), made[0])
    result = folder / (top if ".zarr" not in top else top.split(".zarr")[0] + ".zarr")
    if result.suffix in (".webp", ".avif"):  # these have no grey
        return
    with read_image(source) as image, read_image(result) as again:
        same = sorted(n for n in again.shape if n > 1) == sorted(n for n in image.shape if n > 1)
        require(same, f"{image.shape} became {again.shape}")
        require(again.dtype == image.dtype, f"{image.dtype} became {again.dtype}")
        np.asarray(again.data)


__all__ = [
    "Broken", "FileCase", "attack_file", "file_cases", "require_unchanged", "run_command",
    "weights_file", "work_folder",
]  # fmt: skip
