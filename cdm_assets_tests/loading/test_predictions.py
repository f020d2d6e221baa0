"""Predictions from the table and from files: what is rejected, what is published, and that no order changes it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
import sqlglot

from cdm_assets.loading.ingest_export import export_changed, fingerprints
from cdm_assets.loading.rehearsal import partitions_affected
from cdm_assets.loading.stamp import Stamp
from cdm_assets.loading.table_loads import LoadContext, NothingToLoad
from cdm_assets.operations.plan import changed_files, mark_work, register_dates
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import ENGINES, fixed_dialect
from cdm_assets.warehouse.tables import AUDIT_COLUMNS
from cdm_assets_tests.loading.prediction_site import DATES, LAST, PredictionSite, day, open_prediction_site, scored
from cdm_assets_tests.small_site import at

HALF = Decimal("0.5")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PredictionSite]:
    with open_prediction_site(tmp_path) as site:
        yield site


def test_a_prediction_written_by_sql_is_published_from_its_date_on(site: PredictionSite) -> None:
    site.customers(["1", "2"])
    site.write(scored("1", "0.5", 2, label="likely"))
    site.load()
    assert site.published(1) == {"1": None, "2": None}
    (one, two) = site.site.rows("cdm_publish_db.customer_360", where={"business_date": day(4)})
    shown = {name: one[name] for name in one if name.startswith("score")}
    assert shown == {
        "score": HALF,
        "score_decile": 1,
        "score_label": "likely",
        "score_model": "response_model",
        "score_model_version": "1.0",
        "score_date": day(2),
        "score_age_days": 2,
    }
    assert all(two[name] is None for name in shown)
    assert len(one["name"]) == 64, "tokens as ever"
    assert site.failed_blocking() == []


FAULTY = [
    (scored("1", "0.5", 1, model="no_model"), "known_model:", "expected a model of models.yaml in a version that is"),
    (scored("1", "0.5", 1, version="9"), "known_model:", "model_version = '9'"),
    (scored("1", "0.5", 1, version="2.0"), "known_model:", "score_date = '2017-03-02'"),
    (scored("1", "1.000001", 1), "score_range:", "found score = '1.000001', model_name = 'response_model'"),
    (scored("1", "-0.000001", 1), "score_range:", "expected a score from 0 to 1 of response_model, from -10 to 10 of"),
    (scored("1", "-10.1", 1, model="churn_model"), "score_range:", "score = '-10.100000'"),
    (scored("1", None, 1), "required:score", "expected a value, found nothing"),
    (scored("", "0.5", 1), "required:customer_id", "expected a value, found nothing"),
    (scored("9", "0.5", 1), "known:customer_id", "expected a customer known on the business date, found '9'"),
    (scored("3", "0.5", 1), "known:customer_id", "expected a customer known on the business date, found '3'"),
    (scored("1", "0.5", 1, label="x" * 41), "type:label", "expected at most 40 characters"),
]


def test_each_faulty_prediction_is_rejected_with_its_line_and_text_and_the_others_load(site: PredictionSite) -> None:
    site.customers(["1", "2"])
    site.customers(["3"], 3)
    site.write(scored("2", "0.25", 1), *(row for row, *_ in FAULTY))
    site.load()
    lines = (site.folder / "landing" / f"cdm_ingest_db/{day(1)}/ml_prediction.csv").read_text().splitlines()
    rejected = site.rejected()
    assert [lines[line - 1] for _, line, _, _, text in rejected] == [text for *_, text in rejected]
    assert {when for when, *_ in rejected} == {day(1)}
    assert len(rejected) == len(FAULTY)
    for row, rule, reason in FAULTY:
        text = ",".join(row[name] for name in ("model_name", "model_version", "customer_id"))
        found = [(r, why) for _, _, r, why, raw in rejected if raw.startswith(text) and reason in why]
        assert any(each.startswith(rule) for each, _ in found), (row, rejected)
    assert site.published(1) == {"1": None, "2": Decimal("0.25")}
    assert site.failed_blocking() == [], "records read are loaded or rejected, and all else is in order"


def test_scores_at_the_ends_of_the_range_and_a_version_on_its_first_day_are_valid(site: PredictionSite) -> None:
    site.customers(["1", "2"])
    site.write(scored("1", "0", 2, version="2.0"), scored("2", "1", 2))
    site.write(scored("1", "-10", 2, model="churn_model"), scored("2", "10", 2, model="churn_model"))
    site.load()
    assert site.rejected() == []
    assert site.published(2) == {"1": Decimal(0), "2": Decimal(1)}, "only the primary model enriches"
    assert len(site.site.rows("agg.prediction_day")) == 4


def test_of_two_predictions_for_one_customer_the_last_scored_counts_and_the_other_is_rejected(
    site: PredictionSite,
) -> None:
    site.customers(["1"])
    later = at(2017, 3, 9)
    site.write(scored("1", "0.9", 1), scored("1", "0.1", 1, scored_at=later), scored("1", "0.5", 1))
    site.load()
    assert site.published(1) == {"1": Decimal("0.1")}
    assert [rule for _, _, rule, *_ in site.rejected()] == ["unique:model_name+customer_id"] * 2


def test_a_file_whose_records_are_of_another_date_has_them_rejected(site: PredictionSite) -> None:
    site.customers(["1"])
    site.send_file(2, scored("1", "0.5", 1))
    site.load()
    ((when, line, rule, why, _),) = site.rejected("prediction_file")
    assert (when, line, rule) == (day(2), 2, "dated:score_date")
    assert why == "expected the business date of the file, found '2017-03-02'"
    assert site.published(2) == {"1": None}


def test_the_latest_counts_whichever_way_it_came_and_on_one_date_the_tables(site: PredictionSite) -> None:
    site.customers(["1", "2"])
    site.write(scored("1", "0.1", 1), scored("2", "0.1", 1), scored("1", "0.3", 3))
    site.send_file(2, scored("1", "0.2", 2, label="of a file"))
    site.send_file(3, scored("1", "0.9", 3))
    site.load()
    assert [site.published(n)["1"] for n in range(1, 5)] == [Decimal(t) for t in ("0.1", "0.2", "0.3", "0.3")]
    labels = [row["label"] for row in site.site.rows("itf.prediction") if row["score_date"] == day(2)]
    assert labels == ["of a file"], "all of a row comes from one of the two"
    assert {site.published(n)["2"] for n in range(1, 5)} == {Decimal("0.1")}


def test_an_unchanged_score_is_new_again(site: PredictionSite) -> None:
    site.customers(["1"])
    site.write(*(scored("1", "0.5", number) for number in (1, 3)))
    site.load()
    rows = site.site.rows("cs_360_db.customer_score")
    assert [row["score_age_days"] for row in rows] == [0, 1, 0, 1, 2]


def test_deciles_go_from_the_highest_score_and_equal_ones_by_customer(site: PredictionSite) -> None:
    names = [f"{n:02}" for n in range(20)]
    site.customers(names)
    site.write(*(scored(name, "0.5" if n < 2 else f"0.{99 - n}", 1) for n, name in enumerate(names)))
    site.load(DateRange(day(0), day(1)))
    deciles = {row["customer_id"]: row["score_decile"] for row in site.site.rows("cs_360_db.customer_score")}
    expected = sorted(names, key=lambda name: (-(50 if name in ("00", "01") else 99 - int(name)), name))
    assert deciles == {name: position // 2 + 1 for position, name in enumerate(expected)}


MODEL_TABLES = {"rdv.s_prediction_table", "itf.prediction", "agg.prediction_day", "cs_360_db.customer_score"}


def _all_scored(site: PredictionSite, *, without: int | None = None) -> None:
    site.customers(["1", "2"])
    for number in range(LAST + 1):
        if number != without:
            site.write(scored("1", f"0.{number + 1}", number), scored("2", "0.5", number))
    site.load()


def test_a_late_prediction_repairs_exactly_its_date(site: PredictionSite) -> None:
    _all_scored(site, without=2)
    assert site.published(2)["1"] == Decimal("0.2"), "the one before"
    site.write(scored("1", "0.33", 2), scored("2", "0.5", 2))
    loaded = site.load()
    assert site.published(2)["1"] == Decimal("0.33")
    assert loaded.keys() >= MODEL_TABLES
    assert loaded["cdm_publish_db.customer_360"] == {day(2)}
    assert loaded["cs_360_db.customer_score"] == loaded["agg.prediction_day"] == {day(2)}
    assert loaded["agg.score_day"] == {day(2), day(3)}, "the drift of a date is told against the one before"
    assert not loaded.keys() & {"itf.customer", "cs_360_db.customer_360", "rdv.h_customer", "ldz.ldz_customer"}


def test_the_rehearsal_foretells_what_a_late_prediction_repairs(site: PredictionSite) -> None:
    _all_scored(site, without=2)
    site.write(scored("1", "0.33", 2), scored("9", "0.5", 2))
    site.export()
    context = LoadContext(site.warehouse, site.site.area, "", "")
    foretold = partitions_affected(site.loads, context, {"prediction_table": [day(2)]})
    assert foretold == site.load()


def test_replaced_and_deleted_predictions_repair_their_dates_until_the_next_prediction(site: PredictionSite) -> None:
    _all_scored(site)
    site.delete(business_date=day(2), customer_id="1")
    site.write(scored("1", "0.77", 2))
    loaded = site.load()
    assert site.published(2)["1"] == Decimal("0.77")
    assert loaded["cdm_publish_db.customer_360"] == {day(2)}
    site.delete(business_date=day(2))
    loaded = site.load()
    assert site.published(2) == {"1": Decimal("0.2"), "2": HALF}
    assert loaded["cdm_publish_db.customer_360"] == {day(2)}
    file = site.folder / "landing" / f"cdm_ingest_db/{day(2)}/ml_prediction.csv"
    assert len(file.read_text().splitlines()) == 1, "a file without records"
    site.delete()
    site.load()
    assert site.site.rows("cs_360_db.customer_score") == []
    assert site.load() == {}


def test_a_customer_who_becomes_known_late_brings_its_predictions_in_and_takes_them_out_again(
    site: PredictionSite,
) -> None:
    site.customers(["1"])
    site.write(scored("1", "0.5", 1), scored("7", "0.5", 2))
    site.load()
    assert [rule for _, _, rule, *_ in site.rejected()] == ["known:customer_id"]
    before = site.content()
    site.customers(["7"], 1)
    site.load()
    assert site.rejected() == []
    assert site.published(3)["7"] == HALF
    site.site.path("customer", day(1)).unlink()
    site.load()
    assert site.content() == before


def test_a_customer_first_seen_after_a_prediction_was_not_known_to_it(site: PredictionSite) -> None:
    site.customers(["1"])
    site.customers(["7"], 4)
    site.write(scored("7", "0.5", 2))
    site.load()
    assert [(when, rule) for when, _, rule, *_ in site.rejected()] == [(day(2), "known:customer_id")]
    assert site.published(LAST)["7"] is None
    site.write(scored("7", "0.6", 5))
    site.load()
    assert site.published(LAST)["7"] == Decimal("0.6")


def _by_table(site: PredictionSite) -> None:
    site.write(scored("1", "0.2", 2), scored("2", "0.7", 2), scored("1", "1.5", 3), scored("8", "0.4", 2))


def _by_file(site: PredictionSite) -> None:
    site.send_file(2, scored("1", "0.9", 2), scored("3", "0.3", 2), scored("8", "0.1", 2))


def _customers(site: PredictionSite) -> None:
    site.customers(["3", "8"], 1)


def _table_again(site: PredictionSite) -> None:
    site.delete(customer_id="2")
    site.write(scored("2", "0.6", 2), scored("2", "0.1", 4))


_ORDERS: Final = list(permutations([_by_table, _by_file, _customers]))


@pytest.mark.parametrize(
    "order", [*_ORDERS[::2], *(pytest.param(order, marks=pytest.mark.slow) for order in _ORDERS[1::2])]
)
def test_any_order_of_three_arrivals_publishes_the_same(
    tmp_path: Path, order: tuple[Callable[[PredictionSite], None], ...]
) -> None:
    with open_prediction_site(tmp_path) as site:
        site.customers(["1", "2"])
        site.load()
        for arrive in order:
            arrive(site)
            site.load()
        _table_again(site)
        site.load()
        found = site.content()
        assert site.failed_blocking() == []
    clean = tmp_path / "clean"
    clean.mkdir()
    with open_prediction_site(clean) as site:
        site.customers(["1", "2"])
        for arrive in (_by_table, _by_file, _customers, _table_again):
            arrive(site)
        site.load()
        expected = site.content()
    assert _without_times(found) == _without_times(expected)
    assert expected["cdm_publish_db.customer_360"]


@pytest.mark.slow
def test_loading_day_by_day_backwards_gives_the_same_as_one_range(site: PredictionSite, tmp_path: Path) -> None:
    _all_scored(site)
    expected = site.content()
    folder = tmp_path / "backwards"
    folder.mkdir()
    with open_prediction_site(folder) as other:
        other.customers(["1", "2"])
        for number in range(LAST + 1):
            other.write(scored("1", f"0.{number + 1}", number), scored("2", "0.5", number))
        for number in reversed(range(LAST + 1)):
            other.load(DateRange(day(number), day(number)))
        other.load()
        assert other.content() == expected
        for number in range(LAST + 1):
            for name in ("coverage", "drift", "stale_scores"):
                assert other.check("agg.score_day", name, number) == site.check("agg.score_day", name, number)


def test_a_refused_file_of_a_model_does_not_hold_back_the_customers(site: PredictionSite) -> None:
    site.customers(["1"])
    site.send_file(1, scored("1", "0.5", 1))
    site.load()
    site.site.land_text("prediction_file", "nonsense\n1\n", day(1))
    with site.warehouse.transaction() as connection:
        register_dates(connection, site.loads, DATES, site.site.area, "run")
        mark_work(connection, site.loads, changed_files(connection, site.loads, DATES))
    one = DateRange(day(1), day(1))
    context = LoadContext(site.warehouse, site.site.area, "k" * 32, "bad")
    with pytest.raises(NothingToLoad):
        site.loads.load("ldz.ldz_prediction_file", one, context)
    report = site.loads.load("cdm_publish_db.customer_360", one, context)
    assert report.rows == {day(1): 1}
    assert site.published(1) == {"1": HALF}


def test_coverage_warns_where_a_model_scores_too_few(site: PredictionSite) -> None:
    site.customers(["1", "2", "3"])
    site.write(scored("1", "0.5", 1), scored("1", "0.5", 2), scored("2", "0.5", 2))
    site.load()
    assert site.check("agg.score_day", "coverage", 0) == (True, False, None), "no model has scored yet"
    passed, blocks, message = site.check("agg.score_day", "coverage", 1)
    assert (passed, blocks, message) == (False, False, "models that score too few households: 1")
    assert site.check("agg.score_day", "coverage", 2)[0]


def test_scores_that_grow_too_old_warn(site: PredictionSite) -> None:
    site.customers(["1", "2"])
    site.write(scored("1", "0.5", 1), scored("2", "0.5", 1), scored("2", "0.5", 3))
    site.load()
    assert [site.check("agg.score_day", "stale_scores", n)[0] for n in range(1, 6)] == [True, True, True, False, False]
    rows = {row["business_date"]: row["stale_scores"] for row in site.site.rows("agg.score_day")}
    assert rows == {day(1): 0, day(2): 0, day(3): 0, day(4): 1, day(5): 1}


def _psi(new: list[float], old: list[float]) -> float:
    """The index, worked out from its formula."""

    def shares(values: list[float]) -> list[float]:
        counts = [sum(1 for v in values if min(int(v * 10 + 1e-9), 9) == n) for n in range(10)]
        return [(count + 0.5) / (len(values) + 5) for count in counts]

    return sum((p - q) * math.log(p / q) for p, q in zip(shares(new), shares(old), strict=True))


def test_scores_that_drift_warn_and_the_index_is_that_of_the_formula(site: PredictionSite) -> None:
    names = [f"{n:02}" for n in range(40)]
    site.customers(names)
    days = {
        0: [n / 40 for n in range(40)],
        1: [(n + 0.5) / 40 for n in range(40)],
        2: [0.9 + n / 500 for n in range(40)],
        4: [0.05] * 40,
    }
    for number, values in days.items():
        site.write(*(scored(name, f"{value:.6f}", number) for name, value in zip(names, values, strict=True)))
    site.load()
    drift = {row["business_date"]: row["drift"] for row in site.site.rows("agg.score_day")}
    assert drift[day(0)] is None, "nothing before"
    assert drift[day(3)] is None, "no prediction of this date"
    for number, before in ((1, 0), (2, 1), (4, 2)):
        assert float(drift[day(number)]) == pytest.approx(_psi(days[number], days[before]), abs=1e-5)
    assert [site.check("agg.score_day", "drift", n)[0] for n in range(5)] == [True, True, False, True, False]
    message = "models whose scores have drifted: 1"
    assert site.check("agg.score_day", "drift", 2) == (False, False, message)


def test_equal_rows_are_written_out_once_whatever_their_order(site: PredictionSite) -> None:
    rows = [scored(str(n), f"0.{n}", 1, label="a,b\nc" if n == 3 else None) for n in range(1, 5)]
    site.write(*rows)
    (written,) = site.export().written
    assert (written.business_date, written.rows) == (day(1), 4)
    file = site.folder / "landing" / written.file_name
    content, touched = file.read_bytes(), file.stat().st_mtime_ns
    assert b'"a,b\\nc"' in content
    assert site.export().written == []
    site.delete()
    site.write(*reversed(rows))
    assert site.export().written == []
    assert file.stat().st_mtime_ns == touched
    site.delete(customer_id="4")
    site.write(scored("4", "0.4", 1, label=" "))
    (again,) = site.export().written
    assert file.read_bytes() != content
    assert again.fingerprint != written.fingerprint


def test_a_killed_export_writes_the_same_again_and_a_lost_file_comes_back(site: PredictionSite) -> None:
    site.write(scored("1", "0.5", 1))
    with site.warehouse.connection() as connection, connection.begin() as transaction:
        export_changed(connection, site.warehouse.tables, site.site.area, DATES, Stamp("killed"))
        transaction.rollback()
    file = site.folder / "landing" / f"cdm_ingest_db/{day(1)}/ml_prediction.csv"
    content, touched = file.read_bytes(), file.stat().st_mtime_ns
    assert len(site.export().written) == 1
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (content, touched), "left as it is: the same content"
    file.unlink()
    assert len(site.export().written) == 1
    assert file.read_bytes() == content


def test_rows_for_dates_that_are_none_yet_wait(site: PredictionSite) -> None:
    site.write(scored("1", "0.5", LAST + 1), scored("1", "0.5", 1))
    export = site.export()
    assert [each.business_date for each in export.written] == [day(1)]
    assert export.outside == {"prediction_table": [day(LAST + 1)]}
    later = DateRange(day(0), day(LAST) + timedelta(days=1))
    assert [each.business_date for each in site.export(later).written] == [day(LAST + 1)]


def test_a_score_that_publish_does_not_show_fails_the_enrichment_check(site: PredictionSite) -> None:
    _all_scored(site)
    one = DateRange(day(1), day(1))
    checks = site.loads.checks["cdm_publish_db.customer_360"]
    published = site.warehouse.tables["cdm_publish_db.customer_360"]
    with site.warehouse.transaction() as connection:
        assert {f.check for f in checks.run(connection, one)[0] if not f.passed} == set()
        connection.execute(sa.update(published).where(published.c.customer_id == "1").values(score_date=None))
        (failed,) = (f for f in checks.run(connection, one)[0] if not f.passed)
    assert (failed.check, failed.blocks) == ("enrichment", True)
    assert failed.message == "rows of customer_score - rows that show one: 1"


@pytest.mark.parametrize("engine", ENGINES)
def test_what_tells_changed_rows_is_a_statement_of_every_engine(site: PredictionSite, engine: str) -> None:
    tables = site.warehouse.tables
    query = fingerprints(tables, tables.catalog.sources["prediction_table"])
    text = str(query.compile(dialect=fixed_dialect(engine)))
    names = {"mssql": "tsql", "postgresql": "postgres"}
    (parsed,) = sqlglot.parse(text, dialect=names.get(engine, engine))
    assert parsed is not None
    assert "ml_prediction" in text


def _random_step(site: PredictionSite, chance: random.Random) -> None:
    """A model writes, replaces or takes back, by table or by file; or a customer is heard of or withdrawn."""
    number, customer = chance.randint(0, LAST), str(chance.randint(1, 4))
    score = f"{chance.choice([0.1, 0.2, 0.3, 1.5])}"
    kind = chance.choice(["write", "write", "delete", "file", "no file", "customer", "no customer"])
    if kind == "write":
        site.delete(business_date=day(number), customer_id=customer)
        site.write(scored(customer, score, number, version=chance.choice(["1.0", "2.0"])))
    elif kind == "delete":
        site.delete(business_date=day(number))
    elif kind == "file":
        site.send_file(number, scored(customer, score, number), scored("1", "0.4", number))
    elif kind == "customer":
        site.customers([customer], number)
    else:
        source = "prediction_file" if kind == "no file" else "customer"
        site.site.path(source, day(number)).unlink(missing_ok=True)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_random_histories_end_in_what_a_clean_load_gives(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with open_prediction_site(tmp_path) as site:
        site.customers(["1"])
        for _ in range(12):
            for _ in range(chance.randint(1, 3)):
                _random_step(site, chance)
            site.load()
        rows = site.site.rows("cdm_ingest_db.ml_prediction")
        found = site.content()
    clean = tmp_path / "clean"
    clean.mkdir()
    with open_prediction_site(clean) as site:
        for path in (tmp_path / "landing").rglob("*.csv"):
            name = path.relative_to(tmp_path / "landing")
            if name.parts[0] != "cdm_ingest_db":
                (clean / "landing" / name).parent.mkdir(parents=True, exist_ok=True)
                (clean / "landing" / name).write_bytes(path.read_bytes())
        if rows:
            site.write(*rows)
        site.load()
        expected = site.content()
    assert _without_times(found) == _without_times(expected)


def _without_times(content: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        key: [{name: value for name, value in row.items() if name not in AUDIT_COLUMNS} for row in rows]
        for key, rows in content.items()
    }
