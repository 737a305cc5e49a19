"""Where the store is and who asks, from the environment."""

import os
from dataclasses import dataclass

from process.settings import read_secret, setting

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 15


def _keys() -> tuple[str, str, str | None] | None:
    access_key = read_secret("s3-access-key", "AWS_ACCESS_KEY_ID")
    secret_key = read_secret("s3-secret-key", "AWS_SECRET_ACCESS_KEY")
    session_token = read_secret("s3-session-token", "AWS_SESSION_TOKEN")
    return (access_key, secret_key, session_token) if access_key and secret_key else None


@dataclass(frozen=True)
class Settings:
    """How to reach a bucket; what is not given is read from the environment, keys from secrets first.

    endpoint_url: None for Amazon's own.
    keys: access key, secret key, session token; None leaves the search to botocore: profile, web identity, role.
    """

    bucket: str = setting(lambda: os.environ.get("S3_BUCKET") or "models")
    region: str = setting(lambda: os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1")
    endpoint_url: str | None = setting(lambda: os.environ.get("S3_ENDPOINT_URL") or None)
    keys: tuple[str, str, str | None] | None = setting(_keys)
