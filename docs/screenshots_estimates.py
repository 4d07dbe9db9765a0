"""Make the pictures of the Degradation map dock in the real window.

Where there is no screen::

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots_estimates.py

Writes estimate-domains.png, estimate-severity.png, estimate-only.png, estimate-stack.png and
estimate-line.png to docs/images. Nothing of the user's settings is read or changed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from screenshots import SIZE, Window, settle_in

PLUGIN = "napari-baryir"


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
        _make_all(args.out, Path(model).stem)


def _make_all(out: Path, model: str) -> None:
    import napari
    from napari.settings import get_settings

    get_settings().application.gui_notification_level = "none"  # they would cover the next picture
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(*SIZE)
    window = Window(viewer, out)
    dock = _open(viewer, "Degradation map")
    _photo(viewer, dock, window, model)
    viewer.layers.clear()
    _stack(viewer, dock, window, model)
    viewer.layers.clear()
    viewer.window.remove_dock_widget(dock)
    _line(viewer, window, model)
    viewer.close()


def _open(viewer: Any, name: str) -> Any:
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    dock.parentWidget().setWindowTitle(f"{name} (BaryIR)")  # as from the Plugins menu
    return dock


def _photo(viewer: Any, dock: Any, window: Window, model: str) -> None:
    """A photograph whose left half is noisy and whose right half is hazy."""
    viewer.add_image(_half_and_half(), name="Astronaut, half noisy, half hazy", rgb=True)
    dock.form.model.value = model
    dock.button.click()
    window.wait(dock.session.finished)
    _point_at(viewer, (200, 400))
    window.picture("estimate-domains")
    dock.panel.show_view("severity")
    window.picture("estimate-severity")
    dock.panel.legend.rows["haze"].click()
    window.picture("estimate-only")


def _half_and_half() -> Any:
    """(512, 512, 3) uint8."""
    import numpy as np
    from skimage.data import astronaut

    from napari_baryir.training.degradations import degrade

    clean = astronaut().astype(np.float32) / 255
    rng = np.random.default_rng(0)
    noisy = degrade(clean, "noise", rng, level=0.6).image
    hazy = degrade(clean, "haze", rng, level=0.6).image
    half = clean.shape[1] // 2
    both = np.concatenate([noisy[:, :half], hazy[:, half:]], axis=1)
    return (255 * np.clip(both, 0, 1)).round().astype(np.uint8)


def _stack(viewer: Any, dock: Any, window: Window, model: str) -> None:
    """A stack, where the plot along it is to be seen."""
    viewer.open_sample(PLUGIN, "fluorescence_stack")
    dock.form.model.value = model
    dock.button.click()
    window.wait(dock.session.finished)
    viewer.dims.set_current_step(0, 4)
    window.picture("estimate-stack")


def _line(viewer: Any, window: Window, model: str) -> None:
    """The Restore dock with the summary of what it restored."""
    from napari_baryir.widgets.dock.run import run_queue

    dock = _open(viewer, "Restore")
    viewer.open_sample(PLUGIN, "photo_noise_haze")
    dock.form.model.value = model
    dock.button.click()
    window.wait(dock.session.finished)
    while run_queue().current is not None:
        window.wait(run_queue().changed)
    window.picture("estimate-line")


def _point_at(viewer: Any, position: tuple[float, ...]) -> None:
    """Put the cursor on a place, so that the status bar shows the values there."""
    viewer.mouse_over_canvas = True
    viewer.cursor.position = position
    viewer.update_status_from_cursor()


if __name__ == "__main__":
    main()
