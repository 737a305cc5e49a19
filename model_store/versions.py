"""Reading a version, or parts of it: checked, or not at all."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contracts.codec import Malformed
from contracts.manifest import MANIFEST, Manifest, read_manifest
from model_store.errors import VersionNotFound
from model_store.layout import version_key
from sentiment.artifact import Artifact, ArtifactError, check_part

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_VERSION_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class StoredObject:
    """An object as read: its content and its ETag, quotes included."""

    content: bytes
    etag: str


Read = Callable[[str, int], StoredObject | None]
"""From a key, and the bytes that it may have at most, to the object, None if there is none; raises StoreError."""


def load_manifest(read: Read, version: str) -> Manifest:
    """Return a version's manifest; raises VersionNotFound, ArtifactError or StoreError."""
    stored = read(version_key(version, MANIFEST), MAX_MANIFEST_BYTES)
    if stored is None:
        raise VersionNotFound(f"there is no whole version {version}: it has no {MANIFEST}, which is written last")
    try:
        manifest = read_manifest(stored.content)
    except Malformed as error:
        raise ArtifactError(f"{MANIFEST} of version {version} {error}") from error
    if (total := sum(part.size_bytes for part in manifest.parts.values())) > MAX_VERSION_BYTES:
        raise ArtifactError(f"the parts of {version} have {total} bytes, more than the {MAX_VERSION_BYTES} allowed")
    return manifest


def load_parts(read: Read, version: str, manifest: Manifest, names: Iterable[str]) -> dict[str, bytes]:
    """Return some parts of a version, which have the hashes that its manifest says.

    Raises ArtifactError where a part is missing or is another; StoreError where the store can't be read.
    """
    parts = {}
    for name in names:
        if name not in manifest.parts:
            raise ArtifactError(f"{MANIFEST} of version {version} has no {name}")
        stored = read(version_key(version, name), manifest.parts[name].size_bytes)
        if stored is None:
            raise ArtifactError(f"{name} of version {version} is missing")
        check_part(manifest, name, stored.content)
        parts[name] = stored.content
    return parts


def load_artifact(read: Read, version: str) -> Artifact:
    """Return a version with all of its parts, of whatever format; raises what `load_manifest` and `load_parts` do."""
    manifest = load_manifest(read, version)
    return Artifact(manifest, load_parts(read, version, manifest, manifest.parts))
