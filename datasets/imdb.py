"""The reviews of IMDB (Maas et al., 2011): 25,000 to train on, 25,000 to test on."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from contracts.names import IMDB_URL
from datasets.files import DataError, make_folder

URL = IMDB_URL
# The checksum that data set libraries (torchtext, PaddlePaddle) publish for it; the authors give none.
CHECKSUM = "md5:7c2ac02c03563afcf9b574c7e56c153a"
ARCHIVE = URL.rpartition("/")[2]
CONNECT_TIMEOUT_SECONDS = 10


def fetch(cache: Path) -> Path:
    """Return the path of aclImdb_v1.tar.gz, downloaded from its official address where it is not in `cache`.

    IMDB_URL and IMDB_CHECKSUM (`algorithm:hex`) in the environment name a copy elsewhere. Raises DataError.
    """
    url = os.environ.get("IMDB_URL", URL)
    target = cache / ARCHIVE
    if not target.exists():
        download(url, target, os.environ.get("IMDB_CHECKSUM", CHECKSUM))
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
    make_folder(target.parent)
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
