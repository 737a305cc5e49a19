"""What is a review, what is a bad message, and what a batch of both becomes."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.functions import predict
from bridge.handlers import Review, ReviewHandler
from contracts.codec import encode, to_documents
from contracts.predict import TextsRequest, read_answers
from contracts.problem import ProblemDetails
from contracts.records import PredictionRecord, RejectedRecord
from messages.ports import Epoch, Message, Place
from messages.twin import MemoryBroker
from process.answers import PROBLEM_JSON
from process.functions import Function, FunctionUnavailable, RequestRefused
from process.retry import Abandoned, Retry
from records import Records

NOWHERE = Function("http://127.0.0.1:9", "predict", connections=1, timeout_seconds=1)
Answer = Callable[[bytes], tuple[int, dict[str, str], bytes]]


class FunctionServer:
    """A real HTTP server in the place of the gateway and predict; `answer` decides what it says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        self.queries: list[str] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append(body)
                outer.queries.append(urlsplit(self.path).query)
                outer.headers.append(dict(self.headers))
                status, headers, content = outer.answer(body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
                """Be silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def function(self) -> Function:
        return self.function_with(None)

    def function_with(self, token: str | None) -> Function:
        url = f"http://127.0.0.1:{self.server.server_port}"
        return Function(url, "predict", connections=1, timeout_seconds=5, token=token)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], FunctionServer]]:
    servers: list[FunctionServer] = []

    def start(answer: Answer) -> FunctionServer:
        servers.append(FunctionServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def positive(body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Answer as predict does; a text `bad` is an error."""
    predictions = [
        {"error": "must be nicer"}
        if text == "bad"
        else {"prediction": "positive", "probability": 0.75, "log_odds": 3.1}
        for text in json.loads(body)["texts"]
    ]
    return 200, {}, json.dumps({"predictions": predictions, "model": "v1"}).encode()


def refusal(status: int, detail: str) -> tuple[int, dict[str, str], bytes]:
    """Refuse as the project's own functions do."""
    return status, {"Content-Type": PROBLEM_JSON}, encode(ProblemDetails.of(status, detail))


def message(body: bytes, **properties: Any) -> Message:
    return Message(7, "reviews:7", body, **properties)


class ListRecords(Records):
    """Keeps what is written, of each id what came first."""

    def __init__(self) -> None:
        self.predictions: list[PredictionRecord] = []
        self.rejected: list[RejectedRecord] = []

    def insert_predictions(self, records: Sequence[PredictionRecord]) -> dict[str, PredictionRecord]:
        there = {record.id: record for record in self.predictions}
        repeated = {}
        for record in records:
            if record.id in there:
                repeated[record.id] = there[record.id]
            else:
                there[record.id] = record
        self.predictions[:] = there.values()
        return repeated

    def insert_rejected(self, records: Sequence[RejectedRecord]) -> None:
        there = {record.id for record in self.rejected}
        self.rejected += [record for record in records if record.id not in there]


def reviews(
    function: Function,
    records: Records | None = None,
    broker: MemoryBroker | None = None,
    retry: Retry | None = None,
) -> ReviewHandler:
    retry, broker = retry or Retry(threading.Event()), broker or MemoryBroker()
    return ReviewHandler("reviews", function, records or ListRecords(), broker, retry, broker)


def in_stream(offset: int, body: bytes, **properties: Any) -> Message:
    """A message of a stream in its second life."""
    place = Place(1_790_000_000_123, Epoch(1_790_000_000_000, "reviews:1790000000000"))
    return Message(offset, f"reviews:1790000000000:{offset}", body, place=place, **properties)


@pytest.mark.parametrize(
    ("found", "review"),
    [
        (message(b'{"text": "a"}'), Review("a", "reviews:7")),
        (message(b'{"text": "a", "id": 5}', message_id="m"), Review("a", 5)),
        (message(b'{"text": ""}', message_id="m"), Review("", "m")),
        (message(b'  {"text": "a"}'), Review("a", "reviews:7")),
        (message(b"just text"), Review("just text", "reviews:7")),
        (message("naïve 🙂".encode()), Review("naïve 🙂", "reviews:7")),
        (message(b'{"text": "a"}', content_type="text/plain"), Review('{"text": "a"}', "reviews:7")),
        (message(b"[spoiler] good"), Review("[spoiler] good", "reviews:7")),
        (message(b"x" * 100_000), Review("x" * 100_000, "reviews:7")),
        (message(b'{"text": "a", "explain": true}'), Review("a", "reviews:7", explain=True)),
        (message(b'{"text": "a", "explain": false}'), Review("a", "reviews:7")),
        (message(b'{"text": "%s"}' % (b"x" * 10_001)), Review("x" * 10_001, "reviews:7")),
    ],
)
def test_a_message_is_json_with_text_or_plain_text(found: Message, review: Review) -> None:
    assert reviews(NOWHERE).parse(found) == review


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (message(b'{"text": '), "the body is not valid JSON"),
        (message(b"plain", content_type="application/json"), "the body is not valid JSON"),
        (message(b"[1]", content_type="application/json"), "Expected `object`, got `array`; send"),
        (message(b'{"x": ' + b"[" * 100_000), r"nested too deeply\); send"),
        (message(b'{"x": ' * 100_000), r"nested too deeply\); send"),
        (message(b'{"no": "text"}'), "missing required field `text`; send"),
        (message(b'{"text": null}'), r"Expected `str`, got `null` - at `\$.text`; send"),
        (message(b""), "the body is empty"),
        (message(b" \n"), "the body is empty"),
        (message(b"\xff\xfe"), r"the body is not UTF-8 \(invalid start byte at byte 0\)"),
        (message(b'{"text": "\xff"}'), "not UTF-8"),
        (message(b'{"text": "\\ud800"}'), "the body is not valid JSON"),
        (message(b"x" * 100_001), "the text has 100001 characters; at most 100000"),
        (message(b'{"text": "%s", "explain": true}' % (b"x" * 10_001)), "at most 10000 can be explained"),
        (message(b'{"text": "a", "explain": 1}'), r"Expected `bool`, got `int` - at `\$.explain`; send"),
        (message(b'{"text": "a", "explain": null}'), r"Expected `bool`, got `null`"),
        (message(b'{"text": "a", "id": {}}'), r"Expected `int \| str`, got `object` - at `\$.id`; send"),
        (message(b'{"text": "a", "id": "%s"}' % (b"x" * 201)), r"length <= 200 - at `\$.id`"),
    ],
)
def test_a_bad_message_says_why(found: Message, reason: str) -> None:
    records = ListRecords()
    assert reviews(NOWHERE, records)([found]).rejected == {7}
    assert re.search(reason, records.rejected[0].reason)


