"""Which data the first model is trained on: prints `imdb` or `starter`, and why.

It is the first thing that is said, so it needs nothing but Python.
"""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from sentiment.data import IMDB_URL

CONNECT_TIMEOUT_SECONDS = 4


def choose(cache: Path) -> str:
    """IMDB's reviews where they are in the cache or can be reached, else the starter sentences; and why."""
    if (cache / "aclImdb_v1.tar.gz").exists():
        return "imdb (downloaded before)"
    url = os.environ.get("IMDB_URL", IMDB_URL)
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the address is ours or the user's
        urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_SECONDS).close()  # noqa: S310
    except (urllib.error.URLError, OSError) as error:
        return f"starter ({url} can't be reached: {getattr(error, 'reason', error)})"
    return f"imdb ({url})"


if __name__ == "__main__":
    print(choose(Path(sys.argv[1])))
