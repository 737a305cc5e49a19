"""Makes the credentials of a deployment, random ones, and hands them out to its parts: each a file of its own.

What is there stays as it is. The service `secrets` of compose.yml is `python -m deploy.secrets FOLDER PARTS`.
"""

import argparse
import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deploy import key_pair
from deploy.reads import READS
from deploy.rights import (
    BUCKET,
    RECORDS,
    BrokerUser,
    S3Identity,
    broker,
    definitions,
    label_tokens,
    mongodb_users,
    seaweedfs_identities,
)
from process.tls import holds_certificates

USER = DATABASE = "sentiment"
# Whoever has none of a secret; a gateway takes no empty one, and a reader strips white space.
NONE = "\n"
# name of the secret -> the variable that gives it, or its file
CREDENTIALS = {
    "s3-access-key": "AWS_ACCESS_KEY_ID",
    "s3-secret-key": "AWS_SECRET_ACCESS_KEY",
    "mongodb-url": "MONGODB_URL",
    "rabbitmq-url": "RABBITMQ_URL",
    "rabbitmq-stream-url": "RABBITMQ_STREAM_URL",
    "retrain-token": "RETRAIN_TOKEN",
    "console-token": "CONSOLE_TOKEN",
    "label-tokens": "LABEL_TOKENS",
    "alert-webhook-url": "ALERT_WEBHOOK_URL",
    "model-signing-key": "MODEL_SIGNING_KEY",
    "model-public-key": "MODEL_PUBLIC_KEY",
    "ca-certificates": "CA_FILE",
}


