"""One alert a cause, to whom it belongs, again until somebody answers, and over when it is over."""

# ruff: noqa: DTZ001 - times without a zone, as the warehouse stores them

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdm_assets.operations.incident_findings import (
    FailedRun,
    FailedStep,
    FailedTick,
    alert_findings,
    check_findings,
    deadline_findings,
    freshness_findings,
    run_findings,
    tick_findings,
    volume_findings,
)
from cdm_assets.operations.incidents import (
    Finding,
    IncidentChanges,
    IncidentError,
    IncidentKind,
    message_text,
    occurrences,
)
from cdm_assets.operations.notify import messages_due
from cdm_assets.operations.sla import acknowledgement, resolution, sla_of
from cdm_assets.operations.volumes import LARGEST_Z, robust_z
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.operations.incident_site import (
    DAY,
    MONDAY,
    ON_DUTY,
    STAND_IN,
    UI,
    IncidentSite,
    broken,
    with_people,
)
from cdm_assets_tests.small_site import Site

CONTROL = (
    "incident",
    "incident_occurrence",
    "incident_message",
    "check_result",
    "alert",
    "partition_load",
    "load_log",
)


@pytest.fixture(scope="module")
def open_incident_site(open_small_site: Site) -> Iterator[IncidentSite]:
    with Warehouse.open_duckdb(None, Tables(with_people(open_small_site.catalog))) as warehouse:
        create_missing(warehouse)
        yield IncidentSite(warehouse)


@pytest.fixture
def site(open_incident_site: IncidentSite) -> IncidentSite:
    empty(open_incident_site)
    return open_incident_site


def empty(site: IncidentSite) -> None:
    site.now = MONDAY
    for table in CONTROL:
        site.clear(table)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ticks=st.lists(st.integers(min_value=0, max_value=60), min_size=1, max_size=5))
def test_however_many_failures_of_one_cause_are_one_incident_and_one_message(
    site: IncidentSite, ticks: list[int]
) -> None:
    """Failures come in any portions, each seen again by every later look."""
    empty(site)
    found: list[Finding] = []
    for number in ticks:
        found += [broken(number=len(found) + n) for n in range(number)]
        site.look(*found)
        site.later(minutes=1)
    if not found:
        assert site.all() == []
        return
    incident = site.one()
    assert incident.occurrences == len(found)
    assert (incident.first_date, incident.last_date) == (DAY, DAY + timedelta(days=len(found) - 1))
    assert [name for name, *_ in site.messages()] == ["INC-1 opened"]


def test_two_hundred_tables_held_back_by_one_check_are_one_incident_of_the_table_that_holds_them(
    site: IncidentSite,
) -> None:
    site.check("ldz.ldz_customer", "rules", "rows that break domain:status (expected one of active): 3")
    held = "not loaded: held back: ldz.ldz_customer check rules failed: rows that break domain:status: 3"
    for number in range(200):
        for key in ("rdv.s_customer_details", "rdv.l_purchase"):
            site.check(key, "keys", held, DAY + timedelta(days=number))
    with site.warehouse.connection() as connection:
        findings = list(check_findings(connection, site.tables))
    site.look(*findings)
    incident = site.one()
    assert incident.occurrences == 401
    assert (incident.table_key, incident.code, incident.layer) == ("ldz.ldz_customer", "CDM-LDZ-010", "ldz")
    assert (incident.pipeline, incident.severity, incident.owner) == ("platform", "critical", "ann@example.com")
    assert incident.title == (
        "A data-quality rule that blocks or warns is broken: ldz.ldz_customer and 2 more tables 2024-03-04..2024-09-19"
    )


def test_other_causes_are_other_incidents(site: IncidentSite) -> None:
    site.look(broken(), broken("ldz.ldz_product"), broken(code="CDM-LDZ-012"))
    assert len(site.all()) == 3


