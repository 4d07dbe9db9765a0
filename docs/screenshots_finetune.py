"""Make the pictures of the Fine-tune dock in the real window.

Where there is no screen::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots_finetune.py

Writes finetune-noise.png, finetune-error.png, finetune-running.png,
finetune-done.png and finetune-used.png to docs/images. Trains for some minutes. Nothing of the
user's settings is read or changed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from screenshots import Window, settle_in

SIZE = (1240, 980)
"""Size of the window, in pixels."""


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--model", default="microscopy-compact")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", default="4")
    parser.add_argument("--patch", default="64")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        settle_in(Path(home), args.model)
        _make_all(args, Path(home))


def _make_all(args: argparse.Namespace, home: Path) -> None:
    import napari
    from napari._app_model import get_app_model
    from napari.settings import get_settings
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    get_settings().application.gui_notification_level = "none"  # they would cover the next picture
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(*SIZE)
    # As the Plugins menu does; add_plugin_dock_widget would give another title.
    get_app_model().commands.execute_command("napari-baryir.finetune").result()
    dock = viewer.window._wrapped_dock_widgets["Fine-tune (BaryIR)"].inner_widget()
    window = Window(viewer, args.out)

    clean, striped = _stacks()
    noisy = viewer.add_image(striped, name="new camera", axis_labels=("t", "y", "x"))
    good = viewer.add_image(clean, name="clean", axis_labels=("t", "y", "x"), visible=False)
    dock.form.model.value = args.model
    _noise_like(dock, good, noisy)
    while "Measuring" in dock.camera.text():
        QTest.qWait(100)
    window.picture("finetune-noise")
    _folder(dock, home / "images")
    dock.button.click()
    window.wait(dock.session.failed)
    QTest.qWait(200)  # until the message has its place
    window.picture("finetune-error")
    for toast in QApplication.allWidgets():
        if type(toast).__name__ == "NapariQtNotification":
            toast.close()

    _pairs(dock, noisy, good, args)
    window.when(
        dock.session.changed, lambda: _is_halfway(dock.session), dock.button.click,
        "finetune-running",
    )  # fmt: skip
    while dock.session.run is not None:
        window.wait(dock.session.changed)
    QTest.qWait(300)
    window.picture("finetune-done")
    viewer.layers.selection.active = noisy
    dock.panel.use_button.click()
    QTest.qWait(200)
    window.picture("finetune-used")
    viewer.close()


def _stacks() -> tuple[Any, Any]:
    """Clean planes, and the same with oblique stripes and few photons; TYX uint16."""
    import numpy as np

    from napari_baryir.sample_data import fluorescence_stack

    shape = (10, 160, 160)
    clean = fluorescence_stack(seed=3, shape=shape).clean.astype(np.float32)
    span = float(np.percentile(clean, 99.9))
    y, x = np.mgrid[: shape[1], : shape[2]]
    rng = np.random.default_rng(0)
    stripes = np.sin(2 * np.pi * (x + 0.6 * y) / 9 + rng.uniform(0, 6, (len(clean), 1, 1)))
    light = clean + span * (0.25 + 0.08 * stripes)
    taken = 100 + 2 * rng.poisson(light / 2)
    wanted = 100 + clean + 0.25 * span
    return tuple(np.clip(np.rint(a), 0, 65535).astype(np.uint16) for a in (wanted, taken))


def _noise_like(dock: Any, good: Any, noisy: Any) -> None:
    dock.form.kind.value = "clean"
    dock.form.images.value = [good]
    dock.form.degradation.value = "microscopy:noise"
    dock.form.like.value = noisy


def _folder(dock: Any, folder: Path) -> None:
    """Images with mistakes."""
    import numpy as np
    import tifffile

    folder.mkdir()
    rng = np.random.default_rng(0)
    tifffile.imwrite(folder / "field-1.tif", rng.integers(0, 4000, (256, 256), np.uint16))
    tifffile.imwrite(folder / "field-2.tif", rng.integers(0, 4000, (20, 256), np.uint16))
    (folder / "field-3.tif").write_bytes((folder / "field-1.tif").read_bytes()[:999])
    dock.form.kind.value = "noisy"
    dock.form.found_in.value = "folders"
    dock.form.folder.value = str(folder)
    dock.form.folder.changed.emit()


def _pairs(dock: Any, bad: Any, good: Any, args: argparse.Namespace) -> None:
    dock.form.kind.value = "pairs"
    dock.form.found_in.value = "layers"
    dock.form.degraded.value, dock.form.clean.value = bad, good
    dock.form.name.value = "new-camera"
    dock.form.domain.value = "oblique stripes"
    dock.form.steps.value = args.steps
    dock.form.batch.value, dock.form.patch.value = args.batch, args.patch
    dock.form.validate_every.value = max(1, args.steps // 6)
    dock.form.calibrate.value = False


def _is_halfway(session: Any) -> bool:
    history = session.history
    return session.run is not None and 8 * history.step >= 5 * history.steps > 0


if __name__ == "__main__":
    main()
