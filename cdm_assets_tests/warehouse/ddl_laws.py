"""What holds of DDL plans on every engine that executes them; a test module gives each a database of its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from shutil import copyfile
from typing import Any, Final
from unittest import mock

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.access import ACCESS_FILE
from cdm_assets.catalog.reading import CANONICAL, read_catalog
from cdm_assets.warehouse import ddl
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import SchemaMismatch, create_missing
from cdm_assets.warehouse.ddl_apply import DdlFailed, DdlReport, apply_ddl
from cdm_assets.warehouse.ddl_plan import plan_ddl
from cdm_assets.warehouse.ddl_record import recorded_steps
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import SOURCES, write_catalog

INTERFACE: Final = """
entity: customer
description: Every customer known on that date.
kind: state
owners: ["team:customer-data"]
spine: h_customer
key: [customer_id]
columns:
  - {name: customer_id, from: h_customer.customer_id, required: true, description: 100% of the customers' numbers}
  - {name: email, from: s_customer_details.email}
"""
MART: Final = """
mart: customer_360
layer: cs_360_db
description: All that is known of each customer.
owners: ["team:customer-data"]
publish: true
key: [customer_id]
one_row_per: customer.customer_id
columns:
  - {name: customer_id, type: string(8), required: true}
  - {name: email, type: string(40), pii: direct}
  - {name: spent, type: "decimal(18,2)", required: true}
"""
SCORE: Final = """
source: score
description: Scores that models write.
delivery: delta
files:
  {path: "cdm_ingest_db/{date}/score.csv", format: csv, may_be_absent: true, may_be_empty: true, ingest_table: score}
owners: ["team:data-science"]
columns:
  - {name: customer_id, type: string(8), key: true}
  - {name: score_date, header: business_date, type: date, required: true}
  - {name: points, type: integer}
rules:
  - {rule: dated, column: score_date, on_failure: reject}
feeds:
  hubs: {customer: [customer_id]}
"""
Fresh = Callable[[Tables], Warehouse]
"""Opens a new, empty database."""
PUBLISHED: Final = "cdm_publish_db.customer_360"


def small_tables(folder: Path, *, mart: str = MART, schema_prefix: str = "") -> Tables:
    """The tables of the small site, with an entity, a mart that is published, and the roles that ship."""
    sources = {**SOURCES, "score": SCORE}
    shipped = write_catalog(folder, sources, interface={"customer": INTERFACE}, marts={"customer_360": mart})
    copyfile(CANONICAL / ACCESS_FILE, shipped / ACCESS_FILE)
    return Tables(read_catalog(shipped=shipped), schema_prefix=schema_prefix)


@contextmanager
def short_calendar(dates: DateRange = DateRange(date(2024, 1, 1), date(2024, 1, 31))) -> Iterator[None]:  # noqa: B008
    """The calendar of a month: filling the whole one takes longer than all the rest."""
    with mock.patch.multiple(ddl, CALENDAR_FIRST=dates.first, CALENDAR_LAST=dates.last):
        yield


def run(warehouse: Warehouse, *statements: str) -> None:
    """Execute statements in one transaction."""
    with warehouse.transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def apply(warehouse: Warehouse, *allow: str) -> DdlReport:
    """Plan and apply."""
    return apply_ddl(warehouse, plan_ddl(warehouse), allow=allow, run_id="test")


def states(warehouse: Warehouse) -> dict[str, int]:
    """How many steps the record has in each state."""
    found: dict[str, int] = {}
    with warehouse.connection() as connection:
        for step in recorded_steps(connection, warehouse.tables):
            found[step.state] = found.get(step.state, 0) + 1
    return found


@contextmanager
def failing_at(warehouse: Warehouse, number: int, *, after: bool = False) -> Iterator[None]:
    """The statement of that number, counting those that change the schema, fails before or after it was executed."""
    seen = 0

    def count(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal seen
        if statement.split(None, 1)[0].upper() in ("CREATE", "ALTER", "COMMENT", "GRANT", "DO"):
            seen += 1
            if seen == number:
                raise sa.exc.OperationalError(statement, {}, Exception("the power went off"))

    event = "after_cursor_execute" if after else "before_cursor_execute"
    sa.event.listen(warehouse.engine, event, count)
    try:
        yield
    finally:
        sa.event.remove(warehouse.engine, event, count)


class DdlLaws:
    """The laws. `fresh` and `tables` are fixtures of the module."""

    def test_an_empty_database_becomes_what_the_catalog_declares(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        plan = plan_ddl(warehouse)
        assert [step.number for step in plan.steps] == list(range(1, len(plan.steps) + 1))
        report = apply_ddl(warehouse, plan, run_id="first")
        assert (len(report.done), report.left, report.resumed_at) == (len(plan.steps), (), None)
        assert report.created_tables == len(tables.metadata.sorted_tables)
        assert plan_ddl(warehouse).is_empty
        assert states(warehouse) == {"done": len(plan.steps)}
        assert create_missing(warehouse) == 0
        again = apply(warehouse)
        assert (again.done, list(again.lines())) == ((), ["The database is what the catalog declares; nothing to do"])

    def test_what_loads_create_by_themselves_lacks_at_most_roles(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        create_missing(warehouse)
        assert {step.kind for step in plan_ddl(warehouse).steps} <= {"create role", "grant"}
        apply(warehouse)
        assert plan_ddl(warehouse).is_empty

    def test_a_missing_column_is_added_and_loaded_dates_are_to_be_loaded_again(
        self, fresh: Fresh, tables: Tables
    ) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        loads = tables["cdp_metadata.partition_load"]
        run(
            warehouse,
            "drop view cdm_publish_db.customer_360_current",
            f"alter table {PUBLISHED} drop column email",
            f"insert into {loads.fullname} values ('{PUBLISHED}', '2024-01-01', 5, 'run', '2024-01-02 00:00:00')",
        )
        with pytest.raises(SchemaMismatch, match=r"lacks email(.|\n)*cdm setup"):
            create_missing(warehouse)
        report = apply(warehouse)
        assert [step.kind for step in report.done][:2] == ["add column", "create view"]
        assert report.marked == 1
        with warehouse.connection() as connection:
            marks = tables["cdp_metadata.stale_partition"].c
            rows = connection.execute(sa.select(marks.table_key, marks.reason)).all()
        assert [tuple(row) for row in rows] == [(PUBLISHED, "got the column email")]
        assert plan_ddl(warehouse).is_empty
        assert create_missing(warehouse) == 0

    def test_a_required_column_waits_for_the_rows_that_have_none(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(
            warehouse,
            f"insert into {PUBLISHED} values ('2024-01-01', 'C1', 'token', 1.5, '2024-01-02 00:00:00', 'run')",
            *(f"drop view {PUBLISHED}_{name}" for name in ("current", "viewer", "viewer_current")),
            f"alter table {PUBLISHED} drop column spent",
        )
        report = apply(warehouse)
        (left,) = report.left
        assert (left.kind, left.object) == ("set not null", f"{PUBLISHED}.spent")
        assert "load them again (`cdm run`)" in "\n".join(report.lines())
        assert create_missing(warehouse) == 0  # loads go on
        run(warehouse, f"update {PUBLISHED} set spent = 2")
        assert not apply(warehouse).left
        assert plan_ddl(warehouse).is_empty

    def test_a_required_column_of_an_empty_table_is_added_at_once(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(warehouse, "alter table itf.customer drop column customer_id")
        assert [step.kind for step in apply(warehouse).done] == ["add column", "set not null"]
        assert plan_ddl(warehouse).is_empty

    def test_a_narrower_number_is_widened_with_the_views_over_it(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(
            warehouse,
            f"insert into {PUBLISHED} values ('2024-01-01', 'C1', 'token', 1.5, '2024-01-02 00:00:00', 'run')",
            *(f"drop view {PUBLISHED}_{name}" for name in ("current", "viewer", "viewer_current")),
            f"alter table {PUBLISHED} alter column spent type decimal(9,2)",
            f"create view {PUBLISHED}_current as select * from {PUBLISHED}",
        )
        report = apply(warehouse)
        assert report.done[0].reason == "is decimal(9,2), declared as decimal(18,2)"
        assert not report.left
        assert plan_ddl(warehouse).is_empty
        with warehouse.connection() as connection:
            assert connection.exec_driver_sql(f"select spent from {PUBLISHED}_viewer_current").scalar() == 1.5

    def test_what_loses_something_waits_for_its_token(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(
            warehouse,
            "alter table itf.customer add column more integer",
            "create table rdv.h_old (k integer)",
            "create view itf.of_mine as select customer_id from itf.customer",
            "alter table ldz.ldz_product alter column price type decimal(20,4)",
        )
        report = apply(warehouse)
        tokens = {step.token for step in report.left}
        assert tokens == {
            *("drop-column:itf.customer.more", "drop-table:rdv.h_old", "drop-view:itf.of_mine"),
            "narrow-column:ldz.ldz_product.price",
        }
        assert not report.done
        text = "\n".join(report.lines())
        assert "not without --allow drop-column:itf.customer.more" in text
        some = apply(warehouse, "drop-table:rdv.h_old", "drop-table:rdv.h_gone")
        assert [step.object for step in some.done] == ["rdv.h_old"]
        assert some.unused_tokens == ("drop-table:rdv.h_gone",)
        assert {step.token for step in some.left} == tokens - {"drop-table:rdv.h_old"}
        assert not apply(warehouse, "all").left
        assert plan_ddl(warehouse).is_empty

    def test_values_that_do_not_fit_are_not_cut(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(
            warehouse,
            "alter table ldz.ldz_product alter column price type decimal(20,2)",
            "insert into ldz.ldz_product (business_date, product_id, price, source_file, source_row, load_ts, run_id) "
            "values ('2024-01-01', 'P1', 123456789012.5, 'f', 1, '2024-01-02 00:00:00', 'run')",
        )
        token = "narrow-column:ldz.ldz_product.price"
        with pytest.raises(DdlFailed, match="goes on here") as failed:
            apply(warehouse, token)
        assert failed.value.step.object == "ldz.ldz_product.price"
        assert states(warehouse)["failed"] == 1
        run(warehouse, "update ldz.ldz_product set price = 1.5")
        report = apply(warehouse, token)
        assert (report.resumed_at, plan_ddl(warehouse).is_empty) == (failed.value.step.number, True)
        assert "failed" not in states(warehouse)

    def test_a_changed_type_keeps_the_values_that_have_one(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(
            warehouse,
            "alter table ldz.ldz_product alter column price type varchar(20)",
            "insert into ldz.ldz_product (business_date, product_id, price, source_file, source_row, load_ts, run_id) "
            "values ('2024-01-01', 'P1', '1.50', 'f', 1, '2024-01-02 00:00:00', 'run')",
        )
        assert not apply(warehouse, "change-type:ldz.ldz_product.price").left
        assert plan_ddl(warehouse).is_empty
        with warehouse.connection() as connection:
            assert connection.exec_driver_sql("select price from ldz.ldz_product").scalar() == 1.5

    def test_changed_comments_are_changed_and_nothing_else(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        run(
            warehouse,
            "comment on table itf.customer is 'Something else'",
            "comment on column itf.customer.customer_id is null",
        )
        (step,) = plan_ddl(warehouse).steps
        assert (step.kind, step.object, len(step.statements)) == ("set comment", "itf.customer", 2)
        apply(warehouse)
        assert plan_ddl(warehouse).is_empty
        with warehouse.connection() as connection:  # a percent sign is one, whatever the driver makes of it elsewhere
            columns = sa.inspect(connection).get_columns("customer", schema="itf")
        assert {c["name"]: c["comment"] for c in columns}["customer_id"] == "100% of the customers' numbers"

    def test_a_view_that_somebody_changed_is_put_right(self, fresh: Fresh, tables: Tables) -> None:
        warehouse = fresh(tables)
        create_missing(warehouse)
        apply(warehouse)
        names = ", ".join(column.name for column in tables[PUBLISHED].c)
        run(warehouse, f"create or replace view {PUBLISHED}_current as select {names} from {PUBLISHED}")
        (step,) = plan_ddl(warehouse).steps
        assert (step.kind, step.reason) == ("create view", "was changed by somebody else")
        apply(warehouse)
        assert plan_ddl(warehouse).is_empty

    def test_a_column_the_catalog_gets_later_reaches_table_and_views(
        self, fresh: Fresh, tables: Tables, tmp_path: Path
    ) -> None:
        warehouse = fresh(tables)
        apply(warehouse)
        later = small_tables(
            tmp_path, mart=MART + "  - {name: age, type: integer}\n", schema_prefix=tables.schema_prefix
        )
        newer = Warehouse(warehouse.engine, later)
        report = apply(newer)
        assert {step.kind for step in report.done} <= {"add column", "create view", "grant"}
        assert plan_ddl(newer).is_empty
        with newer.connection() as connection:
            assert connection.exec_driver_sql(f"select age from {PUBLISHED}_viewer_current").all() == []


class ResumeLaws:
    """What holds where a run stops, also on an engine that commits each statement of DDL by itself."""

    is_transactional = True

    @pytest.mark.parametrize(("number", "after"), [(2, False), (15, True), (40, False), (40, True)])
    def test_a_run_that_fails_goes_on_where_it_stopped(
        self, fresh: Fresh, tables: Tables, number: int, after: bool
    ) -> None:
        warehouse = fresh(tables)
        plan = plan_ddl(warehouse)
        with failing_at(warehouse, number, after=after), pytest.raises(DdlFailed, match="the power went off") as failed:
            apply_ddl(warehouse, plan, run_id="first")
        has_record = number == 40
        with warehouse.connection() as connection:
            was_noted = sa.inspect(connection).has_table("ddl_step", schema="cdp_metadata")
        assert was_noted == has_record or not self.is_transactional
        report = apply(warehouse)
        if self.is_transactional:
            assert [step.object for step in report.done] == [
                step.object for step in plan.steps[failed.value.step.number - 1 :]
            ]
            assert report.resumed_at == (failed.value.step.number if has_record else None)
            assert set(states(warehouse)) == {"done"}
        assert plan_ddl(warehouse).is_empty
        assert set(states(warehouse)) <= {"done", "superseded"}
