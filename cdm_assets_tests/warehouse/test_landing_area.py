"""The landing area and its archive, the same over a local folder, memory and S3 (a real API, served by moto)."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any, Self

import pytest
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from cdm_assets.catalog.model import Source
from cdm_assets.catalog.reading import CANONICAL, read_catalog
from cdm_assets.loading.landing_register import LIVE
from cdm_assets.warehouse.file_faults import FileFault
from cdm_assets.warehouse.landing_area import (
    MANIFEST_NAME,
    Content,
    FileNames,
    LandingArea,
    LandingAreaMissing,
    archived_name,
    file_name_of,
    manifest_of,
)
from cdm_assets.warehouse.landing_files import manifest_entries
from cdm_assets.warehouse.transient import is_transient
from cdm_assets_tests.small_site import DAY, Site, day

NAME = "2024-03-01/customer.csv"
MANIFEST = f"2024-03-01/{MANIFEST_NAME}"
PLACE = ("customer", DAY)


class Remote:
    """A landing area and the file system that a sender writes it with."""

    def __init__(self, url: str, archive: Path) -> None:
        self.area = LandingArea(url, archive)
        self.url = url
        self.files: AbstractFileSystem
        self.files, self.root = url_to_fs(url)

    def put(self, name: str, content: bytes) -> None:
        self.files.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
        self.files.pipe_file(f"{self.root}/{name}", content)

    def remove(self, name: str) -> None:
        self.files.rm_file(f"{self.root}/{name}")

    def archived_files(self) -> list[str]:
        archive = self.area.archive
        return sorted(str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The endpoint of an empty S3, told the way a site would tell it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        S3FileSystem.clear_instance_cache()
        yield f"http://{host}:{port}"
    S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["local", "memory", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    match request.param:
        case "local":
            (tmp_path / "landing").mkdir()
            yield Remote(str(tmp_path / "landing"), tmp_path / "archive")
        case "memory":
            MemoryFileSystem.store.clear()
            MemoryFileSystem.pseudo_dirs[:] = [""]
            yield Remote("memory://site/landing", tmp_path / "archive")
            MemoryFileSystem.store.clear()
            MemoryFileSystem.pseudo_dirs[:] = [""]
        case _:
            request.getfixturevalue("s3")
            files = S3FileSystem()
            files.mkdir("site")
            yield Remote("s3://site/landing", tmp_path / "archive")
            files.invalidate_cache()
            files.rm("site", recursive=True)


@pytest.fixture
def local(tmp_path: Path) -> Remote:
    (tmp_path / "landing").mkdir()
    return Remote(str(tmp_path / "landing"), tmp_path / "archive")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_listing_names_every_file_relative_to_the_root(remote: Remote) -> None:
    for name in (NAME, MANIFEST, "2024-03-02/customer.csv", "purchases/2024-03-01.csv", "note.txt", "a/b/c/d.csv"):
        remote.put(name, name.encode())
    listing = remote.area.listing()
    assert sorted(listing) == sorted(
        [NAME, MANIFEST, "2024-03-02/customer.csv", "purchases/2024-03-01.csv", "note.txt", "a/b/c/d.csv"]
    )
    assert {name: stamp.size_bytes for name, stamp in listing.items()} == {name: len(name) for name in listing}


def test_a_folder_beside_the_root_whose_name_begins_alike_is_not_listed(remote: Remote) -> None:
    remote.put(NAME, b"a")
    remote.files.makedirs(f"{remote.root}2/2024-03-01", exist_ok=True)
    remote.files.pipe_file(f"{remote.root}2/2024-03-01/product.csv", b"b")
    assert list(remote.area.listing()) == [NAME]


def test_the_root_may_end_with_a_slash(remote: Remote) -> None:
    remote.put(NAME, b"a")
    assert list(LandingArea(f"{remote.url}/", remote.area.archive).listing()) == [NAME]


def test_names_with_spaces_and_other_letters_are_listed_and_fetched(remote: Remote) -> None:
    name = "2024-03-01/Kunden (neu) + 100 % ä#?.csv"
    remote.put(name, b"a")
    assert list(remote.area.listing()) == [name]
    content = remote.area.fetch(name, PLACE)
    assert content is not None
    assert content.path.name == archived_name(name, sha256(b"a"))


def test_asked_for_one_by_one_or_listed_a_file_has_the_same_stamp(remote: Remote) -> None:
    for name in (NAME, MANIFEST, "2024-03-02/customer.csv"):
        remote.put(name, b"content")
    listing = remote.area.listing()
    assert remote.area.stamps_of([NAME, "2024-03-02/customer.csv"]) == {
        name: stamp for name, stamp in listing.items() if name != MANIFEST
    }


def test_the_same_question_has_the_same_answer_while_nothing_changes(remote: Remote) -> None:
    remote.put(NAME, b"a")
    remote.put(MANIFEST, b"{}")
    assert remote.area.listing() == remote.area.listing()
    assert remote.area.fetch(NAME, PLACE) is not None
    assert LandingArea(remote.url, remote.area.archive).listing() == remote.area.listing(), "another process"


def test_files_that_are_not_there_have_no_stamp(remote: Remote) -> None:
    remote.put(NAME, b"a")
    assert remote.area.stamp_of("2024-03-09/customer.csv") is None
    assert remote.area.stamp_of(f"{NAME}/deeper.csv") is None
    assert list(remote.area.stamps_of([NAME, "2024-03-09/customer.csv"])) == [NAME]
    assert remote.area.stamps_of([]) == {}


def test_a_new_content_of_the_same_size_has_another_stamp(remote: Remote) -> None:
    remote.put(NAME, b"one")
    before = remote.area.stamp_of(NAME)
    remote.put(NAME, b"two")
    after = remote.area.stamp_of(NAME)
    assert before is not None
    assert after is not None
    assert before.size_bytes == after.size_bytes
    assert before.version != after.version


def test_a_new_content_of_the_same_size_and_time_has_another_stamp(local: Remote) -> None:
    path = Path(local.root) / NAME
    stamps = set()
    for content in (b"one", b"two", b"six"):
        time.sleep(0.02)  # the clock of file systems ticks every few milliseconds
        local.put(NAME, content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        stamps.add(local.area.stamp_of(NAME))
    assert len(stamps) == 3


def test_a_file_put_in_the_place_of_another_by_rename_has_another_stamp(local: Remote) -> None:
    local.put(NAME, b"one")
    local.put("new", b"two")
    for name in (NAME, "new"):
        os.utime(Path(local.root) / name, (1_700_000_000, 1_700_000_000))
    before = local.area.stamp_of(NAME)
    time.sleep(0.02)
    (Path(local.root) / "new").replace(Path(local.root) / NAME)
    assert local.area.stamp_of(NAME) != before


def test_a_manifest_changes_the_stamp_of_the_files_beside_it_and_of_no_others(remote: Remote) -> None:
    other = "2024-03-02/customer.csv"
    remote.put(NAME, b"a")
    remote.put(other, b"a")
    stamps = [remote.area.stamps_of([NAME, other])]
    assert stamps[0][NAME].manifest == ""
    for promise in (b"{}", b"[]"):
        remote.put(MANIFEST, promise)
        stamps.append(remote.area.stamps_of([NAME, other]))
        assert remote.area.listing()[NAME] == stamps[-1][NAME]
    assert len({each[NAME].manifest for each in stamps}) == 3
    assert len({(each[NAME].version, each[NAME].size_bytes) for each in stamps}) == 1
    assert len({each[other] for each in stamps}) == 1


def test_a_manifest_at_the_root_belongs_to_the_files_at_the_root(remote: Remote) -> None:
    remote.put("2024-03-01.csv", b"a")
    remote.put(NAME, b"a")
    remote.put(MANIFEST_NAME, b"{}")
    stamps = remote.area.stamps_of(["2024-03-01.csv", NAME])
    assert stamps["2024-03-01.csv"].manifest
    assert not stamps[NAME].manifest
    assert (manifest_of("2024-03-01.csv"), manifest_of(NAME)) == (MANIFEST_NAME, MANIFEST)


def test_a_touched_manifest_changes_the_stamp(local: Remote) -> None:
    local.put(NAME, b"a")
    local.put(MANIFEST, b"{}")
    before = local.area.stamps_of([NAME])[NAME]
    os.utime(Path(local.root) / MANIFEST, (1_700_000_000, 1_700_000_000))
    after = local.area.stamps_of([NAME])[NAME]
    assert (before.size_bytes, before.version) == (after.size_bytes, after.version)
    assert before.manifest != after.manifest


def test_a_manifest_is_read_anew_when_it_changes(remote: Remote) -> None:
    entry = '{{"files": [{{"file": "{}", "rows": 1, "sha256": "AB"}}]}}'
    assert manifest_entries(remote.area, MANIFEST) == {}
    remote.put(MANIFEST, entry.format("one.csv").encode())
    assert list(manifest_entries(remote.area, MANIFEST)) == ["one.csv"]
    remote.put(MANIFEST, entry.format("two.csv").encode())
    assert list(manifest_entries(remote.area, MANIFEST)) == ["two.csv"]
    remote.put(MANIFEST, b'{"files": 1}')
    with pytest.raises(FileFault, match=r"2024-03-01/_manifest\.json: manifest: expected \{\"files\""):
        manifest_entries(remote.area, MANIFEST)


def test_files_written_and_removed_after_a_listing_are_seen_by_the_next(remote: Remote) -> None:
    second = "2024-03-02/customer.csv"
    remote.put(NAME, b"a")
    assert list(remote.area.listing()) == [NAME]
    remote.put(second, b"b")
    remote.put("2024-03-01/product.csv", b"c")
    assert sorted(remote.area.listing()) == ["2024-03-01/customer.csv", "2024-03-01/product.csv", second]
    assert list(remote.area.stamps_of([second])) == [second]
    remote.put(second, b"longer")
    assert remote.area.listing()[second].size_bytes == 6
    remote.remove(NAME)
    assert NAME not in remote.area.listing()
    assert remote.area.stamp_of(NAME) is None
    assert remote.area.fetch(NAME, PLACE) is None


def test_many_names_are_asked_for_at_once(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{day(number)}/customer.csv" for number in range(120)]
    for name in [*names[:110], MANIFEST, "other.csv"]:
        remote.put(name, b"a")
    listing = remote.area.listing()
    asked: list[str] = []
    monkeypatch.setattr(LandingArea, "listing", _noted(LandingArea.listing, asked))
    assert remote.area.stamps_of(names) == {name: listing[name] for name in names[:110]}
    assert asked == ([] if Path(remote.root).is_dir() else ["listing"])


def _noted(method: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        asked.append(method.__name__)
        return method(*arguments)

    return noted


def test_fetching_copies_a_content_into_the_archive_under_its_hash(remote: Remote) -> None:
    content = bytes(range(256)) * 12_000  # three reads
    remote.put(NAME, content)
    fetched = remote.area.fetch(NAME, PLACE)
    path = remote.area.archive / "customer" / "2024-03-01" / f"{sha256(content)[:16]}-customer.csv"
    assert fetched == Content(NAME, path, len(content), sha256(content))
    assert path.read_bytes() == content
    assert remote.area.archived(NAME, PLACE, sha256(content)) == fetched
    assert remote.archived_files() == [str(path.relative_to(remote.area.archive))]


def test_every_content_stays_in_the_archive_once(remote: Remote) -> None:
    for content in (b"one", b"two", b"one"):
        remote.put(NAME, content)
        assert remote.area.fetch(NAME, PLACE) is not None
    assert len(remote.archived_files()) == 2
    for content in (b"one", b"two"):
        found = remote.area.archived(NAME, PLACE, sha256(content))
        assert found is not None
        assert found.path.read_bytes() == content


def test_an_empty_file_is_a_content(remote: Remote) -> None:
    remote.put(NAME, b"")
    fetched = remote.area.fetch(NAME, PLACE)
    assert fetched is not None
    assert (fetched.size_bytes, fetched.sha256) == (0, sha256(b""))
    assert fetched == remote.area.archived(NAME, PLACE, fetched.sha256)


class _Reading:
    """A stream that does something before its first bytes are read."""

    def __init__(self, stream: IO[bytes], before_reading: Callable[[], object]) -> None:
        self._stream, self._before_reading = stream, before_reading

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size_bytes: int) -> bytes:
        chunk = self._stream.read(size_bytes)
        self._before_reading()
        return chunk


@pytest.fixture
def while_reading(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    def arrange(act: Callable[[], object]) -> None:
        opened = remote.area._open
        monkeypatch.setattr(remote.area, "_open", lambda name: _Reading(opened(name), act))

    return arrange


WhileReading = Callable[[Callable[[], object]], None]


def test_a_file_that_changes_during_the_copy_is_not_taken(remote: Remote, while_reading: WhileReading) -> None:
    remote.put(NAME, b"one")
    while_reading(lambda: remote.put(NAME, b"two"))
    assert remote.area.fetch(NAME, PLACE) is None
    assert remote.archived_files() == []


def test_a_file_that_goes_away_during_the_copy_is_not_taken(remote: Remote, while_reading: WhileReading) -> None:
    remote.put(NAME, b"one")
    while_reading(lambda: remote.files.exists(f"{remote.root}/{NAME}") and remote.remove(NAME))
    assert remote.area.fetch(NAME, PLACE) is None
    assert remote.archived_files() == []


def test_a_file_that_goes_away_before_it_is_opened_is_not_taken(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.put(NAME, b"one")

    def opened_too_late(name: str) -> IO[bytes]:
        remote.remove(name)
        return LandingArea._open(remote.area, name)

    monkeypatch.setattr(remote.area, "_open", opened_too_late)
    assert remote.area.fetch(NAME, PLACE) is None
    assert remote.archived_files() == []


def test_a_failed_reading_leaves_nothing_behind(remote: Remote, while_reading: WhileReading) -> None:
    remote.put(NAME, b"one")

    def fail() -> None:
        raise OSError(errno.EIO, "the disk is broken")

    while_reading(fail)
    with pytest.raises(OSError, match="the disk is broken"):
        remote.area.fetch(NAME, PLACE)
    assert remote.archived_files() == []


def test_a_file_that_was_rewritten_since_it_was_listed_is_not_taken(local: Remote) -> None:
    """What was found settled is not what now lies there."""
    local.put(NAME, b"whole")
    local.put(MANIFEST, b"{}")
    listed = local.area.listing()[NAME]
    local.put(NAME, b"ha")
    assert local.area.fetch(NAME, PLACE, listed) is None
    listed = local.area.listing()[NAME]
    local.put(MANIFEST, b"[]")
    assert local.area.fetch(NAME, PLACE, listed) is not None, "the manifest is no part of the content"


def test_what_the_archive_lost_is_not_found(remote: Remote) -> None:
    remote.put(NAME, b"one")
    fetched = remote.area.fetch(NAME, PLACE)
    assert fetched is not None
    assert remote.area.archived(NAME, ("customer", day(1)), fetched.sha256) is None
    assert remote.area.archived(NAME, PLACE, sha256(b"two")) is None
    fetched.path.unlink()
    assert remote.area.archived(NAME, PLACE, fetched.sha256) is None


def test_what_the_archive_damaged_is_not_taken_for_the_content(remote: Remote) -> None:
    remote.put(NAME, b"one")
    fetched = remote.area.fetch(NAME, PLACE)
    assert fetched is not None
    fetched.path.write_bytes(b"on")
    assert remote.area.archived(NAME, PLACE, fetched.sha256) is None
    assert remote.area.fetch(NAME, PLACE) == fetched, "fetched again"
    assert remote.area.archived(NAME, PLACE, fetched.sha256) == fetched


def test_a_root_that_is_not_there_is_said_so(remote: Remote) -> None:
    elsewhere = LandingArea(f"{remote.url}-elsewhere", remote.area.archive)
    says = (
        rf"the landing area {elsewhere} does not exist; mount it, set CDM_LANDING, or write the demo's with `cdm demo`"
    )
    for question in (elsewhere.require, elsewhere.listing, lambda: elsewhere.stamps_of([NAME])):
        with pytest.raises(LandingAreaMissing) as missing:
            question()
        assert str(missing.value) == says


def test_a_root_that_goes_away_is_missing(remote: Remote) -> None:
    remote.put(NAME, b"a")
    remote.area.require()
    remote.files.rm(remote.root, recursive=True)
    with pytest.raises(LandingAreaMissing):
        remote.area.listing()


class Refusal(Exception):
    """What a library says of credentials."""


class EndpointConnectionError(Exception):
    """What botocore calls an endpoint that does not answer."""


@pytest.mark.parametrize(("fault", "raised"), [(Refusal, LandingAreaMissing), (EndpointConnectionError,) * 2])
def test_refused_credentials_are_said_and_a_lost_connection_may_pass(
    remote: Remote, fault: type[Exception], raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object, _path: str) -> bool:
        raise fault("Unable to locate credentials")

    monkeypatch.setattr(type(remote.files), "isdir", refuse)
    with pytest.raises(raised, match="Unable to locate credentials") as said:
        remote.area.require()
    assert is_transient(said.value) is (raised is EndpointConnectionError)


def test_what_a_killed_process_left_of_a_copy_is_removed_a_day_later(remote: Remote) -> None:
    folder = remote.area.archive / "customer" / DAY.isoformat()
    folder.mkdir(parents=True)
    old, young = folder / ".arriving-old", folder / ".arriving-young"
    old.touch()
    young.touch()
    two_days_ago = time.time() - 48 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    remote.put(NAME, b"a")
    assert remote.area.fetch(NAME, PLACE)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_root_that_is_a_file_is_missing(remote: Remote) -> None:
    remote.put("file", b"a")
    with pytest.raises(LandingAreaMissing):
        LandingArea(f"{remote.url}/file", remote.area.archive).require()


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LandingAreaMissing, match="the landing area s3://no-such-bucket/landing does not exist"):
        LandingArea("s3://no-such-bucket/landing", tmp_path).listing()


def test_an_unknown_kind_of_url_is_said_so(tmp_path: Path) -> None:
    area = LandingArea("carrier-pigeon://roof", tmp_path)
    with pytest.raises(LandingAreaMissing, match=r"the landing area carrier-pigeon://roof cannot be opened: .*README"):
        area.require()


def test_a_kind_of_url_whose_package_is_not_installed_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_installed(*_: Any, **__: Any) -> None:
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr("cdm_assets.warehouse.landing_area.url_to_fs", not_installed)
    with pytest.raises(LandingAreaMissing, match="gs://b/landing cannot be opened: Install gcsfs to access"):
        LandingArea("gs://b/landing", tmp_path).require()


@pytest.mark.usefixtures("s3")
def test_an_endpoint_nobody_answers_at_may_pass_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(Exception, match="Could not connect to the endpoint URL") as fault:
        LandingArea("s3://site/landing", tmp_path).listing()
    S3FileSystem.clear_instance_cache()
    assert is_transient(fault.value)


@pytest.mark.usefixtures("s3")
def test_markers_that_the_s3_console_writes_for_folders_are_no_files(tmp_path: Path) -> None:
    files = S3FileSystem()
    files.mkdir("markers")
    remote = Remote("s3://markers/landing", tmp_path)
    remote.put(NAME, b"a")
    files.call_s3("put_object", Bucket="markers", Key="landing/2024-03-01/")
    files.call_s3("put_object", Bucket="markers", Key="landing/2024-03-02/")
    assert list(remote.area.listing()) == [NAME]
    files.rm("markers", recursive=True)


def test_a_bucket_may_be_the_root(s3: str, tmp_path: Path) -> None:
    S3FileSystem().mkdir("whole")
    remote = Remote("s3://whole", tmp_path)
    remote.area.require()
    assert remote.area.listing() == {}
    remote.put(NAME, b"a")
    assert list(remote.area.listing()) == [NAME]
    assert remote.area.fetch(NAME, PLACE) is not None
    S3FileSystem().rm("whole", recursive=True)


def test_only_object_stores_show_no_half_written_files(remote: Remote) -> None:
    assert remote.area.shows_only_whole_files == remote.url.startswith("s3://")


def test_a_linked_file_has_the_stamp_of_the_file_it_leads_to(local: Remote, tmp_path: Path) -> None:
    target = tmp_path / "outbox.csv"
    target.write_bytes(b"one")
    link = Path(local.root) / NAME
    link.parent.mkdir()
    link.symlink_to(target)
    before = local.area.listing()[NAME]
    assert before == local.area.stamp_of(NAME)
    target.write_bytes(b"two")
    assert local.area.listing()[NAME] != before
    target.unlink()
    assert local.area.listing() == {}


def test_a_folder_that_cannot_be_listed_does_not_pass_for_an_empty_one(
    local: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.put(NAME, b"a")
    listed = LocalFileSystem.ls

    def denied(self: LocalFileSystem, path: str, **options: Any) -> Any:
        if path.endswith("2024-03-01"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(self, path, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", denied)
    with pytest.raises(LandingAreaMissing, match=r"landing cannot be listed: .*Permission denied.*2024-03-01"):
        local.area.listing()


def test_a_file_that_goes_away_during_the_listing_takes_no_others_with_it(
    local: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.put(NAME, b"a")
    local.put("2024-03-01/.customer.csv.part", b"a")
    told = LocalFileSystem.info

    def info(self: LocalFileSystem, path: Any, **options: Any) -> Any:
        if isinstance(path, os.DirEntry) and path.name.endswith(".part"):
            Path(path.path).unlink(missing_ok=True)
        return told(self, path, **options)

    monkeypatch.setattr(LocalFileSystem, "info", info)
    assert list(local.area.listing()) == [NAME]


def test_the_archive_can_be_read_by_its_owner(local: Remote) -> None:
    local.put(NAME, b"a")
    fetched = local.area.fetch(NAME, PLACE)
    assert fetched is not None
    assert stat.S_IMODE(fetched.path.stat().st_mode) & stat.S_IRUSR


SHIPPED = read_catalog(shipped=CANONICAL).sources


@pytest.mark.parametrize("name", sorted(SHIPPED))
@pytest.mark.parametrize("day", [date(2017, 1, 1), date(2024, 2, 29), date(2079, 12, 31)])
def test_the_name_of_every_shipped_file_leads_back_to_its_source_and_date(name: str, day: date) -> None:
    assert FileNames(SHIPPED.values()).place_of(file_name_of(SHIPPED[name], day)) == (name, day)


def of_path(path: str, name: str = "customer") -> Source:
    customer = SHIPPED["customer"]
    return customer.model_copy(update={"source": name, "files": customer.files.model_copy(update={"path": path})})


@pytest.mark.parametrize(
    "path",
    [
        "{date}.csv",
        "{date}",
        "{date}/customer_{date}.csv",
        "{date}{date}.csv",
        "in/{date}/a/{date}/{date}.csv.gz",
        "a+b (neu) [1]/{date}/c$^.csv",
        "{date}/Kunden ä.csv",
        "export/v1.2/{date}-full.csv",
        "{date}/{other}.csv",
    ],
)
def test_any_pattern_leads_back_to_its_date(path: str) -> None:
    source = of_path(path)
    names = FileNames([source])
    name = file_name_of(source, DAY)
    assert names.place_of(name) == PLACE
    for other in (
        f"x{name}",
        f"{name}x",
        name.replace("2024-03-01", "2024-3-1"),
        name.replace("2024", "x024"),
        f"{name}\n",
    ):
        assert names.place_of(other) is None, other


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("{date}/customer_{date}.csv", "2024-03-01/customer_2024-03-02.csv"),
        ("{date}.csv", "2024-02-30.csv"),
        ("{date}.csv", "2024-00-01.csv"),
        ("{date}.csv", "0000-01-01.csv"),
        ("{date}.csv", "２０２４-03-01.csv"),  # noqa: RUF001 - full-width digits
        ("{date}/a.csv", "2024-03-01/aXcsv"),
        ("{date}/a.csv", "2024-03-01/A.csv"),
    ],
)
def test_a_name_that_is_nearly_right_is_unknown(path: str, name: str) -> None:
    names = FileNames([of_path(path)])
    assert names.place_of(name) is None
    assert names.unknown([name]) == [name]


def test_a_name_that_one_source_reads_with_an_impossible_date_may_be_anothers() -> None:
    names = FileNames([of_path("{date}-01.csv", "first"), of_path("2024-{date}.csv", "second")])
    assert names.place_of("2024-2024-03-01.csv") == ("second", DAY)
    assert names.place_of("2024-03-01-01.csv") == ("first", DAY)


def test_unknown_files_are_named_without_manifests_and_hidden_ones() -> None:
    names = FileNames(SHIPPED.values())
    found = [NAME, MANIFEST, "2024-03-01/.customer.csv.part", "_SUCCESS", "2024-03-01/custmer.csv", "readme.txt"]
    assert names.unknown(found) == ["2024-03-01/custmer.csv", "readme.txt"]


def test_from_every_file_system_the_same_is_loaded_registered_and_archived(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for area in (site.area, LandingArea(remote.url, site.area.archive)):
        site.empty_all()
        _land_everything(site)
        if area.root != site.area.root:
            for path in sorted(site.landing_root.rglob("*")):
                if path.is_file():
                    remote.put(str(path.relative_to(site.landing_root)), path.read_bytes())
        monkeypatch.setattr(Site, "area", property(lambda _, area=area: area))
        for source in site.catalog.sources:
            site.load(source, DAY, day(2))
        remote_again = [site.load(source, DAY, day(2)) for source in site.catalog.sources]
        assert sum(count.read for load in remote_again for count in load.row_counts.values()) == 10
        outcomes.append(_outcome(site, area))
        monkeypatch.undo()
    on_disk, elsewhere = outcomes
    assert elsewhere == on_disk
    assert [row["state"] for row in on_disk["register"]] == ["loaded"] * 5 + ["rejected"]
    assert [row["deliveries"] for row in on_disk["register"]] == [1] * 6
    assert len(on_disk["archive"]) == 6


def _land_everything(site: Site) -> None:
    customers = [{"customer_id": f"c{number}", "name": "Ann"} for number in range(3)]
    site.land("customer", customers)
    site.land("customer", [*customers, {"customer_id": "c9", "name": ""}], day(1))
    site.promise("customer", day(1), rows=4)
    site.land_text("customer", "no,header\n", day(2))
    site.land("product", [{"product_id": "p1", "label": "Tea", "price": "2.00"}])
    site.land("assortment", [{"customer_id": "c1", "product_id": "p1", "position": "1"}])
    site.land("purchase", [], day(1)).unlink()
    site.land(
        "purchase",
        [{"purchase_id": "b1", "customer_id": "c1", "product_id": "p1", "amount": "1.50", "bought_at": f"{DAY} 10:00"}],
    )


def _outcome(site: Site, area: LandingArea) -> dict[str, Any]:
    told = ("arrived_at", "delivered_at", "version", "manifest_version")
    register = [
        {name: value for name, value in row.items() if name not in told}
        for row in site.rows("cdp_metadata.landing_file")
        if row["state"] in LIVE
    ]
    return {
        "rows": {source: site.landed(source) for source in site.catalog.sources},
        "rejected": {source: site.rejected(source) for source in site.catalog.sources},
        "register": sorted(register, key=lambda row: (row["state"], row["source"], row["business_date"])),
        "archive": {
            str(path.relative_to(area.archive)): path.read_bytes() for path in area.archive.rglob("*") if path.is_file()
        },
    }
