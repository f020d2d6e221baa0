"""The hash contract: what is hashed for which value, and its hashes, as literals worked out with hashlib.

A change here is a new version of the contract and a rebuilt vault. Every engine must give these answers.
"""

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdm_assets.catalog.model import HashContract
from cdm_assets.catalog.types import ColumnType, TypeKind, parse_column_type
from cdm_assets.warehouse.functions import canonical_text, hashed, hashed_text
from cdm_assets.warehouse.tables import sql_type

MD5, SHA256 = HashContract(algorithm="md5"), HashContract(algorithm="sha256")

VALUES = [
    ("string(40)", None, None),
    ("string(40)", "", None),
    ("string(40)", "   ", None),
    ("string(40)", "a", "a"),
    ("string(40)", "  two words ", "two words"),
    ("string(40)", "a|b", "a|b"),
    ("string(40)", "\\", "\\"),
    ("string(40)", "\\N", "\\N"),
    ("string(40)", "it's", "it's"),
    ("string(40)", "Zürich 東京 🙂", "Zürich 東京 🙂"),
    ("string(40)", "\u00a0a\u00a0", "\u00a0a\u00a0"),
    ("string(40)", "\ta\n", "\ta\n"),
    ("integer", None, None),
    ("integer", 0, "0"),
    ("integer", -42, "-42"),
    ("integer", 9223372036854775807, "9223372036854775807"),
    ("decimal(12,2)", Decimal(0), "0.00"),
    ("decimal(12,2)", Decimal("1.5"), "1.50"),
    ("decimal(12,2)", Decimal("-0.05"), "-0.05"),
    ("decimal(12,2)", Decimal("9999999999.99"), "9999999999.99"),
    ("decimal(12,0)", Decimal(10), "10"),
    ("decimal(38,10)", Decimal("-1234567890123456789012345678.0000000001"), "-1234567890123456789012345678.0000000001"),
    ("date", date(2017, 1, 2), "2017-01-02"),
    ("date", date(9, 12, 31), "0009-12-31"),
    ("timestamp", datetime.fromisoformat("2017-01-02T03:04:05"), "2017-01-02 03:04:05.000000"),
    ("timestamp", datetime.fromisoformat("2017-01-02T23:59:59.999999"), "2017-01-02 23:59:59.999999"),
    ("boolean", True, "1"),
    ("boolean", False, "0"),
    ("boolean", None, None),
]

VECTORS = [
    (
        ["a"],
        "a",
        "0cc175b9c0f1b6a831c399e269772661",
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    ),
    (
        [None],
        r"\N",
        "44d0dc437936b13f7cea2f77053806bd",
        "b582d3167c70c098fdfefc2c847a1aae83150febc4602a51ef83a84a175d417c",
    ),
    (
        ["\\N"],
        r"\\N",
        "3766e5bb8e3dc00c16eb6e390c648637",
        "157b839cf4bc1b970e9b9aa312bd69dea5d300f92a99fa7edc59f4748cee4aa6",
    ),
    (
        ["a", "b"],
        "a|b",
        "d0726241020676b14aa6298ce6a18b21",
        "0eab8a0a3380abf4c7d1fb0b43b66aafbb64a4b953e4eb2dccca579461912d0c",
    ),
    (
        ["a|b"],
        r"a\|b",
        "99b4ad04668209323f828a0eab83bec4",
        "1149b8c34ce383d34debcbb231dd13ec63bd733ae4174ba065f04eb489ff31a9",
    ),
    (
        ["a", None],
        r"a|\N",
        "a637be4e49297e6e25649d1ebbdc2d07",
        "f2c89ee94eae2603f5c5dc09605d8e36930f3018db531c637fbbc2944494ca94",
    ),
    (
        [None, "a"],
        r"\N|a",
        "69653e8477d75ebf7cbe1bb8b80eab2c",
        "bfea697fbd1223bc1821949acb06dfe9755afeb88c0c509ac7a8bba55d12fba2",
    ),
    (
        [None, None],
        r"\N|\N",
        "d08bdf7ef6136df57cb0305d1f2d45d3",
        "98fe4e04927a307f0a423e98b838c7013f60279636c81246ddd429e068216fa2",
    ),
    (
        ["a\\", "b"],
        r"a\\|b",
        "4f43a88cd4be7c79ba74f15e0489d3e9",
        "0c12c17a7c55c7248e04a06c4041650e53481c056d9c003754666685d772034a",
    ),
    (
        ["a", "\\b"],
        r"a|\\b",
        "f463a4b41842ddfb7d15fd2e2387f68d",
        "aaa369300e4cf97c65264e08421a9ae9fdbb05769c8dfe23adf77bafae92c861",
    ),
    (
        ["Zürich", "東京"],
        "Zürich|東京",
        "9922ed24dabacd2bc6b9bf1d91fdff6f",
        "4f2aebeb704e1e210f1e677ee69d3d518e1d0c1cf57ca6c9359b3a9abd40c009",
    ),
    (
        [],
        r"\E",
        "d7648d443cc98decf914a4f876b333fc",
        "fb7427a95ad8c5b4e73018ee2fedde5cc1646206760fb4d954ec9353771324d9",
    ),
]


