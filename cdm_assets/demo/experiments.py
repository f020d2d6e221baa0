"""`experiment.csv` and `experiment_assignment.csv`: three experiments in the year and who is in them. Generated.

Half of the households are in an experiment. Revenue is real, so no experiment moves it; what two of them move is how
much the treated households click (`clicks`).
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.seeds import generator

EXPERIMENT = Layout(
    file_name="experiment.csv",
    delivery="snapshot, daily",
    columns=("experiment_id", "name", "unit", "treatment_share", "starts_on", "ends_on"),
    generated=("experiment_id", "name", "unit", "treatment_share", "starts_on", "ends_on"),
    note="An experiment is listed from 30 days before it starts.",
)
EXPERIMENT_ASSIGNMENT = Layout(
    file_name="experiment_assignment.csv",
    delivery="events, on dates that have any",
    columns=("experiment_id", "customer_id", "arm", "assigned_on"),
    generated=("experiment_id", "customer_id", "arm", "assigned_on"),
    note="The households are real, that they are in experiments is invented. Treated households of EXP-001 click 10 % "
    "more while it runs, of EXP-003 5 %; EXP-002 has no effect. None has one on revenue, which is real.",
)

_LISTED_BEFORE = timedelta(days=30)
_ASSIGNED_SHARE = 0.5
_ASSIGNED_AT_START_RATE = 0.8
_LATEST_ASSIGNMENT_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment; it runs from `starts_on` to `ends_on`, both included."""

    experiment_id: str
    name: str
    unit: str
    treatment_share: Decimal
    starts_on: date
    ends_on: date
    click_factor: float
    """How much more a treated household clicks while it runs."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A household in an arm from `assigned_on` on."""

    experiment: Experiment
    customer_id: int
    arm: str
    assigned_on: date


EXPERIMENTS = (
    Experiment(
        experiment_id="EXP-001",
        name="Recipe ideas on the start page",
        unit="fresh",
        treatment_share=Decimal("0.5"),
        starts_on=date(2017, 1, 2),
        ends_on=date(2017, 3, 31),
        click_factor=1.10,
    ),
    Experiment(
        experiment_id="EXP-002",
        name="Free delivery from 35 dollars on",
        unit="grocery",
        treatment_share=Decimal("0.5"),
        starts_on=date(2017, 6, 1),
        ends_on=date(2017, 8, 31),
        click_factor=1.0,
    ),
    Experiment(
        experiment_id="EXP-003",
        name="Reminder of vitamins, by app",
        unit="health",
        treatment_share=Decimal("0.3"),
        starts_on=date(2017, 10, 2),
        ends_on=date(2017, 12, 31),
        click_factor=1.05,
    ),
)


def plan_assignments(journey: CompleteJourney) -> list[Assignment]:
    """Who is in which arm of which experiment since when, by experiment and household."""
    rows = journey.rows(
        "select distinct household_id from read_parquet($path) order by household_id", table="transactions"
    )
    households = [row[0] for row in rows]
    assignments = []
    for experiment in EXPERIMENTS:
        rng = generator("experiment_assignment", experiment.experiment_id)
        for household in households:
            is_in, treated, at_start, days = rng.random(4)
            if is_in < _ASSIGNED_SHARE:
                later = 0 if at_start < _ASSIGNED_AT_START_RATE else 1 + int(days * _LATEST_ASSIGNMENT_DAYS)
                assignment = Assignment(
                    experiment=experiment,
                    customer_id=household,
                    arm="treatment" if treated < experiment.treatment_share else "control",
                    assigned_on=experiment.starts_on + timedelta(days=later),
                )
                assignments.append(assignment)
    return assignments


class Experiments:
    """The experiments, by day."""

    def file_on(self, day: date) -> ExtractFile:
        """The experiments planned, running and past on `day`, by id."""
        known = [experiment for experiment in EXPERIMENTS if experiment.starts_on - _LISTED_BEFORE <= day]
        return csv_file(
            EXPERIMENT, [(e.experiment_id, e.name, e.unit, e.treatment_share, e.starts_on, e.ends_on) for e in known]
        )


class ExperimentAssignments:
    """The assignments, by day."""

    def __init__(self, assignments: list[Assignment]) -> None:
        self._rows: dict[date, list[tuple[object, ...]]] = defaultdict(list)
        for each in assignments:
            row = (each.experiment.experiment_id, each.customer_id, each.arm, each.assigned_on)
            self._rows[each.assigned_on].append(row)

    def file_on(self, day: date) -> ExtractFile | None:
        """The households assigned on `day`, by household."""
        rows = self._rows.get(day)
        return csv_file(EXPERIMENT_ASSIGNMENT, rows) if rows else None
