"""What each part of the system may do at the servers that it uses: the least with which it does its work."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from contracts.names import ALERTS, PREDICTIONS, REJECTED


@dataclass(frozen=True)
class BucketRights:
    """Which objects of the model store's bucket a part may read and write, by patterns: `*` stands for anything.

    Who may write may delete, too. All may list the bucket: a store tells nobody else that an object is not there.
    """

    read: tuple[str, ...]
    write: tuple[str, ...] = ()

    def actions(self, bucket: str) -> list[str]:
        """Return them as SeaweedFS has them."""
        reads = [f"Read:{bucket}/{pattern}" for pattern in self.read]
        return [f"List:{bucket}", *reads, *(f"Write:{bucket}/{pattern}" for pattern in self.write)]

    def policy(self, bucket: str) -> str:
        """Return them as Amazon S3 and MinIO have them, a document in JSON."""
        name = f"arn:aws:s3:::{bucket}"

        def allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, object]:
            return {"Effect": "Allow", "Action": actions, "Resource": resources}

        statements = [
            allow(["s3:ListBucket", "s3:GetBucketLocation"], [name]),
            allow(["s3:GetObject"], [f"{name}/{pattern}" for pattern in self.read]),
        ]
        if self.write:
            objects = [f"{name}/{pattern}" for pattern in self.write]
            statements.append(allow(["s3:PutObject", "s3:DeleteObject"], objects))
        return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


# SeaweedFS takes a key without a `*` for the name of a bucket.
_SERVED = ("current.json*", "versions/*")

BUCKET: Mapping[str, BucketRights] = {
    "predict": BucketRights(_SERVED),
    "drift": BucketRights((*_SERVED, "references/*"), write=("references/*",)),
    "retrain": BucketRights(("*",), write=("*",)),
}
"""The parts that use the model store."""


@dataclass(frozen=True)
class S3Identity:
    """Somebody whom the store knows by a key, and what SeaweedFS lets him do: `Read:bucket/prefix/*`, `Admin`, ..."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    actions: Sequence[str] = ("Admin",)

    @property
    def variables(self) -> dict[str, str]:
        """Return the settings of who has the key."""
        return {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}

    @property
    def document(self) -> dict[str, object]:
        """Return it as SeaweedFS's file of identities has it."""
        key = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        return {"name": self.access_key_id, "credentials": [key], "actions": [*self.actions]}


def seaweedfs_identities(known: Iterable[S3Identity]) -> str:
    """Return SeaweedFS's file of whom it knows."""
    return json.dumps({"identities": [each.document for each in known]}, indent=2)


# Of the collections whose documents expire after RECORD_TTL_DAYS: its indexes are replaced where that has changed.
_EXPIRES = ("createIndex", "listIndexes", "dropIndex")

RECORDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "predict": {
        "predictions": ("insert", *_EXPIRES),
        "rejected": _EXPIRES,
        "labels": ("createIndex",),
        "drift_reports": _EXPIRES,
    },
    "bridge": {
        "predictions": ("insert", "find", *_EXPIRES),
        "rejected": ("insert", "find", *_EXPIRES),
        "offsets": ("insert", "find", "update"),
        "labels": ("createIndex",),
        "drift_reports": _EXPIRES,
    },
    "drift": {
        "predictions": ("find", *_EXPIRES),
        "rejected": _EXPIRES,
        "labels": ("find", "createIndex"),
        "drift_reports": ("insert", "find", "update", "remove", *_EXPIRES),
        "drift_sample": ("insert", "find", "update"),
    },
    "retrain": {"labels": ("insert", "find", "update", "remove", "createIndex")},
    "generate-drift": {"predictions": ("find", "remove", "createIndex")},
    "console": {"predictions": ("find",), "rejected": ("find",), "labels": ("find",)},
}
"""The parts that use MongoDB: from a collection to MongoDB's names of what the part may do there."""


