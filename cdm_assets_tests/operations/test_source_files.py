"""What a file holds, and the first YAML that is guessed from it."""

import gzip
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from cdm_assets.catalog.model import Catalog, Source
from cdm_assets.catalog.reading import read_catalog
from cdm_assets.cli import app
from cdm_assets.operations.source_files import (
    ProfiledColumn,
    SourceFileError,
    found_columns,
)
from cdm_assets.operations.source_inference import inferred_yaml

NOON = datetime.combine(date(2017, 3, 1), time(12))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog()


def csv(folder: Path, text: str, name: str = "shop.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def column_of(folder: Path, *values: str) -> ProfiledColumn:
    lines = [f"{number},{value}\n" for number, value in enumerate(values)]
    return found_columns(csv(folder, "n,value\n" + "".join(lines)))[1]


def types(path: Path) -> dict[str, str]:
    return {column.name: str(column.type) for column in found_columns(path)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-20", "0"], "integer"),
        (["9223372036854775807"], "integer"),
        (["9223372036854775808"], "string(19)"),
        (["007", "8"], "string(3)"),
        (["+49", "8"], "string(3)"),
        (["1e3"], "string(3)"),
        (["0", "1"], "integer"),
        (["1.50", "-22", "0.1"], "decimal(4,2)"),
        (["0.25"], "decimal(2,2)"),
        (["00.25"], "string(5)"),
        (["2017-03-01", "2016-02-29"], "date"),
        (["2017-03-01", "2017-02-29"], "string(10)"),
        (["2017-03-01 12:00:00", "2017-03-01T12:00:00.123"], "timestamp"),
        (["2017-03-01", "2017-03-01 12:00:00"], "string(19)"),
        (["2017-03-01 12:00:00+01"], "string(22)"),
        (["true", "FALSE", "1"], "boolean"),
        (["yes", "no"], "string(3)"),
        (["42", "", "7"], "integer"),
        (["42", "  "], "string(2)"),
        (["", ""], "None"),
        (["Łódź"], "string(4)"),
        (["1" * 39 + ".5"], "string(41)"),
    ],
)
def test_the_narrowest_type_that_holds_every_value(tmp_path: Path, values: list[str], expected: str) -> None:
    assert str(column_of(tmp_path, *values).type) == expected


def test_blanks_distinct_values_and_examples_are_counted_over_every_row(tmp_path: Path) -> None:
    column = column_of(tmp_path, *["b"] * 3, *["a"] * 2, "", "  ", *map(str, range(100, 120)))
    assert (column.rows, column.blanks, column.distinct, column.longest) == (27, 2, 22, 3)
    assert column.examples[:3] == ("b", "a", "100")
    assert len(column.examples) == 12


def test_a_bad_value_in_the_last_row_counts(tmp_path: Path) -> None:
    assert str(column_of(tmp_path, *["1"] * 50_000, "x").type) == "string(1)"


def test_quotes_commas_and_gzip_are_read_as_the_landing_zone_reads_them(tmp_path: Path) -> None:
    text = '\ufeff"Shop, no",n\r\n"a ""b"", c",1\r\n"two\nlines",2\r\n'
    (tmp_path / "shop.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    first, second = found_columns(tmp_path / "shop.csv.gz")
    assert (first.name, first.examples, str(second.type)) == ("Shop, no", ('a "b", c', "two\nlines"), "integer")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(f"a,b{end}1,x{end}2,y".encode())
    assert [column.rows for column in found_columns(path)] == [2, 2]


def test_a_name_with_pattern_letters_is_that_file_only(tmp_path: Path) -> None:
    csv(tmp_path, "a\n1\n", "s1.csv")
    assert types(csv(tmp_path, "b\nx\n", "s[1].csv")) == {"b": "string(1)"}


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["007", "8"],
            "n": pa.array([1, None], pa.int32()),
            "price": [Decimal("1.50"), Decimal("2.00")],
            "day": [date(2017, 3, 1), None],
            "at": pa.array([NOON, None], pa.timestamp("us")),
            "is_new": [True, False],
        }
    )
    pq.write_table(table, tmp_path / "shop.parquet")
    assert types(tmp_path / "shop.parquet") == {
        "id": "string(3)",
        "n": "integer",
        "price": "decimal(3,2)",
        "day": "date",
        "at": "timestamp",
        "is_new": "boolean",
    }


