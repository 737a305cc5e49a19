"""Writes the documents: `python -m contracts.openapi`, after a change of what functions take and answer."""

from collections.abc import Mapping
from pathlib import Path

from contracts.codec import indented
from contracts.names import module_of
from contracts.openapi.document import document
from contracts.openapi.routes import ROUTES

ROOT = Path(__file__).resolve().parents[2]


def files() -> Mapping[Path, str]:
    """Return the files, each with what is to be in it."""
    return {
        ROOT.joinpath(*module_of(name).split("."), "openapi.json"): indented(document(name)) + "\n" for name in ROUTES
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")
