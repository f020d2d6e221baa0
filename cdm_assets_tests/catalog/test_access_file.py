"""access.yaml: the roles that ship, what a site adds, and each mistake with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdm_assets.catalog.access import ACCESS_FILE, Right
from cdm_assets.catalog.reading import CANONICAL, CatalogError, read_catalog
from cdm_assets.catalog.types import Layer, PiiClass

SHIPPED = (CANONICAL / ACCESS_FILE).read_text(encoding="utf-8")
AUDITOR = """
roles:
  auditor:
    description: Auditors.
    withheld: [sensitive]
    rights:
      cdp_metadata: [select]
"""


def test_five_roles_ship_and_keep_their_promises() -> None:
    roles = read_catalog().roles
    assert list(roles) == ["cdm_viewer", "cdm_operator", "cdm_engineer", "cdm_admin", "cdm_model"]
    assert dict(roles["cdm_viewer"].rights) == {Layer.PUBLISH: (Right.SELECT,)}
    assert set(roles["cdm_viewer"].withheld) == {PiiClass.DIRECT, PiiClass.SENSITIVE}
    assert roles["cdm_model"].writes == {Layer.INGEST}
    assert Layer.PUBLISH not in roles["cdm_engineer"].writes
    assert roles["cdm_admin"].writes == set(Layer)


def test_a_site_adds_roles_and_replaces_those_of_the_same_name(tmp_path: Path) -> None:
    operator = AUDITOR + AUDITOR.replace("roles:\n", "").replace("auditor", "cdm_operator")
    (tmp_path / ACCESS_FILE).write_text(operator, encoding="utf-8")
    roles = read_catalog(tmp_path).roles
    assert list(roles)[-1] == "auditor"
    assert roles["cdm_operator"].description == "Auditors."
    assert "cdm_viewer" in roles


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[direct, sensitive]", "[direct]", "cdm_viewer must have `withheld: [direct, sensitive]`"),
        ("cdm_publish_db: [select]\n", "cdm_publish_db: [select, insert]\n", "cdm_viewer may only have"),
        ("cdm_publish_db: [select]\n", "cdm_publish_db: [select]\n      rdv: [select]\n", "cdm_viewer may only have"),
        ("withheld: [direct", "withheld: [none, direct", "access.yaml:7: roles.cdm_viewer: withheld names `none`"),
        ("agg: [select]", "agg: [insert]", "access.yaml:12: roles.cdm_operator: rights.agg lacks `select`"),
        ("agg: [select]", "agg: [read]", "access.yaml:16: roles.cdm_operator.rights.agg.0: Input should be 'select'"),
        (
            "agg: [select]",
            "aggregate: [select]",
            "access.yaml:16: roles.cdm_operator.rights.aggregate: Input should be",
        ),
        ("  cdm_operator:", "  cdm-operator:", "expected a name of lower-case letters, digits and _"),
        ("withheld: [direct", "witheld: [direct", "roles.cdm_viewer.witheld: unknown key; did you mean 'withheld'?"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SHIPPED
    (tmp_path / ACCESS_FILE).write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogError) as raised:
        read_catalog(tmp_path)
    lines = [str(fault).removeprefix(f"{tmp_path}/") for fault in raised.value.faults]
    assert any(expected in line for line in lines), lines


def test_models_may_write_nothing_but_what_they_hand_in(tmp_path: Path) -> None:
    model = SHIPPED.rindex("cdm_publish_db: [select]")
    text = SHIPPED[:model] + "cdm_publish_db: [select, insert]" + SHIPPED[model + len("cdm_publish_db: [select]") :]
    (tmp_path / ACCESS_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError, match="cdm_model may write cdm_ingest_db only"):
        read_catalog(tmp_path)
