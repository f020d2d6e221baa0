"""The platform's variables: which there are, where each value comes from, and `cdp_metadata.variable`, which notes it.

Values come from the environment, or from the YAML file that `CDM_VARIABLES` names, which the environment overrides.
A secret is never written down or shown: the table has a reference to where it is, `env:NAME` or `file:PATH`, and the
file may hold nothing else of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from cdm_assets.loading.stamp import Stamp
from cdm_assets.settings import Settings, SettingsError
from cdm_assets.warehouse.database_state import columns_present, schemas_present
from cdm_assets.warehouse.ddl import CreateLayer, SchemaMismatch, alone, table_statements
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables

VARIABLES_FILE: Final = "CDM_VARIABLES"
TABLE: Final = "cdp_metadata.variable"
ENVIRONMENT: Final = "environment"
DEFAULT: Final = "default"
_PREFIX: Final = "CDM_"
_REFERENCE: Final = re.compile(r"(?P<kind>env|file):(?P<where>.+)", re.DOTALL)
_PASSWORD: Final = re.compile(r"(://[^:/@?#\s]*):.*@")
_SECRET_OPTION: Final = re.compile(
    r"([?&;][^=&;]*(?:pass|pwd|secret|token|key|credential|sig)[^=&;]*=)[^&;]*", re.IGNORECASE
)
_LONGEST_VALUE: Final = 2000


class UnknownVariable(SettingsError):
    """A name that begins with CDM_, or stands in the file of variables, is not one of the platform's."""


