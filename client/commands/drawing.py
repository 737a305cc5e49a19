"""What `--plot` of every command says where no picture can be drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets import DataError


@contextmanager
def drawing(path: Path) -> Iterator[None]:
    """Import what draws and draw into `path`, within this; raises DataError where one of both can't be done."""
    try:
        yield
    except ImportError as error:
        raise DataError(f"--plot needs matplotlib ({error}); pip install 'sentiment-openfaas[plot]'") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be written ({error})") from error
