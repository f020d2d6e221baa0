"""Every error the platform raises has a code, and every code a section in a runbook that says what to do.

Two questions are answered here: which code a failed check has (`code_of_check`, from its table, name and message), and
which one an exception has (`code_of_exception`). Both fall back to the general code of their layer, so that nothing is
without one. `cause_of_check` also says *where* the cause is: a date held back goes back to the table that holds it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from cdm_assets.loading.report import CheckOutcome, LoadReport
from cdm_assets.loading.table_loads import NOT_LOADED
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.transient import is_transient

DAILY: Final = "1_daily_execution.md"
FAILURES: Final = "2_failure_handling.md"
RERUN: Final = "3_rerun_and_backfill.md"
RELEASE: Final = "4_release_and_configuration.md"
VALIDATION: Final = "5_data_validation.md"
DATABASE: Final = "6_database_setup.md"
PIPELINE_RUNBOOKS: Final = (
    "profit_experiments",
    "profit_investors",
    "growth_experiments",
    "growth_investors",
    "engagement_investors",
)
"""The pipelines that have a runbook of their own, called like them."""
_PROFIT, _PROFIT_INVESTORS, _GROWTH, _, _ENGAGEMENT = (f"{name}.md" for name in PIPELINE_RUNBOOKS)


@dataclass(frozen=True)
class ErrorCode:
    """One kind of error: what it is called, where it arises, what it most likely comes from."""

    code: str
    title: str
    layer: str
    """The layer's schema, or `platform` for what belongs to none."""
    likely_cause: str
    runbook: str
    """The file in `runbooks/` that has a section headed by the code."""

    @property
    def section(self) -> str:
        """The section's anchor, as Markdown renderers build it."""
        return self.code.lower()

    @property
    def link(self) -> str:
        """Where the section is, from the repository's root."""
        return f"runbooks/{self.runbook}#{self.section}"


def _codes(layer: str, runbook: str, *rows: tuple[str, str, str]) -> list[ErrorCode]:
    return [ErrorCode(code, title, layer, cause, runbook) for code, title, cause in rows]