@pytest.fixture(scope="module")
def connection() -> Iterator[sa.Connection]:
    with sa.create_engine("duckdb:///:memory:").connect() as connection:
        yield connection


def _ask(connection: sa.Connection, expression: sa.ColumnElement[Any]) -> Any:
    return connection.execute(sa.select(expression)).scalar_one()


def _texts(parts: list[str | None]) -> list[sa.ColumnElement[Any]]:
    return [sa.literal(part, sa.String()) for part in parts]


@pytest.mark.parametrize(("type_", "value", "text"), VALUES)
def test_the_canonical_text_of(connection: sa.Connection, type_: str, value: Any, text: str | None) -> None:
    column_type: ColumnType = parse_column_type(type_)
    stored = sa.cast(sa.literal(value, sql_type(column_type)), sql_type(column_type))
    assert _ask(connection, canonical_text(stored, column_type.kind, column_type.scale or 0)) == text


@pytest.mark.parametrize(("parts", "text", "md5", "sha256"), VECTORS)
def test_the_hash_of(connection: sa.Connection, parts: list[str | None], text: str, md5: str, sha256: str) -> None:
    assert _ask(connection, hashed_text(_texts(parts))) == text
    assert _ask(connection, hashed(_texts(parts), MD5)) == md5 == hashlib.md5(text.encode()).hexdigest()
    assert _ask(connection, hashed(_texts(parts), SHA256)) == sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_blank_text_hashes_as_null(connection: sa.Connection) -> None:
    blank = canonical_text(sa.literal("  ", sa.String()), TypeKind.STRING)
    assert _ask(connection, hashed([blank], MD5)) == "44d0dc437936b13f7cea2f77053806bd"


def test_the_length_of_a_hash_is_that_of_its_column() -> None:
    assert (MD5.length, SHA256.length) == (32, 64)


def _model(parts: list[str | None]) -> str:
    """The contract in Python."""
    escaped = ["\\N" if p is None else p.replace("\\", "\\\\").replace("|", "\\|") for p in parts]
    return "|".join(escaped) if parts else "\\E"


def _parts_of(text: str) -> list[str | None]:
    """The parts that a hashed text was made of: the inverse of the contract, which shows that it has one."""
    if text == "\\E":
        return []
    parts: list[str | None] = [""]
    position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
            parts[-1] = None if text[position] == "N" else (parts[-1] or "") + text[position]
        elif text[position] == "|":
            parts.append("")
        else:
            parts[-1] = (parts[-1] or "") + text[position]
        position += 1
    return parts


_PART = st.none() | st.text(
    st.sampled_from("aN|E\\ ü") | st.characters(exclude_characters="\0", codec="utf-8"), max_size=6
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PART, max_size=4))
@example(["a\\", "|b"])
@example(["\\N"])
@example([""])
def test_no_two_lists_of_parts_give_the_same_text(connection: sa.Connection, parts: list[str | None]) -> None:
    text = _ask(connection, hashed_text(_texts(parts)))
    assert text == _model(parts)
    assert _parts_of(text) == parts
