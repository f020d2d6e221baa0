"""The catalog: sources, vault, interface and marts as frozen models.

One YAML file becomes one model; `Catalog` holds them all and knows the names of the tables they stand for.
`reading.py` builds it and is the only way to get one that has been checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim
from pydantic import Field, StringConstraints, field_validator, model_validator

from cdm_assets.catalog.access import Role
from cdm_assets.catalog.base import Identifier, Owner, Strict
from cdm_assets.catalog.checks import EntityCheck, LandingCheck, MartCheck
from cdm_assets.catalog.clock import checked_cron, checked_time_zone
from cdm_assets.catalog.models import PredictionModel
from cdm_assets.catalog.oncall import OnCall
from cdm_assets.catalog.pipelines import Pipeline
from cdm_assets.catalog.rules import Rule
from cdm_assets.catalog.types import ColumnType, Delivery, Layer, OnFailure, PiiClass, TypeKind, TypeText

DATE_PLACEHOLDER = "{date}"
WAREHOUSE_SYSTEM: Final = "warehouse"
"""The system whose maintenance holds every source."""
LONGEST_HOLD: Final = timedelta(days=92)
"""How far a window that begins again before it is over is followed; one that holds longer is a mistake."""

Reference = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
"""`table.column` within one layer, such as `s_customer_demographics.age`."""


class Column(Strict):
    """One column of a file, a hub key, or a mart."""

    name: Identifier
    type: TypeText
    description: str = ""
    key: bool = False
    required: bool = False
    pii: PiiClass = PiiClass.NONE
    generated: bool = False
    """The demo's real data lacks this column; a seeded generator fills it."""
    header: str = ""
    """The column's name in the file, where it is not `name`."""
    cleared: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    """Marts only: why a value computed from `direct` or `sensitive` ones identifies nobody any more."""

    @property
    def file_name(self) -> str:
        """The column's name in the file."""
        return self.header or self.name


class FileFormat(StrEnum):
    """What a source's files are written in; `.gz` at the end of a path means gzip around it."""

    CSV = "csv"
    PARQUET = "parquet"
    EXCEL = "excel"
    JSON_LINES = "json_lines"
    """One JSON object a line."""


class Files(Strict):
    """Where a source's file for one business date lies, below the landing root."""

    path: str
    format: FileFormat
    may_be_absent: bool = False
    """A business date without a file is legal (events on days when nothing happened, deltas without a change)."""
    may_be_empty: bool = False
    """A file with a header and no record is legal. For a snapshot it ends every key."""
    needs_manifest: bool = False
    """A file is whole only once the `_manifest.json` beside it lists it; without, when it no longer changes."""
    sheet: str | None = None
    """Excel only: the sheet's name; None for the first one."""
    header_row: int = Field(default=1, ge=1)
    """Excel only: the row of the column names, from 1; the records follow it."""
    ingest_table: Identifier | None = None
    """Others write these records by SQL into this table of `cdm_ingest_db`; the platform writes the rows of each
    business date out as the file. CSV only. Columns as the file's, one of them `business_date`."""

    @field_validator("path")
    @classmethod
    def _names_the_date(cls, path: str) -> str:
        if DATE_PLACEHOLDER not in path:
            raise ValueError(f"path {path!r} must contain {DATE_PLACEHOLDER}, the business date as YYYY-MM-DD")
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"path {path!r} must be relative to the landing root")
        return path

    @model_validator(mode="after")
    def _sheets_only_in_excel(self) -> Files:
        if self.format is not FileFormat.EXCEL and {"sheet", "header_row"} & self.model_fields_set:
            raise ValueError(f"sheet and header_row are for format excel, not {self.format}")
        return self

    @model_validator(mode="after")
    def _ingested_as_csv_that_may_lack(self) -> Files:
        if self.ingest_table is None:
            return self
        if self.format is not FileFormat.CSV or self.path.endswith(".gz"):
            raise ValueError("ingest_table: the platform writes these files itself, as plain csv")
        if not (self.may_be_absent and self.may_be_empty):
            raise ValueError("ingest_table: set `may_be_absent: true` and `may_be_empty: true`, rows may be none or go")
        return self


class Expected(Strict):
    """When a source's file is due, in UTC on the day after the business date."""

    at: time = time(6)
    late_after_hours: float = Field(default=6, ge=0)

    def at_for(self, business_date: date) -> datetime:
        """When the file of `business_date` is due (UTC)."""
        return datetime.combine(business_date + timedelta(days=1), self.at, tzinfo=UTC)

    def late_after_for(self, business_date: date) -> datetime:
        """From when on the file of `business_date` is late (UTC)."""
        return self.at_for(business_date) + timedelta(hours=self.late_after_hours)


