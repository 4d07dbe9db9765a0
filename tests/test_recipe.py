"""Recipes: what ships is valid, overrides reach everywhere, mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_baryir.errors import InputError
from napari_baryir.network.variants import VARIANTS
from napari_baryir.training.recipe import load_recipe, shipped_recipes


def test_recipes_of_other_editors_are_read_or_refused_in_words(tmp_path: Path) -> None:
    text = shipped_recipes()["smoke"].read_text("utf-8")
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_recipe(str(path)) == load_recipe("smoke")
    umlaut = b"# f\xfcr mich\n" + text.encode()
    for content in (text.encode("utf-16"), text.encode("utf-16-be"), umlaut):
        path.write_bytes(content)
        with pytest.raises(InputError, match="save it as UTF-8"):
            load_recipe(str(path))


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid_and_say_what_they_are(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert f"napari-baryir train {name}" in recipe.description
    assert recipe.licence


def test_the_promised_recipes_ship() -> None:
    assert {"smoke", "photo-compact", "microscopy-compact"} <= set(shipped_recipes())


def test_overrides_are_toml_or_plain_words_and_reach_into_tables() -> None:
    overrides = ["steps=7", "output=runs/my run", "data.train=some/photos", "resume=false"]
    overrides += ["ema=0.5", "losses.windows=[1, 3]", 'data.batch={noise=1, "low light"=2}']
    recipe = load_recipe("smoke", overrides)
    assert (recipe.steps, recipe.output, recipe.resume, recipe.ema) == (
        7,
        "runs/my run",
        False,
        0.5,
    )
    assert recipe.data.train == "some/photos"
    assert recipe.losses.windows == (1, 3)
    assert recipe.data.batch == {"noise": 1, "low light": 2}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepps=7", "stepps"),
        ("data.colour=1", r"data\.colour"),
        ("steps", "not key=value"),
        ("steps=0", "steps"),
        ("steps.more=1", "not a table"),
        ("data.patch=100", "multiples of 8"),
        ("data.batch={snow=1}", "no domain"),
        ("network.backbone=resnet", "network"),
        ("network.kernel_size=12", "odd number"),
        ("seed=-1", "seed"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe("smoke", [override])


@pytest.mark.parametrize("key", ["in_turn", "side_by_side"])
def test_mixtures_need_two_domains(key: str) -> None:
    with pytest.raises(InputError, match=f"{key} needs two domains"):
        load_recipe("smoke", ["data.batch={noise=2}", f"data.{key}=1"])


def test_files_and_names_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(shipped_recipes()["smoke"].read_text("utf-8"), "utf-8")
    assert load_recipe(str(path)) == load_recipe("smoke")
    with pytest.raises(InputError, match=r"neither a file nor one of .*smoke"):
        load_recipe("smok")
    path.write_text("steps = = 3", "utf-8")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe(str(path))


def test_a_recipe_is_frozen_and_survives_being_written(tmp_path: Path) -> None:
    recipe = load_recipe("smoke")
    with pytest.raises(ValueError, match="frozen"):
        recipe.steps = 3
    assert type(recipe).model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("name", "variant"), [("photo-compact", "compact-photo"), ("microscopy-compact", "compact")]
)
def test_shipped_models_are_named_variants(name: str, variant: str) -> None:
    assert load_recipe(name).network == VARIANTS[variant]
