"""Column lineage, by example and against sqlglot's reading of the compiled SQL."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.marts.computed import is_computed
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse.engine import fixed_dialect
from cdm_assets.warehouse.lineage import SOME_DATES, Origins, column_lineage, tables_read
from cdm_assets.warehouse.tables import Tables


@pytest.fixture(scope="module")
def loads() -> TableLoads:
    return TableLoads(Tables(read_catalog()))


@pytest.fixture(scope="module")
def lineage(loads: TableLoads) -> dict[str, Mapping[str, Origins]]:
    selects = {key: loads.select(key, SOME_DATES) for key in loads.tables.partitioned}
    return {key: column_lineage(s, loads.tables[key]) for key, s in selects.items() if s is not None}


def test_a_column_goes_back_through_subqueries_unions_and_functions(loads: TableLoads) -> None:
    contact, response = loads.tables["itf.contact"], loads.tables["itf.response"]
    one = sa.select(contact.c.customer_id.label("who"), contact.c.contact_cost.label("cost"))
    other = sa.select(response.c.coupon_upc, sa.literal_column("0"))
    both = sa.union_all(one, other).subquery("both")
    select = sa.select(sa.func.upper(both.c.who).label("customer_id"), sa.func.sum(both.c.cost).label("sales_amount"))
    found = column_lineage(select.group_by(both.c.who), loads.tables["agg.customer_day"])
    assert found == {
        "customer_id": {("itf.contact", "customer_id"), ("itf.response", "coupon_upc")},
        "sales_amount": {("itf.contact", "contact_cost")},
    }


def test_scalar_subqueries_and_windows_count_but_filters_and_joins_do_not(loads: TableLoads) -> None:
    contact, campaign = loads.tables["itf.contact"], loads.tables["itf.campaign"]
    latest = sa.select(sa.func.max(campaign.c.end_date)).scalar_subquery()
    rank = sa.func.row_number().over(partition_by=contact.c.channel, order_by=contact.c.contact_ts)
    select = (
        sa.select(latest.label("business_date"), rank.label("contacts"), sa.func.count().label("units"))
        .select_from(contact.join(campaign, campaign.c.campaign_id == contact.c.campaign_id))
        .where(contact.c.is_control == sa.true())
    )
    assert column_lineage(select, loads.tables["agg.customer_day"]) == {
        "business_date": {("itf.campaign", "end_date")},
        "contacts": {("itf.contact", "channel"), ("itf.contact", "contact_ts")},
        "units": frozenset(),
    }


def test_a_hash_key_goes_back_to_the_key_columns_of_the_landing_zone(
    lineage: Mapping[str, Mapping[str, Origins]],
) -> None:
    ldz = "ldz.ldz_response"
    assert lineage["rdv.l_response"]["customer_hk"] == {(ldz, "household_id")}
    assert lineage["rdv.l_response"]["offer_hk"] == {(ldz, "coupon_upc"), (ldz, "campaign_id")}
    assert {table for table, _ in lineage["rdv.h_customer"]["customer_hk"]} == {
        *("ldz.ldz_customer", "ldz.ldz_contact", "ldz.ldz_response", "ldz.ldz_transaction"),
        *("ldz.ldz_account", "ldz.ldz_click", "ldz.ldz_experiment_assignment"),
    }
    assert ("ldz.ldz_customer", "email") in lineage["rdv.s_customer_demographics"]["hashdiff"]


def test_a_published_column_goes_back_step_by_step_to_its_source(lineage: Mapping[str, Mapping[str, Origins]]) -> None:
    assert lineage["cdm_publish_db.customer_360"]["email"] == {("cs_360_db.customer_360", "email")}
    assert lineage["cs_360_db.customer_360"]["email"] == {("itf.customer", "email")}
    assert lineage["itf.customer"]["email"] == {("rdv.s_customer_demographics", "email")}
    assert lineage["rdv.s_customer_demographics"]["email"] == {("ldz.ldz_customer", "email")}


def test_every_origin_is_a_column_of_a_table_that_the_select_reads(
    loads: TableLoads, lineage: Mapping[str, Mapping[str, Origins]]
) -> None:
    for key, columns in lineage.items():
        select = loads.select(key, SOME_DATES)
        assert select is not None
        for table, column in frozenset().union(*columns.values()):
            assert column in loads.tables[table].c
            assert table in tables_read(select)


def test_only_audit_columns_are_without_a_source_in_the_select(
    loads: TableLoads, lineage: Mapping[str, Mapping[str, Origins]]
) -> None:
    for key, columns in lineage.items():
        missing = set(loads.tables[key].c.keys()) - set(columns)
        assert missing <= {"load_ts", "run_id", "rec_src"}, key


def test_the_lineage_of_all_tables_takes_less_than_a_second(loads: TableLoads) -> None:
    selects = {key: loads.select(key, SOME_DATES) for key in loads.tables.partitioned}
    began = time.process_time()
    for key, select in selects.items():
        if select is not None:
            column_lineage(select, loads.tables[key])
    assert time.process_time() - began < 1


def test_sqlglot_finds_the_same_lineage_in_the_compiled_sql(
    loads: TableLoads, lineage: Mapping[str, Mapping[str, Origins]]
) -> None:
    schema: dict[str, Any] = {}
    for table in loads.tables.metadata.sorted_tables:
        schema.setdefault(str(table.schema), {})[table.name] = dict.fromkeys(table.c.keys(), "text")
    dialect = fixed_dialect("duckdb")
    dialect.paramstyle, dialect.positional = "named", False
    for key, columns in lineage.items():
        select = loads.select(key, SOME_DATES)
        assert select is not None
        sql = str(select.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
        tree = qualify(sqlglot.parse_one(sql, read="duckdb"), schema=schema, dialect="duckdb")
        by_sqlglot = _SqlglotLineage().of(build_scope(tree))
        by_database = {name for name in columns if not is_computed(select.selected_columns[name])}
        assert {name: by_sqlglot[name] for name in by_database} == {name: columns[name] for name in by_database}, key


def test_a_column_that_python_computes_goes_back_to_what_it_is_computed_from(
    lineage: Mapping[str, Mapping[str, Origins]],
) -> None:
    summary = lineage["metrics.experiment_summary"]
    assert {("agg.customer_unit_day", "sales_amount"), ("agg.customer_day", "baskets")} <= summary["p_value"]
    assert ("itf.experiment", "treatment_share") in summary["sample_ratio_p_value"]
    assert not {("itf.experiment", "treatment_share")} & summary["p_value"]


class _SqlglotLineage:
    """Column lineage from sqlglot's scopes, each output column worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Origins] = {}

    def of(self, scope: Any) -> dict[str, Origins]:
        return {e.alias_or_name: self._column(scope, n) for n, e in enumerate(scope.expression.selects)}

    def _column(self, scope: Scope, position: int) -> Origins:
        selected: Any = scope.expression
        place = (id(scope), position)
        if place not in self._known:
            if scope.set_operation_scopes:
                parts = [self._column(part, position) for part in scope.set_operation_scopes]
                self._known[place] = frozenset().union(*parts)
            else:
                self._known[place] = self._expression(scope, selected.selects[position])
        return self._known[place]

    def _expression(self, scope: Scope, expression: Any) -> Origins:
        found: set[tuple[str, str]] = set()
        subqueries = {id(s.expression): s for s in scope.subquery_scopes}
        for node in expression.walk(prune=lambda node: id(node) in subqueries):
            if id(node) in subqueries:
                found |= frozenset().union(*self.of(subqueries[id(node)]).values())
            elif isinstance(node, exp.Column):
                source = scope.sources[node.table]
                if isinstance(source, exp.Table):
                    found.add((f"{source.db}.{source.name}", node.name))
                else:
                    found |= self.of(source)[node.name]
        return frozenset(found)
