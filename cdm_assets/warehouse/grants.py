"""The catalog's roles as roles and grants of a database: what each engine is to be told, and what PostgreSQL has.

A role has its rights on a whole layer, the tables of the future included, unless something is withheld from it: then
they are given table by table, and a table with a withheld column is either given by its other columns (PostgreSQL, SQL
Server) or not at all, and its `_viewer` view takes its place. DuckDB has no roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import sqlalchemy as sa

from cdm_assets.catalog.access import Right, Role
from cdm_assets.catalog.types import Layer, PiiClass
from cdm_assets.warehouse.tables import Tables

WITHOUT_ROLES: Final = ("duckdb",)
BY_COLUMN: Final = ("postgresql", "mssql")
"""Engines that grant single columns of a table for SELECT."""
_USAGE: Final = "usage"


class View(Protocol):
    """A view of a published table; `ddl.DeclaredView` is one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def schema(self) -> str:
        """Its schema."""

    @property
    def table(self) -> sa.Table:
        """The table it shows."""

    @property
    def columns(self) -> Sequence[sa.Column[Any]]:
        """The columns it shows."""


@dataclass(frozen=True)
class Relation:
    """A table or view of a layer, as far as rights go."""

    layer: Layer
    schema: str
    name: str
    columns: tuple[sa.Column[Any], ...]
    is_view: bool = False

    def shown_to(self, role: Role) -> tuple[str, ...]:
        """The columns that are not withheld from the role."""
        return tuple(c.name for c in self.columns if c.info.get("pii", PiiClass.NONE) not in role.withheld)


@dataclass(frozen=True, order=True)
class Grant:
    """One right of one role: on a schema, on a table or view, on one column of it, or on what is yet to be created."""

    role: str
    schema: str
    scope: str
    """schema, future (tables and views that are yet to be created), table or view."""
    right: str
    name: str = ""
    column: str = ""


def relations(tables: Tables, views: Iterable[View]) -> list[Relation]:
    """Every table and view, tables first."""
    found = []
    for table in tables.metadata.sorted_tables:
        layer = Layer(tables.key_of(table).split(".")[0])
        found.append(Relation(layer, str(table.schema), table.name, tuple(table.c)))
    shown = [Relation(Layer.PUBLISH, view.schema, view.name, tuple(view.columns), is_view=True) for view in views]
    return found + shown


def role_names(tables: Tables) -> dict[str, Role]:
    """The roles as the database names them: with the prefix of the environment, as schemas have it.

    Roles belong to a whole server, or account; environments that share one keep theirs apart.
    """
    return {f"{tables.schema_prefix}{name}": role for name, role in tables.catalog.roles.items()}


def declared_grants(tables: Tables, views: Iterable[View], engine: str) -> frozenset[Grant]:
    """Every right that the catalog gives."""
    if engine in WITHOUT_ROLES:
        return frozenset()
    every = relations(tables, views)
    return frozenset(
        grant
        for name, role in role_names(tables).items()
        for layer, rights in role.rights.items()
        for grant in _grants(name, role, rights, [r for r in every if r.layer is layer], engine)
    )


def _grants(
    name: str, role: Role, rights: Sequence[Right], in_layer: Sequence[Relation], engine: str
) -> Iterator[Grant]:
    if not in_layer:
        return
    schema = in_layer[0].schema
    on_tables = [right for right in rights if right is not Right.CREATE]
    yield Grant(name, schema, "schema", _USAGE)
    if Right.CREATE in rights:
        yield Grant(name, schema, "schema", Right.CREATE.value)
    if not role.withheld:
        yield from (Grant(name, schema, "future", right.value) for right in on_tables)
        if engine == "mssql":  # a right on the schema is one on all that is in it, now and later
            return
    # To PostgreSQL a view is one of the tables that are yet to be created, so it comes with all their rights.
    views_like_tables = engine == "postgresql" and not role.withheld
    for relation in in_layer:
        of_relation = on_tables if not relation.is_view or views_like_tables else [Right.SELECT]
        shown = relation.shown_to(role)
        scope = "view" if relation.is_view else "table"
        for right in of_relation:
            if right is not Right.SELECT or len(shown) == len(relation.columns):
                yield Grant(name, schema, scope, right.value, relation.name)
            elif engine in BY_COLUMN:
                yield from (Grant(name, schema, scope, right.value, relation.name, column) for column in shown)


@dataclass(frozen=True)
class AccessStep:
    """Statements that belong together: those of one role in one schema."""

    role: str
    schema: str
    statements: tuple[str, ...]


