"""The package as others get it: imports, the wheel, the README's commands, habits of the code."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

import napari_baryir
from napari_baryir.files import write_image

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src/napari_baryir", "training", "sample_data")
GUI = ("napari", "qtpy", "magicgui")
LARGE = ("torch", "numpy", "pydantic", "PIL", "importlib.metadata")  # a tenth of a second is left


def modules() -> Iterator[Path]:
    """Every module of the package, where it lies in the repository."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.is_relative_to(ROOT / folder / "widgets"):
                yield path


def imported_name(path: Path) -> str:
    """The name that a module is installed by."""
    relative = path.relative_to(ROOT).with_suffix("")
    parts = relative.parts[1:] if relative.parts[0] == "src" else ("napari_baryir", *relative.parts)
    return ".".join(part for part in parts if part != "__init__")


def run_python(code: str, *options: str, cwd: Path = ROOT) -> str:
    """Run code in a fresh interpreter and return what it writes."""
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_but_widgets_imports_napari_or_qt() -> None:
    names = [imported_name(path) for path in modules()]
    assert "napari_baryir.training.degradations" in names
    code = (
        f"import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"sys.stdout.write(' '.join(set({GUI}) & set(sys.modules)))"
    )
    assert run_python(code) == ""


@pytest.mark.parametrize(
    "code",
    [
        "import napari_baryir",
        "from napari_baryir.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_large_is_imported_before_it_is_needed(code: str) -> None:
    ask = f"sys.stdout.write('large: ' + str(sorted(set({LARGE}) & set(sys.modules))))"
    written = run_python(f"import sys\n{code}\n{ask}")
    assert written.endswith("large: []")


def test_restoring_a_photograph_loads_only_what_it_needs(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8), axes="YXS")
    code = (
        "import sys\nfrom napari_baryir.cli import main\n"
        "assert main(['restore', 'a.png', '-o', 'b.png']) == 0\n"
        "large = {'scipy', 'skimage', 'matplotlib', 'zarr', 'PIL.Hdf5StubImagePlugin'}\n"
        "sys.stdout.write('large: ' + str(sorted(large & set(sys.modules))))"
    )
    assert run_python(code, cwd=tmp_path).endswith("large: []")


def test_every_public_name_is_there() -> None:
    names = napari_baryir.__all__
    assert names
    assert [name for name in names if getattr(napari_baryir, name, None) is None] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree without fetching anything."""
    folder = tmp_path_factory.mktemp("wheel")
    # Built elsewhere: in the tree, files of an earlier build would get into the wheel.
    build = (
        "import sys\n"
        "from setuptools import setup\n"
        "sys.argv = ['setup.py', '-q', 'build', '-b', sys.argv[1] + '/build', "
        "'egg_info', '-e', sys.argv[1], 'bdist_wheel', '-b', sys.argv[1] + '/wheel', "
        "'-d', sys.argv[1]]\n"
        "setup()"
    )
    command = [sys.executable, "-c", build, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_module_recipe_and_weight(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {imported_path(path) for path in modules()} | {"napari_baryir/py.typed"}
    for pattern in ("*.safetensors", "*.md"):
        expected |= {imported_path(p) for p in (ROOT / FOLDERS[0] / "weights").glob(pattern)}
    recipes = {imported_path(p) for p in (ROOT / "training" / "recipes").glob("*.toml")}
    assert "napari_baryir/training/recipes/smoke.toml" in recipes
    assert sorted((expected | recipes) - inside) == []
    licences = {name.rpartition("/licenses/")[2] for name in inside}
    assert {"LICENSE", "LICENSE-WEIGHTS"} <= licences


def test_licence_of_every_weights_file_is_named() -> None:
    from napari_baryir.weights.registry import REGISTRY

    text = (ROOT / "LICENSE-WEIGHTS").read_text("utf-8")
    sections = re.findall(r"^(\S+)\.safetensors\n +([\w.-]+)", text, re.M)
    assert dict(sections) == {card.name: card.licence for card in REGISTRY.values()}
    assert set(project()["license"].split(" AND ")) >= {card.licence for card in REGISTRY.values()}


def test_the_source_distribution_can_be_tested_read_and_cited(wheel: Path) -> None:
    listed = set((wheel.parent / "napari_baryir.egg-info" / "SOURCES.txt").read_text().split("\n"))
    wanted = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "LICENSE-WEIGHTS", "README.md"}
    wanted |= {"constraints.txt", "constraints-lowest.txt", ".ci/run", "docs/images/demo.jpg"}
    for pattern in ("tests/**/*.py", "docs/*.md", "training/**/*.toml", "src/*/weights/*.md"):
        wanted |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
    wanted |= {path.relative_to(ROOT).as_posix() for path in modules()}
    assert sorted(wanted - listed) == []
    assert [name for name in listed if "__pycache__" in name] == []


@pytest.mark.skipif(importlib.util.find_spec("twine") is None, reason="needs twine, of extra dev")
def test_an_index_would_take_the_wheel(wheel: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if importlib.util.find_spec("check_wheel_contents") is not None:
        command = [sys.executable, "-m", "check_wheel_contents", "--no-config", str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def test_lowest_versions_are_the_lower_bounds() -> None:
    extras = project()["optional-dependencies"]
    needs = map(Requirement, [*project()["dependencies"], *extras["all"], *extras["test"]])
    bounds = {
        (need.name, each.version)
        for need in needs
        for each in need.specifier
        # constraints.txt pins torch; setuptools builds, and is not run.
        if each.operator == ">=" and need.name not in ("torch", "setuptools")
    }
    text = (ROOT / "constraints-lowest.txt").read_text("utf-8")
    assert set(re.findall(r"^([\w-]+)==(\S+)$", text, re.M)) == bounds


def test_conda_recipe_is_as_pyproject_says() -> None:
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
    other_names = {"dask": "dask-core", "matplotlib": "matplotlib-base", "torch": "pytorch"}
    needs = {}
    for need in map(Requirement, project()["dependencies"]):
        needs[other_names.get(need.name, need.name)] = set(str(need.specifier).split(","))
    needs["python"] = {project()["requires-python"]}
    lines = [line.partition(" ") for line in recipe["requirements"]["run"]]
    assert {name: set(versions.split(",")) for name, _, versions in lines} == needs
    assert recipe["context"]["version"] == project()["version"]
    assert recipe["about"]["license"] == project()["license"]
    (script,) = project()["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [" = ".join(script)]


def imported_path(path: Path) -> str:
    """Where a file of the repository lies in a wheel."""
    relative = path.relative_to(ROOT)
    parts = relative.parts[1:] if relative.parts[0] == "src" else ("napari_baryir", *relative.parts)
    return "/".join(parts)


def test_the_installed_wheel_runs_on_its_own(wheel: Path, tmp_path: Path) -> None:
    """Installed beside the libraries of this environment, and found before its working tree."""
    place = tmp_path / "installed"
    words = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(place)]
    subprocess.run([sys.executable, "-m", "pip", *words, str(wheel)], check=True)
    assert [each.stem for each in (place / "bin").iterdir()] == ["napari-baryir"]
    code = (
        "import contextlib, io, sys\n"
        f"sys.path.insert(0, {str(place)!r})\n"
        "import napari_baryir, napari_baryir.sample_data, napari_baryir.training\n"
        "from importlib.metadata import entry_points, version\n"
        "from napari_baryir.cli import COMMANDS\n"
        "from napari_baryir.training.recipe import load_recipe\n"
        "load_recipe('smoke')\n"
        "assert version('napari-baryir') == napari_baryir.__version__\n"
        "(script,) = entry_points(group='console_scripts', name='napari-baryir')\n"
        "for command in COMMANDS:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as text:\n"
        "        with contextlib.suppress(SystemExit):\n"
        "            script.load()(['help', command])\n"
        "    assert f'napari-baryir {command}' in text.getvalue(), command\n"
        "for room in (napari_baryir, napari_baryir.sample_data, napari_baryir.training):\n"
        "    sys.stdout.write(f'{room.__file__}\\n')"
    )
    for file in run_python(code, "-P", cwd=tmp_path).splitlines():
        assert Path(file).is_relative_to(place)


LINK = re.compile(r"(!?)\[[^]]*\]\(([^)]+)\)")
"""A link of a page in Markdown, and whether it shows a picture."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_is_published_has_the_links_and_addresses_of_its_repository(tmp_path: Path) -> None:
    notebooks = [path.relative_to(ROOT) for path in (ROOT / "docs/notebooks").glob("*.ipynb")]
    assert notebooks
    for name in ("README.md", "pyproject.toml", ".ci/set-links", *notebooks):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = ["bash", str(tmp_path / ".ci" / "set-links"), "someone/baryir", "v1.2.3"]
    subprocess.run(command, check=True)
    repository = "https://github.com/someone/baryir"
    expected = []
    for picture, link in LINK.findall((ROOT / "README.md").read_text("utf-8")):
        if not link.startswith(("https://", "#")):
            assert (ROOT / link.partition("#")[0]).exists(), link
            link = f"{repository}/{'raw' if picture else 'blob'}/v1.2.3/{link}"
        expected.append((picture, link))
    assert sum(bool(picture) for picture, _ in expected) > 3
    assert LINK.findall((tmp_path / "README.md").read_text("utf-8")) == expected
    table = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))["project"]
    assert table["urls"] == {
        "Homepage": repository,
        "Documentation": "https://someone.github.io/baryir/",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Source": repository,
        "Bug Tracker": f"{repository}/issues",
        "User Support": f"{repository}/issues",
    }
    for name in notebooks:
        before, after = ((root / name).read_text("utf-8") for root in (ROOT, tmp_path))
        address = f"https://colab.research.google.com/github/{{}}/blob/main/{name.as_posix()}"
        ours, theirs = address.format("OWNER/napari-baryir"), address.format("someone/baryir")
        assert before.count(ours) == before.count("OWNER") == 1
        assert after == before.replace(ours, theirs)