_EVERY: Final = [
    *_codes(
        "ldz",
        FAILURES,
        ("CDM-LDZ-001", "A file is missing", "The source has not delivered it, or under another name or folder."),
        (
            "CDM-LDZ-002",
            "A loaded file was withdrawn",
            "Somebody removed or renamed the file in the landing area, by mistake or because it was wrong.",
        ),
        (
            "CDM-LDZ-003",
            "A file has a bad format",
            "The transfer broke off, or the sender changed format, packing or quoting.",
        ),
        ("CDM-LDZ-004", "A file is empty", "The sender's export failed half-way, or had nothing to send."),
        (
            "CDM-LDZ-005",
            "A file's columns are not as declared",
            "The sender renamed, removed or retyped a column that is needed.",
        ),
        (
            "CDM-LDZ-006",
            "A file and its manifest disagree",
            "The file was changed or cut after the manifest was written, or the manifest is of another delivery.",
        ),
        (
            "CDM-LDZ-007",
            "A file cannot be read",
            "Permissions, a broken disk or bucket, or a content that is no longer in the archive.",
        ),
        (
            "CDM-LDZ-008",
            "The landing area cannot be reached",
            "The mount, bucket or network is down, or CDM_LANDING names a folder that is not there.",
        ),
        (
            "CDM-LDZ-009",
            "Records were rejected",
            "Single records break a rule of their source; the others are loaded.",
        ),
        (
            "CDM-LDZ-010",
            "A data-quality rule that blocks or warns is broken",
            "The sender's data changed, or the rule no longer fits what is legal.",
        ),
        (
            "CDM-LDZ-011",
            "A file's columns drifted",
            "The sender added, moved or removed a column that is not needed; the file is loaded.",
        ),
        (
            "CDM-LDZ-012",
            "A landing partition has bad keys or misses values",
            "A snapshot lists a key twice, or a rule was loosened after the partition was loaded.",
        ),
        (
            "CDM-LDZ-013",
            "Records read, rejected and loaded do not add up",
            "A defect of the loader; or somebody changed the landing table or the register by hand.",
        ),
        (
            "CDM-LDZ-014",
            "Events are later than their source's bound",
            "The sender delivers events days after they happened; their dates are rebuilt all the same.",
        ),
        (
            "CDM-LDZ-015",
            "A file given to a command cannot be used",
            "A path that does not exist, or a file of another format than its name says.",
        ),
    ),
    *_codes(
        "rdv",
        FAILURES,
        (
            "CDM-RDV-001",
            "Constraint violation",
            "A key twice or NULL, or a value missing: rows were written past the loader, or by two at once.",
        ),
        (
            "CDM-RDV-002",
            "Key mismatch",
            "A load of the vault was left out, or a landing partition was changed by hand.",
        ),
        (
            "CDM-RDV-003",
            "Vault pattern violation",
            "A link whose hub row is not there: the hub was not loaded for the date, or lost rows.",
        ),
        (
            "CDM-RDV-004",
            "Keys that no source describes",
            "A source refers to customers, products or campaigns that the describing source has not sent yet.",
        ),
        (
            "CDM-RDV-005",
            "A date is held back from the vault",
            "A blocking check of the landing zone failed for the date.",
        ),
    ),
    *_codes(
        "itf",
        FAILURES,
        (
            "CDM-ITF-001",
            "Schema mismatch",
            "A column or table that is read is not in the database: `cdm ddl --apply` was forgotten.",
        ),
        (
            "CDM-ITF-002",
            "Mapping metadata",
            "The interface's YAML maps a column that no longer carries values, or a code has no conversion.",
        ),
        (
            "CDM-ITF-003",
            "Transformation",
            "Rows were lost or doubled between vault and interface, or a value cannot be converted.",
        ),
    ),
    *_codes(
        "agg",
        FAILURES,
        (
            "CDM-AGG-001",
            "Aggregation",
            "Sums differ from the vault: an aggregate was loaded before its events changed.",
        ),
        ("CDM-AGG-002", "An aggregate has bad keys or misses values", "Its group columns are not what its key says."),
    ),
    *_codes(
        "cs_360_db",
        FAILURES,
        (
            "CDM-360-001",
            "Join",
            "A join lost or doubled rows: an upstream table has a key twice, or is not loaded for the date.",
        ),
        (
            "CDM-360-002",
            "Pre-aggregated table",
            "A pre-aggregated table is out of line with the vault, or empty for the date.",
        ),
        ("CDM-360-003", "View", "A `_current` view is missing or older than the table below it."),
    ),
    *_codes(
        "cdm_publish_db",
        FAILURES,
        (
            "CDM-PUB-001",
            "A date is held back from publish",
            "A blocking check above it failed for the date; the published date keeps its old content.",
        ),
        (
            "CDM-PUB-002",
            "The published copy differs",
            "The mart changed after it was published, or the copy broke off.",
        ),
        (
            "CDM-PUB-003",
            "The token key cannot be used",
            "CDM_TOKEN_KEY is too short, or the key file is not readable for the user that runs.",
        ),
    ),
    *_codes(
        "metrics",
        _PROFIT_INVESTORS,
        (
            "CDM-MET-001",
            "The numbers do not agree with the ledger",
            "Transactions, spend or payroll arrived late, or the accountants corrected a month.",
        ),
    ),
    *_codes(
        "metrics",
        _PROFIT,
        (
            "CDM-MET-002",
            "An expense is out of scale",
            "A wrong decimal separator, currency or sign in the spreadsheet; or a real, unusual expense.",
        ),
    ),
    *_codes(
        "metrics",
        _GROWTH,
        (
            "CDM-MET-003",
            "Accounts without a status",
            "Status changes that reach us late or never.",
        ),
    ),
    *_codes(
        "metrics",
        _ENGAGEMENT,
        (
            "CDM-MET-004",
            "No events where some were expected",
            "The click collector stopped, or its files lie in another folder.",
        ),
        ("CDM-MET-005", "Duplicates", "The collector sends events again after an outage; they count once."),
        ("CDM-MET-006", "Skew", "One user (a robot, a test account) has more than a share of all events."),
        (
            "CDM-MET-007",
            "Events beyond the bound",
            "More events than tolerated came later than 48 hours; published numbers of those days changed.",
        ),
    ),
    *_codes(
        "metrics",
        VALIDATION,
        (
            "CDM-MET-008",
            "NA in what investors see",
            "A source of the period is not loaded, so that a number that must be there is not.",
        ),
        (
            "CDM-MET-009",
            "A metric's rows, keys or totals are wrong",
            "A metric was computed before what it reads changed, or its period rows are doubled.",
        ),
    ),
    *_codes(
        "cdm_ingest_db",
        FAILURES,
        (
            "CDM-ML-001",
            "Predictions cannot be ingested",
            "Unknown customers, models or versions, scores out of range, or two scores for one customer and date.",
        ),
        (
            "CDM-ML-002",
            "Enrichment of customer_360 with predictions",
            "Too few customers are scored, or their predictions are of another date.",
        ),
        (
            "CDM-ML-003",
            "Scores drifted",
            "The model was trained anew, or what it reads changed.",
        ),
        ("CDM-ML-004", "Scores are stale", "The model has not run for days."),
    ),
    *_codes(
        "platform",
        DAILY,
        (
            "CDM-OPS-001",
            "A run failed for a reason without a code of its own",
            "A defect, or a fault of the environment that nobody met before.",
        ),
        (
            "CDM-OPS-002",
            "The process of a run is gone",
            "It was killed: out of memory, a restart of the machine, or by hand.",
        ),
        ("CDM-OPS-003", "A scheduled run did not start", "The daemon is not running, or a run before it never ended."),
        (
            "CDM-OPS-004",
            "A deadline was missed",
            "Late files, a failed or slow run, or a date that is held back.",
        ),
        (
            "CDM-OPS-005",
            "A table is not fresh",
            "Its newest partition is older than it may be: nothing loaded it since.",
        ),
        (
            "CDM-OPS-006",
            "A partition has an unusual number of rows",
            "A file that is cut or doubled, a stopped collector; or a real event, such as a holiday.",
        ),
        (
            "CDM-OPS-011",
            "A maintenance window is open",
            "Nothing starts by itself within a window; what was due starts after it.",
        ),
        (
            "CDM-OPS-012",
            "An alert could not be sent",
            "The address, the token or the network to the mail or chat server is wrong or down.",
        ),
    ),
    *_codes(
        "platform",
        RERUN,
        (
            "CDM-OPS-013",
            "A run is for a date that is not allowed",
            "Dates before it, whose files are there, were never loaded; or the date is mistyped.",
        ),
    ),
    *_codes(
        "platform",
        DATABASE,
        (
            "CDM-OPS-007",
            "The database is busy",
            "Another process holds the file: a run, a sensor's tick, or a client that opened it for writing.",
        ),
        (
            "CDM-OPS-008",
            "The database does not match the catalog",
            "A release or configuration change altered a declared table that exists with other columns.",
        ),
        (
            "CDM-OPS-009",
            "The database cannot be reached, or refused for a moment",
            "Network, lock, time-out, or too many sessions.",
        ),
        ("CDM-OPS-010", "Out of memory or disk", "CDM_MEMORY_LIMIT is too low for the range, or the disk is full."),
    ),
    *_codes(
        "platform",
        RELEASE,
        ("CDM-CFG-001", "A setting has a value that cannot be used", "A typing error in a CDM_* variable."),
        ("CDM-CFG-002", "The catalog has mistakes", "An edited YAML; the message has file, line and what is expected."),
        ("CDM-CFG-003", "A command was asked for something that it cannot do", "A name or range that does not exist."),
        (
            "CDM-CFG-004",
            "Code and catalog disagree",
            "A release mixed versions: a table, check or type is declared and not built, or the other way round.",
        ),
        (
            "CDM-CFG-005",
            "The runbooks are not there or out of date",
            "The package was installed without its repository, or the catalog changed after they were generated.",
        ),
    ),
]
CODES: Final[Mapping[str, ErrorCode]] = {each.code: each for each in sorted(_EVERY, key=lambda each: each.code)}
"""Every code there is, by its text."""

