"""The steps of a DDL plan, done one by one, each noted in `cdp_metadata.ddl_step` in the transaction that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from cdm_assets.catalog.types import Layer
from cdm_assets.warehouse import ddl_record
from cdm_assets.warehouse.database_state import view_hashes
from cdm_assets.warehouse.ddl import alone, fill_calendar
from cdm_assets.warehouse.ddl_plan import (
    ADD_COLUMN,
    ALL,
    CREATE_SCHEMA,
    CREATE_TABLE,
    DdlPlan,
    DdlStep,
    plan_ddl,
    step_lines,
    tokens_of,
)
from cdm_assets.warehouse.ddl_record import CREATE_VIEW, DONE, FAILED, SUPERSEDED, UNFINISHED, utc_now
from cdm_assets.warehouse.engine import Warehouse

_MOST_ROUNDS = 4
_LOCK_SECONDS = 60
_OF_ACCESS = ("create role", ddl_record.GRANT, ddl_record.REVOKE)


class DdlFailed(Exception):
    """A step of a plan failed; what came before it is done."""

    def __init__(self, message: str, step: DdlStep) -> None:
        self.step = step
        super().__init__(message)


@dataclass(frozen=True)
class DdlReport:
    """What became of a plan."""

    plan: DdlPlan
    done: tuple[DdlStep, ...]
    left: tuple[DdlStep, ...]
    """Steps that were not allowed, or cannot be done yet."""
    resumed_at: int | None = None
    """The number of the step at which an earlier run had stopped."""
    unused_tokens: tuple[str, ...] = ()
    """What was allowed although no step asks for it."""
    marked: int = 0
    """Loaded partitions that are to be loaded again, as their table got a column."""

    @property
    def created_tables(self) -> int:
        """The number of new tables."""
        return sum(step.kind == CREATE_TABLE for step in self.done)

    def lines(self) -> Iterator[str]:
        """The report for people."""
        resumed = f", resumed at step {self.resumed_at}" if self.resumed_at else ""
        if self.done:
            done = f"{_counted(len(self.done), 'step')} done{resumed}, {_counted(self.created_tables, 'new table')}"
            yield f"Plan {self.plan.fingerprint}: {done}"
        elif not self.left:
            yield "The database is what the catalog declares; nothing to do"
        if self.marked:
            yield f"{self.marked:,} loaded partitions of tables with new columns are to be loaded again: `cdm run`"
        for token in self.unused_tokens:
            yield f"--allow {token}: no step asks for it"
        if self.left:
            yield f"Left: {_counted(len(self.left), 'step')}"
            for step in self.left:
                yield from step_lines(step)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def apply_ddl(
    warehouse: Warehouse,
    plan: DdlPlan,
    *,
    allow: Sequence[str] = (),
    run_id: str,
    say: Callable[[str], None] | None = None,
) -> DdlReport:
    """Do the steps of `plan` that are allowed, then what they bring about; fills the calendar too. Safe to repeat.

    Raises DdlFailed at the first step that fails; the next call goes on there.
    """
    with alone(warehouse):
        log = _StepLog(warehouse, run_id, say or (lambda _: None))
        now = plan
        for _ in range(_MOST_ROUNDS):
            steps = now.to_apply(allow)
            if not steps:
                break
            log.begin(now, steps)
            for step in steps:
                log.do(step)
            # Columns dropped to be added with another type, and grants of views created anew, show in the next plan.
            now = plan_ddl(warehouse, with_access=plan.with_access)
        with warehouse.transaction() as connection:
            ddl_record.note_stored_views(connection, warehouse.tables)
            fill_calendar(connection, warehouse.tables["cdp_metadata.calendar"])
    unused = tuple(token for token in allow if token != ALL and token not in tokens_of(plan))
    return DdlReport(plan, tuple(log.done), now.left_over(allow), log.resumed_at, unused, log.marked)


class _StepLog:
    """Does steps and notes them; until the table for the notes is there, it remembers them."""

    def __init__(self, warehouse: Warehouse, run_id: str, say: Callable[[str], None]) -> None:
        self.warehouse, self.tables = warehouse, warehouse.tables
        self.run_id, self.say = run_id, say
        self.steps = self.tables["cdp_metadata.ddl_step"]
        self.done: list[DdlStep] = []
        self.resumed_at: int | None = None
        self.marked = 0
        self._plan_id = ""
        self._numbers: dict[tuple[str, str], int] = {}
        self._waiting: list[DdlStep] = []
        self._unnoted: list[tuple[DdlStep, datetime, datetime]] = []

    def begin(self, plan: DdlPlan, steps: Sequence[DdlStep]) -> None:
        """Note what is planned, as the rest of the plan that stopped, or as a new one."""
        self._plan_id = plan.fingerprint
        self._numbers = {(step.object, step.statement): step.number for step in steps}
        own = f"{self.steps.schema}.{self.steps.name}"
        lays_the_record = any(
            step.object == own or (step.kind == CREATE_SCHEMA and step.object == self.steps.schema) for step in steps
        )
        if lays_the_record:
            self._waiting = list(steps)
            return
        with self.warehouse.transaction() as connection:
            if not self._resumes(connection, steps):
                self._note_planned(connection, steps)

    def _resumes(self, connection: sa.Connection, steps: Sequence[DdlStep]) -> bool:
        """Whether these are the steps that an earlier run left; then they keep its numbers."""
        left = ddl_record.unfinished(ddl_record.recorded_steps(connection, self.tables))
        numbers = {(row.object_name, row.statement): row.step_number for row in left}
        if left and all((step.object[:400], step.statement) in numbers for step in steps):
            self._plan_id = left[0].plan_id
            self._numbers = {
                (step.object, step.statement): numbers[step.object[:400], step.statement] for step in steps
            }
            self.resumed_at = self.resumed_at or min(self._numbers.values())
            self.say(f"Plan {self._plan_id} goes on at step {self.resumed_at}")
            self._supersede(connection, besides=set(self._numbers.values()))
            return True
        self._supersede(connection, besides=set())
        return False

    def _supersede(self, connection: sa.Connection, *, besides: set[int]) -> None:
        """What was left of earlier plans is part of this one, or no longer needed."""
        left: sa.ColumnElement[bool] = self.steps.c.state.in_(UNFINISHED)
        if besides:
            left = left & sa.not_(sa.and_(self.steps.c.plan_id == self._plan_id, self.steps.c.step_number.in_(besides)))
        connection.execute(sa.update(self.steps).where(left).values(state=SUPERSEDED))

    def _note_planned(self, connection: sa.Connection, steps: Sequence[DdlStep]) -> None:
        """A plan that was made before, and comes back, is noted anew."""
        connection.execute(sa.delete(self.steps).where(self.steps.c.plan_id == self._plan_id))
        connection.execute(sa.insert(self.steps), list(ddl_record.planned_rows(self._plan_id, steps, self.run_id)))

    def do(self, step: DdlStep) -> None:
        """Do one step and note it, both or neither where the engine can."""
        step = replace(step, number=self._numbers[step.object, step.statement])
        began = utc_now()
        try:
            with self.warehouse.transaction() as connection:
                if connection.dialect.name == "postgresql":  # whoever waits for a lock keeps all others waiting too
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                self._prepare(connection, step)
                for statement in step.statements:
                    # No parameters: a `%` in a comment is one.
                    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
                self._note_done(connection, step, began)
        except sa.exc.SQLAlchemyError as fault:
            raise self._failed(step, began, fault) from fault
        self.done.append(step)
        self.say(f"{step.number:>4}  {step.kind:<14} {step.object}")

    def _prepare(self, connection: sa.Connection, step: DdlStep) -> None:
        """What is noted of a table's loads, before it changes: some engines commit with the first statement of DDL."""
        if not step.table_key or step.table_key.startswith(f"{Layer.CONTROL}."):
            return
        loads = self.tables["cdp_metadata.partition_load"]
        of_table = loads.c.table_key == step.table_key
        if step.kind == CREATE_TABLE:
            # A table that was dropped to be built again holds nothing of what was loaded into it.
            connection.execute(sa.delete(loads).where(of_table))
        elif step.kind == ADD_COLUMN:
            marks = self.tables["cdp_metadata.stale_partition"]
            connection.execute(sa.delete(marks).where(marks.c.table_key == step.table_key))
            row = {
                "reason": f"got the column {step.object.rpartition('.')[2]}",
                "run_id": self.run_id,
                "load_ts": utc_now(),
            }
            values = [sa.literal(value, marks.c[name].type).label(name) for name, value in row.items()]
            marked = sa.select(loads.c.table_key, loads.c.business_date, *values).where(of_table)
            names = ["table_key", "business_date", *row]
            connection.execute(sa.insert(marks).from_select(names, marked))
            partitions = sa.select(sa.func.count()).select_from(loads).where(of_table)
            self.marked += int(connection.execute(partitions).scalar_one())

    def _note_done(self, connection: sa.Connection, step: DdlStep, began: datetime) -> None:
        if self._waiting:
            self._unnoted.append((step, began, utc_now()))
            if step.object == f"{self.steps.schema}.{self.steps.name}":
                self._note_planned(connection, self._waiting)
                for earlier, since, until in self._unnoted:
                    self._note(connection, earlier, DONE, since, until)
                self._waiting, self._unnoted = [], []
            return
        self._note(connection, step, DONE, began, utc_now())

    def _note(
        self,
        connection: sa.Connection,
        step: DdlStep,
        state: str,
        began: datetime,
        ended: datetime,
        message: str | None = None,
    ) -> None:
        stored = view_hashes(connection, self.tables).get(step.object) if step.kind == CREATE_VIEW else None
        values = {
            "state": state,
            "started_at": began,
            "ended_at": ended,
            "message": message,
            "stored_as": stored,
            "run_id": self.run_id,
            "load_ts": ended,
        }
        is_step = sa.and_(self.steps.c.plan_id == self._plan_id, self.steps.c.step_number == step.number)
        connection.execute(sa.update(self.steps).where(is_step).values(values))

    def _failed(self, step: DdlStep, began: datetime, fault: sa.exc.SQLAlchemyError) -> DdlFailed:
        reason = ddl_record.shortened(str(getattr(fault, "orig", None) or fault))
        if not self._waiting:
            with self.warehouse.transaction() as connection:
                self._note(connection, step, FAILED, began, utc_now(), reason)
        message = (
            f"step {step.number} of plan {self._plan_id} failed ({step.kind} {step.object}): {reason}\n"
            f"{len(self.done)} steps before it are done. Remove the cause and do the same again: it goes on here."
        )
        if step.kind in _OF_ACCESS:
            message += (
                "\nWhere the platform may not manage roles, an administrator runs what `cdm access show --engine "
                f"{self.warehouse.engine.dialect.name}` prints, and `cdm ddl --apply --no-access` does the rest."
            )
        return DdlFailed(message, step)