def given_by(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that the user gives; raises ValueError where CA_FILE is no file with certificates.

    An empty file is as good as none.
    """
    given = {name: environment[variable] for name, variable in CREDENTIALS.items() if environment.get(variable)}
    if path := given.pop("ca-certificates", None):
        file = Path(path)
        if holds_certificates(file):
            given["ca-certificates"] = file.read_text()
        elif not file.exists() or file.stat().st_size:
            raise ValueError(f"CA_FILE must be the path of a PEM file with certificates, not '{path}'")
    return given


def write(folder: Path, values: Mapping[str, str], mode: int = 0o700) -> list[str]:
    """Write secrets, a file each, where they differ from what is there; return the names of those that did.

    Without `mode`, the folder is closed to all but its owner. The files in it are open: who reads a part's own is
    another user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    changed = [name for name, value in values.items() if known(folder / name) != value]
    for name in changed:
        path, part = folder / name, folder / f".{name}.part"
        part.write_text(values[name])
        part.chmod(0o444)
        part.replace(path)
    return changed


def known(path: Path) -> str | None:
    """Return a secret, None where there is none."""
    return path.read_text() if path.exists() else None


def make(
    folder: Path,
    mongodb_host: str,
    rabbitmq_host: str,
    given: Mapping[str, str],
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Write the secrets that are `given`, and make the others that `folder` lacks; return the names of the changed.

    The hosts are where clients are to reach the servers, on the usual ports; `environment` says what the bridge reads,
    and whose the store is. A secret whose name begins with a part, or with a user of the broker, is that one's alone.
    Raises ValueError where the signing key that is given is none.
    """
    environment = environment or {}
    logins = [
        BrokerUser(name, known(folder / f"{name}-rabbitmq-password") or secrets.token_hex(24), rights)
        for name, rights in broker(environment).items()
    ]
    mongodb = known(folder / "mongodb-password") or secrets.token_hex(24)
    rabbitmq = known(folder / "rabbitmq-password") or secrets.token_hex(24)
    # Of a key pair of the user's we may have the public half alone: then nothing is signed here.
    theirs = NONE if "model-public-key" in given else None
    signing = given.get("model-signing-key") or theirs or known(folder / "model-signing-key") or key_pair.signing_key()
    bridge_token = known(folder / "bridge-retrain-token") or secrets.token_urlsafe(32)
    label_token = known(folder / "console-label-token") or secrets.token_urlsafe(32)
    wanted = {
        "mongodb-password": mongodb,
        **_records_logins(folder, mongodb, mongodb_host, given),
        "rabbitmq-password": rabbitmq,
        "rabbitmq-url": f"amqp://{USER}:{rabbitmq}@{rabbitmq_host}:5672/%2F",
        # Of a broker of the user's, the bridge finds it out by itself.
        "rabbitmq-stream-url": NONE
        if "rabbitmq-url" in given
        else f"rabbitmq-stream://{USER}:{rabbitmq}@{rabbitmq_host}:5552/%2F",
        # A client of streams goes where the broker says, whatever address it asked at: that must be one it can reach.
        "rabbitmq.conf": (
            f"load_definitions = /run/secrets/rabbitmq-definitions\nstream.advertised_host = {rabbitmq_host}\n"
        ),
        # The broker reads its users from a file; from the environment others could read them.
        "rabbitmq-definitions": definitions(USER, rabbitmq, logins),
        **_logins(logins, rabbitmq_host, given),
        **_store_keys(folder, given, environment),
        "model-signing-key": signing,
        "model-public-key": known(folder / "model-public-key") or NONE if signing == NONE else _public_key(signing),
        # Of servers of the user's; without any, those that the image brings are trusted.
        "ca-certificates": known(folder / "ca-certificates") or NONE,
        "alert-webhook-url": known(folder / "alert-webhook-url") or NONE,
        "retrain-token": known(folder / "retrain-token") or secrets.token_urlsafe(32),
        "bridge-retrain-token": bridge_token,
        "console-token": known(folder / "console-token") or secrets.token_urlsafe(32),
        "console-label-token": label_token,
    }
    ours = label_tokens(bridge_token, label_token)
    # Of a folder that an earlier release has made, the lines that were ours stand alone.
    earlier = [line for line in (known(folder / "label-tokens") or "").splitlines(True) if line not in ours]
    others = given.get("label-tokens") or "".join(earlier)
    return write(folder, {**wanted, **given, "label-tokens": label_tokens(bridge_token, label_token, others)})


def _public_key(signing_key: str) -> str:
    try:
        return key_pair.public_key(signing_key)
    except ValueError as error:
        raise ValueError(f"MODEL_SIGNING_KEY can't be used: {error}") from error


def _records_logins(folder: Path, administrator: str, host: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses of MongoDB with the administrator's password and with that of each part.

    Of a server of the user's, all have the one that is given.
    """

    def url(user: str, password: str) -> str:
        return f"mongodb://{user}:{password}@{host}:27017/{DATABASE}?authSource=admin"

    passwords = {part: known(folder / f"{part}-mongodb-password") or secrets.token_hex(24) for part in RECORDS}
    users = "[]" if "mongodb-url" in given else mongodb_users(passwords, DATABASE)
    found = {"mongodb-url": url(USER, administrator), "mongodb-users": users}
    for part, password in passwords.items():
        found[f"{part}-mongodb-password"] = password
        found[f"{part}-mongodb-url"] = given.get("mongodb-url", url(part, password))
    return found


def _store_keys(folder: Path, given: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the administrator's key of the store, one for each part that uses it, and what the store is told of them.

    Of a store of the user's, at S3_ENDPOINT_URL, all have the one that is given.
    """

    def key(prefix: str, actions: Sequence[str] = ("Admin",)) -> S3Identity:
        names = f"{prefix}s3-access-key", f"{prefix}s3-secret-key"
        access_key, secret_key = (given.get(name) or known(folder / name) for name in names)
        return S3Identity(access_key or secrets.token_hex(10), secret_key or secrets.token_hex(20), actions)

    def own(part: str, actions: Sequence[str]) -> S3Identity:
        found = key(f"{part}-", actions)
        # The administrator's was the part's, too, as long as the store was the user's.
        is_new = found.access_key_id == administrator.access_key_id
        return S3Identity(secrets.token_hex(10), secrets.token_hex(20), actions) if is_new else found

    bucket, is_ours = environment.get("S3_BUCKET") or "models", not environment.get("S3_ENDPOINT_URL")
    administrator = key("")
    keys = {"": administrator}
    for part, rights in BUCKET.items():
        keys[f"{part}-"] = own(part, rights.actions(bucket)) if is_ours else administrator
    found = {"s3-identities": seaweedfs_identities(keys.values())}
    for prefix, each in keys.items():
        found |= {f"{prefix}s3-access-key": each.access_key_id, f"{prefix}s3-secret-key": each.secret_access_key}
    return found | {f"{part}-s3-policy": rights.policy(bucket) for part, rights in BUCKET.items()}


def _logins(users: Iterable[BrokerUser], host: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return for each user of the broker its password and its addresses; of a broker of the user's, those given."""
    found: dict[str, str] = {}
    for user in users:
        urls = user.variables(host)
        found[f"{user.name}-rabbitmq-password"] = user.password
        found[f"{user.name}-rabbitmq-url"] = given.get("rabbitmq-url", urls["RABBITMQ_URL"])
        stream_url = given.get("rabbitmq-stream-url") or (NONE if "rabbitmq-url" in given else None)
        found[f"{user.name}-rabbitmq-stream-url"] = stream_url or urls["RABBITMQ_STREAM_URL"]
    return found


def hand_out(folder: Path, parts: Path) -> None:
    """Write what each part reads into a folder of its own in `parts`, under the names by which it looks for them."""
    for part, reads in READS.items():
        write(parts / part, {name: (folder / secret).read_text() for name, secret in reads.items()}, mode=0o755)


def main() -> int:
    """Make the secrets of compose.yml that are missing, and hand out all; return 1 where one can't be used."""
    parser = argparse.ArgumentParser(prog="python -m deploy.secrets", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the secrets are kept")
    parser.add_argument("parts", type=Path, help="where each part has a folder with what it reads")
    parser.add_argument("--as-they-are", action="store_true", help="make none")
    asked = parser.parse_args()
    if not asked.as_they_are:
        try:
            made = make(asked.folder, "mongodb", "rabbitmq", given_by(os.environ), os.environ)
        except ValueError as error:
            sys.stdout.write(f"no secrets: {error}\n")
            return 1
        sys.stdout.write(f"secrets: made {', '.join(made) or 'none, all are there'}\n")
    hand_out(asked.folder, asked.parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
