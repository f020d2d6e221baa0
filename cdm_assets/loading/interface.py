"""The interface: vault tables mapped onto canonical entities.

A *state* entity's partition holds every key of its spine known on that date, with the satellites as of that date; an
*event* entity's partition holds the events whose event time falls on it, whenever their file came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Catalog, EntityKind, InterfaceColumn, InterfaceEntity, Preference
from cdm_assets.loading.stamp import in_range, next_or_never
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

_Origins = dict[str, sa.FromClause]
"""Vault tables by name, as they take part in an entity's select."""
_Choice = Callable[[Mapping[str, ColumnElement[Any]]], ColumnElement[Any]]
"""One of several values, given by their references."""


def interface_select(tables: Tables, entity: InterfaceEntity, dates: DateRange) -> sa.Select[Any]:
    """The canonical rows of `entity` for `dates`, one column for each of its table's, business_date first."""
    build = _state_select if entity.kind is EntityKind.STATE else _event_select
    return build(tables, entity, dates)


def interface_reach(entity: InterfaceEntity, upstream: str, changed: Sequence[DateRange]) -> Sequence[DateRange]:
    """The dates of `entity` that change with the vault table `upstream`, which changed as of `changed`.

    A hub that is not the spine only lends the text of its key, which never changes.
    """
    name = upstream.split(".")[1]
    return [] if name.startswith("h_") and name != entity.spine else changed


def _state_select(tables: Tables, entity: InterfaceEntity, dates: DateRange) -> sa.Select[Any]:
    """Keys are numbered; dates are first joined with the numbers alone, by which the rows' texts are then looked up.

    A join that starts from the few rows of the calendar would be done and written by a single thread.
    """
    calendar, known = tables["cdp_metadata.calendar"], _numbered_keys(tables, entity, dates)
    grid = (
        sa.select(calendar.c.business_date, known.c.number)
        .join_from(calendar, known, known.c.business_date <= calendar.c.business_date)
        .where(in_range(calendar.c.business_date, dates))
        .cte("grid")
        .prefix_with("MATERIALIZED", dialect="duckdb")
    )
    joined: Any = grid.join(known, known.c.number == grid.c.number)
    histories = {}
    for name in _satellites_used(tables.catalog, entity):
        history = histories[f"s_{name}"] = _numbered_history(tables, name, known, dates)
        on_that_date = sa.and_(
            history.c.number == grid.c.number,
            history.c.business_date <= grid.c.business_date,
            history.c.valid_until > grid.c.business_date,
        )
        joined = joined.outerjoin(history, on_that_date)

    def referenced(reference: str) -> ColumnElement[Any]:
        table, name = reference.split(".")
        if table not in histories:
            return known.c.business_date if name == "business_date" else known.c[_label(reference)]
        column = histories[table].c[name]
        return sa.case((column == sa.true(), sa.true()), else_=sa.false()) if name == "is_listed" else column

    choose = _latest(histories) if entity.prefer is Preference.LATEST else _first
    columns = [_canonical(column, referenced, choose).label(column.name) for column in entity.columns]
    return sa.select(grid.c.business_date, *columns).select_from(joined)


def _numbered_keys(tables: Tables, entity: InterfaceEntity, dates: DateRange) -> sa.CTE:
    """The keys of the spine known by the end of the range: a number, the hash key, the first date, the key's parts."""
    spine = tables[f"rdv.{entity.spine}"].alias("spine")
    origins: _Origins = {entity.spine: spine}
    joined = _join_hubs(tables, entity, origins)
    hash_key = spine.c[_hash_key(entity.spine)]
    parts = [r for r in _references(entity) if r.startswith("h_") and not r.endswith(".business_date")]
    return (
        sa.select(
            sa.func.row_number().over(order_by=hash_key).label("number"),
            hash_key,
            spine.c.business_date,
            *(origins[r.split(".")[0]].c[r.split(".")[1]].label(_label(r)) for r in dict.fromkeys(parts)),
        )
        .select_from(joined)
        .where(spine.c.business_date <= dates.last)
        .cte("known")
    )


def _numbered_history(tables: Tables, satellite: str, known: sa.CTE, dates: DateRange) -> sa.Subquery:
    """A satellite's rows with the number of their key and `valid_until`, the date of the key's next row."""
    table = tables[f"rdv.s_{satellite}"]
    hash_key = f"{tables.catalog.satellites[satellite][1].parent}_hk"
    following = next_or_never(table.c.business_date, partition_by=table.c[hash_key])
    return (
        sa.select(*table.c, known.c.number, following.label("valid_until"))
        .join_from(table, known, known.c[hash_key] == table.c[hash_key])
        .where(table.c.business_date <= dates.last)
        .subquery(f"s_{satellite}")
    )


def _event_select(tables: Tables, entity: InterfaceEntity, dates: DateRange) -> sa.Select[Any]:
    event = tables[f"rdv.{entity.spine}"].alias("spine")
    origins: _Origins = {entity.spine: event}
    joined = _join_hubs(tables, entity, origins)

    def referenced(reference: str) -> ColumnElement[Any]:
        table, name = reference.split(".")
        return origins[table].c[name]

    columns = [_canonical(column, referenced).label(column.name) for column in entity.columns]
    return (
        sa.select(event.c.event_date.label("business_date"), *columns)
        .select_from(joined)
        .where(in_range(event.c.event_date, dates))
    )


def _join_hubs(tables: Tables, entity: InterfaceEntity, origins: _Origins) -> Any:
    """Join the hubs of a link or event spine that the entity's columns name; `origins` gains them."""
    joined = spine = origins[entity.spine]
    for reference in _references(entity):
        table = reference.split(".")[0]
        if table.startswith("h_") and table not in origins:
            hub = origins[table] = tables[f"rdv.{table}"].alias(table)
            joined = joined.join(hub, hub.c[_hash_key(table)] == spine.c[_hash_key(table)])
    return joined


def _hash_key(table: str) -> str:
    return f"{table[2:]}_hk"


def _label(reference: str) -> str:
    return reference.replace(".", "_")


def _references(entity: InterfaceEntity) -> list[str]:
    return [reference for column in entity.columns for reference in column.from_]


def _satellites_used(catalog: Catalog, entity: InterfaceEntity) -> list[str]:
    used = {reference.split(".")[0] for reference in _references(entity)}
    return [name for name in catalog.satellites if f"s_{name}" in used]


def _first(values: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    """The first value there is."""
    return sa.func.coalesce(*values.values())


def _latest(histories: Mapping[str, sa.Subquery]) -> _Choice:
    """The value of the satellite whose row, as of the date, began last; the first of those that began together."""

    def choose(values: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
        began = {table: histories[table].c.business_date for table in (reference.split(".")[0] for reference in values)}
        preferred = []
        for reference, value in values.items():
            mine = began[reference.split(".")[0]]
            others = [sa.or_(other.is_(None), other <= mine) for other in began.values() if other is not mine]
            preferred.append((sa.and_(mine.is_not(None), *others), value))
        return sa.case(*preferred)

    return choose


def _canonical(
    column: InterfaceColumn, referenced: Callable[[str], ColumnElement[Any]], choose: _Choice = _first
) -> ColumnElement[Any]:
    """The preferred of the references, its codes converted, else the default."""
    values = {reference: referenced(reference) for reference in column.from_}
    value = choose(values) if len(values) > 1 else next(iter(values.values()))
    if column.codes:
        value = sa.case(*((value == code, canonical) for code, canonical in column.codes.items()), else_=value)
    return value if column.default is None else sa.func.coalesce(value, column.default)
