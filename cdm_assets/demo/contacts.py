"""`contact.csv`: who was contacted in a campaign, on its contact date.

The pairs of campaign and household are real. How they were contacted is generated: about a tenth of each audience is
held back as a control group, drawn from the households that redeem no coupon of that campaign.
"""

from datetime import date, datetime, time, timedelta

import numpy as np

from cdm_assets.demo.campaigns import Campaign
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.flowcharts import Flowchart, production_runs_on
from cdm_assets.demo.seeds import generator, pick_weighted

CONTACT = Layout(
    file_name="contact.csv",
    delivery="events, on the start dates of campaigns",
    columns=(
        "campaign_id",
        "household_id",
        "contact_timestamp",
        "channel",
        "cell_code",
        "treatment_code",
        "flowchart_run_id",
        "is_control",
        "contact_cost",
    ),
    generated=(
        "contact_timestamp",
        "channel",
        "cell_code",
        "treatment_code",
        "flowchart_run_id",
        "is_control",
        "contact_cost",
    ),
    note="Campaigns that started in 2016 are contacted on 2017-01-01.",
)

_CONTROL_SHARE = 0.10
_CHANNELS = {
    "Type A": {"mail": 0.50, "email": 0.30, "sms": 0.10, "app": 0.10},
    "Type B": {"mail": 0.25, "email": 0.50, "sms": 0.15, "app": 0.10},
    "Type C": {"mail": 0.20, "email": 0.35, "sms": 0.15, "app": 0.30},
}
_COSTS = {"mail": "0.68", "email": "0.02", "sms": "0.07", "app": "0.01", "none": "0.00"}
_TREATMENTS = {"mail": "ML", "email": "EM", "sms": "SM", "app": "AP", "none": "CTL"}
_TARGET_CELLS = {"T1": 0.5, "T2": 0.5}
_CONTROL_CELL = "CTL"
_OPEN_HOURS = (8, 20)


class Contacts:
    """The contacts, by day."""

    def __init__(self, journey: CompleteJourney, flowcharts: list[Flowchart]) -> None:
        self._flowcharts = flowcharts
        self._redeemers = _redeemers(journey)

    def file_on(self, day: date) -> ExtractFile | None:
        """The contacts of the campaigns that start on `day`, by campaign and household."""
        run_ids = {
            run.flowchart_id: run_id
            for run_id, run in production_runs_on(day, self._flowcharts).items()
            if run.status == "succeeded"
        }
        rows = [
            row
            for flowchart in self._flowcharts
            if flowchart.flowchart_id in run_ids
            for row in self._contacts_of(flowchart, run_ids[flowchart.flowchart_id])
        ]
        return csv_file(CONTACT, sorted(rows)) if rows else None

    def _contacts_of(self, flowchart: Flowchart, run_id: int) -> list[tuple[object, ...]]:
        campaign = flowchart.campaign
        rng = generator("contact", flowchart.flowchart_id)
        control = _control_group(rng, flowchart.households, self._redeemers.get(campaign.campaign_id, frozenset()))
        rows: list[tuple[object, ...]] = []
        for household in flowchart.households:
            is_control = household in control
            channel = pick_weighted(rng, _CHANNELS[campaign.campaign_type])
            cell = pick_weighted(rng, _TARGET_CELLS)
            channel, cell = ("none", _CONTROL_CELL) if is_control else (channel, cell)
            rows.append(
                (
                    campaign.campaign_id,
                    household,
                    _moment_of_contact(rng, campaign),
                    channel,
                    f"{flowchart.flowchart_id}-{cell}",
                    f"T{campaign.campaign_id:03d}-{_TREATMENTS[channel]}",
                    run_id,
                    "true" if is_control else "false",
                    _COSTS[channel],
                )
            )
        return rows


def _redeemers(journey: CompleteJourney) -> dict[int, frozenset[int]]:
    """The households that redeem a coupon of a campaign, by campaign."""
    rows = journey.rows(
        "select campaign_id, list(distinct household_id) from read_parquet($path) group by campaign_id",
        table="coupon_redemptions",
    )
    return {campaign_id: frozenset(households) for campaign_id, households in rows}


def _control_group(rng: np.random.Generator, households: tuple[int, ...], redeemers: frozenset[int]) -> frozenset[int]:
    eligible = [household for household in households if household not in redeemers]
    size = min(round(_CONTROL_SHARE * len(households)), len(eligible))
    return frozenset(int(household) for household in rng.choice(eligible, size=size, replace=False))


def _moment_of_contact(rng: np.random.Generator, campaign: Campaign) -> datetime:
    """A second in the open hours of the contact date: after the flowcharts have run."""
    first, last = (hour * 3600 for hour in _OPEN_HOURS)
    return datetime.combine(campaign.contact_date, time()) + timedelta(seconds=int(rng.integers(first, last)))
