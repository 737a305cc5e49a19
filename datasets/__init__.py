"""Labelled texts to learn from: the IMDB archive, the starter sentences, or files of one's own.

Nothing is copied into the project: data sets are fetched when asked for, checked, and kept in a cache.
"""

from pathlib import Path

from datasets import imdb, starter
from datasets.files import DataError, Example, default_cache, read_examples, read_json_lines
from sentiment.text import Corpus

__all__ = ["DataError", "Example", "default_cache", "load_corpus", "read_examples", "read_json_lines"]


def load_corpus(source: str, *, part: str | None = None, cache: Path | None = None) -> Corpus:
    """Return the labelled texts of `imdb`, `starter` or a path.

    part: of an aclImdb archive or folder that has both, `train` or `test`; all of it if None.
    Raises DataError where the source can't be had, or has not both labels.
    """
    folder = cache or default_cache()
    if source == "imdb":
        examples = read_examples(imdb.fetch(folder), part=part)
    elif source == "starter":
        examples = starter.read_sentences(starter.fetch(folder), starter.SENTENCES)
    else:
        examples = read_examples(Path(source), part=part)
    texts, labels = [], []
    for example in examples:
        if example.label is None:
            raise DataError(f"{source}: a text has no label; each needs 0, 1, negative or positive")
        texts.append(example.text)
        labels.append(example.label)
    if len(set(labels)) < 2:
        raise DataError(f"{source}: found {len(texts)} labelled texts; texts of both labels are needed")
    return Corpus(source, texts, labels)
