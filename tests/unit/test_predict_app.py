"""The HTTP interface of predict, served as it is in its process."""

import json
import math
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from contracts.codec import from_document, to_document
from contracts.limits import MAX_BATCH_TEXTS, MAX_BODY_BYTES, MAX_EXPLAINED_CHARACTERS, MAX_TEXT_CHARACTERS
from contracts.manifest import FORMAT, Calibration, ClassTexts, Manifest
from contracts.records import PredictionRecord
from functions.predict.app import Scoring, build
from functions.predict.service import Predictor
from model_store.serving import Served
from process.front import Front, Limits
from sentiment.evaluation import evaluate
from sentiment.scorer import Scorer, Weights
from tests.http import HttpClient, Response, serving
from tests.unit.texts import TEXTS

MANIFEST = Manifest(
    format=FORMAT,
    trained_at="2026-01-02T03:04:05+00:00",
    trainer="test",
    data="tests",
    examples=2,
    metrics=evaluate([1.0, -1.0], [1, 0]),
    vocabulary_size=2,
    documents=ClassTexts(1, 1),
    parts={},
    canary=[],
)


def served(version: str, hate: float, love: float) -> Served:
    return Served(version, Scorer(Weights(hate=hate, love=love).__getitem__, 0.1, Calibration(2.0, 0.5)), MANIFEST)


MODEL = served("v1", hate=-2.0, love=3.0)
POSITIVE = to_document(MODEL.scorer.score("love"))
NEGATIVE = to_document(MODEL.scorer.score("hate"))


class Predict:
    """Predict with a model that can be changed, and what it recorded; by its `client` it is asked."""

    client: HttpClient

    def __init__(self, served: Served | None = MODEL) -> None:
        self.served = served
        self.documents: list[dict[str, Any]] = []
        predictor = Predictor(lambda: self.now_served(), self)
        limits = Limits.of(MAX_BODY_BYTES)
        self.front = Front(predictor.not_ready, limits, hot=Scoring(predictor), others=build(predictor).answer)

    def now_served(self) -> Served | None:
        return self.served

    def has_room(self) -> bool:
        return True

    async def room(self) -> None:
        """There is always."""

    def record(self, encoded: Sequence[bytes]) -> None:
        self.documents += [bson.decode(each, bson.CodecOptions(tz_aware=True)) for each in encoded]

    @property
    def recorded(self) -> list[PredictionRecord]:
        return [from_document(document, PredictionRecord) for document in self.documents]

    def post(self, body: bytes | str, content_type: str | None = "application/json", query: str = "") -> Response:
        return self.client.post(f"/{query}", data=body, content_type=content_type)

    def ask(self, body: Any, query: str = "") -> Response:
        return self.post(json.dumps(body), query=query)


@contextmanager
def predicting(predict: Predict) -> Iterator[Predict]:
    with serving(predict.front) as predict.client:
        yield predict


@pytest.fixture
def predict() -> Iterator[Predict]:
    with predicting(Predict()) as predict:
        yield predict


@pytest.fixture
def without_model() -> Iterator[Predict]:
    with predicting(Predict(None)) as predict:
        yield predict


@pytest.fixture(scope="module")
def lasting() -> Iterator[Predict]:
    """One for all the examples of a test."""
    with predicting(Predict()) as predict:
        yield predict


def is_problem(response: Response, status: int, detail: str) -> None:
    """Assert an answer as RFC 9457 describes it."""
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    body = response.get_json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert detail in body["detail"]


# --- one text ---


def test_a_text_is_answered_with_label_probability_and_version(predict: Predict) -> None:
    response = predict.ask({"text": "I LOVE you!"})
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["X-Model-Version"] == "v1"
    assert response.get_json() == {**POSITIVE, "model": "v1"}
    assert (POSITIVE["prediction"], POSITIVE["log_odds"]) == ("positive", 3.1)
    assert POSITIVE["probability"] == pytest.approx(1 / (1 + math.exp(-3.1 / 2)))


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "x"],
)
def test_json_is_read_under_any_content_type_but_plain_text(content_type: str | None, predict: Predict) -> None:
    assert predict.post('{"text": "hate"}', content_type).get_json() == {**NEGATIVE, "model": "v1"}


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "Text/Plain;charset=UTF-8"])
def test_plain_text_is_the_text_itself(content_type: str, predict: Predict) -> None:
    response = predict.post("Café: love “it” 🙂".encode(), content_type)
    assert response.get_json() == {**POSITIVE, "model": "v1"}
    assert predict.recorded[0].text == "Café: love “it” 🙂"


