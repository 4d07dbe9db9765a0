"""Which files a batch works on: folders, links, patterns, earlier results."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from napari_baryir.batch.jobs import Job, plan_jobs
from napari_baryir.errors import InputError

links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(path: str, content: str = "pixels") -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    return Path(path)


def sources(*inputs: str, out: str = "out") -> list[str]:
    return [job.path.as_posix() for job in plan_jobs(inputs, out).jobs]


def changed_after(path: Path, other: Path) -> None:
    """Renew a file until the disk's clock distinguishes it from another."""
    while path.stat().st_ctime_ns <= other.stat().st_ctime_ns:
        path.touch()


def test_what_is_not_an_image_is_counted_by_kind_in_one_note() -> None:
    for name in ("in/a.png", "in/b.txt", "in/c.txt", "in/d/e.dv", "in/README", "in/.hidden"):
        made(name)
    plan = plan_jobs(["in"], "out")
    assert len(plan.jobs) == 1
    (note,) = plan.notes
    assert note.startswith("left out 4 files of other kinds: 2 .txt, 1 ")
    assert ".dv" in note
    assert "without a suffix" in note
    assert plan_jobs(["in/*.*"], "out").notes == ("left out 2 files of other kinds: 2 .txt",)


def test_a_folder_of_other_files_only_says_so() -> None:
    made("in/a.dv")
    with pytest.raises(InputError, match="left out 1 file of other kinds"):
        plan_jobs(["in"], "out")


@links
def test_linked_folders_are_searched_once_and_loops_end() -> None:
    made("in/a.png")
    made("elsewhere/b.png")
    os.symlink("../elsewhere", "in/linked")
    os.symlink(".", "in/loop")
    os.symlink("../in", "elsewhere/back")
    assert sources("in") == ["in/a.png", "in/linked/b.png"]


@links
def test_a_link_to_a_folder_above_is_left_out_and_named() -> None:
    made("up/in/a.png")
    made("up/b.png")
    os.symlink("..", "up/in/above")
    plan = plan_jobs(["up/in"], "out")
    assert [job.path.name for job in plan.jobs] == ["a.png"]
    assert "up/in/above: left out, since it links to" in plan.notes[0]


@links
def test_a_link_to_nothing_is_a_job_that_will_fail() -> None:
    made("in/a.png")
    os.symlink("gone.png", "in/b.png")
    assert sources("in") == ["in/a.png", "in/b.png"]


def test_a_folder_that_may_not_be_entered_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made("in/a.png")
    made("in/closed/b.png")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed")
    plan = plan_jobs(["in"], "out")
    assert [job.path.name for job in plan.jobs] == ["a.png"]
    assert plan.notes == (f"{Path('in/closed')}: left out: it may not be entered",)


@pytest.mark.parametrize("inputs", ["in", "in/**/*.png"])
def test_results_of_an_earlier_run_are_left_out_unless_given_alone(inputs: str) -> None:
    for name in ("in/a.png", "in/b/c.png"):
        made(name)
        made(name.replace("in/", "in/first/"), "restored")
    plan = plan_jobs([inputs], "in/second")
    assert [job.path.as_posix() for job in plan.jobs] == ["in/a.png", "in/b/c.png"]
    assert any("in/first: left out, since it has results" in note for note in plan.notes)
    assert sources("in/first", out="other") == ["in/first/a.png", "in/first/b/c.png"]


def test_results_of_files_that_are_only_read_are_left_out_too() -> None:
    for name in ("a.czi", "b/c.lsm", "cells.lif"):
        made(f"in/{name}")
    for name in ("a.czi.tif", "b/c.lsm.tif", "cells.lif.2-tail.tif"):
        made(f"in/first/{name}", "restored")
    assert sources("in") == ["in/a.czi", "in/cells.lif", "in/b/c.lsm"]
    made("in/first/z.czi.tif", "of another file")
    assert len(sources("in")) == 7


def test_the_output_within_a_pattern_is_no_input() -> None:
    made("in/a.png")
    made("in/out/a.png", "restored")
    plan = plan_jobs(["in/**/*.png"], "in/out")
    assert [job.path.as_posix() for job in plan.jobs] == ["in/a.png"]
    assert plan.notes == ()


def test_copies_older_files_and_other_names_are_no_results() -> None:
    for name in ("in/a.png", "in/copies/a.png", "in/others/z.png"):
        made(name)
    older = made("in/originals/a.png", "original")
    os.utime(older, (1, 1))
    assert len(sources("in")) == 4


def test_the_tables_of_estimates_name_their_folder() -> None:
    for name in ("in/a.png", "in/e/estimates.csv", "in/e/estimates.json", "in/e/a-png.tif"):
        made(name)
    assert sources("in") == ["in/a.png"]


def test_an_input_that_an_older_file_replaced_is_not_done() -> None:
    job = Job(made("a.png"), Path("out.png"))
    made("out.png", "restored")
    assert job.is_done()
    older = made("b.png", "other pixels")
    os.utime(older, (1, 1))
    changed_after(older, job.target)
    os.utime(older, (1, 1))
    os.replace(older, job.path)
    assert job.path.stat().st_mtime == 1
    assert not job.is_done()


def test_an_empty_result_is_not_done() -> None:
    made("a.png")
    assert not Job(Path("a.png"), made("out.png", "")).is_done()
    Path("in.zarr").mkdir()
    Path("out.zarr").mkdir()
    assert not Job(Path("in.zarr"), Path("out.zarr")).is_done()


def test_an_ome_zarr_with_a_slash_is_that_image() -> None:
    made("in/a.png")
    assert [job.target for job in plan_jobs(["in/a.png"], "x.ome.zarr/").jobs] == [
        Path("x.ome.zarr")
    ]
    made("in/b.png")
    with pytest.raises(InputError, match="names one file but there are 2 images"):
        plan_jobs(["in"], "x.ome.zarr/")


@pytest.mark.parametrize("out", ["x.ome.zarr/0", "there/", "x.ome.zarr/deep/er/"])
def test_nothing_is_written_into_an_image(out: str) -> None:
    made("in/a.png")
    Path("x.ome.zarr").mkdir()
    made("there/zarr.json")
    with pytest.raises(InputError, match="image"):
        plan_jobs(["in"], out)
    with pytest.raises(InputError, match="is named as an image"):
        plan_jobs(["in"], "x.ome.zarr/", to_folder=True)
