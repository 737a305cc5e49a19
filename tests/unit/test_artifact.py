"""A model survives as bytes, and bytes that are not that model are refused without being run."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.codec import Malformed
from contracts.manifest import FORMAT, ClassTexts, Manifest, Part, read_manifest
from sentiment import packing
from sentiment.artifact import (
    HOLDOUT_PART,
    LABELS_PART,
    MODEL_PART,
    REFERENCE_PART,
    TRIE_PART,
    WEIGHTS_PART,
    Artifact,
    ArtifactError,
    check_sizes,
    part_of,
)
from sentiment.counts import count_texts
from sentiment.evaluation import evaluate
from sentiment.model import Model
from sentiment.packing import Holdout, load_arrays, pack, repack, save_arrays, unpack
from sentiment.trainers.multinomial_nb import train
from tests.models import ABOUT, equal
from tests.project import ROOT
from tests.unit.texts import CORPORA, LABELLED

Arrays = dict[str, NDArray[Any]]
MODEL = Model(("bad", "café", "good"), np.array([[3.0, 1.0, 0.5], [0.0, 2.0, 4.0]]), np.array([2.0, 3.0]), alpha=0.5)
PACKED = pack(MODEL, ABOUT)


def with_parts(parts: Mapping[str, bytes], manifest: Manifest = PACKED.manifest) -> Artifact:
    """An artifact whose manifest vouches for `parts`, as a writer with bad intent would make it."""
    listed = {name: part_of(content) for name, content in parts.items()}
    return Artifact(msgspec.structs.replace(manifest, parts=listed), dict(parts))


def changed(**arrays: NDArray[Any] | None) -> Artifact:
    """The packed model with arrays replaced, or taken out for None, under a manifest that vouches for them."""
    all_arrays: dict[str, Any] = {**load_arrays(PACKED.parts[MODEL_PART], MODEL_PART), **arrays}
    return with_parts(
        {MODEL_PART: save_arrays(**{name: array for name, array in all_arrays.items() if array is not None})}
    )


def lines(*words: str) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def pickled(**arrays: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


@settings(max_examples=60, deadline=None)
@given(CORPORA)
def test_a_model_comes_back_as_it_was(corpus: list[tuple[str, int]]) -> None:
    model = train(*zip(*corpus, strict=True))
    artifact = pack(model, ABOUT)
    assert equal(unpack(artifact), model)
    manifest = read_manifest(artifact.manifest.to_bytes())
    assert manifest == artifact.manifest
    assert equal(unpack(Artifact(manifest, artifact.parts)), model)


def test_the_manifest_says_what_the_model_is() -> None:
    metrics = evaluate([1.0, -1.0], [1, 0])
    about = msgspec.structs.replace(ABOUT, parent="v0", metrics=metrics)
    artifact = pack(MODEL, about, {"notes.txt": b"hello"})
    manifest = artifact.manifest
    assert manifest.format == FORMAT
    assert manifest.vocabulary_size == 3
    assert manifest.documents == ClassTexts(negative=2.0, positive=3.0)
    assert (manifest.trainer, manifest.parent, manifest.metrics) == ("test", "v0", metrics)
    assert manifest.parts["notes.txt"] == Part(hashlib.sha256(b"hello").hexdigest(), 5)
    assert set(manifest.parts) == {MODEL_PART, TRIE_PART, WEIGHTS_PART, "notes.txt"}
    scorer = MODEL.scorer()
    assert [canary.probability for canary in manifest.canary] == [
        scorer.probability(canary.text) for canary in manifest.canary
    ]


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_changed_byte_is_named_by_its_file(position: int) -> None:
    artifact = PACKED
    content = bytearray(artifact.parts[MODEL_PART])
    content[position] ^= 1
    with pytest.raises(ArtifactError, match=r"model\.npz has another SHA-256"):
        unpack(replace(artifact, parts={**artifact.parts, MODEL_PART: bytes(content)}))


def test_a_missing_part_is_named() -> None:
    artifact = pack(MODEL, ABOUT, {"notes.txt": b"hello"})
    with pytest.raises(ArtifactError, match=r"notes\.txt is missing"):
        replace(artifact, parts=PACKED.parts).verify()


def test_a_part_that_the_manifest_does_not_list_is_named() -> None:
    artifact = PACKED
    with pytest.raises(ArtifactError, match=r"extra\.bin is not in"):
        replace(artifact, parts={**artifact.parts, "extra.bin": b""}).verify()


def test_an_artifact_without_a_model_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"model\.npz is missing"):
        unpack(with_parts({"notes.txt": b"hello"}))


@pytest.mark.parametrize(("number", "message"), [(1, "earlier release"), (FORMAT + 1, "later release")])
def test_a_version_of_another_format_is_refused_with_what_to_do(number: int, message: str) -> None:
    manifest = msgspec.structs.replace(PACKED.manifest, format=number)
    with pytest.raises(ArtifactError, match=message):
        unpack(replace(PACKED, manifest=manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, r"`\$.format`"),
        ({"parts": None}, r"`\$.parts`"),
        ({"parts": ["model.npz"]}, r"`\$.parts`"),
        ({"parts": {"model.npz": {}}}, "sha256"),
        ({"parts": {"model.npz": "abc"}}, r"`\$.parts"),
        ({"parts": {"model.npz": {"sha256": "abc", "size_bytes": -1}}}, ">= 0"),
        ({"canary": [{"text": "good"}]}, "probability"),
        ({"ancestors": "v1"}, "ancestors"),
        ({"parts": {"model.npz": {"sha256": "abc", "size_bytes": True}}}, "Expected `int`"),
        ({"parts": {"model.npz": {"sha256": "abc", "size_bytes": 1.5}}}, "Expected `int`"),
        ({"parts": {"model.npz": {"sha256": 1, "size_bytes": 1}}}, "Expected `str`"),
        ({"bias": "0"}, "Expected `float`"),
        ({"format": 1, "champion": "v1"}, "champion"),
        ({"format": 1, "champion": ["v1"]}, "champion"),
        ({"format": 1, "metrics": "good"}, "metrics"),
    ],
)
def test_a_manifest_of_another_form_is_refused(change: dict[str, Any], message: str) -> None:
    document = {**json.loads(PACKED.manifest.to_bytes()), **change}
    with pytest.raises(Malformed, match=message):
        read_manifest(json.dumps(document).encode())


def test_a_version_of_the_first_format_is_packed_again_as_its_own_successor() -> None:
    # As the release before 0.2 wrote it: no table, no bias, {} for no figures.
    document = json.loads(PACKED.manifest.to_bytes())
    document |= {"format": 1, "metrics": {}, "champion": {"model": "v0", "metrics": {}}, "ancestors": ["v0"]}
    document["parts"] = {name: document["parts"][name] for name in (MODEL_PART,)}
    del document["bias"]
    old = Artifact(read_manifest(json.dumps(document).encode()), {MODEL_PART: PACKED.parts[MODEL_PART]})
    again = repack(old, "v1")
    assert equal(unpack(again), MODEL)
    assert again.manifest.ancestors == ["v0", "v1"]
    assert (again.manifest.parent, again.manifest.trained_at) == ("v1", old.manifest.trained_at)
    assert again.manifest.canary == old.manifest.canary


@pytest.mark.parametrize("name", ["vocabulary", "counts", "documents", "alpha"])
def test_pickled_arrays_are_refused_and_never_run(name: str, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    arrays = load_arrays(PACKED.parts[MODEL_PART], MODEL_PART)
    content = pickled(**{**arrays, name: np.array([Payload(trap)], dtype=object)})
    with pytest.raises(ArtifactError, match="pickle"):
        unpack(with_parts({MODEL_PART: content}))
    assert not trap.exists()
    with np.load(io.BytesIO(content), allow_pickle=True) as unsafe:
        assert unsafe[name] is not None
    assert trap.exists(), "the payload must be one that would have run"


def test_a_bare_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    content = np.array([Payload(trap)], dtype=object).dumps()
    with pytest.raises(ArtifactError, match=r"model\.npz"):
        unpack(with_parts({MODEL_PART: content}))
    assert not trap.exists()


def test_objects_are_never_written() -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        save_arrays(words=np.array(["good", None], dtype=object))


@pytest.mark.parametrize("words", [("good", "café", "bad"), ("bad", "bad", "good"), ("", "", "")])
def test_a_vocabulary_that_is_not_sorted_each_word_once_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ArtifactError, match="sorted"):
        unpack(changed(vocabulary=lines(*words)))


@pytest.mark.parametrize(
    "arrays",
    [
        {"counts": np.ones((2, 2))},
        {"counts": np.ones((3, 2))},
        {"counts": np.ones(6)},
        {"counts": np.ones(())},
        {"counts": -np.ones((2, 3))},
        {"counts": np.full((2, 3), np.nan)},
        {"counts": np.full((2, 3), "many")},
        {"counts": np.zeros((2, 3), dtype=[("a", "f8"), ("b", "f8")])},
        {"documents": np.ones(3)},
        {"documents": np.zeros(2)},
        {"alpha": np.ones(2)},
        {"alpha": np.array(0.0)},
        {"alpha": np.array(np.nan)},
        {"alpha": np.array("one")},
        {"vocabulary": lines("bad", "good")},
        {"vocabulary": np.array([0xFF, 0xFE], dtype=np.uint8)},
        {"vocabulary": np.array(["bad", "café", "good"])},
        {"vocabulary": None},
        {"counts": None},
        {"documents": None},
        {"alpha": None},
    ],
    ids=lambda arrays: f"{next(iter(arrays))}: {next(iter(arrays.values()))}".replace("\n", " "),
)
def test_arrays_that_make_no_model_are_refused(arrays: dict[str, NDArray[Any] | None]) -> None:
    with pytest.raises(ArtifactError, match=r"model\.npz (does not hold a model|.* does not hold numbers)"):
        unpack(changed(**arrays))


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


BOMB_BYTES = 300_000_000
MOST_GROWTH_BYTES = 20_000_000


def npy(size_bytes: int, *, version: int = 1) -> bytes:
    """The head of an array of so many bytes."""
    buffer = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (size_bytes,)}
    write = np.lib.format.write_array_header_1_0 if version == 1 else np.lib.format.write_array_header_2_0
    write(buffer, about)
    return buffer.getvalue()


def bomb(head: bytes, *, compression: int = zipfile.ZIP_DEFLATED, declared_bytes: int | None = None) -> bytes:
    """A small archive with a member that begins with `head` and unpacks to BOMB_BYTES of zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, archive.open("vocabulary.npy", "w") as file:
        file.write(head)
        for _ in range(BOMB_BYTES // 1_000_000):
            file.write(bytes(1_000_000))
    content = buffer.getvalue()
    assert len(content) < 400_000
    if declared_bytes is None:
        return content
    # Its size stands in the list at the end, 24 bytes behind the beginning of the entry, which is what zipfile reads.
    entry = content.rindex(b"PK\x01\x02")
    return content[: entry + 24] + declared_bytes.to_bytes(4, "little") + content[entry + 28 :]


def member_bomb() -> bytes:
    """An archive that is nothing but a list of members, each of which zipfile makes an object of."""
    entry = b"PK\x01\x02" + bytes(24) + (1).to_bytes(2, "little") + bytes(16) + b"a"
    count = 200_000
    size = (count * len(entry)).to_bytes(4, "little")
    return entry * count + b"PK\x05\x06" + bytes(4) + b"\xff\xff\xff\xff" + size + bytes(6)


def long_header_bomb() -> bytes:
    """A header of the second version says itself how long it is: here, 300 MB."""
    head = np.lib.format.magic(2, 0) + BOMB_BYTES.to_bytes(4, "little")
    return bomb(head, declared_bytes=100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(npy(BOMB_BYTES)), "bytes, more than"),
        (bomb(npy(BOMB_BYTES), declared_bytes=100_000), "not as large as its header says"),
        (bomb(npy(BOMB_BYTES), compression=zipfile.ZIP_BZIP2), "bytes, more than"),
        (bomb(npy(1_000), compression=zipfile.ZIP_BZIP2, declared_bytes=1_128), "compressed in a way"),
        (bomb(npy(1_000), compression=zipfile.ZIP_LZMA, declared_bytes=1_128), "compressed in a way"),
        (long_header_bomb(), "another version"),
        (zipped({"vocabulary.npy": npy(2**50)}), "not as large as its header says"),
        (member_bomb(), "too many members"),
    ],
    ids=["large", "lies", "bzip2", "bzip2 lies", "lzma lies", "long header", "huge array", "members"],
)
def test_an_archive_that_unpacks_to_far_more_is_refused_in_little_memory(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(content)
    # In a process of its own, whose peak is that of nothing else.
    code = """
import pathlib, sys
from sentiment.artifact import ArtifactError
from sentiment.packing import load_arrays

def peak_bytes():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

content = pathlib.Path(sys.argv[1]).read_bytes()
before = peak_bytes()
try:
    load_arrays(content, "model.npz")
except ArtifactError as error:
    print(error)
print(peak_bytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, growth = done.stdout.splitlines()
    assert said.startswith("model.npz is not a readable .npz")
    assert reason in said
    assert int(growth) < MOST_GROWTH_BYTES


def test_words_that_would_take_many_times_their_bytes_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"model\.npz .* 3000001 words"):
        unpack(changed(vocabulary=np.full(3_000_000, ord("\n"), dtype=np.uint8)))
    with pytest.raises(ArtifactError, match=r"model\.npz .* of 33554433 bytes"):
        unpack(changed(vocabulary=np.full(2**25 + 1, ord("a"), dtype=np.uint8)))


def test_what_could_not_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_UNPACKED_BYTES", 1_000)
    with pytest.raises(ArtifactError, match="1001 bytes, more than the 1000 allowed"):
        save_arrays(numbers=np.zeros(1_001, dtype=np.uint8))
    monkeypatch.setattr(packing, "MAX_WORDS", 2)
    with pytest.raises(ArtifactError, match="3 words"):
        pack(MODEL, ABOUT)


@pytest.mark.parametrize("name", [MODEL_PART, HOLDOUT_PART, REFERENCE_PART, LABELS_PART, TRIE_PART, WEIGHTS_PART, "x"])
def test_a_part_that_is_too_large_is_refused_by_what_the_manifest_says(name: str) -> None:
    parts = {**PACKED.manifest.parts, name: Part("0" * 64, 64 * 1024 * 1024 + 1)}
    with pytest.raises(ArtifactError, match=f"{name} has 67108865 bytes, more than"):
        check_sizes(msgspec.structs.replace(PACKED.manifest, parts=parts))


def test_parts_that_are_too_large_together_are_refused() -> None:
    parts = {f"part{number}": Part("0" * 64, 64 * 1024 * 1024) for number in range(4)}
    with pytest.raises(ArtifactError, match="the parts have 268435456 bytes"):
        check_sizes(msgspec.structs.replace(PACKED.manifest, parts=parts))


def as_npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        as_npy(np.ones(3)),
        zipped({"vocabulary.npy": b"good"}),
        zipped({"vocabulary.npy": b""}),
        zipped({"vocabulary.npy": as_npy(np.ones(3))[:-4]}),
        zipped({"vocabulary.npy": as_npy(np.ones(3)).replace(b"(3,)", b"(3, ")}),
        zipped({"vocabulary.npy": as_npy(np.ones(3)).replace(b"<f8", b"|Z9")}),
        zipped({}),
    ],
    ids=["empty", "text", "npy", "no-array", "empty-array", "short-array", "open-header", "unknown-type", "no-members"],
)
def test_bytes_that_are_no_arrays_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"model\.npz"):
        unpack(with_parts({MODEL_PART: content}))


def test_an_archive_cut_off_anywhere_is_refused() -> None:
    whole = PACKED.parts[MODEL_PART]
    for length in range(len(whole)):
        with pytest.raises(ArtifactError, match=r"model\.npz is not a readable"):
            unpack(with_parts({MODEL_PART: whole[:length]}))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(PACKED.parts[MODEL_PART]) - 1), st.integers(1, 255))
def test_a_changed_byte_under_a_manifest_that_vouches_for_it_gives_a_model_or_an_error(at: int, by: int) -> None:
    content = bytearray(PACKED.parts[MODEL_PART])
    content[at] ^= by
    try:
        model = unpack(with_parts({MODEL_PART: bytes(content)}))
    except ArtifactError:
        return
    assert np.isfinite(model.log_odds()).all()


# --- the holdout ---


def holdout(examples: list[tuple[str, int]]) -> Holdout:
    documents = count_texts(text for text, _ in examples)
    return Holdout(documents, np.array([label for _, label in examples], dtype=np.int8))


@settings(max_examples=60, deadline=None)
@given(st.lists(LABELLED, max_size=8))
def test_a_holdout_comes_back_as_it_was(examples: list[tuple[str, int]]) -> None:
    read = Holdout.from_bytes(holdout(examples).to_bytes())
    scorer = MODEL.scorer()
    assert len(read.texts) == len(examples)
    assert read.labels.tolist() == [label for _, label in examples]
    assert read.texts.log_odds(scorer) == pytest.approx([scorer.log_odds(text) for text, _ in examples], abs=1e-9)


def test_a_holdout_travels_with_its_model() -> None:
    content = holdout([("good", 1), ("bad", 0)]).to_bytes()
    artifact = pack(MODEL, ABOUT, {HOLDOUT_PART: content})
    artifact.verify()
    assert Holdout.from_bytes(artifact.parts[HOLDOUT_PART]).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "arrays",
    [
        {"labels": np.array([1], dtype=np.int8)},
        {"labels": np.array([1, 2], dtype=np.int8)},
        {"labels": np.array([1.0, 0.0])},
        {"labels": np.array([[1, 0]], dtype=np.int8)},
        {"offsets": np.array([0, 2])},
        {"offsets": np.array([0, 3, 2])},
        {"offsets": np.array([1, 2, 3])},
        {"offsets": np.array([0, 2, 4])},
        {"offsets": np.array([], dtype=np.int64)},
        {"columns": np.array([0, 1, 9], dtype=np.int32)},
        {"columns": np.array([0, 1, -1], dtype=np.int32)},
        {"columns": np.array([0, 1], dtype=np.int32)},
        {"occurrences": np.array([1, 1, 0], dtype=np.int32)},
        {"occurrences": np.array([1.0, 1.0, 1.0])},
        {"vocabulary": lines("film")},
        {"vocabulary": np.array([0xFF], dtype=np.uint8)},
        {"labels": None},
        {"offsets": None},
    ],
    ids=lambda arrays: f"{next(iter(arrays))}: {next(iter(arrays.values()))}",
)
def test_arrays_that_make_no_holdout_are_refused(arrays: dict[str, NDArray[Any] | None]) -> None:
    whole: dict[str, Any] = load_arrays(holdout([("good film", 1), ("bad", 0)]).to_bytes(), HOLDOUT_PART)
    content = save_arrays(**{name: array for name, array in {**whole, **arrays}.items() if array is not None})
    with pytest.raises(ArtifactError, match=r"holdout\.npz does not hold labelled texts"):
        Holdout.from_bytes(content)


def test_a_pickled_holdout_is_refused_and_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    with pytest.raises(ArtifactError, match=r"holdout\.npz.*pickle"):
        Holdout.from_bytes(pickled(labels=np.array([Payload(trap)], dtype=object)))
    assert not trap.exists()