def test_workflows_run_the_commands_of_ci_on_every_python_that_is_named() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8"))
    linux, others = workflow["jobs"]["linux"], workflow["jobs"]["others"]
    matrix = linux["strategy"]["matrix"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project()["classifiers"]))
    pythons = [*matrix["python"], *(each["python"] for each in matrix["include"])]
    assert set(pythons) == set(named)
    assert others["strategy"]["matrix"]["python"] == [named[0], named[-1]]
    assert linux["steps"][-1]["run"] == ".ci/run ${{ matrix.variant }}"
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    variants = {*matrix["variant"], *(each.get("variant", "") for each in matrix["include"])}
    for variant in variants - {""}:
        assert f"[{variant}|" in script or f"|{variant}]" in script
    install, test = (step["run"] for step in others["steps"][-2:])
    last = script.rstrip().splitlines()[-1].replace("[all,", "[${{ matrix.qt }},")
    assert install in last.replace(".venv/bin/", "")
    assert last.endswith(test.removeprefix("python "))


def readme_commands() -> list[str]:
    """The README's one-line commands that set everything up."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)\n```", text, flags=re.DOTALL)
    return [block for block in blocks if block.startswith("python3 -m venv")]


def test_the_readme_has_two_commands_and_ci_runs_the_one_that_tests() -> None:
    demo, tests = readme_commands()
    assert demo.endswith("napari-baryir demo")
    assert tests.endswith("-m pytest")
    assert "\n" not in demo + tests
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert script.rstrip().splitlines()[-1] == tests


def test_nothing_leans_on_the_shared_folder() -> None:
    for name in ("README.md", ".ci/run", "pyproject.toml"):
        assert "shared/" not in (ROOT / name).read_text("utf-8"), name


def test_one_version_everywhere() -> None:
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    (cited,) = re.findall(r"^version: (.+)", (ROOT / "CITATION.cff").read_text(), re.M)
    assert napari_baryir.__version__ == cited == version


def test_modules_have_names_that_say_something() -> None:
    assert {path.stem for path in modules()}.isdisjoint({"utils", "util", "helpers", "misc"})
