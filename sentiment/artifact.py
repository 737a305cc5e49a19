"""A model as bytes: arrays in `.npz` files that never unpickle, and a manifest that holds their hashes."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentiment.counts import DocumentCounts
from sentiment.model import Model

FORMAT = 1
MODEL_PART = "model.npz"
HOLDOUT_PART = "holdout.npz"
REFERENCE_PART = "reference.npz"
MANIFEST = "manifest.json"
# Scored again by whoever loads the model: what is served must answer as it did when it was packed.
CANARY_TEXTS = ("", "I love you", "A dull, boring film: a complete waste of time.", "Simply wonderful!")


class ArtifactError(ValueError):
    """A model's files are not what its manifest says; the message names the file."""


@dataclass(frozen=True)
class Artifact:
    """A model's files: `parts` by name, and the manifest with the SHA-256 and size in bytes of each."""

    manifest: dict[str, Any]
    parts: dict[str, bytes]

    def verify(self) -> None:
        """Raise ArtifactError unless the parts are exactly those of the manifest."""
        if self.manifest.get("format") != FORMAT:
            raise ArtifactError(f"{MANIFEST} has format {self.manifest.get('format')!r}, not {FORMAT}")
        expected = self.manifest.get("parts")
        if not isinstance(expected, dict):
            raise ArtifactError(f"{MANIFEST} lists no parts")
        for name, properties in expected.items():
            if name not in self.parts:
                raise ArtifactError(f"{name} is missing")
            if hashlib.sha256(self.parts[name]).hexdigest() != properties["sha256"]:
                raise ArtifactError(f"{name} has another SHA-256 than {MANIFEST} says: it is damaged or was changed")
        if extra := self.parts.keys() - expected.keys():
            raise ArtifactError(f"{sorted(extra)[0]} is not in {MANIFEST}")

    def manifest_bytes(self) -> bytes:
        """Return the manifest as JSON."""
        return json.dumps(self.manifest, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def pack(model: Model, more_parts: Mapping[str, bytes] | None = None, **metadata: Any) -> Artifact:
    """Turn a model into an artifact; `metadata` (trained_at, trainer, metrics, parent, …) goes into the manifest."""
    scorer = model.scorer()
    parts = {
        MODEL_PART: save_arrays(
            vocabulary=pack_words(model.vocabulary),
            counts=model.counts,
            documents=model.documents,
            alpha=np.array(model.alpha),
        ),
        **(more_parts or {}),
    }
    manifest = {
        **metadata,
        "format": FORMAT,
        "vocabulary_size": len(model.vocabulary),
        "documents": {"negative": float(model.documents[0]), "positive": float(model.documents[1])},
        "canary": [{"text": text, "probability": scorer.probability(text)} for text in CANARY_TEXTS],
        "parts": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
            for name, content in parts.items()
        },
    }
    return Artifact(manifest, parts)


def unpack(artifact: Artifact) -> Model:
    """Return the model of a verified artifact; raises ArtifactError where it can't be one."""
    artifact.verify()
    arrays = load_arrays(artifact.parts[MODEL_PART], MODEL_PART)
    try:
        model = Model(
            vocabulary=unpack_words(arrays["vocabulary"]),
            counts=arrays["counts"].astype(np.float64),
            documents=arrays["documents"].astype(np.float64),
            alpha=float(arrays["alpha"]),
        )
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"{MODEL_PART} does not hold a model: {error}") from error
    if any(earlier >= later for earlier, later in zip(model.vocabulary, model.vocabulary[1:], strict=False)):
        raise ArtifactError(f"{MODEL_PART} does not hold a model: its words are not sorted, each once")
    return model


@dataclass(frozen=True, eq=False)
class Holdout:
    """Labelled texts that a model has not been trained on, kept as counts: the frozen side of every comparison."""

    documents: DocumentCounts
    labels: "np.typing.NDArray[np.int8]"

    def to_bytes(self) -> bytes:
        """Return the holdout as `.npz`."""
        return save_arrays(
            vocabulary=pack_words(self.documents.vocabulary),
            offsets=self.documents.offsets,
            columns=self.documents.columns,
            occurrences=self.documents.occurrences,
            labels=self.labels,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "Holdout":
        """Read what `to_bytes` wrote; raises ArtifactError."""
        arrays = load_arrays(content, HOLDOUT_PART)
        try:
            documents = DocumentCounts(
                unpack_words(arrays["vocabulary"]),
                arrays["offsets"],
                arrays["columns"],
                arrays["occurrences"],
            )
            return cls(documents, arrays["labels"])
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{HOLDOUT_PART} does not hold labelled texts: {error}") from error


def save_arrays(**arrays: np.typing.NDArray[Any]) -> bytes:
    """Return arrays as a compressed `.npz`; an array of objects is an error, since it would need pickle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_arrays(content: bytes, name: str) -> dict[str, np.typing.NDArray[Any]]:
    """Read a `.npz` without pickle; raises ArtifactError, naming `name`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise ArtifactError(f"{name} is not a readable .npz without pickle: {error}") from error


def pack_words(words: tuple[str, ...]) -> np.typing.NDArray[np.uint8]:
    """Return words as one array of UTF-8 bytes, a line each: far smaller than an array of fixed-width strings."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


def unpack_words(array: np.typing.NDArray[Any]) -> tuple[str, ...]:
    """Read what `pack_words` wrote; raises ValueError where it is not UTF-8."""
    text = array.astype(np.uint8).tobytes().decode()
    return tuple(text.split("\n")) if text else ()
