"""`campaign.csv`: all 27 campaigns every day; budgets change now and then."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from cdm_assets.demo.business_dates import FIRST_DATE, ONE_DAY
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file
from cdm_assets.demo.seeds import generator, pick, pick_weighted

CAMPAIGN = Layout(
    file_name="campaign.csv",
    delivery="snapshot, daily",
    columns=("campaign_id", "campaign_name", "campaign_type", "start_date", "end_date", "objective", "budget"),
    generated=("campaign_name", "objective", "budget"),
    note="All 27 campaigns from 2017-01-01 on, also those that start later.",
)

_OBJECTIVES = {
    "Type A": {"cross_sell": 0.4, "retention": 0.4, "acquisition": 0.1, "winback": 0.1},
    "Type B": {"retention": 0.4, "cross_sell": 0.3, "acquisition": 0.2, "winback": 0.1},
    "Type C": {"acquisition": 0.4, "winback": 0.3, "retention": 0.2, "cross_sell": 0.1},
}
_BUDGET_STEP = 500
_BUDGETS = {"Type A": (60_000, 120_000), "Type B": (8_000, 30_000), "Type C": (15_000, 45_000)}
_DAILY_BUDGET_CHANGE_RATE = 0.02
_BUDGET_FACTORS = (0.8, 0.9, 1.1, 1.2, 1.3)
_PLANNING = timedelta(days=30)

_SEASONS = ("Winter", "Spring", "Summer", "Autumn")
_THEMES = (
    "Pantry Days",
    "Family Favourites",
    "Fresh Market",
    "Bakery Week",
    "Breakfast Club",
    "Home and Care",
    "Grill and Garden",
    "Thank You Coupons",
    "Own Brand Savings",
)
# The comma is wanted: such a name is the one value in the demo that CSV has to quote.
_NAME_ENDINGS = {"Type A": "", "Type B": ", regional", "Type C": ", selected households"}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One campaign; it is in effect from `start` to `end`, both included."""

    campaign_id: int
    campaign_type: str
    start: date
    end: date

    @property
    def contact_date(self) -> date:
        """The date on which its offers and contacts are delivered: its start, or the first date of the demo."""
        return max(self.start, FIRST_DATE)

    @property
    def name(self) -> str:
        """Season, year and theme, as in "Spring 2017 Pantry Days, regional"."""
        season = _SEASONS[self.start.month % 12 // 3]
        theme = _THEMES[self.campaign_id % len(_THEMES)]
        return f"{season} {self.start.year} {theme}{_NAME_ENDINGS[self.campaign_type]}"

    @property
    def objective(self) -> str:
        """Likelier ones by campaign type."""
        return pick_weighted(generator("campaign", "objective", self.campaign_id), _OBJECTIVES[self.campaign_type])


def read_campaigns(journey: CompleteJourney) -> list[Campaign]:
    """All campaigns, by id."""
    rows = journey.rows(
        """
        select campaign_id, campaign_type, start_date::date, end_date::date
        from read_parquet($path)
        order by campaign_id
        """,
        table="campaign_descriptions",
    )
    return [
        Campaign(campaign_id=campaign_id, campaign_type=campaign_type, start=start, end=end)
        for campaign_id, campaign_type, start, end in rows
    ]


class Campaigns:
    """The campaigns and their budgets as they stand; `file_on` replays the seeded changes up to the date asked."""

    def __init__(self, campaigns: list[Campaign]) -> None:
        self._day = FIRST_DATE
        self._campaigns = campaigns
        self._budgets = {campaign.campaign_id: _first_budget(campaign) for campaign in campaigns}

    def file_on(self, day: date) -> ExtractFile:
        """All campaigns as of `day`, by id."""
        while self._day < day:
            self._day += ONE_DAY
            self._revise_budgets(self._day)
        return csv_file(CAMPAIGN, [self._row(campaign) for campaign in self._campaigns])

    def _revise_budgets(self, day: date) -> None:
        for campaign in self._campaigns:
            if not campaign.start - _PLANNING <= day <= campaign.end:
                continue
            rng = generator("campaign", "budget", day, campaign.campaign_id)
            if rng.random() < _DAILY_BUDGET_CHANGE_RATE:
                self._budgets[campaign.campaign_id] = _revised(rng, self._budgets[campaign.campaign_id])

    def _row(self, campaign: Campaign) -> tuple[object, ...]:
        return (
            campaign.campaign_id,
            campaign.name,
            campaign.campaign_type,
            campaign.start,
            campaign.end,
            campaign.objective,
            f"{self._budgets[campaign.campaign_id]}.00",
        )


def _first_budget(campaign: Campaign) -> int:
    low, high = _BUDGETS[campaign.campaign_type]
    steps = generator("campaign", "budget", campaign.campaign_id).integers(low, high, endpoint=True) // _BUDGET_STEP
    return int(steps) * _BUDGET_STEP


def _revised(rng: np.random.Generator, budget: int) -> int:
    """A budget that differs: every factor moves it by 10 % or more, which rounding to a step does not undo."""
    return round(budget * pick(rng, _BUDGET_FACTORS) / _BUDGET_STEP) * _BUDGET_STEP
