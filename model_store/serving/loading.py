"""Reading a version whole, or not at all."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from model_store.documents import MANIFEST, version_key
from model_store.errors import VersionNotFound
from model_store.reader import StoredObject

if TYPE_CHECKING:
    from sentiment.artifact import Artifact

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_VERSION_BYTES = 512 * 1024 * 1024

Read = Callable[[str, int], StoredObject | None]


def load_artifact(read: Read, version: str) -> "Artifact":
    """Return a version whose parts are all there and have the hashes that its manifest says.

    read: from key and the bytes that it may have at most, to the object, or None if there is none.

    Raises VersionNotFound where there is no manifest, which is written last; sentiment's ArtifactError where
    a part is missing or is not what the manifest says; StoreError where the store can't be read.
    """
    # Not at the top: it brings NumPy, 16 MB that the process which only serves a model does without.
    from sentiment.artifact import Artifact, ArtifactError

    manifest = load_manifest(read, version)
    parts = {}
    for name, size_bytes in part_sizes(manifest).items():
        stored = read(version_key(version, name), size_bytes)
        if stored is None:
            raise ArtifactError(f"{name} of version {version} is missing")
        parts[name] = stored.content
    artifact = Artifact(manifest, parts)
    artifact.verify()
    return artifact


def load_manifest(read: Read, version: str) -> dict[str, Any]:
    """Return a version's manifest; raises VersionNotFound, sentiment's ArtifactError or StoreError."""
    from sentiment.artifact import ArtifactError

    stored = read(version_key(version, MANIFEST), MAX_MANIFEST_BYTES)
    if stored is None:
        raise VersionNotFound(f"there is no whole version {version}: it has no {MANIFEST}, which is written last")
    try:
        manifest = json.loads(stored.content)
    except ValueError as error:
        raise ArtifactError(f"{MANIFEST} of version {version} is not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{MANIFEST} of version {version} is not an object")
    return manifest


def part_sizes(manifest: dict[str, Any]) -> dict[str, int]:
    """Return the size in bytes of each part; raises sentiment's ArtifactError where they are not sizes."""
    from sentiment.artifact import ArtifactError

    sizes = {}
    match manifest.get("parts"):
        case dict(parts):
            for name, properties in parts.items():
                match properties:
                    case {"size_bytes": int(size_bytes), "sha256": str()} if size_bytes >= 0:
                        sizes[name] = size_bytes
                    case _:
                        raise ArtifactError(f"{MANIFEST} has no size and SHA-256 for {name}")
        case _:
            raise ArtifactError(f"{MANIFEST} lists no parts")
    if (total := sum(sizes.values())) > MAX_VERSION_BYTES:
        raise ArtifactError(f"its parts have {total} bytes, more than the {MAX_VERSION_BYTES} allowed")
    return sizes
