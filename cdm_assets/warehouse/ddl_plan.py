"""What has to be done so that a database is what the catalog declares: numbered steps, each with its statements.

A plan is always made from what the database holds now, and every step brings it nearer to the catalog. So a run that
stopped, wherever it was, goes on with the plan made next, on engines that roll DDL back and on those that commit each
statement of it.

What loses nothing is applied without asking: schemas, tables, keys and indexes, added columns, wider types, comments,
views, roles and grants. What loses something (drop, narrow, change of type) is a step that waits for its token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.schema import DropColumnComment, DropTableComment, SetColumnComment, SetTableComment

from cdm_assets.catalog.types import Layer
from cdm_assets.warehouse import ddl_record, grants
from cdm_assets.warehouse.database_state import FoundColumn, FoundDatabase, FoundRelation, Name, read_database
from cdm_assets.warehouse.ddl import (
    CreateLayer,
    DeclaredView,
    comment_statements,
    declared_views,
    schemas_of,
    text_dialect,
    text_of,
)
from cdm_assets.warehouse.ddl_record import CREATE_VIEW, GRANT, REVOKE, RecordedStep, recorded_steps
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.stored_types import Change, StoredType, declared_type
from cdm_assets.warehouse.table_options import CreateDeclaredTable, CreateTableIndex, indexes_of
from cdm_assets.warehouse.tables import Tables

ALL: Final = "all"
"""The token that allows every step."""
CREATE_SCHEMA: Final = "create schema"
CREATE_TABLE: Final = "create table"
ADD_COLUMN: Final = "add column"
WIDEN_COLUMN: Final = "widen column"
_CANNOT_RETYPE: Final = ("oracle", "snowflake")
"""Engines that alter the type of a column only where it gets wider."""
_TYPED_VIEWS: Final = ("duckdb", "postgresql")
"""Engines that keep the types of a view's columns as they were when it was created."""
_CREATED_FIRST: Final = ("ddl_step", "partition_load", "stale_partition")


@dataclass(frozen=True)
class DdlStep:
    """One thing to be done. Its statements can be repeated from the first one by the plan made next."""

    kind: str
    object: str
    statements: tuple[str, ...]
    reason: str
    token: str = ""
    """What `--allow` must name for it to be done; empty where nobody is asked."""
    destructive: bool = False
    """Something in the database is lost."""
    blocked: str = ""
    """Why it cannot be done now, and what to do."""
    table_key: str = ""
    """The table `schema.table`, without prefix, that is created or gets a column."""
    number: int = 0

    @property
    def statement(self) -> str:
        """All statements as one text."""
        return ddl_record.BETWEEN_STATEMENTS.join(self.statements)

    def is_allowed(self, allow: Sequence[str]) -> bool:
        """Whether it is done when these tokens are given."""
        return not self.blocked and (not self.token or self.token in allow or ALL in allow)


