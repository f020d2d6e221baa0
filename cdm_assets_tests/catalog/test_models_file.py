"""models.yaml and what else in the catalog is about predictions: what it takes, and each mistake with file and line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from cdm_assets.catalog.models import MODELS_FILE
from cdm_assets.catalog.reading import CANONICAL, CatalogError, read_catalog
from cdm_assets.catalog.rules import KnownModel, ScoreRange
from cdm_assets_tests.loading.prediction_site import CUSTOMER_360, MODELS, shipped, write_prediction_catalog

TABLE = shipped("sources", "prediction_table")
ENTITY = shipped("interface", "prediction")
PREDICTION_DAY = shipped("marts", "prediction_day")
SCORE_DAY = shipped("marts", "score_day")

Mistakes = Callable[..., list[str]]


@pytest.fixture
def mistakes(tmp_path: Path) -> Mistakes:
    def read(*, models: str = MODELS, **changed: str) -> list[str]:
        folder = write_prediction_catalog(tmp_path / "catalog", models=models, **changed)
        with pytest.raises(CatalogError) as raised:
            read_catalog(shipped=folder)
        return [str(fault).removeprefix(f"{folder}/") for fault in raised.value.faults]

    return read


def test_the_shipped_models_have_one_that_is_primary_and_stand_in_the_rules() -> None:
    catalog = read_catalog()
    assert catalog.primary_model == "response_model"
    rules = [r for r in catalog.sources["prediction_table"].rules if isinstance(r, KnownModel | ScoreRange)]
    assert [rule.models for rule in rules] == [catalog.models] * 2
    published = [column.name for column in catalog.published_columns(catalog.marts["customer_360"])]
    assert published[-7:] == [
        *("score", "score_decile", "score_label", "score_model", "score_model_version", "score_date"),
        "score_age_days",
    ]


def test_a_sites_models_take_the_place_of_those_that_ship(tmp_path: Path) -> None:
    text = (CANONICAL / MODELS_FILE).read_text(encoding="utf-8").replace("max_score: 1", "max_score: 100")
    (tmp_path / MODELS_FILE).write_text(text.replace("response_model:", "site_model:"), encoding="utf-8")
    catalog = read_catalog(tmp_path)
    assert catalog.primary_model == "site_model"
    (rule,) = (r for r in catalog.sources["prediction_file"].rules if isinstance(r, ScoreRange))
    assert rule.models["site_model"].max_score == Decimal(100)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("primary: true", "primary: false", "models.yaml:1: the file: expected one model with `primary: true`"),
        ("max_age_days: 100", "max_age_days: 100\n    primary: true", "found response_model, churn_model"),
        (
            "min_score: -10",
            "min_score: 10",
            "models.yaml:10: models.churn_model: min_score 10 is not below max_score 10",
        ),
        ('version: "2.0"', 'version: "1.0"', "models.yaml:3: models.response_model: version 1.0 is declared twice"),
        (
            "2017-03-03",
            "soon",
            "models.yaml:6: models.response_model.versions.1.valid_from: Input should be a valid date",
        ),
        ("max_age_days: 2", "max_age: 2", "models.yaml:7: models.response_model.max_age: unknown key; did you mean"),
        ("least_share_scored: 0.5", "least_share_scored: 5", "least_share_scored: Input should be less than or equal"),
    ],
)
def test_a_mistake_in_models_yaml_is_told_with_its_line(mistakes: Mistakes, old: str, new: str, expected: str) -> None:
    assert old in MODELS
    lines = mistakes(models=MODELS.replace(old, new, 1))
    assert any(expected in line for line in lines), lines


@pytest.mark.parametrize(
    ("file", "text", "old", "new", "expected"),
    [
        (
            "prediction_table",
            TABLE,
            "column: score_date, on",
            "column: label, on",
            "dated needs a date column, 'label' is",
        ),
        (
            "prediction_table",
            TABLE,
            "version: model_version, date",
            "version: score, date",
            "known_model needs a string",
        ),
        (
            "prediction_table",
            TABLE,
            "score: score, model",
            "score: label, model",
            "score_range needs a integer or decimal",
        ),
        ("prediction_table", TABLE, "entity: customer", "entity: client", "known names unknown entity 'client'"),
        (
            "prediction_table",
            TABLE,
            "entity: customer",
            "entity: prediction",
            "'prediction' must be a state entity with a",
        ),
        ("prediction_table", TABLE, "customer, on_failure: reject", "customer, on_failure: warn", "can only `reject`"),
        ("prediction_table", TABLE, "  may_be_empty: true\n", "", "ingest_table: set `may_be_absent: true` and"),
        ("prediction_table", TABLE, "format: csv", "format: parquet", "writes these files itself, as plain csv"),
        (
            "prediction_table",
            TABLE,
            "header: business_date, ",
            "",
            "a date column with `header: business_date` must say",
        ),
        ("prediction_day", PREDICTION_DAY, "judges: [prediction_table, ", "judges: [", "known needs one mart with"),
        ("prediction_day", PREDICTION_DAY, "judges: [prediction_table", "judges: [nothing", "judges unknown source"),
        (
            "prediction_day",
            PREDICTION_DAY,
            "judges: [",
            "judges: [customer, ",
            "'customer' has no `known` rule to judge",
        ),
        (
            "score_day",
            SCORE_DAY,
            "at_most: most_drift",
            "at_most: drifted",
            "bounds name columns that are not declared",
        ),
        ("score_day", SCORE_DAY, ", at_most: most_drift", "", "a bound needs `at_least`, `at_most` or both"),
        ("customer_360", CUSTOMER_360, "publish: true", "publish: false", "enriched_by is about what is published"),
        ("customer_360", CUSTOMER_360, "by: customer_score", "by: score", "enriched_by names unknown mart 'score'"),
        (
            "customer_360",
            CUSTOMER_360,
            "by: customer_score",
            "by: score_day",
            "score_day has key (model_name), this mart",
        ),
        (
            "customer_360",
            CUSTOMER_360,
            "name: name",
            "name: score_date",
            "column 'score_date' is in customer_score and in",
        ),
        ("prediction", ENTITY, "kind: state", "kind: event", "prefer: latest is for state entities"),
        (
            "prediction",
            ENTITY,
            "[s_prediction_table.label, s_prediction_file.label]",
            "[s_prediction_file.label, s_prediction_table.label]",
            "prefer: latest needs the same satellites in every column that names several",
        ),
    ],
)
def test_a_mistake_about_predictions_is_told(
    mistakes: Mistakes, file: str, text: str, old: str, new: str, expected: str
) -> None:
    assert old in text
    lines = mistakes(**{file: text.replace(old, new, 1)})
    assert any(expected in line for line in lines), lines


def test_rules_about_models_need_models(tmp_path: Path) -> None:
    folder = write_prediction_catalog(tmp_path / "catalog")
    (folder / MODELS_FILE).unlink()
    with pytest.raises(CatalogError, match=r"known_model: no model is declared; declare them in models\.yaml"):
        read_catalog(shipped=folder)
