"""The user's defaults: napari's Preferences page for plugins where there is one, else ours."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from napari_baryir.weights.cache import FOLDER_VARIABLE

logger = logging.getLogger(__name__)

PLUGIN = "napari-baryir"


@dataclass(frozen=True)
class Defaults:
    """The values that a dock starts with, as in the configurations of ``napari.yaml``."""

    model: str = "auto"
    """Name or path of the weights."""
    device: str = "auto"
    """"auto", "cpu", "cuda" or "mps"."""
    precision: str = "auto"
    """"auto", "float32", "bfloat16" or "float16"."""
    cache_folder: str = ""
    """Folder of the user's models; empty: the platform's data folder."""


def defaults() -> Defaults:
    """Read the Preferences page; napari before 0.9 has none, and then `Defaults` hold."""
    page = _preferences()
    if page is None:
        return Defaults()
    values = {field.name: getattr(page, field.name, field.default) for field in fields(Defaults)}
    # An emptied field has its default.
    return Defaults(**{name: str(value).strip() for name, value in values.items() if value})


class CacheFolder:
    """The model folder of Preferences, put into the environment variable.

    There `napari_baryir.weights`, which knows nothing of napari, and worker processes find it. A
    variable that the user has set comes first.
    """

    def __init__(self) -> None:
        self._ours: str | None = None

    def apply(self, chosen: Defaults) -> None:
        """Use the folder of `chosen` from now on."""
        if os.environ.get(FOLDER_VARIABLE) != self._ours:
            return  # set by the user
        if chosen.cache_folder:
            self._ours = os.fspath(Path(chosen.cache_folder).expanduser().absolute())
            os.environ[FOLDER_VARIABLE] = self._ours
        else:
            os.environ.pop(FOLDER_VARIABLE, None)
            self._ours = None


cache_folder = CacheFolder()
"""The one of this process; the dock applies it when it opens."""


def _preferences() -> Any:
    """Return the settings that ``napari.yaml`` calls restore; None where napari has none."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return get_plugin_settings(PLUGIN).restore
    except (AttributeError, KeyError):
        # disabled, or installed without its manifest
        logger.debug("napari has no settings for %s", PLUGIN, exc_info=True)
        return None
