"""Reading objects without an S3 client, for a process that must stay small.

A boto3 client costs 25 MB; botocore's signer and the HTTP session below it, which are what the client sends
with, cost 10 MB beside a web framework.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import HTTPError

from model_store.errors import (
    ObjectTooLarge,
    StoreUnavailable,
    error_of_answer,
    error_of_botocore,
)
from model_store.objects import StoredObject
from model_store.settings import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, Settings

MAX_ERROR_BYTES = 4096


@dataclass(frozen=True)
class Unchanged:
    """The object still has the ETag that was asked about."""


class ObjectReader:
    """GET of one bucket's objects, signed, over one kept connection; not for several threads at once."""

    def __init__(self, settings: Settings) -> None:
        endpoint_url = settings.endpoint_url or f"https://s3.{settings.region}.amazonaws.com"
        self._base_url = f"{endpoint_url.rstrip('/')}/{settings.bucket}/"
        self._settings = settings
        self._credentials = settings.credentials
        self._session = URLLib3Session(
            verify=os.environ.get("AWS_CA_BUNDLE") or True,  # type: ignore[arg-type]  # takes a path too
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),  # type: ignore[arg-type]  # and a pair
            max_pool_connections=1,
        )

    def get(self, key: str, max_bytes: int) -> StoredObject | None:
        """Return an object, or None if there is none.

        Raises ObjectTooLarge, StoreUnavailable (network, 5xx), StoreDenied (401, 403), StoreError (all else).
        """
        stored = self.get_unless(key, max_bytes, etag=None)
        assert not isinstance(stored, Unchanged)  # noqa: S101  # no condition was sent
        return stored

    def get_unless(self, key: str, max_bytes: int, *, etag: str | None) -> StoredObject | Unchanged | None:
        """Return an object as `get` does, but Unchanged where it still has `etag`."""
        try:
            response = self._session.send(self._signed(key, etag))
        except BotoCoreError as error:
            raise error_of_botocore(error) from error
        body = response.raw
        limit = max_bytes if response.status_code == 200 else MAX_ERROR_BYTES
        try:
            content: bytes = body.read(limit + 1)
        except (HTTPError, OSError) as error:
            raise StoreUnavailable(f"the store broke off while {key} was read: {error}") from error
        if len(content) > limit:
            body.close()  # the rest is still on its way, so this connection can't serve another request
        match response.status_code:
            case 304:
                return Unchanged()
            case 404:
                return None
            case 200:
                pass
            case status:
                code = re.search(rb"<Code>(\w+)</Code>", content)
                raise error_of_answer(status, code[1].decode() if code else "")
        if len(content) > limit:
            raise ObjectTooLarge(key, max_bytes)
        if len(content) < int(response.headers.get("Content-Length", len(content))):
            raise StoreUnavailable(f"the store broke off while {key} was read")
        return StoredObject(content, response.headers["ETag"])

    def _signed(self, key: str, etag: str | None) -> AWSPreparedRequest:
        """Return the request, signed for this moment."""
        if self._credentials is None:
            self._credentials = _found_credentials()
        request = AWSRequest(
            method="GET",
            url=self._base_url + quote(key),
            headers={"If-None-Match": etag} if etag else {},
            stream_output=True,
        )
        keys = self._credentials.get_frozen_credentials()
        S3SigV4Auth(keys, "s3", self._settings.region).add_auth(request)
        return request.prepare()


def _found_credentials() -> Credentials:
    """Return the keys of botocore's own search: profile, web identity, instance role."""
    # Not at the top: it costs 3 MB, and most set-ups name their keys.
    from botocore.session import get_session

    credentials = get_session().get_credentials()
    if credentials is None:
        raise NoCredentialsError()
    return credentials
