"""SQL functions that five engines spell differently, each one SQLAlchemy construct.

Canonical text is the hash contract's input: the same value gives the same text on every engine. Two things are left to
the database's own settings: which letters its `upper` knows (ß and its like differ), and that its text is UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from cdm_assets.catalog.model import HashContract
from cdm_assets.catalog.types import TypeKind

NULL_TOKEN: Final = r"\N"  # noqa: S105 - no password
"""Stands for NULL in hashed text. A value cannot look like it: backslashes in values are doubled."""
NO_PARTS: Final = r"\E"
"""Stands for a list without parts."""
DELIMITER: Final = "|"


class _fixed_text(FunctionElement[str]):  # noqa: N801
    """A text of ours as a literal, not as a parameter, so that it can stand where statements are grouped.

    Argument: the text as SQL spells it, in quotes.
    """

    type = sa.String()
    inherit_cache = True


@compiles(_fixed_text)
def _fixed_text_any(element: _fixed_text, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(_fixed_text, "snowflake")
def _fixed_text_snowflake(element: _fixed_text, compiler: Any, **kw: Any) -> str:
    """Double the backslashes, which Snowflake alone takes for escapes."""
    return str(compiler.process(element.clauses, **kw)).replace("\\", "\\\\")


def fixed_text(text: str) -> ColumnElement[str]:
    """`text` as a literal. Only for texts of the platform's own; what users write travels as parameters."""
    quoted = text.replace("'", "''")
    return _fixed_text(sa.literal_column(f"'{quoted}'"))


class concat(FunctionElement[str]):  # noqa: N801 - spelled like the SQL function
    """Concatenate texts of which none is NULL.

    T-SQL's `+` and CONCAT cut at 8,000 bytes unless one of the texts may be longer, so the first there is.
    """

    type = sa.String()
    inherit_cache = True


@compiles(concat)
def _concat(element: concat, compiler: Any, **kw: Any) -> str:
    return "(" + " || ".join(compiler.process(clause, **kw) for clause in element.clauses) + ")"


@compiles(concat, "mssql")
def _concat_mssql(element: concat, compiler: Any, **kw: Any) -> str:
    return f"concat(cast('' as varchar(max)), {compiler.process(element.clauses, **kw)})"


class trimmed(FunctionElement[str]):  # noqa: N801
    """A text without the spaces (U+0020 and nothing else) at its ends."""

    type = sa.String()
    inherit_cache = True


@compiles(trimmed)
def _trimmed(element: trimmed, compiler: Any, **kw: Any) -> str:
    return f"trim({compiler.process(element.clauses, **kw)})"


@compiles(trimmed, "duckdb")
def _trimmed_duckdb(element: trimmed, compiler: Any, **kw: Any) -> str:
    """Name the space: DuckDB's plain `trim` also takes no-break and other Unicode spaces."""
    return f"trim({compiler.process(element.clauses, **kw)}, ' ')"


class text_length(FunctionElement[int]):  # noqa: N801
    """The number of characters of a text, spaces at its end included."""

    type = sa.Integer()
    inherit_cache = True


@compiles(text_length)
def _text_length(element: text_length, compiler: Any, **kw: Any) -> str:
    return f"length({compiler.process(element.clauses, **kw)})"


@compiles(text_length, "mssql")
def _text_length_mssql(element: text_length, compiler: Any, **kw: Any) -> str:
    """Add a character that LEN, which does not count spaces at the end, must count."""
    return f"(len(concat({compiler.process(element.clauses, **kw)}, '.')) - 1)"


class _Hex(FunctionElement[str]):
    type = sa.String()
    inherit_cache = True


class md5_hex(_Hex):  # noqa: N801
    """MD5 of a text's UTF-8 bytes, 32 lower-case hex digits."""

    inherit_cache = True


class sha256_hex(_Hex):  # noqa: N801
    """SHA-256 of a text's UTF-8 bytes, 64 lower-case hex digits."""

    inherit_cache = True


@compiles(md5_hex)
def _md5(element: md5_hex, compiler: Any, **kw: Any) -> str:
    return f"md5({compiler.process(element.clauses, **kw)})"


@compiles(md5_hex, "oracle")
def _md5_oracle(element: md5_hex, compiler: Any, **kw: Any) -> str:
    return f"lower(rawtohex(standard_hash({compiler.process(element.clauses, **kw)}, 'MD5')))"


@compiles(md5_hex, "mssql")
def _md5_mssql(element: md5_hex, compiler: Any, **kw: Any) -> str:
    return _hashbytes("MD5", 32, compiler.process(element.clauses, **kw))


@compiles(sha256_hex)
def _sha256(element: sha256_hex, compiler: Any, **kw: Any) -> str:
    return f"sha256({compiler.process(element.clauses, **kw)})"


