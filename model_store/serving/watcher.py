"""Hot swap: a thread that follows current.json and loads each new version beside the one that is served."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from contracts.manifest import Manifest
from model_store.errors import CurrentRefused, StoreError, VersionRefused
from model_store.layout import Current
from model_store.serving.reader import Unchanged
from process.backoff import Backoff
from sentiment.scorer import Scorer

logger = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class Served:
    """A model that is being served, whole and immutable: a request that takes it keeps it to its end."""

    version: str
    scorer: Scorer
    manifest: Manifest


class Poller(Protocol):
    """What the watcher asks; `CurrentPoller` is one."""

    def poll(self) -> Current | Unchanged | None:
        """Return what is served, Unchanged since the last poll, or None; raises StoreError."""


Load = Callable[[str], tuple[Scorer, Manifest]]
"""How the watcher gets a version: to its scorer and manifest; raises VersionRefused. `load_scorer` is one."""


Refusal = VersionRefused | CurrentRefused


class ModelWatcher:
    """Keeps `served` at the version that current.json names.

    poll_seconds: time between two polls, give or take a tenth, so that many replicas don't ask in step.
    on_swap: called with what is served from now on.
    on_refusal: called once for a version that can't be served, or a current.json that is refused; the old one stays.
        Wrong content is not tried again until current.json changes; what may pass is, with back-off.
    on_outage: called with the error of every poll that failed.
    All three are called on the watcher's thread.
    """

    def __init__(
        self,
        poller: Poller,
        load: Load,
        *,
        poll_seconds: float = 2.0,
        on_swap: Callable[[Served], None] = lambda served: None,
        on_refusal: Callable[[Refusal], None] = lambda refusal: None,
        on_outage: Callable[[StoreError], None] = lambda error: None,
    ) -> None:
        self._poller = poller
        self._load = load
        self._poll_seconds = poll_seconds
        self._on_swap = on_swap
        self._on_refusal = on_refusal
        self._on_outage = on_outage
        self._served: Served | None = None
        self._may_wait = True
        self._wanted: Current | None = None
        self._refused = False  # what is wanted, already once
        self._refused_etag: str | None = None  # of the current.json that was refused last
        self._load_at = 0.0  # on the monotonic clock
        self._away = False
        self._polls, self._loads = self._backoff(), self._backoff()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watcher", daemon=True)

    @property
    def served(self) -> Served | None:
        """The model to answer with, None before the first; read it once a request."""
        return self._served

    @property
    def awaits_first(self) -> bool:
        """Whether there is no model to answer with, though one is published or may be: the store has not said no."""
        return self._may_wait and self._served is None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5) -> None:
        """End watching; what is served stays."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

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
            return LONGEST_WAIT_SECONDS if self._served else self._poll_seconds

    def _step(self) -> float:
        """Poll, swap if there is reason to, and return the seconds to wait."""
        try:
            answer = self._poller.poll()
        except CurrentRefused as refusal:
            self._may_wait = True
            self._answers()
            if refusal.etag != self._refused_etag:
                self._refused_etag = refusal.etag
                self._tell(refusal, str(refusal))
            return self._pause()
        except StoreError as error:
            return self._outage(error)
        self._answers()
        self._refused_etag = None
        if not isinstance(answer, Unchanged):
            self._may_wait = answer is not None
            self._wanted, self._refused, self._load_at, self._loads = answer, False, 0.0, self._backoff()
        if self._wanted is not None and time.monotonic() >= self._load_at:
            self._follow(self._wanted)
        return self._pause()

    def _pause(self) -> float:
        return self._poll_seconds * random.uniform(0.9, 1.1)  # noqa: S311  # spreads load, guards nothing

    def _answers(self) -> None:
        """Note that the store answers."""
        if self._away:
            logger.info("the model store answers again")
            self._away, self._polls = False, self._backoff()

    def _follow(self, wanted: Current) -> None:
        """Serve what is wanted, or keep what is served and say why."""
        try:
            if self._served is None or self._served.version != wanted.version:
                self._swap(Served(wanted.version, *self._load(wanted.version)))
        except VersionRefused as refusal:
            self._refuse(refusal)
        else:
            self._wanted = None

    def _swap(self, served: Served) -> None:
        before, self._served = self._served, served
        logger.info("serving model %s, before: %s", served.version, before.version if before else "none")
        self._on_swap(served)

    def _refuse(self, refusal: VersionRefused) -> None:
        if not self._refused:
            self._refused = True
            self._tell(refusal, f"model {refusal}")
        if refusal.passing:
            self._load_at = time.monotonic() + self._loads.failed()
        else:
            self._wanted = None

    def _tell(self, refusal: Refusal, what: str) -> None:
        logger.error("%s; still serving: %s", what, self._served.version if self._served else "none")
        self._on_refusal(refusal)

    def _outage(self, error: StoreError) -> float:
        if not self._away:
            logger.warning("the model store fails: %s; still trying", error)
            self._away = True
        self._on_outage(error)
        return self._polls.failed()

    def _backoff(self) -> Backoff:
        # With no model yet someone is waiting for the first, so the pace stays that of polling.
        return Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS if self._served else self._poll_seconds)
