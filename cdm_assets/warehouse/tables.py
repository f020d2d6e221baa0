"""The catalog's tables as SQLAlchemy objects: one `Table` for each table of each layer.

Nobody else writes a column list: DDL, loads, checks and the UI's column schema all read these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from cdm_assets.catalog.model import Catalog, Column, EntityKind, InterfaceEntity, Mart, Source
from cdm_assets.catalog.types import ColumnType, Layer, TypeKind, strictest

BUSINESS_DATE: Final = "business_date"
EXTRA: Final = "extra"
AUDIT_COLUMNS: Final = ("load_ts", "run_id")
TOKEN_TYPE: Final = ColumnType(TypeKind.STRING, length=64)
_RUN_ID_LENGTH: Final = 64


_datetime2: Callable[[int], sa.types.TypeEngine[Any]] = mssql.DATETIME2


class _TimestampWithoutZone(sa.TIMESTAMP):
    """Snowflake's name for it; its plain TIMESTAMP is what each session makes of it."""

    __visit_name__ = "TIMESTAMP_NTZ"


class _SpaceForEmpty(sa.TypeDecorator[str]):
    """A text of which Oracle, to which the empty text is NULL, keeps a space instead."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        return " " if value == "" else value

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return "" if value == " " else value


TIMESTAMP: Final = (
    sa.TIMESTAMP().with_variant(_datetime2(6), "mssql").with_variant(_TimestampWithoutZone(), "snowflake")
)
"""A date and time without zone, to the microsecond. (T-SQL's own TIMESTAMP is a row version.)"""


def sql_type(column_type: ColumnType) -> sa.types.TypeEngine[Any]:
    """The SQLAlchemy type of a catalog type."""
    match column_type.kind:
        case TypeKind.STRING:
            return sa.String(column_type.length).with_variant(mssql.NVARCHAR(column_type.length), "mssql")
        case TypeKind.INTEGER:
            return sa.BigInteger()
        case TypeKind.DECIMAL:
            return sa.Numeric(column_type.precision, column_type.scale)
        case TypeKind.DATE:
            return sa.Date()
        case TypeKind.TIMESTAMP:
            return TIMESTAMP
        case TypeKind.BOOLEAN:
            return sa.Boolean()


_FILE_NAME: Final = sql_type(ColumnType(TypeKind.STRING, length=400))


@dataclass(frozen=True)
class TableMeta:
    """What the catalog says of a table besides its columns."""

    layer: Layer
    description: str
    domain: str
    owners: tuple[str, ...]
    key: tuple[str, ...]
    """Columns that are unique within one business date, or over the whole table in hubs, links and events."""
    required: tuple[str, ...] = ()


class Tables:
    """Every table by its key `schema.table`, where schema is the layer's name without environment prefix."""

    def __init__(self, catalog: Catalog, *, schema_prefix: str = "") -> None:
        self.catalog = catalog
        self.schema_prefix = schema_prefix
        self.metadata = sa.MetaData()
        self._tables: dict[str, sa.Table] = {}
        self._meta: dict[str, TableMeta] = {}
        self._add_control()
        for source in catalog.sources.values():
            self._add_ingest(source)
        for source in catalog.sources.values():
            self._add_landing(source)
        self._add_vault()
        for entity in catalog.interface.values():
            self._add_interface(entity)
        for mart in catalog.marts.values():
            self._add_mart(mart)

    def __getitem__(self, key: str) -> sa.Table:
        return self._tables[key]

    def __contains__(self, key: str) -> bool:
        return key in self._tables

    def meta(self, key: str) -> TableMeta:
        """Layer, owners, key and description of a partitioned table."""
        return self._meta[key]

    @cached_property
    def partitioned(self) -> tuple[str, ...]:
        """Keys of the tables that have daily partitions, in the order of the layers."""
        return tuple(self._meta)

    @property
    def control(self) -> Iterator[sa.Table]:
        """The control tables, which are not partitioned."""
        return (table for key, table in self._tables.items() if key not in self._meta)

    @staticmethod
    def key_of(table: sa.Table) -> str:
        """The key `schema.table` of a table of this set."""
        return str(table.info["key"])

    def _add(
        self, layer: Layer, name: str, columns: list[sa.Column[Any]], meta: TableMeta | None, comment: str
    ) -> None:
        key = f"{layer.value}.{name}"
        schema = self.catalog.schema_of(layer, self.schema_prefix)
        table = sa.Table(name, self.metadata, *columns, schema=schema, comment=comment, info={"key": key})
        self._tables[key] = table
        if meta is not None:
            self._meta[key] = meta

    def _add_partitioned(
        self, name: str, meta: TableMeta, columns: list[sa.Column[Any]], *, date_comment: str = "Business date"
    ) -> None:
        dated = [
            sa.Column(BUSINESS_DATE, sa.Date(), nullable=False, comment=date_comment),
            *columns,
            sa.Column("load_ts", TIMESTAMP, nullable=False, comment="When the row was loaded (UTC)"),
            sa.Column("run_id", sa.String(_RUN_ID_LENGTH), nullable=False, comment="The run that loaded the row"),
        ]
        self._add(meta.layer, name, dated, meta, meta.description)

    def _add_ingest(self, source: Source) -> None:
        """The table into which others write a source's records, by the names of the file; a faulty one can be written.

        Only the business date must be there: it says which file the record becomes part of.
        """
        if source.files.ingest_table is not None:
            columns = [
                sa.Column(c.file_name, sql_type(c.type), nullable=c.file_name != BUSINESS_DATE, comment=c.description)
                for c in source.columns
            ]
            self._add(Layer.INGEST, source.files.ingest_table, columns, None, source.description)

    def _add_landing(self, source: Source) -> None:
        columns = [_column(c, nullable=not (c.key or c.required)) for c in source.columns]
        columns += [
            sa.Column("source_file", _FILE_NAME, nullable=False, comment="File, relative to the landing root"),
            sa.Column("source_row", sa.BigInteger(), nullable=False, comment="Record in the file, from 1"),
            sa.Column(EXTRA, sa.Text(), nullable=True, comment="Columns of the file that are not declared, as JSON"),
        ]
        meta = TableMeta(
            Layer.LANDING,
            source.description,
            source.domain,
            source.owners,
            key=source.key,
            required=tuple(c.name for c in source.columns if c.key or c.required),
        )
        self._add_partitioned(source.table, meta, columns)

    def _add_vault(self) -> None:
        vault = self.catalog.vault
        for name, hub in vault.hubs.items():
            columns = [self._hash_key(name), *(_column(c, nullable=False) for c in hub.key), _rec_src()]
            meta = TableMeta(Layer.VAULT, hub.description, hub.domain, hub.owners, key=(f"{name}_hk",))
            self._add_partitioned(f"h_{name}", meta, columns, date_comment="First date any source sent the key")
        for name, link in vault.links.items():
            columns = [self._hash_key(name), *(self._hash_key(h) for h in link.hubs), _rec_src()]
            meta = TableMeta(Layer.VAULT, link.description, link.domain, link.owners, key=(f"{name}_hk",))
            self._add_partitioned(f"l_{name}", meta, columns, date_comment="First date any source sent the relation")
        for name, event in vault.events.items():
            source = self.catalog.source_of_event(name)
            attributes = [source.columns_by_name[c] for c in self.catalog.event_attributes(name)]
            columns = [self._hash_key(name), *(self._hash_key(h) for h in event.hubs)]
            columns.append(sa.Column("event_date", sa.Date(), nullable=False, comment="Date of the event time"))
            columns += [_column(c, nullable=not (c.key or c.required)) for c in attributes]
            columns.append(_rec_src())
            required = ("event_date", *(c.name for c in attributes if c.key or c.required))
            meta = TableMeta(
                Layer.VAULT, event.description, event.domain, event.owners, key=(f"{name}_hk",), required=required
            )
            self._add_partitioned(f"l_{name}", meta, columns, date_comment="First date a file held the event")
        for name, (source, satellite) in self.catalog.satellites.items():
            attributes = [source.columns_by_name[c] for c in self.catalog.satellite_attributes(name)]
            columns = [
                self._hash_key(satellite.parent),
                sa.Column("is_listed", sa.Boolean(), nullable=False, comment="False: no longer listed by a snapshot"),
                sa.Column("hashdiff", sa.String(vault.hash.length), nullable=False, comment="Hash of the attributes"),
                *(_column(c) for c in attributes),
                _rec_src(),
            ]
            meta = TableMeta(
                Layer.VAULT,
                f"History of {satellite.parent} as source {source.source} tells it.",
                source.domain,
                source.owners,
                key=(f"{satellite.parent}_hk",),
                required=("is_listed", "hashdiff"),
            )
            self._add_partitioned(f"s_{name}", meta, columns, date_comment="First date with these values")

    def _hash_key(self, name: str) -> sa.Column[Any]:
        length = self.catalog.vault.hash.length
        return sa.Column(f"{name}_hk", sa.String(length), nullable=False, comment=f"Hash key of {name}")

    def _add_interface(self, entity: InterfaceEntity) -> None:
        columns = []
        for column in entity.columns:
            mapped = [self.catalog.vault_column(reference) for reference in column.from_]
            columns.append(
                sa.Column(
                    column.name,
                    sql_type(column.type or mapped[0].type),
                    nullable=not column.required,
                    comment=column.description or None,
                    info={"pii": strictest(origin.pii for origin in mapped)},
                )
            )
        meta = TableMeta(
            Layer.INTERFACE,
            entity.description,
            entity.domain,
            entity.owners,
            key=entity.key,
            required=tuple(c.name for c in entity.columns if c.required),
        )
        comment = "As-of date" if entity.kind is EntityKind.STATE else "Date of the event"
        self._add_partitioned(entity.entity, meta, columns, date_comment=comment)

    def _add_mart(self, mart: Mart) -> None:
        required = tuple(c.name for c in mart.columns if c.required)
        layer = Layer(mart.layer.value)
        meta = TableMeta(layer, mart.description, mart.domain, mart.owners, key=mart.key, required=required)
        self._add_partitioned(mart.mart, meta, [_column(c, nullable=not c.required) for c in mart.columns])
        if mart.publish:
            promise = "Only dates whose blocking checks passed; direct and sensitive columns tokenized."
            description = f"{mart.description} {promise}"
            meta = TableMeta(Layer.PUBLISH, description, mart.domain, mart.owners, key=mart.key, required=required)
            shown = self.catalog.published_columns(mart)
            columns = [_column(_published(c), nullable=not c.required) for c in shown]
            self._add_partitioned(mart.mart, meta, columns)

    def _add_control(self) -> None:
        for name, (comment, columns) in _control_tables().items():
            self._add(Layer.CONTROL, name, columns, None, comment)


def _column(column: Column, *, nullable: bool = True) -> sa.Column[Any]:
    comment = f"{column.description} (generated for the demo)" if column.generated else column.description
    return sa.Column(
        column.name, sql_type(column.type), nullable=nullable, comment=comment or None, info={"pii": column.pii}
    )


def _published(column: Column) -> Column:
    """The column as publish shows it: a token in place of a direct or sensitive value."""
    return column.model_copy(update={"type": TOKEN_TYPE}) if column.pii.tokenized else column


def _rec_src() -> sa.Column[Any]:
    return sa.Column("rec_src", sa.String(60), nullable=False, comment="Source of the row")


def _control_tables() -> dict[str, tuple[str, list[sa.Column[Any]]]]:
    """The tables of `cdp_metadata`: what is known about files, rejected rows, loads and checks."""

    def text(name: str, length: int, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
        type_ = sql_type(ColumnType(TypeKind.STRING, length=length)).with_variant(_SpaceForEmpty(length), "oracle")
        return sa.Column(name, type_, nullable=nullable, comment=comment)

    def number(name: str, comment: str) -> sa.Column[Any]:
        return sa.Column(name, sa.BigInteger(), nullable=False, comment=comment)

    def day(name: str = BUSINESS_DATE, comment: str = "Business date") -> sa.Column[Any]:
        return sa.Column(name, sa.Date(), nullable=False, comment=comment)

    def moment(name: str, comment: str, *, nullable: bool = False) -> sa.Column[Any]:
        return sa.Column(name, TIMESTAMP, nullable=nullable, comment=comment)

    def audit() -> list[sa.Column[Any]]:
        return [
            text("run_id", _RUN_ID_LENGTH, "The run that wrote the row"),
            moment("load_ts", "When (UTC)"),
        ]

    return {
        "calendar": ("Every date from the platform's first to far beyond its last.", [day()]),
        "landing_file": (
            "Every content of every landing file that was ever seen, and what became of it.",
            [
                text("source", 60, "Source"),
                day(),
                text("file_name", 400, "File, relative to the landing root"),
                text("state", 20, "arrived, loading, loaded, superseded, rejected or withdrawn"),
                moment("arrived_at", "When this content was first seen whole (UTC)"),
                number("size_bytes", "Size of the file"),
                text("sha256", 64, "Hash of the file's bytes; the archive keeps the content under it"),
                text("version", 400, "What the file system tells of the file (times, ETag); another is read again"),
                text("manifest_version", 400, "The same of the manifest beside it; empty without one"),
                number("deliveries", "How often this content was delivered"),
                moment("delivered_at", "When it was delivered last (UTC)"),
                moment("gone_at", "Since when the file is no longer there (UTC)", nullable=True),
                number("rows_read", "Records in the file"),
                number("rows_loaded", "Records in the landing zone"),
                number("rows_rejected", "Records in rejected_record"),
                moment("earliest_event", "The earliest event time in the file", nullable=True),
                text("drift", 2000, "How its columns differ from the declared ones", nullable=True),
                text("reason", 2000, "Why it was rejected", nullable=True),
                *audit(),
            ],
        ),
        "rejected_record": (
            "Every record and every file that could not be loaded, with the reason.",
            [
                text("source", 60, "Source"),
                day(),
                text("file_name", 400, "File, relative to the landing root"),
                sa.Column("line", sa.BigInteger(), nullable=True, comment="Line in the file; record in a Parquet file"),
                text("rule", 200, "The rule that was broken"),
                text("column_name", 200, "The column that broke it", nullable=True),
                text("reason", 2000, "What was expected and what was found"),
                sa.Column("raw_text", sa.Text(), nullable=True, comment="The record as received"),
                sa.Column("whole_file", sa.Boolean(), nullable=False, comment="The file as a whole was refused"),
                *audit(),
            ],
        ),
        "ingest_export": (
            "What was last written out of each date of the tables of cdm_ingest_db.",
            [
                text("source", 60, "Source whose file it was written to"),
                day(),
                number("rows_written", "Records written"),
                text("fingerprint", 60, "Of the date's rows: another one means that they have changed"),
                *audit(),
            ],
        ),
        "partition_load": (
            "The last load of each partition of each table.",
            [
                text("table_key", 120, "schema.table"),
                day(),
                number("rows_in_partition", "Rows after the load"),
                *audit(),
            ],
        ),
        "stale_partition": (
            "Loaded partitions that a later load upstream changed; they are to be loaded again.",
            [
                text("table_key", 120, "schema.table"),
                day(),
                text("reason", 400, "What changed"),
                *audit(),
            ],
        ),
        "alert": (
            "What people have to know about a file: opened once, closed once when it is over.",
            [
                text("kind", 40, "missing file, withdrawn file or late events"),
                text("source", 60, "Source"),
                day(),
                text("message", 2000, "What happened, whom to ask and what is affected"),
                moment("opened_at", "When (UTC)"),
                moment("closed_at", "When it was over (UTC); empty while it is open", nullable=True),
                *audit(),
            ],
        ),
        "incident": (
            "What somebody has to look after: all failures of one cause, from its opening to its resolution.",
            [
                number("incident_id", "Number of the incident, from 1"),
                text("cause_key", 300, "Kind, code and place of the cause; at most one open incident has it"),
                text("kind", 40, "run failure, blocking check, missing file, missed deadline, ..."),
                text("code", 20, "Error code; `cdm runbook CODE` explains it"),
                text("severity", 10, "critical, major or minor, from the pipeline"),
                text("pipeline", 60, "Pipeline of the table that failed"),
                text("layer", 40, "Schema of the table that failed"),
                text("table_key", 120, "schema.table that failed first; empty where it is none", nullable=True),
                sa.Column("first_date", sa.Date(), nullable=True, comment="Earliest business date that failed"),
                sa.Column("last_date", sa.Date(), nullable=True, comment="Latest business date that failed"),
                number("occurrences", "Failures counted so far"),
                text("title", 400, "What happened, in one line"),
                text("message", 2000, "What the first failure said"),
                text("failing_run_id", _RUN_ID_LENGTH, "The run that failed, or that wrote the result", nullable=True),
                text("run_url", 400, "The run in the UI", nullable=True),
                text("asset_url", 400, "The asset's partition in the UI", nullable=True),
                text("owner", 200, "The pipeline's primary owner"),
                text("on_call", 200, "Who was on duty when it was opened", nullable=True),
                text("state", 20, "open, acknowledged or resolved"),
                moment("opened_at", "When (UTC)"),
                moment("last_seen_at", "When its latest failure was seen (UTC)"),
                moment("respond_by", "Until when it is to be acknowledged (UTC)"),
                moment("resolve_by", "Until when it is to be resolved (UTC)"),
                moment("acknowledged_at", "When (UTC)", nullable=True),
                text("acknowledged_by", 200, "By whom", nullable=True),
                moment("resolved_at", "When (UTC)", nullable=True),
                text("resolved_by", 200, "By whom; `platform` where the cause was over by itself", nullable=True),
                text("note", 2000, "What those who resolved it wrote", nullable=True),
                number("escalated_steps", "Steps of the pipeline's escalation that were taken"),
                *audit(),
            ],
        ),
        "incident_occurrence": (
            "Every single failure that an incident stands for.",
            [
                number("incident_id", "Incident"),
                text("occurrence_key", 400, "The same failure has the same key as long as it is there"),
                text("table_key", 120, "schema.table", nullable=True),
                sa.Column(BUSINESS_DATE, sa.Date(), nullable=True, comment="Business date"),
                text("message", 2000, "What failed"),
                moment("seen_at", "When it was first seen (UTC)"),
                moment("over_at", "When it was over (UTC); empty while it is there", nullable=True),
                *audit(),
            ],
        ),
        "incident_message": (
            "Every message about an incident, kept until each of its addresses has taken it.",
            [
                text("message_id", 100, "Incident, reason and number"),
                number("incident_id", "Incident"),
                text("reason", 40, "opened, more, escalated or resolved"),
                text("recipients", 1000, "Names of people and teams, with commas between"),
                text("title", 400, "Subject"),
                sa.Column("body", sa.Text(), nullable=False, comment="Text"),
                moment("not_before", "Not sent before (UTC)"),
                number("attempts", "How often sending was tried"),
                moment("next_attempt_at", "When it is tried again (UTC)"),
                text("sent_to", 1000, "Fingerprints of the addresses that took it, with commas between"),
                moment("sent_at", "When all had taken it (UTC)", nullable=True),
                text("last_error", 2000, "Why the last attempt failed", nullable=True),
                *audit(),
            ],
        ),
        "variable": (
            "The settings in effect as `variable_sync` last found them; of a secret, only where it comes from.",
            [
                text("name", 60, "The variable"),
                text("value", 2000, "Its value; of a secret a reference such as env:CDM_TOKEN_KEY", nullable=True),
                text("origin", 400, "environment, default, or the file and line that sets it"),
                sa.Column("is_secret", sa.Boolean(), nullable=False, comment="Its value is a reference"),
                moment("changed_at", "Since when it has this value (UTC)"),
                *audit(),
            ],
        ),
        "etl_date_control": (
            "How far each source is: the business dates a run may be for, from Day 0 to the next one.",
            [
                text("source", 60, "Source"),
                text("uses_business_or_timestamp", 1, "B: cut by business date. T: by the time of its events"),
                sa.Column("earliest_date", sa.Date(), nullable=True, comment="Day 0: the earliest date it has data of"),
                day("previous_business_date", "Last date of the run before; on Day 0 the day before its earliest"),
                sa.Column("current_business_date", sa.Date(), nullable=True, comment="Newest date that was loaded"),
                day("next_business_date", "The date with which the next run begins at the latest"),
                moment("previous_start_time", "When the run before the latest one began (UTC)", nullable=True),
                moment("current_start_time", "When the latest run that went forward began (UTC)", nullable=True),
                *audit(),
            ],
        ),
        "ddl_step": (
            "Every step in which the database was made what the catalog declares, the latest of each plan.",
            [
                text("plan_id", 20, "Fingerprint of its plan; `create` where a load created what lacked"),
                number("step_number", "Place in the plan, from 1"),
                text("kind", 40, "create table, add column, grant, ..."),
                text("object_name", 400, "What it creates or changes"),
                sa.Column("statement", sa.Text(), nullable=False, comment="What is run"),
                text("state", 20, "planned, done, failed, or superseded by a later plan"),
                text("message", 2000, "Why it failed", nullable=True),
                text("stored_as", 64, "Hash of a view's text as the database keeps it", nullable=True),
                moment("started_at", "When (UTC)", nullable=True),
                moment("ended_at", "When (UTC)", nullable=True),
                *audit(),
            ],
        ),
        "source_pause": (
            "The sources of which nothing starts by itself.",
            [text("source", 60, "Source"), text("reason", 400, "Why it is paused"), *audit()],
        ),
        "check_result": (
            "The last result of each check of each partition.",
            [
                text("table_key", 120, "schema.table"),
                text("check_name", 60, "Check"),
                day(),
                sa.Column("passed", sa.Boolean(), nullable=False, comment="Whether it passed"),
                sa.Column("blocks", sa.Boolean(), nullable=False, comment="Failed, and stops what depends on it"),
                text("message", 2000, "What failed", nullable=True),
                *audit(),
            ],
        ),
        "load_log": (
            "One row a load: a table and a range of dates.",
            [
                text("table_key", 120, "schema.table"),
                day("first_date", "First date of the range"),
                day("last_date", "Last date of the range"),
                number("rows_read", "Rows read"),
                number("rows_inserted", "Rows inserted"),
                number("rows_removed", "Rows removed"),
                number("rows_rejected", "Rows rejected"),
                sa.Column("seconds", sa.Numeric(12, 3), nullable=False, comment="Seconds in files and SQL"),
                *audit(),
            ],
        ),
    }