@dataclass(frozen=True)
class DdlPlan:
    """The steps, in the order in which they can be done."""

    engine: str
    steps: tuple[DdlStep, ...]
    with_access: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether the database is what the catalog declares."""
        return not self.steps

    @cached_property
    def fingerprint(self) -> str:
        """Equal for plans of the same steps."""
        text = "\n".join(f"{step.kind} {step.object}\n{step.statement}" for step in self.steps)
        return sha256(text.encode()).hexdigest()[:16]

    def to_apply(self, allow: Sequence[str] = ()) -> tuple[DdlStep, ...]:
        """The steps that are done when these tokens are given."""
        return tuple(step for step in self.steps if step.is_allowed(allow))

    def left_over(self, allow: Sequence[str] = ()) -> tuple[DdlStep, ...]:
        """The steps that are not."""
        return tuple(step for step in self.steps if not step.is_allowed(allow))

    def lines(self, allow: Sequence[str] = ()) -> Iterator[str]:
        """The plan for people: a line a step, and its statements below those that change what is there."""
        if self.is_empty:
            yield "The database is what the catalog declares; nothing to do"
            return
        yield f"Plan {self.fingerprint}: {len(self.steps)} step{'' if len(self.steps) == 1 else 's'}"
        for step in self.steps:
            yield from step_lines(step, allow)


_SELF_EVIDENT: Final = (CREATE_SCHEMA, CREATE_TABLE, "create index", "create key", CREATE_VIEW, "set comment")
_LONGEST_STATEMENT: Final = 300


def step_lines(step: DdlStep, allow: Sequence[str] = ()) -> Iterator[str]:
    """A step for people."""
    yield f"{step.number:>4}  {step.kind:<14} {step.object}: {step.reason}"
    if step.blocked:
        yield f"      not now: {step.blocked}"
    elif not step.is_allowed(allow):
        yield f"      not without --allow {step.token}"
    if step.kind not in _SELF_EVIDENT:
        for statement in step.statements:
            text = " ".join(statement.split())
            yield f"      {text[:_LONGEST_STATEMENT]}{' ...' if len(text) > _LONGEST_STATEMENT else ''}"


def plan_ddl(warehouse: Warehouse, *, with_access: bool = True) -> DdlPlan:
    """Compare the database with the catalog.

    Without `with_access`, roles and grants are left to somebody else.
    """
    with warehouse.connection() as connection:
        tables = warehouse.tables
        found = read_database(connection, tables)
        record = tables["cdp_metadata.ddl_step"]
        has_record = (str(record.schema), record.name) in found.relations
        recorded = recorded_steps(connection, tables) if has_record else []
        comparison = Comparison(connection, tables, found, recorded)
        steps = comparison.steps()
        if with_access:
            steps += _access_steps(connection, tables, comparison, recorded)
    numbered = tuple(replace(step, number=number) for number, step in enumerate(steps, start=1))
    return DdlPlan(warehouse.engine.dialect.name, numbered, with_access)


@dataclass
class Comparison:
    """The catalog beside what was found."""

    connection: sa.Connection
    tables: Tables
    found: FoundDatabase
    recorded: list[RecordedStep]
    new_relations: set[Name] = field(default_factory=set)
    """Tables and views that the plan creates, perhaps anew: they have no grants."""

    @cached_property
    def dialect(self) -> sa.Dialect:
        """The engine's, for text."""
        return text_dialect(self.connection.dialect)

    @property
    def engine(self) -> str:
        """Its name."""
        return self.dialect.name

    @cached_property
    def views(self) -> tuple[DeclaredView, ...]:
        """All declared views."""
        return tuple(declared_views(self.tables))

    def name_of(self, schema: str, name: str) -> str:
        """A table or view as SQL names it."""
        return f"{self.dialect.identifier_preparer.quote_schema(schema)}.{self.quote(name)}"

    def quote(self, name: str) -> str:
        """A column as SQL names it."""
        return str(self.dialect.identifier_preparer.quote(name))

    def steps(self) -> list[DdlStep]:
        """Everything but roles and grants."""
        every = sorted(self.tables.metadata.sorted_tables, key=_creation_order)
        is_there = {table: (str(table.schema), table.name) in self.found.relations for table in every}
        control = self.tables["cdp_metadata.ddl_step"].schema
        missing = sorted(set(schemas_of(self.tables)) - self.found.schemas, key=lambda name: (name != control, name))
        steps = [
            DdlStep(CREATE_SCHEMA, name, (text_of(CreateLayer(name), self.dialect),), "not there") for name in missing
        ]
        for table in every:
            steps += self.altered(table) if is_there[table] else [self.created(table)]
            steps += self.indexed(table, is_new=not is_there[table])
        altered = {step.object for step in steps if step.kind in (ADD_COLUMN, WIDEN_COLUMN)}
        for view in self.views:
            steps += self.viewed(view, is_gone=self.shows_any(view, altered))
        return steps + list(self.undeclared())

    def created(self, table: sa.Table) -> DdlStep:
        """A table that is not there, with its comments."""
        self.new_relations.add((str(table.schema), table.name))
        elements = [CreateDeclaredTable(table), *comment_statements(table, self.dialect)]
        statements = tuple(text_of(element, self.dialect) for element in elements)
        key = self.tables.key_of(table)
        return DdlStep(CREATE_TABLE, f"{table.schema}.{table.name}", statements, "not there", table_key=key)

    def indexed(self, table: sa.Table, *, is_new: bool) -> Iterator[DdlStep]:
        """The keys and indexes that the table lacks."""
        for index in indexes_of(self.tables, table, self.engine):
            if is_new or (str(table.schema), index.name) not in self.found.indexes:
                text = text_of(CreateTableIndex(index), self.dialect)
                reason = f"{index.form} on {', '.join(index.columns)}"
                kind = "create key" if index.is_key else "create index"
                yield DdlStep(kind, f"{table.schema}.{index.name}", (text,), reason)

    def altered(self, table: sa.Table) -> Iterator[DdlStep]:
        """What makes the table that is there the declared one."""
        found = self.found.relations[str(table.schema), table.name]
        for column in table.c:
            if column.name not in found.columns:
                yield from self.added(table, column)
            else:
                yield from self.retyped(table, column, found.columns[column.name])
        yield from self.commented(table, found)
        for name in found.columns:
            if name not in table.c:
                full = f"{table.schema}.{table.name}.{name}"
                drop = f"ALTER TABLE {self.name_of(str(table.schema), table.name)} DROP COLUMN {self.quote(name)}"
                yield self.asked_first(
                    "drop column", full, (*self.dropped_views(table, name), drop), "not in the catalog"
                )

    def asked_first(self, kind: str, full: str, statements: tuple[str, ...], reason: str) -> DdlStep:
        """A step by which something is lost."""
        if len(statements) > 1:
            reason += "; its views are created again after it"
        token = f"{kind.replace(' ', '-')}:{full}"
        return DdlStep(kind, full, statements, reason, token=token, destructive=True)

    def dropped_views(self, table: sa.Table, column: str) -> tuple[str, ...]:
        """The views that show a column, which PostgreSQL does not let go on showing what is altered.

        Two columns of a table may be altered by two steps, the second of which finds them gone.
        """
        if self.engine != "postgresql":
            return ()
        names = [(view.schema, view.name) for view in self.views if view.table is table]
        showing = [name for name in names if column in self.found.relations.get(name, FoundRelation()).columns]
        return tuple(f"DROP VIEW IF EXISTS {self.name_of(*name)}" for name in showing)

    def added(self, table: sa.Table, column: sa.Column[Any]) -> Iterator[DdlStep]:
        """A column that is not there: without values at first, whatever it is declared as."""
        full = f"{table.schema}.{table.name}.{column.name}"
        name, key = self.name_of(str(table.schema), table.name), self.tables.key_of(table)
        word = "ADD" if self.engine in ("oracle", "mssql") else "ADD COLUMN"
        null = " NULL" if self.engine == "mssql" else ""
        kind = column.type.compile(dialect=self.dialect)
        comments = [SetColumnComment(column)] if column.comment else []
        statements = (
            f"ALTER TABLE {name} {word} {self.quote(column.name)} {kind}{null}",
            *(text_of(comment, self.dialect) for comment in comments),
        )
        yield DdlStep(
            ADD_COLUMN, full, statements, f"not there, declared as {_typed(column, self.dialect)}", table_key=key
        )
        if not column.nullable:
            yield self.required(table, column, has_none=self.has_rows(table))

    def required(self, table: sa.Table, column: sa.Column[Any], *, has_none: bool) -> DdlStep:
        """NOT NULL, which has to wait while there are rows without a value."""
        name = f"{table.schema}.{table.name}"
        blocked = f"rows of {name} have no {column.name}; load them again (`cdm run`), then do this again"
        return DdlStep(
            "set not null",
            f"{name}.{column.name}",
            (self.nullability(table, column, nullable=False),),
            "declared as required",
            blocked=blocked if has_none else "",
        )

    def nullability(self, table: sa.Table, column: sa.Column[Any], *, nullable: bool) -> str:
        """The statement that makes a column take NULL, or not."""
        name, quoted = self.name_of(str(table.schema), table.name), self.quote(column.name)
        word = "NULL" if nullable else "NOT NULL"
        match self.engine:
            case "oracle":
                return f"ALTER TABLE {name} MODIFY ({quoted} {word})"
            case "mssql":
                kind = column.type.compile(dialect=self.dialect)
                return f"ALTER TABLE {name} ALTER COLUMN {quoted} {kind} {word}"
            case _:
                return f"ALTER TABLE {name} ALTER COLUMN {quoted} {'DROP' if nullable else 'SET'} NOT NULL"

    def retyped(self, table: sa.Table, column: sa.Column[Any], found: FoundColumn) -> Iterator[DdlStep]:
        """A column of another type, or that takes NULL although it is required."""
        declared = declared_type(column, self.dialect)
        change = found.type.change_to(declared)
        if change is not Change.NONE:
            step = self.type_changed(table, column, found, declared, change)
            yield step
            if step.token:
                return  # until its type is settled, nothing else is decided of it
        if column.nullable and not found.nullable:
            full, statement = (
                f"{table.schema}.{table.name}.{column.name}",
                self.nullability(table, column, nullable=True),
            )
            yield DdlStep("drop not null", full, (statement,), "may be empty, the catalog says")
        elif not column.nullable and found.nullable:
            yield self.required(table, column, has_none=self.has_rows(table, table.c[column.name].is_(None)))

    def type_changed(
        self, table: sa.Table, column: sa.Column[Any], found: FoundColumn, declared: StoredType, change: Change
    ) -> DdlStep:
        """The step to the declared type; one that may lose values, or fails on them, is asked first."""
        full = f"{table.schema}.{table.name}.{column.name}"
        reason = f"is {found.type.name}, declared as {declared.name}"
        views, rescaled = self.dropped_views(table, column.name), found.type.scale != declared.scale
        if self.engine in _CANNOT_RETYPE and (change is not Change.WIDER or (self.engine == "snowflake" and rescaled)):
            drop = f"ALTER TABLE {self.name_of(str(table.schema), table.name)} DROP COLUMN {self.quote(column.name)}"
            reason += f"; {self.engine} cannot alter it, so it is dropped, added again and to be loaded again"
            return self.asked_first("change type", full, (*views, drop), reason)
        statement = self.type_statement(table, column, nullable=found.nullable, is_cast=change is Change.OTHER)
        if change is Change.WIDER:
            return DdlStep(WIDEN_COLUMN, full, (*views, statement), reason)
        kind = "narrow column" if change is Change.NARROWER else "change type"
        return self.asked_first(kind, full, (*views, statement), reason)

    def type_statement(self, table: sa.Table, column: sa.Column[Any], *, nullable: bool, is_cast: bool) -> str:
        """ALTER of a column's type. Without a cast it fails on values that do not fit, rather than cut them."""
        name, quoted = self.name_of(str(table.schema), table.name), self.quote(column.name)
        kind = column.type.compile(dialect=self.dialect)
        match self.engine:
            case "oracle":
                return f"ALTER TABLE {name} MODIFY ({quoted} {kind})"
            case "mssql":
                return f"ALTER TABLE {name} ALTER COLUMN {quoted} {kind} {'NULL' if nullable else 'NOT NULL'}"
            case _:
                using = f" USING CAST({quoted} AS {kind})" if is_cast else ""
                return f"ALTER TABLE {name} ALTER COLUMN {quoted} SET DATA TYPE {kind}{using}"

    def commented(self, table: sa.Table, found: FoundRelation) -> Iterator[DdlStep]:
        """The comments that are others, in one step."""
        statements = []
        if (table.comment or "") != found.comment:
            if found.comment and self.engine == "mssql":  # which has one procedure to add and another to change
                statements.append(text_of(DropTableComment(table), self.dialect))
            statements.append(
                text_of(SetTableComment(table) if table.comment else DropTableComment(table), self.dialect)
            )
        for column in table.c:
            there = found.columns.get(column.name)
            if there is None or (column.comment or "") == there.comment:
                continue
            if there.comment and self.engine == "mssql":
                statements.append(text_of(DropColumnComment(column), self.dialect))
            set_or_drop = SetColumnComment(column) if column.comment else DropColumnComment(column)
            statements.append(text_of(set_or_drop, self.dialect))
        if statements:
            yield DdlStep("set comment", f"{table.schema}.{table.name}", tuple(statements), "described otherwise")

    def has_rows(self, table: sa.Table, condition: sa.ColumnElement[bool] | None = None) -> bool:
        """Whether a table that is there has a row, one that meets `condition`."""
        query: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(table).limit(1)
        return self.connection.execute(query if condition is None else query.where(condition)).first() is not None

    def viewed(self, view: DeclaredView, *, is_gone: bool) -> Iterator[DdlStep]:
        """A view that is not there, or shows something else."""
        found = self.found.relations.get((view.schema, view.name))
        statement = text_of(view.create, self.dialect)
        name = self.name_of(view.schema, view.name)
        is_new = False
        if found is None or is_gone:
            reason = "not there" if found is None else "its table is altered"
            yield DdlStep(CREATE_VIEW, view.full_name, (statement,), reason)
        elif not found.is_view:
            drop = f"DROP TABLE {name}"
            yield self.asked_first("drop table", view.full_name, (drop,), "is a table where the catalog has a view")
            is_new = found is None or self.engine in ("postgresql", "snowflake")
        elif not self.shows_the_same(view, found):
            # PostgreSQL replaces a view only by one that has further columns at its end.
            before = (f"DROP VIEW IF EXISTS {name}",) if self.engine == "postgresql" else ()
            yield DdlStep(CREATE_VIEW, view.full_name, (*before, statement), "shows other columns")
            is_new = self.engine in ("postgresql", "snowflake")
        elif (difference := self.defined_otherwise(view, found, statement)) is not None:
            yield DdlStep(CREATE_VIEW, view.full_name, (statement,), difference)
            is_new = self.engine == "snowflake"  # the others keep the grants of a view that is replaced
        if is_new:
            self.new_relations.add((view.schema, view.name))

    def shows_any(self, view: DeclaredView, altered: set[str]) -> bool:
        """Whether a view that is there shows a column that is altered, or had shown one that is added again."""
        found = self.found.relations.get((view.schema, view.name), FoundRelation())
        on_table = f"{view.schema}.{view.table.name}"
        return any(f"{on_table}.{name}" in altered for name in found.columns)

    def shows_the_same(self, view: DeclaredView, found: FoundRelation) -> bool:
        """Whether a view has the declared columns, in their order."""
        if [column.name for column in view.columns] != list(found.columns):
            return False
        return self.engine not in _TYPED_VIEWS or all(
            found.columns[column.name].type.change_to(declared_type(column, self.dialect)) is Change.NONE
            for column in view.columns
        )

    def defined_otherwise(self, view: DeclaredView, found: FoundRelation, statement: str) -> str | None:
        """Why a view of the declared columns is another one nevertheless, as far as the record tells."""
        of_view = [s for s in self.recorded if s.kind == CREATE_VIEW and s.object_name == view.full_name]
        done = [step for step in of_view if step.state == ddl_record.DONE]
        if not done:
            return None
        last = done[-1].statement.split(ddl_record.BETWEEN_STATEMENTS)[-1]
        if last != statement:
            return "declared otherwise than before"
        if done[-1].stored_as not in (None, found.stored_as):
            return "was changed by somebody else"
        return None

    def undeclared(self) -> Iterator[DdlStep]:
        """Tables and views in the platform's schemas that the catalog does not have."""
        declared = {(str(t.schema), t.name) for t in self.tables.metadata.sorted_tables}
        declared |= {(view.schema, view.name) for view in self.views}
        extra = sorted(self.found.relations.keys() - declared, key=lambda n: (not self.found.relations[n].is_view, n))
        for name in extra:
            what = "view" if self.found.relations[name].is_view else "table"
            drop = f"DROP {what.upper()} {self.name_of(*name)}"
            yield self.asked_first(f"drop {what}", ".".join(name), (drop,), "not in the catalog")


