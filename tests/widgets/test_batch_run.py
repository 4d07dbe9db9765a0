"""Batches without a window: each image as `restore` does it, one bad image alone, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_baryir import restore
from napari_baryir.batch.run import State
from napari_baryir.errors import InputError
from napari_baryir.files import read_image, write_image
from napari_baryir.widgets.restore.batch.items import (
    PARTS,
    BatchSettings,
    FileItem,
    Item,
    LayerItem,
    Update,
    list_folder,
    list_layers,
    run_batch,
)


@pytest.fixture
def settings(tiny_weights: Path) -> BatchSettings:
    return BatchSettings(model=str(tiny_weights), device="cpu", tile=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stacks and a photograph, one of them deeper."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    write_image(folder / "a.tif", rng.integers(0, 999, (2, 40, 48), np.uint16), axes="ZYX")
    write_image(folder / "b.png", rng.integers(0, 255, (40, 48, 3), np.uint8), axes="YXS")
    write_image(folder / "deeper" / "c.tif", rng.random((40, 40), np.float32), axes="YX")
    return folder


def run(items: Sequence[Item], settings: BatchSettings, **more: Any) -> dict[int, Update]:
    """The last news of each row."""
    last: dict[int, Update] = {}
    for update in run_batch(items, settings, **more):
        assert isinstance(update, Update)
        last[update.row] = update
    return last


def listed(folder: str, output: str) -> list[FileItem]:
    return list_folder(folder, output)[0]


def states(last: dict[int, Update]) -> list[str]:
    return [update.state.value for update in last.values()]


def test_folder_is_restored_as_restore_does(
    folder: Path, tmp_path: Path, settings: BatchSettings
) -> None:
    items = listed(str(folder), str(tmp_path / "out"))
    assert [item.name for item in items] == ["a.tif", "b.png", str(Path("deeper", "c.tif"))]
    assert states(run(items, settings)) == ["done"] * 3
    for item in items:
        with read_image(item.job.path) as image, read_image(item.job.target) as made:
            expected = restore(image.data, axes=image.axes, **vars(settings)).image
            assert made.axes == image.axes
            np.testing.assert_array_equal(np.asarray(made.data), np.asarray(expected))


def test_what_is_done_is_not_done_again_unless_asked(
    folder: Path, tmp_path: Path, settings: BatchSettings
) -> None:
    out = tmp_path / "out"
    items = listed(str(folder), str(out))
    run(items, settings)
    written = {item.job.target: item.job.target.stat().st_mtime_ns for item in items}
    items[1].job.target.unlink()
    last = run(listed(str(folder), str(out)), settings)
    assert states(last) == ["done"] * 3
    again = {item.job.target: item.job.target.stat().st_mtime_ns for item in items}
    assert [again[path] == written[path] for path in written] == [True, False, True]
    run(items, settings, again=True)
    assert all(path.stat().st_mtime_ns > again[path] for path in again)


def test_bad_image_fails_alone_and_says_why(
    folder: Path, tmp_path: Path, settings: BatchSettings
) -> None:
    (folder / "b.png").write_bytes(b"no image")
    items = listed(str(folder), str(tmp_path / "out"))
    last = run(items, settings)
    assert states(last) == ["done", "failed", "done"]
    assert last[1].text.startswith("not a readable PNG")
    assert last[1].problem is not None
    assert "b.png" in last[1].problem.sentence
    assert not items[1].job.target.exists()


def test_unexpected_error_fails_one_image_and_keeps_its_traceback(
    folder: Path, tmp_path: Path, settings: BatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = listed(str(folder), str(tmp_path / "out"))

    def broken(path: Path) -> Any:
        if path.name == "b.png":
            raise RuntimeError("a defect")
        return read_image(path)

    monkeypatch.setattr("napari_baryir.files.read_image", broken)
    last = run(items, settings)
    assert states(last) == ["done", "failed", "done"]
    assert last[1].problem is not None
    assert "a defect" in last[1].text
    assert "Traceback" in last[1].problem.details


def test_missing_weights_end_the_batch(folder: Path, tmp_path: Path) -> None:
    items = listed(str(folder), str(tmp_path / "out"))
    last = run(items, BatchSettings(model="no-such-model"))
    assert states(last) == ["failed"]
    assert "no-such-model" in last[0].text


def test_closing_leaves_no_file_behind(
    folder: Path, tmp_path: Path, settings: BatchSettings
) -> None:
    items = listed(str(folder), str(tmp_path / "out"))
    steps = run_batch(items, settings)
    while "50%" not in next(steps).text:
        pass
    steps.close()
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_progress_of_all_grows_to_the_end(
    folder: Path, tmp_path: Path, settings: BatchSettings
) -> None:
    items = listed(str(folder), str(tmp_path / "out"))
    told = [update.progress for update in run_batch(items, settings)]
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert told[-1].done == told[-1].total == PARTS * len(items)


def test_model_is_loaded_once_for_all_files(
    folder: Path, tmp_path: Path, settings: BatchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_baryir.restoration import portable_model
    from napari_baryir.weights import registry

    load, loaded = registry.load_model, []

    def counted(name: Any, **more: Any) -> Any:
        loaded.append(name)
        return load(name, **more)

    for module in (registry, portable_model):
        monkeypatch.setattr(module, "load_model", counted)
    items = listed(str(folder), str(tmp_path / "out"))
    assert states(run(items, settings)) == ["done"] * 3
    assert loaded == [settings.model]


@pytest.mark.parametrize(
    ("folder_name", "output", "message"),
    [
        ("", "out", "has the images"),
        ("images", "", "for the results"),
        ("images", "images", "overwrite"),
        ("nowhere", "out", "no folder"),
        ("empty", "out", "no images"),
    ],
)
def test_unusable_folders_are_explained(
    folder: Path, tmp_path: Path, folder_name: str, output: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    paths = [str(tmp_path / name) if name else "" for name in (folder_name, output)]
    with pytest.raises(InputError, match=message):
        listed(*paths)


def test_layer_is_restored_as_restore_does(settings: BatchSettings) -> None:
    data = np.random.default_rng(0).integers(0, 999, (2, 40, 48), np.uint16)
    [item] = list_layers([Image(data, axis_labels=("t", "y", "x"))])
    last = run([item], settings)
    assert last[0].result is not None
    assert last[0].result.restoration.axes == "TYX"
    np.testing.assert_array_equal(
        last[0].result.data, restore(data, axes="TYX", **vars(settings)).image
    )


def test_strength_holds_for_layers(settings: BatchSettings) -> None:
    data = np.random.default_rng(0).integers(0, 999, (40, 48), np.uint16)
    last = run(list_layers([Image(data)]), replace(settings, strength=0.0))
    assert last[0].result is not None
    np.testing.assert_array_equal(last[0].result.data, data)


def test_multiscale_layer_comes_back_multiscale(settings: BatchSettings) -> None:
    fine = np.random.default_rng(0).random((64, 64), np.float32)
    layer = Image([fine, fine[::2, ::2]], multiscale=True)
    last = run(list_layers([layer]), settings)
    assert last[0].result is not None
    assert [level.shape for level in last[0].result.data] == [(64, 64), (32, 32)]


def test_labels_fail_with_a_reason(settings: BatchSettings) -> None:
    layers = [Labels(np.zeros((40, 40), int)), Image(np.eye(40))]
    last = run(list_layers(layers), settings)
    assert states(last) == ["failed", "done"]
    assert "labels" in last[0].text


def test_dropped_layer_stops_within_a_tile(settings: BatchSettings) -> None:
    items = list_layers([Image(np.eye(200)), Image(np.eye(40))])
    told: list[Update] = []
    for update in run_batch(items, settings):
        assert isinstance(update, Update)
        told.append(update)
        if update.row == 0 and 0 < update.progress.done < PARTS:
            items[0].dropped = True
    ended = [each for each in told if each.state is not State.RUNNING]
    assert [each.state for each in ended] == [State.FAILED, State.DONE]
    assert "removed" in ended[0].text
    assert len([each for each in told if each.row == 0 and each.progress.done > 0]) == 2


def test_layer_dropped_before_its_turn_is_not_read(settings: BatchSettings) -> None:
    read: list[str] = []

    class Watched:
        shape, ndim, dtype = (40, 40), 2, np.dtype(float)

        def __getitem__(self, key: Any) -> Any:
            read.append("")
            return np.eye(40)[key]

        def __array__(self, *_: Any, **__: Any) -> Any:
            return self[...]

    items = list_layers([Image(np.eye(40)), Image(Watched())])
    items[1].dropped = True
    read.clear()
    last = run(items, settings)
    assert states(last) == ["done", "failed"]
    assert "removed" in last[1].text
    assert read == []


def test_layers_that_are_known_keep_what_became_of_them() -> None:
    one, two = Image(np.eye(40)), Image(np.eye(40))
    known = LayerItem(one)
    known.done = True
    assert [item.is_done() for item in list_layers([two, one], [known])] == [False, True]
