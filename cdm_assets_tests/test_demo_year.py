"""The whole real year, from landing files to publish: every layer holds what the retailer's data hold."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import read_catalog
from cdm_assets.demo.landing_area import write_landing_area
from cdm_assets.loading.table_loads import LoadContext, TableLoads
from cdm_assets.operations.status import failed_checks
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.ddl import create_missing
from cdm_assets.warehouse.engine import DuckDBOptions, Warehouse
from cdm_assets.warehouse.tables import Tables
from cdm_assets_tests.small_site import area_at

YEAR = DateRange(date(2017, 1, 1), date(2018, 1, 1))
LAST = f"business_date = date '{YEAR.last}'"

LINES, SALES, BASKETS, HOUSEHOLDS = 1_469_307, Decimal("4596039.58"), 155_848, 2_469
CONTACTS, REDEMPTIONS, CAMPAIGNS = 6_589, 2_102, 27

TOTALS: dict[str, tuple[Any, ...]] = {
    # landing zone
    "select count(*), sum(sales_value), count(distinct basket_id), count(distinct household_id) "
    "from ldz.ldz_transaction": (LINES, SALES, BASKETS, HOUSEHOLDS),
    "select count(*) from ldz.ldz_contact": (CONTACTS,),
    "select count(*) from ldz.ldz_response": (REDEMPTIONS,),
    "select count(*), count(distinct (coupon_upc, product_id, campaign_id)) from ldz.ldz_offer": (116_204, 111_332),
    # vault
    "select count(*), sum(sales_value), count(distinct basket_hk), count(distinct customer_hk) "
    "from rdv.l_transaction": (LINES, SALES, BASKETS, HOUSEHOLDS),
    "select count(*) from rdv.h_basket": (BASKETS,),
    "select count(*) from rdv.h_customer": (HOUSEHOLDS,),
    "select count(*) from rdv.h_campaign": (CAMPAIGNS,),
    "select count(*) from rdv.l_contact": (CONTACTS,),
    "select count(*) from rdv.l_response": (REDEMPTIONS,),
    "select count(*) from rdv.l_offer_product": (111_332,),
    # interface
    "select count(*), sum(sales_amount), count(distinct basket_id), count(distinct customer_id) from itf.transaction": (
        LINES,
        SALES,
        BASKETS,
        HOUSEHOLDS,
    ),
    "select count(*) from itf.contact": (CONTACTS,),
    "select count(*) from itf.response": (REDEMPTIONS,),
    f"select count(*) from itf.campaign where {LAST}": (CAMPAIGNS,),
    # aggregates
    "select sum(sales_amount), sum(baskets), sum(contacts), sum(redemptions) from agg.customer_day": (
        SALES,
        BASKETS,
        CONTACTS,
        REDEMPTIONS,
    ),
    "select sum(sales_amount) from agg.customer_department_day": (SALES,),
    "select sum(contacts), sum(redemptions) from agg.campaign_day": (CONTACTS, REDEMPTIONS),
    # publish
    "select count(*) filter (where baskets_lifetime > 0), sum(sales_amount_lifetime), sum(baskets_lifetime), "
    "sum(contacts_lifetime), sum(redemptions_lifetime) from cdm_publish_db.customer_360_current": (
        HOUSEHOLDS,
        SALES,
        BASKETS,
        CONTACTS,
        REDEMPTIONS,
    ),
    "select count(*), sum(audience), sum(redemptions) from cdm_publish_db.campaign_360_current": (
        CAMPAIGNS,
        CONTACTS,
        REDEMPTIONS,
    ),
    "select count(distinct business_date) from cdm_publish_db.customer_360": (366,),
    "select count(distinct business_date) from cdm_publish_db.campaign_360": (366,),
    "select count(distinct business_date) from cdm_publish_db.flowchart_360": (366,),
}


@pytest.mark.slow
def test_the_year_in_one_range_and_one_gigabyte_publishes_the_real_totals_in_every_layer(tmp_path: Path) -> None:
    write_landing_area(root=tmp_path / "landing", start=YEAR.first, end=YEAR.last)
    loads = TableLoads(Tables(read_catalog()))
    with Warehouse.open_duckdb(tmp_path / "cdm.duckdb", loads.tables, options=DuckDBOptions("1GB", 2)) as warehouse:
        create_missing(warehouse)
        for key in loads.in_order:
            loads.load(key, YEAR, LoadContext(warehouse, area_at(tmp_path / "landing"), "k" * 32, "year"))
        with warehouse.connection() as connection:
            found = {sql: tuple(connection.execute(sa.text(sql)).one()) for sql in TOTALS}
        assert found == TOTALS
        assert failed_checks(warehouse, YEAR, blocking=True) == []
        undescribed = {
            name
            for check in failed_checks(warehouse, YEAR, blocking=False)
            if check.table == "rdv.l_transaction"
            for name in check.message.split("(", 1)[1].rstrip(")").split(", ")
        }
        assert len(undescribed) == 17, "the article numbers that are in no product file, each named by a warning"
