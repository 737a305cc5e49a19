"""The messages of the streams as a document of AsyncAPI 3, made of the contracts.

python -m bridge.asyncapi > docs/asyncapi.json
"""

import sys
from inspect import cleandoc
from typing import Any

import msgspec

from contracts.codec import indented
from contracts.drift import Alert
from contracts.limits import MAX_EXPLAINED_CHARACTERS, MAX_ID_CHARACTERS, MAX_PARKED_CHARACTERS, MAX_TEXT_CHARACTERS
from contracts.names import ALERTS, PREDICTIONS, REJECTED
from contracts.retrain import LabelExample
from contracts.stream import Rejected, ReviewAnswer, ReviewMessage

Part = dict[str, Any]
REVIEWS, LABELS = "reviews", "labels"
"""The streams that the bridge reads unless its settings name others."""
JSON = "application/json"
VERSION = "0.4.0"
"""Of the messages, not of the project: it grows when they change."""

_MODEL = "20261124T192837Z-cdfaae22"
_ANSWER = {
    "id": "order-17",
    "prediction": "positive",
    "probability": 0.8742197769085034,
    "log_odds": 0.9455450898679354,
    "model": _MODEL,
    "offset": 0,
}
_ALERT = {
    "text": "Drift detected at 2026-11-24 20:15 UTC between the last 500 texts and the reference (live, 1000 texts) of "
    f"model {_MODEL}: length (p = 1.2e-30, effect 0.41).",
    "event": "drift.detected",
    "id": "drift-42",
    "drift": True,
    "checked_at": "2026-11-24T20:15:00Z",
    "model": _MODEL,
    "tests": {
        "length": {
            "statistic": 0.41,
            "p_value": 2e-31,
            "adjusted_p_value": 1.2e-30,
            "effect_size": 0.41,
            "threshold": 0.05,
            "drift": True,
        }
    },
    "words": [],
    "window": {"documents": 500, "synthetic": 0},
    "reference": {"documents": 1000, "kind": "live", "model": _MODEL},
}


def document() -> Part:
    """Return the document, made of what JSON has."""
    kinds = (ReviewMessage, LabelExample, ReviewAnswer, Rejected, Alert)
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        schema["description"] = cleandoc(schema["description"])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sentiment of English texts, by RabbitMQ",
            "version": VERSION,
            "description": "What may be sent to the bridge, and what it answers. docs/streams.md has it in words: what "
            "is guaranteed, how a super stream is sent to, and what becomes of bad messages.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON,
        "servers": _servers(),
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": schemas},
    }


def _servers() -> Part:
    host = {"host": {"default": "127.0.0.1", "description": "The broker."}}
    return {
        "amqp": {
            "host": "{host}:5672",
            "protocol": "amqp",
            "protocolVersion": "0.9.1",
            "description": "RABBITMQ_URL: for all channels.",
            "variables": host,
        },
        "streams": {
            "host": "{host}:5552",
            "protocol": "rabbitmq-stream",
            "description": "RABBITMQ_STREAM_URL: RabbitMQ's stream protocol, for the streams alone.",
            "variables": host,
        },
    }


def _channels() -> Part:
    both, amqp_alone = ["amqp", "streams"], ["amqp"]
    return {
        REVIEWS: {
            **_stream(REVIEWS, both, "review", "reviewText"),
            "description": "Texts to score: a stream, or a queue. BRIDGE_SOURCE may name another. Where it is a super "
            "stream, this is its name for clients of the stream protocol, and over AMQP 0.9.1 see reviewsPartition.",
        },
        "reviewsPartition": {
            "address": "{partition}",
            "title": "A partition of the super stream reviews",
            "description": "Over AMQP 0.9.1: the exchange in front of the partitions, and the number of one as routing "
            f"key. Its stream is named {REVIEWS}-0, {REVIEWS}-1 and so on, and can be sent to by that name, too.",
            "parameters": {"partition": {"description": "The number of the partition, from 0.", "examples": ["0"]}},
            "servers": _refs("servers", amqp_alone),
            "messages": _message_refs("review", "reviewText"),
            "bindings": _exchange(REVIEWS, "direct"),
        },
        LABELS: {
            **_stream(LABELS, both, "label"),
            "description": "Texts and what they are, to learn from. BRIDGE_LABELS may name another stream.",
        },
        PREDICTIONS: {
            **_stream(PREDICTIONS, both, "answer"),
            "description": "Every answer, once; those to one partition in the order of its offsets.",
        },
        REJECTED: {
            **_stream(REJECTED, both, "rejected"),
            "description": "What can't be used, and why.",
        },
        "replies": {
            "address": None,
            "title": "The queue that a review names in reply_to",
            "description": "Through the default exchange; at least once. Who asked declares it.",
            "servers": _refs("servers", amqp_alone),
            "messages": _message_refs("answer"),
        },
        ALERTS: {
            "address": "drift.{kind}",
            "title": "Changes of the drift state",
            "description": "A topic exchange, to which whoever wants to hear of them binds a queue. Sent by the "
            "function drift, at least once.",
            "parameters": {"kind": {"enum": ["detected", "cleared"], "description": "What has changed."}},
            "servers": _refs("servers", amqp_alone),
            "messages": _message_refs("alert"),
            "bindings": _exchange(ALERTS, "topic"),
        },
    }