def test_a_message_has_everything_that_who_is_called_needs(site: IncidentSite) -> None:
    site.look(broken())
    text = message_text(site.one())
    for fact in (
        "Severity: critical",
        "Respond by: 2024-03-04 11:00 UTC",
        "Resolve by: 2024-03-04 13:00 UTC",
        "Pipeline: platform, owner ann@example.com",
        "Layer: ldz",
        "Table: ldz.ldz_customer",
        "Partition: 2024-03-04",
        "Message: rules: 3 rows on 2024-03-04",
        "Likely cause: The sender's data changed",
        "Runbook: runbooks/2_failure_handling.md#cdm-ldz-010 (CDM-LDZ-010; cdm runbook CDM-LDZ-010)",
        f"Run: {UI}/runs/run-1",
        f"Asset: {UI}/assets/ldz/ldz_customer?view=partitions&partition=2024-03-04",
        "cdm incident ack INC-1",
    ):
        assert fact in text


def test_what_is_over_resolves_itself_and_those_who_were_told_are_told(site: IncidentSite) -> None:
    site.look(broken(), broken(number=1))
    site.later(minutes=10)
    assert site.look(broken()).resolved == (), "one of two is still there"
    site.later(minutes=10)
    assert site.look().resolved == (1,)
    incident = site.one()
    assert (incident.state, incident.resolved_by) == ("resolved", "platform")
    assert incident.resolved_at == MONDAY + timedelta(minutes=20)
    opened, resolved = site.messages()
    assert resolved[0] == "INC-1 resolved"
    assert resolved[1] == opened[1]


def test_a_look_at_some_kinds_leaves_the_others_alone(site: IncidentSite) -> None:
    site.look(broken())
    assert site.look(kinds=[IncidentKind.RUN_FAILURE]).resolved == ()
    assert site.one().state == "open"


def test_what_somebody_resolved_comes_back_only_with_a_new_failure(site: IncidentSite) -> None:
    site.look(broken())
    with site.desk() as desk:
        desk.resolve(1, "kim", "legal this once", site.stamp)
    site.later(minutes=1)
    assert site.look(broken()).opened == (), "the same failure, still there"
    site.later(minutes=1)
    assert site.look(broken(), broken(number=1)).opened == (2,)
    site.later(minutes=1)
    assert site.look().resolved == (2,)
    site.later(minutes=1)
    assert site.look(broken()).opened == (3,), "it was over, and is there again"


def test_unacknowledged_incidents_escalate_in_the_steps_of_the_pipeline(site: IncidentSite) -> None:
    told = []
    for _ in range(13):
        site.look(broken())
        told.append([f"{name.removeprefix('INC-1 ')}: {to}" for name, to, _ in site.messages()])
        site.later(minutes=10)
    assert told[0] == told[2] == [f"opened: {ON_DUTY}"]
    assert told[3] == told[5] == [*told[0], f"escalated 2: {STAND_IN}"]
    assert told[6] == told[12] == [*told[3], "escalated 3: boss@example.com"]


def test_steps_missed_while_nobody_looked_are_all_taken_once(site: IncidentSite) -> None:
    site.look(broken())
    site.later(hours=5)
    site.look(broken())
    site.look(broken())
    assert [name for name, *_ in site.messages()] == ["INC-1 opened", "INC-1 escalated 2", "INC-1 escalated 3"]


def test_an_acknowledged_incident_escalates_no_further_but_tells_of_new_tables(site: IncidentSite) -> None:
    site.look(broken())
    site.later(minutes=10)
    with site.desk() as desk:
        assert desk.acknowledge(1, "kim", site.stamp).acknowledged_at == site.now
    site.later(hours=3)
    site.look(broken(), broken(number=1))
    assert len(site.messages()) == 1, "another date of the same table is counted"
    site.look(broken(), broken(number=1), broken("ldz.ldz_product", cause="ldz.ldz_customer"))
    assert site.messages()[-1][0] == "INC-1 more 2"
    assert site.one().occurrences == 3


def test_what_cannot_be_done_says_why(site: IncidentSite) -> None:
    site.look(broken())
    with site.desk() as desk:
        desk.acknowledge(1, "kim", site.stamp)
        with pytest.raises(IncidentError, match="INC-1 is acknowledged already, by kim"):
            desk.acknowledge(1, "lee", site.stamp)
        desk.resolve(1, "kim", "done", site.stamp)
        with pytest.raises(IncidentError, match="INC-1 is resolved already, by kim"):
            desk.resolve(1, "lee", "", site.stamp)
        with pytest.raises(IncidentError, match="there is no incident INC-7"):
            desk.resolve(7, "lee", "", site.stamp)