FILE_RULES: Final[Mapping[str, str]] = {
    "missing": "CDM-LDZ-001",
    "csv": "CDM-LDZ-003",
    "excel": "CDM-LDZ-003",
    "parquet": "CDM-LDZ-003",
    "gzip": "CDM-LDZ-003",
    "json": "CDM-LDZ-003",
    "format": "CDM-LDZ-003",
    "encoding": "CDM-LDZ-003",
    "fields": "CDM-LDZ-003",
    "empty": "CDM-LDZ-004",
    "columns": "CDM-LDZ-005",
    "type": "CDM-LDZ-005",
    "manifest": "CDM-LDZ-006",
    "unreadable": "CDM-LDZ-007",
}
"""The code of a file that was refused, by the rule that it broke."""

ALERT_KINDS: Final[Mapping[str, str]] = {
    "missing file": "CDM-LDZ-001",
    "withdrawn file": "CDM-LDZ-002",
    "late events": "CDM-LDZ-014",
}
"""The code of each kind of alert of the landing area."""

_CHECKS: Final[Mapping[str, Mapping[str, str]]] = {
    "ldz": {
        "keys": "CDM-LDZ-012",
        "required": "CDM-LDZ-012",
        "row_count": "CDM-LDZ-013",
        "rules": "CDM-LDZ-010",
    },
    "rdv": {
        "keys": "CDM-RDV-001",
        "required": "CDM-RDV-001",
        "row_count": "CDM-RDV-002",
        "links": "CDM-RDV-003",
    },
    "itf": {"keys": "CDM-ITF-003", "required": "CDM-ITF-002", "row_count": "CDM-ITF-003"},
    "agg": {
        "keys": "CDM-AGG-002",
        "required": "CDM-AGG-002",
        "row_count": "CDM-AGG-001",
        "totals": "CDM-AGG-001",
    },
    "cs_360_db": {
        "keys": "CDM-360-001",
        "required": "CDM-360-002",
        "row_count": "CDM-360-001",
        "totals": "CDM-360-002",
    },
    "cdm_publish_db": {
        "keys": "CDM-PUB-002",
        "required": "CDM-PUB-002",
        "row_count": "CDM-PUB-002",
    },
    "metrics": {
        "keys": "CDM-MET-009",
        "required": "CDM-MET-009",
        "row_count": "CDM-MET-009",
        "totals": "CDM-MET-009",
    },
    "cdm_ingest_db": {
        "keys": "CDM-ML-001",
        "required": "CDM-ML-001",
        "row_count": "CDM-ML-001",
        "rules": "CDM-ML-001",
    },
}
_TROUBLES: Final[Mapping[str, str]] = {
    "ledger_agreement": "CDM-MET-001",
    "out_of_scale": "CDM-MET-002",
    "missing_status": "CDM-MET-003",
    "expected_events": "CDM-MET-004",
    "duplicates": "CDM-MET-005",
    "skew": "CDM-MET-006",
    "late_beyond_bound": "CDM-MET-007",
    "no_na": "CDM-MET-008",
    "coverage": "CDM-ML-002",
    "enrichment": "CDM-ML-002",
    "drift": "CDM-ML-003",
    "stale_scores": "CDM-ML-004",
}
"""Known troubles, in whatever layer they are looked for."""
_OF_MODELS: Final = re.compile(r"prediction|score")
"""In the name of a table that holds what models wrote."""
_DEFAULT: Final[Mapping[str, str]] = {
    "ldz": "CDM-LDZ-010",
    "rdv": "CDM-RDV-001",
    "itf": "CDM-ITF-003",
    "agg": "CDM-AGG-001",
    "cs_360_db": "CDM-360-002",
    "cdm_publish_db": "CDM-PUB-002",
    "metrics": "CDM-MET-009",
    "cdm_ingest_db": "CDM-ML-001",
}
"""The code of a check that has none of its own, by layer."""
_UNKNOWN: Final = "CDM-OPS-001"
_CLASS: Final = re.compile(r"(?:[A-Za-z_]\w*\.)*(?P<name>[A-Z]\w*): ")
_TOLD_BY_CHECKS: Final = re.compile(
    r"NothingToLoad: |no partition of .* could be loaded|DagsterAssetCheckFailedError|blocking checks failed"
)
_HELD_BACK: Final = re.compile(r"held back: (?P<table>\S+) check (?P<check>\S+) failed: (?P<message>.*)", re.DOTALL)
_FILE_RULE: Final = re.compile(rf"(?:^|\s|:)(?P<rule>{'|'.join(FILE_RULES)})(?: \([^)]*\))?: ")
_UNDESCRIBED: Final = re.compile(r"keys that source \S+ does not describe")
_ORPHANS: Final = re.compile(r"rows whose \S+ is not in ")
_DRIFT: Final = "files whose columns are not as declared"
_RULE_BROKEN: Final = re.compile(r"rows that break ")


