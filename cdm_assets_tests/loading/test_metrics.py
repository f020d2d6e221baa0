"""Every metric against an independent computation with pandas that reads the raw files, not our tables."""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from scipy import stats

from cdm_assets.catalog.reading import CANONICAL
from cdm_assets.loading.marts.experiments import Arm, compared, sample_ratio_p_value
from cdm_assets.loading.marts.investors import METRICS as PAGE
from cdm_assets.warehouse.dates import DateRange
from cdm_assets_tests.loading.contract_site import ContractSite, day, differences
from cdm_assets_tests.loading.metric_files import send_metric_files

LAST: Final = 66
DATES: Final = DateRange(day(0), day(LAST))
HOUSEHOLDS: Final = ("1", "2", "3", "20", "21", "22", "30", "31", "32", "40", "41", "50")
DEPARTMENTS: Final = {"0": "GROCERY", "1": "PRODUCE", "2": "DRUG GM", "3": "FUEL", "4": "MEAT"}
UNIT_OF: Final = {"GROCERY": "grocery", "PRODUCE": "fresh", "DRUG GM": "health", "FUEL": "other", "MEAT": "fresh"}
SOME_NUMBERS: Final = (0, 2, 3, 9, 21, 30, 31, 34, 40, 58, LAST)
"""Month ends, week ends (day 2 is a Sunday), the first days of payroll, ledger and experiments, the last day."""

Frames = dict[str, pd.DataFrame]
Files = dict[tuple[str, int], list[tuple[Any, ...]]]


def make_files(seed: int) -> Files:
    """The files of all sources behind the metrics."""
    files: Files = {}

    def send(source: str, number: int, row: tuple[Any, ...]) -> None:
        files.setdefault((source, number), []).append(row)

    chance = random.Random(seed)
    for article, department in DEPARTMENTS.items():
        send("product", 0, (article, "m", department, "National", None, None, None))
    for basket in range(240):
        number, household = chance.randint(0, LAST), chance.choice(HOUSEHOLDS)
        arrival = min(number + (chance.randint(1, 5) if chance.random() < 0.1 else 0), LAST)
        at = pd.Timestamp(day(number)) + pd.Timedelta(hours=chance.randint(0, 23))
        for article in chance.sample([*DEPARTMENTS, "9"], chance.randint(1, 3)):  # article 9 is in no product file
            row = (f"b{basket}", article, household, "s1", 1, Decimal(chance.randint(0, 900)) / 100, 0, 0, 0, 1, at)
            send("transaction", arrival, row)
            if chance.random() < 0.1:
                send("transaction", min(arrival + 3, LAST), row)
    send_metric_files(send, chance, HOUSEHOLDS, LAST)
    return files


def behind_the_metrics(site: ContractSite) -> list[str]:
    """The metrics and all that they are made of."""
    metrics = [key for key in site.order if key.startswith("metrics.")]
    behind = set(metrics).union(*(site.loads.ancestors[key] | site.loads.reads[key] for key in metrics))
    sources = {"transaction", "product", "account", "account_status", "spend", "payroll", "click", "ledger"}
    sources |= {"experiment", "experiment_assignment"}
    return [
        k for k in site.order if k in behind and (not k.startswith("ldz.") or k.removeprefix("ldz.ldz_") in sources)
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractSite]:
    site = ContractSite(tmp_path_factory.mktemp("metrics"), shipped=CANONICAL, calendar=DATES)
    for (source, number), rows in make_files(3).items():
        site.write(source, number, rows)
    for key in behind_the_metrics(site):
        site.load(key, DATES, checked=key.startswith("metrics."))
    yield site
    site.close()


