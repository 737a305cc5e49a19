"""Who reads which secret: the one table that compose, OpenFaaS and the Helm chart follow."""

from collections.abc import Mapping

from contracts.names import FUNCTIONS
from deploy.rights import BUCKET, RECORDS

Reads = Mapping[str, str]
"""From the name under which a part finds a secret to the secret."""


def _own(part: str, *names: str) -> dict[str, str]:
    return {name: f"{part}-{name}" for name in names}


def _shared(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_STORE = ("s3-access-key", "s3-secret-key")
_BROKER = ("rabbitmq-url", "rabbitmq-stream-url")
_ALL = _shared("ca-certificates")
_STORE_USERS = [f"{part}-s3-{what}" for part in BUCKET for what in ("access-key", "secret-key", "policy")]

READS: Mapping[str, Reads] = {
    "predict": _ALL | _own("predict", *_STORE, "mongodb-url") | _shared("model-public-key"),
    "retrain": _ALL
    | _own("retrain", *_STORE, "mongodb-url")
    | _shared("model-public-key", "model-signing-key", "retrain-token", "label-tokens"),
    "drift": _ALL
    | _own("drift", *_STORE, "mongodb-url", "rabbitmq-url")
    | _shared("model-public-key", "alert-webhook-url"),
    "generate-drift": _ALL | _own("generate-drift", "mongodb-url") | _shared("retrain-token"),
    "console": _ALL | _own("console", "mongodb-url", "label-token") | _shared("console-token", "retrain-token"),
    "bridge": _ALL | _own("bridge", "mongodb-url", *_BROKER, "retrain-token"),
    "bootstrap": _ALL | _shared(*_STORE, "model-public-key", "model-signing-key"),
    "s3": _shared(*_STORE, "s3-identities"),
    "s3-users": _shared(*_STORE, *_STORE_USERS),
    "mongodb": _shared("mongodb-password"),
    "mongodb-users": _shared("mongodb-url", "mongodb-users"),
    "rabbitmq": _shared("rabbitmq-definitions", "rabbitmq.conf"),
}
"""The parts of a deployment, by the names that compose.yml and stack.yml have for them."""

OF_FUNCTIONS = [*dict.fromkeys(secret for name in FUNCTIONS for secret in READS[name].values())]
"""The secrets of the gateway."""

OF_CLUSTER: Mapping[str, Mapping[str, Reads]] = {
    "always": {
        "bridge": READS["bridge"],
        "bootstrap": READS["bootstrap"],
        "test": _ALL | {name: f"reviews-{name}" for name in _BROKER},
    },
    "s3=chart": {"minio": _shared(*_STORE), "minio-users": READS["s3-users"]},
    "mongodb=chart": {"mongodb": READS["mongodb"], "mongodb-users": READS["mongodb-users"]},
    "mongodb=operator": {
        "mongodb-sentiment": {"password": "mongodb-password"},
        **{f"mongodb-{part}": {"password": f"{part}-mongodb-password"} for part in RECORDS},
    },
    "rabbitmq=chart": {"rabbitmq": READS["rabbitmq"]},
    "rabbitmq=operator": {"rabbitmq-users": _shared("rabbitmq-definitions")},
}
"""The Secrets of the chart's namespace: those that are there always, and by who runs a server."""
