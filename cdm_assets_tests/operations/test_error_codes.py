"""Everything that can go wrong has a code, and every code a section that says what to do."""

from __future__ import annotations

import ast
import errno
import gzip
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import cdm_assets
from cdm_assets.command_errors import Stopped
from cdm_assets.loading.report import CheckOutcome
from cdm_assets.operations.alerts import AlertKind
from cdm_assets.operations.error_codes import (
    ALERT_KINDS,
    CODES,
    EXCEPTIONS,
    FILE_RULES,
    cause_of_check,
    code_of_check,
    code_of_error_text,
    code_of_exception,
    is_told_by_checks,
    known_checks,
    outcomes_with_codes,
)
from cdm_assets.orchestration.code_location import table_loads
from cdm_assets.settings import Settings
from cdm_assets.warehouse.engine import Warehouse
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets_tests.small_site import DAY, Site

PACKAGE = Path(inspect.getfile(cdm_assets)).parent
SAYS_MORE = {"FileFault", "NothingToLoad"}
"""Exceptions whose code depends on what they say."""


def modules() -> Iterator[Path]:
    return PACKAGE.rglob("*.py")


def exception_classes() -> Iterator[type[BaseException]]:
    for found in pkgutil.walk_packages(cdm_assets.__path__, "cdm_assets."):
        if found.name.endswith(("__main__", ".definitions")):
            continue
        module = importlib.import_module(found.name)
        for _, value in inspect.getmembers(module, inspect.isclass):
            is_public = not value.__name__.startswith("_")
            if issubclass(value, Exception) and value.__module__ == found.name and is_public:
                yield value


def _constant(path: Path, name: str) -> object:
    dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return getattr(importlib.import_module(dotted), name, None)


def test_every_exception_of_ours_has_a_code() -> None:
    classes = set(exception_classes())
    assert {cls.__name__ for cls in classes} >= {"FileFault", "WarehouseBusy", "Stopped", "CatalogError"}
    without = [c for c in classes if not {m.__name__ for m in c.__mro__} & (EXCEPTIONS.keys() | SAYS_MORE)]
    assert without == []
    assert set(EXCEPTIONS.values()) <= CODES.keys()


def test_every_rule_by_which_a_file_is_refused_has_a_code() -> None:
    rules = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "FileFault":
                rule = node.args[1]
                value = rule.value if isinstance(rule, ast.Constant) else _constant(path, ast.unparse(rule))
                assert isinstance(value, str), f"{path}:{node.lineno}: a rule that is no plain text"
                rules.add(value)
    assert {"missing", "manifest", "excel"} <= rules <= FILE_RULES.keys()


def test_every_kind_of_alert_has_a_code() -> None:
    assert set(ALERT_KINDS) == set(AlertKind)


def test_every_check_of_every_table_has_a_code_of_its_own() -> None:
    loads = table_loads(Settings.from_environment({"CDM_HOME": "/nowhere"}))
    checks = {(key, name) for key in loads.in_order for name in loads.checks[key].names}
    assert len(checks) > 100
    without = {(key.split(".")[0], name) for key, name in checks if name not in known_checks(key.split(".")[0])}
    assert without == set()
    assert {code_of_check(key, name, "") for key, name in checks} <= CODES.keys()