@dataclass(frozen=True)
class Cause:
    """Where a failed check comes from: the table and check that failed first, what it said, and its code."""

    table_key: str
    check: str
    message: str
    code: str


def code_of_check(table_key: str, check: str, message: str) -> str:
    """The code of a failed check of `schema.table` (without environment prefix).

    A date that is held back has the code of being held back; `cause_of_check` leads to what holds it.
    """
    layer = table_key.split(".", maxsplit=1)[0]
    if message.startswith(NOT_LOADED):
        if _HELD_BACK.search(message):
            return "CDM-PUB-001" if layer == "cdm_publish_db" else "CDM-RDV-005"
        return _code_of_refusal(message)
    if check in _TROUBLES:
        return _TROUBLES[check]
    if _OF_MODELS.search(table_key):
        return "CDM-ML-001" if layer in ("ldz", "rdv", "itf", "cdm_ingest_db") else "CDM-ML-002"
    return _worded(message).get((layer, check)) or _CHECKS.get(layer, {}).get(check) or _DEFAULT.get(layer, _UNKNOWN)


def _worded(message: str) -> Mapping[tuple[str, str], str]:
    """Codes that depend on what a check found, by layer and check: a milder finding alone has one of its own."""
    drifted = _DRIFT in message and not _RULE_BROKEN.search(message)
    undescribed = _UNDESCRIBED.search(message) and not _ORPHANS.search(message)
    return {
        ("ldz", "rules"): "CDM-LDZ-011" if drifted else "CDM-LDZ-010",
        ("rdv", "links"): "CDM-RDV-004" if undescribed else "CDM-RDV-003",
    }


