"""The whole year as written: the totals of the public data, to the row and to the cent."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from cdm_assets.demo.landing_area import write_landing_area

pytestmark = pytest.mark.slow

REAL_ROWS = {"offer": 116_204, "contact": 6_589, "response": 2_102, "transaction": 1_469_307, "campaign": 27 * 366}


def test_the_full_year_holds_the_totals_of_the_public_data(tmp_path: Path) -> None:
    summary = write_landing_area(root=tmp_path, start=date(2017, 1, 1), end=date(2018, 1, 1))
    assert len(summary.dates_written) == 366
    assert REAL_ROWS.items() <= summary.rows.items()
    assert _transactions(tmp_path) == (1_469_307, Decimal("4596039.58"), 1_469_307, 0)
    assert not (tmp_path / "2017-12-25" / "transaction.csv").exists()
    assert (tmp_path / "2018-01-01" / "transaction.csv").read_bytes().count(b"\n") == 534 + 1
    assert _offers(tmp_path) == (116_204, 111_332, "VARCHAR")


def _transactions(root: Path) -> object:
    """Rows, sum of sales, distinct keys, and rows in a folder that is not of their date."""
    return duckdb.execute(
        """
        select count(*), sum(sales_value), count(distinct (basket_id, product_id)),
               count(*) filter (not contains(filename, transaction_timestamp::date::varchar))
        from read_csv(
            $files, filename = true, header = true, auto_detect = false,
            columns = {
                'basket_id': 'bigint', 'product_id': 'bigint', 'household_id': 'bigint', 'store_id': 'bigint',
                'quantity': 'bigint', 'sales_value': 'decimal(12,2)', 'retail_disc': 'decimal(12,2)',
                'coupon_disc': 'decimal(12,2)', 'coupon_match_disc': 'decimal(12,2)', 'week': 'integer',
                'transaction_timestamp': 'timestamp'
            }
        )
        """,
        {"files": str(root / "*" / "transaction.csv")},
    ).fetchone()


def _offers(root: Path) -> object:
    """Rows, distinct rows, and the type of the identifiers."""
    return duckdb.execute(
        """
        select count(*), count(distinct (coupon_upc, product_id, campaign_id)), any_value(typeof(coupon_upc))
        from read_parquet($files)
        """,
        {"files": str(root / "*" / "offer.parquet")},
    ).fetchone()