@dataclass(frozen=True)
class Variable:
    """One variable that the platform reads."""

    name: str
    description: str
    default: str
    """In words; what holds without it."""
    value: Callable[[Settings], object] | None = None
    """The value in effect; None for a secret."""
    default_reference: Callable[[Settings], str] | None = None
    """Where a secret is that nobody set."""
    varies: bool = False
    """The default is another on every machine: the words stand for it."""

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown or written down."""
        return self.value is None


_EVERY: Final = (
    Variable("CDM_HOME", "Where everything below lies unless said otherwise", ".cdm", lambda s: s.home),
    Variable(
        "CDM_VARIABLES", "YAML file of variables (NAME: value); the environment goes before it", "none", lambda _: ""
    ),
    Variable(
        "CDM_LANDING",
        "Root of the landing area, a folder or an fsspec URL",
        "$CDM_HOME/landing",
        lambda s: s.landing_root,
    ),
    Variable(
        "CDM_ARCHIVE", "Every content of every file, by source and date", "$CDM_HOME/archive", lambda s: s.archive
    ),
    Variable(
        "CDM_DATABASE",
        "The DuckDB file, or the SQLAlchemy URL of another engine's database",
        "$CDM_HOME/warehouse/cdm.duckdb",
        lambda s: s.database,
    ),
    Variable("CDM_DATABASE_PASSWORD", "Password of the user in CDM_DATABASE, or file:PATH", "none"),
    Variable(
        "CDM_SNOWFLAKE_PRIVATE_KEY", "Private key (PEM) of the user in a Snowflake CDM_DATABASE, or file:PATH", "none"
    ),
    Variable("CDM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "Of an encrypted private key, or file:PATH", "none"),
    Variable("DAGSTER_HOME", "The Dagster instance", "$CDM_HOME/dagster", lambda s: s.dagster_home),
    Variable(
        "CDM_DAGSTER_STORAGE",
        "PostgreSQL URL of Dagster's own storage",
        "SQLite files in DAGSTER_HOME",
        lambda s: s.dagster_storage,
    ),
    Variable("CDM_DAGSTER_STORAGE_PASSWORD", "Password of the user in CDM_DAGSTER_STORAGE, or file:PATH", "none"),
    Variable("CDM_CATALOG", "A site's catalog, laid over the one that ships", "none", lambda s: s.catalog_overlay),
    Variable("CDM_START_DATE", "First date of the calendar of partitions", "the demo's", lambda s: s.start_date),
    Variable("CDM_END_DATE", "Last business date", "the demo's; with CDM_START_DATE yesterday", lambda s: s.end_date),
    Variable("CDM_SCHEMA_PREFIX", "Put before every schema, such as dev_", "none", lambda s: s.schema_prefix),
    Variable("CDM_MEMORY_LIMIT", "Bound of DuckDB's memory; beyond it, it spills", "2GB", lambda s: s.memory_limit),
    Variable("CDM_THREADS", "Threads of DuckDB", "all cores", lambda s: s.threads, varies=True),
    Variable(
        "CDM_MAX_CONCURRENT_RUNS",
        "Runs that load at once",
        "4 on PostgreSQL, else 1",
        lambda s: s.max_concurrent_runs,
        varies=True,
    ),
    Variable(
        "CDM_TOKEN_KEY",
        "Key of the tokens in publish; with another one, tokens change",
        "$CDM_HOME/token.key, made at random",
        default_reference=lambda s: f"file:{s.home / 'token.key'}",
    ),
    Variable("CDM_NOTIFY", "Where alerts go: apprise URLs with commas between, or a file of them", "nobody is told"),
    Variable("CDM_UI_URL", "Address of the UI in the links of alerts", "http://127.0.0.1:3000", lambda s: s.ui_url),
    Variable("CDM_RUNBOOKS", "Folder that `cdm runbook` reads", "runbooks/ beside the package", lambda s: s.runbooks),
)
KNOWN: Final[Mapping[str, Variable]] = {each.name: each for each in _EVERY}
"""Every variable that the platform reads."""


@dataclass(frozen=True)
class Noted:
    """What is written down of a variable: never the value of a secret."""

    name: str
    value: str | None
    origin: str
    is_secret: bool


@dataclass(frozen=True)
class VariableChange:
    """A variable that is not as it was noted; `before` is None for a new one, `after` for one that is no more."""

    before: Noted | None
    after: Noted | None

    def __str__(self) -> str:
        if self.before is None and self.after is not None:
            return f"added    {self.after.name} = {self.after.value or '-'} ({self.after.origin})"
        if self.after is None and self.before is not None:
            return f"removed  {self.before.name} (was {self.before.value or '-'})"
        assert self.before is not None and self.after is not None  # noqa: S101, PT018 - one of them is there
        was, now = self.before, self.after
        origins = now.origin if was.origin == now.origin else f"{was.origin} → {now.origin}"
        values = now.value or "-" if was.value == now.value else f"{was.value or '-'} → {now.value or '-'}"
        return f"changed  {now.name} = {values} ({origins})"


@dataclass(frozen=True)
class _Given:
    """What the file says of one variable."""

    text: str
    where: str


def load_variables_file(environment: MutableMapping[str, str]) -> None:
    """Put the variables of the file `CDM_VARIABLES` into the environment, but for those that it has.

    References of secrets are followed. Raises SettingsError with file and line.
    """
    for name, given in _file_of(environment).items():
        if not environment.get(name):
            environment[name] = _followed(name, given, environment)


def noted_variables(settings: Settings, environment: Mapping[str, str]) -> list[Noted]:
    """Every variable that is set or has a default, as it may be written down.

    Raises UnknownVariable for a name that is none, SettingsError for a file that cannot be used.
    """
    file = _file_of(environment)
    _refuse_unknown(environment)
    return [noted for variable in _EVERY if (noted := _noted(variable, settings, environment, file)) is not None]


def changed_variables(
    connection: sa.Connection, tables: Tables, noted: list[Noted], *, is_there: bool = True
) -> list[VariableChange]:
    """How `noted` differs from the table, which is empty unless it `is_there`."""
    before = _rows(connection, tables) if is_there else {}
    after = {each.name: each for each in noted}
    names = [*after, *(name for name in before if name not in after)]
    return [VariableChange(before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def sync_variables(
    warehouse: Warehouse, settings: Settings, environment: Mapping[str, str], run_id: str, *, plan: bool = False
) -> list[VariableChange]:
    """Bring `cdp_metadata.variable` in line with the variables; returns what changed. With `plan`, nothing is written.

    The table is created if it is missing: this comes before all other DDL. Raises what `noted_variables` raises.
    """
    noted = noted_variables(settings, environment)
    tables = warehouse.tables
    with warehouse.connection() as connection:
        is_there = _is_there(connection, tables)
        changes = changed_variables(connection, tables, noted, is_there=is_there)
    if plan or (is_there and not changes):
        return changes
    if not is_there:
        _create_table(warehouse)
    stamp = Stamp(run_id)
    with warehouse.transaction() as connection:
        changes = changed_variables(connection, tables, noted)
        _write(connection, tables[TABLE], changes, stamp)
    return changes


def without_secrets(text: str) -> str:
    """A URL without the password of its user and without the values of options that may be secret."""
    if "://" not in text:
        return text
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def _noted(
    variable: Variable, settings: Settings, environment: Mapping[str, str], file: Mapping[str, _Given]
) -> Noted | None:
    name = variable.name
    text, given = environment.get(name) or "", file.get(name)
    # A variable of the file is in the environment too, once it was loaded into it.
    if given is not None and (not text or text == _followed(name, given, environment)):
        origin, reference = given.where, given.text
    elif text:
        origin, reference = ENVIRONMENT, text if _names_a_file(text) else f"env:{name}"
    else:
        origin, reference = DEFAULT, ""
    if variable.value is None:
        if origin == DEFAULT and variable.default_reference:
            reference = variable.default_reference(settings)
        return Noted(name, reference[:_LONGEST_VALUE], origin, is_secret=True) if reference else None
    if name == VARIABLES_FILE:
        value = text
    elif origin == DEFAULT and variable.varies:
        value = variable.default
    else:
        found = variable.value(settings)
        value = "" if found is None else without_secrets(str(found))
    return Noted(name, value[:_LONGEST_VALUE], origin, is_secret=False) if value else None


def _names_a_file(text: str) -> bool:
    """Whether a secret's text is no more than where it is; anything else might be the secret itself."""
    reference = _REFERENCE.fullmatch(text)
    return reference is not None and reference["kind"] == "file" and Path(reference["where"]).expanduser().is_file()


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    unknown = [name for name in sorted(environment) if name.startswith(_PREFIX) and name not in KNOWN]
    if unknown:
        lines = [f"the environment has {name}, which is no variable of the platform; {_hint(name)}" for name in unknown]
        raise UnknownVariable("\n".join(lines))


