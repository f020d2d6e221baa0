"""Mistakes in the checks that a source, an entity or a mart declares, told with file, line and what was expected."""

from pathlib import Path

import pytest

from cdm_assets.catalog.reading import CANONICAL, CatalogError, read_catalog


def mistakes(tmp_path: Path, file: str, checks: str) -> list[str]:
    """What the shipped catalog's reader says of a file with other checks."""
    text = (CANONICAL / file).read_text(encoding="utf-8")
    before, _, after = text.partition("checks:\n")
    rest = after[after.index("feeds:") :] if "feeds:" in after else ""
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(f"{before.rstrip()}\nchecks:\n{checks}\n{rest}", encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        read_catalog(tmp_path)
    return str(caught.value).splitlines()[1:]


CLICK, PAGE = "sources/click.yaml", "marts/investor_summary.yaml"


@pytest.mark.parametrize(
    ("file", "check", "expected"),
    [
        (
            CLICK,
            "{check: duplicate, columns: [event_id], max_share: 0.1}",
            "unknown check 'duplicate'; did you mean 'dup",
        ),
        (
            CLICK,
            "{columns: [event_id]}",
            "required key 'check' is missing; expected one of expected_events, duplicates",
        ),
        (
            CLICK,
            "{check: no_na, columns: [page]}",
            "unknown check 'no_na'; known are expected_events, duplicates, skew",
        ),
        (CLICK, "{check: duplicates, columns: [id], max_share: 0.1}", "duplicates: column 'id' is not declared; known"),
        (CLICK, "{check: skew, column: page, max_share: 2}", "less than or equal to 1"),
        (CLICK, "{check: skew, column: page, max_shre: 1}", "unknown key; did you mean 'max_share'?"),
        (CLICK, "{check: expected_events, weekdays: [noday]}", "Input should be 'mon', 'tue'"),
        (PAGE, "{check: no_na, columns: [worth]}", "no_na: column 'worth' is not declared; known are"),
        (PAGE, "{check: no_na, columns: [value], when: metric}", "no_na: `when` and `values` go together"),
        (
            PAGE,
            "{check: out_of_scale, table: itf.click, column: rows, named_by: [page]}",
            "out_of_scale: the number of rows is of no single row; leave `named_by` out",
        ),
    ],
)
def test_a_mistake_in_a_check_is_told(tmp_path: Path, file: str, check: str, expected: str) -> None:
    found = mistakes(tmp_path, file, f"  - {check}")
    assert any(expected in line for line in found), found
    assert all(f"{Path(file).name}:" in line for line in found)


def test_only_a_mart_can_clear_a_column(tmp_path: Path) -> None:
    text = (CANONICAL / "sources" / "payroll.yaml").read_text(encoding="utf-8")
    (tmp_path / "sources").mkdir()
    changed = text.replace("pii: sensitive,", "pii: sensitive, cleared: a sum,")
    (tmp_path / "sources" / "payroll.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(
        CatalogError, match="'monthly_salary': a source's value is what it is; `cleared` is for columns"
    ):
        read_catalog(tmp_path)


def test_a_source_without_event_time_has_no_bound_to_be_late_beyond(tmp_path: Path) -> None:
    text = (CANONICAL / "sources" / "product.yaml").read_text(encoding="utf-8")
    (tmp_path / "sources").mkdir()
    changed = text.replace("feeds:\n", "checks: [{check: late_beyond_bound}]\nfeeds:\n")
    (tmp_path / "sources" / "product.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(CatalogError, match="late_beyond_bound: the source has no `event_time` by which an event could"):
        read_catalog(tmp_path)
