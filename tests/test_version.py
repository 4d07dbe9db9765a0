"""Libraries that do not fit together are named, and no file is blamed for them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import tifffile

from napari_baryir.errors import InputError, VersionError
from napari_baryir.files.reading import read_image
from napari_baryir.version import check_libraries, wrong_libraries


def test_the_libraries_of_this_environment_fit() -> None:
    assert wrong_libraries() == []


def test_old_library_is_named_and_not_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "broken.tif"
    path.write_bytes(b"II*\x00" + b"\xff" * 40)
    with pytest.raises(InputError, match=r"broken\.tif.*damaged"):
        read_image(path)
    monkeypatch.setattr(metadata, "requires", lambda _: ["tifffile>=9999; extra == 'all'", "none"])
    with pytest.raises(
        VersionError, match=f"tifffile is {tifffile.__version__}.*Install"
    ) as caught:
        read_image(path)
    assert "broken.tif" not in str(caught.value)


def test_requirements_of_other_extras_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=9999; extra == 'test'"])
    assert wrong_libraries() == []


def test_import_that_fails_is_never_the_files_fault() -> None:
    with pytest.raises(VersionError, match="cannot import name 'x'"):
        check_libraries(ImportError("cannot import name 'x'"))
    check_libraries(ValueError("a damaged file"))
