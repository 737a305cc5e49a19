"""A model as files and back: arrays in `.npz` that never unpickle, the table that is served, and the manifest."""

import io
import math
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
from contracts.manifest import FORMAT, MANIFEST, About, CanaryText, ClassTexts, Manifest
from sentiment.artifact import (
    HOLDOUT_PART,
    MODEL_PART,
    SEQUENCES_PART,
    TRIE_PART,
    WEIGHTS_PART,
    Artifact,
    ArtifactError,
    part_of,
)
from sentiment.counts import TextCounts
from sentiment.features import SEQUENCES, features_named
from sentiment.linear import LinearModel
from sentiment.scorer import Scorer
from sentiment.sequence_table import pack_sequences
from sentiment.trainers import TRAINERS

# Scored again by whoever loads the model: what is served must answer as it did when it was packed.
CANARY_TEXTS = (
    "", "I love you", "A dull, boring film: a complete waste of time.", "Simply wonderful!",
    "I did not think that I would like this film, but it is one of the best that I have ever seen!",
)  # fmt: skip

MAX_UNPACKED_BYTES = 128 * 1024 * 1024
"""How large all arrays of a `.npz` may be together: an archive of 300 kB can unpack to 300 MB."""
# As Python's strings, words take many times their bytes.
MAX_WORDS = 2_000_000
MAX_WORD_BYTES = 32 * 1024 * 1024
# zipfile reads the list of members as a whole; of a member, NumPy reads less than this at once.
_MAX_READ_BYTES = 1024 * 1024

# What zipfile raises for a damaged archive (RuntimeError: encrypted, or packed in a way that it does not know),
# and NumPy for an array that is damaged, needs pickle, or has a header that is no Python literal.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError,
    ValueError, TypeError, SyntaxError, tokenize.TokenError,
)  # fmt: skip


def pack(model: LinearModel, about: About, more_parts: Mapping[str, bytes] | None = None) -> Artifact:
    """Return a model as files: what it was trained on, the table that serves it, `more_parts`, and the manifest."""
    table, bias = model.table(), model.bias()
    trie, weights = table.to_bytes()
    features = features_named(model.features.name)
    scorer = Scorer(table.look_up, bias, about.calibration, features.terms)
    parts = {
        MODEL_PART: save_arrays(vocabulary=pack_words(model.vocabulary), **model.arrays()),
        TRIE_PART: trie,
        WEIGHTS_PART: weights,
        **({SEQUENCES_PART: pack_sequences(table.words())} if features is SEQUENCES else {}),
        **(more_parts or {}),
    }
    manifest = extended(
        about,
        Manifest,
        format=FORMAT,
        algorithm=model.trainer,
        features=model.features.name,
        vocabulary_size=len(model.vocabulary),
        documents=ClassTexts(*model.class_texts.tolist()),
        bias=bias,
        canary=[CanaryText(text, scorer.probability(text)) for text in CANARY_TEXTS],
        parts={name: part_of(content) for name, content in parts.items()},
    )
    return Artifact(manifest, parts)


def unpack(artifact: Artifact) -> LinearModel:
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


def _read_model(artifact: Artifact) -> LinearModel:
    if MODEL_PART not in artifact.parts:
        raise ArtifactError(f"{MODEL_PART} is missing")
    trainer = TRAINERS.get(artifact.manifest.algorithm)
    if trainer is None:
        raise ArtifactError(f"{MANIFEST} names a trainer that this release has not: {artifact.manifest.algorithm}")
    arrays = load_arrays(artifact.parts[MODEL_PART], MODEL_PART)
    try:
        model = trainer.read(unpack_words(arrays.pop("vocabulary")), arrays)
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
            _check_size(arrays["occurrences"].size * np.dtype(np.float64).itemsize)
            entries = arrays["occurrences"].astype(np.float64), arrays["columns"], arrays["offsets"]
            occurrences = csr_array(entries, shape=(len(labels), len(words)))
            occurrences.check_format(full_check=True)
            if not (occurrences.data > 0).all() or not np.isin(labels, (0, 1)).all():
                raise ValueError("its numbers are not counts, or its labels not 0 and 1")
        except (KeyError, ValueError, TypeError) as error:
            raise ArtifactError(f"{HOLDOUT_PART} does not hold labelled texts: {error}") from error
        return cls(TextCounts(words, occurrences), labels)


def save_arrays(**arrays: NDArray[Any]) -> bytes:
    """Return arrays as a compressed `.npz`; an array of objects is an error, since it would need pickle.

    Raises ArtifactError where they are larger than `load_arrays` takes.
    """
    _check_size(sum(array.nbytes for array in arrays.values()))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Read a `.npz` of numbers without pickle, and no more of it than it says; raises ArtifactError, naming `name`."""
    try:
        # np.load would hand over a member that is no array as it is.
        with zipfile.ZipFile(_InPieces(content)) as archive:
            members = archive.infolist()
            _check_size(sum(member.file_size for member in members))
            return {member.filename.removesuffix(".npy"): _load_array(archive, member) for member in members}
    except _UNREADABLE as error:
        raise ArtifactError(f"{name} is not a readable .npz without pickle: {error}") from error


def _load_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Return an array; raises one of _UNREADABLE."""
    # Of the other ways to compress, zipfile unpacks whatever comes out.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is compressed in a way that is not allowed")
    with archive.open(member) as file:
        # The later ones have headers of up to 4 GB.
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{member.filename} is of another version of NumPy's format than 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in "iuf":
            raise ValueError(f"{member.filename} does not hold numbers, but {dtype}")
        # NumPy would make room for what the header says, whatever the archive holds.
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename} is not as large as its header says")
        file.seek(0)
        found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return found


class _InPieces(io.BytesIO):
    """An archive that is read a piece at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; raises BadZipFile where they are too many at once."""
        rest = len(self.getbuffer()) - self.tell()
        if (rest if size is None or size < 0 else min(size, rest)) > _MAX_READ_BYTES:
            raise zipfile.BadZipFile("it has too many members")
        return super().read(size)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_UNPACKED_BYTES:
        raise ArtifactError(f"its arrays have {size_bytes} bytes, more than the {MAX_UNPACKED_BYTES} allowed")


def pack_words(words: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return words as one array of UTF-8 bytes, a line each: far smaller than an array of fixed-width strings.

    Raises ArtifactError where they are more than `unpack_words` takes.
    """
    array = np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
    _check_words(array)
    return array


def unpack_words(array: NDArray[Any]) -> tuple[str, ...]:
    """Read what `pack_words` wrote; raises ValueError where it is not UTF-8, or too much."""
    _check_words(array)
    text = array.astype(np.uint8).tobytes().decode()
    return tuple(text.split("\n")) if text else ()


def _check_words(array: NDArray[Any]) -> None:
    words = np.count_nonzero(array == ord("\n")) + 1
    if array.size > MAX_WORD_BYTES or words > MAX_WORDS:
        raise ArtifactError(f"it has {words} words of {array.size} bytes; {MAX_WORDS} of {MAX_WORD_BYTES} are allowed")