def test_plain_text_that_looks_like_json_is_a_text(predict: Predict) -> None:
    predict.post('{"text": "love"}', "text/plain")
    assert predict.recorded[0].text == '{"text": "love"}'


@pytest.mark.parametrize("text", ["", "a", "!?", "\u0000", "unknown"])
def test_texts_without_known_words_are_answered(text: str, predict: Predict) -> None:
    answer = predict.ask({"text": text}).get_json()
    assert answer["probability"] == MODEL.scorer.probability("")


def test_fields_besides_the_text_are_ignored(predict: Predict) -> None:
    assert predict.ask({"text": "love", "id": 7}).get_json() == {**POSITIVE, "model": "v1"}


# --- a batch ---


def test_a_batch_is_answered_in_order(predict: Predict) -> None:
    response = predict.ask({"texts": ["love", "hate", "love"]})
    assert response.get_json() == {"predictions": [POSITIVE, NEGATIVE, POSITIVE], "model": "v1"}
    assert response.headers["X-Model-Version"] == "v1"


def test_bad_items_get_errors_and_their_neighbours_answers(predict: Predict) -> None:
    items = ["love", None, 5, ["love"], {"text": "love"}, True, "x" * (MAX_TEXT_CHARACTERS + 1), "hate"]
    predictions = predict.ask({"texts": items}).get_json()["predictions"]
    assert predictions[0] == POSITIVE
    assert predictions[-1] == NEGATIVE
    assert [set(answer) for answer in predictions[1:-1]] == [{"error"}] * 6
    assert predictions[1]["error"] == "must be a string"
    assert "100001 characters" in predictions[-2]["error"]
    assert [record.text for record in predict.recorded] == ["love", "hate"]


def test_an_empty_batch_is_an_empty_answer(predict: Predict) -> None:
    response = predict.ask({"texts": []})
    assert (response.status_code, response.get_json()) == (200, {"predictions": [], "model": "v1"})
    assert predict.recorded == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON_VALUES | st.sampled_from(["love", "I hate it", ""]), max_size=10))
def test_any_batch_is_answered_item_by_item_and_its_texts_as_if_alone(lasting: Predict, items: list[Any]) -> None:
    predictions = lasting.ask({"texts": items}).get_json()["predictions"]
    assert len(predictions) == len(items)
    for item, answer in zip(items, predictions, strict=True):
        if isinstance(item, str):
            assert {**answer, "model": "v1"} == lasting.ask({"text": item}).get_json()
        else:
            assert answer == {"error": "must be a string"}


@settings(max_examples=150, deadline=None)
@given(JSON_VALUES | st.dictionaries(st.sampled_from(["text", "texts"]), JSON_VALUES))
def test_any_json_is_answered_or_refused_as_the_clients_fault(lasting: Predict, value: Any) -> None:
    response = lasting.ask(value)
    assert response.status_code in (200, 400)
    assert response.content_type == ("application/json" if response.status_code == 200 else "application/problem+json")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, "text/plain", "application/json"]))
def test_any_bytes_are_answered_or_refused_as_the_clients_fault(
    lasting: Predict, body: bytes, content_type: str | None
) -> None:
    assert lasting.post(body, content_type).status_code in (200, 400)


# --- why ---


def is_explained(answer: dict[str, Any]) -> None:
    """Assert that the words and the bias of an answer add up to its log-odds."""
    total = math.fsum([answer["bias"], *(word["log_odds"] for word in answer["words"])])
    assert total == pytest.approx(answer["log_odds"], rel=0, abs=1e-9)


WHY_LOVE = {"words": [{"word": "love", "log_odds": 3.0}], "bias": 0.1}
WHY_HATE = {"words": [{"word": "hate", "log_odds": -2.0}], "bias": 0.1}


def test_a_text_is_explained_where_that_is_asked_for(predict: Predict) -> None:
    for answer in (
        predict.ask({"text": "I LOVE you!"}, "?explain=true"),
        predict.post("I love you", "text/plain", "?explain=true&record=false"),
        predict.ask({"text": "love", "more": "x" * 200_000}, "?explain=true"),
    ):
        assert answer.get_json() == {**POSITIVE, "model": "v1", **WHY_LOVE}
    assert predict.ask({"text": "I LOVE you!"}, "?explain=false").get_json() == {**POSITIVE, "model": "v1"}


def test_the_strongest_word_comes_first_and_a_repeated_one_once(predict: Predict) -> None:
    answer = predict.ask({"text": "love hate hate, hate unknown"}, "?explain=true").get_json()
    assert answer["words"] == [{"word": "hate", "log_odds": -6.0}, {"word": "love", "log_odds": 3.0}]
    is_explained(answer)


