"""Pipelines and on-call are read from YAML; every mistake is told with file, line and expectation."""

import tomllib
from collections.abc import Callable
from datetime import date, time
from pathlib import Path

import pytest

import cdm_assets
from cdm_assets.catalog.oncall import OnCall, SeverityTarget
from cdm_assets.catalog.pipelines import Severity
from cdm_assets.catalog.reading import CANONICAL, CatalogError, read_catalog
from cdm_assets_tests.small_site import SOURCES, write_catalog

PIPELINE = """\
pipeline: sales
description: Sales.
group: team
primary_owner: ann@example.com
secondary_owner: "team:sales"
upstream:
  - {source: customer, owner: "team:customer-data", contact: customer-data@example.com}
tables:
  - ldz
  - rdv
schedule: "30 7 * * *"
ready_by: "09:00"
fix_within_hours: 4
severity: major
on_call: pager
escalation:
  - {after_minutes: 0, to: primary}
  - {after_minutes: 30, to: "team:sales"}
"""
ONCALL = """\
engineers:
  ann: {name: Ann, email: ann@example.com, country: DE}
  bob: {name: Bob, email: bob@example.com, country: GB, time_zone: Europe/London}
groups:
  team:
    start: 2024-01-01
    members: [ann, {engineer: bob, since: 2024-01-01}]
leave:
  - {engineer: ann, first: 2024-05-01}
swaps:
  - {group: team, gives: ann, takes: bob, first: 2024-02-01, last: 2024-02-03}
"""

Faults = Callable[..., list[str]]


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A small catalog with one pipeline and one on-call group."""
    folder = write_catalog(tmp_path / "shipped", SOURCES)
    _write(folder, PIPELINE, ONCALL)
    return folder


def _write(folder: Path, pipeline: str | None, oncall: str | None) -> None:
    if pipeline is not None:
        (folder / "pipelines").mkdir(parents=True, exist_ok=True)
        (folder / "pipelines" / "sales.yaml").write_text(pipeline)
    if oncall is not None:
        (folder / "oncall.yaml").write_text(oncall)


@pytest.fixture
def faults(shipped: Path) -> Faults:
    """Reads texts as the pipeline and the on-call file and gives the mistakes, the folder's name cut off."""

    def of(*, pipeline: str = PIPELINE, oncall: str = ONCALL) -> list[str]:
        _write(shipped, pipeline, oncall)
        with pytest.raises(CatalogError) as error:
            read_catalog(shipped=shipped)
        return [str(fault).removeprefix(f"{shipped}/") for fault in error.value.faults]

    return of


def test_a_pipeline_is_read(shipped: Path) -> None:
    pipeline = read_catalog(shipped=shipped).pipelines["sales"]
    assert (pipeline.ready_by, pipeline.severity, pipeline.tables) == (time(9), Severity.MAJOR, ("ldz", "rdv"))
    assert f"{pipeline.ready_by_for(date(2024, 3, 1)):%F %R %Z}" == "2024-03-02 09:00 UTC"


def test_on_call_is_read(shipped: Path) -> None:
    oncall = read_catalog(shipped=shipped).oncall
    assert [member.engineer for member in oncall.groups["team"].members] == ["ann", "bob"]
    assert oncall.leave[0].last == date(2024, 5, 1)


def test_severities_have_targets_unless_the_file_says_otherwise() -> None:
    targets = [OnCall().target_of(severity) for severity in Severity]
    assert [(each.respond_hours, each.resolve_hours) for each in targets] == [(1, 4), (2, 8), (4, 24)]
    own = OnCall(severities={Severity.MINOR: SeverityTarget(respond_hours=8, resolve_hours=48)})
    assert own.target_of(Severity.MINOR).resolve_hours == 48


def test_a_catalog_needs_neither(tmp_path: Path) -> None:
    catalog = read_catalog(shipped=write_catalog(tmp_path / "bare", SOURCES))
    assert (catalog.pipelines, catalog.oncall) == ({}, OnCall())


