"""Maintenance windows are read from `maintenance.yaml`; every mistake is told with file, line and expectation."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import cdm_assets
from cdm_assets.catalog.reading import CANONICAL, CatalogError, read_catalog
from cdm_assets_tests.small_site import SOURCES, write_catalog

WINDOWS = """\
windows:
  data_mart_release:
    system: data_mart
    cron: "0 2 * * SUN"
    minutes: 120
    time_zone: Europe/Berlin
    description: Weekly release of the marketing data mart.
"""

Faults = Callable[[str], list[str]]


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A small catalog whose sources are of the systems data_mart and, one of them, shop."""
    sources = dict(SOURCES) | {"product": f"{SOURCES['product']}system: shop\n"}
    return write_catalog(tmp_path / "shipped", sources)


@pytest.fixture
def faults(shipped: Path) -> Faults:
    """Reads a text as the catalog's maintenance.yaml and gives the mistakes, the folder's name cut off."""

    def of(text: str) -> list[str]:
        (shipped / "maintenance.yaml").write_text(text)
        with pytest.raises(CatalogError) as error:
            read_catalog(shipped=shipped)
        return [str(fault).removeprefix(f"{shipped}/") for fault in error.value.faults]

    return of


def test_a_window_is_read(shipped: Path) -> None:
    (shipped / "maintenance.yaml").write_text(WINDOWS)
    window = read_catalog(shipped=shipped).maintenance["data_mart_release"]
    assert (window.system, window.cron, window.minutes) == ("data_mart", "0 2 * * SUN", 120)
    assert (window.time_zone, window.description) == ("Europe/Berlin", "Weekly release of the marketing data mart.")


@pytest.mark.parametrize("system", ["data_mart", "shop", "warehouse"])
def test_a_window_is_of_a_system_of_sources_or_of_the_warehouse_and_in_utc(shipped: Path, system: str) -> None:
    text = f'windows:\n  month_end: {{system: {system}, cron: "0 2 L * *", minutes: 10080}}\n'
    (shipped / "maintenance.yaml").write_text(text)
    window = read_catalog(shipped=shipped).maintenance["month_end"]
    assert (window.system, window.time_zone) == (system, "UTC")


def test_a_catalog_needs_no_maintenance_file(shipped: Path) -> None:
    assert read_catalog(shipped=shipped).maintenance == {}


def test_the_shipped_catalog_has_the_file_with_an_example_that_can_be_used(tmp_path: Path) -> None:
    assert read_catalog().maintenance == {}
    lines = (CANONICAL / "maintenance.yaml").read_text().splitlines()
    example = lines[lines.index("# windows:") : lines.index("windows: {}")]
    (tmp_path / "maintenance.yaml").write_text("\n".join(line.removeprefix("# ") for line in example))
    assert list(read_catalog(tmp_path).maintenance) == ["data_mart_release"]


def test_the_file_is_among_those_that_are_packaged() -> None:
    package = Path(cdm_assets.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    globs = project["tool"]["setuptools"]["package-data"]["cdm_assets"]
    assert CANONICAL / "maintenance.yaml" in {path for glob in globs for path in package.glob(glob)}


def test_the_windows_of_an_overlay_are_added_or_replace_those_of_the_same_name(shipped: Path, tmp_path: Path) -> None:
    night = 'night: {system: warehouse, cron: "0 1 * * *", minutes: 30}'
    (shipped / "maintenance.yaml").write_text(f"{WINDOWS}  {night}\n")
    (tmp_path / "overlay").mkdir()
    shop = 'shop_release: {system: shop, cron: "0 3 * * *", minutes: 5}'
    changed = WINDOWS.replace("120", "45").replace("    time_zone: Europe/Berlin\n", "")
    (tmp_path / "overlay" / "maintenance.yaml").write_text(f"{changed}  {shop}\n")
    windows = read_catalog(tmp_path / "overlay", shipped=shipped).maintenance
    assert list(windows) == ["data_mart_release", "night", "shop_release"]
    assert (windows["data_mart_release"].minutes, windows["data_mart_release"].time_zone) == (45, "UTC")
    assert windows["night"].minutes == 30


def test_a_window_may_be_of_a_system_that_only_the_overlay_has(shipped: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "sources").mkdir(parents=True)
    (overlay / "sources" / "customer.yaml").write_text(f"{SOURCES['customer']}system: crm\n")
    (overlay / "maintenance.yaml").write_text(WINDOWS.replace("data_mart\n", "crm\n"))
    assert read_catalog(overlay, shipped=shipped).maintenance["data_mart_release"].system == "crm"


def test_a_mistake_in_an_overlay_names_the_overlays_file(shipped: Path, tmp_path: Path) -> None:
    (shipped / "maintenance.yaml").write_text(WINDOWS)
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "maintenance.yaml").write_text(WINDOWS.replace("data_mart\n", "mart\n"))
    with pytest.raises(CatalogError, match=rf"{re.escape(str(tmp_path))}/overlay/maintenance\.yaml:3: windows\."):
        read_catalog(tmp_path / "overlay", shipped=shipped)


