"""`transaction.csv`: the purchases of a day (UTC). All of it real.

1.5 million rows are too many for a loop: DuckDB writes the lines, a month at a time.
"""

from datetime import date

from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.extract import ExtractFile, Layout

TRANSACTION = Layout(
    file_name="transaction.csv",
    delivery="events, on dates that have any",
    columns=(
        "basket_id",
        "product_id",
        "household_id",
        "store_id",
        "quantity",
        "sales_value",
        "retail_disc",
        "coupon_disc",
        "coupon_match_disc",
        "week",
        "transaction_timestamp",
    ),
    generated=(),
    note="Amounts are rounded to cents: the public data holds them as binary doubles. None on 2017-12-25.",
)

# Every column is filled in the source and is a number or a time, so no value needs a quote and concat_ws skips none.
_LINES_OF_A_MONTH = """
    with line as (
        select
            transaction_timestamp::date as business_date,
            transaction_timestamp,
            basket_id,
            product_id,
            concat_ws(
                ',', basket_id, product_id, household_id, store_id, quantity,
                round(sales_value, 2)::decimal(12, 2), round(retail_disc, 2)::decimal(12, 2),
                round(coupon_disc, 2)::decimal(12, 2), round(coupon_match_disc, 2)::decimal(12, 2),
                week, strftime(transaction_timestamp, '%Y-%m-%d %H:%M:%S')
            ) as text
        from read_parquet($path)
        where transaction_timestamp >= $month and transaction_timestamp < $month + interval 1 month
    )
    select business_date, count(*), string_agg(text, chr(10) order by transaction_timestamp, basket_id, product_id)
    from line
    group by business_date
"""


class Transactions:
    """The transactions, by day; keeps the month it was last asked for."""

    def __init__(self, journey: CompleteJourney) -> None:
        self._journey = journey
        self._month: date | None = None
        self._days: dict[date, tuple[int, str]] = {}

    def file_on(self, day: date) -> ExtractFile | None:
        """The transactions of `day`, in the order in which they happened."""
        self._read(day.replace(day=1))
        if day not in self._days:
            return None
        rows, lines = self._days[day]
        return ExtractFile(TRANSACTION, rows, f"{','.join(TRANSACTION.columns)}\n{lines}\n".encode())

    def _read(self, month: date) -> None:
        if month != self._month:
            rows = self._journey.rows(_LINES_OF_A_MONTH, table="transactions", month=month)
            self._days = {business_date: (count, lines) for business_date, count, lines in rows}
            self._month = month