def _creation_order(table: sa.Table) -> tuple[int, int, str]:
    """First what notes the steps, then what notes what is loaded, then layer by layer."""
    layer, name = Tables.key_of(table).split(".")
    if layer == Layer.CONTROL:
        place = _CREATED_FIRST.index(name) if name in _CREATED_FIRST else len(_CREATED_FIRST)
        return 0, place, name
    return 1 + list(Layer).index(Layer(layer)), 0, name


def _typed(column: sa.Column[Any], dialect: sa.Dialect) -> str:
    return declared_type(column, dialect).name + ("" if column.nullable else ", required")


def _access_steps(
    connection: sa.Connection, tables: Tables, comparison: Comparison, recorded: Sequence[RecordedStep]
) -> list[DdlStep]:
    """Roles that are not there, rights that they have too many or too few."""
    engine = comparison.engine
    if engine in grants.WITHOUT_ROLES or not tables.catalog.roles:
        return []
    if engine == "postgresql":
        return list(_access_by_dictionary(connection, tables, comparison))
    return list(access_by_record(tables, comparison, recorded))


def _access_by_dictionary(connection: sa.Connection, tables: Tables, comparison: Comparison) -> Iterator[DdlStep]:
    dialect = comparison.dialect
    present = grants.roles_present(connection, tables)
    for name in grants.role_names(tables):
        if name not in present:
            yield _role_step(name, dialect)
    declared = grants.declared_grants(tables, comparison.views, dialect.name)
    # What is granted on somebody else's tables is theirs to know.
    ours = {(r.schema, r.name) for r in grants.relations(tables, comparison.views)} - comparison.new_relations
    found = {g for g in grants.grants_present(connection, tables) if not g.name or (g.schema, g.name) in ours}
    for step in grants.revoke_steps(found - declared, dialect):
        yield DdlStep(REVOKE, f"{step.role} in {step.schema}", step.statements, "not given by the catalog")
    for step in grants.grant_steps(declared - found, dialect):
        yield DdlStep(GRANT, f"{step.role} in {step.schema}", step.statements, "given by the catalog")