_FIELDS = "expected minute, hour, day of the month, month and day of the week, such as 0 2 * * SUN"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0 2 * * SUN", "0 2 * *", f"4: windows.data_mart_release.cron: not a cron of five fields; {_FIELDS} (found"),
        ("0 2 * * SUN", "0 0 2 * * SUN", "4: windows.data_mart_release.cron: not a cron of five fields; expected min"),
        ('"0 2 * * SUN"', "", "4: windows.data_mart_release.cron: Input should be a valid string (found None)"),
        (
            "0 2 * * SUN",
            "0 25 * * SUN",
            f"4: windows.data_mart_release.cron: bad hour; {_FIELDS} (found '0 25 * * SUN')",
        ),
        ("0 2 * * SUN", "0 2 * * SUNDAY", f"4: windows.data_mart_release.cron: bad day-of-week; {_FIELDS} (found"),
        ("0 2 * * SUN", "0 2 30 2 *", "4: windows.data_mart_release.cron: bad day-of-month; expected minute, hour"),
        (
            "0 2 * * SUN",
            "0 0 */20 * 1#2",
            "2: windows.data_mart_release: cron '0 0 */20 * 1#2' never begins; expected a time that comes",
        ),
        ("120", "0", "5: windows.data_mart_release.minutes: expected 1 to 10080 minutes, which is a week (found 0)"),
        ("120", "-5", "5: windows.data_mart_release.minutes: expected 1 to 10080 minutes, which is a week (found -5)"),
        ("120", "10081", "5: windows.data_mart_release.minutes: expected 1 to 10080 minutes, which is a week (found"),
        ("120", "1.5", "5: windows.data_mart_release.minutes: Input should be a valid integer (found 1.5)"),
        ("120", "two", "5: windows.data_mart_release.minutes: Input should be a valid integer (found 'two')"),
        ("120", "true", "5: windows.data_mart_release.minutes: Input should be a valid integer (found True)"),
        (
            '0 2 * * SUN"\n    minutes: 120',
            '0 * * * *"\n    minutes: 90',
            "(minutes: 90), for more than 92 days without a break; expected a window that ends",
        ),
        (
            "120",
            "10080",
            "2: windows.data_mart_release: cron '0 2 * * SUN' begins it again before it is over (minutes: 10080)",
        ),
        (
            "Europe/Berlin",
            "Europe/Berln",
            "6: windows.data_mart_release.time_zone: unknown time zone; did you mean 'Europe/Berlin'? (found",
        ),
        ("Europe/Berlin", "Europe", "6: windows.data_mart_release.time_zone: unknown time zone; "),
        ("Europe/Berlin", "/etc/passwd", "6: windows.data_mart_release.time_zone: unknown time zone; expected a name"),
        ("Europe/Berlin", "+02:00", "6: windows.data_mart_release.time_zone: unknown time zone; expected a name such"),
        (
            "data_mart\n",
            "datamart\n",
            "3: windows.data_mart_release.system: unknown system 'datamart'; did you mean 'data_mart'?",
        ),
        (
            "data_mart\n",
            "everything\n",
            "3: windows.data_mart_release.system: unknown system 'everything'; known are data_mart, shop, warehouse",
        ),
        ("system: data_mart", "system: 7", "3: windows.data_mart_release.system: Input should be a valid string"),
        ("minutes: 120", "hours: 2", "5: windows.data_mart_release.hours: unknown key; known are cron, description"),
        ("minutes: 120", "minuts: 120", "5: windows.data_mart_release.minuts: unknown key; did you mean 'minutes'?"),
        ("    minutes: 120\n", "", "2: windows.data_mart_release.minutes: required key is missing"),
        ("data_mart_release:", "Release:", "2: windows.Release: expected a name of lower-case letters, digits and _"),
        ("windows:", "window:", "1: window: unknown key; did you mean 'windows'?"),
        ("windows:", "more: 1\nwindows:", "1: more: unknown key; known are windows"),
        ("windows:\n", "windows:\n  -\n", "not valid YAML"),
        (WINDOWS, "windows:\n", "1: windows: Input should be a valid dictionary (found None)"),
        (WINDOWS, "# nothing yet\n", "1: expected a mapping of keys to values"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_expectation(faults: Faults, old: str, new: str, expected: str) -> None:
    assert WINDOWS.count(old) == 1
    lines = faults(WINDOWS.replace(old, new))
    start = "maintenance.yaml:" + (expected if expected[0].isdigit() else "")
    assert any(line.startswith(start) and expected in line for line in lines), lines


def test_mistakes_of_all_windows_are_told_at_once_in_the_order_of_lines(faults: Faults) -> None:
    text = WINDOWS.replace("0 2 *", "0 25 *").replace("120", "0").replace("Berlin", "Berln")
    lines = faults(f'{text}  night: {{system: shops, cron: "0 1 * * *", minutes: 30}}\n')
    assert [line.split(": ")[1] for line in lines] == [
        *(f"windows.data_mart_release.{key}" for key in ("cron", "minutes", "time_zone")),
        "windows.night.system",
    ]
    assert [line.split(": ")[0].removeprefix("maintenance.yaml:") for line in lines] == ["4", "5", "6", "8"]


def test_the_system_of_a_source_that_cannot_be_read_is_not_called_unknown(shipped: Path, faults: Faults) -> None:
    product = shipped / "sources" / "product.yaml"
    product.write_text(product.read_text().replace("delivery: delta", "delivery: deltas"))
    lines = faults(WINDOWS.replace("data_mart\n", "shop\n"))
    assert [line.split(":")[0] for line in lines] == ["sources/product.yaml"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("maintenance.yml", "rename it to end in .yaml; .yml files are not read"),
        ("maintainance.yaml", "not read; expected vault.yaml, or a file in sources, interface, marts"),
    ],
)
def test_a_file_of_another_name_is_not_passed_over(shipped: Path, file: str, message: str) -> None:
    (shipped / file).write_text(WINDOWS)
    with pytest.raises(CatalogError, match=re.escape(f"{shipped}/{file}: {message}")):
        read_catalog(shipped=shipped)