@compiles(sha256_hex, "postgresql")
def _sha256_postgresql(element: sha256_hex, compiler: Any, **kw: Any) -> str:
    return f"encode(sha256(convert_to({compiler.process(element.clauses, **kw)}, 'UTF8')), 'hex')"


@compiles(sha256_hex, "snowflake")
def _sha256_snowflake(element: sha256_hex, compiler: Any, **kw: Any) -> str:
    return f"sha2({compiler.process(element.clauses, **kw)}, 256)"


@compiles(sha256_hex, "oracle")
def _sha256_oracle(element: sha256_hex, compiler: Any, **kw: Any) -> str:
    return f"lower(rawtohex(standard_hash({compiler.process(element.clauses, **kw)}, 'SHA256')))"


@compiles(sha256_hex, "mssql")
def _sha256_mssql(element: sha256_hex, compiler: Any, **kw: Any) -> str:
    return _hashbytes("SHA2_256", 64, compiler.process(element.clauses, **kw))


def _hashbytes(algorithm: str, length: int, text: str) -> str:
    utf8 = f"convert(varchar(max), {text} collate Latin1_General_100_BIN2_UTF8)"
    return f"lower(convert(char({length}), hashbytes('{algorithm}', {utf8}), 2))"


class _CanonicalText(FunctionElement[str]):
    type = sa.String()
    inherit_cache = True


class _number_text(_CanonicalText):  # noqa: N801
    """A decimal with exactly its scale, an integer without one. Arguments: value, Oracle's mask."""

    inherit_cache = True


class _date_text(_CanonicalText):  # noqa: N801
    inherit_cache = True


class _timestamp_text(_CanonicalText):  # noqa: N801
    inherit_cache = True


@compiles(_number_text)
def _number_text_any(element: _number_text, compiler: Any, **kw: Any) -> str:
    value, _mask = element.clauses
    return str(compiler.process(sa.cast(value, sa.String(40)), **kw))


@compiles(_number_text, "oracle")
def _number_text_oracle(element: _number_text, compiler: Any, **kw: Any) -> str:
    value, mask = element.clauses
    return f"to_char({compiler.process(value, **kw)}, {compiler.process(mask, **kw)})"


@compiles(_date_text)
def _date_text_any(element: _date_text, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)}, 'YYYY-MM-DD')"


@compiles(_date_text, "duckdb")
def _date_text_duckdb(element: _date_text, compiler: Any, **kw: Any) -> str:
    return f"strftime({compiler.process(element.clauses, **kw)}, '%Y-%m-%d')"


@compiles(_date_text, "mssql")
def _date_text_mssql(element: _date_text, compiler: Any, **kw: Any) -> str:
    return f"convert(varchar(10), {compiler.process(element.clauses, **kw)}, 23)"


@compiles(_timestamp_text)
def _timestamp_text_any(element: _timestamp_text, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)}, 'YYYY-MM-DD HH24:MI:SS.US')"


@compiles(_timestamp_text, "duckdb")
def _timestamp_text_duckdb(element: _timestamp_text, compiler: Any, **kw: Any) -> str:
    return f"strftime({compiler.process(element.clauses, **kw)}, '%Y-%m-%d %H:%M:%S.%f')"


@compiles(_timestamp_text, "snowflake")
def _timestamp_text_snowflake(element: _timestamp_text, compiler: Any, **kw: Any) -> str:
    value = compiler.process(element.clauses, **kw)
    return f"to_varchar(cast({value} as timestamp_ntz(6)), 'YYYY-MM-DD HH24:MI:SS.FF6')"


@compiles(_timestamp_text, "oracle")
def _timestamp_text_oracle(element: _timestamp_text, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)}, 'YYYY-MM-DD HH24:MI:SS.FF6')"


@compiles(_timestamp_text, "mssql")
def _timestamp_text_mssql(element: _timestamp_text, compiler: Any, **kw: Any) -> str:
    return f"convert(varchar(26), cast({compiler.process(element.clauses, **kw)} as datetime2(6)), 121)"


def canonical_text(value: ColumnElement[Any], kind: TypeKind, scale: int = 0) -> ColumnElement[Any]:
    """`value` as the text that is hashed; NULL stays NULL, and blank text becomes NULL (Oracle knows no other)."""
    if kind is TypeKind.STRING:
        return sa.func.nullif(trimmed(value), fixed_text(""), type_=sa.String())
    if kind in (TypeKind.INTEGER, TypeKind.DECIMAL):
        return _number_text(value, fixed_text(_oracle_mask(scale)))
    if kind is TypeKind.DATE:
        return _date_text(value)
    if kind is TypeKind.TIMESTAMP:
        return _timestamp_text(value)
    return sa.case((value == sa.true(), fixed_text("1")), (value == sa.false(), fixed_text("0")))