def cause_of_check(table_key: str, check: str, message: str) -> Cause:
    """What a failed check goes back to: itself, or the check that holds its date back."""
    held = _HELD_BACK.search(message) if message.startswith(NOT_LOADED) else None
    if held is None:
        return Cause(table_key, check, message, code_of_check(table_key, check, message))
    return cause_of_check(held["table"], held["check"], held["message"])


def known_checks(layer: str) -> frozenset[str]:
    """The names of checks that have a code of their own in a layer."""
    return frozenset(_CHECKS.get(layer, {})) | frozenset(_TROUBLES)


def code_of_file_rule(rule: str) -> str:
    """The code of a file that was refused for breaking `rule`."""
    return FILE_RULES.get(rule, "CDM-LDZ-003")


def _code_of_refusal(message: str) -> str:
    """From what a file fault says: `not loaded: <file>[:line]: <rule>[ (column)]: <reason>`."""
    found = _FILE_RULE.search(message)
    return code_of_file_rule(found["rule"]) if found else "CDM-LDZ-003"


EXCEPTIONS: Final[Mapping[str, str]] = {
    "CatalogError": "CDM-CFG-002",
    "DateNotAllowed": "CDM-OPS-013",
    "DdlFailed": "CDM-OPS-008",
    "DemoDataMissing": "CDM-CFG-003",
    "InMaintenance": "CDM-OPS-011",
    "IncompleteReport": "CDM-CFG-004",
    "LandingAreaMissing": "CDM-LDZ-008",
    "IncidentError": "CDM-CFG-003",
    "NoDatabase": "CDM-CFG-003",
    "NoPipeline": "CDM-CFG-002",
    "NotEnoughHistory": "CDM-CFG-003",
    "RecordsLost": "CDM-LDZ-013",
    "RowsNotLoaded": "CDM-LDZ-013",
    "RotaError": "CDM-CFG-002",
    "RunbooksMissing": "CDM-CFG-005",
    "SchemaMismatch": "CDM-OPS-008",
    "SettingsError": "CDM-CFG-001",
    "SourceFileError": "CDM-LDZ-015",
    "Stopped": "CDM-CFG-003",
    "TokenKeyError": "CDM-PUB-003",
    "TypeDisagrees": "CDM-CFG-004",
    "UnknownSelection": "CDM-CFG-003",
    "UnknownSource": "CDM-CFG-003",
    "UnknownVariable": "CDM-CFG-001",
    "WarehouseBusy": "CDM-OPS-007",
    "ConnectionError": "CDM-OPS-009",
    "DatabaseUnreachable": "CDM-OPS-009",
    "EngineMissing": "CDM-CFG-003",
    "TimeoutError": "CDM-OPS-009",
    "MemoryError": "CDM-OPS-010",
}
"""By the exception's name, or that of a class above it. FileFault and NothingToLoad say more and are asked for it."""
_MESSAGES: Final[Sequence[tuple[re.Pattern[str], str]]] = [
    (re.compile(r"process of this run is gone"), "CDM-OPS-002"),
    (re.compile(r"out ?of ?memory|could not allocate|no space left|disk full", re.IGNORECASE), "CDM-OPS-010"),
    (re.compile(r"is in use by another process"), "CDM-OPS-007"),
    (re.compile(r"the database does not match the catalog"), "CDM-OPS-008"),
    (re.compile(r"landing area .*(does not exist|cannot be listed|no folder|not reach)"), "CDM-LDZ-008"),
]
"""What is known by its words, where the exception is of a library."""
_VIEW: Final = re.compile(r"\b\w+_current\b")
_ABSENT: Final = re.compile(
    r"binder error|catalog error|does not (exist|have a column)|undefined (column|table)|invalid (identifier|column)"
    r"|unknown column|no such (column|table)|not found in FROM clause",
    re.IGNORECASE,
)
_CONSTRAINT: Final = re.compile(r"constraint|duplicate key|not null|unique", re.IGNORECASE)
_CONVERSION: Final = re.compile(
    r"conversion error|could not (convert|cast)|invalid input|out of range|overflow", re.IGNORECASE
)
_STATEMENTS: Final[Mapping[str, tuple[str, str, str]]] = {
    "ldz": ("CDM-OPS-008", "CDM-LDZ-012", "CDM-LDZ-003"),
    "rdv": ("CDM-OPS-008", "CDM-RDV-001", "CDM-RDV-001"),
    "itf": ("CDM-ITF-001", "CDM-ITF-003", "CDM-ITF-003"),
    "agg": ("CDM-AGG-001", "CDM-AGG-002", "CDM-AGG-001"),
    "cs_360_db": ("CDM-360-001", "CDM-360-001", "CDM-360-002"),
    "cdm_publish_db": ("CDM-PUB-002", "CDM-PUB-002", "CDM-PUB-002"),
    "metrics": ("CDM-MET-009", "CDM-MET-009", "CDM-MET-009"),
    "cdm_ingest_db": ("CDM-ML-001", "CDM-ML-001", "CDM-ML-001"),
}
"""A failed statement's code by layer: what it names is not there, a constraint is broken, a value does not convert."""