def _hint(name: str) -> str:
    near = get_close_matches(name, KNOWN, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "`cdm variables` lists those that there are"


def _file_of(environment: Mapping[str, str]) -> dict[str, _Given]:
    """The variables of the file that `CDM_VARIABLES` names, checked; none where it names no file."""
    named = environment.get(VARIABLES_FILE)
    if not named:
        return {}
    path = Path(named).expanduser()
    faults: list[str] = []
    unknown = False
    given: dict[str, _Given] = {}
    for line, name, value in _entries(path):
        where = f"{path}:{line}" if line else str(path)
        if name not in KNOWN or name == VARIABLES_FILE:
            faults.append(f"{where}: {name} is no variable that can be set here; {_hint(name)}")
            unknown = True
        elif isinstance(value, dict | list) or value is None:
            faults.append(f"{where}: {name} must have a single value, such as `{name}: text`")
        elif KNOWN[name].is_secret and not _REFERENCE.fullmatch(str(value)):
            faults.append(
                f"{where}: {name} is a secret and must not stand in a file; write where it is instead, "
                f"`{name}: env:OTHER_NAME` or `{name}: file:/run/secrets/{name.lower()}`"
            )
        elif without_secrets(str(value)) != str(value):
            faults.append(f"{where}: the value of {name} holds a password; it must not stand in a file")
        else:
            given[name] = _Given(str(value), where)
    if faults:
        raise (UnknownVariable if unknown else SettingsError)("\n".join(faults))
    return given


def _entries(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Line, name and value of each variable in the file."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - only where a site has such a file, and commands start without it
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    try:
        content = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingsError(f"{VARIABLES_FILE}={path}: the file cannot be read: {fault}") from fault
    except MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 0
        # What ruamel says of a name that stands twice ends with its values.
        problem = re.sub(r" with value .*", "", str(fault.problem or fault.context), flags=re.DOTALL)
        raise SettingsError(f"{path}:{line}: {problem}") from None
    except YAMLError as fault:
        raise SettingsError(f"{path} is no YAML: {type(fault).__name__}") from None
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise SettingsError(f"{path}: expected a mapping of variables, such as `CDM_THREADS: 4`")
    for name, value in content.items():
        line = content.lc.key(name)[0] + 1  # type: ignore[attr-defined]
        yield line, str(name), value


def _followed(name: str, given: _Given, environment: Mapping[str, str]) -> str:
    """The value that the file gives a variable; of a secret what its reference leads to."""
    reference = _REFERENCE.fullmatch(given.text) if KNOWN[name].is_secret else None
    if reference is None:
        return given.text
    if reference["kind"] == "env":
        if not environment.get(reference["where"]):
            raise SettingsError(f"{given.where}: {name}: the environment has no {reference['where']}")
        return environment[reference["where"]]
    try:
        return Path(reference["where"]).expanduser().read_text(encoding="utf-8").strip()
    except OSError as fault:
        raise SettingsError(f"{given.where}: {name}: {reference['where']} cannot be read: {fault.strerror}") from fault


def _rows(connection: sa.Connection, tables: Tables) -> dict[str, Noted]:
    table = tables[TABLE]
    query = sa.select(table.c.name, table.c.value, table.c.origin, table.c.is_secret).order_by(table.c.name)
    rows = connection.execute(query).tuples()
    return {name: Noted(name, value, origin, is_secret=bool(secret)) for name, value, origin, secret in rows}


def _write(connection: sa.Connection, table: sa.Table, changes: list[VariableChange], stamp: Stamp) -> None:
    names = [change.before.name for change in changes if change.before]
    if names:
        connection.execute(sa.delete(table).where(table.c.name.in_(names)))
    changed_at: datetime = stamp.load_ts
    rows = [
        {
            "name": after.name,
            "value": after.value,
            "origin": after.origin[:400],
            "is_secret": after.is_secret,
            "changed_at": changed_at,
            **stamp.row,
        }
        for change in changes
        if (after := change.after) is not None
    ]
    if rows:
        connection.execute(sa.insert(table), rows)


def _is_there(connection: sa.Connection, tables: Tables) -> bool:
    """Whether the table is there. Raises SchemaMismatch if it lacks a column."""
    table = tables[TABLE]
    present = columns_present(connection, tables).get((str(table.schema), table.name))
    if present is not None and not set(table.c.keys()) <= present:
        lacking = ", ".join(sorted(set(table.c.keys()) - present))
        raise SchemaMismatch(f"{table.schema}.{table.name} lacks {lacking}; `cdm ddl --apply` adds it, then run again")
    return present is not None


def _create_table(warehouse: Warehouse) -> None:
    tables, table = warehouse.tables, warehouse.tables[TABLE]
    with alone(warehouse), warehouse.transaction() as connection:
        if _is_there(connection, tables):
            return
        if not schemas_present(connection, [str(table.schema)]):
            connection.execute(CreateLayer(str(table.schema)))
        for statement in table_statements(tables, table, warehouse.engine.dialect):
            connection.execute(statement)
