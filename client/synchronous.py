"""The system as an object: each method asks a function through the gateway, and returns what its contract says."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

from msgspec import UNSET, Raw

from client.addresses import Addresses
from client.batches import Line
from client.errors import Conflict, NotAllowed, Refused, Unavailable, Unusable
from contracts.codec import encode
from contracts.drift import Findings, read_check, read_findings
from contracts.limits import TextTooLong, within_limit
from contracts.names import parse_label
from contracts.predict import (
    Answer,
    PredictRequest,
    Scored,
    ServedModel,
    WrittenTexts,
    read_answers,
    read_scored,
    read_served_model,
)
from contracts.retrain import (
    LabelExample,
    LabelsRequest,
    LabelsTaken,
    Overview,
    RollbackRequest,
    RolledBack,
    RunOutcome,
    TakenBack,
    read_labels_taken,
    read_overview,
    read_rolled_back,
    read_run_outcome,
    read_taken_back,
)
from contracts.stream import BridgeProgress
from process.bridge import Bridge
from process.functions import Function, FunctionUnavailable, RequestRefused
from process.halves import by_halves
from process.retry import Abandoned, Retry
from sentiment.text import batches

if TYPE_CHECKING:
    from client.following import Following

T = TypeVar("T")

READ_TIMEOUT_SECONDS = 30
RUN_TIMEOUT_SECONDS = 600
TRY_SECONDS = 60.0
CONNECTIONS = 4
# What a function itself says with these will be no other if it is asked again. The bridge tries again after some of
# them, since an operator can mend a token or a model while it waits; nobody waits so long for a call.
REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422, 500})
LABELS, LABELS_CHARACTERS = 1_000, 1_000_000


class Sentiment:
    """Asks the system. Threads may share one; close it in the end, or use it with `with`.

    A function that is not ready, or asks to be left alone for a while (429, 503), is asked again as the bridge asks it:
    with a wait that doubles, jitter, and the wait that `Retry-After` wants. Repeating is safe: labels count once, and a
    check of the same texts is one check. Where it is not, with `rollback` and `retrain`, nothing is tried again.

    Every method raises Refused (Unusable, NotAllowed, Conflict) where a function says no, and Unavailable where none
    answers in `try_seconds`; both are SentimentErrors.
    """

    def __init__(
        self,
        gateway_url: str | None = None,
        *,
        token: str | None = None,
        rabbitmq_url: str | None = None,
        rabbitmq_stream_url: str | None = None,
        bridge_url: str | None = None,
        try_seconds: float = TRY_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        """Ask the functions behind a gateway; what is not given is found as `client.addresses` says.

        token: the `retrain-token`, or one of `label-tokens`, for what teaches. rabbitmq_url, rabbitmq_stream_url: for
        `stream`. bridge_url: for `bridge`. try_seconds: for how long one request is tried again, 0 for once.
        connections: how many requests are on their way at a time, to each function.
        """
        self._addresses = Addresses.found(gateway_url, token, rabbitmq_url, rabbitmq_stream_url, bridge_url)
        self._try_seconds = try_seconds
        self._connections = connections
        self._closed = threading.Event()
        self._predict = self._function("predict")
        self._retrain = self._function("retrain", token=self._addresses.token)
        self._run = self._function("retrain", token=self._addresses.token, timeout_seconds=RUN_TIMEOUT_SECONDS)
        self._drift = self._function("drift")
        self._bridge = Bridge(self._addresses.bridge_url) if self._addresses.bridge_url else None

    @property
    def gateway_url(self) -> str:
        """Return the gateway that is asked."""
        return self._addresses.gateway_url

    # Predict.

    def predict(self, text: str, *, explain: bool = False, record: bool = True) -> Scored:
        """Return the sentiment of a text.

        explain: with the words that decided. record: keep text and answer in the records, where drift looks.
        """
        query = _predict_query(explain=explain, record=record)
        try:
            body = encode(PredictRequest(within_limit(text, explain=explain)))
        except (TextTooLong, UnicodeEncodeError) as error:
            raise Unusable(f"the text {error}") from error
        return self._ask(lambda: self._predict.call("POST", read_scored, query=query, body=body))

    def predict_many(
        self,
        texts: Iterable[str],
        *,
        explain: bool = False,
        record: bool = True,
        progress: Callable[[int], object] = lambda answers: None,
    ) -> Iterator[Answer]:
        """Yield an answer for each text, in their order; one that can't be scored has an `error` and costs no other.

        texts: taken as they are needed, so there may be more than memory holds. explain, record: see `predict`.
        progress: told how many more answers have come, as the `update` of a tqdm bar is.
        """
        with closing(self._line(explain=explain, record=record)) as line:
            for text in texts:
                for answers in line.put(text):
                    progress(len(answers.result()))
                    yield from answers.result()
            for answers in line.end():
                progress(len(answers.result()))
                yield from answers.result()

    def stream(
        self, texts: Iterable[str], *, explain: bool = False, name: str = "reviews", answer_seconds: float = 30
    ) -> Generator[tuple[int, Answer], None, None]:
        """Send texts to the stream `name`, and yield the number of each, counted from 0, with its answer, as they come.

        No text is lost and none answered twice, even where the broker or the bridge is restarted meanwhile; answers of
        several partitions come in any order. texts: taken 500 at a time. answer_seconds: how long to wait where no more
        answers come, before Unavailable is raised. Needs the extra `client`.
        """
        from client.streaming import stream  # RabbitMQ's libraries are for those who stream

        retry = Retry(self._closed, timeout_seconds=self._try_seconds)
        return stream(self._addresses, texts, name=name, explain=explain, answer_seconds=answer_seconds, retry=retry)

    def follow(self) -> "Following":
        """Return what reads the bridge's answers from now on, whoever asked; needs the extra `client`."""
        from client.following import Following  # see stream
        from client.streaming import broker_urls

        return Following(broker_urls(self._addresses)[1])

    def bridge(self) -> BridgeProgress | None:
        """Return how many messages wait for the bridge, and how many it has rejected; None without its address."""
        return self._ask(self._bridge.progress) if self._bridge else None

    def _line(self, *, explain: bool, record: bool) -> Line:
        """Return what sends texts in batches: what `predict_many` of both clients is made of."""
        query = _predict_query(explain=explain, record=record)

        def ask(texts: Sequence[Raw]) -> list[Answer]:
            def answers() -> list[Answer]:
                found = self._predict.post(WrittenTexts(texts), read_answers, query=query).predictions
                if len(found) != len(texts):
                    raise FunctionUnavailable(f"predict gave {len(found)} answers for {len(texts)} texts")
                return found

            return self._ask(answers)

        def score(texts: Sequence[Raw]) -> list[Answer]:
            found: list[Answer] = []
            for _, answers in by_halves(texts, ask, Unusable):
                found += [Answer(error=answers.detail)] if isinstance(answers, Unusable) else answers
            return found

        return Line(score, explain=explain, in_flight=self._connections)

    def model(self) -> ServedModel:
        """Return what is known of the model that is served."""
        return self._ask(lambda: self._predict.call("GET", read_served_model))

    # Retrain.

    def label(
        self, text: str, label: int | str, *, source: str | None = None, identifier: int | str | None = None
    ) -> LabelsTaken:
        """Say what the class of a text is; the model learns it in a run to come.

        label: 0, 1, `negative` or `positive`. source: where it comes from. identifier: your own, to take it back by.
        """
        return self.labels([LabelExample(text, label, UNSET if source is None else source, identifier)])

    def labels(self, labels: Iterable[LabelExample]) -> LabelsTaken:
        """Say what the classes of many texts are; one that can't be used fails all, before any is sent."""
        checked = [(example.text, _checked(example, number)) for number, example in enumerate(labels)]
        taken = LabelsTaken(accepted=0, repeated=0, pending=0, ids=[], model=None, retrained=False)
        for batch in batches(checked, LABELS, LABELS_CHARACTERS):
            request = LabelsRequest([example for _, example in batch])
            taken = _together(taken, self._ask(partial(self._retrain.post, request, read_labels_taken)))
        return taken

    def take_back(self, identifier: str) -> TakenBack:
        """Take a label back, by its id, or by yours where no other label came with it."""
        path = f"/labels/{quote(identifier, safe='')}"
        return self._ask(lambda: self._run.call("DELETE", read_taken_back, path=path), again=False)

    def retrain(self) -> RunOutcome:
        """Have the model learn now what is pending, and return what came of it; takes as long as it takes."""
        return self._ask(lambda: self._run.call("POST", read_run_outcome, query="?now=true"), again=False)

    def models(self) -> Overview:
        """Return the versions with their figures, who promoted what, and how many labels wait."""
        return self._ask(lambda: self._retrain.call("GET", read_overview))

    def rollback(self, to: str | None = None, *, requeue: bool = False) -> RolledBack:
        """Serve another version: the one before, or `to`; requeue: labels left behind are learned anew."""
        body = encode(RollbackRequest(to, requeue))
        ask = partial(self._run.call, "POST", read_rolled_back, path="/rollback", body=body)
        return self._ask(ask, again=False)

    # Drift.

    def drift(self) -> Findings:
        """Return what the last texts say now; changes nothing."""
        return self._ask(lambda: self._drift.call("GET", read_findings))

    def drift_check(self) -> Findings:
        """Check, as the schedule does; a DriftReport where the check counted, which may change the state and alert."""
        return self._ask(lambda: self._drift.call("POST", read_check))

    # The rest.

    def close(self) -> None:
        """Give up what is tried again, and close the connections."""
        self._closed.set()
        for function in (self._predict, self._retrain, self._run, self._drift):
            function.close()
        if self._bridge:
            self._bridge.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _function(
        self, name: str, *, token: str | None = None, timeout_seconds: float = READ_TIMEOUT_SECONDS
    ) -> Function:
        return Function(
            self._addresses.gateway_url,
            name,
            connections=self._connections,
            timeout_seconds=timeout_seconds,
            token=token,
            refusals=REFUSALS,
        )

    def _ask(self, ask: Callable[[], T], *, again: bool = True) -> T:
        """Return what `ask` does; again: whether it may be tried again. Raises Refused, Unavailable."""
        retry = Retry(self._closed, timeout_seconds=self._try_seconds if again else 0)
        try:
            return retry(ask, FunctionUnavailable)
        except Abandoned as abandoned:
            last = abandoned.__cause__
            status = last.status if isinstance(last, FunctionUnavailable) else None
            raise Unavailable(str(last), status) from last
        except RequestRefused as error:
            raise _refused(error) from error


def _refused(error: RequestRefused) -> Refused:
    match error.status:
        case 401 | 403:
            kind: type[Refused] = NotAllowed
        case 409:
            kind = Conflict
        case 400 | 413 | 415 | 422:
            kind = Unusable
        case _:
            kind = Refused
    return kind(str(error), error.status)


def _predict_query(*, explain: bool, record: bool) -> str:
    return f"?explain={str(explain).lower()}" + ("" if record else "&record=false")


def _checked(example: LabelExample, number: int) -> LabelExample:
    """Return a label that retrain will take; raises Unusable."""
    try:
        within_limit(example.text)
        parse_label(example.label)
        encode(example)
    except (TextTooLong, UnicodeEncodeError) as error:
        raise Unusable(f"the text of label {number} {error}") from error
    except ValueError as error:
        raise Unusable(f"label {number}: {error}") from error
    return example


def _together(one: LabelsTaken, other: LabelsTaken) -> LabelsTaken:
    return LabelsTaken(
        accepted=one.accepted + other.accepted,
        repeated=one.repeated + other.repeated,
        pending=other.pending,
        ids=one.ids + other.ids,
        model=other.model,
        retrained=one.retrained or other.retrained,
    )