def code_of_exception(fault: BaseException | str, message: str = "", *, table_key: str = "") -> str:
    """The code of an exception, or of the name of its class and its message; `table_key`: while loading that table."""
    if isinstance(fault, str):
        return _code_of_names([fault], message, table_key)
    seen: BaseException | None = fault
    while seen is not None:
        code = _code_of_one(seen, table_key)
        if code is not None:
            return code
        seen = seen.__cause__ or seen.__context__
    return _UNKNOWN


def code_of_error_text(text: str, *, table_key: str = "") -> str:
    """The code of an exception as Dagster writes it: `package.module.Class: message`."""
    named = _CLASS.match(text)
    return code_of_exception(
        named["name"] if named else "", text[named.end() :] if named else text, table_key=table_key
    )


def is_told_by_checks(text: str) -> bool:
    """Whether an error says no more than that checks failed or files were refused, which the checks tell better."""
    return _TOLD_BY_CHECKS.search(text) is not None


def _code_of_one(fault: BaseException, table_key: str) -> str | None:
    """The code of an exception, not looking at what caused it."""
    if isinstance(fault, FileFault):
        return code_of_file_rule(fault.rule)
    own = getattr(fault, "error_code", None)
    if isinstance(own, str) and own in CODES:
        return own
    code = _code_of_names([each.__name__ for each in type(fault).__mro__], str(fault), table_key)
    if code != _UNKNOWN:
        return code
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return "CDM-OPS-010"
    return "CDM-OPS-009" if isinstance(fault, sa.exc.DBAPIError) and is_transient(fault) else None