def test_json_lines(tmp_path: Path) -> None:
    text = (
        '{"id": "007", "price": 1.50, "new": true}\n\n{"price": 2, "at": "2017-03-01T12:00:00", "tags": ["a", 1.0]}\n'
    )
    (tmp_path / "shop.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    found = found_columns(tmp_path / "shop.jsonl.gz")
    assert {column.name: str(column.type) for column in found} == {
        "id": "string(3)",
        "price": "decimal(3,2)",
        "new": "boolean",
        "at": "timestamp",
        "tags": "string(9)",
    }
    assert found[4].examples == ('["a",1.0]',)
    assert [column.blanks for column in found] == [1, 0, 1, 1, 1]


def test_json_lines_beside_their_source_have_no_order(tmp_path: Path, catalog: Catalog) -> None:
    text = '{"page": "home", "clicked_at": "2017-03-01 12:00:00", "customer_id": 7, "event_id": "e1", "os": "x"}\n'
    (tmp_path / "click.jsonl").write_text(text)
    found = found_columns(tmp_path / "click.jsonl", catalog.sources["click"])
    assert [column.name for column in found] == ["event_id", "customer_id", "clicked_at", "page", "os"]
    assert [column.examples[0] for column in found] == ["e1", "7", "2017-03-01 12:00:00", "home", "x"]


def test_excel(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": ["007", "8"],
            "n": [1, 2],
            "price": [1.5, 2.25],
            "day": [datetime.combine(date(2017, 3, day), time()) for day in (1, 2)],
            "at": [datetime.combine(date(2017, 3, 2), time()), NOON],
            "is_new": [True, False],
        }
    )
    frame.to_excel(tmp_path / "shop.xlsx", index=False)
    assert types(tmp_path / "shop.xlsx") == {
        "id": "string(3)",
        "n": "integer",
        "price": "decimal(3,2)",
        "day": "date",
        "at": "timestamp",
        "is_new": "boolean",
    }


