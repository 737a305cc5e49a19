"""Sends texts of other kinds, mixed with ordinary ones, through predict, and waits until they are recorded."""

import logging
import random
import re
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import files

import urllib3

from contracts.codec import encode
from contracts.drift import Deleted, Generated
from contracts.predict import TextsRequest
from process import tracing
from process.exclusive import Exclusive
from process.tls import explained
from records.drift import GeneratedTexts
from sentiment.text import batches

logger = logging.getLogger(__name__)

RECORDED_TIMEOUT_SECONDS = 15.0
ORDINARY = "ordinary"
SENTENCES = (3, 8)
KINDS: Mapping[str, Mapping[str, list[str]]] = tomllib.loads(
    files("functions.generate_drift").joinpath("texts.toml").read_text(encoding="utf-8")
)
"""For each kind of text its phrases by name: grammars, which were written for this project."""

_SLOT = re.compile(r"\{(?:(?P<least>\d+)-(?P<most>\d+)|(?P<name>\w+))\}")


class NotScored(Exception):
    """Predict did not score a batch, or its records did not appear; says how far it went."""


class Generator:
    """Makes drift and takes it away, one at a time."""

    def __init__(self, texts: GeneratedTexts, gateway_url: str) -> None:
        """Send to `<gateway_url>/function/predict`, and look for what it records in `texts`."""
        self._texts = texts
        self._url = f"{gateway_url.rstrip('/')}/function/predict?synthetic=true"
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=3, read=30))
        self._exclusive = Exclusive("texts are being made or deleted")

    def generate(self, count: int, share: float, seed: int) -> Generated:
        """Have `count` texts scored and recorded, a `share` of them of other kinds than reviews.

        The rest repeat the last ordinary texts in the records, as many as there are; so the next window of `count`
        texts holds that share, whatever it held before. All are marked as synthetic.
        Raises Busy, NotScored, RecordsUnavailable.
        """
        with self._exclusive():
            shifted = round(count * share)
            mixed = _mix(self._texts.ordinary(count - shifted), shifted, count, seed)
            kinds: Counter[str] = Counter()
            examples: dict[str, str] = {}
            model = None
            self._texts.ensure_index()
            recorded = self._texts.count()
            # Batches that predict's recorder can hold while it writes them.
            for batch in batches(mixed, most=500, most_characters=1_000_000):
                model = self._score([text for text, _ in batch], kinds.total())
                for text, kind in batch:
                    kinds[kind] += 1
                    examples.setdefault(kind, text)
                recorded = self._wait_until_recorded(recorded, len(batch), kinds.total())
        logger.info("sent %s", dict(kinds))
        ordinary = kinds.pop(ORDINARY, 0)
        examples.pop(ORDINARY, None)
        return Generated(
            generated=kinds.total() + ordinary,
            shifted=kinds.total(),
            ordinary=ordinary,
            share=share,
            kinds=dict(kinds),
            examples=examples,
            seed=seed,
            model=model,
        )

    def delete(self) -> Deleted:
        """Delete all that was made; raises Busy, RecordsUnavailable."""
        with self._exclusive():
            return Deleted(self._texts.delete())

    def _score(self, texts: list[str], sent: int) -> str:
        """Return the model that scored a batch; raises NotScored."""
        try:
            headers = {"Content-Type": "application/json"} | tracing.headers()
            response = self._pool.request("POST", self._url, body=encode(TextsRequest(texts)), headers=headers)
        except urllib3.exceptions.HTTPError as error:
            words = explained(error, authorities="SSL_CERT_FILE", address="GATEWAY_URL")
            raise NotScored(f"predict can't be reached after {sent} texts: {words}") from error
        if response.status != 200:
            raise NotScored(f"predict answered {response.status} after {sent} texts")
        return response.headers.get("X-Model-Version", "")

    def _wait_until_recorded(self, recorded: int, more: int, sent: int) -> int:
        """Wait for predict, which records in the background, until `more` texts are there than `recorded` ones.

        Returns how many are there; raises NotScored.
        """
        deadline, expected = time.monotonic() + RECORDED_TIMEOUT_SECONDS, recorded + more
        while (recorded := self._texts.count(recorded)) < expected:
            if time.monotonic() > deadline:
                raise NotScored(
                    f"predict scored {sent} texts, but {expected - recorded} of them are not in MongoDB after"
                    f" {RECORDED_TIMEOUT_SECONDS:g} s: does it write to the same one?"
                )
            time.sleep(0.1)
        return recorded


def _mix(ordinary: Iterator[str], shifted: int, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield `shifted` made texts and up to `count - shifted` ordinary ones, in a mixed order."""
    made, order = make_texts(seed), [True] * shifted + [False] * (count - shifted)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order is no secret
    for is_made in order:
        if is_made:
            yield next(made)
        elif (text := next(ordinary, None)) is not None:
            yield text, ORDINARY


def make_texts(seed: int) -> Iterator[tuple[str, str]]:
    """Yield texts of `SENTENCES` sentences, each with its kind, without end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - texts are to vary, not to be secret
    while True:
        kind = chance.choice(list(KINDS))
        chosen = chance.sample(KINDS[kind]["sentence"], chance.randint(*SENTENCES))
        sentences = [_expand(sentence, KINDS[kind], chance) for sentence in chosen]
        yield " ".join(sentence if sentence.endswith("?") else f"{sentence}." for sentence in sentences), kind


def _expand(pattern: str, phrases: Mapping[str, list[str]], chance: random.Random) -> str:
    def fill(slot: re.Match[str]) -> str:
        if name := slot["name"]:
            return _expand(chance.choice(phrases[name]), phrases, chance)
        return str(chance.randint(int(slot["least"]), int(slot["most"])))

    return _SLOT.sub(fill, pattern)
