"""`offer.parquet` and `response.csv`: the coupons of the campaigns and their redemptions. All of it real."""

from collections import defaultdict
from datetime import date

from cdm_assets.demo.campaigns import Campaign
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout, csv_file, parquet_file

OFFER = Layout(
    file_name="offer.parquet",
    delivery="delta, on the start dates of campaigns",
    columns=("coupon_upc", "product_id", "campaign_id"),
    generated=(),
    note="With the exact duplicates of the public data (4,872 of 116,204 rows). All columns are strings.",
)
RESPONSE = Layout(
    file_name="response.csv",
    delivery="events, on dates that have any",
    columns=("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    generated=(),
    note="Coupon redemptions.",
)


class Offers:
    """The coupons of a campaign and the products they are for, delivered when the campaign starts."""

    def __init__(self, journey: CompleteJourney, campaigns: list[Campaign]) -> None:
        self._journey = journey
        self._campaigns = campaigns

    def file_on(self, day: date) -> ExtractFile | None:
        """The offers of the campaigns that start on `day`, duplicates included."""
        starting = [campaign.campaign_id for campaign in self._campaigns if campaign.contact_date == day]
        if not starting:
            return None
        offers = self._journey.relation(
            """
            select coupon_upc::varchar as coupon_upc, product_id::varchar as product_id,
                   campaign_id::varchar as campaign_id
            from read_parquet($path) as coupon
            where coupon.campaign_id in (select unnest($campaigns::bigint[]))
            order by coupon.campaign_id, coupon.coupon_upc, coupon.product_id
            """,
            table="coupons",
            campaigns=starting,
        )
        return parquet_file(OFFER, offers)


class Responses:
    """The coupons redeemed, by day."""

    def __init__(self, journey: CompleteJourney) -> None:
        self._rows: dict[date, list[tuple[object, ...]]] = defaultdict(list)
        redemptions = journey.rows(
            """
            select household_id, coupon_upc, campaign_id, redemption_date::date
            from read_parquet($path)
            order by household_id, coupon_upc, campaign_id
            """,
            table="coupon_redemptions",
        )
        for row in redemptions:
            self._rows[row[-1]].append(row)

    def file_on(self, day: date) -> ExtractFile | None:
        """The redemptions of `day`, by household."""
        rows = self._rows.get(day)
        return csv_file(RESPONSE, rows) if rows else None