@pytest.fixture(scope="module")
def frames(site: ContractSite) -> Frames:
    """The raw files by source: texts, with the date of the file."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": lambda path: pd.read_csv(path, dtype=str),
        ".gz": lambda path: (
            pd.read_json(path, lines=True, dtype=False, convert_dates=False)
            if ".jsonl" in path.name
            else pd.read_csv(path, dtype=str)
        ),
        ".xlsx": lambda path: pd.read_excel(path, dtype=str),
    }
    found: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(p for p in site.landing_root.rglob("*.*") if p.is_file()):
        frame = readers[path.suffix](path)
        frame["file_date"] = pd.Timestamp(path.parent.name)
        found.setdefault(path.name.split(".")[0], []).append(frame)
    frames = {source: pd.concat(parts, ignore_index=True) for source, parts in found.items()}
    for source, column in (
        ("transaction", "transaction_timestamp"),
        ("click", "clicked_at"),
        ("spend", "spent_on"),
        ("account_status", "effective_on"),
        ("experiment_assignment", "assigned_on"),
    ):
        keys = {"transaction": ["basket_id", "product_id"], "click": ["event_id"], "spend": ["spend_id"]}
        keys |= {"account_status": ["status_change_id"], "experiment_assignment": ["experiment_id", "customer_id"]}
        frame = frames[source].sort_values("file_date").drop_duplicates(keys[source])
        frames[source] = frame.assign(day=pd.to_datetime(frame[column]).dt.normalize())
    bought = frames["transaction"]
    articles = frames["product"].set_index("product_id")["department"].map(UNIT_OF)
    bought["unit"] = bought["product_id"].map(articles).fillna("other")
    bought["amount"] = bought["sales_value"].map(Decimal)
    bought["customer_id"] = bought["household_id"]
    frames["spend"]["amount"] = frames["spend"]["amount"].map(Decimal)
    return frames


def rows_of(site: ContractSite, key: str, when: date) -> list[dict[str, Any]]:
    return site.site.rows(key, where={"business_date": when})


def rounded(value: Decimal | None, places: int) -> Decimal | None:
    return None if value is None else value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def share(numerator: Any, denominator: Any, places: int) -> Decimal | None:
    if numerator is None or not denominator:
        return None
    return rounded(Decimal(numerator) / Decimal(denominator), places)


def on(frame: pd.DataFrame, first: date, last: date | None = None) -> pd.DataFrame:
    return frame[(frame["day"] >= pd.Timestamp(first)) & (frame["day"] <= pd.Timestamp(last or first))]


def total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def month_start(when: date) -> date:
    return when.replace(day=1)


def week_start(when: date) -> date:
    return when - timedelta(days=when.weekday())


# --- profit


def unit_day(frames: Frames, when: date) -> dict[str, dict[str, Any]]:
    """profit_unit of a date by unit."""
    bought, spent = on(frames["transaction"], when), on(frames["spend"], when)
    payroll = frames["payroll"]
    known = (
        payroll[payroll["file_date"] <= pd.Timestamp(when)]
        .sort_values("file_date")
        .drop_duplicates("team", keep="last")
    )
    length = calendar.monthrange(when.year, when.month)[1]
    found = {}
    for unit in sorted({*bought["unit"], *spent["unit"], *known["unit"]}):
        mine = bought[bought["unit"] == unit]
        revenue, customers = total(mine["amount"]), mine["customer_id"].nunique()
        spend = total(spent[spent["unit"] == unit]["amount"])
        salaries = total(Decimal(text) for text in known[known["unit"] == unit]["monthly_salary"])
        salary = rounded(salaries / length, 4) if len(known) else None
        profit = None if salary is None else revenue - spend - salary
        found[unit] = {
            "revenue": revenue,
            "spend": spend,
            "salary": salary,
            "profit": profit,
            "customers": customers,
            "revenue_per_customer": share(revenue, customers, 4),
            "profit_per_customer": share(profit, customers, 4),
        }
    return found


@pytest.mark.parametrize("number", SOME_NUMBERS)
def test_profit_of_a_unit(site: ContractSite, frames: Frames, number: int) -> None:
    expected = unit_day(frames, day(number))
    found = {row["unit"]: row for row in rows_of(site, "metrics.profit_unit", day(number))}
    assert {u: {n: row[n] for n in expected[u]} for u, row in found.items()} == expected


def test_salary_and_profit_are_not_known_before_the_first_payroll(site: ContractSite) -> None:
    before = [row for number in range(3) for row in rows_of(site, "metrics.profit_unit", day(number))]
    assert before
    assert {(row["salary"], row["profit"]) for row in before} == {(None, None)}
    week = {row["period_kind"]: row for row in rows_of(site, "metrics.profit_aggregate", day(20))}
    assert week["week"]["salary"] is not None
    assert week["month"]["salary"] is None, "the first days of the month have no known salary"


def running(frames: Frames, when: date) -> list[dict[Any, Any]]:
    listed = frames["experiment"]
    records: list[dict[Any, Any]] = listed[listed["file_date"] == pd.Timestamp(when)].to_dict("records")
    return [e for e in records if date.fromisoformat(e["starts_on"]) <= when <= date.fromisoformat(e["ends_on"])]


def members(frames: Frames, experiment: str, until: date) -> pd.DataFrame:
    assigned = frames["experiment_assignment"]
    return assigned[(assigned["experiment_id"] == experiment) & (assigned["day"] <= pd.Timestamp(until))]


@pytest.mark.parametrize("number", SOME_NUMBERS)
def test_profit_of_an_arm(site: ContractSite, frames: Frames, number: int) -> None:
    when = day(number)
    units, bought = unit_day(frames, when), on(frames["transaction"], when)
    expected = {}
    for experiment in running(frames, when):
        for arm, members_of_arm in members(frames, experiment["experiment_id"], when).groupby("arm"):
            customers = set(members_of_arm["customer_id"])
            for unit, of_unit in units.items():
                mine = bought[(bought["unit"] == unit) & bought["customer_id"].isin(customers)]
                revenue = total(mine["amount"])
                cost = None
                if of_unit["salary"] is not None and of_unit["revenue"]:
                    cost = share((of_unit["spend"] + of_unit["salary"]) * revenue, of_unit["revenue"], 4)
                profit = None if cost is None else revenue - cost
                expected[experiment["experiment_id"], arm, unit] = {
                    "customers": len(customers),
                    "revenue": revenue,
                    "cost": cost,
                    "profit": profit,
                    "revenue_per_customer": share(revenue, len(customers), 4),
                    "profit_per_customer": share(profit, len(customers), 4),
                }
    rows = rows_of(site, "metrics.profit_unit_arm", when)
    found = {(row["experiment_id"], row["arm"], row["unit"]): row for row in rows}
    assert {k: {n: row[n] for n in expected[k]} for k, row in found.items()} == expected


def profit_periods(when: date) -> dict[str, tuple[date, date, bool]]:
    """First and last date and completeness of each period of profit_aggregate."""
    last_of_month = calendar.monthrange(when.year, when.month)[1]
    before = month_start(when) - timedelta(days=1)
    return {
        "week": (week_start(when), when, when.weekday() == 6),
        "month": (month_start(when), when, when.day == last_of_month),
        "closed_month": (month_start(before), before, True),
    }


@pytest.mark.parametrize("number", SOME_NUMBERS)
def test_profit_of_weeks_and_months_beside_the_ledger(site: ContractSite, frames: Frames, number: int) -> None:
    when, ledger = day(number), frames["ledger"]
    known = ledger[ledger["file_date"] <= pd.Timestamp(when)].sort_values("file_date")
    for row in rows_of(site, "metrics.profit_aggregate", when):
        first, last, is_complete = profit_periods(when)[row["period_kind"]]
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        units = [unit for d in days if d >= DATES.first for unit in unit_day(frames, d).values()]
        revenue = total(u["revenue"] for u in units) if units else None
        spend = total(u["spend"] for u in units) if units else None
        salary = total(u["salary"] for u in units) if units and all(u["salary"] is not None for u in units) else None
        cost = None if salary is None or spend is None else spend + salary
        profit = None if cost is None or revenue is None else revenue - cost
        expected = {
            "period_start": first,
            "is_complete": is_complete,
            "revenue": revenue,
            "spend": spend,
            "salary": salary,
            "cost": cost,
            "profit": profit,
            "margin": share(profit, revenue, 6),
        }
        for line, ours in (("revenue", revenue), ("spend", spend), ("salary", salary)):
            theirs = known[(known["month"] == first.isoformat()) & (known["line"] == line)]["amount"].tolist()
            amount = Decimal(theirs[-1]) if theirs and row["period_kind"] != "week" else None
            expected[f"ledger_{line}"] = amount
            expected[f"{line}_difference"] = None if amount is None or ours is None else ours - amount
        assert {name: row[name] for name in expected} == expected, row["period_kind"]


# --- growth


def licensed(frames: Frames, when: date) -> set[str]:
    """The accounts with a licence as of a date."""
    changes = frames["account_status"]
    latest = changes[changes["day"] <= pd.Timestamp(when)].sort_values(["day", "status_change_id"])
    latest = latest.drop_duplicates("account_id", keep="last")
    holds = latest["status"].isin(["activated", "renewed"]) & (
        pd.to_datetime(latest["valid_until"]) >= pd.Timestamp(when)
    )
    return set(latest[holds]["account_id"])


def holders(frames: Frames, when: date) -> dict[str, str]:
    listed = frames["account"]
    return dict(listed[listed["file_date"] == pd.Timestamp(when)][["account_id", "customer_id"]].to_numpy().tolist())


def renewed(frames: Frames, when: date) -> set[str]:
    changes = on(frames["account_status"], when)
    next_year = pd.to_datetime(changes["valid_until"]).dt.year == when.year + 1
    return set(changes[(changes["status"] == "renewed") & next_year]["account_id"])


@pytest.mark.parametrize("number", range(LAST + 1))
def test_licences_of_a_day(site: ContractSite, frames: Frames, number: int) -> None:
    when = day(number)
    [row] = rows_of(site, "metrics.growth_daily", when)
    now, before = licensed(frames, when), licensed(frames, when - timedelta(days=1))
    found = [row[f"licences_{name}"] for name in ("added", "stopped", "renewed", "active")]
    assert found == [len(now - before), len(before - now), len(renewed(frames, when)), len(now)]


def test_the_days_hold_what_they_are_meant_to_test(site: ContractSite) -> None:
    rows = site.site.rows("metrics.growth_daily")
    for name in ("added", "stopped", "renewed"):
        assert sum(row[f"licences_{name}"] for row in rows) > 0, name
    weeks = [row for row in site.site.rows("metrics.engagement_aggregate") if row["clicks"] != row["clicks_in_time"]]
    assert weeks
    assert {row["arm"] for row in site.site.rows("metrics.profit_unit_arm")} == {"control", "treatment"}


@pytest.mark.parametrize("number", SOME_NUMBERS)
def test_licences_of_an_arm(site: ContractSite, frames: Frames, number: int) -> None:
    when = day(number)
    now, before, again = licensed(frames, when), licensed(frames, when - timedelta(days=1)), renewed(frames, when)
    expected = {}
    for experiment in running(frames, when):
        for arm, members_of_arm in members(frames, experiment["experiment_id"], when).groupby("arm"):
            customers = set(members_of_arm["customer_id"])
            mine = {account for account, customer in holders(frames, when).items() if customer in customers}
            counts = [len((now - before) & mine), len((before - now) & mine), len(again & mine), len(now & mine)]
            expected[experiment["experiment_id"], arm] = [len(customers), *counts, share(counts[-1], len(customers), 6)]
    names = ("customers", "licences_added", "licences_stopped", "licences_renewed", "licences_active")
    rows = rows_of(site, "metrics.growth_daily_arm", when)
    found = {(r["experiment_id"], r["arm"]): [r[n] for n in (*names, "licences_per_customer")] for r in rows}
    assert found == expected


@pytest.mark.parametrize("number", SOME_NUMBERS)
def test_growth_of_weeks_and_months(site: ContractSite, frames: Frames, number: int) -> None:
    when = day(number)
    holder = holders(frames, when)

    def users(at: date) -> set[str]:
        return {holder[account] for account in licensed(frames, at) if account in holder}

    now, last_month = users(when), users(month_start(when) - timedelta(days=1))
    rows = rows_of(site, "metrics.growth_aggregate", when)
    assert [row["period_kind"] for row in rows] == ["month", "week"]
    for row in rows:
        start = week_start(when) if row["period_kind"] == "week" else month_start(when)
        before = users(start - timedelta(days=1))
        assert [row[n] for n in ("period_start", "users_with_licence", "users_before")] == [
            start,
            len(now),
            len(before),
        ]
        found = [row[n] for n in ("users_joined", "users_churned", "net_growth")]
        assert found == [len(now - before), len(before - now), len(now) - len(before)]
        assert row["churn_rate"] == share(len(before - now), len(before), 6)
        assert row["month_over_month"] == share(len(now) - len(last_month), len(last_month), 6)
        assert row["year_over_year"] is None, "nobody had a licence a year before"


# --- engagement


@pytest.mark.parametrize("number", SOME_NUMBERS)
def test_engagement_of_days_and_weeks(site: ContractSite, frames: Frames, number: int) -> None:
    when, clicks = day(number), frames["click"]
    in_time = clicks["file_date"] - pd.to_datetime(clicks["clicked_at"]) <= pd.Timedelta(hours=48)
    clicks = clicks.assign(in_time=in_time)
    weekly = on(clicks, when - timedelta(days=6), when)["customer_id"].nunique()
    monthly = on(clicks, when - timedelta(days=29), when)["customer_id"].nunique()
    rows = rows_of(site, "metrics.engagement_aggregate", when)
    assert [row["period_kind"] for row in rows] == ["day", "week"]
    for row in rows:
        start = when if row["period_kind"] == "day" else week_start(when)
        mine = on(clicks, start, when)
        daily = share(len(mine[["day", "customer_id"]].drop_duplicates()), (when - start).days + 1, 4)
        expected = {
            "period_start": start,
            "is_complete": row["period_kind"] == "day" or when.weekday() == 6,
            "clicks": len(mine),
            "active_users": mine["customer_id"].nunique(),
            "daily_active_users": daily,
            "weekly_active_users": weekly,
            "monthly_active_users": monthly,
            "stickiness": share(daily, monthly, 6),
            "clicks_in_time": int(mine["in_time"].sum()),
            "completeness": share(int(mine["in_time"].sum()), len(mine), 6),
        }
        assert {name: row[name] for name in expected} == expected, row["period_kind"]


# --- experiments


def values_of(frames: Frames, experiment: dict[Any, Any], metric: str, arm: str, when: date) -> list[float]:
    """What each customer of an arm did from the assignment on."""
    until = min(when, date.fromisoformat(experiment["ends_on"]))
    bought, clicks = frames["transaction"], frames["click"]
    values = []
    assigned = members(frames, experiment["experiment_id"], until)
    for _, member in assigned[assigned["arm"] == arm].iterrows():
        since = member["day"].date()
        mine = on(bought[bought["customer_id"] == member["customer_id"]], since, until)
        if metric == "revenue":
            values.append(float(total(mine[mine["unit"] == experiment["unit"]]["amount"])))
        elif metric == "baskets":
            values.append(float(len(mine[["day", "basket_id"]].drop_duplicates())))
        else:
            values.append(float(len(on(clicks[clicks["customer_id"] == member["customer_id"]], since, until))))
    return values


@pytest.mark.parametrize("number", [9, 12, 20, 30, 44, LAST])
def test_experiments_compared(site: ContractSite, frames: Frames, number: int) -> None:
    when = day(number)
    listed = frames["experiment"]
    begun = listed[(listed["file_date"] == pd.Timestamp(when)) & (listed["starts_on"] <= when.isoformat())]
    rows = {(r["experiment_id"], r["metric"], r["arm"]): r for r in rows_of(site, "metrics.experiment_summary", when)}
    assert len(rows) == 6 * len(begun)
    for experiment in begun.to_dict("records"):
        for metric in ("revenue", "baskets", "clicks"):
            control, treatment = (values_of(frames, experiment, metric, a, when) for a in ("control", "treatment"))
            for arm, values in (("control", control), ("treatment", treatment)):
                row = rows[experiment["experiment_id"], metric, arm]
                assert row["units"] == len(values)
                assert close(row["mean"], pd.Series(values).mean())
                assert close(row["variance"], pd.Series(values).var())
                sizes, part = [len(control), len(treatment)], float(experiment["treatment_share"])
                number_of_units = sum(sizes)
                expected = [number_of_units * (1 - part), number_of_units * part]
                ratio = stats.chisquare(sizes, expected).pvalue if number_of_units else None
                assert close(row["sample_ratio_p_value"], ratio)
            row = rows[experiment["experiment_id"], metric, "treatment"]
            if not control or not treatment:
                assert row["difference"] is None
                continue
            assert close(row["difference"], pd.Series(treatment).mean() - pd.Series(control).mean())
            samples = [pd.Series(values) for values in (treatment, control)]
            if min(map(len, samples)) > 1 and sum(sample.var() for sample in samples) > 0:
                of_samples = [number for s in samples for number in (s.mean(), s.std(), len(s))]
                assert close(row["p_value"], stats.ttest_ind_from_stats(*of_samples, equal_var=False).pvalue)
                if all(sample.var() > 0 for sample in samples):  # scipy warns of a sample of equal values
                    interval = stats.ttest_ind(*samples, equal_var=False).confidence_interval(0.95)
                    assert close(row["confidence_low"], interval.low)
                    assert close(row["confidence_high"], interval.high)
            else:
                assert [row[n] for n in ("p_value", "confidence_low", "confidence_high")] == [None] * 3


def close(found: Decimal | None, expected: float | None) -> bool:
    if expected is None or pd.isna(expected):
        return found is None
    return found is not None and abs(float(found) - float(expected)) < 2e-6


def arm_of(values: Sequence[int]) -> Arm:
    return Arm(len(values), Decimal(sum(values)), Decimal(sum(v * v for v in values)))


def test_arms_without_customers_or_variance_have_no_test() -> None:
    assert compared(arm_of([]), arm_of([1, 2])) is None
    alone = compared(arm_of([1]), arm_of([1, 2]))
    assert alone is not None
    assert (alone.difference, alone.p_value) == (0.5, None)
    equal = compared(arm_of([1, 1]), arm_of([3, 3]))
    assert equal is not None
    assert (equal.difference, equal.low, equal.p_value) == (2.0, None, None)
    one_varies = compared(arm_of([1, 1]), arm_of([3, 5]))
    assert one_varies is not None
    by_scipy = stats.ttest_ind_from_stats(4, 2**0.5, 2, 1, 0, 2, equal_var=False)
    assert one_varies.p_value == pytest.approx(by_scipy.pvalue)


def test_a_broken_assignment_is_unlikely_and_an_intended_one_is_not() -> None:
    assert sample_ratio_p_value(500, 500, Decimal("0.5")) == pytest.approx(1.0)
    assert (sample_ratio_p_value(600, 400, Decimal("0.5")) or 1) < 1e-8
    assert sample_ratio_p_value(750, 250, Decimal("0.25")) == pytest.approx(1.0)
    assert sample_ratio_p_value(0, 0, Decimal("0.5")) is None
    assert sample_ratio_p_value(5, 0, Decimal(0)) is None


# --- investors


def test_the_investors_page_shows_the_aggregates_of_whole_weeks_and_no_other(site: ContractSite) -> None:
    rows = site.site.rows("metrics.investor_summary")
    sundays = {d for d in DATES if d.weekday() == 6}
    assert {row["business_date"] for row in rows} == sundays
    by_place = {(row["business_date"], row["metric"]): row for row in rows}
    assert len(by_place) == len(rows) == len(sundays) * len(PAGE)
    for metric in PAGE:
        weeks = site.site.rows(f"metrics.{metric.aggregate}", where={"period_kind": "week"})
        value = {row["business_date"]: row[metric.metric] for row in weeks}
        for sunday in sundays:
            row, before = by_place[sunday, metric.metric], value.get(sunday - timedelta(days=7))
            assert row["week_start"] == sunday - timedelta(days=6)
            assert row["value"] == value[sunday]
            assert row["value_before"] == before
            change = None if value[sunday] is None or before is None else Decimal(value[sunday]) - Decimal(before)
            assert row["change"] == change
            assert row["change_rate"] == share(change, before, 6)


# --- laws


def test_what_has_no_denominator_is_null(site: ContractSite) -> None:
    unit = [row for row in site.site.rows("metrics.profit_unit") if row["customers"] == 0]
    assert unit
    assert {row["profit_per_customer"] for row in unit} == {None}
    first = rows_of(site, "metrics.growth_aggregate", day(0))
    assert {(row["churn_rate"], row["month_over_month"]) for row in first} == {(None, None)}
    no_sales = [r for r in site.site.rows("metrics.profit_unit_arm") if r["cost"] is None]
    assert no_sales


def test_na_in_what_investors_see_blocks_and_only_then(site: ContractSite) -> None:
    results = site.site.rows("cdp_metadata.check_result", where={"check_name": "no_na", "blocks": True})
    found = {(row["table_key"], row["business_date"]) for row in results}
    profit = {when for table, when in found if table == "metrics.profit_aggregate"}
    assert profit == {d for d in DATES if d < day(31)}, "March begins before the first payroll"
    page = {when for table, when in found if table == "metrics.investor_summary"}
    assert page == {day(2)}, "the only week that ends before the first payroll"


def test_each_date_loaded_alone_equals_the_range(site: ContractSite) -> None:
    whole = site.content(layers=["metrics"])
    for number in (0, 3, 30, 45, LAST):
        for key in behind_the_metrics(site):
            if key.startswith("metrics."):
                site.load(key, DateRange(day(number), day(number)))
    assert site.content(layers=["metrics"]) == whole


@pytest.mark.slow  # every shipped table is repaired so in test_marts
@pytest.mark.parametrize("seed", [1])
def test_late_and_shorter_files_repair_the_metrics(tmp_path: Path, seed: int) -> None:
    last, chance = 40, random.Random(seed)
    dates = DateRange(day(0), day(last))
    site = ContractSite(tmp_path, shipped=CANONICAL, calendar=dates)
    files = {place: rows for place, rows in make_files(seed).items() if place[1] <= last}
    due_every_day = ("account", "experiment", "click")
    late = set(chance.sample(sorted(place for place in files if place[0] not in due_every_day), 10))
    for (source, number), rows in files.items():
        if (source, number) not in late:
            site.write(source, number, rows)
    keys = behind_the_metrics(site)
    site.load_all(dates, only=keys)
    shorter = chance.sample(sorted(place for place in files if len(files[place]) > 1 and place not in late), 10)
    changed = [(place, files[place]) for place in sorted(late)] + [(place, files[place][1:]) for place in shorter]
    for (source, number), rows in changed:
        site.write(source, number, rows)
        site.load(f"ldz.ldz_{source}", DateRange(day(number), day(number)))
    vault = [(key, day(number)) for (source, number), _ in changed for key in sorted(site.fed_by(source))]
    chance.shuffle(vault)
    for key, when in vault:
        site.load(key, DateRange(when, when))
    site.load_stale()
    site.load_all(dates, clean=True, only=keys)
    found, clean = (site.content(w, layers=["agg", "metrics"]) for w in (site.warehouse, site.clean_warehouse))
    assert differences(found, clean) == {}
    assert found["metrics.profit_aggregate"]
    site.close()
