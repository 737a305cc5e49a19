"""Files of texts, archives and folders in the layout of aclImdb, CSV, JSONL; and where they are kept."""

import csv
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.names import parse_label


class DataError(Exception):
    """The data can't be had or read; the message says what to do."""


@dataclass(frozen=True)
class Example:
    """A text, and its label (0 negative, 1 positive) where it is known."""

    text: str
    label: int | None


def default_cache() -> Path:
    """Return the folder that data sets are kept in: $SENTIMENT_CACHE, else one in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SENTIMENT_CACHE") or Path(base) / "sentiment-openfaas")


def make_folder(folder: Path) -> None:
    """Make a folder for data; raises DataError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't be made ({error}); name another folder in SENTIMENT_CACHE") from error


def read_examples(path: Path, *, part: str | None = None) -> Iterator[Example]:
    """Yield the texts of an aclImdb archive or folder, or of a CSV or JSONL file with `text` and maybe `label`.

    Raises DataError for a file that is not there or is of another form, naming the line.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; give imdb, starter, an aclImdb archive or folder, a .csv or a .jsonl")
    name = path.name.lower()
    if path.is_dir():
        files = ((file.relative_to(path).as_posix(), file.read_bytes()) for file in sorted(path.rglob("*.txt")))
        return _labelled_files(files, path, part)
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        return _labelled_files(archive_files(path), path, part)
    if name.endswith((".csv", ".jsonl", ".ndjson", ".json")):
        return _read_rows(path)
    raise DataError(f"{path}: can't tell what this is; give an aclImdb archive (.tar.gz) or folder, a .csv or a .jsonl")


def archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a tar archive, name and content; raises DataError where it is not whole."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and (file := tar.extractfile(member)):
                    yield member.name, file.read()
            # The checksum of the whole comes after the last file, where tarfile has no reason to look.
            while tar.fileobj and tar.fileobj.read(1 << 20):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{path}: can't be read as an archive ({error}); is it whole?") from error


def _labelled_files(files: Iterable[tuple[str, bytes]], path: Path, part: str | None) -> Iterator[Example]:
    found = False
    for name, content in files:
        folders = name.split("/")[:-1]
        # Other folders hold no labels: train/unsup, and the bags of words beside train and test.
        if not folders or folders[-1] not in ("neg", "pos") or (part and part not in folders):
            continue
        found = True
        try:
            yield Example(content.decode("utf-8"), int(folders[-1] == "pos"))
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: {name} is not UTF-8 ({error.reason} at byte {error.start})") from error
    if not found:
        wanted = f"{part}/neg and {part}/pos" if part else "neg and pos"
        raise DataError(f"{path}: no texts in folders {wanted}, as aclImdb has them")


def _read_rows(path: Path) -> Iterator[Example]:
    """Yield the examples of a CSV or JSONL file; raises DataError where it can't be read as UTF-8 text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _read_csv(file, path) if path.suffix.lower() == ".csv" else read_json_lines(file, str(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: can't be read ({error})") from error


def _read_csv(file: Iterable[str], path: Path) -> Iterator[Example]:
    csv.field_size_limit(1 << 24)
    reader = csv.DictReader(file)
    if "text" not in (reader.fieldnames or ()):
        raise DataError(f"{path}: the first line must name the columns, `text` and `label` among them")
    for row in reader:
        yield _example(row["text"], row.get("label"), f"{path}, line {reader.line_num}")


def read_json_lines(file: Iterable[str], name: str) -> Iterator[Example]:
    """Yield the examples of a file with a JSON object a line; raises DataError, naming the line."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # the number of digits, for one, has a limit of Python's own
            raise DataError(f"{where}: not JSON ({error}); each line must be one JSON object") from error
        if not isinstance(row, dict):
            raise DataError(f'{where}: must be an object with "text"')
        yield _example(row.get("text"), row.get("label"), where)


def _example(text: object, label: object, where: str) -> Example:
    if not isinstance(text, str):
        raise DataError(f"{where}: has no `text`")
    try:
        return Example(text, None if label is None or label == "" else parse_label(label))
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