def mongodb_roles(database: str) -> list[dict[str, object]]:
    """Return a role of MongoDB for each part, with its privileges, as MongoDB's operator has them."""
    return [
        {
            "role": part,
            "db": "admin",
            "privileges": [
                {"resource": {"db": database, "collection": collection}, "actions": [*actions]}
                for collection, actions in rights.items()
            ],
        }
        for part, rights in RECORDS.items()
    ]


def mongodb_users(passwords: Mapping[str, str], database: str) -> str:
    """Return what mongodb-users.js reads: the users of MongoDB, with passwords, and the privileges of each."""
    roles = {str(role["role"]): role["privileges"] for role in mongodb_roles(database)}
    users = [{"name": part, "password": passwords[part], "privileges": roles[part]} for part in RECORDS]
    return json.dumps(users, indent=2)


@dataclass(frozen=True)
class BrokerRights:
    """What a user of RabbitMQ may declare, write and read: regular expressions of names, an empty one of none."""

    configure: str = ""
    write: str = ""
    read: str = ""


def broker(environment: Mapping[str, str]) -> Mapping[str, BrokerRights]:
    """Return the rights of each user of the broker, by his name, where the bridge reads what `environment` says."""
    _, _, source = (environment.get("BRIDGE_SOURCE") or "stream:reviews").partition(":")
    reviews, labels = re.escape(source), re.escape(environment.get("BRIDGE_LABELS") or "labels")
    inputs = rf"({reviews}|{labels})(-[0-9]+)?(\.(unfinished|reader|rejected|dead-letter))?"
    streams = rf"{PREDICTIONS}|{REJECTED}|{inputs}"
    # A queue of one's own, which nobody else can name: as `bridge.client` calls it, or as the broker does.
    own = r"client-.*|amq\.gen-.*"
    return {
        # Who asks for an answer names the queue, so the bridge has to write to every one.
        "bridge": BrokerRights(f"^({streams})$", rf"^({streams}|amq\.default)$", f"^({streams})$"),
        "drift": BrokerRights(f"^{ALERTS}$", f"^{ALERTS}$"),
        "reviews": BrokerRights(f"^({own})$", f"^{reviews}(-[0-9]+)?$", f"^({own}|{REJECTED})$"),
        "labels": BrokerRights(write=f"^{labels}$"),
    }


@dataclass(frozen=True)
class BrokerUser:
    """Somebody whom RabbitMQ knows by a password, and what he may do there."""

    name: str
    password: str = field(repr=False)
    rights: BrokerRights

    def variables(self, host: str, amqp: int = 5672, stream: int = 5552) -> dict[str, str]:
        """Return the settings of who has the password, for a node that listens on these ports."""
        login = f"{self.name}:{self.password}@{host}"
        return {
            "RABBITMQ_URL": f"amqp://{login}:{amqp}/%2F",
            "RABBITMQ_STREAM_URL": f"rabbitmq-stream://{login}:{stream}/%2F",
        }


def definitions(administrator: str, password: str, others: Iterable[BrokerUser]) -> str:
    """Return RabbitMQ's file of definitions that makes these users, or gives them these passwords and rights."""
    users = [BrokerUser(administrator, password, BrokerRights(".*", ".*", ".*")), *others]
    return json.dumps(
        {
            "vhosts": [{"name": "/"}],
            "users": [
                {
                    "name": user.name,
                    "password": user.password,
                    "tags": "administrator" if user.name == administrator else "",
                }
                for user in users
            ],
            "permissions": [{"user": user.name, "vhost": "/", **asdict(user.rights)} for user in users],
        },
        indent=2,
    )


def label_tokens(bridge: str, console: str, others: str = "") -> str:
    """Return the secret `label-tokens`: who may send labels to retrain, each line a name and a token.

    bridge: the token of the labels that come by stream. console: of those that people give there. others: such lines
    for further senders.
    """
    return f"stream {bridge}\nconsole {console}\n{others}"