@pytest.mark.parametrize(
    ("opened", "told"),
    [
        (datetime(2024, 3, 4, 10), datetime(2024, 3, 4, 10)),  # Monday, 11:00 in Berlin
        (datetime(2024, 3, 4, 3), datetime(2024, 3, 4, 8)),  # before work
        (datetime(2024, 3, 4, 18), datetime(2024, 3, 5, 8)),  # after work
        (datetime(2024, 3, 8, 17), datetime(2024, 3, 11, 8)),  # Friday evening: Monday
        (datetime(2024, 7, 6, 10), datetime(2024, 7, 8, 7)),  # Saturday in summer
    ],
)
def test_with_working_hours_people_are_told_when_they_work_and_steps_count_from_then(
    site: IncidentSite, opened: datetime, told: datetime
) -> None:
    site.now = opened
    finding = broken("rdv.h_customer", code="CDM-RDV-001")
    site.look(finding)
    ((_, to, not_before),) = site.messages()
    assert not_before == told
    assert set(to.split(",")) == {
        "ann@example.com",
        site.tables.catalog.oncall.engineers[site.one().on_call or ""].email,
    }
    site.now = told + timedelta(minutes=59)
    site.look(finding)
    assert len(site.messages()) == 1
    site.later(minutes=1)
    site.look(finding)
    assert site.messages()[-1][:2] == ("INC-1 escalated 1", "team:platform")


def look_at_files(site: IncidentSite) -> IncidentChanges:
    with site.warehouse.connection() as connection:
        found = [*alert_findings(connection, site.tables), *check_findings(connection, site.tables)]
    return site.look(*found)


def test_what_is_over_before_people_work_again_wakes_and_bothers_nobody(site: IncidentSite) -> None:
    site.now = datetime(2024, 3, 4, 20)
    site.look(broken("rdv.h_customer", code="CDM-RDV-001"))
    site.later(hours=2)
    assert site.look().resolved == (1,)
    assert [name for name, *_ in site.messages()] == ["INC-1 opened"]
    with site.warehouse.connection() as connection:
        assert messages_due(connection, site.tables, datetime(2024, 3, 6)) == []


def test_a_missing_file_is_one_incident_before_and_after_a_run_began_without_it(site: IncidentSite) -> None:
    alert = {"kind": "missing file", "business_date": DAY, "opened_at": MONDAY, "closed_at": None}
    for source in ("customer", "assortment"):
        site.insert("alert", {**alert, "source": source, "message": f"no file of source {source}"})
    look_at_files(site)
    assert site.one().occurrences == 2, "one system sends both"
    site.check("ldz.ldz_customer", "keys", "not loaded: 2024-03-04/customer.csv: missing: no file of source customer")
    site.later(minutes=1)
    look_at_files(site)
    with site.warehouse.connection() as connection:
        shown = occurrences(connection, site.tables, 1)
    incident = site.one()
    assert (incident.kind, incident.code, incident.occurrences) == ("missing file", "CDM-LDZ-001", 2)
    assert [each.table_key for each in shown] == ["ldz.ldz_assortment", "ldz.ldz_customer"]


@pytest.mark.parametrize(("kind", "code"), [("withdrawn file", "CDM-LDZ-002"), ("late events", "CDM-LDZ-014")])
def test_alerts_of_files_are_incidents_until_they_close(site: IncidentSite, kind: str, code: str) -> None:
    alert = {"kind": kind, "source": "purchase", "business_date": DAY, "opened_at": MONDAY, "closed_at": None}
    site.insert("alert", {**alert, "message": "look at it"})
    look_at_files(site)
    assert (site.one().code, site.one().table_key) == (code, "ldz.ldz_purchase")
    site.clear("alert")
    assert look_at_files(site).resolved == (1,)


def load(site: IncidentSite, key: str, day: date, rows: int = 10) -> None:
    site.insert("partition_load", {"table_key": key, "business_date": day, "rows_in_partition": rows})


def ldz_tables(site: IncidentSite) -> list[str]:
    return [key for key in site.tables.partitioned if key.startswith("ldz.")]


