"""The manifest is valid, and everything that it names is there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import npe2
import pytest

import napari_baryir
from napari_baryir.widgets.dock.settings import PLUGIN, Defaults

MANIFEST = Path(napari_baryir.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> Any:
    return npe2.PluginManifest.from_file(MANIFEST)


def test_npe2_validate_accepts_the_manifest() -> None:
    command = [sys.executable, "-m", "npe2", "validate", str(MANIFEST)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def test_manifest_is_found_by_the_distributions_name(manifest: Any) -> None:
    found = npe2.PluginManifest.from_distribution("napari-baryir")
    assert found.name == manifest.name == PLUGIN
    assert found.contributions == manifest.contributions


def test_manifest_at_the_top_is_a_relative_link_to_it() -> None:
    link = Path(__file__).resolve().parents[2] / "napari.yaml"
    if not link.is_symlink():
        pytest.skip("this checkout has no symbolic links")
    assert not link.readlink().is_absolute()
    assert link.resolve() == MANIFEST.resolve()


def test_every_command_resolves(manifest: Any) -> None:
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_every_command_is_contributed_and_every_contribution_is_a_command(manifest: Any) -> None:
    offered = manifest.contributions
    commands = [command.id for command in offered.commands]
    assert len(set(commands)) == len(commands)
    named = {each.command for each in (*offered.widgets, *offered.sample_data)}
    menus = {item.command for items in offered.menus.values() for item in items}
    assert named | menus == set(commands)
    assert all(command.startswith("napari-baryir.") for command in commands)


def test_display_names_in_the_menus_stay(manifest: Any) -> None:
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "Restore",
        "Degradation map",
        "Fine-tune",
    ]
    assert [sample.display_name for sample in manifest.contributions.sample_data] == [
        "Photo with noise and haze",
        "Photo in rain",
        "Dark photo",
        "Noisy fluorescence stack",
        "Blurred time-lapse",
    ]


def test_importing_the_commands_does_not_import_torch(manifest: Any) -> None:
    names = [command.python_name for command in manifest.contributions.commands]
    script = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    module, function = name.split(':')\n"
        "    assert callable(getattr(importlib.import_module(module), function))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_preferences_have_the_fields_of_defaults(manifest: Any) -> None:
    page = manifest.contributions.configurations["restore"].properties
    assert {name: field.default for name, field in page.items()} == vars(Defaults())


def test_sample_and_dock_are_in_naparis_menus(make_napari_viewer: Any) -> None:
    make_napari_viewer()
    from napari._app_model import get_app_model

    menus = get_app_model().menus

    def commands(menu: str) -> set[str]:
        return {item.command.id for item in menus.get_menu(menu) if hasattr(item, "command")}

    for command, name in (
        ("restore", "Restore"), ("estimate", "Degradation map"), ("finetune", "Fine-tune"),
    ):  # fmt: skip
        # Older versions of napari call a dock in menus by its name.
        either = {f"napari-baryir.{command}", f"napari-baryir:{name}"}
        assert either & commands("napari/layers/filter")
        assert either & commands("napari/plugins/napari-baryir")
    samples = commands("napari/file/samples/napari-baryir")
    assert {"napari-baryir.photo_rain", "napari-baryir:photo_rain"} & samples
