"""A column that the catalog got later: added to tables with rows, then filled by loading the dates that were marked."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from cdm_assets.warehouse.ddl_apply import apply_ddl
from cdm_assets.warehouse.ddl_plan import plan_ddl
from cdm_assets_tests.loading.contract_site import CALENDAR, ContractSite, at, differences
from cdm_assets_tests.warehouse.ddl_laws import run, short_calendar

_LATER = (
    *("ldz.ldz_visit.spent", "rdv.l_visit.spent", "rdv.s_person_details.name", "itf.person.name"),
    *("agg.person_day.spent", "cs_360_db.person_360.spent_each", "cdm_publish_db.person_360.visits"),
)


_QUICK = ("ldz.ldz_visit.spent",)


@pytest.mark.parametrize(
    "columns",
    [
        _LATER,
        *(pytest.param((name,), marks=() if name in _QUICK else pytest.mark.slow) for name in _LATER),
    ],
    ids=["all", *_LATER],
)
def test_marked_dates_fill_a_column_as_a_clean_load_does(tmp_path: Path, columns: tuple[str, ...]) -> None:
    site = ContractSite(tmp_path)
    for number, name in enumerate(("Ann", "Ann", "Eve")):
        site.write("person", number, [("p1", name, None), ("p2", "Bob", None)])
        site.write("visit", number, [(f"v{number}", "p1", "home", Decimal(number), at(f"2024-03-0{number + 1} 12:00"))])
    site.load_all()
    for view in ("current", "viewer", "viewer_current"):
        run(site.warehouse, f"drop view cdm_publish_db.person_360_{view}")
    for column in columns:
        table, name = column.rsplit(".", 1)
        run(site.warehouse, f"alter table {table} drop column {name}")

    with short_calendar(CALENDAR):
        report = apply_ddl(site.warehouse, plan_ddl(site.warehouse), run_id="ddl")
        assert report.marked > 0
        site.load_stale()
        assert differences(site.content(), site.clean_content()) == {}
        assert not apply_ddl(site.warehouse, plan_ddl(site.warehouse), run_id="ddl").left
        assert plan_ddl(site.warehouse).is_empty
    site.close()
