"""`flowchart.csv` and `flowchart_run.csv`: the selections that make the contacts. All of it generated.

A campaign has one or two flowcharts, which share its real audience between them. On the campaign's contact date each of
them succeeds once, sometimes after a failed attempt; on other dates there are rehearsals.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np

from cdm_assets.demo.business_dates import ONE_DAY
from cdm_assets.demo.campaigns import Campaign
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.seeds import generator, pick

FLOWCHART = Layout(
    file_name="flowchart.csv",
    delivery="snapshot, daily",
    columns=("flowchart_id", "flowchart_name", "campaign_id", "owner", "status", "created_date"),
    generated=("flowchart_id", "flowchart_name", "owner", "status", "created_date"),
    note="The flowcharts created so far; draft before, active during and retired after their campaign.",
)
FLOWCHART_RUN = Layout(
    file_name="flowchart_run.csv",
    delivery="events, on dates that have any",
    columns=("run_id", "flowchart_id", "started_at", "ended_at", "status", "records_selected"),
    generated=("run_id", "flowchart_id", "started_at", "ended_at", "status", "records_selected"),
    note="A failed run may lack its end. On a contact date records_selected is the number of contacts of that run.",
)

_OWNERS = ("crm_loyalty", "crm_growth", "category_marketing", "regional_marketing")
_TWO_FLOWCHARTS_FROM_HOUSEHOLDS = 100
_TWO_FLOWCHARTS_RATE = 0.75
_CREATED_DAYS_BEFORE_START = (20, 75)
_MOST_REHEARSALS = 5
_REHEARSAL_FAILURE_RATE = 0.15
_FAILED_FIRST_ATTEMPT_RATE = 0.25
_FAILED_WITHOUT_END_RATE = 0.5


@dataclass(frozen=True, kw_only=True)
class Flowchart:
    """One flowchart; `households` is its share of the audience of its campaign, by id."""

    flowchart_id: str
    name: str
    campaign: Campaign
    owner: str
    created: date
    households: tuple[int, ...]

    def status_on(self, day: date) -> str:
        """draft, active or retired, by the campaign's window."""
        if day < self.campaign.start:
            return "draft"
        return "active" if day <= self.campaign.end else "retired"


@dataclass(frozen=True, kw_only=True)
class FlowchartRun:
    """One run. A failed one selected nothing and may lack its end."""

    flowchart_id: str
    started_at: datetime
    ended_at: datetime | None
    status: str
    records_selected: int


def plan_flowcharts(journey: CompleteJourney, campaigns: list[Campaign]) -> list[Flowchart]:
    """The flowcharts of all campaigns, by id."""
    rows = journey.rows(
        """
        select campaign_id, list(household_id order by household_id)
        from read_parquet($path)
        group by campaign_id
        """,
        table="campaigns",
    )
    audiences: dict[int, list[int]] = dict(rows)
    return [
        flowchart for campaign in campaigns for flowchart in _flowcharts_of(campaign, audiences[campaign.campaign_id])
    ]


def _flowcharts_of(campaign: Campaign, audience: list[int]) -> list[Flowchart]:
    rng = generator("flowchart", campaign.campaign_id)
    has_two = len(audience) >= _TWO_FLOWCHARTS_FROM_HOUSEHOLDS and rng.random() < _TWO_FLOWCHARTS_RATE
    letters = "AB" if has_two else "A"
    owner = pick(rng, _OWNERS)
    created = campaign.start - int(rng.integers(*_CREATED_DAYS_BEFORE_START, endpoint=True)) * ONE_DAY
    shares = np.array_split(rng.permutation(audience), len(letters))
    return [
        Flowchart(
            flowchart_id=f"FC{campaign.campaign_id:03d}{letter}",
            name=f"Selection {letter} for {campaign.name}",
            campaign=campaign,
            owner=owner,
            created=created,
            households=tuple(sorted(int(household) for household in share)),
        )
        for letter, share in zip(letters, shares, strict=True)
    ]


