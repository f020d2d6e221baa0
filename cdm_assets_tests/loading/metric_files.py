"""Small random files of the sources behind the metrics: licences, spend, payroll, clicks, experiments, the ledger.

They hold what makes metrics hard: events that come late or twice, licences that end in between, a payroll and a ledger
that are not known from the start, an experiment whose arms are unequal, days without anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cdm_assets_tests.loading.contract_site import day

Send = Callable[[str, int, tuple[Any, ...]], None]
"""Puts a row of a source into the file of a day, by its number."""

UNITS = ("grocery", "fresh", "household", "health", "other")


def send_metric_files(
    send: Send, chance: random.Random, households: Sequence[str], last: int, *, payroll_on: int = 3
) -> None:
    """Send the files of all days up to number `last`; the first payroll comes on day `payroll_on`."""
    _send_accounts(send, chance, households, last)
    _send_costs(send, chance, last, payroll_on)
    _send_clicks(send, chance, households, last)
    _send_experiments(send, chance, households, last)
    for number, line, amount in ((34, "revenue", "250.00"), (34, "spend", "100.10"), (35, "salary", "9000.00")):
        send("ledger", number, (date(2024, 3, 1), line, Decimal(amount)))
    send("ledger", 50, (date(2024, 3, 1), "revenue", Decimal("260.00")))


def _later(chance: random.Random, number: int, last: int, most: int) -> int:
    return min(number + (chance.randint(1, most) if chance.random() < 0.2 else 0), last)


def _send_accounts(send: Send, chance: random.Random, households: Sequence[str], last: int) -> None:
    opened = {household: max(0, 4 * place - 8) for place, household in enumerate(households)}
    for number in range(last + 1):
        for household, since in opened.items():
            if since <= number:
                plan = "plus" if number > 30 else "basic"
                send("account", number, (f"A{household}", household, plan, day(since)))
    for household, since in list(opened.items())[:-1]:  # the last never gets a status
        changes = [("activated", since, day(since + chance.choice([9, 30, 400])))]
        if chance.random() < 0.6:
            renewed = since + chance.randint(5, 40)
            changes.append(("renewed", renewed, date(2024 + chance.randint(0, 1), 12, 31)))
        if chance.random() < 0.4:
            ended = since + chance.randint(5, 60)
            changes.append(("cancelled", ended, day(ended)))
        for n, (status, number, until) in enumerate(changes):
            if number <= last:
                row = (f"S{household}-{n}", f"A{household}", status, day(number), until)
                send("account_status", _later(chance, number, last, 20), row)


def _send_costs(send: Send, chance: random.Random, last: int, payroll_on: int) -> None:
    for number in range(0, last + 1, 2):
        for n in range(chance.randint(0, 3)):
            amount = float(Decimal(chance.randint(100, 9000)) / 100)  # a spreadsheet knows no decimals
            row = (f"X{number}-{n}", chance.choice(UNITS), chance.choice(["asset", "service"]), "thing", amount)
            send("spend", _later(chance, number, last, 3), (*row, day(number)))
    teams = (
        ("Grocers", "grocery", 3, "3100.00"),
        ("Bakers", "grocery", 2, "1000.01"),
        ("Nurses", "health", 1, "777.77"),
    )
    for team in teams:
        send("payroll", payroll_on, (*team[:3], Decimal(team[3])))
    send("payroll", 31, ("Nurses", "health", 2, Decimal("1500.00")))


def _send_clicks(send: Send, chance: random.Random, households: Sequence[str], last: int) -> None:
    for number in range(last + 1):
        for n in range(0 if number in (40, 41) else chance.randint(1, 6)):
            household = households[0] if chance.random() < 0.5 else chance.choice(households)
            at = datetime.combine(day(number), datetime.min.time()) + timedelta(seconds=chance.randint(0, 86399))
            row = (f"E{number}-{n}", household, at, chance.choice(["home", "search"]))
            arrival = _later(chance, number, last, 5) if n else number  # each day must have a file
            for place in {arrival, min(arrival + chance.choice([0, 0, 0, 1]), last)}:
                send("click", place, row)
    for number in (40, 41):
        if number <= last:
            at = datetime.combine(day(number - 1), datetime.min.time())
            send("click", number, (f"E{number}-late", households[0], at, "home"))


def _send_experiments(send: Send, chance: random.Random, households: Sequence[str], last: int) -> None:
    experiments = (
        ("EXP1", "Prices", "grocery", Decimal("0.5000"), day(10), day(39)),
        ("EXP2", "Pages", "fresh", Decimal("0.2500"), day(30), day(400)),
        ("EXP3", "Nobody", "health", Decimal("0.5000"), day(20), day(25)),
    )
    for number in range(last + 1):
        for experiment in experiments:
            send("experiment", number, experiment)
    for name, since in (("EXP1", 10), ("EXP2", 30)):
        for place, household in enumerate(households):
            assigned = min(since + chance.randint(0, 8), last)
            arm = "treatment" if place % 3 else "control"
            row = (name, household, arm, day(assigned))
            if name == "EXP1" or place < 6:
                send("experiment_assignment", _later(chance, assigned, last, 4), row)