def _code_of_names(names: Sequence[str], message: str, table_key: str) -> str:
    if "NothingToLoad" in names or ("Failure" in names and "could be loaded" in message):
        return _code_of_nothing_loaded(message, table_key)
    if "FileFault" in names:
        return _code_of_refusal(message)
    known = next((EXCEPTIONS[name] for name in names if name in EXCEPTIONS), None)
    if known is not None:
        return known
    worded = next((code for pattern, code in _MESSAGES if pattern.search(message)), None)
    return worded or _code_of_statement(message, table_key) or _UNKNOWN


def _code_of_nothing_loaded(message: str, table_key: str) -> str:
    """By the first date's reason, in the lines after the first."""
    _, _, reasons = message.partition("\n")
    key = table_key or message.partition(":")[0]
    return cause_of_check(key, "keys", f"{NOT_LOADED}: {reasons.strip()}").code


def _code_of_statement(message: str, table_key: str) -> str | None:
    layer = table_key.split(".", maxsplit=1)[0]
    if _VIEW.search(message) and _ABSENT.search(message):
        return "CDM-360-003"
    if layer not in _STATEMENTS:
        return "CDM-ITF-001" if _ABSENT.search(message) else None
    for pattern, code in zip((_ABSENT, _CONSTRAINT, _CONVERSION), _STATEMENTS[layer], strict=True):
        if pattern.search(message):
            return code
    return None


def told(code: str) -> str:
    """The code and the command that prints its section, for the end of a message."""
    return f"({code}; cdm runbook {code})"


def with_codes(report: LoadReport) -> LoadReport:
    """The report with code and runbook among the findings of each check that did not pass."""
    return replace(report, checks=outcomes_with_codes(report.table, report.checks))


def outcomes_with_codes(table_key: str, outcomes: Sequence[CheckOutcome]) -> list[CheckOutcome]:
    """Check results of a table; those that did not pass name their code and its runbook's section."""
    return [outcome if outcome.passed else _coded(table_key, outcome) for outcome in outcomes]


def _coded(table_key: str, outcome: CheckOutcome) -> CheckOutcome:
    message = "; ".join(f"{text}: {count}" for text, count in outcome.metadata.items() if count != 0)
    code = CODES[code_of_check(table_key, outcome.check, message)]
    return replace(outcome, metadata={**outcome.metadata, "code": code.code, "runbook": code.link})