class SatelliteFeed(Strict):
    """A satellite that a source fills: what it says about a hub or a link, with history."""

    name: Identifier
    parent: Identifier
    attributes: tuple[Identifier, ...] | None = None
    """None: every column that is not part of the parent's key. Empty: only whether the key is listed."""


class Feeds(Strict):
    """Which hubs, links and satellites a source fills."""

    hubs: dict[Identifier, tuple[Identifier, ...]] = Field(min_length=1)
    links: tuple[Identifier, ...] = ()
    event: Identifier | None = None
    satellites: tuple[SatelliteFeed, ...] = ()


class Source(Strict):
    """All there is to know about one source."""

    source: Identifier
    description: str
    domain: Identifier = "customer"
    delivery: Delivery
    files: Files
    expected: Expected = Expected()
    owners: tuple[Owner, ...] = Field(min_length=1)
    columns: tuple[Column, ...] = Field(min_length=1)
    event_time: Identifier | None = None
    event_bound_hours: float = Field(default=48, ge=0)
    """How long before its business date an event may have happened without an alert."""
    system: Identifier = "data_mart"
    """The system that sends the files; its maintenance windows hold them."""
    rules: tuple[Rule, ...] = ()
    checks: tuple[LandingCheck, ...] = ()
    """What is looked for in each partition of the landing table besides the rules."""
    feeds: Feeds

    @cached_property
    def columns_by_name(self) -> dict[str, Column]:
        """The source's columns by name."""
        return {column.name: column for column in self.columns}

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the columns that identify a row of one file."""
        return tuple(column.name for column in self.columns if column.key)

    @property
    def table(self) -> str:
        """The landing-zone table, without its schema."""
        return f"ldz_{self.source}"

    def attributes_of(self, satellite: SatelliteFeed, parent_columns: tuple[str, ...]) -> tuple[str, ...]:
        """The columns a satellite tracks, given the columns its parent's key is made of."""
        if satellite.attributes is not None:
            return satellite.attributes
        return tuple(c.name for c in self.columns if c.name not in parent_columns)


class HashContract(Strict):
    """How keys and hashdiffs are hashed; a change means a new version and a rebuilt vault."""

    version: Literal[1] = 1
    algorithm: Literal["md5", "sha256"] = "md5"

    @property
    def length(self) -> int:
        """Characters of one hash in hex."""
        return 32 if self.algorithm == "md5" else 64


class Hub(Strict):
    """A business key and the first date any source sent it."""

    description: str
    domain: Identifier = "customer"
    owners: tuple[Owner, ...] = Field(min_length=1)
    key: tuple[Column, ...] = Field(min_length=1)


class Link(Strict):
    """A relation between hubs, or (under `events`) a thing that happened to them."""

    description: str
    domain: Identifier = "customer"
    owners: tuple[Owner, ...] = Field(min_length=1)
    hubs: tuple[Identifier, ...] = Field(min_length=1)


class Vault(Strict):
    """The hubs, the links that persist, and the non-historized links of events."""

    hash: HashContract = HashContract()
    hubs: dict[Identifier, Hub] = Field(default_factory=dict)
    links: dict[Identifier, Link] = Field(default_factory=dict)
    events: dict[Identifier, Link] = Field(default_factory=dict)


class EntityKind(StrEnum):
    """What one partition of an interface entity holds."""

    STATE = "state"
    """Every key known on that date, with what is known of it as of that date."""
    EVENT = "event"
    """The events whose event time falls on that date."""


class Preference(StrEnum):
    """Which of several references a canonical column takes."""

    FIRST = "first"
    """The first that has a value."""
    LATEST = "latest"
    """That of the satellite whose values for the key are the latest, the first where they are of the same date."""


