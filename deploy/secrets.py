"""Makes the credentials of a deployment whose servers are containers: `python3 -m deploy.secrets`.

Random ones, each in a file of its own, as compose and OpenFaaS hand them out. What is there stays as it is.
"""

import argparse
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy import key_pair

USER = "sentiment"
# Whoever has none of a secret; a gateway takes no empty one, and a reader strips white space.
NONE = "\n"
DEFAULT_FOLDER = Path(".local/secrets")


def write(folder: Path, values: Mapping[str, str]) -> list[str]:
    """Write secrets, a file each, where they differ from what is there; return the names of those that did.

    The folder is closed to all but its owner, the files in it are not: they are mounted one by one into
    containers, whose users are not the owner.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
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


def make(folder: Path, mongodb_host: str, rabbitmq_host: str, given: Mapping[str, str]) -> list[str]:
    """Write the secrets that are `given`, and make the others that `folder` lacks; return the names of the changed.

    The hosts are where clients are to reach the servers, on the usual ports. Raises ValueError where the signing key
    that is given is none.
    """
    mongodb = known(folder / "mongodb-password") or secrets.token_hex(24)
    rabbitmq = known(folder / "rabbitmq-password") or secrets.token_hex(24)
    # Of a key pair of the user's we may have the public half alone: then nothing is signed here.
    theirs = NONE if "model-public-key" in given else None
    signing = given.get("model-signing-key") or theirs or known(folder / "model-signing-key") or key_pair.signing_key()
    wanted = {
        "mongodb-password": mongodb,
        "mongodb-url": f"mongodb://{USER}:{mongodb}@{mongodb_host}:27017/sentiment?authSource=admin",
        "rabbitmq-password": rabbitmq,
        "rabbitmq-url": f"amqp://{USER}:{rabbitmq}@{rabbitmq_host}:5672/%2F",
        # Of a broker of the user's, the bridge finds it out by itself.
        "rabbitmq-stream-url": NONE
        if "rabbitmq-url" in given
        else f"rabbitmq-stream://{USER}:{rabbitmq}@{rabbitmq_host}:5552/%2F",
        # The broker reads its first user from a file of settings; from the environment others could read it. A client
        # of streams goes where the broker says, whatever address it asked at: that must be one it can reach.
        "rabbitmq.conf": (
            f"default_user = {USER}\ndefault_pass = {rabbitmq}\nstream.advertised_host = {rabbitmq_host}\n"
        ),
        "s3-access-key": known(folder / "s3-access-key") or secrets.token_hex(10),
        "s3-secret-key": known(folder / "s3-secret-key") or secrets.token_hex(20),
        "model-signing-key": signing,
        "model-public-key": known(folder / "model-public-key") or NONE
        if signing == NONE
        else key_pair.public_key(signing),
        # Of servers of the user's; without any, those that the image brings are trusted.
        "ca-certificates": known(folder / "ca-certificates") or NONE,
        "alert-webhook-url": known(folder / "alert-webhook-url") or NONE,
        "retrain-token": known(folder / "retrain-token") or secrets.token_urlsafe(32),
    }
    return write(folder, {**wanted, **given})


def main() -> int:
    """Make the secrets of compose.yml."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.secrets", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    folder = parser.parse_args().folder
    made = make(folder, "mongodb", "rabbitmq", given={})
    sys.stdout.write(f"{folder}: made {', '.join(made) or 'nothing, all are there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
