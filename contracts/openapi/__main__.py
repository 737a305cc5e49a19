"""Writes the documents: `python -m contracts.openapi`, after a change of what functions take and answer."""

from collections.abc import Mapping
from pathlib import Path

from contracts.codec import indented
from contracts.names import module_of
from contracts.openapi.document import of_all, of_function
from contracts.openapi.routes import ROUTES

ROOT = Path(__file__).resolve().parents[2]


def files() -> Mapping[Path, str]:
    """Return the files, each with what is to be in it."""
    served = {ROOT.joinpath(*module_of(name).split("."), "openapi.json"): of_function(name) for name in ROUTES}
    documents = {**served, ROOT / "docs" / "openapi.json": of_all()}
    return {path: indented(document) + "\n" for path, document in documents.items()}


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")