def access_by_record(tables: Tables, comparison: Comparison, recorded: Sequence[RecordedStep]) -> Iterator[DdlStep]:
    """What was granted is known from what was done: reading it takes rights that the platform may not have."""
    dialect = comparison.dialect
    done = {step.object_name for step in recorded if step.kind == "create role" and step.state == ddl_record.DONE}
    for name in grants.role_names(tables):
        if name not in done:
            yield _role_step(name, dialect)
    new = [".".join(name) for name in comparison.new_relations]
    given = [g for g in ddl_record.granted(recorded) if not any(ddl_record.concerns(g, name) for name in new)]
    on_all = tuple(grants.database_statements(tables, dialect))
    if set(on_all) - set(given):
        yield DdlStep(GRANT, "all roles in the database", on_all, "given by the catalog")
    steps = grants.grant_steps(grants.declared_grants(tables, comparison.views, dialect.name), dialect)
    declared = {text for step in steps for text in step.statements} | set(on_all)
    gone = tuple(ddl_record.revocation_of(text) for text in given if text not in declared)
    if gone:
        yield DdlStep(REVOKE, "what roles no longer have", gone, "not given by the catalog")
    for step in steps:
        lacking = tuple(text for text in step.statements if text not in given)
        if lacking:
            yield DdlStep(GRANT, f"{step.role} in {step.schema}", lacking, "given by the catalog")


def _role_step(name: str, dialect: sa.Dialect) -> DdlStep:
    return DdlStep("create role", name, (grants.create_role(name, dialect.name, dialect),), "declared in access.yaml")


def tokens_of(plan: DdlPlan) -> Mapping[str, DdlStep]:
    """The steps that wait to be allowed, by their token."""
    return {step.token: step for step in plan.steps if step.token}
