"""Hot swap: a thread that follows current.json and loads each new version beside the one that is served."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from model_store.canary import check_canary
from model_store.documents import Current
from model_store.errors import StoreError, VersionRefused
from model_store.reader import Unchanged
from model_store.serving import fetch_scorer
from sentiment.scorer import Scorer

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class Served:
    """A model that is being served, whole and immutable: a request that takes it keeps it to its end."""

    version: str
    scorer: Scorer
    manifest: dict[str, Any]


class Poller(Protocol):
    """What the watcher asks; `CurrentPoller` is one."""

    def poll(self) -> Current | Unchanged | None:
        """Return what is served, Unchanged since the last poll, or None; raises StoreError."""


class Fetch(Protocol):
    """How the watcher gets a version; `fetch_scorer` is one."""

    def __call__(self, version: str, *, cancelled: threading.Event) -> tuple[Scorer, dict[str, Any]]:
        """Return a version's scorer and manifest; raises VersionRefused."""


class ModelWatcher:
    """Keeps `served` at the version that current.json names.

    poll_seconds: time between two polls, give or take a tenth, so that many replicas don't ask in step.
    on_swap: called with what is served from now on.
    on_refusal: called once for a version that can't be served; the old one stays. Wrong content is not tried
        again until current.json changes; what may pass is, with back-off.
    on_outage: called with the error of every poll that failed.
    All three are called on the watcher's thread.
    """

    def __init__(
        self,
        poller: Poller,
        fetch: Fetch = fetch_scorer,
        *,
        poll_seconds: float = 2.0,
        on_swap: Callable[[Served], None] | None = None,
        on_refusal: Callable[[VersionRefused], None] | None = None,
        on_outage: Callable[[StoreError], None] | None = None,
    ) -> None:
        self._poller = poller
        self._fetch = fetch
        self._poll_seconds = poll_seconds
        self._on_swap = on_swap
        self._on_refusal = on_refusal
        self._on_outage = on_outage
        self._served: Served | None = None
        self._wanted: Current | None = None
        self._failed_fetches = 0
        self._fetch_at = 0.0  # on the monotonic clock
        self._failed_polls = 0
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watcher", daemon=True)

    @property
    def served(self) -> Served | None:
        """The model to answer with, None before the first; read it once a request."""
        return self._served

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """End watching; what is served stays."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait for the first model; False when there is none by then."""
        return self._ready.wait(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.wait(self._step_or_log()):
            pass

    def _step_or_log(self) -> float:
        """Step; an error that nobody foresaw is logged, since without this thread no promotion is followed any more."""
        try:
            return self._step()
        except Exception:
            kept = self._served.version if self._served else "none"
            logger.exception("following the model store failed; still trying, still serving: %s", kept)
            return MAX_BACKOFF_SECONDS if self._served else self._poll_seconds

    def _step(self) -> float:
        """Poll, swap if there is reason to, and return the seconds to wait."""
        try:
            answer = self._poller.poll()
        except StoreError as error:
            return self._outage(error)
        if self._failed_polls:
            logger.info("the model store answers again")
            self._failed_polls = 0
        if not isinstance(answer, Unchanged):
            self._wanted, self._failed_fetches, self._fetch_at = answer, 0, 0.0
        if self._wanted is not None and time.monotonic() >= self._fetch_at:
            self._follow(self._wanted)
        return self._poll_seconds * random.uniform(0.9, 1.1)  # noqa: S311  # spreads load, guards nothing

    def _follow(self, wanted: Current) -> None:
        """Serve what is wanted, or keep what is served and say why."""
        try:
            if self._served is None or self._served.version != wanted.version:
                self._swap(self._checked(wanted.version))
        except VersionRefused as refusal:
            self._refused(refusal)
        else:
            self._wanted = None

    def _checked(self, version: str) -> Served:
        scorer, manifest = self._fetch(version, cancelled=self._stopping)
        try:
            check_canary(scorer, manifest)
        except ValueError as error:
            raise VersionRefused(version, str(error), passing=False) from error
        return Served(version, scorer, manifest)

    def _swap(self, served: Served) -> None:
        before, self._served = self._served, served
        self._ready.set()
        logger.info("serving model %s, before: %s", served.version, before.version if before else "none")
        if self._on_swap:
            self._on_swap(served)

    def _refused(self, refusal: VersionRefused) -> None:
        if self._stopping.is_set():
            return
        if not self._failed_fetches:
            kept = self._served.version if self._served else "none"
            logger.error("model %s; still serving: %s", refusal, kept)
            if self._on_refusal:
                self._on_refusal(refusal)
        self._failed_fetches += 1
        if refusal.passing:
            self._fetch_at = time.monotonic() + self._backoff_seconds(self._failed_fetches)
        else:
            self._wanted = None

    def _outage(self, error: StoreError) -> float:
        if not self._failed_polls:
            logger.warning("the model store fails: %s; still trying", error)
        self._failed_polls += 1
        if self._on_outage:
            self._on_outage(error)
        return self._backoff_seconds(self._failed_polls)

    def _backoff_seconds(self, failures: int) -> float:
        # With no model yet someone is waiting for the first, so the pace stays that of polling.
        return backoff_seconds(failures, MAX_BACKOFF_SECONDS if self._served else self._poll_seconds)


def backoff_seconds(failures: int, longest_seconds: float) -> float:
    """Return how long to wait after so many failures in a row: twice as long each time, less up to a half."""
    jitter = random.uniform(0.5, 1)  # noqa: S311  # spreads load, guards nothing
    return jitter * min(longest_seconds, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 20))
