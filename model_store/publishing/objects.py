"""One bucket in five operations, with the store's own errors in place of botocore's; builds the S3 client."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3.session
from botocore import exceptions as botocore
from botocore.config import Config

from model_store import errors
from model_store.errors import ConditionalWritesIgnored, ObjectTooLarge
from model_store.settings import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, Settings
from model_store.versions import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CreateBucketConfigurationTypeDef


@dataclass(frozen=True)
class Listed:
    """An object as listed; with another content it has another ETag."""

    key: str
    size_bytes: int
    written_at: datetime
    etag: str


class Objects:
    """The objects of one bucket. Every method raises StoreUnavailable, StoreDenied or StoreError."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def get(self, key: str, max_bytes: int) -> StoredObject | None:
        """Return an object, or None if there is none; raises ObjectTooLarge."""
        with _store_errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except self._client.exceptions.NoSuchKey:
                return None
            with answer["Body"] as body:
                content = body.read(max_bytes + 1)
                if len(content) <= max_bytes:
                    body.read(1)  # only a read that meets the end is checked against the length announced
        if len(content) > max_bytes:
            raise ObjectTooLarge(key, max_bytes)
        return StoredObject(content, answer["ETag"])

    def put_if(self, key: str, content: bytes, *, etag: str | None) -> str | None:
        """Write an object over the one with `etag` alone; with None only where there is no object.

        Returns the new ETag, or None when the condition did not hold.
        """
        with _store_errors():
            try:
                if etag is None:
                    answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=content, IfNoneMatch="*")
                else:
                    answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=content, IfMatch=etag)
            except botocore.ClientError as error:
                status, code, _ = _answer(error)
                # 412: another object is there; 404: none is; 409: Amazon's answer to two at once.
                if status in (404, 409, 412) and code != "NoSuchBucket":
                    return None
                if status == 501:
                    raise ConditionalWritesIgnored("it answers that they are not implemented") from error
                raise
        return answer["ETag"]

    def delete(self, key: str) -> None:
        """Remove an object; none is fine."""
        with _store_errors():
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str, *, after: str = "") -> list[Listed]:
        """Return the objects under `prefix`, whose keys come after `after`, in the order of their keys."""
        with _store_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, StartAfter=after or prefix
            )
            return [
                Listed(entry["Key"], entry["Size"], entry["LastModified"], entry["ETag"])
                for page in pages
                for entry in page.get("Contents", [])
            ]

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there."""
        with _store_errors():
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except botocore.ClientError as error:
                if _answer(error)[0] != 404:
                    raise
                self._create_bucket()

    def _create_bucket(self) -> None:
        region: Any = self._client.meta.region_name
        # Another process may make it in between.
        with suppress(self._client.exceptions.BucketAlreadyOwnedByYou, self._client.exceptions.BucketAlreadyExists):
            if region == "us-east-1":  # S3 takes every region's name but this one
                self._client.create_bucket(Bucket=self._bucket)
            else:
                where: CreateBucketConfigurationTypeDef = {"LocationConstraint": region}
                self._client.create_bucket(Bucket=self._bucket, CreateBucketConfiguration=where)


def client(settings: Settings) -> "S3Client":
    """Return an S3 client of the store that the settings name."""
    access_key, secret_key, session_token = settings.keys or (None, None, None)
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=session_token,
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


def _answer(error: botocore.ClientError) -> tuple[int, str, str]:
    """Return the HTTP status, S3's error code and its message."""
    details = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, details.get("Code", ""), details.get("Message", "")


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except botocore.ClientError as error:
        raise errors.error_of_answer(*_answer(error)) from error
    except (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError) as error:
        raise errors.StoreUnavailable(f"the store can't be reached: {errors.words_of(error)}") from error
    except (botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.CredentialRetrievalError) as error:
        raise errors.StoreDenied(f"{errors.NO_KEYS} ({error})") from error
    except botocore.BotoCoreError as error:
        raise errors.StoreError(str(error)) from error
