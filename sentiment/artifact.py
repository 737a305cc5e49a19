"""A model's files: the parts by name, and a manifest that holds their hashes. Needs no NumPy; see sentiment.packing."""

import hashlib
from dataclasses import dataclass

from contracts.manifest import FORMAT, MANIFEST, Manifest, Part

MODEL_PART = "model.npz"
HOLDOUT_PART = "holdout.npz"
REFERENCE_PART = "reference.npz"
LABELS_PART = "labels.txt"
TRIE_PART = "table.trie"
WEIGHTS_PART = "table.weights"


class ArtifactError(ValueError):
    """A model's files are not what its manifest says; the message names the file."""


@dataclass(frozen=True)
class Artifact:
    """A model's files: `parts` by name, and the manifest with the SHA-256 and size in bytes of each."""

    manifest: Manifest
    parts: dict[str, bytes]

    def verify(self) -> None:
        """Raise ArtifactError unless it is of this format, and the parts are exactly those of the manifest."""
        check_format(self.manifest)
        for name in self.manifest.parts:
            if name not in self.parts:
                raise ArtifactError(f"{name} is missing")
            check_part(self.manifest, name, self.parts[name])
        if extra := self.parts.keys() - self.manifest.parts.keys():
            raise ArtifactError(f"{sorted(extra)[0]} is not in {MANIFEST}")


def check_format(manifest: Manifest) -> None:
    """Raise ArtifactError unless a manifest is of this release's format."""
    if manifest.format < FORMAT:
        raise ArtifactError(
            f"{MANIFEST} has format {manifest.format}, of an earlier release: promoting the version, as"
            " ./deploy.sh does with the one that is served, packs it again"
        )
    if manifest.format > FORMAT:
        raise ArtifactError(f"{MANIFEST} has format {manifest.format}, of a later release; this one reads {FORMAT}")


def check_part(manifest: Manifest, name: str, content: bytes) -> None:
    """Raise ArtifactError unless `content` has the hash of the part `name`, which the manifest must have."""
    if part_of(content) != manifest.parts[name]:
        raise ArtifactError(f"{name} has another SHA-256 than {MANIFEST} says: it is damaged or was changed")


def part_of(content: bytes) -> Part:
    """Return what a manifest says of a file."""
    return Part(hashlib.sha256(content).hexdigest(), len(content))
