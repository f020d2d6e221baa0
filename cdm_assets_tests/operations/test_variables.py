"""The platform's variables: from environment and file, noted without a secret, unknown names refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import cdm_assets
from cdm_assets.operations.variables import (
    KNOWN,
    TABLE,
    UnknownVariable,
    load_variables_file,
    noted_variables,
    sync_variables,
    without_secrets,
)
from cdm_assets.settings import Settings, SettingsError
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import VAULT, open_site

PACKAGE = Path(cdm_assets.__file__).parent
SECRET = "hunter2-hunter2-hunter2-hunter2"
NOT_READ = {"CDM_LOADER", "CDM_WH"}
"""Names of roles and warehouses in examples of URLs."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    with open_site(tmp_path_factory.mktemp("variables"), vault=VAULT) as site:
        return site.warehouse.tables


@pytest.fixture
def empty(tables: Tables) -> Iterator[Warehouse]:
    """A database without any table."""
    with Warehouse.open_duckdb(None, tables) as warehouse:
        yield warehouse


def rows(warehouse: Warehouse) -> dict[str, tuple[str | None, str, bool]]:
    table = warehouse.tables[TABLE]
    with warehouse.connection() as connection:
        query = sa.select(table.c.name, table.c.value, table.c.origin, table.c.is_secret)
        return {name: (value, origin, secret) for name, value, origin, secret in connection.execute(query).tuples()}


def everything_written(warehouse: Warehouse) -> str:
    with warehouse.connection() as connection:
        return str(connection.execute(sa.select(warehouse.tables[TABLE])).all())


def sync(warehouse: Warehouse, environment: dict[str, str], *, plan: bool = False) -> list[str]:
    """What a process with this environment notes, in words."""
    load_variables_file(environment)
    settings = Settings.from_environment(environment)
    changes = sync_variables(warehouse, settings, environment, "run", plan=plan)
    return [str(change) for change in changes]


def test_every_variable_that_the_code_reads_is_known() -> None:
    read = set[str]()
    for path in PACKAGE.rglob("*.py"):
        read |= set(re.findall(r"\bCDM_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8")))
    assert read - NOT_READ == {name for name in KNOWN if name.startswith("CDM_")}
    assert not (read & NOT_READ) & KNOWN.keys()


def test_the_readme_lists_every_variable() -> None:
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Settings") :].split("\n## ")[0]
    assert [name for name in KNOWN if f"`{name}`" not in section] == []


def test_what_is_set_and_what_is_default_is_noted_with_where_it_comes_from(empty: Warehouse, tmp_path: Path) -> None:
    said = sync(empty, {"CDM_HOME": str(tmp_path), "CDM_START_DATE": "2024-01-01"})
    assert f"added    CDM_HOME = {tmp_path} (environment)" in said
    noted = rows(empty)
    assert noted["CDM_START_DATE"] == ("2024-01-01", "environment", False)
    assert noted["CDM_MEMORY_LIMIT"] == ("2GB", "default", False)
    assert noted["CDM_LANDING"] == (str(tmp_path / "landing"), "default", False)
    assert noted["CDM_TOKEN_KEY"] == (f"file:{tmp_path / 'token.key'}", "default", True)
    assert "CDM_NOTIFY" not in noted


def test_a_second_sync_changes_nothing_and_a_later_one_tells_old_and_new(empty: Warehouse, tmp_path: Path) -> None:
    environment = {"CDM_HOME": str(tmp_path), "CDM_MEMORY_LIMIT": "4GB", "CDM_NOTIFY": "json://host"}
    sync(empty, environment)
    written = everything_written(empty)
    assert sync(empty, environment) == []
    assert everything_written(empty) == written
    changed = {"CDM_HOME": str(tmp_path), "CDM_SCHEMA_PREFIX": "dev_"}
    assert sync(empty, changed) == [
        "added    CDM_SCHEMA_PREFIX = dev_ (environment)",
        "changed  CDM_MEMORY_LIMIT = 4GB → 2GB (environment → default)",
        "removed  CDM_NOTIFY (was env:CDM_NOTIFY)",
    ]


