"""The version of napari-baryir, and a check of the libraries that it is installed with."""

from __future__ import annotations

from napari_baryir.errors import VersionError

__version__ = "0.1.0"


def check_libraries(error: Exception) -> None:
    """Refuse to blame a file for an error that libraries of the wrong version explain.

    Parameters
    ----------
    error
        The error of reading or writing the file.

    Raises
    ------
    VersionError
        If a library is older or newer than napari-baryir needs, or cannot be imported.
    """
    wrong = wrong_libraries()
    if not wrong and not isinstance(error, ImportError):
        return
    what = "; ".join(wrong) or " ".join(str(error).split())
    raise VersionError(
        f"the libraries that are installed do not fit together: {what}. Install napari-baryir "
        "again, with the pip of this environment, which puts this right"
    ) from error


def wrong_libraries() -> list[str]:
    """List the libraries that are installed in versions that this package's metadata rule out."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        needs = metadata.requires("napari-baryir") or []
    except metadata.PackageNotFoundError:  # a source tree that is not installed says nothing
        return []
    wrong = []
    for line in needs:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": "all"}):
            continue
        try:
            found = metadata.version(need.name)
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, but {need.name}{need.specifier} is needed")
    return wrong
