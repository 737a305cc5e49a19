"""A model as files and back: arrays in `.npz` that never unpickle, the table that is served, and the manifest."""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from contracts.codec import extended
from contracts.manifest import FORMAT, About, CanaryText, ClassTexts, Manifest
from sentiment.artifact import HOLDOUT_PART, MODEL_PART, TRIE_PART, WEIGHTS_PART, Artifact, ArtifactError, part_of
from sentiment.counts import TextCounts
from sentiment.model import Model
from sentiment.scorer import Scorer

# Scored again by whoever loads the model: what is served must answer as it did when it was packed.
CANARY_TEXTS = ("", "I love you", "A dull, boring film: a complete waste of time.", "Simply wonderful!")

# What zipfile raises for a damaged archive (RuntimeError: encrypted, or packed in a way that it does not know),
# and NumPy for an array that is damaged, needs pickle, or has a header that is no Python literal.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError,
    ValueError, TypeError, SyntaxError, tokenize.TokenError,
)  # fmt: skip


def pack(model: Model, about: About, more_parts: Mapping[str, bytes] | None = None) -> Artifact:
    """Return a model as files: its counts, the table that serves it, `more_parts`, and the manifest."""
    table, bias = model.table(), model.bias()
    trie, weights = table.to_bytes()
    scorer = Scorer(table.look_up, bias)
    parts = {
        MODEL_PART: save_arrays(
            vocabulary=pack_words(model.vocabulary),
            counts=model.counts,
            documents=model.class_texts,
            alpha=np.array(model.alpha),
        ),
        TRIE_PART: trie,
        WEIGHTS_PART: weights,
        **(more_parts or {}),
    }
    manifest = extended(
        about,
        Manifest,
        format=FORMAT,
        vocabulary_size=len(model.vocabulary),
        documents=ClassTexts(*model.class_texts.tolist()),
        bias=bias,
        canary=[CanaryText(text, scorer.probability(text)) for text in CANARY_TEXTS],
        parts={name: part_of(content) for name, content in parts.items()},
    )
    return Artifact(manifest, parts)


def unpack(artifact: Artifact) -> Model:
    """Return the model of a verified artifact; raises ArtifactError where it can't be one."""
    artifact.verify()
    return _read_model(artifact)


def repack(artifact: Artifact, version: str) -> Artifact:
    """Return `artifact`, the version of that id and of an earlier format, in this one, as its own successor.

    Raises ArtifactError where it holds no model.
    """
    manifest = artifact.manifest
    known = {name: getattr(manifest, name) for name in About.__struct_fields__}
    about = msgspec.structs.replace(
        About(**known), parent=version, ancestors=[*manifest.ancestors, version], labels=0, taken_back=[], champion=None
    )
    others = {name: content for name, content in artifact.parts.items() if name != MODEL_PART}
    return pack(_read_model(artifact), about, others)


def _read_model(artifact: Artifact) -> Model:
    if MODEL_PART not in artifact.parts:
        raise ArtifactError(f"{MODEL_PART} is missing")
    arrays = load_arrays(artifact.parts[MODEL_PART], MODEL_PART)
    try:
        model = Model(
            vocabulary=unpack_words(arrays["vocabulary"]),
            counts=arrays["counts"].astype(np.float64),
            class_texts=arrays["documents"].astype(np.float64),
            alpha=float(arrays["alpha"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"{MODEL_PART} does not hold a model: {error}") from error
    if any(earlier >= later for earlier, later in zip(model.vocabulary, model.vocabulary[1:], strict=False)):
        raise ArtifactError(f"{MODEL_PART} does not hold a model: its words are not sorted, each once")
    return model


@dataclass(frozen=True, eq=False)
class Holdout:
    """Labelled texts that a model has not been trained on, kept as counts: the frozen side of every comparison."""

    texts: TextCounts
    labels: NDArray[np.int8]

    def to_bytes(self) -> bytes:
        """Return the holdout as `.npz`."""
        entries = self.texts.occurrences
        return save_arrays(
            vocabulary=pack_words(self.texts.vocabulary),
            offsets=entries.indptr,
            columns=entries.indices,
            occurrences=entries.data.astype(np.int32),
            labels=self.labels,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "Holdout":
        """Read what `to_bytes` wrote; raises ArtifactError unless every text has its entries, words and label."""
        arrays = load_arrays(content, HOLDOUT_PART)
        try:
            words, labels = unpack_words(arrays.pop("vocabulary")), arrays["labels"]
            if not all(array.ndim == 1 and np.issubdtype(array.dtype, np.integer) for array in arrays.values()):
                raise ValueError("an array is not a row of integers")
            entries = arrays["occurrences"].astype(np.float64), arrays["columns"], arrays["offsets"]
            occurrences = csr_array(entries, shape=(len(labels), len(words)))
            occurrences.check_format(full_check=True)
            if not (occurrences.data > 0).all() or not np.isin(labels, (0, 1)).all():
                raise ValueError("its numbers are not counts, or its labels not 0 and 1")
        except (KeyError, ValueError, TypeError) as error:
            raise ArtifactError(f"{HOLDOUT_PART} does not hold labelled texts: {error}") from error
        return cls(TextCounts(words, occurrences), labels)


def save_arrays(**arrays: NDArray[Any]) -> bytes:
    """Return arrays as a compressed `.npz`; an array of objects is an error, since it would need pickle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Read a `.npz` without pickle; raises ArtifactError, naming `name`."""
    arrays = {}
    try:
        # np.load would hand over a member that is no array as it is.
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    arrays[member.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    except _UNREADABLE as error:
        raise ArtifactError(f"{name} is not a readable .npz without pickle: {error}") from error
    return arrays


def pack_words(words: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return words as one array of UTF-8 bytes, a line each: far smaller than an array of fixed-width strings."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


def unpack_words(array: NDArray[Any]) -> tuple[str, ...]:
    """Read what `pack_words` wrote; raises ValueError where it is not UTF-8."""
    text = array.astype(np.uint8).tobytes().decode()
    return tuple(text.split("\n")) if text else ()
