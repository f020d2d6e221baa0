"""Files that the platform itself writes into the landing area."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdm_assets.warehouse.landing_area import LandingArea, LandingAreaMissing


def test_a_file_appears_whole_and_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    area = LandingArea(tmp_path / "landing", tmp_path / "archive")
    area.put("a/b/file.csv", b"one")
    first = area.stamp_of("a/b/file.csv")
    area.put("a/b/file.csv", b"two!")
    assert area.read("a/b/file.csv") == b"two!"
    assert area.stamp_of("a/b/file.csv") != first
    assert list(area.listing()) == ["a/b/file.csv"], "nothing else is left"


def test_nothing_is_written_where_there_is_no_landing_area(tmp_path: Path) -> None:
    area = LandingArea(tmp_path / "nowhere", tmp_path / "archive")
    with pytest.raises(LandingAreaMissing):
        area.put("file.csv", b"one")
    assert not (tmp_path / "nowhere").exists()


def test_an_object_store_is_written_to_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LandingArea, "shows_only_whole_files", True)
    area = LandingArea("memory://landing-put", Path("unused"))
    file_system, root = area._opened
    file_system.makedirs(root, exist_ok=True)
    area.put("day/file.csv", b"one")
    area.put("day/file.csv", b"two")
    assert area.read("day/file.csv") == b"two"
    assert list(area.listing()) == ["day/file.csv"]
