"""The ablation: resumable, the same data for all, a table of means and spreads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from skimage import data, io

from napari_baryir.errors import InputError
from napari_baryir.training import ablation as module
from napari_baryir.training.ablation import (
    SCORES,
    Ablation,
    collect,
    load_ablation,
    main,
    run_ablation,
    to_table,
)
from napari_baryir.training.evaluate import INPUT
from napari_baryir.training.unseen import UNSEEN

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
    running = run_ablation(ablation)
    while True:
        try:
            next(running)
        except StopIteration as stop:
            table: Path = stop.value
            return table


def test_it_trains_measures_and_goes_on_where_it_was_stopped(
    tiny: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run_ablation(tiny)
    assert next(running).doing == "training"
    running.close()  # after one step of the first variant
    steps: list[int] = []
    train = module.loop.train

    def watched(recipe: Any) -> Any:
        training = train(recipe)
        while True:
            try:
                progress = next(training)
            except StopIteration as stop:
                return stop.value
            steps.append(progress.step)
            yield progress

    monkeypatch.setattr(module.loop, "train", watched)
    table = finish(tiny).read_text("utf-8")
    assert steps == [2, 1, 2]  # the first variant went on, the second began
    header, _, *rows = table.splitlines()
    assert header == "| PSNR (dB) | input | L1 only | full |"
    names = [row.split("|")[1].strip() for row in rows if row.startswith("|")]
    noise = ["noise 15", "noise 25", "noise 50"]
    assert names == [*noise, "haze", "**mean of seen**", "salt and pepper", "**mean of unseen**"]
    finish(tiny)
    assert steps == [2, 1, 2]  # nothing is done twice


def test_the_table_has_means_and_spreads_over_the_seeds() -> None:
    means = {
        INPUT: {"haze": [12.0, 12.0, 12.0], "snow": [20.0, 20.0, 20.0]},
        "full": {"haze": [19.0, 20.0, 21.0], "snow": [22.0, 22.0, 22.0]},
        "L1 only": {"haze": [18.0], "snow": [23.0]},
    }
    assert to_table(means, ["snow"]).splitlines() == [
        "| PSNR (dB) | input | full | L1 only |",
        "| --- | --- | --- | --- |",
        "| haze | 12.00 | 20.00 ± 1.00 | 18.00 |",
        "| **mean of seen** | 12.00 | 20.00 ± 1.00 | 18.00 |",
        "| snow | 20.00 | 22.00 ± 0.00 | 23.00 |",
        "| **mean of unseen** | 20.00 | 22.00 ± 0.00 | 23.00 |",
        "",
        "Seeds: full 3, L1 only 1",
    ]


def test_only_finished_runs_count(tiny: Ablation) -> None:
    assert collect(tiny) == {}
    folder = Path(tiny.recipe_of("full", 0).output)
    folder.mkdir(parents=True)
    (folder / SCORES).write_text("image,domain,method,psnr\na,haze,full,20\nb,haze,full,22\n")
    assert collect(tiny) == {"full": {"haze": [21.0]}}


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
    assert not recipes[0].data.in_turn  # else mixtures would not be unseen
    assert set(ablation.unseen) <= set(UNSEEN)


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