def create_role(name: str, engine: str, dialect: sa.Dialect) -> str:
    """A statement that creates a role unless it is there."""
    quoted = dialect.identifier_preparer.quote(name)
    match engine:
        case "snowflake":
            return f"CREATE ROLE IF NOT EXISTS {quoted}"
        case "mssql":
            return f"IF DATABASE_PRINCIPAL_ID('{name}') IS NULL CREATE ROLE {quoted}"
        case "oracle":  # which says ORA-01921 of a role that is there
            return (
                f"BEGIN\n  EXECUTE IMMEDIATE 'CREATE ROLE {quoted}';\nEXCEPTION WHEN OTHERS THEN\n"
                "  IF SQLCODE != -1921 THEN RAISE; END IF;\nEND;"
            )
        case _:  # roles are those of the whole server, which may have other databases of ours
            return f"DO $$ BEGIN CREATE ROLE {quoted} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"


def grant_steps(grants: Iterable[Grant], dialect: sa.Dialect) -> list[AccessStep]:
    """The statements that give `grants`, one step a role and schema."""
    return _steps(grants, dialect, give=True)


def revoke_steps(grants: Iterable[Grant], dialect: sa.Dialect) -> list[AccessStep]:
    """The statements that take `grants` back, one step a role and schema."""
    return _steps(grants, dialect, give=False)


def _steps(grants: Iterable[Grant], dialect: sa.Dialect, *, give: bool) -> list[AccessStep]:
    by_place: dict[tuple[str, str], list[Grant]] = {}
    for grant in sorted(grants, key=_in_order):
        by_place.setdefault((grant.role, grant.schema), []).append(grant)
    return [
        AccessStep(role, schema, tuple(_statements(found, dialect, give=give)))
        for (role, schema), found in by_place.items()
    ]


_SCOPES: Final = ("schema", "future", "table", "view")
_RIGHTS: Final = (_USAGE, *(right.value for right in (Right.CREATE, *(r for r in Right if r is not Right.CREATE))))


def _in_order(grant: Grant) -> tuple[Any, ...]:
    """By role and schema, from the schema to its views; a right that is not ours (TRUNCATE) comes last."""
    right = _RIGHTS.index(grant.right) if grant.right in _RIGHTS else len(_RIGHTS)
    return grant.role, grant.schema, _SCOPES.index(grant.scope), grant.name, right, grant.right, grant.column


def _statements(grants: Sequence[Grant], dialect: sa.Dialect, *, give: bool) -> Iterator[str]:
    """One statement for all rights on the same thing, and on PostgreSQL for all things with the same rights."""
    rights: dict[tuple[str, str], list[Grant]] = {}
    for grant in grants:
        rights.setdefault((grant.scope, grant.name), []).append(grant)
    places: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for (scope, name), found in rights.items():
        listed = _listed(found, dialect)
        places.setdefault((scope, listed if dialect.name == "postgresql" else f"{listed} {name}"), []).append(
            (name, listed)
        )
    first = grants[0]
    for (scope, _), same in places.items():
        yield from _texts(scope, same[0][1], [name for name, _ in same], first.role, first.schema, dialect, give=give)


def _listed(grants: Sequence[Grant], dialect: sa.Dialect) -> str:
    """Rights as SQL lists them: `SELECT (a, b), INSERT`."""
    quote = dialect.identifier_preparer.quote
    columns: dict[str, list[str]] = {}
    for grant in grants:
        columns.setdefault(grant.right.upper(), [])
        if grant.column:
            columns[grant.right.upper()].append(quote(grant.column))
    return ", ".join(f"{right} ({', '.join(names)})" if names else right for right, names in columns.items())


def _texts(
    scope: str, rights: str, names: Sequence[str], role: str, schema: str, dialect: sa.Dialect, *, give: bool
) -> Iterator[str]:
    preparer, engine = dialect.identifier_preparer, dialect.name
    quoted_schema, verb = preparer.quote_schema(schema), "GRANT" if give else "REVOKE"
    role_word = "ROLE " if engine == "snowflake" else ""
    to = f"{'TO' if give else 'FROM'} {role_word}{preparer.quote(role)}"
    qualified = [f"{quoted_schema}.{preparer.quote(name)}" for name in names if name]
    match engine, scope:
        case "postgresql", "future":
            yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quoted_schema} {verb} {rights} ON TABLES {to}"
        case "postgresql", "schema":
            yield f"{verb} {rights} ON SCHEMA {quoted_schema} {to}"
        case "postgresql", _:
            yield f"{verb} {rights} ON {', '.join(qualified)} {to}"
        case "snowflake", "schema":
            rights = rights.replace("CREATE", "CREATE TABLE, CREATE VIEW")
            yield f"{verb} {rights} ON SCHEMA {quoted_schema} {to}"
        case "snowflake", "future":
            yield f"{verb} {rights} ON FUTURE TABLES IN SCHEMA {quoted_schema} {to}"
            yield f"{verb} SELECT ON FUTURE VIEWS IN SCHEMA {quoted_schema} {to}"
        case "snowflake", _:
            yield f"{verb} {rights} ON {scope.upper()} {qualified[0]} {to}"
        case "mssql", "schema":
            if "CREATE" in rights:  # with CREATE TABLE in the database; see `database_statements`
                yield f"{verb} ALTER ON SCHEMA::{quoted_schema} {to}"
        case "mssql", "future":
            yield f"{verb} {rights} ON SCHEMA::{quoted_schema} {to}"
        case "mssql", _:
            yield f"{verb} {rights} ON OBJECT::{qualified[0]} {to}"
        case "oracle", "table" | "view":
            yield f"{verb} {rights} ON {qualified[0]} {to}"


