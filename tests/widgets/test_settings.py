"""The Preferences page reaches the dock, and its absence does no harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import napari.settings
import npe2
import pytest

from napari_baryir.weights.cache import FOLDER_VARIABLE, model_folder
from napari_baryir.widgets.dock.settings import CacheFolder, Defaults, defaults

has_page = pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"),
    reason="napari before 0.9 has no Preferences page for plugins",
)


@pytest.fixture
def page(plugin_settings: None, npe2pm: Any) -> Any:
    """The group of settings that Preferences show, stored in a temporary folder."""
    npe2pm.register(npe2.PluginManifest.from_distribution("napari-baryir"))
    return napari.settings.get_plugin_settings("napari-baryir").restore


@has_page
def test_untouched_preferences_are_our_defaults(page: Any) -> None:
    assert defaults() == Defaults()


@has_page
def test_preferences_are_read_each_time(page: Any) -> None:
    page.model = "microscopy-compact"
    page.device = "cpu"
    assert defaults() == Defaults(model="microscopy-compact", device="cpu")
    page.precision = "bfloat16"
    assert defaults().precision == "bfloat16"


@has_page
def test_emptied_field_counts_as_untouched(page: Any) -> None:
    page.model = ""
    assert defaults() == Defaults()


@has_page
def test_preferences_refuse_an_unknown_device(page: Any) -> None:
    with pytest.raises(ValueError, match="abacus"):
        page.device = "abacus"


def test_older_napari_without_preferences_has_our_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)
    assert defaults() == Defaults()


@has_page
def test_unregistered_plugin_has_our_defaults(plugin_settings: None, npe2pm: Any) -> None:
    assert defaults() == Defaults()


@pytest.fixture
def cache_folder(monkeypatch: pytest.MonkeyPatch) -> CacheFolder:
    monkeypatch.delenv(FOLDER_VARIABLE)  # set by tests/conftest.py, which also restores it
    return CacheFolder()


def test_cache_folder_of_preferences_holds_the_models(
    cache_folder: CacheFolder, tmp_path: Path
) -> None:
    before = model_folder()
    cache_folder.apply(Defaults(cache_folder=str(tmp_path)))
    assert model_folder() == tmp_path
    cache_folder.apply(Defaults(cache_folder=str(tmp_path / "other")))
    assert model_folder() == tmp_path / "other"
    cache_folder.apply(Defaults())
    assert model_folder() == before


def test_environment_comes_before_the_preferences(
    cache_folder: CacheFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, os.fspath(tmp_path))
    cache_folder.apply(Defaults(cache_folder="elsewhere"))
    assert model_folder() == tmp_path
