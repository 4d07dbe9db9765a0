"""The user's model folder, and the download into it of weights that do not ship."""

from __future__ import annotations

import os
from pathlib import Path

from napari_baryir.errors import ModelUnavailableError

FOLDER_VARIABLE = "NAPARI_BARYIR_MODELS"
"""Environment variable that names the model folder; without it, the platform's data folder."""


def model_folder() -> Path:
    """Folder of downloaded, imported and fine-tuned models. It may not exist yet."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_data_path("napari-baryir", appauthor=False) / "models"


def fetch(name: str, *, url: str, file: str, sha256: str) -> Path:
    """Give the path of a model's weights, downloading them into the model folder when missing.

    Parameters
    ----------
    name
        The model's name, for messages.
    url
        Where the file is published.
    file
        Its name in the model folder.
    sha256
        Its SHA-256 in hexadecimal; a file that differs is fetched again, then refused.

    Raises
    ------
    ModelUnavailableError
        If it could not be fetched whole; the message says which file belongs where.
    """
    import pooch

    path = model_folder() / file
    try:
        found = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=file,
            path=path.parent,
        )
    # requests' errors are OSErrors; ValueError: the wrong hash, or a URL that cannot be.
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"the weights of '{name}' could not be fetched ({type(error).__name__}). Where there "
            f"is a network, get {url}, check that its SHA-256 is {sha256}, and put it at {path}"
        ) from error
    return Path(found)
