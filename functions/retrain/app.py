"""The HTTP interface of retrain; see docs/http.md."""

from flask import Response, g, request
from msgspec import UNSET

from contracts.limits import TextTooLong, within_limit
from contracts.names import parse_label
from contracts.retrain import (
    LabelExample,
    RollbackRequest,
    read_label_example,
    read_labels_request,
    read_query,
    read_rollback_request,
)
from functions.retrain.callers import OPERATOR, Callers
from functions.retrain.trainer import TooManyPending, Trainer, UnknownLabel
from model_store.errors import CurrentRefused, PromotionConflict, StoreError, VersionNotFound
from process.answers import Problem, TooSoon
from process.exclusive import Busy
from process.guard import SAFE_METHODS
from process.pace import Pace
from process.web import FunctionApp, asked, json_response, no_token, parse
from records import InvalidRecord, RecordsUnavailable
from records.labels import AmbiguousLabel, Label
from sentiment.artifact import ArtifactError

EXPECTED = '{"text": "...", "label": 0 or 1, "negative" or "positive"} or {"examples": [...]}'
ROLLBACK_EXPECTED = '{"to": "<version>", "requeue": true or false}, each of which may be left out, or nothing'


def build(trainer: Trainer, *, callers: Callers, pace: Pace) -> FunctionApp:
    """Return the app over a trainer; what changes something needs a token, where there is one.

    pace: of the runs that anybody may have.
    """
    app = FunctionApp("retrain")

    @app.before_request
    def authorize() -> None:
        g.body, g.principal = request.get_data(), callers.name(request.headers.get("Authorization", ""))
        if request.method in SAFE_METHODS:
            return
        if g.principal is None:
            if not is_schedule():
                raise no_token("retrain-token", "This changes the model")
            if wait := pace.seconds_to_wait():
                raise TooSoon("A run was begun a short time ago; with the retrain-token it is had at once.", wait)
        elif g.principal != OPERATOR and not (sends_labels() or is_schedule()):
            raise Problem(403, "The token is one for sending labels; this needs the retrain-token.")
        if g.body.strip() and request.mimetype != "application/json":
            raise Problem(415, "Send JSON, and say so: Content-Type: application/json.", Accept="application/json")

    app.answer_errors(404, UnknownLabel)
    app.answer_errors(404, VersionNotFound, then="; GET this address lists the versions.")
    app.answer_errors(409, Busy, PromotionConflict)
    app.answer_errors(409, AmbiguousLabel, then="; name one of them by that.")
    app.answer_errors(429, TooManyPending, Retry_After="60")
    app.answer_errors(500, InvalidRecord)
    app.answer_errors(500, ArtifactError, then=". Roll back to another version with POST …/rollback.")
    app.answer_errors(500, CurrentRefused, then=". Roll back to a version by its name with POST …/rollback.")
    app.answer_errors(503, RecordsUnavailable, StoreError, then="; try again.", Retry_After="5")

    @app.get("/")
    def describe() -> Response:
        return json_response(trainer.overview(with_texts=g.principal == OPERATOR))

    @app.post("/")
    def learn() -> Response:
        query = asked(read_query)
        if not g.body.strip():
            scheduled = not query.now and not query.refused
            by = "schedule" if scheduled else "request"
            return json_response(trainer.run(by=by, refused=query.refused, scheduled=scheduled))
        labels = read_labels(g.body)
        if query.now:
            return json_response(trainer.learn(labels, by="request"))
        return json_response(trainer.take(labels), 202)

    @app.delete("/labels/<identifier>")
    def take_back(identifier: str) -> Response:
        return json_response(trainer.take_back(identifier, by="request"))

    @app.post("/rollback")
    def roll_back() -> Response:
        wanted = parse(read_rollback_request, g.body, ROLLBACK_EXPECTED) if g.body.strip() else RollbackRequest()
        return json_response(trainer.roll_back(wanted.to, by="request", requeue=wanted.requeue))

    return app


def read_labels(body: bytes) -> list[Label]:
    """Return the labels of a request, one or many; raises Problem, and then none of them counts."""
    examples = parse(read_labels_request, body, EXPECTED).examples
    if examples is UNSET:
        return [_label(parse(read_label_example, body, EXPECTED), "$")]
    return [_label(example, f"$.examples[{number}]") for number, example in enumerate(examples)]


def _label(example: LabelExample, where: str) -> Label:
    try:
        text, label = within_limit(example.text), parse_label(example.label)
    except TextTooLong as error:
        raise Problem(413, f"{where}.text {error}.") from error
    except ValueError as error:
        raise Problem(400, f"{where}.label: {error}.") from error
    source = "http" if example.source is UNSET else example.source
    return Label(text, label, g.principal, None if example.id is None else str(example.id), source)


def sends_labels() -> bool:
    """Tell whether this request brings labels, and asks for nothing else."""
    return request.method == "POST" and request.path == "/" and not request.args and bool(g.body.strip())


def is_schedule() -> bool:
    """Tell whether this is what the schedule sends: POST / with nothing in it.

    cron-connector can send no token. All that this request does is to have labels learned that came with one.
    """
    return request.method == "POST" and request.path == "/" and not request.args and not g.body.strip()
