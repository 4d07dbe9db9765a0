"""Hooks of the documentation site: MkDocs calls ``on_*`` while it builds.

Pages that lie elsewhere in the repository (the README, model cards, ...) and the notebooks become
pages of the site, so that nothing is written twice. Links that lead to other files of the
repository lead to it.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

PAGES = {
    "getting-started.md": "README.md",
    "training.md": "training/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
} | {
    f"models/{card.name}": card.relative_to(ROOT).as_posix()
    for card in (ROOT / "src" / "napari_baryir" / "weights").glob("*.md")
}
"""Page of the site to the file of the repository that it is."""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
"""The path of a relative link or picture in Markdown."""


def on_config(config: MkDocsConfig) -> None:
    """Take the addresses from the one place that has them."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    config.repo_url, config.site_url = urls["Source"], urls["Documentation"]
    config.repo_name = "/".join(urls["Source"].split("/")[-2:])


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages from elsewhere."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for path in sorted((DOCS / "notebooks").glob("*.ipynb")):
        for name, content in notebook_page(path).items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))


def notebook_page(path: Path) -> dict[str, str | bytes]:
    """Convert a notebook to a page and its pictures, by name.

    It is run first where RUN_NOTEBOOKS is set, as for the published site.
    """
    notebook = nbformat.read(path, as_version=4)
    if os.environ.get("RUN_NOTEBOOKS"):
        with tempfile.TemporaryDirectory() as folder:
            ExecutePreprocessor(timeout=600).preprocess(notebook, {"metadata": {"path": folder}})
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    )
    return {f"{path.stem}.md": text, **resources["outputs"]}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point relative links at pages of the site, or at the repository."""
    source = ROOT / PAGES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    here = posixpath.dirname(page.file.src_uri)
    pages = {ROOT / file: name for name, file in PAGES.items()}

    def moved(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / link[0]))
        name = pages.get(target, "")
        if target.is_relative_to(DOCS):
            name = target.relative_to(DOCS).as_posix().replace(".ipynb", ".md")
        file = files.get_file_from_path(name)
        if file is not None and file.inclusion.is_included():
            return posixpath.relpath(name, here or ".")
        if not target.exists():
            return link[0]  # MkDocs reports it
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.repo_url}/{kind}/main/{target.relative_to(ROOT).as_posix()}"

    return LINK.sub(moved, markdown)
