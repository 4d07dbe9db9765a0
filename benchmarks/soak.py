"""Repeat the work of days in one process, and watch memory and threads.

    xvfb-run -a python -m benchmarks.soak --restores 1000 --estimates 200 --openings 50

Networks and images are small: what is looked for is what stays behind after each, not what the
work itself needs. It ends with 1 where memory or threads still grow in the second half of a part.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil

from benchmarks.attack.networks import small_network
from napari_baryir import estimate_degradation, restore
from napari_baryir.weights.files import save_weights

DOCKS = ("Restore", "Degradation map", "Fine-tune")
GROWTH = 0.1
"""MB for each repetition beyond which memory is said to grow, in the second half of a part."""
LINES = 10
"""Lines that a part prints."""

SHAPES = ((40, 56), (3, 24, 40), (32, 48, 3), (2, 2, 24, 24))


@dataclass
class Watch:
    """Memory and threads of this process while a part of the work is repeated."""

    title: str
    count: int
    usual: float = 0.0
    """MB that each repetition costs without our part in it."""
    seen: list[tuple[int, float, int]] = field(default_factory=list)
    """Repetitions, MB, threads."""
    slope: float = 0.0
    """MB for each repetition of the second half; set at the end."""

    def repeat(self, work: Callable[[int], object]) -> bool:
        """Repeat the work and print what it takes; return whether that stays flat."""
        if not self.count:
            return True
        start = time.monotonic()
        every = max(1, self.count // LINES)
        for number in range(self.count):
            work(number)
            if (number + 1) % every == 0:
                gc.collect()
                process = psutil.Process()
                megabytes, threads = process.memory_info().rss / 1e6, process.num_threads()
                self.seen.append((number + 1, megabytes, threads))
                took = time.monotonic() - start
                sys.stdout.write(
                    f"{self.title} {number + 1}: {megabytes:.1f} MB, {threads} threads, "
                    f"{took:.0f} s\n"
                )
                sys.stdout.flush()
        later = self.seen[len(self.seen) // 2 :]
        self.slope = (later[-1][1] - later[0][1]) / max(1, later[-1][0] - later[0][0])
        flat = self.slope - self.usual < GROWTH and later[-1][2] <= later[0][2]
        beside = f", {1000 * self.usual:+.0f} of it not ours" if self.usual else ""
        sys.stdout.write(
            f"{self.title}: {1000 * self.slope:+.0f} kB each in the second half{beside}, "
            f"{'flat' if flat else 'GROWS'}\n"
        )
        return flat


def image(number: int) -> Any:
    """Return one of some small images, every fifth lazy."""
    shape = SHAPES[number % len(SHAPES)]
    values = np.random.default_rng(number).integers(0, 4000, shape).astype(np.uint16)
    return da.from_array(values, chunks=-1) if number % 5 == 4 else values


def restore_one(number: int) -> None:
    """Restore an image; two networks in turn."""
    model = small_network(scene=bool(number % 2))
    np.asarray(restore(image(number), model=model, device="cpu", tile=24).image)


def estimate_one(number: int) -> None:
    """Estimate an image; two networks in turn."""
    model = small_network(scene=bool(number % 2))
    found = estimate_degradation(image(number), model=model, device="cpu", tile=24)
    np.asarray(found.severity)


class Docks:
    """A viewer whose docks are opened, used and closed."""

    def __init__(self) -> None:
        import napari

        self.viewer = napari.Viewer(show=True)
        self.viewer.add_image(image(0), name="picture")

    def opening(self, name: str) -> Callable[[int], None]:
        """Return what opens and closes a dock."""
        return lambda _: self.open_and_close(name)

    def open_and_close(self, name: str) -> None:
        """Open a dock, and close it as its cross does."""
        import weakref

        frame, dock = self.viewer.window.add_plugin_dock_widget("napari-baryir", name)
        gone = weakref.ref(dock)
        self._events()
        self.viewer.window.remove_dock_widget(frame)
        del frame, dock
        for _ in range(20):
            self._events()
            gc.collect()
            if gone() is None:
                return
        raise AssertionError(f"the dock {name} stays in memory after it was closed")

    def _add_and_remove(self, number: int) -> None:
        layer = self.viewer.add_image(image(number % 2))
        self._events()
        self.viewer.layers.remove(layer)
        self._events()

    def restore_with_dock(self, count: int) -> bool:
        """Restore with the button of one dock, and remove the result each time.

        A layer that is added and removed costs napari itself memory, which is measured first.
        """
        plain = Watch("a plain layer of napari", count)
        plain.repeat(self._add_and_remove)
        frame, dock = self.viewer.window.add_plugin_dock_widget("napari-baryir", "Restore")
        dock.form.model.value = "small"
        dock.form.device.value = "cpu"
        source = self.viewer.layers["picture"]

        def run(number: int) -> None:
            dock.button.click()
            while dock.session.run is not None:
                self._events()
                time.sleep(0.001)
            assert len(self.viewer.layers) > 1, "the result was not added"
            for layer in [each for each in self.viewer.layers if each is not source]:
                self.viewer.layers.remove(layer)
            self.viewer.layers.selection.active = source
            self._events()

        flat = Watch("restore with the dock", count, max(0.0, plain.slope)).repeat(run)
        self.viewer.window.remove_dock_widget(frame)
        return flat

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()
        self._events()

    @staticmethod
    def _events() -> None:
        """Do what a running event loop does between two clicks.

        `processEvents` alone keeps every widget that was sent `deleteLater`: napari's controls of a
        removed layer then cost 2 MB each, and so does each result of a dock.
        """
        from qtpy.QtCore import QCoreApplication, QEvent
        from qtpy.QtWidgets import QApplication

        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def main() -> int:
    """Soak, and return 1 where something grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--restores", type=int, default=1000)
    parser.add_argument("--estimates", type=int, default=200)
    parser.add_argument("--openings", type=int, default=50, help="of each dock; needs a window")
    parser.add_argument("--dock-restores", type=int, default=50, help="with the Restore dock")
    args = parser.parse_args()
    flat = [
        Watch("restore", args.restores).repeat(restore_one),
        Watch("estimate", args.estimates).repeat(estimate_one),
    ]
    if args.openings or args.dock_restores:
        with tempfile.TemporaryDirectory() as models:
            os.environ["NAPARI_BARYIR_MODELS"] = models
            save_weights(small_network(scene=True), Path(models) / "small.safetensors")
            docks = Docks()
            for name in DOCKS:
                watch = Watch(f"open {name}", args.openings)
                flat.append(watch.repeat(docks.opening(name)))
            flat.append(docks.restore_with_dock(args.dock_restores))
            docks.close()
    return int(not all(flat))


if __name__ == "__main__":
    sys.exit(main())
