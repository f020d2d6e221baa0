"""The commands of a day, as a user types them, on two days of the demo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import pytest

from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets.orchestration.smoke import SCRATCH_PREFIX
from cdm_assets_tests.test_cli import cdm

FIRST, LAST = "2017-01-01", "2017-01-02"
AT = ("--at", "2017-01-03T13:00")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two loaded days. Tests copy it before they change it."""
    home = tmp_path_factory.mktemp("day") / "home"
    write_landing_area(root=home / "landing", start=date.fromisoformat(FIRST), end=date.fromisoformat(LAST))
    run = cdm(home, "run", "--days", "2")
    assert run.returncode == 0, run.stderr
    return home


@pytest.fixture
def home(loaded: Path, tmp_path: Path) -> Path:
    """A copy of its own, without the Dagster instance, whose configuration names its folder."""
    return Path(shutil.copytree(loaded, tmp_path / "home", ignore=shutil.ignore_patterns("dagster")))


def change(home: Path, *statements: str) -> None:
    with duckdb.connect(str(home / "warehouse" / "cdm.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


def test_the_morning_of_a_loaded_day_tells_every_hop(loaded: Path) -> None:
    shown = cdm(loaded, "morning", *AT)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    first, *lines = shown.stdout.splitlines()
    assert "business date 2017-01-02, as of 2017-01-03 13:00 UTC" in first
    for hop in ("mart → LDZ", "LDZ → RDV", "RDV → interface", "interface → 360", "360 → publish", "metrics"):
        assert any(hop in line and " tables " in line for line in lines), hop


def test_the_morning_after_a_day_that_was_not_loaded_is_red_and_exits_with_two(loaded: Path) -> None:
    shown = cdm(loaded, "morning", "--at", "2017-01-04T13:00")
    assert shown.returncode == 2
    assert shown.stdout.startswith("RED")
    assert "not loaded for 2017-01-03" in shown.stdout


def test_before_anything_is_due_and_without_a_database_the_morning_is_grey_and_exits_with_three(
    loaded: Path, tmp_path: Path
) -> None:
    early = cdm(loaded, "morning", "--at", "2017-01-01T05:00")
    assert (early.returncode, early.stdout[:4]) == (3, "GREY")
    nothing = cdm(tmp_path, "morning")
    assert nothing.returncode == 3
    assert "there is no database at" in nothing.stdout


def test_while_a_load_holds_the_database_the_morning_is_grey_and_says_so(home: Path) -> None:
    with duckdb.connect(str(home / "warehouse" / "cdm.duckdb")):
        shown = cdm(home, "morning", *AT)
    assert shown.returncode == 3
    assert "a load is going on, ask again when it has ended" in shown.stdout


def test_the_morning_as_json_and_as_a_page(loaded: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "morning.html"
    shown = cdm(loaded, "morning", *AT, "--json", "--html", str(page))
    found = json.loads(shown.stdout)
    assert found["due_date"] == LAST
    assert {hop["loaded"] == hop["tables"] for hop in found["hops"]} == {True}
    assert "Business date 2017-01-02" in page.read_text(encoding="utf-8")
    assert cdm(loaded, "morning", *AT, "--html", str(tmp_path)).stderr.startswith(f"cdm: {tmp_path} cannot be written")


def test_verify_answers_for_every_table_and_ends_with_one_when_something_is_wrong(home: Path) -> None:
    right = cdm(home, "verify", LAST)
    assert right.returncode == 0, right.stdout + right.stderr
    assert right.stdout.rstrip().endswith(": right")
    change(home, f"insert into itf.transaction from itf.transaction where business_date = '{LAST}' limit 1")
    wrong = cdm(home, "verify", LAST)
    assert wrong.returncode == 1
    assert "wrong: itf.transaction keys (CDM-" in wrong.stdout
    assert "rows that repeat the key of another: 1" in wrong.stdout
    answers = json.loads(cdm(home, "verify", LAST, "--json").stdout)
    assert {a["table"] for a in answers if a["blocks"]} >= {"itf.transaction"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "2019-01-01"], "2019-01-01 is not within the business dates 2017-01-01 to 2018-01-01"),
        (["rerun", LAST, "--from", "itf.customer", "--only", "itf.customer"], "give --from or --only, not both"),
        (["rerun", LAST, "--only", "itf.customers"], "no table itf.customers"),
        (["rerun", LAST, "--only", "customer_360"], "did you mean "),
    ],
)
def test_a_mistake_gets_one_clear_line(loaded: Path, arguments: list[str], message: str) -> None:
    shown = cdm(loaded, *arguments)
    assert shown.returncode == 1
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


def test_rerun_shows_what_it_would_do_asks_and_starts_nothing_without_an_answer(loaded: Path) -> None:
    shown = cdm(loaded, "rerun", LAST, "--from", "itf.flowchart_run")
    assert shown.returncode == 1
    assert "itf.flowchart_run" in shown.stdout or "1 itf" in shown.stdout
    assert "ok     upstream partitions" in shown.stdout
    assert "Load them again?" in shown.stdout
    assert "Run 1 of 1" not in shown.stdout