def test_a_batch_is_explained_item_by_item(predict: Predict) -> None:
    items = ["love", 7, "x" * (MAX_EXPLAINED_CHARACTERS + 1), "hate"]
    answers = predict.ask({"texts": items}, "?explain=true").get_json()["predictions"]
    assert (answers[0], answers[3]) == ({**POSITIVE, **WHY_LOVE}, {**NEGATIVE, **WHY_HATE})
    assert answers[1:3] == [
        {"error": "must be a string"},
        {"error": "has 10001 characters; at most 10000 can be explained"},
    ]


def test_an_explanation_is_not_remembered(predict: Predict) -> None:
    predict.ask({"texts": ["love"]}, "?explain=true")
    predict.ask({"text": "love"}, "?explain=true")
    for document in predict.documents:
        assert document.keys() & {"words", "bias"} == set()


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS | st.sampled_from(["love", "I hate it, hate it"]), max_size=8), st.integers(1, 200))
def test_every_explanation_adds_up_to_what_is_answered_without_it(
    lasting: Predict, texts: list[str], times: int
) -> None:
    asked = [text[:1_000] for text in texts] + [" ".join(texts * times)[:MAX_EXPLAINED_CHARACTERS]]
    plain = lasting.ask({"texts": asked}).get_json()["predictions"]
    explained = lasting.ask({"texts": asked}, "?explain=true").get_json()["predictions"]
    for before, answer in zip(plain, explained, strict=True):
        is_explained(answer)
        assert {**before, "words": answer["words"], "bias": answer["bias"]} == answer


@pytest.mark.parametrize("value", ["", "=", "=1", "=True", "=yes", "=null", "=" + "[" * 10_000])
@pytest.mark.parametrize("name", ["explain", "record", "synthetic"])
def test_a_query_of_which_it_is_not_sure_what_it_wants_is_refused(name: str, value: str, predict: Predict) -> None:
    is_problem(predict.ask({"text": "love"}, f"?{name}{value}"), 400, "The query does not fit")
    assert predict.recorded == []


@pytest.mark.parametrize("query", ["?explain=true&explain=false", "?record=false&record=false", "?a=b&a=c"])
def test_a_query_that_has_a_name_twice_is_refused(query: str, predict: Predict) -> None:
    is_problem(predict.ask({"text": "love"}, query), 400, "The query ")
    assert predict.recorded == []


def test_more_than_can_be_explained_is_refused_and_not_remembered(predict: Predict) -> None:
    most = "love " * (MAX_EXPLAINED_CHARACTERS // 5)
    assert predict.ask({"text": most}, "?explain=true").status_code == 200
    assert predict.ask({"texts": [most] * 10}, "?explain=true").status_code == 200
    remembered = len(predict.documents)
    for body in ({"text": f"{most}!"}, {"text": "x" * (MAX_TEXT_CHARACTERS + 1)}):
        is_problem(predict.ask(body, "?explain=true"), 413, "The text has ")
    is_problem(predict.post(f"{most}!", "text/plain", "?explain=true"), 413, "at most 10000 can be explained")
    is_problem(predict.ask({"texts": [*[most] * 10, "x"]}, "?explain=true"), 413, "at most 100000 characters can")
    assert len(predict.documents) == remembered


# --- what is refused ---


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "not valid JSON"),
        ("love", "not valid JSON"),
        ('{"text": "love"', "not valid JSON"),
        ('{"text": "love"} {}', "not valid JSON"),
        ("{'text': 'love'}", "not valid JSON"),
        ('{"text": NaN}', "not valid JSON"),
        ('{"texts": [Infinity]}', "not valid JSON"),
        ('{"text": "\\ud800"}', "not valid JSON"),
        ('{"text": "a\nb"}', "not valid JSON"),
        ("[" * 100_000, "Expected `object`"),
        ('{"a":' + "[" * 100_000, "not valid JSON"),
        ('{"texts":[' + "[" * 100_000, "not valid JSON"),
        (b'{"text": "caf\xe9"}', "not valid JSON"),
        ('{"text": "love"}'.encode("utf-16"), "not valid JSON"),
        ('"love"', "Expected `object`"),
        ('["love"]', "Expected `object`"),
        ("null", "Expected `object`"),
        ("1e999", "not"),
        ("{}", "either text or texts"),
        ('{"Text": "love"}', "either text or texts"),
        ('{"text": "love", "texts": []}', "either text or texts"),
        ('{"text": null}', "Expected `str`"),
        ('{"text": ["love"]}', "Expected `str`"),
        ('{"text": 123456789012345678901234567890}', "Expected `str`"),
        ('{"texts": "love"}', "Expected `array`"),
        ('{"texts": {"0": "love"}}', "Expected `array`"),
    ],
)
def test_a_malformed_body_is_refused_with_what_was_expected(body: bytes | str, detail: str, predict: Predict) -> None:
    response = predict.post(body)
    is_problem(response, 400, detail)
    assert '{"text": "..."} or {"texts": ["...", ...]}' in response.get_json()["detail"]
    assert predict.recorded == []


