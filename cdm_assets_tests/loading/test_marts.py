"""The shipped marts on a small random data set, against the same numbers worked out naively from the files' rows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from cdm_assets.catalog.reading import CANONICAL
from cdm_assets.loading.marts.registry import COMPUTED, MARTS, SAME_DATE_ONLY
from cdm_assets.warehouse.dates import DateRange, ranges_of
from cdm_assets_tests.loading.contract_site import ContractSite, day, differences
from cdm_assets_tests.loading.metric_files import send_metric_files

LAST: Final = 105
DATES: Final = DateRange(day(0), day(LAST))
CHANNELS: Final = ("mail", "email", "sms", "app")
WINDOWS: Final = {"lifetime": None, "7d": 7, "30d": 30, "90d": 90}
DEPARTMENTS: Final = ("GROCERY", "DRUG", "MEAT")


@dataclass
class Data:
    """The rows of every file by (source, day), and the events among them, each once and by its own date."""

    files: dict[tuple[str, int], list[tuple[Any, ...]]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[dict[str, Any]] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    departments: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    first_seen: dict[str, int] = field(default_factory=dict)

    def send(self, source: str, number: int, row: tuple[Any, ...]) -> None:
        self.files.setdefault((source, number), []).append(row)

    def see(self, customer: str, number: int) -> None:
        self.first_seen[customer] = min(self.first_seen.get(customer, LAST + 1), number)


def make_data(seed: int) -> Data:
    """Twelve households over 106 days, some without demographics, some late events, some sent twice."""
    chance, data = random.Random(seed), Data()
    listed = [f"{n}" for n in range(1, 9)]
    households = [*listed, "20", "21", "22", "100"]
    for number in range(LAST + 1):
        for household in listed[: 8 - number // 40]:
            data.see(household, number)
            email = f"{household}@example.com"
            data.send("customer", number, (household, "25-34", "35-49K", "Renter", None, "2", None, None, email))
        for campaign in range(1, 5):
            start, end = day(10 * campaign), day(10 * campaign + 30)
            row = (str(campaign), f"Campaign {campaign}", "Type A", start, end, "retention", Decimal(100))
            data.send("campaign", number, row)
            data.send("flowchart", number, (f"F{campaign}", f"Flow {campaign}", str(campaign), None, "active", day(0)))
    for article in range(9):  # article 9 is in no product file
        data.departments[str(article)] = [(0, DEPARTMENTS[article % 3])]
        data.send("product", 0, (str(article), "m", DEPARTMENTS[article % 3], "National", None, None, None))
    data.departments["0"].append((50, "MEAT"))
    data.send("product", 50, ("0", "m", "MEAT", "National", None, None, None))
    for campaign in range(1, 5):
        for article in (campaign, campaign + 1):
            data.send("offer", 10 * campaign, (f"C{campaign}", str(article), str(campaign)))
    _make_purchases(data, chance, households)
    _make_contacts_and_responses(data, chance, households[:-1])
    _make_metrics(data, chance)
    return data


def _make_metrics(data: Data, chance: random.Random) -> None:
    """Files of what the metrics are made of, about households that do nothing else: the others stay as they are."""
    about_customers = ("account", "click", "experiment_assignment")

    def send(source: str, number: int, row: tuple[Any, ...]) -> None:
        data.send(source, number, row)
        if source in about_customers:
            data.see(row[1], number)

    send_metric_files(send, chance, ("901", "902", "903"), LAST, payroll_on=0)


def _arrival(chance: random.Random, number: int) -> int:
    """Mostly the day itself, sometimes up to five days later."""
    return min(number + (chance.randint(1, 5) if chance.random() < 0.1 else 0), LAST)


def _make_purchases(data: Data, chance: random.Random, households: list[str]) -> None:
    for basket in range(260):
        number, household = chance.randint(0, LAST), chance.choice(households[:-1])
        arrival = _arrival(chance, number)
        at = datetime.combine(day(number), datetime.min.time()) + timedelta(hours=chance.randint(0, 23))
        for article in chance.sample(range(10), chance.randint(1, 3)):
            amounts = [Decimal(chance.randint(0, 900)) / 100 for _ in range(4)]
            quantity = chance.randint(1, 5)
            row = (f"b{basket}", str(article), household, "s1", quantity, *amounts, 1, at)
            data.send("transaction", arrival, row)
            if chance.random() < 0.1:
                data.send("transaction", min(arrival + 3, LAST), row)
            data.see(household, arrival)
            data.lines.append(
                {"date": number, "customer": household, "basket": f"b{basket}", "article": str(article)}
                | {"quantity": quantity, "sales": amounts[0], "discount": sum(amounts[1:])}
            )


def _make_contacts_and_responses(data: Data, chance: random.Random, households: list[str]) -> None:
    for campaign in range(1, 4):  # the fourth reaches nobody
        start = 10 * campaign
        run = (f"r{campaign}", f"F{campaign}", datetime.combine(day(start), datetime.min.time()))
        data.send("flowchart_run", start, (*run, run[2] + timedelta(minutes=campaign), "succeeded", 7))
        for household in chance.sample(households, 8):
            number = start + chance.randint(0, 3)
            control, channel = chance.random() < 0.25, chance.choice(CHANNELS)
            cost = Decimal(0) if control or campaign == 3 else Decimal("0.25")
            at = datetime.combine(day(number), datetime.min.time()) + timedelta(hours=8)
            channel = "none" if control else channel
            cell = ("control", None) if control else ("target", "t1")
            row = (str(campaign), household, at, channel, *cell, f"r{campaign}", str(control).lower(), cost)
            arrival = _arrival(chance, number)
            data.send("contact", arrival, row)
            data.see(household, arrival)
            contact = {"date": number, "customer": household, "campaign": campaign, "cost": cost}
            data.contacts.append(contact | {"channel": channel, "control": control})
        for household in chance.sample(households, 5) if campaign < 3 else []:
            for number in chance.sample(range(start + 1, start + 25), chance.randint(1, 3)):
                arrival = _arrival(chance, number)
                data.send("response", arrival, (household, f"C{campaign}", str(campaign), day(number)))
                data.see(household, arrival)
                data.responses.append({"date": number, "customer": household, "campaign": campaign})


@pytest.fixture(scope="module")
def data() -> Data:
    return make_data(7)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, data: Data) -> Iterator[ContractSite]:
    """The shipped catalog, all days loaded as one range from files."""
    site = ContractSite(tmp_path_factory.mktemp("marts"), shipped=CANONICAL, calendar=DATES)
    for (source, number), rows in data.files.items():
        site.write(source, number, rows)
    site.load_all(DATES)
    yield site
    site.close()


def rounded(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def share(numerator: Decimal | int, denominator: int, places: int) -> Decimal | None:
    return rounded(Decimal(numerator) / denominator, places) if denominator else None


def naive_customer(data: Data, customer: str, number: int) -> dict[str, Any]:
    """customer_360 of a household as of a day, without quintiles."""
    found: dict[str, Any] = {"customer_id": customer, "first_seen_date": day(data.first_seen[customer])}
    first_answers: dict[int, int] = {}
    for response in sorted(data.responses, key=lambda r: r["date"]):
        if response["customer"] == customer:
            first_answers.setdefault(response["campaign"], response["date"])
    mine = {
        kind: [e for e in events if e["customer"] == customer and e["date"] <= number]
        for kind, events in (("lines", data.lines), ("contacts", data.contacts), ("responses", data.responses))
    }
    for window, length in WINDOWS.items():
        since = -1 if length is None else number - length
        lines, contacts, responses = ([e for e in mine[k] if e["date"] > since] for k in mine)
        sales, baskets = sum((e["sales"] for e in lines), Decimal(0)), len({(e["date"], e["basket"]) for e in lines})
        found[f"sales_amount_{window}"], found[f"baskets_{window}"] = sales, baskets
        found[f"units_{window}"] = sum(e["quantity"] for e in lines)
        found[f"discount_amount_{window}"] = sum((e["discount"] for e in lines), Decimal(0))
        found[f"average_basket_amount_{window}"] = share(sales, baskets, 4)
        if window == "90d":
            continue
        answers = [(c, d) for c, d in first_answers.items() if since < d <= number]
        control = sum(e["control"] for e in contacts)
        found[f"contacts_{window}"], found[f"contacts_control_{window}"] = len(contacts), control
        found[f"responses_{window}"], found[f"redemptions_{window}"] = len(answers), len(responses)
        found[f"response_rate_{window}"] = share(len(answers), len(contacts) - control, 6)
        for channel in CHANNELS:
            reached = sum(e["channel"] == channel for e in contacts)
            answered = sum(
                any(e["campaign"] == c and e["date"] <= d and e["channel"] == channel for e in mine["contacts"])
                for c, d in answers
            )
            found[f"contacts_{channel}_{window}"], found[f"responses_{channel}_{window}"] = reached, answered
            found[f"response_rate_{channel}_{window}"] = share(answered, reached, 6)
    bought = [e["date"] for e in mine["lines"]]
    found["first_purchase_date"] = day(min(bought)) if bought else None
    found["last_purchase_date"] = day(max(bought)) if bought else None
    found["days_since_last_purchase"] = number - max(bought) if bought else None
    active = [e["date"] for events in mine.values() for e in events]
    found["last_seen_date"] = day(max(active)) if active else found["first_seen_date"]
    found["favourite_department"] = favourite(data, mine["lines"])
    return found


def favourite(data: Data, lines: Iterable[dict[str, Any]]) -> str | None:
    spent: dict[str, Decimal] = {}
    for line in lines:
        names = [name for since, name in data.departments.get(line["article"], []) if since <= line["date"]]
        department = names[-1] if names else "UNKNOWN"
        spent[department] = spent.get(department, Decimal(0)) + line["sales"]
    return min(spent, key=lambda name: (-spent[name], name)) if spent else None


def quintiles(ranked: list[str]) -> dict[str, int]:
    """ntile(5): groups as equal as can be, the larger ones first."""
    size, larger = divmod(len(ranked), 5)
    sizes = [size + (n < larger) for n in range(5)]
    groups = [n + 1 for n, count in enumerate(sizes) for _ in range(count)]
    return dict(zip(ranked, groups, strict=True))


def naive_day(data: Data, number: int) -> list[dict[str, Any]]:
    """customer_360 as of a day."""
    known = sorted(c for c, first in data.first_seen.items() if first <= number)
    rows = {customer: naive_customer(data, customer, number) for customer in known}
    buyers = [c for c in known if rows[c]["last_purchase_date"]]
    orders = {"recency": "last_purchase_date", "frequency": "baskets_lifetime", "monetary": "sales_amount_lifetime"}
    for name, column in orders.items():
        groups = quintiles(sorted(buyers, key=lambda c: (rows[c][column], c)))
        for customer in known:
            rows[customer][f"{name}_quintile"] = groups.get(customer)
    return list(rows.values())


def found_day(site: ContractSite, number: int, like: dict[str, Any]) -> list[dict[str, Any]]:
    rows = site.site.rows("cs_360_db.customer_360", where={"business_date": day(number)})
    return sorted(({name: row[name] for name in like} for row in rows), key=lambda row: row["customer_id"])


SOME_DAYS: Final = (0, 1, 6, 7, 8, 29, 30, 31, 50, 89, 90, 91, 100, LAST)


def test_a_range_load_of_customer_360_equals_the_naive_result(loaded: ContractSite, data: Data) -> None:
    for number in range(LAST + 1):
        expected = naive_day(data, number)
        assert found_day(loaded, number, expected[0]) == expected, number


@pytest.mark.parametrize("number", SOME_DAYS)
def test_a_one_day_load_of_customer_360_equals_the_naive_result(loaded: ContractSite, data: Data, number: int) -> None:
    loaded.load("cs_360_db.customer_360", DateRange(day(number), day(number)))
    expected = naive_day(data, number)
    assert found_day(loaded, number, expected[0]) == expected


@pytest.mark.parametrize("first", [1, 60])
def test_a_range_that_starts_in_the_middle_equals_the_whole(loaded: ContractSite, first: int) -> None:
    whole = loaded.content(layers=["agg", "cs_360_db", "metrics"])
    for key in loaded.downstream:
        loaded.load(key, DateRange(day(first), day(LAST)))
    assert loaded.content(layers=["agg", "cs_360_db", "metrics"]) == whole


def test_every_mart_of_a_day_is_the_same_loaded_alone_and_in_a_range(loaded: ContractSite) -> None:
    whole = loaded.content(layers=["itf", "agg", "cs_360_db", "metrics", "cdm_publish_db"])
    for number in (0, 12, 40, LAST):
        for key in loaded.downstream:
            loaded.load(key, DateRange(day(number), day(number)))
    assert loaded.content(layers=["itf", "agg", "cs_360_db", "metrics", "cdm_publish_db"]) == whole


def test_quintiles_are_only_among_households_that_bought(loaded: ContractSite) -> None:
    rows = loaded.site.rows("cs_360_db.customer_360", where={"business_date": day(3)})
    buyers = [row for row in rows if row["baskets_lifetime"]]
    assert 0 < len(buyers) < len(rows)
    names = ("recency_quintile", "frequency_quintile", "monetary_quintile")
    assert all(1 <= row[name] <= 5 for row in buyers for name in names)
    assert {row[name] for row in rows if row not in buyers for name in names} == {None}


def test_an_article_that_is_in_no_product_file_counts_for_the_unknown_department(loaded: ContractSite) -> None:
    rows = loaded.site.rows("agg.customer_department_day", where={"department": "UNKNOWN"})
    sales = sum(row["sales_value"] for row in loaded.site.rows("rdv.l_transaction"))
    assert rows
    assert sum(row["sales_amount"] for row in loaded.site.rows("agg.customer_department_day")) == sales


def naive_campaign(data: Data, campaign: int, number: int) -> dict[str, Any]:
    """campaign_360 of a campaign as of a day."""
    contacts = [e for e in data.contacts if e["campaign"] == campaign and e["date"] <= number]
    responses = [e for e in data.responses if e["campaign"] == campaign and e["date"] <= number]
    answered = {e["customer"] for e in responses}
    control, cost = sum(e["control"] for e in contacts), sum((e["cost"] for e in contacts), Decimal(0))
    start, articles = 10 * campaign, {str(campaign), str(campaign + 1)}
    attributed = sum(
        (
            e["sales"]
            for e in data.lines
            if e["customer"] in answered and e["article"] in articles and start <= e["date"] <= min(number, start + 30)
        ),
        Decimal(0),
    )
    reached = len(contacts) - control
    return {
        "audience": len(contacts),
        "audience_target": reached,
        "audience_control": control,
        **{f"contacts_{channel}": sum(e["channel"] == channel for e in contacts) for channel in CHANNELS},
        "responses": len(answered),
        "redemptions": len(responses),
        "response_rate": share(len(answered), reached, 6),
        "contact_cost": cost,
        "attributed_sales_amount": attributed,
        "cost_per_contact": share(cost, reached, 4),
        "cost_per_response": share(cost, len(answered), 4),
        "roi": rounded((attributed - cost) / cost, 4) if cost else None,
    }


def test_campaign_360_equals_the_naive_result(loaded: ContractSite, data: Data) -> None:
    rows = loaded.site.rows("cs_360_db.campaign_360")
    assert len(rows) == 4 * (LAST + 1)
    for row in rows:
        expected = naive_campaign(data, int(row["campaign_id"]), (row["business_date"] - day(0)).days)
        assert {name: row[name] for name in expected} == expected, (row["business_date"], row["campaign_id"])


def test_ratios_are_null_where_their_denominator_is_zero(loaded: ContractSite) -> None:
    ratios = ("response_rate", "cost_per_contact", "cost_per_response", "roi")
    on_last = loaded.site.rows("cs_360_db.campaign_360", where={"business_date": day(LAST)})
    rows = {row["campaign_id"]: row for row in on_last}
    assert [rows["4"][name] for name in ratios] == [None] * 4  # nobody contacted
    assert [rows["3"][name] for name in ratios] == [Decimal(0), Decimal(0), None, None]  # free of cost, no response
    assert None not in [rows["1"][name] for name in ratios]


def test_every_check_of_the_shipped_marts_passes_with_late_and_repeated_events(loaded: ContractSite) -> None:
    for key in loaded.order:
        loaded.load(key, DATES, checked=True)
    failed = [row for row in loaded.site.rows("cdp_metadata.check_result") if row["blocks"]]
    assert [(row["table_key"], row["check_name"], row["business_date"], row["message"]) for row in failed] == []


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_changed_files_repair_every_shipped_table(tmp_path: Path, data: Data, seed: int) -> None:
    """Files of random sources and days are late or shrink; exactly what that affects is reloaded."""
    last, chance = 30, random.Random(seed)
    dates = DateRange(day(0), day(last))
    site = ContractSite(tmp_path, shipped=CANONICAL, calendar=dates)
    files = {place: rows for place, rows in data.files.items() if place[1] <= last}
    due_every_day = ("customer", "campaign", "flowchart", "account", "experiment", "click")
    late = set(chance.sample(sorted(place for place in files if place[0] not in due_every_day), 12))
    for (source, number), rows in files.items():
        if (source, number) not in late:
            site.write(source, number, rows)
    site.load_all(dates)
    shorter = chance.sample(sorted(place for place in files if len(files[place]) > 1), 12)
    changed = [(place, files[place]) for place in late] + [(place, files[place][1:]) for place in shorter]
    for (source, number), rows in changed:
        site.write(source, number, rows)
    touched = sorted({place for place, _ in changed})
    affected = site.affected(touched)
    for source, number in touched:
        site.load(f"ldz.ldz_{source}", DateRange(day(number), day(number)))
    loads = [(key, day(number)) for source, number in touched for key in sorted(site.fed_by(source))]
    chance.shuffle(loads)
    for key, when in loads:
        site.load(key, DateRange(when, when))
    for key in (key for key in site.downstream if key in affected):
        for part in ranges_of(affected[key]):
            site.load(key, part)
    assert differences(site.content(), site.clean_content(dates)) == {}
    site.close()


@pytest.mark.parametrize("mart", sorted(MARTS))
@pytest.mark.parametrize("number", [0, 45, 80])
def test_a_mart_reads_no_later_date_and_where_declared_only_its_own(
    loaded: ContractSite, mart: str, number: int
) -> None:
    """So the dates that a change reaches are all that `SAME_DATE_ONLY` leaves out."""
    key = next(k for k in loaded.order if k.endswith(f".{mart}") and not k.startswith("cdm_publish_db."))
    only_then = DateRange(day(number), day(number))
    select = loaded.loads.select(key, only_then)
    assert select is not None
    table = loaded.tables[key]
    stored = sa.select(*(table.c[name] for name in select.selected_columns.keys())).where(  # noqa: SIM118
        table.c.business_date == day(number)
    )
    with loaded.warehouse.connection() as connection, connection.begin() as transaction:
        expected = sorted(map(str, connection.execute(stored)))
        for upstream in loaded.loads.reads[key]:
            rows = loaded.tables[upstream]
            is_read = rows.c.business_date <= day(number)
            if upstream in SAME_DATE_ONLY.get(mart, ()):
                is_read = rows.c.business_date == day(number)
            connection.execute(sa.delete(rows).where(sa.not_(is_read)))
        found = connection.execute(select).mappings().all()
        filled = COMPUTED[mart](found) if mart in COMPUTED else found
        assert sorted(str(tuple(row.values())) for row in filled) == expected
        transaction.rollback()
