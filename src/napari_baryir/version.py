"""The version of napari-baryir, and a check of the libraries that it is installed with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from napari_baryir.errors import VersionError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__version__ = "0.1.0"


def page_address(page: str) -> str:
    """Return the address of a page of the documentation, such as "export.md", for a browser."""
    from importlib.metadata import metadata

    listed = metadata("napari-baryir").get_all("Project-URL") or []
    site = next(each.split(", ")[1] for each in listed if each.startswith("Documentation"))
    return f"{str(site).rstrip('/')}/{page.removesuffix('.md')}/"


def check_libraries(error: Exception) -> None:
    """Refuse to blame a file for an error that libraries of the wrong version explain.

    Raises `VersionError` from the error of reading or writing the file, if a library is older or
    newer than napari-baryir needs, or cannot be imported.
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
    return [
        f"{need.name} is {found}, but {need.name}{need.specifier} is needed"
        for need, found in _needed_libraries()
        if not need.specifier.contains(found, prereleases=True)
    ]


def installed_libraries(others: Iterable[str] = ()) -> dict[str, str]:
    """Return names and versions of what this package's metadata name, and of others, if installed.

    Nothing is imported for it.
    """
    found = {need.name: version for need, version in _needed_libraries()}
    for name in others:
        if (version := _version(name)) is not None:
            found[name] = version
    return found


def _needed_libraries() -> Iterator[tuple[Requirement, str]]:
    """Yield the requirements, with those of napari, and the version of each that is installed."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        needs = metadata.requires("napari-baryir") or []
    except metadata.PackageNotFoundError:  # a source tree that is not installed says nothing
        return
    for need in map(Requirement, needs):
        if need.marker is not None and not need.marker.evaluate({"extra": "all"}):
            continue
        if (found := _version(need.name)) is not None:
            yield need, found


def _version(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
