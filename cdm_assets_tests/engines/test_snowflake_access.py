"""Snowflake without a server: how it is connected to, what its warehouse is told, and names it reserves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.operations.setup import open_for_setup
from cdm_assets.orchestration.code_location import build_definitions
from cdm_assets.orchestration.snowflake_resource import connections_of, database_resources, snowflake_resource
from cdm_assets.settings import Settings
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.snowflake import SnowflakeAccess, SnowflakeAddressError, create_engine, warehouse_statements
from cdm_assets.warehouse.tables import Tables
from cdm_assets.warehouse.transient import is_transient

URL: Final = sa.make_url("snowflake://loader@acme-eu1/CDM?warehouse=CDM_WH&role=CDM_LOADER")
_RESERVED: Final = frozenset(
    """all alter and any as between by case cast check column connect constraint create cross current current_date
    current_time current_timestamp current_user delete distinct drop else exists false following for from full grant
    group having ilike in increment inner insert intersect into is join lateral left like localtime localtimestamp
    minus natural not null of on or order qualify regexp revoke right rlike row rows sample select set some start
    table tablesample then to trigger true try_cast union unique update using values when whenever where
    with""".split()  # noqa: SIM905 - one in a line would be a page
)
"""What Snowflake takes for no name of a table or column unless it is quoted; SQLAlchemy's dialect quotes some of it."""


