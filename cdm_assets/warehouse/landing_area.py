"""The landing area, a folder that others write to wherever fsspec reaches, and the archive of what was in it.

Nothing is loaded from the landing area itself: a file is first copied into the archive, under the hash of its content.
So what is loaded does not change while it is read, lies on a local disk whatever the landing area is, and is still
there when the sender has replaced it.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from cdm_assets.catalog.model import DATE_PLACEHOLDER, Source
from cdm_assets.warehouse.transient import is_transient

MANIFEST_NAME: Final = "_manifest.json"
_CHUNK_BYTES: Final = 1 << 20
_IDENTIFYING: Final = (
    *("ETag", "etag", "generation", "md5Hash", "mtime", "created", "LastModified", "last_modified", "updated"),
)
"""What file systems call the properties that change with a file; of local files the time of the last status change."""
_OBJECT_STORES: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
_HASH_CHARACTERS_IN_NAME: Final = 16
_ARRIVING: Final = ".arriving-"
_TORN_AFTER_SECONDS: Final = 24 * 3600
"""No copy takes that long: what is left of one by then was killed."""

Place = tuple[str, date]
"""A source and a business date: where one file is expected."""


class LandingAreaMissing(Exception):
    """The landing root is not there; without it "no file" would look like "nothing happened" for every source."""


@dataclass(frozen=True)
class FileStamp:
    """What the file system tells of a file without reading it; another stamp may be another content."""

    size_bytes: int
    version: str
    manifest: str = ""
    """The version of the manifest beside it, if there is one: it may make right what was refused."""


@dataclass(frozen=True)
class Content:
    """One content of a file, in the archive. `name` is relative to the landing root."""

    name: str
    path: Path
    size_bytes: int
    sha256: str


class LandingArea:
    """The files below a root that is a folder or an fsspec URL (`s3://bucket/landing`), and their archive.

    Credentials and endpoints come from where fsspec and its file systems look for them: the environment
    (`AWS_*`, `FSSPEC_S3_ENDPOINT_URL`, ...) and their own configuration files.
    """

    def __init__(self, root: str | Path, archive: Path) -> None:
        self.root, self.archive = str(root), archive

    def __str__(self) -> str:
        return self.root

    @cached_property
    def _opened(self) -> tuple[AbstractFileSystem, str]:
        try:
            file_system, root = url_to_fs(self.root, use_listings_cache=False)
        except (ImportError, ValueError) as fault:
            message = f"the landing area {self.root} cannot be opened: {fault}; see CDM_LANDING in the README"
            raise LandingAreaMissing(message) from fault
        return file_system, root.rstrip("/")

    def require(self) -> None:
        """Raise LandingAreaMissing if there is no folder at the root."""
        file_system, root = self._opened
        file_system.invalidate_cache()
        try:
            is_there = file_system.isdir(root)
        except Exception as fault:  # each library of fsspec has its own for refused credentials
            if is_transient(fault):
                raise
            raise LandingAreaMissing(
                f"the landing area {self.root} cannot be reached: {fault or type(fault).__name__}; "
                "see CDM_LANDING and its credentials in the README"
            ) from fault
        if not is_there:
            raise LandingAreaMissing(
                f"the landing area {self.root} does not exist; "
                "mount it, set CDM_LANDING, or write the demo's with `cdm demo`"
            )

    def listing(self) -> dict[str, FileStamp]:
        """Every file by its name relative to the root, manifests among them.

        Raises LandingAreaMissing; also if a folder cannot be listed, since its files would seem to be gone.
        """
        found: dict[str, FileStamp] = {}
        for name, info in self._infos():
            stamp = self.stamp_of(name) if info.get("islink") else _stamp(info)  # a link does not change with its file
            if stamp is not None and not name.endswith("/"):  # which S3's console writes for a folder
                found[name] = stamp
        return _with_manifests(found, found.get)

    def _infos(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What the file system tells of each file below the root, by name."""
        self.require()
        file_system, root = self._opened
        if self.shows_only_whole_files:
            yield from ((path[len(root) + 1 :], info) for path, info in file_system.find(root, detail=True).items())
            return
        folders = [root]
        while folders:  # not `find`, which leaves out in silence what it cannot list
            try:
                infos = file_system.ls(folders.pop(), detail=True)
            except FileNotFoundError:
                continue  # gone since its parent was listed
            except PermissionError as fault:
                raise LandingAreaMissing(f"the landing area {self.root} cannot be listed: {fault}") from fault
            folders += [info["name"] for info in infos if info["type"] == "directory"]
            yield from ((info["name"][len(root) + 1 :], info) for info in infos if info["type"] != "directory")

    def stamp_of(self, name: str) -> FileStamp | None:
        """The stamp of one file; None where there is none."""
        file_system, root = self._opened
        try:
            return _stamp(file_system.info(f"{root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stamps_of(self, names: Iterable[str]) -> dict[str, FileStamp]:
        """The stamps of those files that are there. Raises LandingAreaMissing if the root is not."""
        wanted = set(names)
        if len(wanted) > 100 and not self._is_local:  # one listing beats a request a file
            return {name: stamp for name, stamp in self.listing().items() if name in wanted}
        self.require()
        found = {name: stamp for name in wanted if (stamp := self.stamp_of(name)) is not None}
        return _with_manifests(found, self.stamp_of)

    def read(self, name: str) -> bytes:
        """The bytes of a small file. Raises OSError."""
        with self._open(name) as stream:
            return stream.read()

    def put(self, name: str, content: bytes) -> None:
        """Write a small file, which appears at once with all of its content. Raises OSError, LandingAreaMissing."""
        self.require()
        file_system, root = self._opened
        path = f"{root}/{name}"
        if self.shows_only_whole_files:
            file_system.pipe_file(path, content)
            return
        file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
        being_written = f"{path.rpartition('/')[0]}/.{path.rpartition('/')[2]}.writing"
        file_system.pipe_file(being_written, content)
        file_system.mv(being_written, path)

    def fetch(self, name: str, place: Place, listed: FileStamp | None = None) -> Content | None:
        """Copy a file into the archive; None if it changed meanwhile (since it was `listed`) or is gone.

        Raises OSError if it is unreadable.
        """
        source, day = place
        before = self.stamp_of(name)
        if before is None or (listed and not self.shows_only_whole_files and before != replace(listed, manifest="")):
            return None
        folder = self.archive / source / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        _remove_torn_copies(folder)
        digest, size_bytes = hashlib.sha256(), 0
        with tempfile.NamedTemporaryFile(dir=folder, prefix=_ARRIVING, delete=False) as copy:
            try:
                try:
                    stream = self._open(name)
                except FileNotFoundError:
                    return None
                with stream:
                    while chunk := stream.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        size_bytes += copy.write(chunk)
                copy.close()
                if self.stamp_of(name) != before:
                    return None
                sha256 = digest.hexdigest()
                path = folder / archived_name(name, sha256)
                Path(copy.name).replace(path)
            finally:
                Path(copy.name).unlink(missing_ok=True)
        return Content(name, path, size_bytes, sha256)

    def archived(self, name: str, place: Place, sha256: str) -> Content | None:
        """A content fetched before; None if the archive has lost it or holds something else under its name."""
        source, day = place
        path = self.archive / source / day.isoformat() / archived_name(name, sha256)
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
                size_bytes = stream.tell()
        except FileNotFoundError:
            return None
        return Content(name, path, size_bytes, sha256) if found == sha256 else None

    @property
    def shows_only_whole_files(self) -> bool:
        """Whether a file appears at once, when all of it is written, as in an object store."""
        return bool(self._protocols & _OBJECT_STORES)

    @property
    def _is_local(self) -> bool:
        return "file" in self._protocols

    @property
    def _protocols(self) -> frozenset[str]:
        protocol = self._opened[0].protocol
        return frozenset((protocol,) if isinstance(protocol, str) else protocol)

    def _open(self, name: str) -> IO[bytes]:
        file_system, root = self._opened
        stream: IO[bytes] = file_system.open(f"{root}/{name}", "rb")
        return stream


def _with_manifests(
    found: Mapping[str, FileStamp], stamp_of: Callable[[str], FileStamp | None]
) -> dict[str, FileStamp]:
    manifests = {folder: stamp_of(f"{folder}{MANIFEST_NAME}") for folder in {_folder(name) for name in found}}
    return {
        name: replace(stamp, manifest=manifest.version) if (manifest := manifests[_folder(name)]) else stamp
        for name, stamp in found.items()
    }


def _folder(name: str) -> str:
    """The folder of a file, with its slash; empty at the root."""
    return name[: name.rfind("/") + 1]


def _remove_torn_copies(folder: Path) -> None:
    """Remove what a killed process left of the files it was copying."""
    for copy in folder.glob(f"{_ARRIVING}*"):
        with suppress(FileNotFoundError):
            if time.time() - copy.stat().st_mtime > _TORN_AFTER_SECONDS:
                copy.unlink()


def archived_name(name: str, sha256: str) -> str:
    """The name of a content within its source's and date's folder of the archive."""
    return f"{sha256[:_HASH_CHARACTERS_IN_NAME]}-{PurePosixPath(name).name}"


def _stamp(info: Mapping[str, Any]) -> FileStamp:
    values = (info[key] for key in _IDENTIFYING if info.get(key) is not None)
    # A time is told as seconds in a listing and as a datetime of one file, or in different zones.
    version = "|".join(str(value.timestamp() if isinstance(value, datetime) else value) for value in values)
    return FileStamp(int(info.get("size") or 0), version)


def file_name_of(source: Source, business_date: date) -> str:
    """The file's name relative to the landing root."""
    return source.files.path.replace(DATE_PLACEHOLDER, business_date.isoformat())


def manifest_of(name: str) -> str:
    """The name of the manifest that may lie beside a file."""
    return _folder(name) + MANIFEST_NAME


class FileNames:
    """Which source and date a file's name stands for."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._patterns = [(source.source, _name_pattern(source)) for source in sources]

    def place_of(self, name: str) -> Place | None:
        """The source and business date of a file; None for a name that no source has."""
        for source, pattern in self._patterns:
            if match := pattern.fullmatch(name):
                try:
                    return source, date.fromisoformat(match["date"])
                except ValueError:
                    continue
        return None

    def unknown(self, names: Iterable[str]) -> Sequence[str]:
        """The files that no source expects, without manifests and hidden ones."""
        visible = (name for name in names if not PurePosixPath(name).name.startswith((".", "_")))
        return sorted(name for name in visible if self.place_of(name) is None)


def _name_pattern(source: Source) -> re.Pattern[str]:
    first, *others = source.files.path.split(DATE_PLACEHOLDER)
    repeated = "".join(f"(?P=date){re.escape(part)}" for part in others[1:])
    return re.compile(f"{re.escape(first)}(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){re.escape(others[0])}{repeated}")
