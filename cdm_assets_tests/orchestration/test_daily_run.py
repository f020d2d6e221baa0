"""`cdm run` on the first days of the real demo, through real Dagster runs on an instance on disk."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.test_utils import create_run_for_test

from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.orchestration.daily_run import RunSummary, UnknownSelection, plan_dates, run_dates
from cdm_assets.orchestration.instance import ensure_instance_of
from cdm_assets.orchestration.repair import LOOK_OP, VERDICT_OP, repair_op_name
from cdm_assets.orchestration.runs import CODE_LOCATION_MODULE, run_ops
from cdm_assets.settings import Settings
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.engine import Warehouse, WarehouseBusy

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]

FIRST, LAST = date(2017, 1, 1), date(2017, 1, 3)
DAYS = DateRange(FIRST, LAST)
AUDIT = ("load_ts", "run_id")


def forget_definitions() -> None:
    """Let the next run of this process read the settings anew; Dagster keeps the last job that it built."""
    sys.modules.pop(CODE_LOCATION_MODULE, None)
    ReconstructableJob.get_repository_definition.cache_clear()
    ReconstructableJob.get_definition.cache_clear()


class DemoSite:
    """A home folder with the first days of the demo in its landing area."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self._patch, self._home = patch, home
        self._use()
        self.settings = Settings.from_environment()
        self.loads: TableLoads = table_loads(self.settings)
        self.landing_root = Path(self.settings.landing_root)
        self.said: list[str] = []
        write_landing_area(root=self.landing_root, start=FIRST, end=LAST)

    def _use(self) -> None:
        self._patch.setenv("CDM_HOME", str(self._home))
        self._patch.setenv("DAGSTER_HOME", str(self._home / "dagster"))

    def run(self, first: date = FIRST, last: date = LAST, **options: Any) -> RunSummary:
        self.said.clear()
        # The code location reads its settings once a process; here each site needs its own.
        self._use()
        forget_definitions()
        return run_dates(self.settings, self.loads, DateRange(first, last), say=self.said.append, **options)

    def query(self, sql: str) -> list[Any]:
        with duckdb.connect(str(self.settings.database_path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def content(self) -> dict[str, list[Any]]:
        """Every partitioned table's rows, audit columns aside."""
        return {
            key: self.query(f"select * exclude ({', '.join(AUDIT)}) from {key} order by all")
            for key in self.loads.in_order
        }

    def rewrite(self, day: date, name: str, change: Any) -> None:
        """Change a CSV file's rows and its manifest entry with it."""
        path = self.landing_root / str(day) / name
        with path.open(newline="") as stream:
            header, *rows = list(csv.reader(stream))
        rows = change(header, rows)
        with path.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([header, *rows])
        manifest = path.parent / "_manifest.json"
        content = json.loads(manifest.read_text())
        for entry in content["files"]:
            if entry["file"] == name:
                entry |= {"rows": len(rows), "sha256": sha256(path.read_bytes()).hexdigest()}
        manifest.write_text(json.dumps(content))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoSite:
    return DemoSite(tmp_path / "home", monkeypatch)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoSite]:
    """The first days, loaded; tests that use it leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        site = DemoSite(tmp_path_factory.mktemp("loaded") / "home", patch)
        assert site.run().problems == ()
        yield site


def test_a_run_publishes_what_the_files_hold(loaded: DemoSite) -> None:
    sales = loaded.query(
        f"select sum(sales_value::decimal(12,2)), count(*) from "
        f"read_csv('{loaded.settings.landing_root}/*/transaction.csv', all_varchar = true)"
    )
    assert loaded.query("select sum(sales_value), count(*) from ldz.ldz_transaction") == sales
    assert loaded.query("select sum(sales_value), count(*) from rdv.l_transaction") == sales
    assert loaded.query("select sum(sales_amount), count(*) from itf.transaction") == sales
    published = loaded.query("select sum(sales_amount_lifetime) from cdm_publish_db.customer_360_current")
    assert published[0][0] == sales[0][0]


def test_every_partition_shows_its_own_rows_and_checks_in_the_event_log(loaded: DemoSite) -> None:
    rows = dict(loaded.query("select business_date::varchar, count(*) from ldz.ldz_transaction group by 1"))
    with DagsterInstance.from_config(str(loaded.settings.dagster_home)) as instance:
        events = instance.fetch_materializations(AssetKey(["ldz", "ldz_transaction"]), limit=10).records
        shown = {
            e.partition_key: e.asset_materialization.metadata["dagster/partition_row_count"].value
            for e in events
            if e.asset_materialization
        }
        assert shown == rows
        vault = instance.fetch_materializations(AssetKey(["rdv", "l_transaction"]), limit=10).records
        read = {
            e.partition_key: e.asset_materialization.metadata["rows_read"].value
            for e in vault
            if e.asset_materialization
        }
        assert read == rows
        keys = loaded.loads.checks["ldz.ldz_transaction"].names
        assert set(keys) == {"keys", "required", "row_count", "rules"}
        storage = instance.event_log_storage
        for key in loaded.loads.in_order:
            for check in loaded.loads.checks[key].names:
                history = storage.get_asset_check_execution_history(
                    AssetCheckKey(AssetKey(key.split(".")), check), limit=10
                )
                assert {record.partition for record in history} == {str(day) for day in DAYS}, (key, check)
                assert AssetCheckExecutionRecordStatus.PLANNED not in {record.status for record in history}


def test_the_latest_materialization_of_a_run_carries_the_column_lineage_that_the_ui_shows(loaded: DemoSite) -> None:
    with DagsterInstance.from_config(str(loaded.settings.dagster_home)) as instance:
        records = instance.fetch_materializations(AssetKey(["cs_360_db", "campaign_360"]), limit=3).records
    latest, *earlier = [r.asset_materialization for r in records if r.asset_materialization]
    assert latest.partition == str(LAST)
    origins = latest.metadata["dagster/column_lineage"].value.deps_by_column["response_rate"]
    assert {(origin.asset_key.to_user_string(), origin.column_name) for origin in origins} == {
        ("agg/campaign_day", "contacts"),
        ("agg/campaign_day", "contacts_control"),
        ("agg/campaign_day", "responses"),
    }
    assert all("dagster/column_lineage" not in materialization.metadata for materialization in earlier)


def test_direct_pii_is_a_token_in_publish_and_nowhere_else(loaded: DemoSite) -> None:
    emails = "select distinct email from {}.customer_360 where email is not null"
    plain = {email for (email,) in loaded.query(emails.format("cs_360_db"))}
    tokens = {token for (token,) in loaded.query(emails.format("cdm_publish_db"))}
    assert all("@" in email for email in plain)
    assert len(tokens) == len(plain)
    assert all(len(token) == 64 and "@" not in token for token in tokens)
    assert loaded.settings.home.joinpath("token.key").stat().st_mode & 0o077 == 0


def test_a_second_run_does_nothing(loaded: DemoSite) -> None:
    outcome = loaded.run()
    assert outcome == RunSummary((), ())
    assert loaded.said == ["2017-01-01..2017-01-03: everything is loaded and unchanged; nothing to do"]


def test_an_unknown_selection_says_what_there_is(loaded: DemoSite) -> None:
    layers = r"\(agg, cdm_publish_db, cs_360_db, itf, ldz, metrics, rdv\)"
    with pytest.raises(UnknownSelection, match=rf"--select foo: no such table; .*{layers}"):
        loaded.run(selection=("foo",))


def test_a_busy_database_is_named_before_a_run_is_created(loaded: DemoSite) -> None:
    path = str(loaded.settings.database_path)
    script = f"import duckdb, sys; c = duckdb.connect({path!r}); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(WarehouseBusy, match=r"cdm.duckdb is in use by another process.*wait for the running load"):
            loaded.run()
    finally:
        holder.communicate()


@pytest.mark.slow
def test_a_range_equals_its_days_one_by_one_and_a_repeat_changes_nothing(loaded: DemoSite, site: DemoSite) -> None:
    site.settings.home.joinpath("token.key").write_text(loaded.settings.home.joinpath("token.key").read_text())
    for day in DAYS:
        assert site.run(day, day).problems == ()
    assert site.content() == loaded.content()
    assert site.run(FIRST, FIRST, force=True).problems == ()
    assert site.content() == loaded.content()


@pytest.mark.slow
def test_a_corrected_file_reloads_what_depends_on_it_and_nothing_else(site: DemoSite) -> None:
    assert site.run().problems == ()
    before = dict(site.query("select table_key || business_date, run_id from cdp_metadata.partition_load"))
    middle = FIRST + timedelta(days=1)

    def dearer(header: list[str], rows: list[list[str]]) -> list[list[str]]:
        rows[0][header.index("sales_value")] = "1000000.00"
        return rows

    old = site.query("select sum(sales_amount_lifetime) from cdm_publish_db.customer_360_current")[0][0]
    first_row = f"from ldz.ldz_transaction where business_date = '{middle}' and source_row = 1"
    value = site.query(f"select sales_value {first_row}")
    site.rewrite(middle, "transaction.csv", dearer)
    plan = plan_dates(site.settings, site.loads, DAYS)
    assert (plan.runs, plan.changed) == ((), {"transaction": {middle}})
    assert site.run().problems == ()
    new = site.query("select sum(sales_amount_lifetime) from cdm_publish_db.customer_360_current")[0][0]
    assert new - old == 1_000_000 - value[0][0]
    after = dict(site.query("select table_key || business_date, run_id from cdp_metadata.partition_load"))
    reloaded = {key for key in after if after[key] != before[key]}
    vault = ("rdv.h_basket", "rdv.h_customer", "rdv.h_product", "rdv.h_store", "rdv.l_transaction")
    of_the_date = (
        *(f"agg.{name}_day" for name in ("customer", "customer_department", "customer_unit", "campaign_customer")),
        *("itf.transaction", "metrics.profit_unit", "metrics.profit_unit_arm"),
    )
    so_far = [f"{schema}.{name}_360" for schema in ("cs_360_db", "cdm_publish_db") for name in ("customer", "campaign")]
    summed_up = ("profit_aggregate", "experiment_summary", "investor_summary")
    so_far += [f"{schema}.{name}" for schema in ("metrics", "cdm_publish_db") for name in summed_up]
    assert reloaded == {
        *(f"{table}{middle}" for table in ("ldz.ldz_transaction", *vault, *of_the_date)),
        *(f"{table}{day}" for table in so_far for day in (middle, LAST)),
    }
    assert reloaded == {f"{table}{day}" for table, days in plan.again.items() for day in days}
    with DagsterInstance.from_config(str(site.settings.dagster_home)) as instance:
        run = instance.get_runs(RunsFilter(), limit=1)[0]
        assert (run.job_name, {after[key] for key in reloaded}) == ("repair", {run.run_id})
        shown = instance.fetch_materializations(AssetKey(["cdm_publish_db", "customer_360"]), limit=9).records
        assert {e.partition_key for e in shown if e.run_id == run.run_id} == {str(middle), str(LAST)}
        check = AssetCheckKey(AssetKey(["rdv", "l_transaction"]), "keys")
        latest = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)[0]
        assert (latest.run_id, latest.partition) == (run.run_id, str(middle))
        assert latest.status is AssetCheckExecutionRecordStatus.SUCCEEDED


@pytest.mark.slow
def test_the_repair_job_finds_changed_files_by_itself_and_leaves_withdrawn_ones_loaded(site: DemoSite) -> None:
    """As launched in the UI, without configuration."""
    assert site.run().problems == ()
    sold = site.query("select sum(sales_value) from ldz.ldz_transaction")[0][0]
    (site.landing_root / str(LAST) / "transaction.csv").unlink()

    def free(header: list[str], rows: list[list[str]]) -> list[list[str]]:
        rows[0][header.index("sales_value")] = "0.00"
        return rows

    first_row = f"select sales_value from ldz.ldz_transaction where business_date = '{FIRST}' and source_row = 1"
    given_away = site.query(first_row)[0][0]
    site.rewrite(FIRST, "transaction.csv", free)
    forget_definitions()
    with DagsterInstance.from_config(str(site.settings.dagster_home)) as instance:
        ops = [LOOK_OP, *(repair_op_name(key) for key in site.loads.in_order), VERDICT_OP]
        outcome = run_ops(instance=instance, job_name="repair", ops=ops)
    assert outcome.success
    published = site.query("select sum(sales_amount_lifetime) from cdm_publish_db.customer_360_current")[0][0]
    assert published == sold - given_away


def test_one_bad_day_of_a_range_is_held_back_and_the_others_publish(site: DemoSite) -> None:
    middle = FIRST + timedelta(days=1)
    (site.landing_root / str(middle) / "customer.csv").write_text("household,age\n1,65+\n")
    outcome = site.run()
    assert outcome.problems == ()
    dates = site.query("select distinct business_date from cdm_publish_db.customer_360 order by 1")
    assert [d for (d,) in dates] == [FIRST, LAST]
    message = site.query(
        "select message from cdp_metadata.check_result "
        f"where blocks and business_date = '{middle}' and table_key = 'ldz.ldz_customer'"
    )[0][0]
    assert f"{middle}/customer.csv" in message
    campaign = site.query("select count(distinct business_date) from cdm_publish_db.flowchart_360")
    assert campaign == [(3,)], "a bad customer file does not stop flowcharts"


@pytest.mark.slow
def test_a_bad_file_fails_its_days_run_and_leaves_the_old_partition(site: DemoSite) -> None:
    assert site.run().problems == ()
    old = site.query(f"select * from ldz.ldz_campaign where business_date = '{LAST}' order by all")
    (site.landing_root / str(LAST) / "campaign.csv").write_text("")
    outcome = site.run(LAST, LAST)
    assert len(outcome.problems) == 1
    assert f"{LAST}/campaign.csv" in outcome.problems[0]
    assert site.query(f"select * from ldz.ldz_campaign where business_date = '{LAST}' order by all") == old
    with DagsterInstance.from_config(str(site.settings.dagster_home)) as instance:
        assert instance.get_runs(RunsFilter(), limit=1)[0].is_failure


def test_selected_layers_only_are_loaded(site: DemoSite) -> None:
    site.run(FIRST, FIRST, selection=("ldz",))
    assert site.query("select count(*) from ldz.ldz_customer") == [(801,)]
    assert site.query("select count(*) from rdv.h_customer") == [(0,)]


def test_the_token_key_can_be_read_while_the_database_is_open(loaded: DemoSite) -> None:
    with Warehouse.open_duckdb(loaded.settings.database_path, loaded.loads.tables, read_only=True) as warehouse:
        assert warehouse.path == loaded.settings.database_path


def test_on_a_server_without_turns_a_second_run_is_refused_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    environment = {"CDM_HOME": str(tmp_path), "CDM_DATABASE": "oracle://nobody@127.0.0.1:1/?service_name=x"}
    settings = Settings.from_environment(environment | {"DAGSTER_HOME": str(tmp_path / "dagster")})
    (tmp_path / "landing").mkdir()
    ensure_instance_of(settings)
    with DagsterInstance.get() as instance:
        run = create_run_for_test(instance, job_name="daily", status=DagsterRunStatus.STARTED)
    day = DateRange(settings.start_date, settings.start_date)
    with pytest.raises(WarehouseBusy, match=rf"on oracle one run loads at a time, and there is daily {run.run_id[:8]}"):
        run_dates(settings, table_loads(settings), day)