def test_a_batch_is_one_invocation_and_bad_messages_never_fail_their_neighbours(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    handle = reviews(server.function, records, broker)
    bodies = [b'{"text": "good"}', b"{", b"bad", b"fine"]
    messages = [in_stream(n, body, correlation_id=str(n), reply_to="me") for n, body in enumerate(bodies)]
    handled = handle(messages)
    assert handled.rejected == {1, 2}
    assert [json.loads(body)["texts"] for body in server.bodies] == [["good", "bad", "fine"]]
    assert [record.id for record in records.predictions] == [messages[0].key, messages[3].key]
    assert {record.id: record.reason.partition(";")[0] for record in records.rejected} == {
        messages[1].key: "the body is not valid JSON (Input data was truncated)",
        messages[2].key: "must be nicer",
    }
    assert sorted((each.to, each.correlation_id) for each in broker.published) == [
        ("me", "0"), ("me", "3"), ("rejected", "1"), ("rejected", "2"),
    ]  # fmt: skip
    reply = next(each.body for each in broker.published if each.to == "me")
    assert json.loads(reply) == {
        "id": messages[0].key, "prediction": "positive", "probability": 0.75, "log_odds": 3.1, "model": "v1",
        "offset": 0,
    }  # fmt: skip
    assert broker.appended == {}, "answers are appended in the order of batches, not now"
    handled.conclude()
    (appended,) = broker.appended.values()
    assert [(each.number, each.correlation_id) for each in appended] == [(0, "0"), (3, "3")]
    assert appended[0].body == reply


def test_what_holds_no_body_is_parked_with_the_problem_and_never_scored(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    reason = "a damaged message of AMQP 1.0 (it ends too early)"
    messages = [
        in_stream(0, b"good"),
        in_stream(1, b"\x00Su\xa0\xffgood", problem=reason),
        in_stream(2, b"", problem="x"),
    ]
    assert reviews(server.function, records, broker)(messages).rejected == {1, 2}
    assert [json.loads(body)["texts"] for body in server.bodies] == [["good"]]
    assert [(record.offset, record.reason, record.size_bytes) for record in records.rejected] == [
        (1, reason, 9),
        (2, "x", 0),
    ]
    assert records.rejected[0].body == "\x00Su\ufffd\ufffdgood"
    assert [json.loads(each.body)["reason"] for each in broker.published] == [reason, "x"]


def test_a_batch_of_bad_messages_alone_concludes_with_nothing() -> None:
    broker = MemoryBroker()
    handled = reviews(NOWHERE, broker=broker)([in_stream(0, b""), in_stream(1, b"", problem="x")])
    handled.conclude()
    assert handled.rejected == {0, 1}
    assert [each for appended in broker.appended.values() for each in appended] == []


def test_a_repeated_review_is_answered_by_its_record_and_not_by_the_new_model(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    def negative(body: bytes) -> tuple[int, dict[str, str], bytes]:
        predictions = [{"prediction": "negative", "probability": 0.25, "log_odds": -2.5}] * len(
            json.loads(body)["texts"]
        )
        return 200, {}, json.dumps({"predictions": predictions, "model": "v2"}).encode()

    broker, records = MemoryBroker(), ListRecords()
    # The bridge is killed before it concludes.
    reviews(serve(positive).function, records, broker)([in_stream(0, b"a", reply_to="me")])
    handled = reviews(serve(negative).function, records, broker)(
        [in_stream(0, b'{"text": "a", "id": 5}', reply_to="me"), in_stream(1, b"b", reply_to="me")]
    )
    handled.conclude()
    (appended,) = broker.appended.values()
    replies = [json.loads(each.body) for each in broker.published]
    # Only what its sender calls it is read anew: the record does not know.
    first = {"prediction": "positive", "probability": 0.75, "log_odds": 3.1, "model": "v1"}
    second = {"prediction": "negative", "probability": 0.25, "log_odds": -2.5, "model": "v2"}
    assert replies[1:] == [
        {"id": 5, **first, "offset": 0},
        {"id": "reviews:1790000000000:1", **second, "offset": 1},
    ]
    assert [json.loads(each.body) for each in appended] == replies[1:]
    assert [record.model for record in records.predictions] == ["v1", "v2"]


WHY = {"words": [{"word": "good", "log_odds": 3.0}], "bias": 0.1}


def explaining(server: FunctionServer, model: str = "v1") -> Function:
    """Have a server answer as predict does, with the reasons only where they are asked for."""

    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        score = {"prediction": "positive", "probability": 0.75, "log_odds": 3.1}
        if "explain=true" in server.queries[-1]:
            score |= WHY
        predictions = [score] * len(json.loads(body)["texts"])
        return 200, {}, json.dumps({"predictions": predictions, "model": model}).encode()

    server.answer = answer
    return server.function


def test_a_review_that_asks_for_it_is_explained_and_its_neighbours_are_not(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    bodies = [b"plain", b'{"text": "good", "explain": true}', b'{"text": "no", "explain": false}']
    bodies.append(b'{"text": "good good", "explain": true, "id": 9}')
    handled = reviews(explaining(server), records, broker)(
        [in_stream(n, body, reply_to="me") for n, body in enumerate(bodies)]
    )
    handled.conclude()
    assert [json.loads(body)["texts"] for body in server.bodies] == [["plain", "no"], ["good", "good good"]]
    assert server.queries == ["record=false", "record=false&explain=true"]
    (appended,) = broker.appended.values()
    answers = [json.loads(each.body) for each in appended]
    assert answers == [json.loads(each.body) for each in broker.published]
    assert [answer["offset"] for answer in answers] == [0, 1, 2, 3]
    assert [answer.keys() >= WHY.keys() for answer in answers] == [False, True, False, True]
    assert {name: answers[1][name] for name in WHY} == WHY
    assert all({"words", "bias"}.isdisjoint(document) for document in to_documents(records.predictions))


def test_a_repeated_review_is_explained_only_by_the_model_that_answered_it(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    message, records = in_stream(0, b'{"text": "good", "explain": true}', reply_to="me"), ListRecords()
    for model, explained in (("v1", True), ("v1", True), ("v2", False)):
        broker = MemoryBroker()
        reviews(explaining(serve(positive), model), records, broker)([message])
        (reply,) = [json.loads(each.body) for each in broker.published]
        assert (reply["model"], reply["log_odds"], "words" in reply, "bias" in reply) == (
            "v1",
            3.1,
            explained,
            explained,
        )


def test_a_message_that_is_twice_in_a_batch_is_answered_twice_alike_and_recorded_once(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    twice = message(b"a", reply_to="me")
    reviews(server.function, records, broker)([twice, twice._replace(position=8)]).conclude()
    assert len(records.predictions) == 1
    first, second = broker.published
    assert first.body == second.body
    assert [each.body for each in broker.appended[""]] == [first.body] * 2


def test_answers_are_numbered_by_offsets_under_a_name_for_each_life_of_each_stream(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    handle = reviews(server.function, records, broker)
    another = Place(1_790_000_000_123, Epoch(1_780_000_000_000, "reviews"))
    handle([in_stream(5, b"a"), in_stream(6, b"b")]).conclude()
    handle([in_stream(5, b"a"), in_stream(6, b"b"), in_stream(7, b"c")]).conclude()
    handle([in_stream(5, b"d")._replace(place=another, key="reviews:5")]).conclude()
    assert {name: [each.number for each in appended] for name, appended in broker.appended.items()} == {
        "1790000000000:reviews": [5, 6, 7],
        "1780000000000:reviews": [5],
    }
    answer = json.loads(broker.appended["1790000000000:reviews"][0].body)
    assert (answer["id"], answer["offset"]) == ("reviews:1790000000000:5", 5)


def test_names_of_long_streams_are_told_apart_and_are_as_short_as_the_broker_wants(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    for source in ("é" * 125 + "-1", "é" * 125 + "-2"):
        handler = ReviewHandler(source, server.function, records, broker, Retry(threading.Event()), broker)
        handler([in_stream(5, b"a")]).conclude()
    assert len(broker.appended) == 2
    assert all(len(name.encode()) < 256 for name in broker.appended)


def test_answers_to_a_queue_are_appended_under_no_name_and_have_no_offset(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    server, broker = serve(positive), MemoryBroker()
    handle = reviews(server.function, ListRecords(), broker)
    for _ in range(2):
        handle([message(b"a", correlation_id="c")]).conclude()
    assert broker.appended.keys() == {""}
    assert [(each.number, each.correlation_id) for each in broker.appended[""]] == [(7, "c")] * 2
    assert json.loads(broker.appended[""][0].body)["offset"] is None


def test_a_broker_that_is_away_is_waited_for_and_answered_then(serve: Callable[[Answer], FunctionServer]) -> None:
    server, broker, records = serve(positive), MemoryBroker(), ListRecords()
    handle = reviews(
        server.function, records, broker, Retry(threading.Event(), on_retry=lambda _: broker.set_available(True))
    )
    broker.set_available(False)
    handled = handle([in_stream(0, b"a", reply_to="me", persistent=True)])
    assert [(each.to, each.persistent) for each in broker.published] == [("me", True)]
    broker.set_available(False)
    handled.conclude()
    assert [len(appended) for appended in broker.appended.values()] == [1]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 502, 503])
def test_a_bad_moment_is_waited_for_and_nothing_is_parked(
    status: int, serve: Callable[[Answer], FunctionServer]
) -> None:
    answers = iter([(status, {"Retry-After": "0"}, b"away"), (200, {}, b"no JSON"), (200, {}, b'{"predictions": []}')])
    server = serve(lambda body: next(answers, None) or positive(body))
    broker, records = MemoryBroker(), ListRecords()
    retried: list[str] = []
    handle = reviews(server.function, records, broker, Retry(threading.Event(), on_retry=retried.append))
    assert handle([message(b"good")]).rejected == frozenset()
    assert len(server.bodies) == 4
    assert retried == ["FunctionUnavailable"] * 3
    assert records.rejected == []
    assert len(records.predictions) == 1


def test_giving_up_abandons_the_batch_without_a_trace(serve: Callable[[Answer], FunctionServer]) -> None:
    give_up = threading.Event()

    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        give_up.set()
        return 503, {}, body

    server, broker, records = serve(answer), MemoryBroker(), ListRecords()
    with pytest.raises(Abandoned):
        reviews(server.function, records, broker, Retry(give_up))([message(b"good")])
    assert (records.predictions, records.rejected, broker.published, broker.appended) == ([], [], [], {})


def test_a_batch_that_predict_refuses_is_halved_until_the_bad_text_is_found(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        return refusal(413, "too large") if b"huge" in body else positive(body)

    found = predict(serve(answer).function, ["a", "b", "huge", "c", "d"])
    assert [each.prediction for each in found.predictions] == ["positive", "positive", "", "positive", "positive"]
    assert [each.error for each in found.predictions] == [None, None, "predict refused it: too large", None, None]
    assert found.model == "v1"


def test_a_batch_whose_halves_two_models_scored_is_scored_again(serve: Callable[[Answer], FunctionServer]) -> None:
    def answer(body: bytes) -> tuple[int, dict[str, str], bytes]:
        texts = json.loads(body)["texts"]
        if len(texts) > 1:
            return refusal(413, "too large")
        predictions = [{"prediction": "positive", "probability": 0.75}]
        return 200, {}, json.dumps({"predictions": predictions, "model": texts[0]}).encode()

    with pytest.raises(FunctionUnavailable, match="swapped"):
        predict(serve(answer).function, ["v1", "v2"])


def test_what_a_function_says_of_its_own_state_is_told_from_what_it_says_of_a_request(
    serve: Callable[[Answer], FunctionServer],
) -> None:
    with pytest.raises(FunctionUnavailable, match="predict answered 503: warming up"):
        serve(lambda _: refusal(503, "warming up")).function.post(TextsRequest([]), read_answers)
    with pytest.raises(RequestRefused, match="send it in parts"):
        serve(lambda _: refusal(413, "send it in parts")).function.post(TextsRequest([]), read_answers)
    with pytest.raises(FunctionUnavailable, match="can't be reached"):
        NOWHERE.post(TextsRequest([]), read_answers)
