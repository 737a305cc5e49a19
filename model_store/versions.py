"""Reading a version, or parts of it: checked, or not at all."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contracts.codec import Malformed
from contracts.manifest import MANIFEST, Manifest, read_manifest
from model_store.errors import VersionNotFound
from model_store.layout import version_key
from model_store.trust import Trust
from sentiment.artifact import Artifact, ArtifactError, check_part, check_sizes

MAX_MANIFEST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class StoredObject:
    """An object as read: its content and its ETag, quotes included."""

    content: bytes
    etag: str


Read = Callable[[str, int], StoredObject | None]
"""From a key, and the bytes that it may have at most, to the object, None if there is none; raises StoreError."""


def load_manifest(read: Read, version: str, trust: Trust) -> Manifest:
    """Return a version's manifest; raises VersionNotFound, VersionDistrusted, ArtifactError or StoreError."""
    content = manifest_content(read, version)
    trust.check_version(read, version, content)
    return manifest_of(version, content)


def manifest_content(read: Read, version: str) -> bytes:
    """Return a version's manifest as it is stored, believed or not; raises VersionNotFound or StoreError."""
    stored = read(version_key(version, MANIFEST), MAX_MANIFEST_BYTES)
    if stored is None:
        raise VersionNotFound(f"there is no whole version {version}: it has no {MANIFEST}, which is written last")
    return stored.content


def manifest_of(version: str, content: bytes) -> Manifest:
    """Return the manifest of a version, whose parts are not too large; raises ArtifactError."""
    try:
        manifest = read_manifest(content)
    except Malformed as error:
        raise ArtifactError(f"{MANIFEST} of version {version} {error}") from error
    check_sizes(manifest)
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


def load_artifact(read: Read, version: str, trust: Trust) -> Artifact:
    """Return a version with all of its parts, of whatever format; raises what `load_manifest` and `load_parts` do."""
    manifest = load_manifest(read, version, trust)
    return Artifact(manifest, load_parts(read, version, manifest, manifest.parts))
