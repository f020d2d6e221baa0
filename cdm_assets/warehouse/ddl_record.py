"""`cdp_metadata.ddl_step`: what was planned, done or failed of each step, and what that says of the next plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.warehouse.database_state import view_hashes
from cdm_assets.warehouse.tables import Tables

PLANNED: Final = "planned"
DONE: Final = "done"
FAILED: Final = "failed"
SUPERSEDED: Final = "superseded"
UNFINISHED: Final = (PLANNED, FAILED)
CREATE_VIEW: Final = "create view"
GRANT: Final = "grant"
REVOKE: Final = "revoke"
BETWEEN_STATEMENTS: Final = ";\n"
_WHEN_CREATED: Final = "create"
_LONGEST_MESSAGE: Final = 2000


def utc_now() -> datetime:
    """The time in UTC, without a zone, as the warehouse stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class RecordedStep:
    """A row of `ddl_step`."""

    plan_id: str
    step_number: int
    kind: str
    object_name: str
    statement: str
    state: str
    message: str | None
    stored_as: str | None
    run_id: str
    load_ts: datetime


def recorded_steps(connection: sa.Connection, tables: Tables) -> list[RecordedStep]:
    """All steps, the oldest first."""
    steps = tables["cdp_metadata.ddl_step"]
    columns = [steps.c[name] for name in RecordedStep.__dataclass_fields__]
    query = sa.select(*columns).order_by(steps.c.load_ts, steps.c.step_number)
    return [RecordedStep(*row) for row in connection.execute(query).tuples()]


def unfinished(recorded: Sequence[RecordedStep]) -> list[RecordedStep]:
    """The steps of the latest plan that are not done."""
    of_plans = [step for step in recorded if step.state in UNFINISHED]
    return [step for step in of_plans if step.plan_id == of_plans[-1].plan_id]


def granted(recorded: Iterable[RecordedStep]) -> list[str]:
    """The GRANT statements in effect as far as the record can tell, for engines that are not asked themselves.

    A table or view that was created anew has lost the grants it had.
    """
    found: dict[str, None] = {}
    for step in recorded:
        if step.state != DONE:
            continue
        if step.kind == GRANT:
            found |= dict.fromkeys(step.statement.split(BETWEEN_STATEMENTS))
        elif step.kind == REVOKE:
            revoked = set(step.statement.split(BETWEEN_STATEMENTS))
            found = {text: None for text in found if revocation_of(text) not in revoked}
        elif step.kind in ("create table", CREATE_VIEW):
            found = {text: None for text in found if not concerns(text, step.object_name)}
    return list(found)


def concerns(statement: str, name: str) -> bool:
    """Whether a GRANT is about the table or view `schema.name`, however its engine quotes it."""
    plain = re.sub(r'["\[\]]', "", statement).lower()
    return re.search(rf"(^|[\s:]){re.escape(name.lower())}($|[\s(])", plain) is not None


def revocation_of(grant: str) -> str:
    """The statement that takes back what `grant` gave."""
    return re.sub(r" TO (ROLE )?(\S+)$", r" FROM \1\2", re.sub(r"^GRANT ", "REVOKE ", grant))


def record_view(connection: sa.Connection, tables: Tables, name: str, statement: str) -> None:
    """Note how view `schema.name` was created outside of a plan, so that a plan sees when it is to be another."""
    now = utc_now()
    row = {
        "plan_id": _WHEN_CREATED,
        "step_number": 0,
        "kind": CREATE_VIEW,
        "object_name": name,
        "statement": statement,
        "state": DONE,
        "started_at": now,
        "ended_at": now,
        "run_id": "create_missing",
        "load_ts": now,
    }
    connection.execute(sa.insert(tables["cdp_metadata.ddl_step"]), [row])


def note_stored_views(connection: sa.Connection, tables: Tables) -> None:
    """Note how the database keeps the views of which that is not known yet."""
    steps = tables["cdp_metadata.ddl_step"]
    unknown = sa.and_(steps.c.kind == CREATE_VIEW, steps.c.state == DONE, steps.c.stored_as.is_(None))
    names = set(connection.execute(sa.select(steps.c.object_name).where(unknown)).scalars())
    if not names:
        return
    stored = view_hashes(connection, tables)
    for name in sorted(names & stored.keys()):
        of_view = sa.and_(unknown, steps.c.object_name == name)
        connection.execute(sa.update(steps).where(of_view).values(stored_as=stored[name]))


def planned_rows(plan_id: str, steps: Iterable[Any], run_id: str) -> Iterator[dict[str, Any]]:
    """The rows of the steps of a plan before any of them is done."""
    now = utc_now()
    for step in steps:
        yield {
            "plan_id": plan_id,
            "step_number": step.number,
            "kind": step.kind,
            "object_name": step.object[:400],
            "statement": step.statement,
            "state": PLANNED,
            "message": None,
            "stored_as": None,
            "started_at": None,
            "ended_at": None,
            "run_id": run_id,
            "load_ts": now,
        }


def shortened(message: str) -> str:
    """A message that fits its column."""
    return " ".join(message.split())[:_LONGEST_MESSAGE]