def test_a_plan_writes_nothing_not_even_the_table(empty: Warehouse, tmp_path: Path) -> None:
    assert sync(empty, {"CDM_HOME": str(tmp_path)}, plan=True)
    assert not sa.inspect(empty.engine).get_table_names("cdp_metadata")
    sync(empty, {"CDM_HOME": str(tmp_path)})
    written = everything_written(empty)
    assert sync(empty, {"CDM_HOME": str(tmp_path), "CDM_THREADS": "3"}, plan=True) == [
        "changed  CDM_THREADS = all cores → 3 (default → environment)"
    ]
    assert everything_written(empty) == written


@pytest.mark.parametrize(
    "secret",
    [
        {"CDM_TOKEN_KEY": SECRET},
        {"CDM_NOTIFY": f"slack://{SECRET}/#x"},
        {"CDM_DATABASE": "postgresql://u@h/d", "CDM_DATABASE_PASSWORD": SECRET},
        {"CDM_DATABASE": f"postgresql://u:{SECRET}@h/d"},
        {"CDM_DATABASE": f"postgresql://u:p@{SECRET}@h/d"},
        {"CDM_DATABASE": f"postgresql://u@h/d?sslmode=require&sslpassword={SECRET}"},
        {"CDM_DATABASE": f"snowflake://u:{SECRET}@account/db?warehouse=w"},
        {"CDM_DAGSTER_STORAGE": f"postgresql://u:{SECRET}@h/d"},
        {"CDM_DAGSTER_STORAGE": "postgresql://u@h/d", "CDM_DAGSTER_STORAGE_PASSWORD": SECRET},
        {"CDM_LANDING": f"sftp://u:{SECRET}@host/landing"},
        {"CDM_SNOWFLAKE_PRIVATE_KEY": SECRET, "CDM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": SECRET},
        {"CDM_TOKEN_KEY": f"env:{SECRET}"},
    ],
)
def test_no_secret_is_written_or_shown(empty: Warehouse, tmp_path: Path, secret: dict[str, str]) -> None:
    environment = {"CDM_HOME": str(tmp_path), **secret}
    said = sync(empty, environment)
    assert SECRET not in "\n".join(said)
    assert SECRET not in everything_written(empty)
    for name, text in secret.items():
        if KNOWN[name].is_secret:
            assert rows(empty)[name] == (f"env:{name}", "environment", True), text
    del environment[next(iter(secret))]
    assert SECRET not in "\n".join(sync(empty, environment))


