"""Made-up files: of every format, within types and rules, with keys that meet; accepted by the landing zone."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cdm_assets.catalog.model import Catalog
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.loading.landing import register_files, staged_files
from cdm_assets.loading.stamp import Stamp
from cdm_assets.operations.sample_files import RECORDS, sample_records, write_sample_files
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.landing_area import LandingArea
from cdm_assets_tests.small_site import CUSTOMER, SOURCES, VAULT, Site, day, open_site, write_catalog


def load(site: Site, root: Path) -> dict[str, int]:
    """Load every source from `root` for the first day; the rows of each."""
    write_sample_files(site.catalog, root, day(0))
    return {source: loaded_rows(site, source, root) for source in site.catalog.sources}


def loaded_rows(site: Site, source: str, root: Path) -> int:
    area, stamp = LandingArea(root, root.with_name("archive")), Stamp("sample")
    dates, tables = DateRange(day(0), day(0)), site.warehouse.tables
    with site.warehouse.transaction() as connection:
        register_files(connection, tables, {source: dates}, area, stamp)
    with (
        site.warehouse.connection() as connection,
        staged_files(connection, tables, site.source(source), dates, area, stamp=stamp) as files,
    ):
        files.begin_loading(stamp)
        with connection.begin():
            files.replace_partitions(stamp)
    return len(site.landed(source))


def test_every_record_of_every_source_is_accepted(site: Site, tmp_path: Path) -> None:
    assert load(site, tmp_path / "landing") == dict.fromkeys(SOURCES, RECORDS)
    assert [row for source in SOURCES for row in site.rejected(source)] == []


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ("files: {path: '{date}/customer.jsonl.gz', format: json_lines}", "customer.jsonl.gz"),
        ("files: {path: '{date}/customer.xlsx', format: excel, sheet: people, header_row: 3}", "customer.xlsx"),
        ("files: {path: '{date}/customer.csv', format: csv, needs_manifest: true}", "_manifest.json"),
    ],
)
def test_every_format_is_written(tmp_path: Path, files: str, name: str) -> None:
    customer = re.sub(r"files: .*", files, CUSTOMER)
    with open_site(tmp_path, {"customer": customer, **{k: SOURCES[k] for k in SOURCES if k != "customer"}}) as site:
        assert load(site, tmp_path / "made_up")["customer"] == RECORDS
        assert site.rejected("customer") == []
    assert (tmp_path / "made_up" / day(0).isoformat() / name).exists()


def test_keys_of_one_hub_are_the_same_in_all_files(site: Site) -> None:
    records = sample_records(site.catalog, day(0))
    customers = {record["customer_id"] for record in records["customer"]}
    assert len(customers) == RECORDS
    assert {record["customer_id"] for record in records["purchase"]} == customers
    assert {record["product_id"] for record in records["purchase"]} == {r["product_id"] for r in records["product"]}


def catalog_with(tmp_path: Path, rules: str, column: str) -> Catalog:
    text = re.sub(r"rules:.*?feeds:", f"rules:\n{rules}feeds:", CUSTOMER, flags=re.DOTALL)
    text = text.replace("  - {name: status, type: string(10)}\n", f"  - {{name: status, {column}}}\n")
    others = {name: source for name, source in SOURCES.items() if name != "customer"}
    return read_catalog(shipped=write_catalog(tmp_path, {"customer": text, **others}, VAULT))


@pytest.mark.parametrize(
    ("column", "rule", "fits"),
    [
        (
            "type: string(3)",
            "{rule: format, column: status, pattern: '[A-Z]{2}[0-9]', on_failure: reject}",
            "[A-Z]{2}[0-9]",
        ),
        ("type: string(9)", "{rule: length, column: status, min: 8, on_failure: reject}", "sample[012]x*"),
        ("type: string(1)", "{rule: not_null, column: status, on_failure: reject}", "[012]"),
        ("type: integer", "{rule: range, column: status, min: 18, max: 19, on_failure: reject}", "1[89]"),
        ("type: integer", "{rule: range, column: status, max: -5, on_failure: reject}", "-[5678]"),
        ("type: 'decimal(3,3)'", "{rule: range, column: status, min: 0, max: 1, on_failure: reject}", "0[.]00[0123]"),
        ("type: string(8)", "{rule: domain, column: status, values: [a, b], on_failure: reject}", "[ab]"),
        ("type: boolean", "{rule: not_null, column: status, on_failure: reject}", "true|false"),
    ],
)
def test_values_fit_type_and_rules(tmp_path: Path, column: str, rule: str, fits: str) -> None:
    catalog = catalog_with(tmp_path, f"  - {rule}\n", column)
    values = [record["status"] for record in sample_records(catalog, day(0))["customer"]]
    assert all(re.fullmatch(fits, value) for value in values), values


def test_records_whose_key_repeats_are_left_out(tmp_path: Path) -> None:
    rule = "{rule: domain, column: customer_id, values: [only], on_failure: reject}"
    records = sample_records(catalog_with(tmp_path, f"  - {rule}\n", "type: string(10)"), day(0))
    assert [record["customer_id"] for record in records["customer"]] == ["only"]


def test_the_shipped_catalog_gets_a_file_of_every_source(tmp_path: Path) -> None:
    catalog = read_catalog(None)
    written = write_sample_files(catalog, tmp_path, date(2018, 1, 1))
    assert written.keys() == catalog.sources.keys()
    assert all(0 < records <= RECORDS for records in written.values())
    emails: list[Any] = [record["email"] for record in sample_records(catalog, date(2018, 1, 1))["customer"]]
    assert all(re.fullmatch(r"[^@ ]+@[^@ ]+[.][^@ ]+", email) for email in emails), emails