def test_a_missed_deadline_is_one_incident_a_pipeline_until_every_table_has_the_date(site: IncidentSite) -> None:
    dates, due = DateRange(DAY, DAY), datetime(2024, 3, 5, 9)

    def look(now: datetime) -> tuple[int, ...]:
        site.now = now
        with site.warehouse.connection() as connection:
            found = [f for f in deadline_findings(connection, site.tables, dates, now) if f.pipeline == "platform"]
        changes = site.look(*found)
        return (*changes.opened, *changes.resolved)

    assert look(due - timedelta(minutes=1)) == ()
    for key in ldz_tables(site)[1:]:
        load(site, key, DAY)
    assert look(due) == (1,)
    assert f"1 of 4 tables are not there: {ldz_tables(site)[0]}" in site.one().message
    load(site, ldz_tables(site)[0], DAY)
    assert look(due + timedelta(minutes=5)) == (1,)
    assert site.one().state == "resolved"


def test_an_old_date_that_is_loaded_again_makes_no_stale_table_fresh(site: IncidentSite) -> None:
    dates, now = DateRange(DAY - timedelta(days=9), DAY), datetime(2024, 3, 5, 12)
    for key in site.tables.partitioned:
        load(site, key, DAY - timedelta(days=1))

    def stale() -> list[str]:
        with site.warehouse.connection() as connection:
            return [f.message for f in freshness_findings(connection, site.tables, dates, now)]

    assert stale() == [], "one date behind is a missed deadline and not told twice"
    site.clear("partition_load")
    for key in ldz_tables(site):
        load(site, key, DAY - timedelta(days=4))
    site.later(hours=1)
    load(site, ldz_tables(site)[0], DAY - timedelta(days=9))
    platform = next(message for message in stale() if "ldz_customer" in message)
    assert platform.startswith("4 tables are behind: ")
    assert "the newest before is 2024-02-29" in platform
    now += timedelta(days=30)
    assert stale() == [], "the site's dates ended long ago"


def test_a_volume_far_from_the_same_weekday_before_is_told_at_its_root(site: IncidentSite) -> None:
    for key in ("ldz.ldz_purchase", "rdv.l_purchase", "ldz.ldz_assortment"):
        for week in range(1, 7):
            load(site, key, DAY - timedelta(days=7 * week), rows=10_000 + 37 * week)
    load(site, "ldz.ldz_purchase", DAY, rows=2_000)
    load(site, "rdv.l_purchase", DAY, rows=2_000)
    load(site, "ldz.ldz_assortment", DAY, rows=10_150)
    with site.warehouse.connection() as connection:
        (finding,) = volume_findings(connection, site.loads)
    assert (finding.table_key, finding.business_date, finding.code) == ("ldz.ldz_purchase", DAY, "CDM-OPS-006")
    assert finding.message.startswith("2,000 rows, fewer than usual: 10,130 on Mondays before")


def test_too_little_history_is_no_anomaly(site: IncidentSite) -> None:
    for week in range(1, 4):
        load(site, "ldz.ldz_purchase", DAY - timedelta(days=7 * week), rows=10_000)
    load(site, "ldz.ldz_purchase", DAY, rows=1)
    with site.warehouse.connection() as connection:
        assert list(volume_findings(connection, site.loads)) == []


def test_one_outlier_in_the_history_does_not_hide_the_next() -> None:
    assert robust_z(1000, [1000, 1010, 990, 1005]) == pytest.approx(-0.07, abs=0.01)
    assert robust_z(100_000, [1000, 1010, 990, 100_000, 1005]) > LARGEST_Z
    assert abs(robust_z(1030, [1000, 1000, 1000, 1000])) < 1, "no variation so far is no reason for alarm"


def failed(run_id: str, table: str, error: str, *, at: datetime = MONDAY) -> FailedRun:
    return FailedRun(run_id, "daily", at, DateRange(DAY, DAY), [FailedStep(table.replace(".", "__"), error)])


STEPS = {key.replace(".", "__"): key for key in ("ldz.ldz_customer", "rdv.h_customer", "rdv.s_customer_details")}


