"""The HTTP interface of retrain; see docs/http.md."""

import hmac
import logging
import threading
from typing import Any

from flask import Flask, Response, g, request

from functions.retrain.metrics import Metrics
from functions.retrain.run import Busy, Trainer
from functions.retrain.settings import Settings
from functions.web import MAX_BATCH_TEXTS, MAX_TEXT_CHARACTERS, Problem, create_app, json_response, read_body, read_json
from model_store import ModelStore, PromotionConflict, StoreError, VersionInfo, VersionNotFound
from records import RecordsUnavailable
from records.labels import Label, Labels
from sentiment.artifact import ArtifactError
from sentiment.data import parse_label

logger = logging.getLogger(__name__)

EXPECTED = '{"text": "...", "label": 0 or 1, "negative" or "positive"} or {"examples": [...]}'
ROLLBACK_EXPECTED = '{"to": "<version>", "requeue": true or false}, each of which may be left out, or nothing'
VERSIONS_SHOWN = 50


def build(store: ModelStore, labels: Labels, trainer: Trainer, settings: Settings, metrics: Metrics) -> Flask:
    """Return the app over a store, the labels, and the trainer that connects them."""
    app = create_app("retrain", not_ready=lambda: _not_ready(store, labels))

    @app.before_request
    def authorize() -> None:
        g.body = read_body(request.environ)
        if request.method in ("POST", "PUT", "PATCH", "DELETE") and settings.token and not is_schedule():
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {settings.token}".encode()):
                raise Problem(
                    401,
                    "This changes the model: send Authorization: Bearer <retrain-token>.",
                    WWW_Authenticate="Bearer",
                )

    @app.errorhandler(RecordsUnavailable)
    @app.errorhandler(StoreError)
    def away(error: Exception) -> Response:
        return Problem(503, f"{error}; try again.", Retry_After="5").response()

    @app.errorhandler(VersionNotFound)
    def unknown(error: Exception) -> Response:
        return Problem(404, f"{error}; GET this address lists the versions.").response()

    @app.errorhandler(ArtifactError)
    def damaged(error: Exception) -> Response:
        logger.error("%s", error)
        return Problem(500, f"The version is damaged: {error}. Roll back to another with POST …/rollback.").response()

    @app.errorhandler(Busy)
    @app.errorhandler(PromotionConflict)
    def conflict(error: Exception) -> Response:
        return Problem(409, f"{error}.").response()

    @app.get("/")
    def describe() -> Response:
        current = store.current()
        return json_response(
            {
                "model": current.version if current else None,
                "pending": labels.count("pending"),
                "used": labels.count("used"),
                "refused": labels.count("refused"),
                "conflicts": labels.conflicts(),
                "running": trainer.progress,
                "last_run": trainer.last_run,
                "versions": [_version(info) for info in store.versions()[-VERSIONS_SHOWN:][::-1]],
                "promotions": [promotion.as_dict() for promotion in store.history()],
            }
        )

    @app.post("/")
    def learn() -> tuple[Response, int] | Response:
        run_now = request.args.get("now") == "true"
        if not g.body.strip():
            return json_response(trainer.run(by="request" if run_now else "schedule", refused=_flag("refused")))
        examples = read_examples(read_json(g.body, EXPECTED))
        waiting = labels.count("pending")
        if waiting + len(examples) > settings.max_pending_labels:
            raise Problem(
                429, f"{waiting} labels are pending already; try again when they are learned.", Retry_After="60"
            )
        new = labels.add(examples)
        metrics.labels.labels("accepted").inc(len(new))
        metrics.labels.labels("repeated").inc(len(examples) - len(new))
        pending = waiting + len(new)
        answer: dict[str, Any] = {
            "accepted": len(new),
            "repeated": len(examples) - len(new),
            "pending": pending,
            "ids": new,
        }
        if run_now:
            return json_response({**answer, **trainer.run(by="request")})
        due = pending >= settings.retrain_after and trainer.progress is None
        if due:
            threading.Thread(target=run_in_background, args=(trainer,), name="training", daemon=True).start()
        current = store.current()
        return json_response({**answer, "model": current.version if current else None, "retrained": due}, 202)

    @app.delete("/labels/<identifier>")
    def take_back(identifier: str) -> Response:
        label = labels.find(identifier)
        if label is None:
            raise Problem(404, f"There is no label {identifier}.")
        version = trainer.take_back(label, by="request")
        return json_response({"deleted": label.id, "subtracted": version is not None, "model": version})

    @app.post("/rollback")
    def roll_back() -> Response:
        wanted = read_json(g.body, ROLLBACK_EXPECTED) if g.body.strip() else {}
        to, requeue = wanted.get("to"), wanted.get("requeue", False)
        if not isinstance(to, str | None) or not isinstance(requeue, bool):
            raise Problem(400, f"Send {ROLLBACK_EXPECTED}.")
        current, requeued = trainer.roll_back(to, by="request", requeue=requeue)
        return json_response({"model": current.version, "promotion": current.promotion.as_dict(), "requeued": requeued})

    return app


