"""Every table is of exactly one pipeline: the one that names it, else the one that names its layer."""

import pytest

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.pipeline_consistency import table_keys
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.operations.ownership import NoPipeline, neighbours, pipeline_of, tables_of
from cdm_assets.warehouse.tables import Tables


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog()


def test_the_catalog_knows_the_tables_that_there_are(catalog: Catalog) -> None:
    assert sorted(table_keys(catalog)) == sorted(Tables(catalog).partitioned)


def test_every_table_that_ships_is_of_exactly_one_pipeline(catalog: Catalog) -> None:
    keys = table_keys(catalog)
    of_all = [key for name in catalog.pipelines for key in tables_of(catalog, name, keys)]
    assert sorted(of_all) == sorted(keys)
    assert all(tables_of(catalog, name, keys) for name in catalog.pipelines)


def test_a_table_s_own_name_goes_before_its_layer(catalog: Catalog) -> None:
    assert pipeline_of(catalog, "cdm_publish_db.customer_360").pipeline == "customer_360_platform"
    assert pipeline_of(catalog, "cdm_publish_db.profit_aggregate").pipeline == "profit_investors"


def test_without_pipelines_it_says_where_to_name_the_table(catalog: Catalog) -> None:
    bare = catalog.model_copy(update={"pipelines": {}})
    with pytest.raises(NoPipeline, match=r"no pipeline has the table ldz.ldz_click; name it, or its layer, in a file"):
        pipeline_of(bare, "ldz.ldz_click")


def test_who_owns_what_a_pipeline_is_made_of_and_who_is_affected(catalog: Catalog) -> None:
    loads = TableLoads(Tables(catalog))
    investors = neighbours(catalog, catalog.pipelines["engagement_investors"], loads.reads)
    assert [pipeline.pipeline for pipeline in investors.upstream] == ["customer_360_platform"]
    assert "click" in {upstream.source for upstream in investors.sources}
    platform = neighbours(catalog, catalog.pipelines["customer_360_platform"], loads.reads)
    assert {"engagement_investors", "profit_investors"} <= {pipeline.pipeline for pipeline in platform.downstream}
