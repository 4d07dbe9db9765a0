"""The ablation: resumable, the same data for all, a table of means and spreads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from skimage import data, io

from napari_baryir import steps
from napari_baryir.errors import DataError, InputError
from napari_baryir.steps import Steps
from napari_baryir.training import ablation as module
from napari_baryir.training.ablation import (
    IDENTITY_FILE,
    SCORES,
    Ablation,
    collect,
    load_ablation,
    main,
    run_ablation,
    to_table,
)
from napari_baryir.training.evaluate import INPUT
from napari_baryir.training.evaluate.unseen import MIXTURES, UNSEEN

SHIPPED = Path(__file__).parents[1] / "training/ablation.toml"


@pytest.fixture
def tiny(tmp_path: Path) -> Ablation:
    """Two variants of a tiny recipe, two steps each."""
    (tmp_path / "clean").mkdir()
    io.imsave(tmp_path / "clean/face.png", data.astronaut()[:32, 200:240], check_contrast=False)
    return Ablation(
        recipe="smoke",
        output=str(tmp_path / "runs"),
        clean=str(tmp_path / "clean"),
        seeds=(0,),
        images=1,
        overrides=(
            "network.width=4",
            "data.patch=32",
            "data.validation_side=32",
            "data.validation_images=1",
            "data.batch={noise=2, haze=1}",
            "steps=2",
            "checkpoint_every=1",
            "validate_every=2",
            "device=cpu",
            "precision=float32",
        ),
        unseen=("salt and pepper",),
        variants={
            "L1 only": ("losses.barycenter_weight=0", "losses.residual_weight=0"),
            "full": (),
        },
    )


def finish(ablation: Ablation) -> Path:
    """Run to the end."""
    return steps.finish(run_ablation(ablation))


def test_it_trains_measures_and_goes_on_where_it_was_stopped(
    tiny: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run_ablation(tiny)
    assert next(running).doing == "training"
    running.close()  # after one step of the first variant
    taken: list[int] = []
    train = module.loop.train

    def watched(recipe: Any) -> Any:
        training = Steps(train(recipe))
        for progress in training:
            taken.append(progress.step)
            yield progress
        return training.result

    monkeypatch.setattr(module.loop, "train", watched)
    table = finish(tiny).read_text("utf-8")
    assert taken == [2, 1, 2]  # the first variant went on, the second began
    header, _, *rows = table.splitlines()
    assert header == "| PSNR (dB) | input | L1 only | full |"
    names = [row.split("|")[1].strip() for row in rows if row.startswith("|")]
    noise = ["noise 15", "noise 25", "noise 50"]
    assert names == [*noise, "haze", "**mean of seen**", "salt and pepper", "**mean of unseen**"]
    finish(tiny)
    assert taken == [2, 1, 2]  # nothing is done twice


def test_the_table_has_means_and_spreads_over_the_seeds() -> None:
    means = {
        INPUT: {"haze": [12.0, 12.0, 12.0], "snow": [20.0, 20.0, 20.0]},
        "full": {"haze": [19.0, 20.0, 21.0], "snow": [22.0, 22.0, 22.0]},
        "L1 only": {"haze": [18.0, 18.0, 18.0], "snow": [23.0, 24.0, 25.0]},
    }
    assert to_table(means, ["snow"]).splitlines() == [
        "| PSNR (dB) | input | full | L1 only |",
        "| --- | --- | --- | --- |",
        "| haze | 12.00 | 20.00 ± 1.00 | 18.00 ± 0.00 |",
        "| **mean of seen** | 12.00 | 20.00 ± 1.00 | 18.00 ± 0.00 |",
        "| snow | 20.00 | 22.00 ± 0.00 | 24.00 ± 1.00 |",
        "| **mean of unseen** | 20.00 | 22.00 ± 0.00 | 24.00 ± 1.00 |",
        "",
        "Seeds that all have finished: 3",
    ]


def test_mixtures_are_neither_seen_nor_unseen_in_the_table() -> None:
    means = {
        method: {"haze": [12.0], "snow": [20.0], "mixture rain + noise": [16.0]}
        for method in (INPUT, "full")
    }
    rows = to_table(means, ["snow"], ["mixture rain + noise"]).splitlines()[2:-2]
    assert [row.split("|")[1].strip() for row in rows] == [
        "haze",
        "**mean of seen**",
        "snow",
        "**mean of unseen**",
        "mixture rain + noise",
        "**mean of mixtures**",
    ]


def pretend(ablation: Ablation, variant: str, seed: int, psnr: int) -> Path:
    """Scores as if a run were finished."""
    folder = Path(ablation.recipe_of(variant, seed).output)
    folder.mkdir(parents=True)
    rows = [f"{i},haze,{variant},{psnr + i}" for i in (0, 2)]
    (folder / SCORES).write_text("\n".join(["image,domain,method,psnr", *rows]) + "\n")
    return folder


def test_only_seeds_that_all_variants_have_finished_are_compared(tiny: Ablation) -> None:
    both = tiny.model_copy(update={"seeds": (0, 1)})
    assert collect(both) == {}
    pretend(both, "full", 0, 20)
    pretend(both, "full", 1, 30)
    assert collect(both) == {}
    pretend(both, "L1 only", 1, 10)
    assert collect(both) == {"full": {"haze": [31.0]}, "L1 only": {"haze": [11.0]}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"overrides": ["steps=3"]}, "steps"),
        ({"images": 2}, "images"),
        ({"unseen": ("snow",)}, "unseen"),
        ({"mixtures": ("mixture haze + rain",)}, "mixtures"),
        ({"clean": "others/clean"}, "clean"),
        ({"variants": {"L1 only": (), "full": ()}}, "losses"),
    ],
)
def test_a_finished_run_of_other_settings_is_refused(
    tiny: Ablation, change: dict[str, Any], named: str
) -> None:
    folder = pretend(tiny, "L1 only", 0, 20)
    with pytest.raises(DataError, match="made with other values"):  # of nobody knows what
        next(run_ablation(tiny))
    identity = tiny.identity_of(tiny.recipe_of("L1 only", 0))
    (folder / IDENTITY_FILE).write_text(json.dumps(identity))
    assert next(run_ablation(tiny)).variant == "full"
    if "overrides" in change:
        change = {"overrides": (*tiny.overrides, *change["overrides"])}
    with pytest.raises(DataError, match=f"other values of {named}; "):
        next(run_ablation(tiny.model_copy(update=change)))


def test_the_shipped_ablation_is_whole() -> None:
    ablation = load_ablation(SHIPPED, ["steps=5", "images=3", "clean=photos"])
    assert list(ablation.variants) == ["L1 only", "+ barycenter", "+ residual", "full"]
    assert len(ablation.seeds) >= 3
    assert (ablation.images, ablation.clean) == (3, "photos")
    recipes = [ablation.recipe_of(variant, 1) for variant in ablation.variants]
    assert {r.steps for r in recipes} == {5}
    assert [(r.losses.barycenter_weight > 0, r.losses.residual_weight > 0) for r in recipes] == [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    ]
    # The same but for those two weights, and their names.
    same = {r.model_dump_json(exclude={"name", "output", "losses"}) for r in recipes}
    assert len(same) == 1
    assert {r.losses.fidelity for r in recipes} == {"l1"}
    assert not recipes[0].data.in_turn  # mixtures are new to all of them
    assert set(ablation.unseen) <= set(UNSEEN)
    assert set(ablation.mixtures) == set(MIXTURES)


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('recipe = "smoke"\noutput = "o"\nclean = "c"\nunseen = []\n')
    with pytest.raises(InputError, match="variants"):
        load_ablation(path)
    path.write_text(path.read_text() + '[variants]\n"+ a" = []\n"a" = []\n')
    with pytest.raises(InputError, match="differ in more"):
        load_ablation(path)
    assert main([]) == 2
    assert main([str(tmp_path / "nowhere.toml")]) == 2
    assert "there is no" in capsys.readouterr().err
