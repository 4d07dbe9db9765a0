"""The folder of the user's own models."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "NAPARI_BARYIR_MODELS"
"""Environment variable that names the model folder; without it, the platform's data folder."""


def model_folder() -> Path:
    """Return the folder of imported and fine-tuned models. It may not exist yet."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_data_path("napari-baryir", appauthor=False) / "models"
