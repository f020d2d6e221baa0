"""The three setup jobs, in plain Python: variables, DDL, and the control table of dates; and a database to do them in.

The command `cdm setup` runs them in this order, Dagster's jobs of the same names one each. All are safe to repeat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import sqlalchemy as sa

from cdm_assets.loading.date_control import CONTROL, Changed, DateControl
from cdm_assets.loading.stamp import Stamp
from cdm_assets.operations.variables import TABLE as VARIABLE_TABLE
from cdm_assets.operations.variables import VariableChange, sync_variables
from cdm_assets.settings import Settings
from cdm_assets.warehouse.database_state import columns_present
from cdm_assets.warehouse.ddl_apply import DdlReport, apply_ddl
from cdm_assets.warehouse.ddl_plan import DdlPlan, plan_ddl
from cdm_assets.warehouse.engine import DatabaseUnreachable, NoDatabase, Warehouse, engine_of_server, fixed_dialect
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets.warehouse.snowflake import SnowflakeAccess, warehouse_statements
from cdm_assets.warehouse.tables import Tables

VARIABLE_SYNC: Final = "variable_sync"
DDL_EXECUTION: Final = "ddl_execution_multidb"
DATE_CONTROL_UPDATE: Final = "etl_date_control_update"

_KNOWS_LETTERS: Final = "SELECT upper(chr(228)) = chr(196)"

Say = Callable[[str], None]
_NOT_THERE: Final = re.compile(r'database "[^"]+" does not exist')
_LOCALES: Final = (
    "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
)
"""Sorted by code points, letters of all languages known: the system's locale, or PostgreSQL 17's own."""
_NOT_ALLOWED: Final = "permission denied to create database"


@dataclass(frozen=True)
class Setup:
    """One setup of one site. With `plan`, nothing is changed, and what is said is what would be done."""

    settings: Settings
    tables: Tables
    run_id: str
    plan: bool = False
    allow: Sequence[str] = ()
    with_access: bool = True
    """Whether roles and grants are part of the DDL."""
    say: Say = field(default=lambda _: None, repr=False)

    @property
    def control(self) -> DateControl:
        """The control table of dates."""
        area = LandingArea(self.settings.landing_root, self.settings.archive)
        return DateControl(self.tables, area, self.settings.start_date)

    def variables(self, warehouse: Warehouse, environment: Mapping[str, str]) -> list[VariableChange]:
        """`variable_sync`. Raises UnknownVariable before anything is written."""
        changes = sync_variables(warehouse, self.settings, environment, self.run_id, plan=self.plan)
        for change in changes:
            self.say(f"  {change}")
        if not changes:
            self.say("  nothing has changed")
        return changes

    def ddl(self, warehouse: Warehouse) -> DdlPlan | DdlReport:
        """`ddl_execution_multidb`. Raises DdlFailed; the next call goes on at the step that failed."""
        plan = plan_ddl(warehouse, with_access=self.with_access)
        if self.plan:
            for line in plan.lines(self.allow):
                self.say(f"  {line}")
            return plan
        report = apply_ddl(
            warehouse, plan, allow=self.allow, run_id=self.run_id, say=lambda text: self.say(f"  {text}")
        )
        for line in report.lines():
            self.say(f"  {line}")
        return report

    def dates(
        self,
        warehouse: Warehouse,
        *,
        advance_to: date | None = None,
        day_zero: date | None = None,
        sources: Collection[str] = (),
    ) -> list[Changed]:
        """`etl_date_control_update`, then what an operator decides (`DateControl.move`).

        Raises NoDatabase where the tables are missing, UnknownSource.
        """
        if not self.has_tables(warehouse):
            if not self.plan:
                raise NoDatabase(f"the tables are not there yet; run {DDL_EXECUTION} first, or `cdm setup`")
            changed = self.control.first_look()
        else:
            stamp = Stamp(self.run_id)
            with warehouse.transaction() as connection:
                changed = self.control.update(connection, stamp, write=not self.plan)
                if not self.plan and (advance_to or day_zero):
                    changed += self.control.move(
                        connection, stamp, advance_to=advance_to, day_zero=day_zero, sources=sources
                    )
        for change in changed:
            self.say(f"  {change}")
        if not changed:
            self.say("  nothing has changed")
        return changed

    def has_tables(self, warehouse: Warehouse) -> bool:
        """Whether the control table is there."""
        table = self.tables[CONTROL]
        with warehouse.connection() as connection:
            return (str(table.schema), table.name) in columns_present(connection, self.tables)

    def everything(self, warehouse: Warehouse, environment: Mapping[str, str]) -> DdlPlan | DdlReport:
        """The three in their order; returns what became of the DDL."""
        self.say(f"1 {VARIABLE_SYNC}: {self.tables[VARIABLE_TABLE].fullname}")
        self.variables(warehouse, environment)
        self.say(f"2 {DDL_EXECUTION}: {self.settings.engine}, {len(self.tables.metadata.sorted_tables)} tables")
        outcome = self.ddl(warehouse)
        self.say(f"3 {DATE_CONTROL_UPDATE}: {self.tables[CONTROL].fullname}")
        self.dates(warehouse)
        return outcome


def open_for_setup(settings: Settings, tables: Tables, *, plan: bool, say: Say, wait_seconds: float = 0) -> Warehouse:
    """The database to set up. One that is not there is created, where that is for the user to do; not by a plan.

    A plan for a database that is not there is made against an empty one beside it.
    Raises what `Warehouse.open` raises, DatabaseUnreachable with the command to run for a database that is not there.
    """
    if settings.engine == "duckdb":
        path = settings.database_path
        if plan and not path.exists():
            say(f"{path} is not there yet; it would be created")
            return Warehouse.open_duckdb(None, tables)
        return Warehouse.open(settings, tables, read_only=plan, wait_seconds=wait_seconds)
    try:
        warehouse = Warehouse.open(settings, tables)
    except DatabaseUnreachable as fault:
        if settings.engine != "postgresql" or not _NOT_THERE.search(str(fault)):
            raise
        if plan:
            return _beside_a_missing_database(settings, tables, say)
        _create_postgresql_database(settings, say)
        warehouse = Warehouse.open(settings, tables)
    if settings.engine == "postgresql":
        for warning in _postgresql_warnings(warehouse):
            say(f"warning: {warning}")
    if settings.engine == "snowflake":
        _size_virtual_warehouse(warehouse, settings, plan=plan, say=say)
    return warehouse


def _size_virtual_warehouse(warehouse: Warehouse, settings: Settings, *, plan: bool, say: Say) -> None:
    """Bring what Snowflake computes with to the size and rest that the URL says; the tables need it to be there."""
    for statement in warehouse_statements(SnowflakeAccess.from_url(sa.make_url(settings.database))):
        say(f"{'would do' if plan else 'done'}: {statement}")
        if not plan:
            with warehouse.connection() as connection:
                connection.exec_driver_sql(statement)


def _beside_a_missing_database(settings: Settings, tables: Tables, say: Say) -> Warehouse:
    """The server's database `postgres`, which has none of the platform's tables, but the same roles."""
    name = sa.make_url(settings.database).database
    say(f"There is no database {name} yet; it would be created: {_commands(settings)[0]}")
    return Warehouse(_maintenance_engine(settings), tables)


def _commands(settings: Settings) -> list[str]:
    """The statements that create the database which the URL names; one of them fits the server."""
    name = fixed_dialect("postgresql").identifier_preparer.quote(str(sa.make_url(settings.database).database))
    return [f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}" for locale in _LOCALES]


def _maintenance_engine(settings: Settings) -> sa.Engine:
    """The database `postgres` is on every server, to connect to for such things."""
    text = sa.make_url(settings.database).set(database="postgres").render_as_string(hide_password=False)
    return engine_of_server(text, settings.database_password)


def _create_postgresql_database(settings: Settings, say: Say) -> None:
    """Create the database that the URL names. Raises DatabaseUnreachable with the command where that is not allowed."""
    commands, engine = _commands(settings), _maintenance_engine(settings)
    name = sa.make_url(settings.database).database
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _first_that_works(connection, commands)
    except sa.exc.DBAPIError as fault:
        reason = " ".join(str(fault.orig).split())[:300]
        who = "a role with CREATEDB" if _NOT_ALLOWED in reason else "its administrator"
        missing = f"the server of {settings.database_name} has no database {name}, and it cannot be created"
        message = f"{missing}: {reason}. Have {who} run: {commands[0]}"
        raise DatabaseUnreachable(message) from None
    finally:
        engine.dispose()
    say(f"Created the database {name}, in UTF-8")


def _first_that_works(connection: sa.Connection, commands: Sequence[str]) -> None:
    for command in commands[:-1]:
        try:
            connection.exec_driver_sql(command)
        except sa.exc.DBAPIError as fault:
            if "locale" not in str(fault.orig):
                raise
        else:
            return
    connection.exec_driver_sql(commands[-1])


def _postgresql_warnings(warehouse: Warehouse) -> list[str]:
    with warehouse.connection() as connection:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        knows_letters = encoding != "UTF8" or connection.exec_driver_sql(_KNOWS_LETTERS).scalar_one()
    warnings = []
    if encoding != "UTF8":
        warnings.append(
            f"the database's encoding is {encoding}, not UTF8: texts with other characters cannot be loaded. Create "
            "one with TEMPLATE template0 ENCODING 'UTF8' LC_CTYPE 'C.UTF-8'"
        )
    if not knows_letters:
        warnings.append(
            "the database's LC_CTYPE knows no letters beyond ASCII: keys with such letters get other hashes than on "
            "other engines. Create one with TEMPLATE template0 ENCODING 'UTF8' LC_CTYPE 'C.UTF-8'"
        )
    return warnings
