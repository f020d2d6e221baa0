"""Rules between the marts' YAML and their selects: the same columns, of the same kind, no PII class lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.catalog.consistency import Located
from cdm_assets.catalog.model import Catalog, Mart
from cdm_assets.catalog.types import PiiClass, TypeKind, strictest
from cdm_assets.loading.marts.registry import MARTS, SAME_DATE_ONLY, MartSelect
from cdm_assets.warehouse.lineage import SOME_DATES, Origins, column_lineage, tables_read
from cdm_assets.warehouse.tables import BUSINESS_DATE, Tables

_SQL_KINDS: Final[Mapping[TypeKind, type[sa.types.TypeEngine[Any]]]] = {
    TypeKind.STRING: sa.String,
    TypeKind.INTEGER: sa.Integer,
    TypeKind.DECIMAL: sa.Numeric,
    TypeKind.DATE: sa.Date,
    TypeKind.TIMESTAMP: sa.DateTime,
    TypeKind.BOOLEAN: sa.Boolean,
}


def marts_faults(catalog: Catalog, *, selects: Mapping[str, MartSelect] = MARTS) -> Iterator[Located]:
    """Every mistake between a mart's YAML and the select that fills it; a rule for `read_catalog`.

    A column computed from a `direct` or `sensitive` one must be classed as strictly, or publish would show it; unless
    it is `cleared`, with the reason why it identifies nobody, such as a sum over a whole department.
    """
    tables = Tables(catalog)
    for mart in catalog.marts.values():
        if mart.mart not in selects:
            message = f"no select fills mart {mart.mart!r}; loading/marts/registry.py has {', '.join(selects)}"
            yield "marts", mart.mart, ["mart"], message
            continue
        try:
            select = selects[mart.mart](tables, SOME_DATES)
        except (AttributeError, KeyError) as fault:
            message = f"the select of this mart names a table or column that is not there: {fault}"
            yield "marts", mart.mart, ["mart"], message
            continue
        yield from _column_faults(mart, select)
        yield from _check_faults(mart, tables, selects)
        yield from _pii_faults(mart, tables, column_lineage(select, tables[f"{mart.layer.value}.{mart.mart}"]))


def _column_faults(mart: Mart, select: sa.Select[Any]) -> Iterator[Located]:
    given = {column.name: column for column in select.selected_columns if column.name != BUSINESS_DATE}
    if BUSINESS_DATE not in select.selected_columns:
        yield "marts", mart.mart, ["mart"], f"the select of this mart gives no {BUSINESS_DATE}"
    declared = {column.name for column in mart.columns}
    for name in given:
        if name not in declared:
            yield "marts", mart.mart, ["columns"], f"column {name!r} is in the select of this mart but not declared"
    for position, column in enumerate(mart.columns):
        at: list[str | int] = ["columns", position]
        if column.name not in given:
            yield "marts", mart.mart, at, f"column {column.name!r} is declared but not in the select of this mart"
            continue
        found = given[column.name].type
        wanted = _SQL_KINDS[column.type.kind]
        if found._type_affinity not in (wanted, sa.types.NullType):  # noqa: SLF001 - no other name for a type's kind
            declared_as = f"column {column.name!r} is declared {column.type}"
            yield "marts", mart.mart, at, f"{declared_as}, the select gives {found!r}"


def _check_faults(mart: Mart, tables: Tables, selects: Mapping[str, MartSelect]) -> Iterator[Located]:
    """Checks that look at what is not there, or at what can change without the mart being loaded and checked again."""
    try:
        on_its_dates, on_later_dates = _reloaded_by(mart.mart, tables, selects)
    except (AttributeError, KeyError):
        return  # A select behind this one is broken, which is told by itself.
    for position, check in enumerate(mart.checks):
        at: list[str | int] = ["checks", position]
        for table, column in (*check.columns_read, *check.columns_read_before):
            if table not in tables or column not in tables[table].c:
                yield "marts", mart.mart, at, f"{check.check}: there is no column {column!r} in a table {table!r}"
        looked_at = {table for table, _ in check.columns_read if table not in on_its_dates | on_later_dates}
        looked_at |= {table for table, _ in check.columns_read_before if table not in on_later_dates}
        for table in sorted(looked_at & set(tables.partitioned)):
            reason = "a change of it would leave the result of this check as it was"
            yield "marts", mart.mart, at, f"{check.check}: this mart is not made of {table} (on all dates); {reason}"


def _reloaded_by(name: str, tables: Tables, selects: Mapping[str, MartSelect]) -> tuple[frozenset[str], frozenset[str]]:
    """The tables of which a change has a mart loaded again, for the date of the change or for every later one too."""
    on_its_dates: frozenset[str] = frozenset()
    on_later_dates: frozenset[str] = frozenset()
    for table in tables_read(selects[name](tables, SOME_DATES)) & set(tables.partitioned):
        behind = table.split(".")[1]
        same, later = _reloaded_by(behind, tables, selects) if behind in selects else (frozenset(), frozenset())
        if table in SAME_DATE_ONLY.get(name, ()):
            on_its_dates |= {table} | same
            on_later_dates |= later
        else:
            on_later_dates |= {table} | same | later
    return on_its_dates, on_later_dates


def _pii_faults(mart: Mart, tables: Tables, lineage: Mapping[str, Origins]) -> Iterator[Located]:
    for position, column in enumerate(mart.columns):
        classes = {
            (table, name): tables[table].c[name].info.get("pii", PiiClass.NONE)
            for table, name in lineage.get(column.name, ())
        }
        needed = strictest(classes.values())
        if column.cleared is not None:
            if not needed.tokenized:
                message = f"column {column.name!r} is cleared, but computed from nothing direct or sensitive"
                yield "marts", mart.mart, ["columns", position, "cleared"], f"{message}; leave `cleared` out"
        elif needed.tokenized and column.pii.strictness < needed.strictness:
            origins = ", ".join(sorted(f"{t}.{n}" for (t, n), pii in classes.items() if pii is needed))
            must = f"so it must be `pii: {needed}`, not {column.pii}"
            message = f"column {column.name!r} is computed from {origins}, {must}"
            yield "marts", mart.mart, ["columns", position], message
