"""Marts' YAML and selects agree, and no column leaves its PII class behind on the way to publish."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.checks import AnyCheck, OutOfScale
from cdm_assets.catalog.model import Catalog, Column
from cdm_assets.catalog.reading import CANONICAL, CatalogError, read_catalog
from cdm_assets.catalog.types import PiiClass
from cdm_assets.loading.marts.consistency import marts_faults
from cdm_assets.loading.marts.registry import MARTS
from cdm_assets.loading.table_loads import TableLoads
from cdm_assets.warehouse.dates import DateRange
from cdm_assets.warehouse.lineage import SOME_DATES, column_lineage
from cdm_assets.warehouse.tables import TOKEN_TYPE, Tables, sql_type


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return read_catalog()


def _with_mart(tmp_path: Path, mart: str, *changes: tuple[str, str]) -> CatalogError:
    text = (CANONICAL / "marts" / f"{mart}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "marts").mkdir()
    (tmp_path / "marts" / f"{mart}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as error:
        read_catalog(tmp_path, further_rules=[marts_faults])
    return error.value


def _line(mart: str, text: str) -> int:
    lines = (CANONICAL / "marts" / f"{mart}.yaml").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_the_shipped_marts_and_their_selects_agree(shipped: Catalog) -> None:
    assert list(marts_faults(shipped)) == []
    assert set(MARTS) == set(shipped.marts)


def test_a_declared_column_that_no_select_gives_is_told_at_its_line(tmp_path: Path) -> None:
    error = _with_mart(tmp_path, "flowchart_day", ("{name: redemptions,", "{name: redeemed,"))
    [_, fault] = [fault for fault in error.faults if fault.file.startswith(str(tmp_path))]
    assert fault.line == _line("flowchart_day", "name: redemptions")
    assert fault.message == "column 'redeemed' is declared but not in the select of this mart"


def test_a_selected_column_that_is_not_declared_is_told(tmp_path: Path) -> None:
    error = _with_mart(tmp_path, "flowchart_day", ("{name: redemptions,", "{name: redeemed,"))
    [fault, _] = [fault for fault in error.faults if fault.file.startswith(str(tmp_path))]
    assert fault.line == _line("flowchart_day", "columns:")
    assert fault.message == "column 'redemptions' is in the select of this mart but not declared"


def test_a_column_of_another_kind_than_its_select_is_told(tmp_path: Path) -> None:
    [fault] = _with_mart(
        tmp_path, "flowchart_day", ("failed_runs, type: integer", "failed_runs, type: string(9)")
    ).faults
    assert fault.message == "column 'failed_runs' is declared string(9), the select gives BigInteger()"


def test_a_mart_without_select_is_told(tmp_path: Path) -> None:
    (tmp_path / "marts").mkdir()
    text = (CANONICAL / "marts" / "flowchart_day.yaml").read_text(encoding="utf-8").replace("flowchart_day", "my_day")
    (tmp_path / "marts" / "my_day.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError, match=r"my_day\.yaml:1: no select fills mart 'my_day'; .* has customer_day, "):
        read_catalog(tmp_path, further_rules=[marts_faults])


def test_a_select_that_names_a_missing_column_is_told(tmp_path: Path) -> None:
    (tmp_path / "interface").mkdir()
    text = (
        (CANONICAL / "interface" / "contact.yaml").read_text(encoding="utf-8").replace("is_control", "is_held_back", 1)
    )
    (tmp_path / "interface" / "contact.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError, match=r"names a table or column that is not there: is_control"):
        read_catalog(tmp_path, further_rules=[marts_faults])


def test_a_column_computed_from_a_direct_one_must_be_direct(tmp_path: Path) -> None:
    [fault] = _with_mart(tmp_path, "customer_360", ("pii: direct, ", "")).faults
    assert fault.line == _line("customer_360", "name: email")
    assert fault.message == "column 'email' is computed from itf.customer.email, so it must be `pii: direct`, not none"


def test_a_class_is_followed_through_functions_of_the_column(shipped: Catalog) -> None:
    def select(tables: Tables, dates: DateRange) -> sa.Select[Any]:
        customer = tables["itf.customer"]
        named = {"flowchart_name": sa.func.substr(customer.c.email, 1, 3)}
        return sa.select(
            customer.c.business_date,
            *(
                named.get(c.name, sa.cast(sa.null(), sql_type(c.type))).label(c.name)
                for c in shipped.marts["flowchart_360"].columns
            ),
        )

    faults = list(marts_faults(shipped, selects={**MARTS, "flowchart_360": select}))
    assert [(name, message) for _, name, _, message in faults] == [
        (
            "flowchart_360",
            "column 'flowchart_name' is computed from itf.customer.email, so it must be `pii: direct`, not none",
        )
    ]


def test_an_interface_column_has_the_strictest_class_of_all_it_is_mapped_from(tmp_path: Path) -> None:
    (tmp_path / "interface").mkdir()
    text = (CANONICAL / "interface" / "customer.yaml").read_text(encoding="utf-8")
    text = text.replace(
        "from: s_customer_demographics.kids_count",
        "from: [s_customer_demographics.kids_count, s_customer_demographics.email]",
    )
    (tmp_path / "interface" / "customer.yaml").write_text(text, encoding="utf-8")
    tables = Tables(read_catalog(tmp_path))
    assert tables["itf.customer"].c.kids_count.info["pii"] is PiiClass.DIRECT
    with pytest.raises(
        CatalogError, match=r"column 'kids_count' is computed from itf\.customer\.kids_count, so it must be"
    ):
        read_catalog(tmp_path, further_rules=[marts_faults])


def _with_cleared(shipped: Catalog, mart: str, column: str, cleared: str | None) -> Catalog:
    changed = shipped.marts[mart]
    columns = tuple(c.model_copy(update={"cleared": cleared}) if c.name == column else c for c in changed.columns)
    marts = shipped.marts | {mart: changed.model_copy(update={"columns": columns})}
    return shipped.model_copy(update={"marts": marts})


def test_a_sum_of_sensitive_values_needs_its_class_or_the_reason_why_not(shipped: Catalog) -> None:
    assert list(marts_faults(shipped)) == []
    [(_, mart, _, message)] = marts_faults(_with_cleared(shipped, "profit_unit", "salary", None))
    assert mart == "profit_unit"
    assert message.startswith("column 'salary' is computed from itf.payroll.monthly_salary, so it must be `pii: sensit")


def test_nothing_is_cleared_that_needs_no_clearing(shipped: Catalog) -> None:
    [(_, mart, at, message)] = marts_faults(_with_cleared(shipped, "profit_unit", "revenue", "a sum"))
    assert (mart, list(at)) == ("profit_unit", ["columns", 1, "cleared"])
    assert message == "column 'revenue' is cleared, but computed from nothing direct or sensitive; leave `cleared` out"


def test_a_reason_is_not_empty() -> None:
    with pytest.raises(ValueError, match="at least 1 character"):
        Column.model_validate({"name": "salary", "type": "integer", "cleared": "  "})


def _with_checks(shipped: Catalog, mart: str, *checks: AnyCheck) -> Catalog:
    marts = shipped.marts | {mart: shipped.marts[mart].model_copy(update={"checks": checks})}
    return shipped.model_copy(update={"marts": marts})


def test_a_check_looks_only_at_what_the_mart_is_loaded_again_for(shipped: Catalog) -> None:
    """Else its result would depend on the order of loads."""
    check = OutOfScale(check="out_of_scale", table="itf.spend", column="amount")
    assert list(marts_faults(_with_checks(shipped, "profit_aggregate", check))) == []
    [(_, _, at, message)] = marts_faults(_with_checks(shipped, "profit_unit", check))
    assert list(at) == ["checks", 0]
    assert message == (
        "out_of_scale: this mart is not made of itf.spend (on all dates); "
        "a change of it would leave the result of this check as it was"
    )
    itself = OutOfScale(check="out_of_scale", table="metrics.profit_aggregate", column="revenue")
    assert len(list(marts_faults(_with_checks(shipped, "profit_aggregate", itself)))) == 1


def test_a_check_of_a_column_that_is_not_there_is_told(shipped: Catalog) -> None:
    check = OutOfScale(check="out_of_scale", table="itf.spend", column="amonut", per=("unit",))
    [(_, _, _, message)] = marts_faults(_with_checks(shipped, "profit_aggregate", check))
    assert message == "out_of_scale: there is no column 'amonut' in a table 'itf.spend'"


def test_no_published_column_shows_a_direct_or_sensitive_value(shipped: Catalog) -> None:
    """From the landing zone on: what goes back to a direct or sensitive column is a token in publish, or cleared."""
    cleared = {
        (f"{mart.layer}.{mart.mart}", column.name)
        for mart in shipped.marts.values()
        for column in mart.columns
        if column.cleared
    }
    assert cleared == {("metrics.profit_unit", name) for name in ("salary", "profit", "profit_per_customer")}
    loads = TableLoads(Tables(shipped))
    origins: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for key in loads.in_order:
        select = loads.select(key, SOME_DATES)
        for name, upstream in (column_lineage(select, loads.tables[key]) if select is not None else {}).items():
            known = (origins.get(column, {column}) for column in upstream)
            origins[key, name] = set() if (key, name) in cleared else set().union(*known)
    personal = {
        (f"ldz.{source.table}", column.name)
        for source in shipped.sources.values()
        for column in source.columns
        if column.pii.tokenized
    }
    assert ("ldz.ldz_customer", "email") in personal
    shown = {place: found & personal for place, found in origins.items() if place[0].startswith("cdm_publish_db")}
    tokens = {place for place, found in shown.items() if found}
    assert tokens == {("cdm_publish_db.customer_360", "email")}
    for table, column in tokens:
        assert loads.tables[table].c[column].type.length == TOKEN_TYPE.length  # type: ignore[attr-defined]