class InterfaceColumn(Strict):
    """A canonical column: the preferred of `from_`, its codes converted, else the default."""

    name: Identifier
    from_: tuple[Reference, ...] = Field(alias="from", min_length=1)
    description: str = ""
    type: TypeText | None = None
    """None: the type of the first reference."""
    codes: dict[str, str] = Field(default_factory=dict)
    default: str | None = None
    required: bool = False

    @field_validator("from_", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class InterfaceEntity(Strict):
    """One canonical entity: a spine from the vault and the columns mapped onto it."""

    entity: Identifier
    description: str
    kind: EntityKind
    domain: Identifier = "customer"
    owners: tuple[Owner, ...] = Field(min_length=1)
    spine: Identifier
    """The hub, link or event table (`h_customer`, `l_transaction`) that gives the rows."""
    key: tuple[Identifier, ...] = Field(min_length=1)
    prefer: Preference = Preference.FIRST
    """`latest` is for state entities whose columns with several references name the same satellites, in one order: then
    all of a row comes from one of them."""
    columns: tuple[InterfaceColumn, ...] = Field(min_length=1)
    checks: tuple[EntityCheck, ...] = ()


class Bound(Strict):
    """What a column must keep to on every row; NULL keeps to it. A column's name as the bound means its value there."""

    check: Identifier
    """The check that counts the rows which do not."""
    column: Identifier
    at_least: Decimal | Identifier | None = None
    at_most: Decimal | Identifier | None = None
    on_failure: Literal[OnFailure.BLOCK, OnFailure.WARN] = OnFailure.WARN
    description: str
    """What the rows are that do not, such as `models whose scores have drifted`."""

    @model_validator(mode="after")
    def _has_a_bound(self) -> Bound:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a bound needs `at_least`, `at_most` or both")
        return self


class Total(Strict):
    """A sum that must agree with the vault to the last digit."""

    column: Identifier
    against: Reference
    """Vault column, or `<table>.rows` for the number of rows."""
    window: Literal["same_date", "up_to_date"]


class MartLayer(StrEnum):
    """The layers whose tables are computed by marts."""

    AGGREGATE = "agg"
    CUSTOMER_360 = "cs_360_db"
    METRICS = "metrics"


class Mart(Strict):
    """A computed table; `loading.marts` holds the select that fills it."""

    mart: Identifier
    layer: MartLayer
    description: str
    domain: Identifier = "customer"
    owners: tuple[Owner, ...] = Field(min_length=1)
    publish: bool = False
    key: tuple[Identifier, ...] = Field(min_length=1)
    columns: tuple[Column, ...] = Field(min_length=1)
    totals: tuple[Total, ...] = ()
    one_row_per: Reference | None = None
    """The interface entity's key this mart has one row for, such as `customer.customer_id`."""
    checks: tuple[MartCheck, ...] = ()
    bounds: tuple[Bound, ...] = ()
    enriched_by: Identifier | None = None
    """The mart with the same key whose other columns publish shows beside this one's, NULL where it has no row."""
    judges: tuple[Identifier, ...] = ()
    """The sources whose `known` rules are decided with each partition; what breaks one goes to `rejected_record`."""

    @model_validator(mode="after")
    def _columns_exist(self) -> Mart:
        names = {column.name for column in self.columns}
        missing = [n for n in (*self.key, *(total.column for total in self.totals)) if n not in names]
        if missing:
            raise ValueError(f"key or totals name columns that are not declared: {', '.join(missing)}")
        bounding = [name for b in self.bounds for name in (b.column, b.at_least, b.at_most) if isinstance(name, str)]
        if missing := [name for name in bounding if name not in names]:
            raise ValueError(f"bounds name columns that are not declared: {', '.join(missing)}")
        if self.enriched_by is not None and not self.publish:
            raise ValueError("enriched_by is about what is published; set `publish: true`")
        return self


class MaintenanceWindow(Strict):
    """A time that comes again and again, in which nothing of a system starts; what was due starts after it."""

    system: str
    """The `system` of sources, or `warehouse`."""
    cron: str
    """When it begins, in `time_zone`: minute, hour, day of the month, month, day of the week."""
    minutes: int = Field(strict=True)
    """How long it lasts, from 1 to a week, in time that passes: a change of the clock makes it no shorter or longer."""
    time_zone: str = "UTC"
    description: str = ""

    @field_validator("cron")
    @classmethod
    def _is_a_cron(cls, cron: str) -> str:
        return checked_cron(cron)

    @field_validator("minutes")
    @classmethod
    def _at_most_a_week(cls, minutes: int) -> int:
        if not 0 < minutes <= 7 * 24 * 60:
            raise ValueError("expected 1 to 10080 minutes, which is a week")
        return minutes

    @field_validator("time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        return checked_time_zone(name)

    @model_validator(mode="after")
    def _begins_and_ends(self) -> MaintenanceWindow:
        beginnings = self.beginnings(datetime(2024, 1, 1, tzinfo=UTC))
        first = last = next(beginnings, None)
        if first is None or last is None:
            raise ValueError(f"cron {self.cron!r} never begins; expected a time that comes")
        for begins in beginnings:
            if begins > last + self.length:
                break
            if begins - first > LONGEST_HOLD:
                raise ValueError(
                    f"cron {self.cron!r} begins it again before it is over (minutes: {self.minutes}), for more than "
                    f"{LONGEST_HOLD.days} days without a break; expected a window that ends"
                )
            last = begins
        return self

    @property
    def length(self) -> timedelta:
        """`minutes` as a duration."""
        return timedelta(minutes=self.minutes)

    def beginnings(self, since: datetime) -> Iterator[datetime]:
        """When the window begins from `since` (aware) on, in UTC and in order; `since` itself counts.

        As Debian's cron has it: a begin in the hour that the clock leaves out is when the clock goes on, and one in the
        hour that comes twice is in the first. Not so where minute or hour begin with `*`: they go by the clock.
        """
        before = (since.astimezone(UTC) - timedelta(seconds=1)).astimezone(ZoneInfo(self.time_zone))
        # Without `if`, one second earlier and the hour that comes twice would give begins before `since`.
        return (at for local in CronSim(self.cron, before) if (at := local.astimezone(UTC)) >= since)


class MaintenanceFile(Strict):
    """What stands in `maintenance.yaml`."""

    windows: dict[Identifier, MaintenanceWindow]


class Catalog(Strict):
    """Everything that is declared, checked as a whole."""

    sources: dict[str, Source]
    vault: Vault
    interface: dict[str, InterfaceEntity]
    marts: dict[str, Mart]
    maintenance: dict[str, MaintenanceWindow] = Field(default_factory=dict)
    models: dict[str, PredictionModel] = Field(default_factory=dict)
    pipelines: dict[str, Pipeline] = Field(default_factory=dict)
    oncall: OnCall = OnCall()
    roles: dict[str, Role] = Field(default_factory=dict)

    @property
    def primary_model(self) -> str | None:
        """The model whose scores enrich customer_360."""
        return next((name for name, model in self.models.items() if model.primary), None)

    def published_columns(self, mart: Mart) -> tuple[Column, ...]:
        """The columns of a mart as published: its own, then those it is enriched by, without the key."""
        if mart.enriched_by is None:
            return mart.columns
        enrichment = self.marts[mart.enriched_by]
        further = [column for column in enrichment.columns if column.name not in mart.key]
        return (*mart.columns, *(column.model_copy(update={"required": False}) for column in further))

    def sources_of_hub(self, hub: str) -> list[Source]:
        """The sources whose files carry the key of `hub`, by name."""
        return [s for s in self.sources.values() if hub in s.feeds.hubs]

    def sources_of_link(self, link: str) -> list[Source]:
        """The sources that fill the persisting link `link`, by name."""
        return [s for s in self.sources.values() if link in s.feeds.links]

    def source_of_event(self, event: str) -> Source:
        """The one source of the non-historized link `event`."""
        return next(s for s in self.sources.values() if s.feeds.event == event)

    @cached_property
    def satellites(self) -> dict[str, tuple[Source, SatelliteFeed]]:
        """Every satellite by name, with the source that fills it."""
        return {sat.name: (source, sat) for source in self.sources.values() for sat in source.feeds.satellites}

    def parent_columns(self, source: Source, parent: str) -> tuple[str, ...]:
        """The columns of `source` that make the key of the hub, link or event `parent`, in hash order."""
        vault = self.vault
        if parent in vault.hubs:
            return source.feeds.hubs[parent]
        if parent in vault.events:
            return source.key
        return tuple(column for hub in vault.links[parent].hubs for column in source.feeds.hubs[hub])

    def satellite_attributes(self, name: str) -> tuple[str, ...]:
        """The columns that satellite `name` tracks."""
        source, satellite = self.satellites[name]
        return source.attributes_of(satellite, self.parent_columns(source, satellite.parent))

    def event_attributes(self, event: str) -> tuple[str, ...]:
        """The columns of an event that are not the key of one of its hubs; they live on the link itself."""
        source = self.source_of_event(event)
        hub_columns = {c for hub in self.vault.events[event].hubs for c in source.feeds.hubs[hub]}
        return tuple(column.name for column in source.columns if column.name not in hub_columns)

    def vault_column(self, reference: str) -> Column:
        """The column behind `table.column` of the vault: a hub's key, an event's or a satellite's attribute.

        `business_date` of any table and `is_listed` of a satellite are columns too.
        """
        table, name = reference.split(".")
        if name == "business_date":
            return Column(name=name, type=ColumnType(TypeKind.DATE), required=True)
        if table.startswith("h_"):
            return next(column for column in self.vault.hubs[table[2:]].key if column.name == name)
        if table.startswith("l_"):
            return self.source_of_event(table[2:]).columns_by_name[name]
        if name == "is_listed":
            return Column(name=name, type=ColumnType(TypeKind.BOOLEAN), required=True)
        return self.satellites[table[2:]][0].columns_by_name[name]

    def schema_of(self, layer: Layer, prefix: str = "") -> str:
        """The name of a layer's schema in an environment."""
        return f"{prefix}{layer.value}"
