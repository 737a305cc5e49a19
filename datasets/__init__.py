"""Labelled texts to learn from: the IMDB archive, the starter sentences, or files of one's own.

Nothing is copied into the project: data sets are fetched when asked for, checked, and kept in a cache.
"""

from datasets.files import DataError, Example, default_cache, read_examples, read_json_lines
from datasets.sources import load_corpus

__all__ = ["DataError", "Example", "default_cache", "load_corpus", "read_examples", "read_json_lines"]