def test_plain_text_that_is_not_utf8_is_refused(predict: Predict) -> None:
    is_problem(predict.post(b"caf\xe9", "text/plain"), 400, "not UTF-8 (unexpected end of data at byte 3)")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(json.dumps({"text": "é" * (MAX_TEXT_CHARACTERS + 1)}), None), ("é" * (MAX_TEXT_CHARACTERS + 1), "text/plain")],
)
def test_a_text_that_is_too_long_is_refused(body: str, content_type: str | None, predict: Predict) -> None:
    is_problem(predict.post(body.encode(), content_type), 413, "at most 100000")


def test_a_text_of_the_greatest_length_is_answered(predict: Predict) -> None:
    text = "love " * (MAX_TEXT_CHARACTERS // 5)
    assert predict.ask({"text": text}).get_json()["probability"] == 1.0
    assert predict.post(text, "text/plain").status_code == 200


def test_a_batch_that_is_too_large_is_refused(predict: Predict) -> None:
    is_problem(predict.ask({"texts": ["love"] * (MAX_BATCH_TEXTS + 1)}), 413, "of length <= 10000")
    assert predict.recorded == []


@pytest.mark.parametrize("item", ["1", '""', "[[],[]]", '{"a":{}}'])
def test_a_list_of_millions_is_refused_before_it_takes_memory(item: str, predict: Predict) -> None:
    count = MAX_BODY_BYTES // (len(item) + 1) - 20
    body = '{"texts":[' + ",".join([item] * count) + "]}"
    tracemalloc.start()
    is_problem(predict.post(body), 413, "more than 10000 texts")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 60_000_000, "the body, as it is sent and received"


def test_one_text_may_have_much_beside_it(predict: Predict) -> None:
    assert predict.ask({"text": "love", "more": "x" * 4_000_000}).get_json() == {**POSITIVE, "model": "v1"}


def test_texts_full_of_commas_and_brackets_are_texts(predict: Predict) -> None:
    text = 'love, [{"' * 5_000
    response = predict.ask({"a": [[{}], []], "texts": [text, *["," * 50_000] * 20, None]})
    assert len(response.get_json()["predictions"]) == 22


def test_a_batch_of_the_greatest_size_is_answered(predict: Predict) -> None:
    assert predict.ask({"texts": ["love"] * MAX_BATCH_TEXTS}).get_json()["predictions"] == [POSITIVE] * MAX_BATCH_TEXTS
    assert len(predict.recorded) == MAX_BATCH_TEXTS


def test_a_body_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_BODY_BYTES", "100")
    with predicting(Predict()) as predict:
        assert predict.post(b"x" * 100, "text/plain").status_code == 200
        is_problem(predict.post(b"x" * 101, "text/plain"), 413, "larger than 100 bytes")


def test_a_body_without_a_length_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_BODY_BYTES", "100")
    with predicting(Predict()) as predict:
        for pieces, status in (([b"x" * 60, b"x" * 40], 200), ([b"x" * 60, b"x" * 41], 413)):
            assert predict.client.post("/", data=iter(pieces), content_type="text/plain").status_code == status


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_with_those_that_work(method: str, predict: Predict) -> None:
    response = predict.client.open("/", method=method, data='{"text": "love"}')
    is_problem(response, 405, "POST")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_the_methods_that_work_are_told_who_asks_for_them(predict: Predict) -> None:
    response = predict.client.open("/", method="OPTIONS", headers={"Origin": "http://elsewhere.example"})
    assert (response.status_code, response.headers["Allow"]) == (200, "GET, HEAD, OPTIONS, POST")


def test_other_paths_are_not_found(predict: Predict) -> None:
    is_problem(predict.client.get("/other"), 404, "")
    is_problem(predict.client.post("/other", data="{}"), 404, "")
    is_problem(predict.client.post("/_/health"), 405, "")


# --- no model ---


def test_without_a_model_the_client_is_told_to_come_again(without_model: Predict) -> None:
    predict = without_model
    for response in (predict.ask({"text": "love"}), predict.client.get("/"), predict.client.get("/_/ready")):
        is_problem(response, 503, "No model is loaded yet")
        assert int(response.headers["Retry-After"]) > 0
        assert "X-Model-Version" not in response.headers
    assert predict.client.get("/_/health").status_code == 200
    assert predict.recorded == []


def test_it_is_ready_as_soon_as_there_is_a_model(without_model: Predict) -> None:
    predict = without_model
    assert predict.client.get("/_/ready").status_code == 503
    predict.served = MODEL
    assert predict.client.get("/_/ready").get_json() == {"status": "ready"}
    assert predict.ask({"text": "love"}).status_code == 200


def test_a_request_is_answered_whole_by_one_model() -> None:
    """Every look at what is served gives another model: an answer that mixed two would show."""
    other = served("v2", hate=2.0, love=-3.0)

    def alternating() -> Iterator[Served]:
        while True:
            yield MODEL
            yield other

    looks = alternating()
    predict = Predict()
    predict.now_served = lambda: next(looks)  # type: ignore[method-assign]
    with predicting(predict):
        for expected in ("v1", "v2") * 3:
            response = predict.ask({"texts": ["love", "hate"]})
            body = response.get_json()
            labels = ["positive", "negative"] if expected == "v1" else ["negative", "positive"]
            assert (body["model"], response.headers["X-Model-Version"]) == (expected, expected)
            assert [answer["prediction"] for answer in body["predictions"]] == labels
            assert {record.model for record in predict.recorded} == {expected}
            predict.documents.clear()


# --- what it tells of itself ---


def test_get_describes_the_model(predict: Predict) -> None:
    response = predict.client.get("/")
    assert response.headers["X-Model-Version"] == "v1"
    body = response.get_json()
    assert body["model"] == "v1"
    assert (body["trained_at"], body["trainer"], body["vocabulary_size"]) == (MANIFEST.trained_at, "test", 2)
    assert body["metrics"]["accuracy"] == 1.0
    assert "parts" not in body


def test_head_is_get_without_a_body(predict: Predict) -> None:
    response = predict.client.head("/")
    assert (response.status_code, response.data) == (200, b"")


def samples(predict: Predict) -> dict[tuple[str, str], float]:
    """Every sample of /metrics, by name and prediction."""
    response = predict.client.get("/metrics")
    assert response.content_type.startswith("text/plain")
    return {
        (sample.name, sample.labels.get("prediction", "")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_metrics_count_requests_and_texts_by_prediction(predict: Predict) -> None:
    before = samples(predict)
    predict.ask({"texts": ["love", "love", "hate", None]})
    predict.ask({"text": "hate"})
    predict.post("malformed")
    after = samples(predict)
    assert after["predict_texts_total", "positive"] - before["predict_texts_total", "positive"] == 2
    assert after["predict_texts_total", "negative"] - before["predict_texts_total", "negative"] == 2
    assert after["predict_seconds_count", ""] - before["predict_seconds_count", ""] == 2


# --- what is remembered ---


def test_a_record_has_all_fields(predict: Predict) -> None:
    begin = datetime.now(UTC) - timedelta(milliseconds=1)
    predict.ask({"text": "I love it"})
    (document,) = predict.documents
    assert begin <= document.pop("received_at") <= document.pop("scored_at") <= datetime.now(UTC)
    assert isinstance(document.pop("_id"), str)
    assert document == {**POSITIVE, "text": "I love it", "model": "v1", "source": "http", "synthetic": False}


def test_identifiers_never_repeat() -> None:
    recorded: list[str] = []
    for _ in range(2):  # as two replicas, or one that was started again
        with predicting(Predict()) as predict:
            predict.ask({"texts": ["love"] * 1000})
            predict.ask({"text": "love"})
        recorded.extend(record.id for record in predict.recorded)
    assert len(set(recorded)) == 2002


@pytest.mark.parametrize("query", ["?record=false", "?record=false&synthetic=true", "?a=b&record=false"])
def test_nothing_is_remembered_where_that_is_asked_for(query: str, predict: Predict) -> None:
    assert predict.ask({"text": "love"}, query).get_json() == {**POSITIVE, "model": "v1"}
    assert predict.ask({"texts": ["love"]}, query).status_code == 200
    assert predict.recorded == []


@pytest.mark.parametrize(("query", "synthetic"), [("?synthetic=true", True), ("?synthetic=false", False), ("", False)])
def test_synthetic_texts_are_marked(query: str, synthetic: bool, predict: Predict) -> None:
    predict.ask({"texts": ["love", "hate"]}, query)
    assert [record.synthetic for record in predict.recorded] == [synthetic, synthetic]
