"""Publish: a copy of a 360 table that holds only dates whose blocking checks passed, with tokens for direct PII."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from cdm_assets.catalog.model import Mart
from cdm_assets.catalog.types import ColumnType
from cdm_assets.loading.stamp import in_range
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.functions import canonical_text, concat, fixed_text, sha256_hex
from cdm_assets.warehouse.tables import Tables

TOKEN_KEY_PARAMETER: Final = "token_key"  # noqa: S105 - the name of a parameter
_SMALLEST_KEY: Final = 16


class TokenKeyError(Exception):
    """The key of the keyed hash cannot be used."""


def publish_select(tables: Tables, mart: Mart, dates: DateRange) -> sa.Select[Any]:
    """The rows of `mart` for `dates`, direct and sensitive columns as tokens, beside them what the mart is enriched by.

    The statement has one parameter, `token_key`; it is bound at execution, so the key is in no compiled text.
    """
    table = tables[f"{mart.layer.value}.{mart.mart}"]
    joined: sa.FromClause = table
    origin = dict.fromkeys((column.name for column in mart.columns), table)
    if mart.enriched_by is not None:
        enrichment_mart = tables.catalog.marts[mart.enriched_by]
        enrichment = tables[f"{enrichment_mart.layer.value}.{mart.enriched_by}"]
        same_row = [enrichment.c[name] == table.c[name] for name in ("business_date", *mart.key)]
        joined = table.outerjoin(enrichment, sa.and_(*same_row))
        origin = {c.name: origin.get(c.name, enrichment) for c in tables.catalog.published_columns(mart)}
    columns = []
    for column in tables.catalog.published_columns(mart):
        value = origin[column.name].c[column.name]
        columns.append(token(value, column.type).label(column.name) if column.pii.tokenized else value)
    return sa.select(table.c.business_date, *columns).select_from(joined).where(in_range(table.c.business_date, dates))


def token(value: ColumnElement[Any], column_type: ColumnType) -> ColumnElement[Any]:
    """A keyed hash of the value's canonical text: SHA-256(key | SHA-256(key | text)), the nesting of HMAC.

    Equal for equal values; NULL and blank text give NULL.

    Source: RFC 2104, without its padding, which five databases cannot express alike.
    """
    key = sa.bindparam(TOKEN_KEY_PARAMETER, type_=sa.String())
    bar = fixed_text("|")
    text = canonical_text(value, column_type.kind, column_type.scale or 0)
    inner = sha256_hex(concat(key, bar, text))
    return sa.case((text.is_not(None), sha256_hex(concat(key, bar, inner))))


def read_or_make_token_key(configured: str | None, home: Path) -> str:
    """The configured key (`CDM_TOKEN_KEY`), else the one in `home/token.key`, made at random on first use.

    Keep it: with another key the same person has another token. Raises TokenKeyError if it is too short.
    """
    if configured is not None:
        return _long_enough(configured, "CDM_TOKEN_KEY")
    path = home / "token.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
    return _long_enough(path.read_text(encoding="ascii").strip(), str(path))


def _long_enough(key: str, origin: str) -> str:
    if len(key) < _SMALLEST_KEY:
        raise TokenKeyError(f"the token key from {origin} has {len(key)} characters; use at least {_SMALLEST_KEY}")
    return key
