"""What became of a file's columns: every kind of drift, which of it is fatal, and the words for it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.types import parse_column_type
from cdm_assets.warehouse.column_drift import (
    ColumnDrift,
    DriftKind,
    FoundColumn,
    column_drift,
    side_by_side,
    summary,
)


def source_with(*columns: str) -> Source:
    """A source of columns such as `age integer required`; the first is the key."""
    declared = []
    for position, text in enumerate(columns):
        name, type_, *rest = text.split()
        header = next((word.removeprefix("header=") for word in rest if word.startswith("header=")), "")
        flags = {"name": name, "type": type_, "required": "required" in rest, "header": header}
        declared.append(flags | {"key": position == 0})
    return Source.model_validate(
        {
            "source": "shop",
            "description": "",
            "delivery": "snapshot",
            "files": {"path": "{date}/shop.csv", "format": "csv"},
            "owners": ["team:shops"],
            "columns": declared,
            "feeds": {"hubs": {"shop": [declared[0]["name"]]}},
        }
    )


def found(*columns: str) -> list[FoundColumn]:
    split = [text.split() for text in columns]
    return [FoundColumn(name, parse_column_type(rest[0]) if rest else None) for name, *rest in split]


SHOP = source_with("shop_id string(10)", "email string(80)", "age integer required", "opened date")


def kinds(drift: list[ColumnDrift]) -> list[str]:
    return [each.kind.value for each in drift]


def test_a_file_as_declared_has_no_drift() -> None:
    drift = column_drift(SHOP, found("shop_id", "email", "age", "opened"))
    assert kinds(drift) == ["same"] * 4
    assert summary(drift) == ""
    assert not any(each.is_fatal for each in drift)


def test_columns_are_known_by_their_header() -> None:
    source = source_with("shop_id string(10) header=Shop-No")
    assert kinds(column_drift(source, found("Shop-No"))) == ["same"]
    assert kinds(column_drift(source, found("shop-no"))) == ["renamed"], "names compare exactly"


def test_an_added_column_comes_last_and_is_not_fatal() -> None:
    drift = column_drift(SHOP, found("loyalty_tier", "shop_id", "email", "age", "opened"))
    assert kinds(drift) == ["same"] * 4 + ["added"]
    assert drift[-1] == ColumnDrift(DriftKind.ADDED, None, FoundColumn("loyalty_tier"))
    assert not drift[-1].is_fatal
    assert summary(drift) == "added 'loyalty_tier'"


@pytest.mark.parametrize(("missing", "fatal"), [("shop_id", True), ("age", True), ("opened", False), ("email", False)])
def test_only_a_key_or_required_column_is_missed(missing: str, fatal: bool) -> None:
    drift = column_drift(
        SHOP, [column for column in found("shop_id", "email", "age", "opened") if column.name != missing]
    )
    (removed,) = [each for each in drift if each.kind is not DriftKind.SAME]
    assert (removed.kind, removed.found, removed.is_fatal) == (DriftKind.REMOVED, None, fatal)
    assert summary(drift) == f"removed {missing!r}"


@pytest.mark.parametrize("name", ["Age", "AGE", "a g e", "ages"])
def test_another_spelling_of_a_missing_column_counts_as_renamed(name: str) -> None:
    drift = column_drift(SHOP, [FoundColumn("opened"), FoundColumn(name), *found("shop_id", "email")])
    (renamed,) = [each for each in drift if each.kind is DriftKind.RENAMED]
    assert renamed.expected is SHOP.columns_by_name["age"]
    assert renamed.found == FoundColumn(name)
    assert renamed.is_fatal


def test_an_optional_column_may_be_renamed() -> None:
    drift = column_drift(SHOP, found("shop_id", "e_mail", "age", "opened"))
    assert kinds(drift) == ["same", "renamed", "same", "same"]
    assert not any(each.is_fatal for each in drift)
    assert summary(drift) == "'e_mail' instead of 'email' (renamed?)"


def test_the_one_new_column_in_the_place_of_the_one_missing_counts_as_renamed() -> None:
    assert kinds(column_drift(SHOP, found("shop_id", "zzz", "age", "opened"))) == ["same", "renamed", "same", "same"]
    elsewhere = column_drift(SHOP, found("shop_id", "age", "zzz", "opened"))
    assert kinds(elsewhere) == ["same", "removed", "same", "same", "added"]
    two_missing = column_drift(SHOP, found("shop_id", "zzz", "opened"))
    assert kinds(two_missing) == ["same", "removed", "removed", "same", "added"]


def test_each_found_column_is_used_once_and_the_most_alike_wins() -> None:
    source = source_with("shop_id string(10)", "start_date date", "start_day date")
    drift = column_drift(source, found("shop_id", "start_date_", "extra_column"))
    assert kinds(drift) == ["same", "renamed", "removed", "added"]
    assert drift[1].found == FoundColumn("start_date_")


def test_a_column_that_stands_twice_is_added_the_second_time() -> None:
    drift = column_drift(SHOP, found("shop_id", "email", "age", "opened", "email"))
    assert kinds(drift) == ["same"] * 4 + ["added"]


def test_as_few_columns_as_possible_count_as_reordered() -> None:
    drift = column_drift(SHOP, found("opened", "shop_id", "email", "age"))
    assert kinds(drift) == ["same", "same", "same", "reordered"]
    assert not any(each.is_fatal for each in drift)
    assert summary(drift) == "reordered 'opened'"
    assert kinds(column_drift(SHOP, found("opened", "age", "email", "shop_id"))).count("reordered") == 3


def test_a_new_column_in_front_reorders_nothing() -> None:
    assert kinds(column_drift(SHOP, found("new", "shop_id", "email", "age", "opened"))) == ["same"] * 4 + ["added"]


@pytest.mark.parametrize(
    ("declared", "in_file", "kind"),
    [
        ("string(10)", "string(10)", "same"),
        ("string(10)", "string(3)", "same"),
        ("string(10)", "string(11)", "widened"),
        ("string(10)", "integer", "same"),
        ("string(10)", "date", "same"),
        ("string(9)", "date", "retyped"),
        ("string(26)", "timestamp", "same"),
        ("string(19)", "timestamp", "retyped"),
        ("string(5)", "boolean", "same"),
        ("string(4)", "boolean", "retyped"),
        ("string(14)", "decimal(12,2)", "same"),
        ("string(13)", "decimal(12,2)", "retyped"),
        ("integer", "integer", "same"),
        ("integer", "decimal(5,2)", "widened"),
        ("integer", "string(5)", "retyped"),
        ("integer", "boolean", "retyped"),
        ("decimal(12,2)", "integer", "same"),
        ("decimal(12,2)", "decimal(12,2)", "same"),
        ("decimal(12,2)", "decimal(10,1)", "same"),
        ("decimal(12,2)", "decimal(12,1)", "widened"),
        ("decimal(12,2)", "decimal(12,3)", "widened"),
        ("decimal(12,2)", "string(5)", "retyped"),
        ("date", "date", "same"),
        ("date", "timestamp", "retyped"),
        ("timestamp", "date", "retyped"),
        ("timestamp", "timestamp", "same"),
        ("boolean", "boolean", "same"),
        ("boolean", "integer", "retyped"),
    ],
)
@pytest.mark.parametrize("flag", ["", " required"])
def test_types(declared: str, in_file: str, kind: str, flag: str) -> None:
    source = source_with("shop_id string(10)", f"value {declared}{flag}")
    drift = column_drift(source, found("shop_id", f"value {in_file}"))[1]
    assert drift.kind.value == kind
    assert drift.is_fatal == (kind == "retyped" and flag != ""), "rows that do not fit a widened column are rejected"


def test_a_retyped_column_is_told_as_retyped_wherever_it_stands() -> None:
    drift = column_drift(SHOP, found("opened timestamp", "shop_id", "email", "age decimal(3,1)"))
    assert kinds(drift) == ["same", "same", "widened", "retyped"]
    assert (
        summary(drift)
        == "'opened' is timestamp instead of date (retyped); 'age' is decimal(3,1) instead of integer (widened)"
    )


def test_the_summary_names_every_kind_once() -> None:
    drift = column_drift(SHOP, found("shop_id", "e_mail", "opened", "loyalty_tier", "region"))
    assert summary(drift) == "added 'loyalty_tier', 'region'; 'e_mail' instead of 'email' (renamed?); removed 'age'"


def test_a_summary_of_many_columns_is_cut() -> None:
    drift = column_drift(SHOP, found("shop_id", "email", "age", "opened", *(f"q{n}" for n in range(40))))
    assert summary(drift) == "added 'q0', 'q1', 'q2', 'q3', 'q4', 'q5' and 34 more"


def test_a_small_file_is_shown_whole_side_by_side() -> None:
    drift = column_drift(SHOP, found("shop_id string(4)", "opened date", "e_mail string(12)", "loyalty_tier string(6)"))
    assert side_by_side(drift).splitlines() == [
        "expected           | found                  | what",
        "shop_id string(10) | shop_id string(4)      |",
        "email string(80)   | e_mail string(12)      | renamed?",
        "age integer        |                        | removed, required",
        "opened date        | opened date            |",
        "                   | loyalty_tier string(6) | added",
    ]


def test_of_a_wide_file_only_what_differs_is_shown() -> None:
    names = [f"column_{n}" for n in range(30)]
    source = source_with(*(f"{name} integer" for name in names))
    drift = column_drift(source, found(*(name for name in names if name != "column_7")))
    assert side_by_side(drift).splitlines() == [
        "expected         | found | what",
        "column_7 integer |       | removed",
        "... and 29 columns as expected",
    ]


def test_a_table_stays_short_whatever_the_file_calls_its_columns() -> None:
    names = [f"a_long_name_of_a_column_of_ours_{n}" for n in range(200)]
    source = source_with(*(f"{name} decimal(38,38) required" for name in names))
    table = side_by_side(column_drift(source, [FoundColumn("Ω" * 500 + f"\n\0{n}") for n in range(300)]))
    assert len(table) <= 1500
    assert "more columns that differ" in table
    assert "... and 0 columns as expected" in table
    few = source_with(*(f"{name} decimal(38,38) required" for name in names[:6]))
    table = side_by_side(column_drift(few, [FoundColumn(f"\n{n}" * 90) for n in range(6)]))
    assert len(table) <= 1500
    assert len(table.splitlines()) == 13


# No two of these are alike, so what is removed and what is added cannot be taken for a new name.
NAMES = ("bbbb", "cccc", "dddd", "ffff", "gggg", "hhhh", "jjjj", "kkkk")
ADDED = ("0000", "1111", "2222", "3333")


@given(
    keep=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    added=st.lists(st.sampled_from(ADDED), unique=True),
    shuffle=st.randoms(use_true_random=False),
)
def test_what_is_kept_removed_and_added_is_told_apart(
    keep: list[str], added: list[str], shuffle: random.Random
) -> None:
    source = source_with(*(f"{name} integer" for name in NAMES))
    in_file = [*keep, *added]
    shuffle.shuffle(in_file)
    drift = column_drift(source, [FoundColumn(name) for name in in_file])
    assert [each.expected.name for each in drift if each.expected] == list(NAMES)
    by_kind = {kind: {(e.expected, e.found) for e in drift if e.kind is kind} for kind in DriftKind}
    if len(keep) == len(NAMES) - 1 and len(added) == 1 and by_kind[DriftKind.RENAMED]:
        (missing,) = set(NAMES) - set(keep)
        assert in_file.index(added[0]) == NAMES.index(missing), "the one new column in the place of the one missing"
        return
    assert {e.name for e, _ in by_kind[DriftKind.REMOVED] if e} == set(NAMES) - set(keep)
    assert {f.name for _, f in by_kind[DriftKind.ADDED] if f} == set(added)
    in_order = [e.expected.name for e in drift if e.kind is DriftKind.SAME and e.expected]
    moved = {e.name for e, _ in by_kind[DriftKind.REORDERED] if e}
    assert set(in_order) | moved == set(keep)
    assert [name for name in in_file if name in in_order] == in_order, "what is not moved stands in the old order"
    is_shuffled = [name for name in in_file if name in keep] != sorted(keep, key=NAMES.index)
    assert bool(moved) == is_shuffled