@pytest.mark.parametrize(
    ("table", "check", "message", "code"),
    [
        ("ldz.ldz_a", "keys", "not loaded: 2024/a.csv: missing: no file of source a for 2024-03-01", "CDM-LDZ-001"),
        ("ldz.ldz_a", "keys", "not loaded: a.csv:7: csv: a quote opens in this record", "CDM-LDZ-003"),
        ("ldz.ldz_a", "keys", "not loaded: a.csv.gz: gzip: the gzip stream is truncated", "CDM-LDZ-003"),
        ("ldz.ldz_a", "keys", "not loaded: a.csv:1: empty: the file has no bytes", "CDM-LDZ-004"),
        ("ldz.ldz_a", "keys", "not loaded: a.csv:1: columns (name): removed: name", "CDM-LDZ-005"),
        ("ldz.ldz_a", "keys", "not loaded: a.csv: manifest: expected sha256 1 as it says, found 2", "CDM-LDZ-006"),
        ("ldz.ldz_a", "keys", "not loaded: a.csv: unreadable: [Errno 13] Permission denied", "CDM-LDZ-007"),
        ("ldz.ldz_a", "keys", "rows that repeat the key of another: 2", "CDM-LDZ-012"),
        ("ldz.ldz_a", "rules", "rows that break range:price (expected 0): 3", "CDM-LDZ-010"),
        ("ldz.ldz_a", "rules", "files whose columns are not as declared: 1 (added: x)", "CDM-LDZ-011"),
        (
            "ldz.ldz_a",
            "rules",
            "rows that break range:price (expected 0): 3; files whose columns are not as declared: 1 (added: x)",
            "CDM-LDZ-010",
        ),
        ("rdv.h_a", "keys", "rows whose key stands in the table more than once: 2", "CDM-RDV-001"),
        ("rdv.h_a", "row_count", "keys that sources sent and the table lacks: 1", "CDM-RDV-002"),
        ("rdv.l_a", "links", "rows whose b is not in h_b: 4", "CDM-RDV-003"),
        ("rdv.l_a", "links", "b keys that source b does not describe: 4 (B1)", "CDM-RDV-004"),
        (
            "rdv.l_a",
            "links",
            "rows whose b is not in h_b: 4; b keys that source b does not describe: 4 (B1)",
            "CDM-RDV-003",
        ),
        ("rdv.s_a", "keys", "not loaded: held back: ldz.ldz_a check rules failed: rows", "CDM-RDV-005"),
        ("cdm_publish_db.a", "keys", "not loaded: held back: ldz.ldz_a check rules failed: rows", "CDM-PUB-001"),
        ("itf.a", "required", "rows without name: 1", "CDM-ITF-002"),
        ("agg.a", "totals", "sum of x - y in the vault: 1", "CDM-AGG-001"),
        ("cs_360_db.a", "row_count", "rows of itf.a - rows of a: 2", "CDM-360-001"),
        ("cs_360_db.a", "totals", "sum of x - y in the vault: 1", "CDM-360-002"),
        ("metrics.profit_aggregate", "ledger_agreement", "", "CDM-MET-001"),
        ("cdm_publish_db.investor_summary", "no_na", "", "CDM-MET-008"),
        ("ldz.ldz_prediction_table", "rules", "rows that break known_model", "CDM-ML-001"),
        ("agg.score_day", "coverage", "", "CDM-ML-002"),
        ("agg.score_day", "drift", "", "CDM-ML-003"),
    ],
)
def test_a_failed_check_has_the_code_of_what_it_found(table: str, check: str, message: str, code: str) -> None:
    assert code_of_check(table, check, message) == code


def test_a_date_held_back_goes_back_to_the_check_that_holds_it() -> None:
    cause = cause_of_check(
        "cdm_publish_db.customer_360",
        "keys",
        "not loaded: held back: ldz.ldz_a check keys failed: not loaded: 2024/a.csv: missing: no file of source a",
    )
    assert (cause.table_key, cause.check, cause.code) == ("ldz.ldz_a", "keys", "CDM-LDZ-001")
    assert cause.message == "not loaded: 2024/a.csv: missing: no file of source a"


def error_of(statement: str, *more: str) -> sa.exc.DBAPIError:
    """What DuckDB really says."""
    engine = sa.create_engine("duckdb:///:memory:")
    with engine.connect() as connection:
        for each in more:
            connection.exec_driver_sql(each)
        with pytest.raises(sa.exc.DBAPIError) as error:
            connection.exec_driver_sql(statement)
    return error.value


@pytest.mark.parametrize(
    ("statement", "table", "code"),
    [
        ("select no_such from t", "itf.customer", "CDM-ITF-001"),
        ("select * from no_such_table", "itf.customer", "CDM-ITF-001"),
        ("select cast(word as integer) from t", "itf.customer", "CDM-ITF-003"),
        ("select cast(word as integer) from t", "agg.customer_day", "CDM-AGG-001"),
        ("insert into t values (1, 'again')", "rdv.h_customer", "CDM-RDV-001"),
        ("select no_such from t", "cs_360_db.customer_360", "CDM-360-001"),
        ("select * from cdm_publish_db_customer_360_current", "", "CDM-360-003"),
    ],
)
def test_a_failed_statement_has_the_code_of_its_layer(statement: str, table: str, code: str) -> None:
    fault = error_of(statement, "create table t (id integer primary key, word text)", "insert into t values (1, 'x')")
    assert code_of_exception(fault, table_key=table) == code
    text = f"sqlalchemy.exc.ProgrammingError: {fault}"
    assert code_of_error_text(text, table_key=table) == code, "the same from the text that a run keeps"


