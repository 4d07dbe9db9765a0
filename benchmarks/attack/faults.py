"""Faults at random moments: no memory, no disk, Ctrl-C, kill -9, vanished files, failing graphs.

A moment is a line of the package's own code: each scenario is run once undisturbed, which counts
its lines, and then with a fault at one of them. After the fault it is run again, and must end as
if nothing had happened.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import tifffile
from hypothesis import strategies as st
from safetensors.torch import load_file

import napari_baryir
from benchmarks.attack.bombs import published
from benchmarks.attack.files import run_command, weights_file, work_folder
from benchmarks.attack.guard import Hangs, require, snapshot, watched
from benchmarks.attack.moments import at_line
from benchmarks.attack.networks import small_network
from benchmarks.attack.writers import WRITERS
from napari_baryir import atomic, estimate_degradation, restore
from napari_baryir.errors import BaryIRError
from napari_baryir.files import read_image
from napari_baryir.steps import finish
from napari_baryir.training.finetune import FinetuneSettings, Pairs, iter_finetune
from napari_baryir.training.finetune.images import UserImage
from napari_baryir.training.loop import train
from napari_baryir.training.recipe import load_recipe

IMAGE = np.random.default_rng(0).integers(0, 4000, (2, 24, 40)).astype(np.uint16)
FIELD = np.random.default_rng(1).integers(0, 4000, (3, 64, 64)).astype(np.uint16)


@dataclass(frozen=True)
class FaultCase:
    """One case; its repr is all that is needed to make it again."""

    scenario: str
    fault: str
    moment: float
    """Part of the lines, or of the bytes, after which it comes."""


class _GraphError(Exception):
    """Raised by a user's own dask graph."""


def _restore() -> Any:
    return restore(IMAGE, axes="ZYX", model=small_network(scene=True), device="cpu", tile=16).image


def _lazy(fails: bool = False) -> Any:
    def block(values: Any, block_info: Any = None) -> Any:
        if fails and block_info and block_info[0]["chunk-location"][-1] == 1:
            raise _GraphError("the user's own")
        return values

    lazy = da.from_array(IMAGE, chunks=(1, 24, 20)).map_blocks(block, dtype=IMAGE.dtype)
    model = small_network(scene=True)
    result = restore(lazy, axes="ZYX", model=model, device="cpu", tile=16, intensity=(0, 4000))
    return result.image.compute(scheduler="synchronous")


def _estimate() -> Any:
    return estimate_degradation(
        IMAGE, axes="ZYX", model=small_network(scene=False), device="cpu", tile=16,
        contributions=True,
    ).severity  # fmt: skip


def _command(*words: str) -> None:
    _run([*words, "--model", str(weights_file()), "--device", "cpu", "--tile", "16"])


def _run(words: list[str]) -> None:
    code, _, said = run_command(words, codes=(0, 1, 2, 130))
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise OSError(said)


def _train() -> None:
    recipe = load_recipe("smoke", [
        "output=out", "steps=3", "checkpoint_every=1", "validate_every=3", "data.train=photos",
        "data.validation=photos", "data.batch={noise=1, blur=1}", "data.patch=32", "pictures=0",
        "data.validation_images=1", "data.validation_side=32", "device=cpu", "precision=float32",
    ])  # fmt: skip
    finish(train(recipe))


