"""The child of `serving.fetch_scorer`: `python -m model_store.fetch VERSION` writes it to stdout."""

import contextlib
import sys
from pathlib import Path

from model_store.errors import StoreError, VersionNotFound
from model_store.loading import load_artifact
from model_store.reader import ObjectReader
from model_store.serving import STORE_FAILED, WRONG_CONTENT, encode
from model_store.settings import Settings


def main(version: str) -> int:
    """Write `version` to stdout; the exit code says whether the content or the store is at fault."""
    # Where memory is short, the kernel should end this process and not the one that serves.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    from sentiment.artifact import ArtifactError, unpack

    try:
        artifact = load_artifact(ObjectReader(Settings.from_environment()).get, version)
        message = encode(unpack(artifact).scorer(), artifact.manifest)
    except (ArtifactError, VersionNotFound) as error:
        return _fail(error, WRONG_CONTENT)
    except StoreError as error:
        return _fail(error, STORE_FAILED)
    sys.stdout.buffer.write(message)
    sys.stdout.buffer.flush()
    return 0


def _fail(error: Exception, exit_code: int) -> int:
    print(error, file=sys.stderr)  # noqa: T201  # the parent reads its reason here
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
