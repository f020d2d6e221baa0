"""What the constructs give on DuckDB, and how Snowflake's escapes are kept out of fixed texts."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse import functions as f
from cdm_assets.warehouse.engine import fixed_dialect

FIRST = date(2024, 2, 28)


@pytest.fixture(scope="module")
def connection() -> Iterator[sa.Connection]:
    with sa.create_engine("duckdb:///:memory:").connect() as connection:
        yield connection


def _date(text: str) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(date.fromisoformat(text), sa.Date()), sa.Date())


def _time(text: str) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(datetime.fromisoformat(text), sa.TIMESTAMP()), sa.TIMESTAMP())


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (f.trimmed(sa.literal("  a b ")), "a b"),
        (f.trimmed(sa.literal("\u00a0a\t")), "\u00a0a\t"),
        (f.text_length(sa.literal("ü🙂 ")), 3),
        (f.concat(sa.literal("a"), sa.literal("b"), sa.literal("c")), "abc"),
        (f.fixed_text("it's | \\"), "it's | \\"),
        (f.days_after(_date("2024-02-28"), sa.literal_column("2")), date(2024, 3, 1)),
        (f.days_after(_date("2024-03-01"), sa.literal_column("-1")), date(2024, 2, 29)),
        (f.days_between(_date("2024-02-28"), _date("2024-03-01")), 2),
        (f.days_between(_date("2024-03-01"), _date("2024-02-28")), -2),
        (f.seconds_between(_time("2024-01-01T00:00:00.9"), _time("2024-01-01T00:00:01.1")), 1),
        (f.seconds_between(_time("2024-01-01T00:00:00"), _time("2024-01-02T00:00:01")), 86401),
        (f.date_of(_time("2024-02-28T23:59:59.999999")), FIRST),
        (f.matches(sa.literal("abc"), "a|abc"), True),
        (f.matches(sa.literal("abcd"), "a|abc"), False),
        (f.matches(sa.null(), "a"), None),
    ],
)
def test_a_construct_gives(connection: sa.Connection, expression: sa.ColumnElement[Any], value: Any) -> None:
    assert connection.execute(sa.select(expression)).scalar_one() == value


def test_backslashes_of_fixed_texts_are_doubled_on_snowflake_only() -> None:
    text = f.fixed_text("\\N")
    assert str(text.compile(dialect=fixed_dialect("snowflake"))) == r"'\\N'"
    assert str(text.compile(dialect=fixed_dialect("oracle"))) == r"'\N'"


def test_sql_server_hashes_and_joins_texts_of_any_length() -> None:
    text = sa.column("t", sa.String())
    hashed = str(f.sha256_hex(f.concat(text, text)).compile(dialect=fixed_dialect("mssql")))
    assert (
        "convert(varchar(max), concat(cast('' as varchar(max)), t, t) collate Latin1_General_100_BIN2_UTF8)" in hashed
    )
    assert "8000" not in hashed