class Flowcharts:
    """The flowcharts that exist by a date."""

    def __init__(self, flowcharts: list[Flowchart]) -> None:
        self._flowcharts = flowcharts

    def file_on(self, day: date) -> ExtractFile:
        """The flowcharts created until `day`, with their status on it, by id."""
        rows = [
            (
                flowchart.flowchart_id,
                flowchart.name,
                flowchart.campaign.campaign_id,
                flowchart.owner,
                flowchart.status_on(day),
                flowchart.created,
            )
            for flowchart in self._flowcharts
            if flowchart.created <= day
        ]
        return csv_file(FLOWCHART, rows)


class FlowchartRuns:
    """The runs, by day."""

    def __init__(self, flowcharts: list[Flowchart]) -> None:
        self._flowcharts = flowcharts

    def file_on(self, day: date) -> ExtractFile | None:
        """The runs of a contact date, or else the rehearsals of `day`, by run."""
        runs = production_runs_on(day, self._flowcharts) or _rehearsals_on(day, self._flowcharts)
        rows = [
            (run_id, run.flowchart_id, run.started_at, run.ended_at, run.status, run.records_selected)
            for run_id, run in runs.items()
        ]
        return csv_file(FLOWCHART_RUN, rows) if rows else None


def production_runs_on(day: date, flowcharts: list[Flowchart]) -> dict[int, FlowchartRun]:
    """The runs that make the contacts of `day`, by id: one success a flowchart, perhaps after a failed attempt."""
    runs = []
    for flowchart in flowcharts:
        if flowchart.campaign.contact_date != day:
            continue
        rng = generator("flowchart_run", day, flowchart.flowchart_id)
        if rng.random() < _FAILED_FIRST_ATTEMPT_RATE:
            runs.append(_failed_run(rng, flowchart, _moment(rng, day, hours=(4, 5))))
        runs.append(_successful_run(rng, flowchart, _moment(rng, day, hours=(6, 7)), len(flowchart.households)))
    return _numbered(day, runs)


def _rehearsals_on(day: date, flowcharts: list[Flowchart]) -> dict[int, FlowchartRun]:
    candidates = [
        flowchart for flowchart in flowcharts if flowchart.created <= day and flowchart.status_on(day) != "retired"
    ]
    rng = generator("flowchart_run", day)
    runs = []
    for _ in range(int(rng.integers(_MOST_REHEARSALS, endpoint=True)) if candidates else 0):
        flowchart = pick(rng, candidates)
        started_at = _moment(rng, day, hours=(8, 18))
        if rng.random() < _REHEARSAL_FAILURE_RATE:
            runs.append(_failed_run(rng, flowchart, started_at))
        else:
            selected = int(rng.integers(1, len(flowchart.households), endpoint=True))
            runs.append(_successful_run(rng, flowchart, started_at, selected))
    return _numbered(day, runs)


def _numbered(day: date, runs: list[FlowchartRun]) -> dict[int, FlowchartRun]:
    """The runs in the order in which they started; the first of 2017-03-01 is run 2017030101."""
    in_order = sorted(runs, key=lambda run: (run.started_at, run.flowchart_id))
    return {int(f"{day:%Y%m%d}{number:02d}"): run for number, run in enumerate(in_order, start=1)}


def _moment(rng: np.random.Generator, day: date, *, hours: tuple[int, int]) -> datetime:
    """A second of `day` from the first of `hours` until before the second."""
    return datetime.combine(day, time()) + timedelta(seconds=int(rng.integers(hours[0] * 3600, hours[1] * 3600)))


def _successful_run(
    rng: np.random.Generator, flowchart: Flowchart, started_at: datetime, records_selected: int
) -> FlowchartRun:
    return FlowchartRun(
        flowchart_id=flowchart.flowchart_id,
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=int(rng.integers(120, 1800))),
        status="succeeded",
        records_selected=records_selected,
    )


def _failed_run(rng: np.random.Generator, flowchart: Flowchart, started_at: datetime) -> FlowchartRun:
    lost = rng.random() < _FAILED_WITHOUT_END_RATE
    return FlowchartRun(
        flowchart_id=flowchart.flowchart_id,
        started_at=started_at,
        ended_at=None if lost else started_at + timedelta(seconds=int(rng.integers(10, 900))),
        status="failed",
        records_selected=0,
    )