@pytest.mark.slow
def test_rerun_repairs_a_damaged_table_and_what_is_behind_it_and_verifies_it(home: Path) -> None:
    change(home, f"delete from itf.flowchart where business_date = '{LAST}'")
    assert cdm(home, "verify", LAST).returncode == 1
    shown = cdm(home, "rerun", LAST, "--from", "itf.flowchart", "--yes")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Run 1 of 1" in shown.stdout
    assert "cdm_publish_db.flowchart_360" in shown.stdout
    assert "itf.customer" not in shown.stdout
    assert ": right" in shown.stdout
    assert cdm(home, "verify", LAST).returncode == 0


def test_rerun_does_not_start_without_its_file_or_what_it_reads(home: Path) -> None:
    (home / "landing" / LAST / "customer.csv").unlink()
    files = cdm(home, "rerun", LAST, "--only", "ldz.ldz_customer", "--yes")
    assert files.returncode == 1
    assert f"NOT OK landing files: not there: {LAST}/customer.csv. Ask " in files.stdout
    assert "not started: landing files" in files.stderr
    change(
        home,
        f"delete from cdp_metadata.partition_load where table_key = 'rdv.h_flowchart' and business_date = '{LAST}'",
        "insert into cdp_metadata.check_result values ('rdv.s_flowchart_details', 'keys', "
        f"'{LAST}', false, true, 'rows with a NULL in the key: 1', 'x', now()::timestamp)",
    )
    upstream = cdm(home, "rerun", LAST, "--only", "itf.flowchart", "--yes")
    assert upstream.returncode == 1
    assert f"NOT OK upstream partitions: not loaded for {LAST}: rdv.h_flowchart; rerun with --from" in upstream.stdout
    assert "NOT OK blocking checks: failed upstream" in upstream.stdout
    assert "Run 1 of 1" not in files.stdout + upstream.stdout


def scratch_folders(folder: Path) -> list[Path]:
    return list(folder.glob(f"{SCRATCH_PREFIX}*"))


def test_smoke_goes_through_all_layers_reads_only_and_leaves_nothing(loaded: Path, tmp_path: Path) -> None:
    database = loaded / "warehouse" / "cdm.duckdb"
    before = database.read_bytes()
    shown = cdm(loaded, "smoke", TMPDIR=str(tmp_path))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    steps = [line for line in shown.stdout.splitlines() if line.startswith("ok ")]
    assert len(steps) == 6
    assert all(line.split()[2] == "s" for line in steps), "each with its seconds"
    assert "sources became" in shown.stdout
    assert scratch_folders(tmp_path) == []
    assert database.read_bytes() == before


@pytest.mark.slow
def test_smoke_fails_where_the_database_is_not_as_declared_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    change(
        home,
        "alter table itf.campaign alter column campaign_name type integer using null",
        "alter table agg.campaign_day rename column contacts to contact_count",
        "drop table metrics.growth_daily",
    )
    shown = cdm(home, "smoke", TMPDIR=str(tmp_path))
    assert shown.returncode == 1
    found = shown.stdout
    assert "itf.campaign.campaign_name: change type, " in found
    assert "agg.campaign_day.contacts: add column, " in found
    assert "agg.campaign_day.contact_count: drop column, " in found
    assert "metrics.growth_daily: create table, not there" in found
    assert "`cdm ddl --plan` shows what mends it" in found
    assert "failed: the database is as declared" in found
    assert scratch_folders(tmp_path) == []


def test_smoke_fails_at_a_catalog_that_is_not_valid_and_tries_nothing_behind_it(tmp_path: Path) -> None:
    (tmp_path / "catalog" / "sources").mkdir(parents=True)
    (tmp_path / "catalog" / "sources" / "loyalty.yaml").write_text("source: loyalty\ndelivery: nightly\n")
    shown = cdm(tmp_path, "smoke", CDM_CATALOG=str(tmp_path / "catalog"), TMPDIR=str(tmp_path))
    assert shown.returncode == 1
    assert "loyalty.yaml:2: delivery" in shown.stdout
    assert shown.stdout.count("FAILED") == 5
    assert "not tried: the catalog is not valid" in shown.stdout
    assert scratch_folders(tmp_path) == []


@pytest.mark.slow
def test_smoke_that_is_terminated_leaves_nothing(tmp_path: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=tmp_path))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CDM_", "DAGSTER_"))}
    environment = clean | {"CDM_HOME": str(tmp_path), "TMPDIR": str(scratch), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [sys.executable, "-m", "cdm_assets", "smoke"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        give_up_at = time.monotonic() + 60
        while not list(scratch.glob(f"{SCRATCH_PREFIX}*/scratch.duckdb")) and time.monotonic() < give_up_at:
            time.sleep(0.1)
        assert scratch_folders(scratch)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) != 0
    assert scratch_folders(scratch) == []