def new_key(passphrase: str | None = None) -> tuple[str, bytes]:
    """A new private key as PEM text, and as the connector takes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    encrypted: Any = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else plain
    pem = key.private_bytes(serialization.Encoding.PEM, pkcs8, encrypted)
    return pem.decode(), key.private_bytes(serialization.Encoding.DER, pkcs8, plain)


def _settings(tmp_path: Path, **more: str) -> Settings:
    environment = {"CDM_HOME": str(tmp_path), "CDM_DATABASE": URL.render_as_string(hide_password=False)}
    return Settings.from_environment(environment | more)


def test_a_url_says_account_user_database_warehouse_and_role() -> None:
    arguments = SnowflakeAccess.from_url(URL, "secret").connect_arguments()
    wanted = {
        "account": "acme-eu1",
        "user": "loader",
        "database": "CDM",
        "warehouse": "CDM_WH",
        "role": "CDM_LOADER",
        "password": "secret",
        "autocommit": False,
        "paramstyle": "qmark",
    }
    assert arguments.items() >= wanted.items()
    assert arguments["session_parameters"]["TIMEZONE"] == "UTC"
    assert arguments["session_parameters"]["TIMESTAMP_TYPE_MAPPING"] == "TIMESTAMP_NTZ"
    assert "host" not in arguments


@pytest.mark.parametrize("passphrase", [None, "open sesame"])
def test_a_private_key_goes_before_any_password(passphrase: str | None) -> None:
    pem, der = new_key(passphrase)
    arguments = SnowflakeAccess.from_url(URL, "secret", private_key=pem, passphrase=passphrase).connect_arguments()
    assert arguments["private_key"] == der
    assert "password" not in arguments


def test_a_private_key_without_its_passphrase_is_refused() -> None:
    access = SnowflakeAccess.from_url(URL, private_key=new_key("open sesame")[0])
    with pytest.raises(SnowflakeAddressError, match="CDM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"):
        access.connect_arguments()


def test_secrets_are_not_shown() -> None:
    access = SnowflakeAccess.from_url(URL.set(password="hunter2"), private_key="PEM-TEXT", passphrase="sesame")
    assert not {"hunter2", "PEM-TEXT", "sesame"} & set(repr(access).replace("'", " ").split())
    engine = create_engine(URL.set(password="hunter2"))
    assert "hunter2" not in engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("snowflake://acme/CDM", "names user, account and database"),
        ("snowflake://loader@acme", "names user, account and database"),
        ("snowflake://loader@acme/CDM/RDV", "not with a schema"),
        ("snowflake://loader@acme/CDM?warehous=W", "no option warehous"),
        ("snowflake://loader@acme/CDM?private_key=abc", "CDM_SNOWFLAKE_PRIVATE_KEY"),
        ("snowflake://loader@acme/CDM?role=a'b", "is no name"),
        ("snowflake://loader@acme/CDM?warehouse_size=HUGE", "XSMALL, SMALL, MEDIUM"),
        ("snowflake://loader@acme/CDM?auto_suspend=soon", "seconds"),
        ("snowflake://loader@elsewhere:8080/CDM?account=a&protocol=http", "https"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_what_to_write(url: str, message: str) -> None:
    with pytest.raises(SnowflakeAddressError, match=message):
        SnowflakeAccess.from_url(sa.make_url(url))


def test_who_shows_neither_key_nor_password_is_told_the_variables() -> None:
    with pytest.raises(SnowflakeAddressError, match=r"CDM_SNOWFLAKE_PRIVATE_KEY=file:\S+, or CDM_DATABASE_PASSWORD"):
        SnowflakeAccess.from_url(URL).connect_arguments()


def test_the_warehouse_is_made_asleep_and_brought_to_its_size() -> None:
    url = URL.update_query_dict({"warehouse_size": "x-large", "auto_suspend": "60"})
    wanted = "WAREHOUSE_SIZE = XLARGE AUTO_SUSPEND = 60 AUTO_RESUME = TRUE"
    assert list(warehouse_statements(SnowflakeAccess.from_url(url))) == [
        f"CREATE WAREHOUSE IF NOT EXISTS CDM_WH {wanted} INITIALLY_SUSPENDED = TRUE",
        f"ALTER WAREHOUSE CDM_WH SET {wanted}",
    ]


def test_a_warehouse_of_which_nothing_is_said_stays_as_it_is() -> None:
    assert list(warehouse_statements(SnowflakeAccess.from_url(URL))) == []


@pytest.mark.parametrize("plan", [False, True])
def test_setup_sizes_the_warehouse_and_a_plan_only_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: bool
) -> None:
    url = URL.update_query_dict({"warehouse_size": "SMALL"})
    settings = _settings(tmp_path, CDM_DATABASE=str(url))
    sent: list[str] = []
    server = mock.create_autospec(Warehouse, instance=True)
    server.connection.return_value.__enter__.return_value.exec_driver_sql.side_effect = sent.append
    monkeypatch.setattr(Warehouse, "open", lambda *_, **__: server)
    said: list[str] = []
    open_for_setup(settings, Tables(read_catalog()), plan=plan, say=said.append)
    statements = list(warehouse_statements(SnowflakeAccess.from_url(url)))
    assert sent == ([] if plan else statements)
    assert said == [f"{'would do' if plan else 'done'}: {statement}" for statement in statements]


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("000625 (57014): Statement 'x' has locked table 'T' and this lock has not yet been released.", True),
        ("250001: Could not connect to Snowflake backend after 2 attempt(s).Aborting", True),
        ("250001 (08001): Failed to connect to DB: acme. Incorrect username or password was specified.", False),
        ("002003 (02000): SQL compilation error: Object 'T' does not exist or not authorized.", False),
    ],
)
def test_another_try_is_worth_it_after(message: str, passes: bool) -> None:
    assert is_transient(sa.exc.ProgrammingError("SELECT 1", (), Exception(message))) is passes


def test_no_name_of_the_catalog_is_one_that_snowflake_reserves() -> None:
    names = set()
    for table in Tables(read_catalog()).metadata.sorted_tables:
        names |= {str(table.schema), table.name, *(column.name for column in table.c)}
    assert names & _RESERVED == set()


def _opened_by(resource: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments with which the resource calls the connector."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("snowflake.connector.connect", lambda **arguments: asked.append(arguments))
    connections_of(resource)()
    return asked[0]


def test_the_dagster_resource_connects_as_the_warehouse_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path, CDM_DATABASE_PASSWORD="secret")
    found = _opened_by(snowflake_resource(settings), monkeypatch)
    wanted = SnowflakeAccess.from_url(URL, "secret").connect_arguments()
    assert {**found, "application": ""} == {**wanted, "application": "", "authenticator": "SNOWFLAKE"}


def test_the_dagster_resource_takes_a_key_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, der = new_key("open sesame")
    (tmp_path / "key.p8").write_text(pem)
    settings = _settings(
        tmp_path,
        CDM_SNOWFLAKE_PRIVATE_KEY=f"file:{tmp_path / 'key.p8'}",
        CDM_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE="open sesame",
    )
    found = _opened_by(snowflake_resource(settings), monkeypatch)
    assert (found["private_key"], found["authenticator"]) == (der, "SNOWFLAKE_JWT")
    assert "password" not in found


def test_the_definitions_load_without_a_network_and_show_no_secret(tmp_path: Path) -> None:
    settings = replace(_settings(tmp_path, CDM_DATABASE_PASSWORD="hunter2"), database_password="hunter2")
    resource = build_definitions(settings).resources["snowflake"]
    assert resource.warehouse == "CDM_WH"
    assert "hunter2" not in repr(resource.model_dump())


def test_other_engines_have_no_snowflake_resource(tmp_path: Path) -> None:
    assert database_resources(Settings.from_environment({"CDM_HOME": str(tmp_path)})) == {}