def test_a_secret_that_the_environment_says_lies_in_a_file_is_noted_as_that_file(
    empty: Warehouse, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text(SECRET)
    sync(empty, {"CDM_DATABASE": "postgresql://u@h/d", "CDM_DATABASE_PASSWORD": f"file:{path}"})
    assert rows(empty)["CDM_DATABASE_PASSWORD"] == (f"file:{path}", "environment", True)


def file_of(folder: Path, text: str) -> dict[str, str]:
    path = folder / "variables.yaml"
    path.write_text(text, encoding="utf-8")
    return {"CDM_HOME": str(folder), "CDM_VARIABLES": str(path)}


def test_a_file_sets_what_the_environment_does_not(empty: Warehouse, tmp_path: Path) -> None:
    text = "# ours\nCDM_START_DATE: 2024-01-01\nCDM_THREADS: 3\nCDM_MEMORY_LIMIT: 8GB\n"
    environment = file_of(tmp_path, text) | {"CDM_MEMORY_LIMIT": "4GB"}
    sync(empty, environment)
    assert Settings.from_environment(environment).threads == 3
    assert rows(empty)["CDM_START_DATE"] == ("2024-01-01", f"{tmp_path}/variables.yaml:2", False)
    assert rows(empty)["CDM_MEMORY_LIMIT"] == ("4GB", "environment", False)
    assert rows(empty)["CDM_VARIABLES"][0] == f"{tmp_path}/variables.yaml"


def test_a_secret_in_the_file_is_a_reference_that_is_followed_and_noted_as_it_is(
    empty: Warehouse, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    text = f"CDM_TOKEN_KEY: file:{tmp_path}/key\nCDM_NOTIFY: env:OUR_ADDRESSES\n"
    environment = file_of(tmp_path, text) | {"OUR_ADDRESSES": f"json://{SECRET}"}
    said = sync(empty, environment)
    settings = Settings.from_environment(environment)
    assert (settings.token_key, settings.notify) == (SECRET, f"json://{SECRET}")
    noted = rows(empty)
    assert noted["CDM_TOKEN_KEY"] == (f"file:{tmp_path}/key", f"{tmp_path}/variables.yaml:1", True)
    assert noted["CDM_NOTIFY"] == ("env:OUR_ADDRESSES", f"{tmp_path}/variables.yaml:2", True)
    assert SECRET not in everything_written(empty) + "\n".join(said)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nCDM_TREADS: 3\n", r"variables.yaml:2: CDM_TREADS is no variable .*; did you mean CDM_THREADS\?"),
        ("CDM_VARIABLES: x.yaml\n", r"variables.yaml:1: CDM_VARIABLES is no variable that can be set here"),
        ("CDM_THREADS: [1, 2]\n", r"variables.yaml:1: CDM_THREADS must have a single value"),
        ("CDM_THREADS:\n", r"variables.yaml:1: CDM_THREADS must have a single value"),
        (f"CDM_TOKEN_KEY: {SECRET}\n", r"variables.yaml:1: CDM_TOKEN_KEY is a secret and must not stand in a file"),
        (f"CDM_DATABASE: postgresql://u:{SECRET}@h/d\n", r"variables.yaml:1: the value of CDM_DATABASE holds a passw"),
        ("CDM_TOKEN_KEY: env:NOT_SET\n", r"variables.yaml:1: CDM_TOKEN_KEY: the environment has no NOT_SET"),
        ("CDM_TOKEN_KEY: file:/no/such/file\n", r"variables.yaml:1: CDM_TOKEN_KEY: /no/such/file cannot be read"),
        ("- CDM_THREADS\n", r"variables.yaml: expected a mapping of variables"),
        ("CDM_THREADS: 3\n  x: [\n", r"variables.yaml:2: "),
        (f"CDM_NOTIFY: a\nCDM_NOTIFY: {SECRET}\n", r"variables.yaml:2: found duplicate key"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line_and_without_secrets(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        load_variables_file(file_of(tmp_path, text))
    assert SECRET not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"CDM_VARIABLES=.*none.yaml: the file cannot be read"):
        load_variables_file({"CDM_VARIABLES": str(tmp_path / "none.yaml")})


def test_a_name_of_the_environment_that_is_none_is_refused_with_one_that_is_near(
    empty: Warehouse, tmp_path: Path
) -> None:
    environment = {"CDM_HOME": str(tmp_path), "CDM_DATABSE": "x.duckdb", "CDM_QQQ": "1", "OTHER": "2"}
    with pytest.raises(UnknownVariable) as refused:
        sync(empty, environment)
    assert str(refused.value).splitlines() == [
        "the environment has CDM_DATABSE, which is no variable of the platform; did you mean CDM_DATABASE?",
        "the environment has CDM_QQQ, which is no variable of the platform; `cdm variables` lists those that there are",
    ]
    assert not sa.inspect(empty.engine).get_table_names("cdp_metadata")


def test_variables_are_noted_of_every_kind_without_a_database(tmp_path: Path) -> None:
    environment = {"CDM_HOME": str(tmp_path)}
    noted = noted_variables(Settings.from_environment(environment), environment)
    assert {each.name for each in noted} <= KNOWN.keys()
    assert all(each.value for each in noted)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p%40:/@@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h:5432/d?password=x&sslmode=require", "postgresql://u@h:5432/d?password=***&sslmode=require"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("s3://bucket/landing", "s3://bucket/landing"),
        ("/a/path:with@signs", "/a/path:with@signs"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
