"""Writing aside: long names, and the parts that killed processes leave."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_baryir import atomic
from napari_baryir.atomic import written_aside
from napari_baryir.files import open_output, read_image, write_image
from napari_baryir.files.image_file import ImageFile


@pytest.mark.parametrize("suffix", [".png", ".tif", ".zarr"])
@pytest.mark.parametrize("letter", ["x", "中"])
def test_names_as_long_as_the_file_system_allows_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, letter: str
) -> None:
    monkeypatch.setattr("napari_baryir.files.waiting.IN_MEMORY", 10)
    out = tmp_path / (letter * ((255 - len(suffix)) // len(letter.encode())) + suffix)
    for value in (1, 2):  # the second replaces the first
        write_image(out, np.full((20, 21), value, np.uint8), axes="YX")
        assert np.asarray(read_image(out).data).min() == value
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_part_of_a_killed_process_is_deleted_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    atomic._sweep.cache_clear()
    killed = (
        "import os, signal, sys; from pathlib import Path\n"
        "from napari_baryir.atomic import written_aside\n"
        "with written_aside(Path(sys.argv[1])) as aside:\n"
        "    aside.write_bytes(b'x'); os.kill(os.getpid(), signal.SIGTERM)"
    )
    subprocess.run([sys.executable, "-c", killed, str(tmp_path / "a.png")], check=False)
    (left,) = tmp_path.iterdir()
    living = tmp_path / f"{atomic._prefix()}{os.getppid()}-00000000.part"
    elsewhere = tmp_path / ".baryir-00000000-1-00000000.part"
    for part in (living, elsewhere):
        part.touch()
    with written_aside(tmp_path / "b.png") as aside:
        aside.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"b.png", living.name, elsewhere.name}
    assert left.name.startswith(atomic._prefix())


def test_folders_that_stay_empty_go_again_unless_they_were_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for place in ("new/deep/a.png", "mine/b.png"):
        with pytest.raises(ValueError, match="late"), written_aside(tmp_path / place):
            raise ValueError("too late")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    image = ImageFile(Path(), "", np.zeros((20, 20), np.uint8), "YX")
    with open_output(tmp_path / "out/a.png", image), contextlib.suppress(OSError):
        (tmp_path / "out").rmdir()  # as another process that fails would
    assert (tmp_path / "out/a.png").is_file()