def _finetune() -> None:
    noisy, clean = (
        UserImage(name, array=values, axes="ZYX")
        for name, values in (("noisy", FIELD), ("clean", FIELD // 2))
    )
    settings = FinetuneSettings(
        steps=2, validate_every=1, batch=2, patch=32, device="cpu", precision="float32",
        calibration_scenes=0, resume=Path("out/own.run/checkpoint.pt").exists(),
    )  # fmt: skip
    with contextlib.suppress(napari_baryir.errors.DataError):  # nothing is better than the start
        finish(
            iter_finetune(weights_file(), Pairs(((noisy, clean),)), "out/own.safetensors", settings)
        )


MORE = ("--overwrite",)

SCENARIOS: dict[str, Callable[[], Any]] = {
    "restore": _restore,
    "lazy": _lazy,
    "estimate": _estimate,
    "restore files": lambda: _command("restore", "in", "-o", "out"),
    "restore zarr": lambda: _command("restore", "in/a.tif", "-o", "out/a.ome.zarr", *MORE),
    "restore ozx": lambda: _command("restore", "in/a.tif", "-o", "out/a.ozx", *MORE),
    "estimate files": lambda: _command("estimate", "in", "-o", "out/", "--no-figures", *MORE),
    "import": lambda: _run(["import-weights", "in/w.pth", "-o", "out/w.safetensors"]),
    "train": _train,
    "fine-tune": _finetune,
}  # fmt: skip

FAULTS = ("no memory", "no disk", "Ctrl-C", "kill -9", "vanished", "graph")


def fault_cases() -> Any:
    """Draw a case; training, which is slow, is rarer."""
    often = [name for name in SCENARIOS if name not in ("train", "fine-tune")] * 2
    return st.builds(
        FaultCase, st.sampled_from([*often, "train", "fine-tune"]), st.sampled_from(FAULTS),
        st.floats(0, 1),
    )  # fmt: skip


def _prepare() -> None:
    Path("in").mkdir()
    Path("out").mkdir()
    for name in "ab":
        tifffile.imwrite(f"in/{name}.tif", IMAGE + ord(name), imagej=True, metadata={"axes": "ZYX"})
    published(Path("in/w.pth"))
    Path("photos").mkdir()
    for number in range(3):
        WRITERS[".png"]["RGB"](Path(f"photos/{number}.png"), np.random.default_rng(number))


@functools.cache
def undisturbed(scenario: str) -> tuple[int, int, dict[str, str], Any]:
    """Return the lines and the bytes of a scenario, the files that it makes, and its result."""
    with work_folder() as folder:
        _prepare()
        SCENARIOS[scenario]()  # whatever is loaded or kept at the first time
        _clear(folder)
        with at_line(-1, lambda: None) as count:
            result = SCENARIOS[scenario]()
        largest = max((p.stat().st_size for p in Path("out").rglob("*") if p.is_file()), default=0)
        return count[0], largest, _made(folder), result


def _clear(folder: Path) -> None:
    shutil.rmtree(folder / "out")
    (folder / "out").mkdir()


def _made(folder: Path) -> dict[str, str]:
    """Return what a scenario is to make; logs and tables have times in them."""
    timed = (".csv", ".json", ".md", ".toml", ".pt")
    made = snapshot(folder / "out")
    # ZIP files have times in them, and OME-XML has names of its own each time.
    for name in [name for name in made if name.endswith((".ozx", ".tif"))]:
        with read_image(folder / "out" / name) as image:
            made[name] = str(np.asarray(image.data).tobytes())
    for name in [name for name in made if name.endswith(".safetensors")]:  # how long it took
        weights = load_file(folder / "out" / name)
        made[name] = str({key: hash(value.numpy().tobytes()) for key, value in weights.items()})
    return {n: d for n, d in made.items() if not n.endswith(timed) and "tensorboard" not in n}


def attack_fault(case: FaultCase) -> None:
    """Run a scenario with a fault, then without, and check all promises."""
    lines, largest, files, result = undisturbed(case.scenario)
    if case.fault == "graph" and case.scenario != "lazy":
        return
    with work_folder() as folder:
        _prepare()
        before = snapshot(folder / "in")
        atomic._sweep.cache_clear()
        line = 1 + int(case.moment * (lines - 1))
        with watched():
            if case.fault == "kill -9":
                _killed(case.scenario, line)
            else:
                _disturbed(case, line, int(case.moment * largest))
        after = snapshot(folder / "in")
        lost = [n for n, d in before.items() if after.get(n) != d]
        gone = case.fault == "vanished"
        require(not lost or (gone and lost == ["a.tif"]), f"lost or changed: {lost}")
        if case.fault != "kill -9":
            require(not list(folder.rglob("*.part")), "parts are left over")
        half = {n: d for n, d in _made(folder).items() if ".part" not in n and files.get(n) != d}
        # With less memory tiles are smaller, and results differ a little.
        require(not half or case.fault == "no memory" or ".run/" in str(half), f"half made: {half}")
        if gone:
            _clear(folder)
            tifffile.imwrite("in/a.tif", IMAGE + ord("a"), imagej=True, metadata={"axes": "ZYX"})
        elif case.fault == "no memory" and half:
            _clear(folder)
        with watched():
            again = SCENARIOS[case.scenario]()
        if isinstance(result, np.ndarray):
            require(np.array_equal(again, result), "another result after the fault")
        left = [str(path) for path in folder.rglob("*.part")]
        require(not left, f"parts of the killed process stay: {left}")
        made = _made(folder)
        other = {name for name in {*made, *files} if made.get(name) != files.get(name)}
        require(not other, f"other files: {sorted(other)}")


def _disturbed(case: FaultCase, line: int, size: int) -> None:
    """Run a scenario with a fault; its error is one that the documentation names."""
    scenario = SCENARIOS[case.scenario]
    expected: tuple[type[BaseException], ...] = (BaryIRError, OSError)
    try:
        if case.fault == "no memory":
            expected = (*expected, MemoryError)
            with at_line(line, _raise(MemoryError())):
                scenario()
        elif case.fault == "Ctrl-C":
            expected = (KeyboardInterrupt,)
            with at_line(line, _raise(KeyboardInterrupt())):
                scenario()
        elif case.fault == "vanished":
            with at_line(line, lambda: Path("in/a.tif").unlink()):
                scenario()
        elif case.fault == "no disk":
            with _files_of_at_most(size):
                scenario()
        elif case.fault == "graph":
            expected = (_GraphError,)
            _lazy(fails=True)
    except expected as error:
        require(not isinstance(error, BaryIRError) or len(str(error)) > 20, "says too little")


def _raise(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@contextlib.contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Let every write beyond so many bytes of a file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def _killed(scenario: str, line: int) -> None:
    """Run a scenario in a process of its own that is killed at a line."""
    child = os.fork()
    if child == 0:
        try:
            with at_line(line, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                SCENARIOS[scenario]()
        finally:
            os._exit(0)
    try:
        os.waitpid(child, 0)
    except Hangs:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
