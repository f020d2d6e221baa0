"""Snowflake: connections, and rows as Parquet files through the user's stage.

The address is `snowflake://USER@ACCOUNT/DATABASE?warehouse=CDM_WH&role=CDM_LOADER`. Who connects shows a password or,
better, the private key of a key pair. Names are lower-case here and upper-case in Snowflake, unquoted: SQLAlchemy's
dialect takes the one for the other, so that people write `select * from cdm_publish_db.customer_360` in any case.

In Snowflake every DDL statement commits what is open: loads run none, and what is created is not rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import sqlalchemy as sa

from cdm_assets.settings import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

_APPLICATION: Final = "cdm_assets"
_SESSION: Final[Mapping[str, str | int | bool]] = {
    "TIMEZONE": "UTC",
    # A plain TIMESTAMP, as in `cast(... as timestamp)`, has no zone whatever the account's default is.
    "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    "ERROR_ON_NONDETERMINISTIC_UPDATE": True,
    # A load that was killed stops computing, instead of being paid for to its end.
    "ABORT_DETACHED_QUERY": True,
    # A load waits for another's lock for so many seconds, instead of half a day.
    "LOCK_TIMEOUT": 600,
    "QUERY_TAG": _APPLICATION,
}
"""What statements rely on and an account, a user or a role may have set otherwise."""
_CONNECT_SECONDS: Final = 60
_SESSION_LIVES_SECONDS: Final = 3 * 3600
"""Snowflake ends a session that was idle for four hours."""
_MAX_PARAMETERS: Final = 10_000
_FEW_ROWS: Final = 100
"""One INSERT of so many is quicker than a file, which takes three trips."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SIZES: Final = ("XSMALL", "SMALL", "MEDIUM", "LARGE", "XLARGE", "XXLARGE", "XXXLARGE", "X4LARGE", "X5LARGE", "X6LARGE")
_ALSO_WRITTEN: Final = {"2XLARGE": "XXLARGE", "3XLARGE": "XXXLARGE"} | {f"{n}XLARGE": f"X{n}LARGE" for n in (4, 5, 6)}
_OPTIONS: Final = frozenset({"account", "warehouse", "role", "protocol", "warehouse_size", "auto_suspend"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


class SnowflakeAddressError(SettingsError):
    """The URL of a Snowflake database lacks something, or says what cannot be used."""


class RowsNotLoaded(Exception):
    """COPY INTO loaded another number of rows than were sent."""


@dataclass(frozen=True)
class SnowflakeAccess:
    """Whom to connect as, to what: everything that makes a connection, for the connector and for Dagster's resource."""

    account: str
    user: str
    database: str
    warehouse: str | None = None
    role: str | None = None
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    """PEM text of the private key (PKCS#8)."""
    passphrase: str | None = field(default=None, repr=False)
    """Of an encrypted private key."""
    host: str | None = None
    """Where it is not the account's own; the stand-in's."""
    port: int | None = None
    protocol: str | None = None
    warehouse_size: str | None = None
    """One of Snowflake's sizes, such as MEDIUM; None leaves the warehouse as it is."""
    auto_suspend_seconds: int | None = None
    """After how many idle seconds the warehouse stops costing."""

    @classmethod
    def from_url(
        cls,
        url: sa.URL,
        password: str | None = None,
        *,
        private_key: str | None = None,
        passphrase: str | None = None,
    ) -> Self:
        """Read `snowflake://USER[:PASSWORD]@ACCOUNT/DATABASE?warehouse=&role=&warehouse_size=&auto_suspend=`.

        `password` goes before the URL's, a private key before both. Raises SnowflakeAddressError saying what is wrong.
        """
        options = dict(url.query)
        if unknown := sorted(set(options) - _OPTIONS):
            raise SnowflakeAddressError(
                f"a Snowflake URL has no option {', '.join(unknown)}; it takes {', '.join(sorted(_OPTIONS))}. "
                "Secrets do not belong there: see CDM_DATABASE_PASSWORD and CDM_SNOWFLAKE_PRIVATE_KEY."
            )
        texts = {name: value if isinstance(value, str) else value[-1] for name, value in options.items()}
        account = texts.get("account") or url.host
        if not (account and url.username and url.database):
            raise SnowflakeAddressError(
                "a Snowflake URL names user, account and database: snowflake://USER@ACCOUNT/DATABASE?warehouse=CDM_WH"
            )
        if "/" in url.database:
            raise SnowflakeAddressError(
                f"a Snowflake URL ends with the database, not with a schema in it: {url.database!r}; "
                "the platform has one schema a layer, which CDM_SCHEMA_PREFIX begins"
            )
        own_host = url.port is not None
        if texts.get("protocol", "https") != "https" and url.host not in _LOOPBACK:
            raise SnowflakeAddressError("protocol=http is for a stand-in on this machine; Snowflake is asked by https")
        secret = {"private_key": private_key, "passphrase": passphrase} if private_key else {}
        return cls(
            account=account,
            user=url.username,
            database=url.database,
            warehouse=_name(texts, "warehouse"),
            role=_name(texts, "role"),
            password=None if private_key else password or url.password,
            host=url.host if own_host else None,
            port=url.port,
            protocol=texts.get("protocol"),
            warehouse_size=_size(texts.get("warehouse_size")),
            auto_suspend_seconds=_seconds(texts.get("auto_suspend")),
            **secret,
        )

    def connect_arguments(self) -> dict[str, Any]:
        """The arguments of `snowflake.connector.connect`. Raises SnowflakeAddressError for a key that is none."""
        if self.private_key is None and self.password is None:
            raise SnowflakeAddressError(
                f"no password and no private key for {self.user} at {self.account}; "
                "set CDM_SNOWFLAKE_PRIVATE_KEY=file:/path/to/key.p8, or CDM_DATABASE_PASSWORD"
            )
        secret = {"password": self.password} if self.private_key is None else {"private_key": self._key_bytes()}
        named = {
            "account": self.account,
            "user": self.user,
            "database": self.database,
            "warehouse": self.warehouse,
            "role": self.role,
        }
        given = {name: value for name, value in named.items() if value is not None}
        return given | secret | {"application": _APPLICATION} | self.further_arguments()

    def further_arguments(self) -> dict[str, Any]:
        """Those of the arguments that Dagster's resource has no field for, or another default."""
        elsewhere = {"host": self.host, "port": self.port, "protocol": self.protocol}
        given: dict[str, Any] = {name: value for name, value in elsewhere.items() if value is not None}
        if self.host in _LOOPBACK:
            given["platform_detection_timeout_seconds"] = 0.0  # there is no cloud to look for
        # Values travel beside the statement: inside it, the key of tokens would stand in the query history.
        return given | {
            "paramstyle": "qmark",
            "autocommit": False,
            "login_timeout": _CONNECT_SECONDS,
            "session_parameters": dict(_SESSION),
        }

    def _key_bytes(self) -> bytes:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - a key pair is one way of two

        try:
            key = serialization.load_pem_private_key(
                str(self.private_key).encode(), self.passphrase.encode() if self.passphrase else None
            )
        except (TypeError, ValueError) as fault:
            raise SnowflakeAddressError(
                f"the private key of {self.user} cannot be read: {fault}. "
                "It must be PEM text; an encrypted one needs CDM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE."
            ) from fault
        return key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _name(options: Mapping[str, str], option: str) -> str | None:
    name = options.get(option)
    if name is not None and not _NAME.fullmatch(name):
        raise SnowflakeAddressError(f"{option}={name!r} is no name; expected letters, digits and _, such as CDM_WH")
    return name


def _size(text: str | None) -> str | None:
    size = text.upper().replace("-", "") if text else None
    size = _ALSO_WRITTEN.get(size or "", size)
    if size is not None and size not in _SIZES:
        raise SnowflakeAddressError(f"warehouse_size={text} is no size; expected one of {', '.join(_SIZES)}")
    return size


def _seconds(text: str | None) -> int | None:
    if text is not None and not text.isdecimal():
        raise SnowflakeAddressError(f"auto_suspend={text!r} is not a whole number of seconds, such as 60")
    return None if text is None else int(text)


def create_engine(
    url: sa.URL,
    password: str | None = None,
    *,
    private_key: str | None = None,
    passphrase: str | None = None,
    connect: Callable[[], Any] | None = None,
) -> sa.Engine:
    """An engine on the database of `url`; nothing is asked before its first statement.

    `connect` opens the connections instead, with the same arguments: Dagster's resource does. Raises
    SnowflakeAddressError where the URL lacks something.
    """
    access = SnowflakeAccess.from_url(url, password, private_key=private_key, passphrase=passphrase)
    opened_by = connect or (lambda: _connect(access))
    engine = sa.create_engine(
        sa.URL.create("snowflake", access.user, host=access.account, database=access.database),
        creator=opened_by,
        pool_recycle=_SESSION_LIVES_SECONDS,
        paramstyle="qmark",
        force_div_is_floordiv=False,
        # The driver's own way of many rows sends a column with a NULL in it as text, dates as numbers in that text.
        use_insertmanyvalues=True,
        insertmanyvalues_page_size=1000,
    )
    engine.dialect.use_insertmanyvalues_wo_returning = True
    engine.dialect.insertmanyvalues_max_parameters = _MAX_PARAMETERS
    sa.event.listen(engine, "before_cursor_execute", _with_plain_texts, retval=True)
    return engine


def _with_plain_texts(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
    """The driver knows how to send a `str`, but none of its subclasses, such as a StrEnum."""
    if isinstance(parameters, list):
        return statement, [tuple(_plain(value) for value in row) for row in parameters]
    return statement, tuple(_plain(value) for value in parameters)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def _connect(access: SnowflakeAccess) -> Any:
    import snowflake.connector  # noqa: PLC0415 - it takes a second, and other engines do without

    return snowflake.connector.connect(**access.connect_arguments())


def warehouse_statements(access: SnowflakeAccess) -> Iterator[str]:
    """What brings the virtual warehouse into the configured size and auto-suspend; nothing where none is configured.

    A new one is created asleep. Needs the privilege CREATE WAREHOUSE, or OWNERSHIP or MODIFY of the one there is.
    """
    wanted = {"WAREHOUSE_SIZE": access.warehouse_size, "AUTO_SUSPEND": access.auto_suspend_seconds}
    settings = " ".join(f"{name} = {value}" for name, value in wanted.items() if value is not None)
    if access.warehouse is None or not settings:
        return
    yield f"CREATE WAREHOUSE IF NOT EXISTS {access.warehouse} {settings} AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE"
    yield f"ALTER WAREHOUSE {access.warehouse} SET {settings} AUTO_RESUME = TRUE"


def bulk_insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Insert `rows`, whose columns are named as the table's: a Parquet file to the user's stage, then COPY INTO.

    A few rows are one INSERT instead. A column without any value must be nullable.

    Within the caller's transaction: COPY is DML. The user's stage needs no privilege and no DDL; a folder of its own
    for each call keeps calls apart. Raises RowsNotLoaded if Snowflake counts other rows than were sent.
    """
    if not rows.num_rows:
        return
    if rows.num_rows <= _FEW_ROWS:
        connection.execute(sa.insert(table), rows.to_pylist())
        return
    stage = f"@~/cdm_assets/{uuid4().hex}"
    try:
        with TemporaryDirectory(prefix="cdm_rows_") as folder:
            file = _parquet_file(rows, Path(folder))
            connection.exec_driver_sql(f"PUT 'file://{file}' {stage} AUTO_COMPRESS = FALSE")
        loaded = connection.exec_driver_sql(_copy(connection, table, stage)).mappings().all()
    except BaseException:
        with suppress(sa.exc.DBAPIError):  # what went wrong first is what counts
            connection.exec_driver_sql(f"REMOVE {stage}")
        raise
    count = sum(int(file.get("rows_loaded", 0)) for file in loaded)
    if count != rows.num_rows:
        raise RowsNotLoaded(f"{table.fullname}: {rows.num_rows} rows were sent, Snowflake loaded {count}")


def _copy(connection: sa.Connection, table: sa.Table, stage: str) -> str:
    r"""Every option is said: what an account or a stage has as its defaults must not matter.

    Without logical types, timestamps arrive as numbers; without an empty NULL_IF, the text `\N` arrives as NULL.
    """
    name = connection.dialect.identifier_preparer.format_table(table)
    return (
        f"COPY INTO {name} FROM {stage} FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE"
        " BINARY_AS_TEXT = FALSE TRIM_SPACE = FALSE NULL_IF = ()) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
        " ON_ERROR = ABORT_STATEMENT PURGE = TRUE"
    )


def _parquet_file(rows: pa.Table, folder: Path) -> Path:
    """The rows as a file; timestamps in microseconds without a zone, which is what the tables hold."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - only where rows are written
    from pyarrow import types as pa_types  # noqa: PLC0415

    file = folder / "rows.parquet"
    # A column of nothing but NULL has no type that Snowflake could read; left out, it stays NULL.
    typed = [column.name for column in rows.schema if not pa_types.is_null(column.type)]
    pq.write_table(rows.select(typed), file, compression="snappy", coerce_timestamps="us")
    return file
