"""DDL plans on PostgreSQL, in transactions and, as most other engines have it, each statement committed by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from cdm_assets.warehouse import ddl_apply
from cdm_assets.warehouse.ddl import create_missing, ddl_script
from cdm_assets.warehouse.ddl_plan import plan_ddl
from cdm_assets.warehouse.engine import Warehouse, engine_of_server, fixed_dialect
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.engines.postgres_server import PostgresServer
from cdm_assets_tests.warehouse.ddl_laws import DdlLaws, Fresh, ResumeLaws, apply, run, short_calendar, small_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return small_tables(tmp_path_factory.mktemp("catalog"))


@pytest.fixture
def fresh(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Fresh]:
    options = {"isolation_level": "AUTOCOMMIT"} if "Committing" in str(request.cls) else {}
    with short_calendar(), ExitStack() as opened:

        def open_new(tables: Tables) -> Warehouse:
            url = postgres.new_database()
            opened.callback(postgres.drop_database, url)
            engine = engine_of_server(url.render_as_string()).execution_options(**options)
            return opened.enter_context(Warehouse(engine, tables))

        yield open_new


class TestOnPostgreSQL(DdlLaws):
    """All of them."""


class TestResumeOnPostgreSQL(ResumeLaws):
    """All of them."""


class TestResumeOnACommittingEngine(ResumeLaws):
    """All of them."""

    is_transactional = False


def test_processes_that_start_together_on_an_empty_database_take_turns(fresh: Fresh, tables: Tables) -> None:
    first = fresh(tables)
    others = [Warehouse(engine_of_server(first.engine.url.render_as_string()), tables) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        created = list(pool.map(create_missing, [first, *others]))
    for other in others:
        other.close()
    assert sorted(created) == [0, 0, 0, len(tables.metadata.sorted_tables)]


def test_the_script_runs_as_it_is_and_twice_on_a_server(fresh: Fresh, tables: Tables) -> None:
    """Roles are those of the whole server: the second database finds them."""
    script = ddl_script(tables, fixed_dialect("postgresql"))
    for _ in range(2):
        warehouse = fresh(tables)
        with warehouse.transaction() as connection:
            connection.exec_driver_sql(script, execution_options={"no_parameters": True})
        assert plan_ddl(warehouse).is_empty


def test_a_key_is_kept_when_the_transaction_ends_not_before(fresh: Fresh, tables: Tables) -> None:
    warehouse = fresh(tables)
    create_missing(warehouse)
    key = "k" * tables.catalog.vault.hash.length

    def row(day: int) -> str:
        return f"insert into rdv.h_product values ('2024-01-0{day}', '{key}', 'P1', 'product', '2024-01-02', 'run')"

    run(warehouse, row(2), row(1), "delete from rdv.h_product where business_date = '2024-01-02'")
    with pytest.raises(sa.exc.IntegrityError, match="pk_h_product"):
        run(warehouse, row(2))


def test_a_step_does_not_wait_for_ever_for_a_load(
    fresh: Fresh, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ddl_apply, "_LOCK_SECONDS", 1)
    warehouse = fresh(tables)
    create_missing(warehouse)
    run(warehouse, "alter table itf.customer drop column email")
    with warehouse.transaction() as loading:
        loading.exec_driver_sql("lock table itf.customer in share mode")
        with pytest.raises(ddl_apply.DdlFailed, match="lock timeout"):
            apply(warehouse)
    assert not apply(warehouse).left
    assert plan_ddl(warehouse).is_empty


def test_who_may_not_make_roles_is_told_who_can(fresh: Fresh, tables: Tables) -> None:
    owner = fresh(tables)
    run(
        owner,
        "create role platform login",
        "alter role platform nocreaterole",
        f"grant all on database {owner.engine.url.database} to platform",
    )
    url = owner.engine.url.set(username="platform")
    with Warehouse(
        engine_of_server(url.render_as_string()), Tables(tables.catalog, schema_prefix="poor_")
    ) as warehouse:
        with pytest.raises(ddl_apply.DdlFailed, match=r"permission denied(.|\n)*cdm access show --engine postgresql"):
            apply(warehouse)
        without = plan_ddl(warehouse, with_access=False)
        assert without.is_empty
    run(owner, "drop owned by platform cascade", "drop role platform")
