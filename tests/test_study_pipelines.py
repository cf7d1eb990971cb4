"""Studies hand over what they trained: pipelines that predict what was scored, and their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from _asserts import assert_sentence
from noisegate.core.errors import InvalidValue
from noisegate.study import Source, Study, load, run


def make_table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b, noise = rng.normal(size=(3, rows))
    kind = rng.choice(["soft", "hard"], rows)
    total = a + (kind == "soft") + 0.3 * noise
    return pd.DataFrame(
        {
            "width": a,
            "height": 40 + 7 * b,
            "kind": kind,
            "ripe": np.where(total > 0.5, "yes", "no"),
            "grade": np.digitize(total, [0, 1]) + 1,
            "price": 1000 + 40 * total,
        }
    )


TRAIN, TEST = make_table(120, 0), make_table(40, 1)
TARGETS = ["ripe", "grade", "price"]


def study_of(target: str, **words: Any) -> Study:
    call = {"models": "mlp", "recipes": "hidden", "seeds": 2, "epochs": 3, "jobs": 1}
    call |= {"data": TRAIN, "test": TEST, "target": target, "progress": False}
    return run(**call | {"ignore": [each for each in TARGETS if each != target]} | words)


@pytest.fixture(scope="module", params=TARGETS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a target, its study, and the study's folder."""
    folder = tmp_path_factory.mktemp("study")
    return request.param, study_of(request.param, out=folder), folder


def find_error(pipeline: Pipeline, target: str) -> float:
    found = pipeline.predict(TEST)
    if target == "price":
        return float(np.abs(found - TEST[target]).mean())
    assert found.dtype.kind == TEST[target].to_numpy()[:1].dtype.kind.replace("O", "U")
    return float(np.mean(found != TEST[target]))


def test_every_pipeline_predicts_what_was_scored_on_the_test_samples(case: Any) -> None:
    target, study, _ = case
    for recipe, errors in study.tests[0].errors.items():
        for seed, error in enumerate(errors):
            pipeline = study.pipeline("mlp", recipe, seed)
            # Values are subtracted in float32 there.
            assert find_error(pipeline, target) == pytest.approx(error, rel=1e-5)
            assert pipeline["estimator"].max_epochs == next(
                run.history.best.number
                for run in study.find_runs("mlp", recipe)
                if run.seed == seed
            )
    assert set(study.tests[0].errors) == {"none", "hidden"}


def test_the_chosen_recipe_and_the_first_seed_are_the_default_and_in_the_folder(case: Any) -> None:
    target, study, folder = case
    pipeline, loaded = study.pipeline(), load(folder / "pipeline-mlp.noisegate")
    assert pipeline["estimator"].rules == {"hid*:out": 0.5}
    assert find_error(pipeline, target) == find_error(study.pipeline(recipe="hidden"), target)
    for words in ({}, {"samples": 5, "seed": 1}):
        found = loaded.predict(TEST, **words)
        assert np.array_equal(found, pipeline.predict(TEST, **words))
        assert np.array_equal(found, loaded.predict(TEST[TEST.columns[::-1]], **words))


def test_a_clone_of_a_pipeline_is_fitted_on_other_samples(case: Any) -> None:
    target, study, _ = case
    pipeline = study.pipeline()
    before = pipeline.predict(TEST)
    twin = clone(pipeline).set_params(estimator__max_epochs=20)
    assert twin.fit(TEST, TEST[target]).score(TEST, TEST[target]) > 0.5
    assert np.array_equal(pipeline.predict(TEST), before)


def test_images_go_through_a_pipeline(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(90, 8, 8))
    labels = (images[:, :4].mean(axis=(1, 2)) > 0).astype(int)
    for name, part in (("train", slice(60)), ("test", slice(60, None))):
        np.savez(tmp_path / f"{name}.npz", x=images[part], y=labels[part])
    study = run(
        ["cnn", "mlp"],
        "hidden",
        data=tmp_path / "train.npz",
        test=tmp_path / "test.npz",
        target="y",
        seeds=2,
        epochs=2,
        jobs=1,
        out=tmp_path / "out",
        progress=False,
    )
    for score in study.tests:
        wrong = np.mean(study.pipeline(score.model).predict(images[60:]) != labels[60:])
        assert wrong == pytest.approx(score.errors["hidden"][0])
        loaded = load(tmp_path / "out" / f"pipeline-{score.model}.noisegate")
        found = loaded.predict_proba(images[60:])
        assert np.array_equal(found, study.pipeline(score.model).predict_proba(images[60:]))


def test_missing_values_are_imputed_by_a_pipeline() -> None:
    holes = TRAIN.mask(np.random.default_rng(2).random(TRAIN.shape) < 0.1)
    study = study_of("ripe", data=holes.assign(ripe=TRAIN["ripe"]), missing="impute")
    rows = TEST.assign(width=np.nan, kind=None)
    assert study.pipeline().predict(rows).shape == (40,)


def test_what_was_not_scored_is_not_handed_over(case: Any) -> None:
    _, study, _ = case
    for words, name in (
        ({"model": "cnn"}, "model"),
        ({"recipe": "gaussian"}, "recipe"),
        ({"seed": 2}, "seed"),
    ):
        with pytest.raises(InvalidValue, match=f"^study: `{name}` of a pipeline must be one of"):
            study.pipeline(**words)


def test_a_pipeline_reads_tables_as_its_study_did():
    """Missing words, another notation, blanks around words, and dates of a time zone."""
    days = pd.date_range("2024-01-01", periods=240, freq="7h", tz="America/Los_Angeles")
    values = np.random.default_rng(0).normal(size=240)
    table = pd.DataFrame(
        {
            "day": days,
            "code": ["02134" if i % 2 else "00501" for i in range(240)],
            "word": [" u " if i % 3 else "-" for i in range(240)],
            "number": [f"{value:.3f}".replace(".", ",") for value in values],
            "half": np.where(days.hour < 12, "am", "pm"),
        }
    )
    study = run(
        "mlp", "hidden", data=table, target="half", missing="impute", na="-", decimal=",",
        seeds=2, epochs=3, jobs=1,
    )  # fmt: skip
    pipeline = study.pipeline()
    share = study.find_test("mlp").errors["hidden"][0]
    rows = Source(table, "half", missing="impute", na=("-",), decimal=",").read().test
    test = table[table["day"].dt.tz_convert(None).isin(rows.inputs["day"])]
    assert len(test) == rows.rows
    assert np.mean(pipeline.predict(test) != test["half"]) == pytest.approx(share)
    texts = table.assign(day=table["day"].astype(str))
    assert (pipeline.predict(texts) == pipeline.predict(table)).all()
    with assert_sentence(
        InvalidValue,
        "study: `code` must hold text, such as `00501`, `02134`, as in the training rows; got 501 "
        "in row 0 (from 0). Convert the column first.",
    ):
        pipeline.predict(table.assign(code=table["code"].astype(int)))
    with assert_sentence(InvalidValue, "study: inputs must have a row; got none."):
        pipeline.predict(table[:0])


def test_categories_that_only_the_test_file_has_are_noted():
    table = pd.DataFrame({"x": np.arange(80) + 0.5, "c": ["u", "v"] * 40, "y": ["a", "b"] * 40})
    notes = Source(table, "y", test=table.assign(c="new")).read().test.notes
    assert notes == (
        "`c` of the DataFrame has categories that the data lack, `new`: the network gets zeros "
        "for them.",
    )