def test_an_exception_has_a_code_by_its_class_what_it_says_or_what_caused_it(tmp_path: Path) -> None:
    with Warehouse.open_duckdb(None, table_loads(Settings.from_environment({"CDM_HOME": str(tmp_path)})).tables):
        pass
    assert code_of_exception(FileFault("a.csv", "manifest", "no")) == "CDM-LDZ-006"
    assert code_of_exception(Stopped("no", code="CDM-CFG-005")) == "CDM-CFG-005"
    assert code_of_exception(ConnectionRefusedError("no")) == "CDM-OPS-009"
    assert code_of_exception(OSError(errno.ENOSPC, "full")) == "CDM-OPS-010"
    assert code_of_exception(ValueError("what?")) == "CDM-OPS-001"
    caused = RuntimeError("the step failed")
    caused.__cause__ = TimeoutError("no answer")
    assert code_of_exception(caused) == "CDM-OPS-009"
    killed = "The process of this run is gone (killed or crashed); its committed tables stand."
    assert code_of_error_text(killed) == "CDM-OPS-002"
    assert code_of_error_text("duckdb.duckdb.OutOfMemoryException: Out of Memory Error: failed") == "CDM-OPS-010"
    nothing = "cdm_assets.loading.table_loads.NothingToLoad: ldz.ldz_a: no partition of 2024-03-01 could be loaded\n"
    refused = f"{nothing}  2024-03-01: a.csv: missing: no file"
    assert code_of_error_text(refused) == "CDM-LDZ-001"
    assert is_told_by_checks(refused)
    assert not is_told_by_checks("builtins.ValueError: what?")


def test_only_checks_that_did_not_pass_name_code_and_runbook() -> None:
    outcomes = [
        CheckOutcome("keys", DAY, True, False, "error", {"rows that repeat the key of another": 0}),
        CheckOutcome("rules", DAY, False, True, "error", {"rows that break range:price": 3, "others": 0}),
    ]
    passed, failed = outcomes_with_codes("ldz.ldz_a", outcomes)
    assert passed == outcomes[0]
    assert failed.metadata["code"] == "CDM-LDZ-010"
    assert failed.metadata["runbook"] == "runbooks/2_failure_handling.md#cdm-ldz-010"


HEADER = "product_id,label,price\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "CDM-LDZ-001"),
        (b"not gzip at all", "CDM-LDZ-003"),
        (gzip.compress(f'{HEADER}P1,"one,1\nP2,two,2\n'.encode(), mtime=0), "CDM-LDZ-003"),
        (b"", "CDM-LDZ-004"),
        (gzip.compress(b"", mtime=0), "CDM-LDZ-004"),
        (gzip.compress(b"label,price\none,1\n", mtime=0), "CDM-LDZ-005"),
        (gzip.compress((HEADER + "".join(f"P{n},one,cheap\n" for n in range(40))).encode(), mtime=0), "CDM-LDZ-005"),
        ("promised otherwise", "CDM-LDZ-006"),
    ],
    ids=["missing", "no gzip", "open quote", "no bytes", "nothing in it", "no key", "retyped", "manifest"],
)
def test_each_fault_of_a_file_that_is_really_loaded_has_its_code(
    site: Site, content: bytes | str | None, code: str
) -> None:
    """What the load says is found again from the exception, from its text, and from the check that keeps it."""
    path = site.path("product")
    if content == "promised otherwise":
        site.land("product", [{"product_id": "P1", "label": "one", "price": "1"}])
        site.promise("product", sha256="0" * 64)
    elif content is None:
        site.promise("product")
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    fault = site.load("product").file_faults[DAY]
    assert code_of_exception(fault) == code
    assert code_of_error_text(f"cdm_assets.warehouse.file_faults.FileFault: {fault}") == code
    assert code_of_check("ldz.ldz_product", "keys", f"not loaded: {fault}") == code