def test_what_ships_is_valid_and_is_packaged() -> None:
    catalog = read_catalog()
    assert len(catalog.pipelines) == 8
    assert {pipeline.group for pipeline in catalog.pipelines.values()} == set(catalog.oncall.groups)
    assert all(engineer.email.endswith("@example.com") for engineer in catalog.oncall.engineers.values())
    assert {severity: catalog.oncall.target_of(severity) for severity in Severity} == catalog.oncall.severities
    package = Path(cdm_assets.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    globs = project["tool"]["setuptools"]["package-data"]["cdm_assets"]
    packaged = {path for glob in globs for path in package.glob(glob)}
    assert {CANONICAL / "oncall.yaml", CANONICAL / "pipelines" / "profit_investors.yaml"} <= packaged


def test_a_site_replaces_groups_and_pipelines_and_adds_leave_and_swaps(shipped: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    text = """\
engineers: {cleo: {name: Cleo, email: cleo@example.com, country: FR}}
groups: {team: {start: 2025-01-06, weeks: 2, members: [bob, ann, cleo]}}
leave: [{engineer: cleo, first: 2025-02-01, last: 2025-02-03}]
"""
    _write(overlay, PIPELINE.replace("major", "minor"), text)
    catalog = read_catalog(overlay, shipped=shipped)
    assert catalog.pipelines["sales"].severity is Severity.MINOR
    assert catalog.oncall.groups["team"].weeks == 2
    assert [leave.engineer for leave in catalog.oncall.leave] == ["ann", "cleo"]
    assert len(catalog.oncall.swaps) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  - rdv", "  - rdv.h_custmer", "10: tables.1: unknown table 'rdv.h_custmer'; did you mean 'rdv.h_customer'?"),
        ("source: customer", "source: custmer", "7: upstream.0: unknown source 'custmer'; did you mean 'customer'?"),
        ("group: team", "group: taem", "3: group: unknown on-call group 'taem'; did you mean 'team'?"),
        ("30 7 * * *", "30 27 * * *", "11: schedule: bad hour; expected minute, hour, day of the month, month"),
        ("major", "urgent", "14: severity: Input should be 'critical', 'major' or 'minor' (found 'urgent')"),
        ('team:sales"\nup', 'ann@example.com"\nup', "primary_owner and secondary_owner are both ann@example.com"),
        ("after_minutes: 30", "after_minutes: 0", "escalation steps come after [0, 0] minutes; expected each later"),
        ("fix_within", "fix_withn", "13: fix_withn_hours: unknown key; did you mean 'fix_within_hours'?"),
    ],
)
def test_a_mistake_in_a_pipeline_is_told(faults: Faults, old: str, new: str, expected: str) -> None:
    assert PIPELINE.count(old) == 1
    told = faults(pipeline=PIPELINE.replace(old, new))
    assert any(each.startswith("pipelines/sales.yaml") and expected in each for each in told), told


def test_a_table_of_two_pipelines_is_told(shipped: Path) -> None:
    other = PIPELINE.replace("pipeline: sales", "pipeline: vault")
    (shipped / "pipelines" / "vault.yaml").write_text(other.replace("  - ldz\n", ""))
    with pytest.raises(CatalogError, match=r"vault.yaml:9: tables.0: 'rdv' is already of pipeline 'sales'"):
        read_catalog(shipped=shipped)


def test_a_table_may_be_named_though_its_layer_is_anothers(shipped: Path) -> None:
    other = PIPELINE.replace("pipeline: sales", "pipeline: vault").replace("  - ldz\n  - rdv", "  - rdv.h_customer")
    (shipped / "pipelines" / "vault.yaml").write_text(other)
    assert len(read_catalog(shipped=shipped).pipelines) == 2


def test_tables_of_no_pipeline_are_told(faults: Faults) -> None:
    told = faults(pipeline=PIPELINE.replace("  - rdv\n", ""))
    assert len(told) == 1
    assert told[0].startswith("pipelines/sales.yaml:8: no pipeline has rdv.h_customer, ")
    assert told[0].endswith("name them, or their layer (rdv), in the one they are of")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[ann, {eng", "[anna, {eng", "oncall.yaml:7: groups.team.members.0: unknown engineer 'anna'; did you mean"),
        ("engineer: ann, f", "engineer: zoe, f", "oncall.yaml:9: leave.0.engineer: unknown engineer 'zoe'; known are"),
        ("group: team, ", "group: taem, ", "oncall.yaml:11: swaps.0.group: unknown group 'taem'; did you mean 'team'"),
        ("takes: bob", "takes: bert", "oncall.yaml:11: swaps.0.takes: unknown member of team 'bert'"),
        ("takes: bob", "takes: ann", "oncall.yaml:11: swaps.0: gives and takes are both ann; expected two engineers"),
        ("last: 2024-02-03", "last: 2024-01-03", "swaps.0: last 2024-01-03 is before first 2024-02-01"),
        ("Europe/London", "Europe/Londn", "time_zone: unknown time zone; did you mean 'Europe/London'? (found"),
        ("country: DE", "country: Germany", "engineers.ann.country: String should match pattern"),
        ("{engineer: bob, since: 2024-01-01}", "ann", "members has ann more than once"),
        ("start: 2024-01-01", "start: 2024-01-01\n    weeks: 3", "groups.team.weeks: Input should be 1 or 2 (found 3)"),
    ],
)
def test_a_mistake_in_on_call_is_told(faults: Faults, old: str, new: str, expected: str) -> None:
    assert ONCALL.count(old) == 1
    told = faults(oncall=ONCALL.replace(old, new))
    assert any(expected in each for each in told), told


def test_an_unreadable_on_call_file_hides_no_other_mistake_and_makes_none(faults: Faults) -> None:
    (told,) = faults(oncall="groups: [")
    assert told.startswith("oncall.yaml:1: not valid YAML: ")
    (told,) = faults(oncall="groups: {team: 3}")
    assert told.startswith("oncall.yaml:1: groups.team: ")
    told, _ = faults(oncall="groups: {team: 3}", pipeline=PIPELINE.replace("major", "urgent"))
    assert told.startswith("oncall.yaml:1: groups.team: ")