def look_at_runs(site: IncidentSite, *runs: FailedRun) -> None:
    with site.warehouse.connection() as connection:
        found = list(run_findings(connection, site.loads, runs, STEPS))
    site.look(*found, kinds=[IncidentKind.RUN_FAILURE])


def test_two_hundred_runs_that_fail_of_one_cause_are_one_incident(site: IncidentSite) -> None:
    full = "builtins.OSError: [Errno 28] No space left on device"
    look_at_runs(site, *(failed(f"r{n}", list(STEPS.values())[n % 3], full) for n in range(200)))
    incident = site.one()
    assert (incident.kind, incident.code, incident.occurrences) == ("run failure", "CDM-OPS-010", 200)
    assert incident.run_url == f"{UI}/runs/r0"


def test_a_landing_area_that_is_gone_fails_every_table_and_sensor_and_is_one_incident(site: IncidentSite) -> None:
    gone = "cdm_assets.warehouse.landing_area.LandingAreaMissing: the landing area /in does not exist"
    runs = [failed("r1", "ldz.ldz_customer", gone), failed("r2", "rdv.h_customer", gone)]
    ticks = [FailedTick(name, MONDAY, gone) for name in ("new_files", "late_files")]
    with site.warehouse.connection() as connection:
        found = [*run_findings(connection, site.loads, runs, STEPS), *tick_findings(site.loads, ticks)]
    site.look(*found)
    assert (site.one().code, site.one().occurrences) == ("CDM-LDZ-008", 4)


def test_a_run_that_failed_for_a_check_is_told_by_the_check_alone(site: IncidentSite) -> None:
    refused = (
        "dagster.Failure: ldz.ldz_customer: no partition of 2024-03-04 could be loaded\n  2024-03-04: a: empty: no"
    )
    look_at_runs(site, failed("r1", "ldz.ldz_customer", refused))
    assert site.all() == []


def test_a_run_failure_is_over_when_the_dates_were_loaded_since(site: IncidentSite) -> None:
    run = failed("r1", "rdv.h_customer", "builtins.ValueError: what?")
    look_at_runs(site, run)
    assert (site.one().code, site.one().pipeline) == ("CDM-OPS-001", "vault")
    site.later(minutes=5)
    load(site, "rdv.h_customer", DAY + timedelta(days=1))
    look_at_runs(site, run)
    assert site.one().state == "open", "another date was loaded"
    load(site, "rdv.h_customer", DAY)
    look_at_runs(site, run)
    assert site.one().state == "resolved"


def test_a_run_whose_process_is_gone_has_the_code_for_that(site: IncidentSite) -> None:
    gone = FailedRun("r1", "daily", MONDAY, None, [], "The process of this run is gone (killed or crashed)")
    look_at_runs(site, gone)
    assert site.one().code == "CDM-OPS-002"


def test_the_sla_counts_what_was_answered_and_resolved_in_time(site: IncidentSite) -> None:
    site.look(broken(), broken("ldz.ldz_product"), broken("ldz.ldz_purchase"))
    site.later(minutes=30)
    with site.desk() as desk:
        desk.acknowledge(1, "kim", site.stamp)
    site.later(hours=2)
    with site.desk() as desk:
        desk.resolve(1, "kim", "done", site.stamp)
        desk.acknowledge(2, "lee", site.stamp)
    site.later(hours=2)
    first, second, third = site.all()
    assert acknowledgement(first, site.now).is_kept
    assert resolution(first, site.now).is_kept
    assert acknowledgement(second, site.now).is_kept is False, "after two and a half hours of one"
    assert resolution(second, site.now).is_kept is False, "not yet, after more than three"
    assert acknowledgement(third, third.opened_at).is_kept is None, "there is still time"
    (group,) = sla_of([first, second, third], site.now)
    assert (group.pipeline, group.incidents, group.unresolved) == ("platform", 3, 2)
    assert (group.acknowledged_late, group.resolved_late) == (2, 2)
    assert group.median_to_acknowledge == timedelta(hours=1, minutes=30)
    assert (group.allowed_to_acknowledge, group.allowed_to_resolve) == (timedelta(hours=1), timedelta(hours=3))
    assert not group.is_kept
