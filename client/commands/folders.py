"""Models as folders: read, verified, written; and what the commands on them have in common."""

import argparse
from pathlib import Path

from contracts.codec import Malformed
from contracts.manifest import MANIFEST, read_manifest
from datasets import DataError
from sentiment.artifact import Artifact, ArtifactError, scorer_of
from sentiment.linear import LinearModel
from sentiment.packing import unpack
from sentiment.scorer import Scorer

ERRORS = (DataError, ArtifactError)
"""What a command on files says in a line."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`."""
    kinds = "aclImdb archive or folder, .csv or .jsonl of text,label"
    parser.add_argument("--data", required=True, metavar="imdb|starter|PATH", help=kinds)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add `--model`."""
    parser.add_argument("--model", required=True, type=Path, metavar="DIR")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def load_model(folder: Path) -> LinearModel:
    """Read and verify the model of a folder that `train` wrote; raises ArtifactError."""
    return unpack(load_artifact(folder))


def load_scorer(folder: Path) -> Scorer:
    """Read and verify what scores texts of a folder that `train` wrote, as predict has it; raises ArtifactError."""
    return served(load_artifact(folder))


def served(artifact: Artifact) -> Scorer:
    """Verify a version, and return what scores texts by it, as predict has it; raises ArtifactError."""
    artifact.verify()
    try:
        return scorer_of(artifact.manifest, artifact.parts)
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"its table can't be read: {error}") from error


def save_artifact(artifact: Artifact, folder: Path) -> None:
    """Write what `load_model` reads; raises DataError where the folder can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in artifact.parts.items():
            (folder / name).write_bytes(content)
        (folder / MANIFEST).write_bytes(artifact.manifest.to_bytes())
    except OSError as error:
        raise DataError(f"the model can't be written: {error}") from error


def load_artifact(folder: Path) -> Artifact:
    """Read a folder that `train` wrote, nothing of it verified; raises ArtifactError."""
    try:
        manifest = read_manifest((folder / MANIFEST).read_bytes())
        return Artifact(manifest, {name: (folder / name).read_bytes() for name in manifest.parts})
    except (OSError, Malformed) as error:
        raise ArtifactError(f"{folder}: not a model's folder ({error}); make one with `train --output`") from error
