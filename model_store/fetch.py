"""The child of `serving.fetch_scorer`: `python -m model_store.fetch VERSION` writes it to stdout."""

import contextlib
import sys
from pathlib import Path

from model_store.child import STORE_FAILED, WRONG_CONTENT, fail
from model_store.errors import StoreError, VersionNotFound
from model_store.loading import load_artifact
from model_store.reader import read
from model_store.serving import encode
from model_store.settings import Settings
from model_store.signing import Signer


def main(version: str) -> int:
    """Write `version` to stdout; the exit code says whether the content or the store is at fault."""
    # Where memory is short, the kernel should end this process and not the one that serves.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    from sentiment.artifact import ArtifactError, unpack

    try:
        signer = Signer(Settings.from_environment())
        artifact = load_artifact(lambda key, max_bytes: read(signer.url(key), key, max_bytes), version)
        message = encode(unpack(artifact).scorer(), artifact.manifest)
    except (ArtifactError, VersionNotFound) as error:
        return fail(error, WRONG_CONTENT)
    except StoreError as error:
        return fail(error, STORE_FAILED)
    sys.stdout.buffer.write(message)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
