"""Settings come from the environment; a value that cannot be used is told by its name."""

from datetime import date
from pathlib import Path

import pytest

from cdm_assets.settings import Settings, SettingsError


def test_without_any_variable_the_demo_runs_below_the_current_folder() -> None:
    settings = Settings.from_environment({})
    home = Path.cwd() / ".cdm"
    assert settings.landing_root == str(home / "landing")
    assert settings.database_path == home / "warehouse" / "cdm.duckdb"
    assert settings.dagster_home == home / "dagster"
    assert (settings.start_date, settings.end_date) == (date(2017, 1, 1), date(2018, 1, 1))
    assert settings.schema_prefix == ""
    assert settings.catalog_overlay is None
    assert settings.token_key is None


def test_every_variable_has_its_setting(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "CDM_HOME": str(tmp_path),
            "CDM_LANDING": "/in",
            "CDM_DATABASE": "/db/file.duckdb",
            "DAGSTER_HOME": "/dagster",
            "CDM_CATALOG": "my/catalog",
            "CDM_SCHEMA_PREFIX": "dev_",
            "CDM_START_DATE": "2020-02-29",
            "CDM_END_DATE": "2020-03-01",
            "CDM_MEMORY_LIMIT": "1.5 GiB",
            "CDM_THREADS": "3",
            "CDM_TOKEN_KEY": "a key",
        }
    )
    assert settings == Settings(
        home=tmp_path,
        landing_root="/in",
        archive=tmp_path / "archive",
        database="/db/file.duckdb",
        dagster_home=Path("/dagster"),
        catalog_overlay=Path.cwd() / "my" / "catalog",
        schema_prefix="dev_",
        start_date=date(2020, 2, 29),
        end_date=date(2020, 3, 1),
        memory_limit="1.5 GiB",
        threads=3,
        token_key="a key",
    )


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("/db/file.duckdb", "duckdb"),
        ("duckdb:////db/file.duckdb", "duckdb"),
        ("postgresql://cdm@db/cdm", "postgresql"),
        ("postgresql+psycopg2://cdm@db/cdm", "postgresql"),
        ("snowflake://cdm@account/cdm", "snowflake"),
        ("mssql://cdm@db/cdm", "mssql"),
        ("oracle://cdm@db/?service_name=cdm", "oracle"),
    ],
)
def test_a_database_is_a_duckdb_file_or_the_url_of_a_server(text: str, engine: str) -> None:
    settings = Settings.from_environment({"CDM_DATABASE": text})
    assert settings.engine == engine
    if engine == "duckdb":
        assert settings.database_path == Path("/db/file.duckdb")
    else:
        assert settings.database == text
        with pytest.raises(SettingsError, match="works on a DuckDB file only"):
            _ = settings.database_path


def test_an_engine_that_nobody_knows_is_refused_with_a_hint() -> None:
    with pytest.raises(SettingsError, match=r"'postgressql'.*Did you mean postgresql"):
        Settings.from_environment({"CDM_DATABASE": "postgressql://cdm@db/cdm"})


def test_a_password_comes_from_a_file_and_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    environment = {"CDM_DATABASE": "postgresql://cdm:pa55@db/cdm", "CDM_DATABASE_PASSWORD": f"file:{tmp_path}/password"}
    settings = Settings.from_environment(environment)
    assert settings.database_password == "s3cret"
    assert settings.database_name == "postgresql://cdm:***@db/cdm"
    assert not any(secret in repr(settings) for secret in ("s3cret", "pa55"))
    with pytest.raises(SettingsError, match=r"CDM_DATABASE_PASSWORD=file:/nowhere.*cannot be read"):
        Settings.from_environment({"CDM_DATABASE_PASSWORD": "file:/nowhere"})


def test_dagsters_storage_is_postgresql_or_nothing() -> None:
    url = "postgresql://dagster@db/dagster"
    assert Settings.from_environment({"CDM_DAGSTER_STORAGE": url}).dagster_storage == url
    with pytest.raises(SettingsError, match="CDM_DAGSTER_STORAGE must be the URL of a PostgreSQL database"):
        Settings.from_environment({"CDM_DAGSTER_STORAGE": "mssql://dagster@db/dagster"})


def test_a_start_of_ones_own_has_no_end_unless_given() -> None:
    assert Settings.from_environment({"CDM_START_DATE": "2024-01-01"}).end_date is None


def test_an_empty_variable_counts_as_not_given() -> None:
    empty = dict.fromkeys(["CDM_LANDING", "CDM_START_DATE", "CDM_THREADS", "CDM_MEMORY_LIMIT", "CDM_TOKEN_KEY"], "")
    assert Settings.from_environment(empty) == Settings.from_environment({})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CDM_START_DATE", "1.2.2024", "CDM_START_DATE='1.2.2024' is not a date; expected YYYY-MM-DD"),
        ("CDM_START_DATE", "1999-12-31", "outside the calendar; expected a date from 2000-01-01 to 2079-12-31"),
        ("CDM_END_DATE", "2016-12-31", "CDM_END_DATE=2016-12-31 is before CDM_START_DATE=2017-01-01"),
        ("CDM_THREADS", "two", "CDM_THREADS='two' is not a whole number of at least 1"),
        ("CDM_THREADS", "0", "CDM_THREADS='0' is not a whole number of at least 1"),
        ("CDM_THREADS", "²", "CDM_THREADS='²' is not a whole number of at least 1"),
        ("CDM_MEMORY_LIMIT", "much", "CDM_MEMORY_LIMIT='much' is not a size; expected a number with KB, MB, GB or TB"),
        ("CDM_SCHEMA_PREFIX", "Dev-", "CDM_SCHEMA_PREFIX='Dev-' must be lower-case letters, digits and _"),
        ("CDM_SCHEMA_PREFIX", "x" * 50, "is too long: schema names would have 64 characters"),
    ],
)
def test_a_value_that_cannot_be_used_is_told(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: value})
    assert message in str(error.value)


def test_links_begin_with_the_address_of_the_ui() -> None:
    assert Settings.from_environment({}).ui_url == "http://127.0.0.1:3000"
    assert (
        Settings.from_environment({"CDM_UI_URL": "https://ui.example.com/cdm/"}).ui_url == "https://ui.example.com/cdm"
    )
    with pytest.raises(SettingsError, match=r"CDM_UI_URL='ui.example.com' is not a web address"):
        Settings.from_environment({"CDM_UI_URL": "ui.example.com"})
