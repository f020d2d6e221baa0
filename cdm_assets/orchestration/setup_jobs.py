"""The three setup jobs, to be run from the UI in the order in which `cdm setup` runs them; each is safe to repeat.

They open the database themselves: the resource of the loads would ask for tables that are not there yet.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Final

from dagster import (
    Config,
    Failure,
    JobDefinition,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    in_process_executor,
    job,
    op,
)
from pydantic import Field

from cdm_assets.loading.date_control import Changed, SourceDates, UnknownSource
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.error_codes import code_of_exception, told
from cdm_assets.operations.setup import (
    DATE_CONTROL_UPDATE,
    DDL_EXECUTION,
    VARIABLE_SYNC,
    Setup,
    open_for_setup,
)
from cdm_assets.orchestration.warehouse_resource import LOCK_WAIT_SECONDS
from cdm_assets.settings import Settings, SettingsError
from cdm_assets.warehouse.ddl import SchemaMismatch
from cdm_assets.warehouse.ddl_apply import DdlFailed, DdlReport
from cdm_assets.warehouse.engine import DatabaseUnreachable, EngineMissing, NoDatabase, Warehouse, WarehouseBusy

_KNOWN: Final = (
    DatabaseUnreachable,
    DdlFailed,
    EngineMissing,
    NoDatabase,
    SchemaMismatch,
    SettingsError,
    UnknownSource,
    WarehouseBusy,
)
_TAGS: Final = {"cdm/setup": "true"}
_MOST_ROWS: Final = 500


class PlanConfig(Config):
    """Whether anything is changed."""

    plan: bool = Field(default=False, description="Change nothing: show what would be done.")


class DdlConfig(PlanConfig):
    """What the DDL may do."""

    allow: list[str] = Field(
        default_factory=list,
        description="Changes that lose something are done only if they are named here, as the plan names them.",
    )
    with_access: bool = Field(default=True, description="Roles and grants too; without, somebody else sees to them.")


class DatesConfig(PlanConfig):
    """Moves an operator decides on; without them, the table is brought in line with files and loads."""

    advance_to: str | None = Field(
        default=None, description="The next run may begin with this date; dates before it are left out on purpose."
    )
    day_zero: str | None = Field(default=None, description="Day 0 is this date, whatever files there are.")
    sources: list[str] = Field(default_factory=list, description="Only these sources; default: all.")


def setup_jobs(loads: TableLoads, settings: Settings) -> list[JobDefinition]:
    """`variable_sync`, `ddl_execution_multidb` and `etl_date_control_update`."""
    return [
        _job(
            VARIABLE_SYNC,
            _variable_sync(loads, settings),
            "Setup 1 of 3: the settings from environment, files and secrets into cdp_metadata.variable; shows what "
            "changed. Of secrets only where they are. Refuses names that the platform does not know.",
        ),
        _job(
            DDL_EXECUTION,
            _ddl_execution(loads, settings),
            "Setup 2 of 3: compares schemas, tables, views, comments and grants with the catalog and applies the "
            "difference, step by step (cdp_metadata.ddl_step); a failed run goes on at its step. What would lose "
            "something is done only if `allow` names it.",
        ),
        _job(
            DATE_CONTROL_UPDATE,
            _date_control_update(loads, settings),
            "Setup 3 of 3: cdp_metadata.etl_date_control, which says for which business dates a run may be: Day 0 of "
            "new sources, how far each is. Every run does the same by itself.",
        ),
    ]


def op_of(job_name: str) -> str:
    """The op of a setup job; a code location has no job and op of one name."""
    return f"{job_name}_op"


def _job(name: str, definition: OpDefinition, description: str) -> JobDefinition:
    @job(name=name, description=description, tags=_TAGS, executor_def=in_process_executor)
    def setup_job() -> None:
        definition()

    return setup_job


def _open(settings: Settings, loads: TableLoads, context: OpExecutionContext, *, plan: bool) -> Warehouse:
    return open_for_setup(
        settings, loads.tables, plan=plan, say=context.log.info, wait_seconds=0 if plan else LOCK_WAIT_SECONDS
    )


def _setup(loads: TableLoads, settings: Settings, context: OpExecutionContext, **options: Any) -> Setup:
    return Setup(settings, loads.tables, context.run_id, say=lambda text: context.log.info(text.strip()), **options)


@contextmanager
def _clear_failures() -> Iterator[None]:
    """Known failures end the run with their message and code, and are not tried again."""
    try:
        yield
    except _KNOWN as reason:
        raise Failure(f"{reason} {told(code_of_exception(reason))}", allow_retries=False) from reason


def _variable_sync(loads: TableLoads, settings: Settings) -> OpDefinition:
    @op(name=op_of(VARIABLE_SYNC))
    def variable_sync(context: OpExecutionContext, config: PlanConfig) -> None:
        setup = _setup(loads, settings, context, plan=config.plan)
        with _clear_failures(), _open(settings, loads, context, plan=config.plan) as warehouse:
            changes = setup.variables(warehouse, os.environ)
        rows = [
            (
                (change.after or change.before).name,  # type: ignore[union-attr]
                change.before.value if change.before else None,
                change.after.value if change.after else None,
                change.after.origin if change.after else "removed",
            )
            for change in changes
        ]
        context.add_output_metadata(_shown(len(changes), ("variable", "was", "is", "from"), rows))

    return variable_sync


def _ddl_execution(loads: TableLoads, settings: Settings) -> OpDefinition:
    @op(name=op_of(DDL_EXECUTION))
    def ddl_execution(context: OpExecutionContext, config: DdlConfig) -> None:
        setup = _setup(
            loads, settings, context, plan=config.plan, allow=tuple(config.allow), with_access=config.with_access
        )
        with _clear_failures(), _open(settings, loads, context, plan=config.plan) as warehouse:
            outcome = setup.ddl(warehouse)
        done = outcome.done if isinstance(outcome, DdlReport) else outcome.to_apply(setup.allow)
        left = outcome.left if isinstance(outcome, DdlReport) else outcome.left_over(setup.allow)
        rows = [(str(step.number), step.kind, step.object, step.reason) for step in done]
        rows += [
            (str(step.number), step.kind, step.object, step.blocked or f"not without `{step.token}`") for step in left
        ]
        context.add_output_metadata(
            {**_shown(len(done), ("step", "what", "object", "why"), rows), "left": len(left), "engine": settings.engine}
        )

    return ddl_execution


def _date_control_update(loads: TableLoads, settings: Settings) -> OpDefinition:
    @op(name=op_of(DATE_CONTROL_UPDATE))
    def date_control_update(context: OpExecutionContext, config: DatesConfig) -> None:
        setup = _setup(loads, settings, context, plan=config.plan)
        with _clear_failures(), _open(settings, loads, context, plan=config.plan) as warehouse:
            changed = setup.dates(
                warehouse,
                advance_to=_date(config.advance_to),
                day_zero=_date(config.day_zero),
                sources=config.sources,
            )
        context.add_output_metadata(_shown(len(changed), _DATES_SHOWN, [_dates_row(each) for each in changed]))

    return date_control_update


_DATES_SHOWN: Final = ("source", "uses", "Day 0", "previous", "current", "next")


def _dates_row(change: Changed) -> tuple[object, ...]:
    row: SourceDates = change.after
    days = (row.earliest_date, row.previous_business_date, row.current_business_date, row.next_business_date)
    return (row.source, row.uses_business_or_timestamp, *days)


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Failure(f"{text!r} is no date; expected YYYY-MM-DD", allow_retries=False) from None


def _shown(count: int, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> dict[str, Any]:
    """What an op leaves on its page: how much changed, and the changes as a table."""
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join("" if value is None else _cell(value) for value in row) for row in list(rows)[:_MOST_ROWS]]
    return {"changed": count, "changes": MetadataValue.md("\n".join(f"| {line} |" for line in lines))}


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
