"""Which data the first model is trained on: prints `imdb` or `starter`, and why.

It is the first thing that deploy.sh says, before anything is installed: the standard library must do.
"""

import os
import sys
import urllib.request
from pathlib import Path

from contracts.names import IMDB_URL


def choose(cache: Path) -> str:
    """Return `imdb` where its archive is in the cache or can be reached, else `starter`; and why, in brackets."""
    if (cache / IMDB_URL.rpartition("/")[2]).exists():
        return "imdb (downloaded before)"
    url = os.environ.get("IMDB_URL", IMDB_URL)
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the address is ours or the user's
        urllib.request.urlopen(request, timeout=4).close()  # noqa: S310
    except OSError as error:
        return f"starter ({url} can't be reached: {getattr(error, 'reason', error)})"
    return f"imdb ({url})"


if __name__ == "__main__":
    print(choose(Path(sys.argv[1])))
