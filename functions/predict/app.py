"""The HTTP interface of predict; see docs/http.md."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson
from flask import Flask, Response

from functions.predict.metrics import Metrics
from functions.web import (
    JSON,
    MAX_BATCH_TEXTS,
    MAX_TEXT_CHARACTERS,
    RETRY_AFTER_SECONDS,
    Problem,
    create_app,
    json_response,
    read_body,
    read_json,
)
from model_store import Served
from records import now
from sentiment.scorer import Scorer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EXPECTED = '{"text": "..."} or {"texts": ["...", ...]}, or the text itself as text/plain'
NO_MODEL = "No model is loaded yet; publish and promote one, or wait until it is loaded."
Answer = dict[str, Any]


def build(
    served: Callable[[], Served | None], record: Callable[[list[dict[str, Any]]], None], metrics: Metrics
) -> Flask:
    """Return the app.

    served: returns the model to answer with, None while there is none.
    record: takes the documents that are to be remembered, without waiting.
    """
    app = create_app("predict", not_ready=lambda: None if served() else NO_MODEL)

    @app.get("/")
    def describe() -> Response:
        found = require(served())
        body = {"model": found.version} | {
            key: found.manifest.get(key)
            for key in ("trained_at", "trainer", "metrics", "vocabulary_size", "parent", "data", "examples")
        }
        return json_response(body, headers={"X-Model-Version": found.version})

    app.wsgi_app = Scoring(app.wsgi_app, served, record, metrics)  # type: ignore[method-assign]  # Flask's documented way to put a WSGI app in front
    return app


class Scoring:
    """The one hot route, `POST /`, as a WSGI app before Flask's.

    Flask's contexts, routing and request and response objects take 60 of the 75 microseconds of a request, and
    scoring a short text takes 2. Every other request goes on to Flask.
    """

    def __init__(
        self,
        others: "WSGIApplication",
        served: Callable[[], Served | None],
        record: Callable[[list[dict[str, Any]]], None],
        metrics: Metrics,
    ) -> None:
        """See `build`; `others` answers what is not for this route."""
        self._others = others
        self._served = served
        self._record = record
        self._metrics = metrics
        # Unique over processes and restarts; cheaper than a UUID a text.
        self._identifiers = map(f"http:{token_hex(8)}:{{}}".format, count())

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] not in ("/", "") or method in ("GET", "HEAD", "OPTIONS"):
            return self._others(environ, start_response)
        try:
            if method != "POST":
                raise Problem(405, "Send the text with POST.", Allow="GET, HEAD, OPTIONS, POST")
            body, version = self._answer(environ)
        except Problem as problem:
            return problem.response()(environ, start_response)
        start_response(
            "200 OK",
            [("Content-Type", JSON), ("Content-Length", str(len(body))), ("X-Model-Version", version)],
        )
        return [body]

    def _answer(self, environ: "WSGIEnvironment") -> tuple[bytes, str]:
        started = time.perf_counter()
        received_at = now()
        # Read once a request: a swap between two reads would mix two models in one answer.
        model = require(self._served())
        text, texts = read_texts(environ)
        body: Answer
        if text is not None:
            answer = score(model.scorer, text)
            body = {**answer, "model": model.version}
            scored = [(text, answer)]
        else:
            answers = [score_item(model.scorer, item) for item in texts]
            body = {"predictions": answers, "model": model.version}
            scored = [pair for pair in zip(texts, answers, strict=True) if "error" not in pair[1]]
        self._remember(scored, model.version, received_at, environ.get("QUERY_STRING", ""))
        self._metrics.observe(time.perf_counter() - started, scored)
        return orjson.dumps(body), model.version

    def _remember(self, scored: list[tuple[str, Answer]], version: str, received_at: datetime, query: str) -> None:
        options = parse_qs(query) if query else {}
        if options.get("record") == ["false"]:
            return
        synthetic = options.get("synthetic") == ["true"]
        scored_at = now()
        self._record(
            [
                {
                    "_id": next(self._identifiers),
                    "text": text,
                    **answer,
                    "model": version,
                    "source": "http",
                    "received_at": received_at,
                    "scored_at": scored_at,
                    "synthetic": synthetic,
                }
                for text, answer in scored
            ]
        )


def require(served: Served | None) -> Served:
    """Return the model that is served; raises Problem 503 where there is none."""
    if served is None:
        raise Problem(503, NO_MODEL, Retry_After=str(RETRY_AFTER_SECONDS))
    return served


def read_texts(environ: "WSGIEnvironment") -> tuple[str | None, list[Any]]:
    """Return the one text of a request, or None and the items of its batch; raises Problem."""
    body = read_body(environ)
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == "text/plain":
        try:
            return within_limit(body.decode()), []
        except UnicodeDecodeError as error:
            raise Problem(400, f"The text is not UTF-8 ({error.reason} at byte {error.start}).") from error
    value = read_json(body, EXPECTED)
    if ("text" in value) == ("texts" in value):
        raise Problem(400, f"The object must have either text or texts; send {EXPECTED}.")
    if "text" in value:
        if not isinstance(value["text"], str):
            raise Problem(400, f"text must be a string; send {EXPECTED}.")
        return within_limit(value["text"]), []
    if not isinstance(value["texts"], list):
        raise Problem(400, f"texts must be a list; send {EXPECTED}.")
    if len(value["texts"]) > MAX_BATCH_TEXTS:
        raise Problem(413, f"At most {MAX_BATCH_TEXTS} texts a request; these are {len(value['texts'])}.")
    return None, value["texts"]


def within_limit(text: str) -> str:
    """Return `text`; raises Problem 413 where it is too long."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Problem(413, f"At most {MAX_TEXT_CHARACTERS} characters a text; this one has {len(text)}.")
    return text


def score(scorer: Scorer, text: str) -> Answer:
    """Return the answer for one text."""
    label, probability = scorer.predict(text)
    return {"prediction": label, "probability": probability}


def score_item(scorer: Scorer, item: Any) -> Answer:
    """Return the answer for one item of a batch; one that can't be scored gets an error of its own."""
    if not isinstance(item, str):
        return {"error": "must be a string"}
    if len(item) > MAX_TEXT_CHARACTERS:
        return {"error": f"has {len(item)} characters; at most {MAX_TEXT_CHARACTERS} are allowed"}
    return score(scorer, item)
