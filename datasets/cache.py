"""Where data sets are kept."""

import os
from pathlib import Path

from datasets.files import DataError


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
