"""Every kind of mistake in a catalog is reported with file, line and what was expected, and all of them at once."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cdm_assets.catalog.reading import CatalogError, read_catalog
from cdm_assets_tests.small_site import write_catalog

CUSTOMER = """\
source: customer
description: Customers.
delivery: snapshot
files: {path: "{date}/customer.csv", format: csv}
owners: ["team:crm"]
columns:
  - {name: customer_id, type: string(8), key: true}
  - {name: name, type: string(20)}
  - {name: age, type: integer}
  - {name: credit, type: "decimal(9,2)"}
  - {name: born, type: date}
rules:
  - {rule: domain, column: name, values: [a, b], on_failure: warn}
feeds:
  hubs: {customer: [customer_id]}
  satellites:
    - {name: customer_details, parent: customer}
"""
PURCHASE = """\
source: purchase
description: Purchases.
delivery: events
files: {path: "{date}/purchase.csv", format: csv}
owners: ["team:sales"]
columns:
  - {name: purchase_id, type: string(9), key: true}
  - {name: customer_id, type: string(8), required: true}
  - {name: amount, type: "decimal(9,2)", required: true}
  - {name: bought_at, type: timestamp, required: true}
  - {name: place, type: string(9)}
event_time: bought_at
rules:
  - {rule: referential, columns: [customer_id], references: customer, on_failure: warn}
feeds:
  hubs: {customer: [customer_id]}
  event: purchase
"""
VAULT = """\
hubs:
  customer:
    description: A customer.
    owners: ["team:crm"]
    key: [{name: customer_id, type: string(8)}]
events:
  purchase: {description: A purchase., owners: ["team:sales"], hubs: [customer]}
"""
STATE = """\
entity: customer
description: Customers.
kind: state
owners: ["team:crm"]
spine: h_customer
key: [customer_id]
columns:
  - {name: customer_id, from: h_customer.customer_id, required: true}
  - {name: name, from: s_customer_details.name, default: unknown}
  - {name: age, from: s_customer_details.age}
"""
MART = """\
mart: customer_360
layer: cs_360_db
description: Customers.
owners: ["team:crm"]
key: [customer_id]
one_row_per: customer.customer_id
columns:
  - {name: customer_id, type: string(8), required: true}
  - {name: spent, type: "decimal(9,2)", required: true}
  - {name: city, type: string(9)}
totals:
  - {column: spent, against: l_purchase.amount, window: up_to_date}
"""
TEXTS = {
    "sources/customer.yaml": CUSTOMER,
    "sources/purchase.yaml": PURCHASE,
    "vault.yaml": VAULT,
    "interface/customer.yaml": STATE,
    "marts/customer_360.yaml": MART,
}
SOURCE, EVENTS, VAULT_FILE, ENTITY, MART_FILE = TEXTS

Read = Callable[..., CatalogError | None]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the small catalog with changes `(file, old, new)` and gives the mistakes, file names cut short."""

    def read_changed(*changes: tuple[str, str, str]) -> CatalogError | None:
        texts = dict(TEXTS)
        for file, old, new in changes:
            assert texts.setdefault(file, "").count(old) == 1 or not old, (file, old)
            texts[file] = texts[file].replace(old, new, 1) if old else new
        for file, text in texts.items():
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_bytes(text.encode("latin-1"))
        try:
            read_catalog(shipped=tmp_path)
        except CatalogError as error:
            return error
        return None

    return read_changed


def _lines(error: CatalogError | None) -> list[str]:
    assert error is not None, "no mistake was found"
    return [re.sub(r"^\S*/(\w+/\w+|vault)\.ya?ml", r"\1", str(fault)) for fault in error.faults]


