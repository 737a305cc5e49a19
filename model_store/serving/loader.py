"""A version as a serving process takes it: its manifest and the table of words, and nothing else of it."""

from contracts.manifest import Manifest
from model_store.errors import StoreError, VersionNotFound, VersionRefused
from model_store.serving.canary import check_canary
from model_store.versions import Read, load_manifest, load_parts
from sentiment.artifact import TRIE_PART, WEIGHTS_PART, check_format
from sentiment.scorer import Scorer
from sentiment.table import Table


def load_scorer(read: Read, version: str) -> tuple[Scorer, Manifest]:
    """Return what scores texts by a version, and its manifest, once both have been checked.

    Raises VersionRefused: with `passing` where the store is at fault, without where the version is.
    """
    try:
        manifest = load_manifest(read, version)
        check_format(manifest)
        parts = load_parts(read, version, manifest, (TRIE_PART, WEIGHTS_PART))
        scorer = Scorer(Table.from_bytes(parts[TRIE_PART], parts[WEIGHTS_PART]).look_up, manifest.bias)
        check_canary(scorer, manifest.canary)
    except (VersionNotFound, ValueError) as error:
        raise VersionRefused(version, str(error), passing=False) from error
    except MemoryError as error:
        raise VersionRefused(version, "not enough memory", passing=True) from error
    except StoreError as error:
        raise VersionRefused(version, str(error), passing=True) from error
    return scorer, manifest
