"""Make the README's pictures of the real window in each of its states.

Where there is no screen::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py

Writes empty.png, running.png, done.png, error.png and batch.png to docs/images. Nothing of the
user's settings is read or changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = (1180, 720)
"""Size of the window, in pixels."""
MAX_BYTES = 300_000
"""Size of a picture file; the README loads all of them."""
PATIENCE_MS = 600_000


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--model", default="auto", help="a name, or the path of a weights file")
    args = parser.parse_args()
    model = str(Path(args.model).resolve()) if Path(args.model).is_file() else args.model
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        settle_in(Path(home), model)
        _make_all(args.out, Path(home), Path(model).stem)


def settle_in(home: Path, model: str) -> None:
    """Keep settings and models in `home`; must come before napari and Qt are imported."""
    os.environ["XDG_CONFIG_HOME"] = str(home / "config")
    os.environ["NAPARI_CONFIG"] = str(home / "napari" / "settings.yaml")
    os.environ["NAPARI_BARYIR_MODELS"] = str(home / "models")
    (home / "models").mkdir()
    if Path(model).is_file():
        (home / "models" / Path(model).name).symlink_to(model)


def _make_all(out: Path, home: Path, model: str) -> None:
    import napari
    from napari._app_model import get_app_model
    from napari.settings import get_settings
    from qtpy.QtTest import QTest

    get_settings().application.gui_notification_level = "none"  # they would cover the next picture
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(*SIZE)
    # As the Plugins menu does; add_plugin_dock_widget would give another title.
    get_app_model().commands.execute_command("napari-baryir.restore").result()
    dock = viewer.window._wrapped_dock_widgets["Restore (BaryIR)"].inner_widget()
    window = Window(viewer, out)
    window.picture("empty")

    [layer] = viewer.open_sample("napari-baryir", "photo_noise_haze")
    dock.form.model.value = model
    dock.form.tile.value = "128"  # so that there is a middle to take a picture of
    window.when(
        dock.session.changed, lambda: _is_halfway(dock.session.run), dock.button.click, "running"
    )
    window.wait(dock.session.finished)
    looking = dock.summary.run
    if looking is not None:  # it says what was wrong with the image
        window.wait(looking.ended)
    window.picture("done")

    dock.advanced.expand(animate=False)  # for the last picture
    QTest.qWait(300)  # until the new scroll bar has its place
    dock.tabs.setCurrentWidget(dock.batch)
    folder = home / "images"
    _write_images(folder)
    dock.batch.choice.choose_folder(str(folder), str(home / "restored"))
    window.wait(dock.batch.listed)
    window.when(
        dock.batch.updated,
        lambda: int(dock.batch.table.rows[2].text.strip("%") or 0) >= 40,
        dock.batch.button.click,
        "batch",
    )
    window.wait(dock.batch.finished)

    dock.tabs.setCurrentIndex(0)
    dock.form.layer.value = layer
    dock.form.tile.value = "5"
    get_settings().application.gui_notification_level = "info"
    dock.button.click()
    window.wait(dock.session.failed)
    window.picture("error")
    viewer.close()


def _is_halfway(run: Any) -> bool:
    step = run.latest if run is not None else None
    return step is not None and 2 * step.progress.done >= step.progress.total


def _write_images(folder: Path) -> None:
    """Some samples, and one that is no image."""
    from napari_baryir.files import write_image
    from napari_baryir.sample_data import SAMPLES

    folder.mkdir()
    for name in ("blurred-timelapse", "fluorescence-stack", "photo-rain"):
        sample = SAMPLES[name]()
        suffix = "png" if "S" in sample.axes else "tif"
        write_image(folder / f"{name}.{suffix}", sample.degraded, axes=sample.axes)
    (folder / "cut-off.tif").write_bytes((folder / "blurred-timelapse.tif").read_bytes()[:2000])


class Window:
    """The viewer's window, to wait for and to take pictures of."""

    def __init__(self, viewer: Any, out: Path) -> None:
        self._viewer = viewer
        self._out = out

    def picture(self, name: str) -> None:
        """Save what the window shows."""
        from PIL import Image
        from qtpy.QtWidgets import QApplication

        QApplication.processEvents()
        pixels = self._viewer.window.screenshot(flash=False, canvas_only=False)
        path = self._out / f"{name}.png"
        picture = Image.fromarray(pixels[..., :3])
        for colours in (256, 128, 64, 32):
            picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
            if path.stat().st_size < MAX_BYTES:
                return
        raise SystemExit(f"{path}: more than {MAX_BYTES} bytes even with 32 colours")

    def wait(self, signal: Any) -> None:
        """Let Qt work until a signal comes."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop, late = QEventLoop(), QTimer()
        late.setSingleShot(True)
        late.timeout.connect(lambda: loop.exit(1))
        signal.connect(loop.quit)
        late.start(PATIENCE_MS)
        failed = loop.exec_()
        signal.disconnect(loop.quit)
        if failed:
            raise SystemExit("nothing has happened for a long time")

    def when(
        self, signal: Any, holds: Callable[[], bool], begin: Callable[[], Any], name: str
    ) -> None:
        """Begin something, and take a picture at the first signal at which a condition holds."""
        from qtpy.QtCore import QEventLoop

        loop = QEventLoop()

        def look(*_: object) -> None:
            if holds():
                signal.disconnect(look)
                loop.quit()

        signal.connect(look)
        begin()
        loop.exec_()
        self.picture(name)


if __name__ == "__main__":
    main()
