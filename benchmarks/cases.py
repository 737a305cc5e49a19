"""What the streams are measured with: different texts in turn, and what must have become of each."""

import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from contracts.predict import Score
from datasets import load_corpus
from sentiment.scorer import Scorer

DIFFERENT_TEXTS = 5_000
SENTENCE = [
    ["The", "This", "That", "Their", "His", "Her"],
    ["whole", "first", "second", "final", "new", "old", "long", "short", "early", "late"],
    ["film", "movie", "plot", "cast", "ending", "scene", "music", "script", "story", "picture", "acting", "sequel"],
    ["really", "simply", "rather", "quite", "utterly", "almost", "truly", "never"],
    ["great", "awful", "boring", "moving", "funny", "stupid", "lovely", "dull", "superb", "cheap", "brilliant", "weak"],
    ["to watch", "for us", "this time", "all along", "as ever", "for once", "by far", "to me"],
]


class BrokenPromiseError(ValueError):
    """Something was lost, doubled or wrong, so that its figure means nothing."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise BrokenPromiseError(what)


@dataclass(frozen=True, eq=False)
class Texts:
    """Different texts, what the model says of each, and a file of them as bodies, one a line."""

    name: str
    texts: Sequence[str]
    scores: Sequence[Score]
    file: Path

    @classmethod
    def of(cls, name: str, texts: Sequence[str], scorer: Scorer, folder: Path) -> "Texts":
        require(len(set(texts)) == len(texts), f"{name}: a text comes twice")
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return cls(name, texts, [scorer.score(text) for text in texts], file)

    def bodies(self, messages: int) -> Iterator[bytes]:
        """Yield the lines of the file, round and round."""
        return islice(cycle(self.file.read_bytes().splitlines()), messages)


@dataclass(frozen=True, eq=False)
class Case:
    """So many messages with these texts in turn, and whether each asks for a reply."""

    texts: Texts
    messages: int
    replies: bool = True

    @property
    def name(self) -> str:
        return f"{self.texts.name}, {'a reply to each' if self.replies else 'to `predictions` alone'}"

    def check_text(self, number: int, text: str) -> None:
        require(text == self.texts.texts[number % len(self.texts.texts)], f"message {number} has another text")

    def check_prediction(self, number: int, prediction: str, probability: float | None = None) -> None:
        """Raise BrokenPromiseError unless the model says so of a message; without a probability, of that alone."""
        right = self.texts.scores[number % len(self.texts.scores)]
        found = prediction, right.probability if probability is None else probability
        close = abs(found[1] - right.probability) < 1e-9
        require(prediction == right.prediction and close, f"message {number} is {found}, the model says {right}")

    def check_numbers(self, what: str, found: Collection[int], distinct: Collection[int]) -> None:
        """Raise BrokenPromiseError unless `found` are as many as messages, each with a number of its own."""
        complete = len(found) == self.messages and set(distinct) == set(range(self.messages))
        require(complete, f"{self.messages} messages gave {len(found)} {what}, {len(set(distinct))} distinct")


def short_texts(number: int) -> Sequence[str]:
    """Return different sentences of about 40 characters, the same each time."""
    draw = random.Random(number)
    found: dict[str, None] = {}
    while len(found) < number:
        words = [draw.choice(choices) for choices in SENTENCE]
        found[f"{words[0]} {words[1]} {words[2]} was {words[3]} {words[4]} {words[5]}"] = None
    return list(found)


def some_reviews(archive: Path, number: int) -> Sequence[str]:
    """Return different reviews of both labels, the same each time."""
    texts = dict.fromkeys(load_corpus(str(archive)).texts)
    return random.Random(number).sample(list(texts), number)


def large_texts(number: int, characters: int) -> Sequence[str]:
    """Return different texts of so many characters, made of the short ones."""
    sentences, draw = short_texts(DIFFERENT_TEXTS), random.Random(number)
    return [". ".join(draw.choices(sentences, k=characters // 20))[:characters] for _ in range(number)]