def access_statements(tables: Tables, views: Iterable[View], dialect: sa.Dialect) -> list[str]:
    """Everything that makes the roles and their rights on a new database."""
    if dialect.name in WITHOUT_ROLES:
        return []
    texts = [create_role(name, dialect.name, dialect) for name in role_names(tables)]
    texts += database_statements(tables, dialect)
    for step in grant_steps(declared_grants(tables, views, dialect.name), dialect):
        texts += step.statements
    return texts


def database_statements(tables: Tables, dialect: sa.Dialect) -> list[str]:
    """What roles need of the database as a whole: on Snowflake its use, and a warehouse to query with."""
    quote = dialect.identifier_preparer.quote
    if dialect.name == "mssql":
        creating = [n for n, role in role_names(tables).items() if any(Right.CREATE in r for r in role.rights.values())]
        return [f"GRANT CREATE TABLE, CREATE VIEW TO {quote(name)}" for name in creating]
    if dialect.name != "snowflake":
        return []
    texts = ["SET cdm_database = CURRENT_DATABASE()", "SET cdm_warehouse = CURRENT_WAREHOUSE()"]
    for role in role_names(tables):
        texts.append(f"GRANT USAGE ON DATABASE IDENTIFIER($cdm_database) TO ROLE {quote(role)}")
        texts.append(f"GRANT USAGE ON WAREHOUSE IDENTIFIER($cdm_warehouse) TO ROLE {quote(role)}")
    return texts


_ROLES_PRESENT: Final = "select rolname from pg_roles where rolname in :roles"
_GRANTS_PRESENT: Final = """
select r.rolname, n.nspname, 'schema', lower(a.privilege_type), '', ''
from pg_namespace n, aclexplode(n.nspacl) a join pg_roles r on r.oid = a.grantee
where n.nspname in :schemas and r.rolname in :roles
union all
select r.rolname, n.nspname, case when c.relkind = 'v' then 'view' else 'table' end, lower(a.privilege_type),
       c.relname, ''
from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
     join pg_roles r on r.oid = a.grantee
where n.nspname in :schemas and r.rolname in :roles and c.relkind in ('r', 'v', 'p', 'm')
union all
select r.rolname, n.nspname, case when c.relkind = 'v' then 'view' else 'table' end, lower(a.privilege_type),
       c.relname, t.attname
from pg_attribute t join pg_class c on c.oid = t.attrelid join pg_namespace n on n.oid = c.relnamespace,
     aclexplode(t.attacl) a join pg_roles r on r.oid = a.grantee
where n.nspname in :schemas and r.rolname in :roles and not t.attisdropped
union all
select r.rolname, n.nspname, 'future', lower(a.privilege_type), '', ''
from pg_default_acl d join pg_namespace n on n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
     join pg_roles r on r.oid = a.grantee
where n.nspname in :schemas and r.rolname in :roles and d.defaclobjtype = 'r'
  and d.defaclrole = (select oid from pg_roles where rolname = current_user)
"""


def roles_present(connection: sa.Connection, tables: Tables) -> frozenset[str]:
    """Which of the roles PostgreSQL has."""
    asked = sa.text(_ROLES_PRESENT).bindparams(sa.bindparam("roles", expanding=True))
    return frozenset(connection.execute(asked, {"roles": list(role_names(tables))}).scalars())


def grants_present(connection: sa.Connection, tables: Tables) -> frozenset[Grant]:
    """The rights that our roles have in our schemas on PostgreSQL, whoever gave them."""
    asked = sa.text(_GRANTS_PRESENT).bindparams(
        sa.bindparam("schemas", expanding=True), sa.bindparam("roles", expanding=True)
    )
    schemas = sorted({str(table.schema) for table in tables.metadata.sorted_tables})
    rows = connection.execute(asked, {"schemas": schemas, "roles": list(role_names(tables))})
    return frozenset(
        Grant(role, schema, scope, right, name, column) for role, schema, scope, right, name, column in rows
    )