def test_excel_dates_are_read_as_the_source_declares_them(tmp_path: Path, catalog: Catalog) -> None:
    midnights = [datetime.combine(date(2017, 3, day), time()) for day in (1, 2)]
    with pd.ExcelWriter(tmp_path / "shop.xlsx") as workbook:
        frame = pd.DataFrame({"day": midnights, "at": midnights})
        frame.to_excel(workbook, sheet_name="shops", index=False, startrow=1)
    shop = catalog.sources["customer"].model_dump(mode="json") | {
        "files": {"path": "{date}/shop.xlsx", "format": "excel", "sheet": "shops", "header_row": 2},
        "columns": [{"name": "day", "type": "date"}, {"name": "at", "type": "timestamp"}],
        "rules": [],
    }
    source = Source.model_validate(shop)
    found = found_columns(tmp_path / "shop.xlsx", source)
    assert [(str(column.type), column.misfits) for column in found] == [("date", 0), ("timestamp", 0)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("shop.csv", b"", "has no bytes; expected a header and records"),
        ("shop.csv", b"\n\n", "begins with an empty line; expected column names"),
        ("shop.csv", b"a;b\n1;2\n", "has semicolons between its columns; expected commas. Found: a;b"),
        ("shop.csv", b"a\tb\n1\t2\n", "has tabs between its columns; expected commas"),
        ("shop.csv", b"a,a\n1,2\n", "'a' more than once in the header"),
        ("shop.csv", b"a,,c\n1,2,3\n", "column 2 has no name"),
        ("shop.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields a record"),
        ("shop.csv", b"a,b\n1,\xff\n", "UTF-8"),
        ("shop.csv", b"\xff\xfea,b\n1,2\n", "its first line is not UTF-8 text"),
        ("shop.csv", b"PK\x03\x04rest", "is no CSV but a zip or Excel file"),
        ("shop.csv.gz", b"a,b\n1,2\n", "the gzip stream is truncated or damaged"),
        ("shop.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-20], "gz"),
        ("shop.parquet", b"a,b\n1,2\n", "is no Parquet file"),
        ("shop.xlsx", b"a,b\n1,2\n", "expected an .xlsx workbook"),
        ("shop.jsonl", b'{"a": 1}\n{"a": 1,\n', "line 2: no JSON: Expecting property name"),
        ("shop.jsonl", b"\n", "holds no object with keys; expected one object a line"),
        ("shop.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-20], "the gzip stream is truncated or damaged"),
        ("shop.txt", b"a,b\n1,2\n", "shop.txt: expected a name that ends in .csv, .csv.gz, .parquet, .xlsx, .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_was_expected(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceFileError) as raised:
        found_columns(tmp_path / name)
    assert message in str(raised.value)
    assert name in str(raised.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match=r"there is no file .*nope.csv; expected one that ends in .csv"):
        found_columns(tmp_path / "nope.csv")
    with pytest.raises(SourceFileError, match="is a folder; expected one file"):
        found_columns(tmp_path)


@pytest.mark.parametrize(
    ("declared", "value", "misfits"),
    [
        ("string(3)", "12345", 1),
        ("string(5)", "12345", 0),
        ("integer", "007", 0),
        ("integer", "1.5", 1),
        ("decimal(4,2)", "12.34", 0),
        ("decimal(4,2)", "123", 1),
        ("boolean", "1", 0),
        ("boolean", "2", 1),
        ("date", "2017-03-01", 0),
        ("date", "2017-02-29", 1),
        ("timestamp", "2017-03-01", 1),
    ],
)
def test_beside_a_source_a_column_has_the_declared_type_if_all_values_load_as_it(
    tmp_path: Path, catalog: Catalog, declared: str, value: str, misfits: int
) -> None:
    customer = catalog.sources["customer"]
    column = customer.columns[1].model_copy(update={"name": "value"})
    column = type(column).model_validate(column.model_dump() | {"type": declared})
    source = customer.model_copy(update={"columns": (column,)})
    (found,) = found_columns(csv(tmp_path, f"value\n{value}\n"), source)
    assert found.misfits == misfits
    assert (str(found.type) == declared) == (misfits == 0)


# --- a first YAML -----------------------------------------------------------------------------------------------------


def guess(path: Path, catalog: Catalog) -> Source:
    return Source.model_validate(YAML(typ="safe").load(inferred_yaml(path, catalog)))


def overlay_with(folder: Path, text: str, vault: str = "") -> Path:
    """A site's catalog with the YAML `text` as it stands."""
    overlay = folder / "overlay"
    (overlay / "sources").mkdir(parents=True)
    name = YAML(typ="safe").load(text)["source"]
    (overlay / "sources" / f"{name}.yaml").write_text(text)
    if vault:
        (overlay / "vault.yaml").write_text(vault)
    return overlay


DEMO = {
    "campaign.csv": "campaign_id,campaign_name,campaign_type,start_date,end_date,objective,budget\n"
    "1,Spring,Type A,2016-11-14,2017-01-16,retention,100.50\n2,Autumn,Type B,2017-03-01,2017-04-16,winback,\n",
    "click.jsonl.gz": '{"event_id":"e1","customer_id":"1","clicked_at":"2017-03-01 08:00:00","page":"home"}\n'
    '{"event_id":"e2","customer_id":"1","clicked_at":"2017-03-01 08:00:00","page":"home"}\n',
    "contact.csv": "campaign_id,household_id,contact_timestamp,channel,is_control,contact_cost\n"
    "1,10,2017-03-01 08:00:00,mail,false,0.55\n1,11,2017-03-01 09:00:00,none,true,0\n",
    "customer.csv": "household_id,age,income,email\n1,19-24,35-49K,a@example.com\n2,,,b@example.com\n",
    "flowchart.csv": "flowchart_id,flowchart_name,campaign_id,status,created_date\n"
    "FC1,One,1,draft,2016-01-01\nFC2,Two,1,active,2016-09-01\n",
    "flowchart_run.csv": "run_id,flowchart_id,started_at,ended_at,status\n"
    "2017030101,FC1,2017-03-01 01:00:00,,failed\n2017030102,FC1,2017-03-01 02:00:00,,failed\n",
    "offer.csv": "coupon_upc,product_id,campaign_id\n100000852,967,26\n100000852,968,26\n100000853,968,26\n",
    "product.csv.gz": "product_id,manufacturer_id,department,brand\n25671,2,GROCERY,National\n26081,2,MISC,Private\n",
    "response.csv": "household_id,coupon_upc,campaign_id,redemption_date\n"
    "1029,51380041013,26,2017-03-01\n1029,51380041313,26,2017-03-01\n165,53377610033,26,2017-03-01\n",
    "transaction.csv": "basket_id,product_id,household_id,store_id,quantity,sales_value,transaction_timestamp\n"
    "311,1,900,330,1,0.50,2017-03-01 06:53:26\n311,2,900,330,1,0.99,2017-03-01 06:53:26\n"
    "312,2,901,330,1,0.99,2017-03-01 07:53:26\n",
}


@pytest.mark.parametrize("renamed", [False, True], ids=["as delivered", "under another name"])
@pytest.mark.parametrize("name", sorted(DEMO))
def test_what_is_inferred_of_a_demo_file_validates_as_it_stands(
    tmp_path: Path, catalog: Catalog, name: str, renamed: bool
) -> None:
    path = tmp_path / "2017-03-01" / (f"new_{name}" if renamed else name)
    path.parent.mkdir()
    path.write_bytes(gzip.compress(DEMO[name].encode(), mtime=0) if name.endswith(".gz") else DEMO[name].encode())
    text = inferred_yaml(path, catalog)
    assert text.startswith("# A first draft by `cdm source infer`. It passes `cdm validate` as it stands")
    laid_over = read_catalog(overlay_with(tmp_path, text))
    stem = name.split(".", maxsplit=1)[0]
    inferred = laid_over.sources[f"new_{stem}" if renamed else f"{stem}_2"]
    assert inferred.files.path == f"{{date}}/{path.name}"
    assert ("is a source already" in text) == (not renamed)
    shipped = catalog.sources[stem]
    assert set(inferred.feeds.hubs) == set(shipped.feeds.hubs)
    keys = set(shipped.key) if stem != "flowchart_run" else {f"{inferred.source}_run_id"}
    assert set(inferred.key) <= keys | {"redemption_date"}
    events = {"click", "contact", "flowchart_run", "response", "transaction"}
    assert ("# guess: events, because" in text) == (stem in events)
    assert inferred.delivery == ("delta" if stem in events else "snapshot")


def test_the_customer_file_is_guessed_much_as_it_is_declared(tmp_path: Path, catalog: Catalog) -> None:
    rows = "".join(f"{n},{n % 6}0-{n % 6}9,{'Renter' if n % 3 else ''},a{n}@example.com\n" for n in range(60))
    path = csv(tmp_path, f"household_id,age,home_ownership,contact\n{rows}", "crm_2017-03-01.csv")
    text = inferred_yaml(path, catalog)
    source = guess(path, catalog)
    assert (source.source, source.files.path) == ("crm", "crm_{date}.csv")
    assert [(c.name, str(c.type), c.key, c.required, c.pii.value) for c in source.columns] == [
        ("household_id", "string(20)", True, False, "quasi"),
        ("age", "string(10)", False, True, "quasi"),
        ("home_ownership", "string(10)", False, False, "quasi"),
        ("contact", "string(20)", False, True, "direct"),
    ]
    assert [rule.label for rule in source.rules] == ["domain:age", "domain:home_ownership"]
    assert "# guess: required, no blanks in this file; guess: pii, its values look like e-mail addresses" in text
    assert source.feeds.satellites[0].name == "customer_crm"
    assert "It is never inferred at load time" in text
    assert text.count("a1@example.com") == 0, "no direct PII in the draft"


def test_without_a_known_hub_the_hub_to_add_is_printed_and_makes_it_valid(tmp_path: Path, catalog: Catalog) -> None:
    path = csv(tmp_path, "Branch No,city\n1,Rome\n2,Oslo\n", "branches.csv")
    text = inferred_yaml(path, catalog)
    head, _, advice = text.partition("# hubs:")
    assert "It does not pass `cdm validate` yet:\n# - unknown hub 'branch'" in head
    assert "# No column is the key of a hub that vault.yaml has. Add this one to it:" in head
    vault = "\n".join(line.removeprefix("# ") for line in ("# hubs:" + advice).splitlines())
    laid_over = read_catalog(overlay_with(tmp_path, text, vault))
    assert laid_over.sources["branches"].columns[0].file_name == "Branch No"
    assert laid_over.vault.hubs["branch"].key[0].name == "branch_no"


def test_the_event_to_add_makes_it_load_as_events(tmp_path: Path, catalog: Catalog) -> None:
    path = csv(
        tmp_path, "visit_id,household_id,at\n1,7,2017-03-01 10:00:00\n2,7,2017-03-01 11:00:00\n", "2017-03-01/v.csv"
    )
    text = inferred_yaml(path, catalog)
    advice = text.partition("# events:")[2].partition("# and write here")[0]
    vault = "events:" + "\n".join(line.removeprefix("# ") for line in advice.splitlines())
    as_events = text.replace("delivery: delta", "delivery: events\nevent_time: at")
    as_events = as_events.replace("hubs: {customer: [household_id]}", "hubs: {customer: [household_id]}\n  event: v")
    assert read_catalog(overlay_with(tmp_path, as_events, vault)).source_of_event("v").event_time == "at"


def test_without_a_key_the_draft_says_so(tmp_path: Path, catalog: Catalog) -> None:
    text = inferred_yaml(csv(tmp_path, "household_id,tier\n1,a\n1,b\n"), catalog)
    assert "no column is marked `key: true`" in text
    assert "mark `key: true` yourself" in text


def test_rows_that_repeat_whole_do_not_keep_a_column_from_being_the_key(tmp_path: Path, catalog: Catalog) -> None:
    path = csv(tmp_path, "household_id,tier\n1,a\n1,a\n2,b\n")
    assert guess(path, catalog).key == ("household_id",)
    assert "# 1 of 3 rows repeat another in every column" in inferred_yaml(path, catalog)


def test_a_key_with_blanks_or_of_decimals_is_no_key(tmp_path: Path, catalog: Catalog) -> None:
    source = guess(csv(tmp_path, "price,card_id,household_id\n1.5,,1\n2.5,c,2\n"), catalog)
    assert source.key == ("household_id",)


def test_names_the_platform_uses_or_the_catalog_refuses_are_changed_and_kept_as_header(
    tmp_path: Path, catalog: Catalog
) -> None:
    header = 'household_id,run_id,Größe,2nd,"a ""b""\\c",customer_hk,true,TRUE'
    text = inferred_yaml(csv(tmp_path, f"{header}\n1,2,3,4,5,6,7,8\n"), catalog)
    source = read_catalog(overlay_with(tmp_path, text)).sources["shop"]
    assert [(c.name, c.file_name) for c in source.columns] == [
        ("household_id", "household_id"),
        ("shop_run_id", "run_id"),
        ("grosse", "Größe"),
        ("column_2nd", "2nd"),
        ("a_b_c", 'a "b"\\c'),
        ("shop_customer", "customer_hk"),
        ("true", "true"),
        ("true_2", "TRUE"),
    ]


def test_values_of_a_domain_come_back_as_they_are(tmp_path: Path, catalog: Catalog) -> None:
    values = ["yes", "a: b", "{x}", "#1", "it's", 'say ""hi""', "back\\slash", " led", "tab\there", "😀", "null"]
    rows = "".join(f'{n},"{values[n % len(values)]}"\n' for n in range(66))
    source = guess(csv(tmp_path, f"household_id,word\n{rows}"), catalog)
    (rule,) = source.rules
    assert set(rule.values) == {value.replace('""', '"') for value in values}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "value", "pii"),
    [
        ("e_mail", "x", "direct"),
        ("mobile_phone", "x", "direct"),
        ("last_name", "x", "direct"),
        ("street", "x", "direct"),
        ("date_of_birth", "1980-01-01", "direct"),
        ("contact", "+49 30 901820", "direct"),
        ("campaign_name", "x", "none"),
        ("phase", "x", "none"),
        ("package", "x", "none"),
        ("age", "4", "quasi"),
        ("postcode", "1234", "quasi"),
        ("member_id", "4", "quasi"),
        ("salary", "4", "sensitive"),
        ("income", "4", "sensitive"),
    ],
)
def test_pii_is_guessed_by_name_and_by_content(
    tmp_path: Path, catalog: Catalog, name: str, value: str, pii: str
) -> None:
    path = csv(tmp_path, f"household_id,{name}\n1,{value}\n")
    assert guess(path, catalog).columns[1].pii.value == pii


def test_dates_far_apart_are_no_events(tmp_path: Path, catalog: Catalog) -> None:
    days = [date(2017, 1, 1) + timedelta(days=20 * n) for n in range(10)]
    rows = "".join(f"{n},{day}\n" for n, day in enumerate(days))
    assert guess(csv(tmp_path, f"household_id,joined\n{rows}"), catalog).delivery == "snapshot"


def test_a_file_without_records_teaches_nothing(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(SourceFileError, match="holds no record; expected some to learn types and key from"):
        inferred_yaml(csv(tmp_path, "a,b\n"), catalog)


# --- the commands -----------------------------------------------------------------------------------------------------

CUSTOMER = "household_id,age,income,home_ownership,marital_status,household_size,household_comp,kids_count,email"


def cdm(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_infer_prints_or_writes(tmp_path: Path) -> None:
    path = csv(tmp_path, "household_id,tier\n1,gold\n")
    code, out, _ = cdm("source", "infer", path)
    assert (code, "source: shop" in out) == (0, True)
    target = tmp_path / "shop.yaml"
    code, said, _ = cdm("source", "infer", path, "--output", target)
    assert (code, target.read_text()) == (0, out)
    assert "look at each `# guess`, then run `cdm validate`" in said
    code, _, err = cdm("source", "infer", path, "--output", target)
    assert (code, "exists already; name another file" in err) == (1, True)
    assert target.read_text() == out


def test_a_missing_file_stops_both_commands(tmp_path: Path) -> None:
    for arguments in (("infer",), ("diff", "customer")):
        code, out, err = cdm("source", *arguments, tmp_path / "nope.csv")
        assert (code, out) == (1, "")
        assert err.startswith("cdm: there is no file")


def test_diff_of_a_file_as_declared(tmp_path: Path) -> None:
    code, out, _ = cdm("source", "diff", "customer", csv(tmp_path, f"{CUSTOMER}\n1,19-24,,,,,,,\n"))
    assert (code, out.endswith("as source customer declares (9 columns)\n")) == (0, True)


def test_diff_of_a_file_that_would_load(tmp_path: Path) -> None:
    text = f"tier,{CUSTOMER}\ngold,1,a value too long for it,,,,,,,\n".replace("email", "e_mail")
    code, out, _ = cdm("source", "diff", "customer", csv(tmp_path, text))
    assert code == 2
    assert "added 'tier'; 'e_mail' instead of 'email' (renamed?); 'age' is string(23) instead of string(10)" in out
    assert "The file would load." in out
    assert "tier is not declared: kept as JSON in `extra`." in out
    assert "email would be NULL." in out
    assert "age: 1 of 1 values do not fit; their records would be rejected." in out


def test_diff_of_a_file_that_would_not_load(tmp_path: Path) -> None:
    code, out, _ = cdm("source", "diff", "customer", csv(tmp_path, "age,income\n19-24,\n"))
    assert code == 2
    assert "household_id string(20)   |                | removed, key" in out
    assert "The file would not load: household_id must be there." in out


def test_an_unknown_source_has_a_hint(tmp_path: Path) -> None:
    code, _, err = cdm("source", "diff", "custmer", csv(tmp_path, "a\n1\n"))
    told = "(CDM-CFG-003; cdm runbook CDM-CFG-003)"
    assert (code, err) == (1, f"cdm: unknown source 'custmer'; did you mean 'customer'? {told}\n")