def test_the_small_catalog_has_no_mistake(read: Read) -> None:
    assert read() is None


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        # what one file alone shows
        (SOURCE, "delivery: snapshot", "delivry: snapshot", "sources/customer:1: delivery: required key is missing"),
        (
            SOURCE,
            "type: integer",
            "typ: integer",
            "sources/customer:9: columns.2.typ: unknown key; did you mean 'type'?",
        ),
        (
            SOURCE,
            "column: name,",
            "colum: name,",
            "sources/customer:13: rules.0.colum: unknown key; did you mean 'column'?",
        ),
        (
            SOURCE,
            "format: csv}",
            "xyz: 1, format: csv}",
            "known are format, header_row, ingest_table, may_be_absent, may_be_empty, needs_manifest, path, sheet",
        ),
        (
            SOURCE,
            "snapshot",
            "snapshots",
            "sources/customer:3: delivery: Input should be 'snapshot', 'delta' or 'events'",
        ),
        (
            SOURCE,
            "type: integer",
            "type: int",
            "sources/customer:9: columns.2.type: unknown type 'int': expected string(n)",
        ),
        (SOURCE, "string(20)", "string", "columns.1.type: type 'string' is incomplete: expected string(n), integer"),
        (SOURCE, "string(20)", "string(9999)", "expected a length from 1 to 4000"),
        (SOURCE, "decimal(9,2)", "decimal(2,9)", "expected 0 <= scale <= precision <= 38"),
        (SOURCE, "name: age", "name: Age", "sources/customer:9: columns.2.name: expected a name of lower-case letters"),
        (SOURCE, '["team:crm"]', '["crm"]', "sources/customer:5: owners.0: expected an e-mail address or team:<name>"),
        (SOURCE, '["team:crm"]', "[]", "sources/customer:5: owners: Tuple should have at least 1 item"),
        (
            SOURCE,
            "rule: domain",
            "rule: domian",
            "sources/customer:13: rules.0: unknown rule 'domian'; did you mean 'domain'?",
        ),
        (
            SOURCE,
            "rule: domain, ",
            "",
            "sources/customer:13: rules.0: required key 'rule' is missing; expected one of not_null",
        ),
        (SOURCE, "[a, b]", "[1, b]", "sources/customer:13: rules.0.values.0: Input should be a valid string (found 1)"),
        (SOURCE, "on_failure: warn", "on_failure: stop", "Input should be 'reject', 'block' or 'warn' (found 'stop')"),
        (
            SOURCE,
            "{date}/customer",
            "customer",
            "sources/customer:4: files.path: path 'customer.csv' must contain {date}",
        ),
        (SOURCE, "{date}/customer", "/{date}/customer", "must be relative to the landing root"),
        (SOURCE, "source: customer\n", "source: client\n", "source is 'client' but the file is named 'customer.yaml'"),
        (SOURCE, "owners: [", "owners: {", "sources/customer:5: not valid YAML: "),
        (
            SOURCE,
            "description: Customers.",
            "delivery: delta",
            "sources/customer:3: not valid YAML: found duplicate key",
        ),
        (SOURCE, "Customers.", "Customers \xe9.", "sources/customer:2: not UTF-8: "),
        (SOURCE, "Customers.", "Customers \x01.", "sources/customer: not valid YAML: "),
        (SOURCE, CUSTOMER, "- a list\n", "sources/customer:1: expected a mapping of keys to values"),
        (SOURCE, CUSTOMER, "", "sources/customer:1: expected a mapping of keys to values"),
        (
            ENTITY,
            "h_customer.customer_id",
            "customer_id",
            "columns.0.from.0: expected <table>.<column> (found 'customer_id')",
        ),
        (
            MART_FILE,
            "key: [customer_id]",
            "key: [client_id]",
            "marts/customer_360:1: the file: key or totals name columns",
        ),
        ("sourcs/more.yaml", "", "source: more", "folder 'sourcs' is not read; did you mean 'sources'?"),
        ("sources/more.yml", "", "source: more", "sources/more: rename it to end in .yaml; .yml files are not read"),
        (
            "more.yaml",
            "",
            "source: more",
            "not read; expected vault.yaml, or a file in sources, interface, marts, pipelines",
        ),
        # a source and the vault
        (SOURCE, "{name: age,", "{name: name,", "sources/customer:9: column 'name' is declared twice"),
        (
            SOURCE,
            "{name: age,",
            "{name: age, header: name,",
            "sources/customer:9: column 'age': another column has the header",
        ),
        (
            SOURCE,
            "{name: age,",
            "{name: rec_src,",
            "sources/customer:9: column 'rec_src' is a name the platform uses itself",
        ),
        (SOURCE, "{name: age,", "{name: store_hk,", "name it otherwise and give `header: store_hk`"),
        (SOURCE, ", key: true", ", required: true", "sources/customer:6: no column is marked `key: true`"),
        (
            SOURCE,
            "delivery: snapshot",
            "delivery: events",
            "sources/customer:3: `delivery: events` and `feeds.event` go together",
        ),
        (SOURCE, "rules:", "event_time: born\nrules:", "sources/customer:12: event_time is for `delivery: events`"),
        (
            EVENTS,
            "event_time: bought_at",
            "event_time: place",
            "sources/purchase:12: event_time 'place' is not a date or",
        ),
        (
            EVENTS,
            "bought_at, type: timestamp, required: true",
            "bought_at, type: timestamp",
            "'bought_at' must be `required: true`",
        ),
        (
            SOURCE,
            "{customer: [customer_id]}",
            "{client: [customer_id]}",
            "sources/customer:15: unknown hub 'client'; known are customer",
        ),
        (
            SOURCE,
            "{customer: [customer_id]}",
            "{customer: [cust_id]}",
            "sources/customer:15: unknown column 'cust_id'; known are",
        ),
        (
            SOURCE,
            "{customer: [customer_id]}",
            "{customer: [customer_id, name]}",
            "hub 'customer' has key (customer_id), 2 column(s) given",
        ),
        (
            SOURCE,
            "{customer: [customer_id]}",
            "{customer: [age]}",
            "column 'age' is integer, the key 'customer_id' of hub 'customer' is",
        ),
        (
            SOURCE,
            "{customer: [customer_id]}",
            "{customer: [name]}",
            "column 'name' is string(20), longer than the key 'customer_id'",
        ),
        (SOURCE, "string(8), key: true", "string(8), key: true, pii: direct", "must be classed so too, not none"),
        (
            EVENTS,
            "string(8), required: true",
            "string(8)",
            "column 'customer_id' feeds hub 'customer', so it must be `required: true`",
        ),
        (
            SOURCE,
            "  satellites:",
            "  links: [shop]\n  satellites:",
            "sources/customer:16: unknown link 'shop'; known are none",
        ),
        (EVENTS, "event: purchase\n", "event: sale\n", "sources/purchase:17: unknown event 'sale'; known are purchase"),
        (
            SOURCE,
            "parent: customer}",
            "parent: client}",
            "sources/customer:17: satellite 'customer_details': this source feeds no hub or",
        ),
        (
            SOURCE,
            "parent: customer}",
            "parent: customer, attributes: [tier]}",
            "tracks unknown column 'tier'; known are customer_id",
        ),
        (
            SOURCE,
            "{name: born, type: date}",
            "{name: born, type: date, key: true}",
            "a file has many rows for one customer (its key is",
        ),
        (
            EVENTS,
            "  event:",
            "  satellites: [{name: more, parent: customer}]\n  event:",
            "events keep their columns on the link",
        ),
        (
            SOURCE,
            "domain, column: name",
            "domain, column: tier",
            "sources/customer:13: domain names unknown column 'tier'; columns are",
        ),
        (SOURCE, "domain, column: name", "domain, column: age", "domain needs a string column, 'age' is integer"),
        (
            SOURCE,
            "rule: domain, column: name, values: [a, b]",
            "rule: non_negative, column: name",
            "needs a integer or decimal column",
        ),
        (
            SOURCE,
            "rule: domain, column: name, values: [a, b]",
            "rule: complete_when, column: name, when: age, values: [old]",
            "complete_when: 'old' is not a value of type integer, which 'age' is",
        ),
        (
            SOURCE,
            "rule: domain, column: name, values: [a, b]",
            "rule: date_order, earlier: born, later: age",
            "date_order needs two date or two timestamp columns, 'age' is integer and 'born' is date",
        ),
        (
            SOURCE,
            "rule: domain, column: name, values: [a, b]",
            "rule: range, column: age, min: 9, max: 1",
            "min 9 is above max 1",
        ),
        (
            SOURCE,
            "rule: domain, column: name, values: [a, b]",
            'rule: format, column: name, pattern: "(("',
            "not a regular expression",
        ),
        (
            EVENTS,
            "references: customer",
            "references: client",
            "referential names unknown source 'client'; known are customer, purchase",
        ),
        (
            EVENTS,
            "columns: [customer_id]",
            "columns: [place]",
            "referential: no hub that this source feeds from (place) has a satellite",
        ),
        (EVENTS, "on_failure: warn", "on_failure: reject", "a referential rule may `block` or `warn`"),
        (
            SOURCE,
            "{name: credit,",
            "{key: true, name: credit,",
            "sources/customer:10: key column 'credit' is decimal(9,2); expected text, a whole number or a date",
        ),
        # the vault
        (
            VAULT_FILE,
            "hubs: [customer]}",
            "hubs: [client]}",
            "vault:7: events.purchase names unknown hub 'client'; known are customer",
        ),
        (
            VAULT_FILE,
            "hubs: [customer]}",
            "hubs: [customer, customer]}",
            "vault:7: events.purchase names hub 'customer' twice",
        ),
        (
            VAULT_FILE,
            "events:\n",
            "links:\n  purchase: {description: x, owners: [team:a], hubs: [customer]}\nevents:\n",
            "vault:9: 'purchase' is both a link and an event; both would be l_purchase",
        ),
        (
            VAULT_FILE,
            "events:\n",
            "events:\n  customer: {description: x, owners: [team:a], hubs: [customer]}\n",
            "vault:7: 'customer' is both a hub and one of events; both would have customer_hk",
        ),
        (
            VAULT_FILE,
            "events:\n",
            "  shop: {description: x, owners: [team:a], key: [{name: shop_id, type: date}]}\nevents:\n",
            "vault:6: no source feeds hub 'shop'; expected one with it in feeds.hubs",
        ),
        (
            VAULT_FILE,
            "events:\n",
            "links:\n  pair: {description: x, owners: [team:a], hubs: [customer]}\nevents:\n",
            "vault:7: no source feeds link 'pair'; expected one with it in feeds.links",
        ),
        (
            VAULT_FILE,
            "events:\n",
            "events:\n  visit: {description: x, owners: [team:a], hubs: [customer]}\n",
            "vault:7: event 'visit' needs exactly one source, found none",
        ),
        (
            VAULT_FILE,
            "{name: customer_id,",
            "{name: hashdiff,",
            "vault:5: hub 'customer': 'hashdiff' is a name the platform uses",
        ),
        (
            VAULT_FILE,
            "key: [{name: customer_id, type: string(8)}]",
            "key: [{name: a, type: string(8)}, {name: a, type: string(8)}]",
            "vault:5: hub 'customer' has two key columns 'a'",
        ),
        (
            VAULT_FILE,
            "{name: customer_id, type: string(8)}",
            '{name: customer_id, type: "decimal(9,2)"}',
            "vault:5: hub 'customer': 'customer_id' is decimal(9,2); expected text, a whole number or a date in a key",
        ),
        # the interface
        (
            ENTITY,
            "spine: h_customer",
            "spine: l_purchase",
            "interface/customer:5: spine 'l_purchase' is not a hub or link (h_..., l_...)",
        ),
        (
            ENTITY,
            "kind: state",
            "kind: event",
            "interface/customer:5: spine 'h_customer' is not an event (l_...) of the vault",
        ),
        (
            ENTITY,
            "details.age}",
            "details.agee}",
            "interface/customer:10: age: 's_customer_details.agee' cannot be reached from h_customer",
        ),
        (ENTITY, ", required: true", "", "interface/customer:8: key column 'customer_id' must be `required: true`"),
        (
            ENTITY,
            "key: [customer_id]",
            "key: [client_id]",
            "interface/customer:6: key column 'client_id' is not declared; known are",
        ),
        (
            ENTITY,
            "from: h_customer.customer_id",
            "from: s_customer_details.name",
            "interface/customer:6: one row a key of h_customer: the key needs a column from h_customer.customer_id",
        ),
        (ENTITY, "{name: age,", "{name: name,", "interface/customer:10: column 'name' is declared twice"),
        (
            ENTITY,
            "{name: age,",
            "{name: load_ts,",
            "interface/customer:10: column 'load_ts' is one that every table has",
        ),
        (
            ENTITY,
            "details.age}",
            "details.age, type: string(9)}",
            "age is string(9), 's_customer_details.age' is integer",
        ),
        (ENTITY, "details.age}", "details.age, codes: {'1': one}}", "age is integer; codes are for string columns"),
        (
            ENTITY,
            "details.age}",
            "details.age, default: none}",
            "'none' is not a value of type integer, which 'age' is",
        ),
        (ENTITY, "default: unknown", f"default: {'x' * 21}", "is not a value of type string(20), which 'name' is"),
        # the marts
        (
            MART_FILE,
            "customer.customer_id",
            "customer.name",
            "marts/customer_360:6: 'customer.name' is not a key column of a state entity",
        ),
        (
            MART_FILE,
            "customer.customer_id",
            "client.client_id",
            "marts/customer_360:6: 'client.client_id' is not a key column",
        ),
        (
            MART_FILE,
            "against: l_purchase.amount",
            "against: l_sale.amount",
            "marts/customer_360:12: 'l_sale.amount' is not a column of an event",
        ),
        (
            MART_FILE,
            "against: l_purchase.amount",
            "against: l_purchase.sum",
            "l_purchase has no column 'sum'; known are rows, purchase_id",
        ),
        (
            MART_FILE,
            "against: l_purchase.amount",
            "against: l_purchase.place",
            "total against 'l_purchase.place': expected a number",
        ),
        (MART_FILE, "{column: spent", "{column: city", "total of 'city': expected a number, it is string(9)"),
        (MART_FILE, "{name: city,", "{name: spent,", "marts/customer_360:10: column 'spent' is declared twice"),
        (
            MART_FILE,
            "{name: city,",
            "{name: run_id,",
            "marts/customer_360:10: column 'run_id' is one that every table has",
        ),
        (
            MART_FILE,
            "string(8), required: true",
            "string(8)",
            "marts/customer_360:8: key column 'customer_id' must be `required: true`",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_expectation(
    read: Read, file: str, old: str, new: str, expected: str
) -> None:
    lines = _lines(read((file, old, new)))
    assert any(expected in line for line in lines), lines


@pytest.mark.parametrize(
    ("change", "only"),
    [
        ((SOURCE, "type: integer", "type: int"), "sources/customer:9"),
        ((SOURCE, "{customer: [customer_id]}", "{client: [customer_id]}"), "sources/customer"),
        ((SOURCE, "parent: customer}", "parent: client}"), "sources/customer:17"),
        ((EVENTS, "event_time: bought_at", "event_time: place"), "sources/purchase:12"),
        ((ENTITY, "kind: state", "kind: sate"), "interface/customer:3"),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told(read: Read, change: tuple[str, str, str], only: str) -> None:
    assert all(line.startswith(only) for line in _lines(read(change)))


def test_mistakes_of_all_files_are_told_at_once_in_the_order_of_files_and_lines(read: Read) -> None:
    error = read(
        (SOURCE, "type: integer", "type: int"),
        (SOURCE, "domain, column: name", "domian, column: name"),
        (EVENTS, "event_time: bought_at", "event_time: place"),
        (VAULT_FILE, "hubs: [customer]}", "hubs: [customer, customer]}"),
        (ENTITY, ", required: true", ""),
        (MART_FILE, "{column: spent", "{column: city"),
    )
    assert [line.split(": ")[0] for line in _lines(error)] == [
        *("interface/customer:8", "marts/customer_360:12"),
        *("sources/customer:9", "sources/customer:13", "sources/purchase:12", "vault:7"),
    ]
    assert str(error).startswith("6 mistakes in the catalog:\n  /")


def test_a_satellite_of_two_sources_is_told_at_both(read: Read) -> None:
    other = CUSTOMER.replace("source: customer\n", "source: client\n")
    lines = _lines(read(("sources/client.yaml", "", other)))
    assert lines == [
        "sources/client:17: satellite 'customer_details' is fed 2 times; give each its own name",
        "sources/customer:17: satellite 'customer_details' is fed 2 times; give each its own name",
    ]


def test_an_event_of_two_sources_is_a_mistake(read: Read) -> None:
    other = PURCHASE.replace("source: purchase\n", "source: sale\n")
    lines = _lines(read(("sources/sale.yaml", "", other)))
    assert lines == ["vault:7: event 'purchase' needs exactly one source, found purchase, sale"]


def test_a_folder_without_vault_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"vault\.yaml: the catalog has no vault\.yaml"):
        read_catalog(shipped=tmp_path)


def test_an_overlay_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="the catalog folder named by CDM_CATALOG does not exist"):
        read_catalog(tmp_path / "nowhere")


def test_an_overlay_replaces_files_of_the_same_name_and_adds_others(tmp_path: Path) -> None:
    shipped = write_catalog(tmp_path / "shipped", {"customer": CUSTOMER, "purchase": PURCHASE}, VAULT)
    card = (
        CUSTOMER.replace("source: customer\n", "source: card\n")
        .replace("customer_details", "card_details")
        .replace("customer: [", "shop: [")
        .replace("parent: customer", "parent: shop")
    )
    hub = '{description: A shop., owners: ["team:crm"], key: [{name: shop_id, type: string(8)}]}'
    shop = f"hash: {{algorithm: sha256}}\nhubs:\n  shop: {hub}\n"
    changed = {"customer": CUSTOMER.replace("Customers.", "Our customers."), "card": card}
    catalog = read_catalog(write_catalog(tmp_path / "overlay", changed, shop), shipped=shipped)
    assert list(catalog.sources) == ["customer", "purchase", "card"]
    assert catalog.sources["customer"].description == "Our customers."
    assert list(catalog.vault.hubs) == ["customer", "shop"]
    assert list(catalog.vault.events) == ["purchase"]
    assert catalog.vault.hash.length == 64


def test_a_mistake_in_an_overlay_names_the_overlays_file(tmp_path: Path) -> None:
    shipped = write_catalog(tmp_path / "shipped", {"customer": CUSTOMER, "purchase": PURCHASE}, VAULT)
    overlay = write_catalog(tmp_path / "overlay", {"customer": CUSTOMER.replace("[a, b]", "[]")}, "hubs: {}\n")
    with pytest.raises(CatalogError) as error:
        read_catalog(overlay, shipped=shipped)
    customer = overlay / "sources" / "customer.yaml"
    assert str(error.value).splitlines() == [
        "1 mistake in the catalog:",
        f"  {customer}:13: rules.0.values: Tuple should have at least 1 item after validation, not 0",
    ]


def test_a_broken_overlay_vault_is_the_only_mistake_told(tmp_path: Path) -> None:
    shipped = write_catalog(tmp_path / "shipped", {"customer": CUSTOMER, "purchase": PURCHASE}, VAULT)
    card = CUSTOMER.replace("source: customer\n", "source: card\n").replace("customer: [", "shop: [")
    overlay = write_catalog(tmp_path / "overlay", {"card": card}, "hubs: [shop]\n")
    with pytest.raises(CatalogError) as error:
        read_catalog(overlay, shipped=shipped)
    assert [fault.file for fault in error.value.faults] == [f"{overlay}/vault.yaml"]
