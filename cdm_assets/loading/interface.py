"""The interface: vault tables mapped onto canonical entities.

A *state* entity's partition holds every key of its spine known on that date, with the satellites as of that date; an
*event* entity's partition holds the events whose event time falls on it, whenever their file came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Catalog, EntityKind, InterfaceColumn, InterfaceEntity
from cdm_assets.loading.stamp import in_range, next_or_never
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.tables import Tables

_Origins = dict[str, sa.FromClause]
"""Vault tables by name, as they take part in an entity's select."""


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
    catalog = tables.catalog
    calendar = tables["cdp_metadata.calendar"]
    spine = tables[f"rdv.{entity.spine}"].alias("spine")
    origins: _Origins = {entity.spine: spine}
    joined = calendar.join(spine, spine.c.business_date <= calendar.c.business_date)
    joined = _join_hubs(tables, entity, joined, origins)
    for name in _satellites_used(catalog, entity):
        parent = catalog.satellites[name][1].parent
        history = _validity(tables, name, f"{parent}_hk", dates)
        origins[f"s_{name}"] = history
        on_that_date = sa.and_(
            history.c[f"{parent}_hk"] == spine.c[f"{parent}_hk"],
            history.c.business_date <= calendar.c.business_date,
            history.c.valid_until > calendar.c.business_date,
        )
        joined = joined.outerjoin(history, on_that_date)
    columns = [_canonical(column, origins).label(column.name) for column in entity.columns]
    return (
        sa.select(calendar.c.business_date, *columns)
        .select_from(joined)
        .where(in_range(calendar.c.business_date, dates))
    )


def _event_select(tables: Tables, entity: InterfaceEntity, dates: DateRange) -> sa.Select[Any]:
    event = tables[f"rdv.{entity.spine}"].alias("spine")
    origins: _Origins = {entity.spine: event}
    joined = _join_hubs(tables, entity, event, origins)
    columns = [_canonical(column, origins).label(column.name) for column in entity.columns]
    return (
        sa.select(event.c.event_date.label("business_date"), *columns)
        .select_from(joined)
        .where(in_range(event.c.event_date, dates))
    )


def _join_hubs(tables: Tables, entity: InterfaceEntity, joined: Any, origins: _Origins) -> Any:
    """Join the hubs of a link or event spine that the entity's columns name."""
    spine = origins[entity.spine]
    for reference in _references(entity):
        table = reference.split(".")[0]
        if table.startswith("h_") and table not in origins:
            hub = tables[f"rdv.{table}"].alias(table)
            hash_key = f"{table[2:]}_hk"
            origins[table] = hub
            joined = joined.join(hub, hub.c[hash_key] == spine.c[hash_key])
    return joined


def _references(entity: InterfaceEntity) -> list[str]:
    return [reference for column in entity.columns for reference in column.from_]


def _satellites_used(catalog: Catalog, entity: InterfaceEntity) -> list[str]:
    used = {reference.split(".")[0] for reference in _references(entity)}
    return [name for name in catalog.satellites if f"s_{name}" in used]


def _validity(tables: Tables, satellite: str, hash_key: str, dates: DateRange) -> sa.Subquery:
    """A satellite's rows with `valid_until`, the date of the key's next row."""
    table = tables[f"rdv.s_{satellite}"]
    following = next_or_never(table.c.business_date, partition_by=table.c[hash_key])
    return (
        sa.select(*table.c, following.label("valid_until"))
        .where(table.c.business_date <= dates.last)
        .subquery(f"s_{satellite}")
    )


def _canonical(column: InterfaceColumn, origins: _Origins) -> ColumnElement[Any]:
    """The first reference that has a value, its codes converted, else the default."""
    values = [_referenced(reference, origins) for reference in column.from_]
    value = sa.func.coalesce(*values) if len(values) > 1 else values[0]
    if column.codes:
        value = sa.case(*((value == code, canonical) for code, canonical in column.codes.items()), else_=value)
    return value if column.default is None else sa.func.coalesce(value, column.default)


def _referenced(reference: str, origins: _Origins) -> ColumnElement[Any]:
    table, name = reference.split(".")
    column = origins[table].c[name]
    return sa.case((column == sa.true(), sa.true()), else_=sa.false()) if name == "is_listed" else column
