"""Where the store is and who asks, from the environment; the one place that builds an S3 client."""

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model_store.secrets import read_secret

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class Keys:
    """What requests are signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """How to reach a bucket.

    endpoint_url: None for Amazon's own.
    keys: None leaves the search to botocore: profile, web identity, instance role.
    """

    bucket: str
    region: str
    endpoint_url: str | None
    keys: Keys | None

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read S3_BUCKET, S3_ENDPOINT_URL, AWS_REGION and the keys: secret files, else the environment."""
        access_key = read_secret("s3-access-key", "AWS_ACCESS_KEY_ID")
        secret_key = read_secret("s3-secret-key", "AWS_SECRET_ACCESS_KEY")
        session_token = read_secret("s3-session-token", "AWS_SESSION_TOKEN")
        return cls(
            bucket=os.environ.get("S3_BUCKET") or "models",
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            endpoint_url=os.environ.get("S3_ENDPOINT_URL") or None,
            keys=Keys(access_key, secret_key, session_token) if access_key and secret_key else None,
        )


def client_from_environment() -> "S3Client":
    """Return the S3 client that the environment describes; see `Settings.from_environment`."""
    # Not at the top: an S3 client costs a process 25 MB, and predict, which imports this package, needs none.
    import boto3.session
    from botocore.config import Config

    settings = Settings.from_environment()
    keys = settings.keys
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=keys.access_key if keys else None,
        aws_secret_access_key=keys.secret_key if keys else None,
        aws_session_token=keys.session_token if keys else None,
        config=Config(
            # A store of one's own has one host name, not one a bucket.
            s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
            # Stores other than Amazon's refuse boto3's default checksums; parts carry their own SHA-256.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 4},
        ),
    )
