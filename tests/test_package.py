"""The package as others get it: imports, the wheel, the README's commands, habits of the code."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_every_public_name_is_there() -> None:
    code = (
        "import napari_baryir as n, sys\n"
        "sys.stdout.write(' '.join(x for x in n.__all__ if getattr(n, x, None) is None))"
    )
    assert run_python(code) == ""


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


def imported_path(path: Path) -> str:
    """Where a file of the repository lies in a wheel."""
    relative = path.relative_to(ROOT)
    parts = relative.parts[1:] if relative.parts[0] == "src" else ("napari_baryir", *relative.parts)
    return "/".join(parts)


def test_the_installed_wheel_finds_its_recipes_and_samples(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import napari_baryir, napari_baryir.sample_data\n"
        "from napari_baryir.training.recipe import load_recipe\n"
        "load_recipe('smoke')\n"
        "sys.stdout.write(napari_baryir.__file__ + ' ' + napari_baryir.sample_data.__file__)"
    )
    for file in run_python(code, "-P", cwd=tmp_path).split():
        assert Path(file).is_relative_to(tmp_path)


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
    assert run_python("import napari_baryir, sys; sys.stdout.write(napari_baryir.__version__)") == (
        version
    )
    assert cited == version


def test_modules_stay_small_and_have_names_that_say_something() -> None:
    for path in modules():
        assert path.stem not in ("utils", "util", "helpers", "misc"), path
        assert len(path.read_text("utf-8").splitlines()) < 400, f"{path} is long: split it by idea"