def _operations() -> Part:
    return {
        "score": {
            **_operation("receive", REVIEWS, "review", "reviewText"),
            "summary": "Score a text, record it, answer.",
            "reply": _reply(),
        },
        "scoreFromPartition": {
            **_operation("receive", "reviewsPartition", "review", "reviewText"),
            "summary": "The same, of a super stream.",
            "reply": _reply(),
        },
        "learn": {**_operation("receive", LABELS, "label"), "summary": "Store a label, to be learned."},
        "answer": {**_operation("send", PREDICTIONS, "answer"), "summary": "Publish the answer to a text."},
        "reject": {**_operation("send", REJECTED, "rejected"), "summary": "Say that a message can't be used."},
        "alert": {**_operation("send", ALERTS, "alert"), "summary": "Say that drift was found, or is over."},
    }


def _messages() -> Part:
    correlation = {"location": "$message.header#/correlation_id", "description": "The property correlation_id of AMQP."}
    return {
        "review": {
            "title": "A text to be scored",
            "contentType": JSON,
            "description": f"text: at most {MAX_TEXT_CHARACTERS} characters. id: of the sender; without it the answer "
            f"has the property message_id, its first {MAX_ID_CHARACTERS} characters, else the stream and the offset. "
            f"explain: the answer names the words that decided; then at most {MAX_EXPLAINED_CHARACTERS} characters.",
            "correlationId": correlation,
            "payload": _schema(ReviewMessage),
            "examples": [
                {"payload": {"text": "I love you", "id": "order-17"}},
                {"payload": {"text": "What a bore", "explain": True}},
            ],
        },
        "reviewText": {
            "title": "A text to be scored, and nothing else",
            "contentType": "text/plain",
            "description": "The body is the text, in UTF-8. Without a content type, a body that begins with { is JSON.",
            "correlationId": correlation,
            "payload": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS},
            "examples": [{"payload": "I love you"}],
        },
        "label": {
            "title": "A text, and what it is",
            "contentType": JSON,
            "description": 'label: 0, 1, "negative" or "positive". source: who says so, `stream` where it is left out.',
            "payload": _schema(LabelExample),
            "examples": [{"payload": {"text": "So dull.", "label": "negative", "id": "s-1", "source": "survey"}}],
        },
        "answer": {
            "title": "The answer to a text",
            "contentType": JSON,
            "description": "probability: that of positive, calibrated. log_odds: what the model says before. words and "
            "bias: where the review asks for them, what adds up to log_odds. offset: of the text in its stream or "
            "partition, null where it came from a queue.",
            "correlationId": correlation,
            "payload": _schema(ReviewAnswer),
            "examples": [{"payload": _ANSWER}],
        },
        "rejected": {
            "title": "A message that can't be used",
            "contentType": JSON,
            "description": f"body: its first {MAX_PARKED_CHARACTERS} characters.",
            "correlationId": correlation,
            "payload": _schema(Rejected),
            "examples": [
                {
                    "payload": {
                        "id": "reviews:7",
                        "reason": "the body is empty",
                        "body": "",
                        "size_bytes": 0,
                        "offset": 7,
                        "message_id": None,
                        "correlation_id": "d8613f37:3",
                    }
                }
            ],
        },
        "alert": {
            "title": "A change of the drift state",
            "contentType": JSON,
            "description": "text: for people. The property message_id has its id: an alert that comes twice has one.",
            "payload": _schema(Alert),
            "examples": [{"payload": _ALERT}],
        },
    }


def _stream(name: str, servers: list[str], *messages: str) -> Part:
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    return {
        "address": name,
        "servers": _refs("servers", servers),
        "messages": _message_refs(*messages),
        "bindings": {"amqp": {"is": "queue", "queue": queue, "bindingVersion": "0.3.0"}},
    }


def _exchange(name: str, kind: str) -> Part:
    exchange = {"name": name, "type": kind, "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}}


def _operation(action: str, channel: str, *messages: str) -> Part:
    found = [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": found}


def _reply() -> Part:
    location = {
        "location": "$message.header#/reply_to",
        "description": "The property reply_to of AMQP, where it is set.",
    }
    return {
        "address": location,
        "channel": {"$ref": "#/channels/replies"},
        "messages": [{"$ref": "#/channels/replies/messages/answer"}],
    }


def _refs(part: str, names: list[str]) -> list[Part]:
    return [{"$ref": f"#/{part}/{name}"} for name in names]


def _message_refs(*names: str) -> Part:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _schema(kind: type[msgspec.Struct]) -> Part:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def main() -> int:
    """Print the document."""
    sys.stdout.write(indented(document()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