def _oracle_mask(scale: int) -> str:
    whole = "FM" + "9" * (37 - scale) + "0"
    return f"{whole}.{'0' * scale}" if scale else whole


class _escaped(_CanonicalText):  # noqa: N801
    """A backslash before each backslash and delimiter of a text."""

    inherit_cache = True


@compiles(_escaped)
def _escaped_any(element: _escaped, compiler: Any, **kw: Any) -> str:
    (text,) = element.clauses
    doubled = sa.func.replace(text, fixed_text("\\"), fixed_text("\\\\"))
    return str(compiler.process(sa.func.replace(doubled, fixed_text(DELIMITER), fixed_text(f"\\{DELIMITER}")), **kw))


@compiles(_escaped, "duckdb")
def _escaped_duckdb(element: _escaped, compiler: Any, **kw: Any) -> str:
    """Looking is much cheaper than replacing, and hardly any text has one of the two."""
    text = compiler.process(element.clauses, **kw)
    is_clean = f"not contains({text}, '\\') and not contains({text}, '{DELIMITER}')"
    return f"(case when {is_clean} then {text} else {_escaped_any(element, compiler, **kw)} end)"


def hashed_text(parts: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    r"""The text that is hashed, from canonical texts.

    Each part: NULL becomes `\N`, backslash and `|` inside it are escaped by a backslash; parts are joined by `|`.
    A list without parts is `\E`. No two different lists of parts give the same text.
    """
    joined: list[ColumnElement[Any]] = []
    for part in parts:
        if joined:
            joined.append(fixed_text(DELIMITER))
        has_none_to_escape = isinstance(part, (_number_text, _date_text, _timestamp_text))
        joined.append(sa.func.coalesce(part if has_none_to_escape else _escaped(part), fixed_text(NULL_TOKEN)))
    if not joined:
        return fixed_text(NO_PARTS)
    return concat(*joined) if len(joined) > 1 else joined[0]


def hashed(parts: Sequence[ColumnElement[Any]], contract: HashContract) -> ColumnElement[Any]:
    """The hash of canonical texts under the project's hash contract, in lower-case hex."""
    text = hashed_text(parts)
    return md5_hex(text) if contract.algorithm == "md5" else sha256_hex(text)


class digest_number(FunctionElement[Any]):  # noqa: N801
    """A whole number drawn from the MD5 of a text; each engine draws its own, of about 60 bits (Oracle 32)."""

    type = sa.Numeric(38, 0)
    inherit_cache = True


@compiles(digest_number, "duckdb")
def _digest_number_duckdb(element: digest_number, compiler: Any, **kw: Any) -> str:
    return f"cast(md5_number_lower({compiler.process(element.clauses, **kw)}) as decimal(38, 0))"


@compiles(digest_number, "postgresql")
def _digest_number_postgresql(element: digest_number, compiler: Any, **kw: Any) -> str:
    text = compiler.process(element.clauses, **kw)
    return f"cast(cast(cast('x' || substr(md5({text}), 1, 15) as bit(60)) as bigint) as numeric)"


@compiles(digest_number, "snowflake")
def _digest_number_snowflake(element: digest_number, compiler: Any, **kw: Any) -> str:
    return f"md5_number_lower64({compiler.process(element.clauses, **kw)})"


@compiles(digest_number, "oracle")
def _digest_number_oracle(element: digest_number, compiler: Any, **kw: Any) -> str:
    return f"ora_hash({compiler.process(element.clauses, **kw)})"


@compiles(digest_number, "mssql")
def _digest_number_mssql(element: digest_number, compiler: Any, **kw: Any) -> str:
    digest = f"hashbytes('MD5', cast({compiler.process(element.clauses, **kw)} as nvarchar(max)))"
    return f"cast(cast(substring({digest}, 1, 7) as bigint) as numeric(38, 0))"


class days_after(FunctionElement[Any]):  # noqa: N801
    """A date and a whole number of days: the date that many days later (earlier where negative)."""

    type = sa.Date()
    inherit_cache = True


@compiles(days_after)
def _days_after(element: days_after, compiler: Any, **kw: Any) -> str:
    day, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({day} + {days})"


@compiles(days_after, "snowflake")
def _days_after_snowflake(element: days_after, compiler: Any, **kw: Any) -> str:
    day, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"dateadd(day, {days}, {day})"


@compiles(days_after, "mssql")
def _days_after_mssql(element: days_after, compiler: Any, **kw: Any) -> str:
    day, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"dateadd(day, {days}, {day})"


class days_between(FunctionElement[int]):  # noqa: N801
    """Days from the first date to the second."""

    type = sa.Integer()
    inherit_cache = True


@compiles(days_between)
def _days_between(element: days_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({second} - {first})"


@compiles(days_between, "snowflake")
@compiles(days_between, "mssql")
def _days_between_datediff(element: days_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"datediff(day, {first}, {second})"


@compiles(days_between, "duckdb")
def _days_between_duckdb(element: days_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"date_diff('day', {first}, {second})"


_SOME_MONDAY: Final = date(1999, 12, 27)
"""Before the calendar's first date, so that no difference from it is negative."""


def weekday(day: ColumnElement[Any]) -> ColumnElement[int]:
    """0 for a Monday to 6 for a Sunday.

    The Monday is written into the statement, not bound to it: what rows are grouped by must not hold a parameter.
    """
    monday = sa.cast(sa.bindparam(None, _SOME_MONDAY, sa.Date(), literal_execute=True), sa.Date())
    days = days_between(monday, day)
    # Without a remainder, which SQL Server spells like nobody else; cast, as DuckDB adds no wide integer to a date.
    weeks = sa.func.floor(days / sa.literal_column("7.0", sa.Numeric(2, 1)))
    return sa.cast(days - weeks * sa.literal_column("7", sa.Integer()), sa.Integer())


class seconds_between(FunctionElement[int]):  # noqa: N801
    """Seconds from the first timestamp to the second, the fractions of both left out before."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(seconds_between)
def _seconds_between(element: seconds_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    whole_seconds = f"date_trunc('second', {second}) - date_trunc('second', {first})"
    return f"cast(extract(epoch from {whole_seconds}) as bigint)"


@compiles(seconds_between, "duckdb")
def _seconds_between_duckdb(element: seconds_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"date_diff('second', {first}, {second})"


@compiles(seconds_between, "snowflake")
def _seconds_between_snowflake(element: seconds_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"datediff(second, {first}, {second})"


@compiles(seconds_between, "mssql")
def _seconds_between_mssql(element: seconds_between, compiler: Any, **kw: Any) -> str:
    """Use the wide DATEDIFF; the other overflows after 68 years."""
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"datediff_big(second, {first}, {second})"


@compiles(seconds_between, "oracle")
def _seconds_between_oracle(element: seconds_between, compiler: Any, **kw: Any) -> str:
    first, second = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"round((cast({second} as date) - cast({first} as date)) * 86400)"


class date_of(FunctionElement[Any]):  # noqa: N801
    """The date of a timestamp."""

    type = sa.Date()
    inherit_cache = True


@compiles(date_of)
def _date_of(element: date_of, compiler: Any, **kw: Any) -> str:
    return f"cast({compiler.process(element.clauses, **kw)} as date)"


@compiles(date_of, "oracle")
def _date_of_oracle(element: date_of, compiler: Any, **kw: Any) -> str:
    return f"trunc({compiler.process(element.clauses, **kw)})"


class matches(FunctionElement[bool]):  # noqa: N801
    """Whether a text as a whole matches a regular expression; NULL for NULL. Arguments: value, pattern.

    SQL Server has regular expressions from version 2025 on. Where a condition is no value (Oracle, SQL Server) this
    gives 1, 0 or NULL, which SQLAlchemy there compares with 1 or 0.
    """

    type = sa.Boolean()
    inherit_cache = True


@compiles(matches)
def _matches(element: matches, compiler: Any, **kw: Any) -> str:
    value, pattern = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"regexp_like({value}, '^(' || {pattern} || ')$')"


@compiles(matches, "duckdb")
def _matches_duckdb(element: matches, compiler: Any, **kw: Any) -> str:
    value, pattern = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"regexp_full_match({value}, {pattern})"


@compiles(matches, "postgresql")
def _matches_postgresql(element: matches, compiler: Any, **kw: Any) -> str:
    value, pattern = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({value} ~ ('^(' || {pattern} || ')$'))"


@compiles(matches, "snowflake")
def _matches_snowflake(element: matches, compiler: Any, **kw: Any) -> str:
    value, pattern = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"regexp_like({value}, {pattern})"


@compiles(matches, "oracle")
def _matches_oracle(element: matches, compiler: Any, **kw: Any) -> str:
    value, pattern = (compiler.process(clause, **kw) for clause in element.clauses)
    found = f"regexp_like({value}, '^(' || {pattern} || ')$')"
    return f"(case when {value} is not null then case when {found} then 1 else 0 end end)"


@compiles(matches, "mssql")
def _matches_mssql(element: matches, compiler: Any, **kw: Any) -> str:
    value, pattern = (compiler.process(clause, **kw) for clause in element.clauses)
    found = f"regexp_like({value}, concat('^(', {pattern}, ')$'))"
    return f"(case when {value} is not null then case when {found} then 1 else 0 end end)"
