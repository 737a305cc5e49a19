"""Documents that wait to be written, in files too: what a process that was killed leaves, the next one writes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from struct import Struct
from typing import Self

_LENGTH = Struct("<i")  # a document of BSON begins with it


class SpoolFile:
    """The documents of one batch. Who has it open holds its lock, which ends with the process however that ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take a file that is open and locked."""
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create a file that is seen only once it is locked; raises OSError."""
        hidden = path.with_suffix(".new")
        descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        hidden.rename(path)
        return cls(path, descriptor)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Open a file whose process has ended, None where it has not; raises OSError."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None  # another process has just done with it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def append(self, content: bytes) -> None:
        """Add documents, which from now on outlive this process, though not the machine; raises OSError."""
        while content:
            content = content[os.write(self._descriptor, content) :]

    def documents(self) -> list[bytes]:
        """Return the documents; of one that was being added when the process was killed, nothing. Raises OSError."""
        content = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        found, at = list[bytes](), 0
        while at + _LENGTH.size <= len(content):
            end = at + _LENGTH.unpack_from(content, at)[0]
            if not at < end <= len(content):
                break
            found.append(content[at:end])
            at = end
        return found

    def remove(self) -> None:
        """Delete it: its documents are written."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        self.close()

    def close(self) -> None:
        """Leave it to the next process."""
        os.close(self._descriptor)


class Spool:
    """A folder of such files. Many processes may share it."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, made where it is missing; raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._names = map(f"{token_hex(8)}-{{}}.bson".format, count())

    def create(self) -> SpoolFile:
        """Begin a file; raises OSError."""
        return SpoolFile.create(self._folder / next(self._names))

    def left_behind(self) -> Iterator[SpoolFile]:
        """Yield the files of processes that have ended, the oldest first; raises OSError."""
        for path in sorted(self._folder.glob("*.bson"), key=_age):
            if found := SpoolFile.adopt(path):
                yield found


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
