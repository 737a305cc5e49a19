"""Sends texts of other kinds, mixed with ordinary ones, through predict, and waits until they are recorded."""

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator

import urllib3

from contracts.codec import encode
from contracts.drift import Deleted, Generated
from contracts.predict import TextsRequest
from functions.generate_drift.texts import generate
from process.exclusive import Exclusive
from records.drift import GeneratedTexts

logger = logging.getLogger(__name__)

BATCH_TEXTS = 500
BATCH_CHARACTERS = 1_000_000
CONNECT_TIMEOUT_SECONDS = 3.0
ANSWER_TIMEOUT_SECONDS = 30.0
RECORDED_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.1
ORDINARY = "ordinary"

KindAndText = tuple[str, str]


class NotScored(Exception):
    """Predict did not score a batch, or its records did not appear; says how far it went."""


class Generator:
    """Makes drift and takes it away, one at a time."""

    def __init__(self, texts: GeneratedTexts, gateway_url: str) -> None:
        """Send to `<gateway_url>/function/predict`, and look for what it records in `texts`."""
        self._texts = texts
        self._url = f"{gateway_url.rstrip('/')}/function/predict?synthetic=true"
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=ANSWER_TIMEOUT_SECONDS)
        )
        self._exclusive = Exclusive("texts are being made or deleted")

    def generate(self, count: int, share: float, seed: int) -> Generated:
        """Have `count` texts scored and recorded, a `share` of them of other kinds than reviews.

        The rest repeat the last ordinary texts in the records, as many as there are; so the next window of `count`
        texts holds that share, whatever it held before. All are marked as synthetic.
        Raises Busy, NotScored, RecordsUnavailable.
        """
        with self._exclusive():
            shifted = round(count * share)
            mixed = _mix(generate(seed), self._texts.ordinary(count - shifted), shifted, count, seed)
            kinds: Counter[str] = Counter()
            examples: dict[str, str] = {}
            model = None
            self._texts.ensure_index()
            recorded = self._texts.count()
            for batch in _batches(mixed):
                model = self._score([text for _, text in batch], kinds.total())
                for kind, text in batch:
                    kinds[kind] += 1
                    examples.setdefault(kind, text)
                self._wait_until_recorded(recorded + kinds.total(), kinds.total())
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
            response = self._pool.request(
                "POST", self._url, body=encode(TextsRequest(texts)), headers={"Content-Type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            raise NotScored(f"predict can't be reached after {sent} texts: {error}") from error
        if response.status != 200:
            raise NotScored(f"predict answered {response.status} after {sent} texts")
        return response.headers.get("X-Model-Version", "")

    def _wait_until_recorded(self, expected: int, sent: int) -> None:
        """Wait for predict, which records in the background; raises NotScored."""
        deadline = time.monotonic() + RECORDED_TIMEOUT_SECONDS
        while (found := self._texts.count()) < expected:
            if time.monotonic() > deadline:
                raise NotScored(
                    f"predict scored {sent} texts, but {expected - found} of them are not in MongoDB after"
                    f" {RECORDED_TIMEOUT_SECONDS:g} s: does it write to the same one?"
                )
            time.sleep(POLL_SECONDS)


def _mix(
    made: Iterator[KindAndText], ordinary: Iterator[str], shifted: int, count: int, seed: int
) -> Iterator[KindAndText]:
    """Yield `shifted` made texts and up to `count - shifted` ordinary ones, in a mixed order."""
    order = [True] * shifted + [False] * (count - shifted)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order is no secret
    for is_made in order:
        if is_made:
            yield next(made)
        elif (text := next(ordinary, None)) is not None:
            yield ORDINARY, text


def _batches(texts: Iterator[KindAndText]) -> Iterator[list[KindAndText]]:
    """Yield batches that predict's recorder can hold while it writes them."""
    batch: list[KindAndText] = []
    characters = 0
    for kind, text in texts:
        batch.append((kind, text))
        characters += len(text)
        if len(batch) == BATCH_TEXTS or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