def read_examples(value: dict[str, Any]) -> list[Label]:
    """Return the labels of a request; raises Problem, and then none of them counts."""
    examples = value.get("examples", [value] if "text" in value else None)
    if not isinstance(examples, list):
        raise Problem(400, f"There are no labels in the body; send {EXPECTED}.")
    if len(examples) > MAX_BATCH_TEXTS:
        raise Problem(413, f"At most {MAX_BATCH_TEXTS} labels a request; these are {len(examples)}.")
    return [read_label(example, f"examples[{number}]") for number, example in enumerate(examples)]


def read_label(example: Any, where: str) -> Label:
    """Return one label; raises Problem that says `where` the fault is."""
    if not isinstance(example, dict) or not isinstance(example.get("text"), str):
        raise Problem(400, f"{where}: text must be a string; send {EXPECTED}.")
    if len(example["text"]) > MAX_TEXT_CHARACTERS:
        raise Problem(413, f"{where}: at most {MAX_TEXT_CHARACTERS} characters a text; it has {len(example['text'])}.")
    try:
        label = parse_label(example.get("label"))
    except ValueError as error:
        raise Problem(400, f"{where}: {error}.") from error
    source, client_id = example.get("source", "http"), example.get("id")
    if not isinstance(source, str) or not 0 < len(source) <= 100:
        raise Problem(400, f"{where}: source must be a string of 1 to 100 characters.")
    if client_id is not None and (not isinstance(client_id, str | int) or len(str(client_id)) > 200):
        raise Problem(400, f"{where}: id must be a string or a whole number, of at most 200 characters.")
    return Label(example["text"], label, source, None if client_id is None else str(client_id))


def is_schedule() -> bool:
    """Tell whether this is what the schedule sends: POST / with nothing in it.

    cron-connector can send no token. All that this request does is to have labels learned that came with one.
    """
    return request.method == "POST" and request.path == "/" and not request.args and not g.body.strip()


def run_in_background(trainer: Trainer) -> None:
    """Run because enough labels are pending; what fails is logged, and the next label or the schedule tries again."""
    try:
        trainer.run(by="pending labels")
    except Busy:
        pass
    except (RecordsUnavailable, StoreError, ArtifactError) as error:
        logger.error("training failed: %s", error)


def _flag(name: str) -> bool:
    return request.args.get(name) == "true"


def _version(info: VersionInfo) -> dict[str, Any]:
    manifest = info.manifest or {}
    metrics = manifest.get("metrics") or {}
    return {
        "version": info.version,
        "problem": info.problem,
        "trained_at": manifest.get("trained_at"),
        "trainer": manifest.get("trainer"),
        "parent": manifest.get("parent"),
        "labels": manifest.get("labels"),
        "metrics": {key: metrics.get(key) for key in ("texts", "accuracy", "log_loss")},
    }


def _not_ready(store: ModelStore, labels: Labels) -> str | None:
    try:
        store.current()
        labels.count("pending")
    except (StoreError, RecordsUnavailable) as error:
        return str(error)
    return None
