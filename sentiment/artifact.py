"""A model's files: the parts by name, and a manifest that holds their hashes. Needs no NumPy; see sentiment.packing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from contracts.manifest import FORMAT, MANIFEST, Manifest, Part
from sentiment.features import SEQUENCES, features_named
from sentiment.scorer import Scorer
from sentiment.table import Table

MODEL_PART = "model.npz"
HOLDOUT_PART = "holdout.npz"
REFERENCE_PART = "reference.npz"
LABELS_PART = "labels.txt"
TRIE_PART = "table.trie"
WEIGHTS_PART = "table.weights"
SEQUENCES_PART = "table.sequences"
"""What finds all sequences of a text at once; of models of single words, and in versions of before, there is none."""

_MIB = 1024 * 1024
MAX_BYTES = {
    TRIE_PART: 24 * _MIB,
    WEIGHTS_PART: 24 * _MIB,
    SEQUENCES_PART: 32 * _MIB,
    REFERENCE_PART: 16 * _MIB,
    LABELS_PART: 16 * _MIB,
}
"""How large a part may be: several times what a model of MAX_VOCABULARY_WORDS has, and far less than what reads it."""
MAX_OTHER_BYTES = 64 * _MIB
MAX_VERSION_BYTES = 192 * _MIB


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
        check_sizes(self.manifest)
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


def check_sizes(manifest: Manifest) -> None:
    """Raise ArtifactError where a part, or all of them, would be too large to be read."""
    for name, part in manifest.parts.items():
        if part.size_bytes > (most := MAX_BYTES.get(name, MAX_OTHER_BYTES)):
            raise ArtifactError(f"{name} has {part.size_bytes} bytes, more than the {most} that it may have")
    if (total := sum(part.size_bytes for part in manifest.parts.values())) > MAX_VERSION_BYTES:
        raise ArtifactError(f"the parts have {total} bytes, more than the {MAX_VERSION_BYTES} that they may have")


def check_part(manifest: Manifest, name: str, content: bytes) -> None:
    """Raise ArtifactError unless `content` has the hash of the part `name`, which the manifest must have."""
    if part_of(content) != manifest.parts[name]:
        raise ArtifactError(f"{name} has another SHA-256 than {MANIFEST} says: it is damaged or was changed")


def served_parts(manifest: Manifest) -> list[str]:
    """Return the names of the parts that `scorer_of` reads."""
    return [TRIE_PART, WEIGHTS_PART, *({SEQUENCES_PART} & manifest.parts.keys())]


def scorer_of(manifest: Manifest, parts: Mapping[str, bytes]) -> Scorer:
    """Return what scores texts as a version does, of its table alone; raises ValueError where that can't be read."""
    table = Table.from_bytes(parts[TRIE_PART], parts[WEIGHTS_PART])
    features = features_named(manifest.features)
    look_up = table.look_up if features.come_again else table.find
    weights = None
    if features is SEQUENCES and SEQUENCES_PART in parts:
        from sentiment.sequence_table import SequenceTable  # here, since NumPy takes memory, and others do without

        weights = SequenceTable(table, parts[SEQUENCES_PART]).weights
    return Scorer(look_up, manifest.bias, manifest.calibration, features.terms, weights)


def part_of(content: bytes) -> Part:
    """Return what a manifest says of a file."""
    return Part(hashlib.sha256(content).hexdigest(), len(content))
