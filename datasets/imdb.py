"""The reviews of IMDB (Maas et al., 2011): 25,000 to train on, 25,000 to test on."""

import hashlib
import os
import sys
from pathlib import Path

import pooch
from requests import RequestException

from contracts.names import IMDB_URL
from datasets.files import DataError, make_folder

# The authors give no checksum. This one is TensorFlow Datasets' (of 84,125,825 bytes); torchtext and PaddlePaddle
# publish the MD5 of the same file, 7c2ac02c03563afcf9b574c7e56c153a, which no longer tells a forged file.
CHECKSUM = "sha256:c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
ARCHIVE = "aclImdb_v1.tar.gz"


def fetch(cache: Path) -> Path:
    """Return the path of aclImdb_v1.tar.gz, downloaded from its official address where `cache` has none, or another.

    IMDB_URL and IMDB_CHECKSUM (`algorithm:hex`) in the environment name a copy elsewhere. Raises DataError.
    """
    target = cache / ARCHIVE
    download(os.environ.get("IMDB_URL", IMDB_URL), target, os.environ.get("IMDB_CHECKSUM", CHECKSUM))
    return target


def download(url: str, target: Path, checksum: str) -> None:
    """Fetch `url` into `target`, unless it is there with that checksum; it appears only once whole and checked.

    checksum: `algorithm:hex`, an algorithm of hashlib.
    Raises DataError, with the way out, where the network says no or the content is another.
    """
    if not url.startswith(("https://", "http://")):
        raise DataError(f"{url}: only http and https addresses can be fetched")
    if checksum.partition(":")[0] not in hashlib.algorithms_available:
        raise DataError(f"the checksum {checksum!r} is not `algorithm:hex`, such as sha256:…")
    make_folder(target.parent)
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=10, progressbar=sys.stderr.isatty())
    try:
        pooch.retrieve(url, checksum, target.name, target.parent, downloader=downloader)
    except (RequestException, OSError) as error:
        raise DataError(
            f"{url}: can't be fetched ({error}); use the data set `starter`, "
            f"or download the file elsewhere and give its path"
        ) from error
    except ValueError as error:
        raise DataError(f"{url}: {error} Try again, or give a file of your own as PATH") from error
