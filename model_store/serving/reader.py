"""Reading objects by signed URLs: plain GETs, for which a process needs no S3 client.

A boto3 client adds 24 MB and 0.2 s to a process of 43 MB, botocore's signer alone 5 MB; all else in the project uses
boto3.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import botocore
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from model_store.current import CurrentReader
from model_store.errors import NO_KEYS, ObjectTooLarge, StoreDenied, StoreUnavailable, error_of_answer, words_of
from model_store.layout import CURRENT_KEY, MAX_DOCUMENT_BYTES, Current
from model_store.settings import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, Settings
from model_store.trust import EVERYBODY, Trust
from model_store.versions import StoredObject

MAX_ERROR_BYTES = 4096
SIGNED_FOR_SECONDS = 60


@dataclass(frozen=True)
class Unchanged:
    """The object still has the ETag that was asked about."""


class StoreReader:
    """Reads the objects of the bucket that the environment names; for one thread."""

    def __init__(self) -> None:
        """Read nothing yet: the settings are read with the first object, and again where keys are refused."""
        self._signer: Signer | None = None
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
            retries=False,
            # Whom boto3 trusts: the authorities that botocore brings.
            ca_certs=os.environ.get("AWS_CA_BUNDLE") or str(Path(botocore.__file__).with_name("cacert.pem")),
        )

    def get(self, key: str, max_bytes: int) -> StoredObject | None:
        """Return an object, None if there is none.

        Raises ObjectTooLarge, StoreUnavailable (network, 5xx), StoreDenied (no keys, 401, 403), StoreError (all else).
        """
        stored = self.get_unless(key, max_bytes, etag=None)
        assert not isinstance(stored, Unchanged)  # noqa: S101  # no condition was sent
        return stored

    def get_unless(self, key: str, max_bytes: int, *, etag: str | None) -> StoredObject | Unchanged | None:
        """Return an object as `get` does, but Unchanged where it still has `etag`."""
        signer, at_hand = self._signer, self._signer is not None
        if signer is None:
            signer = self._signer = Signer(Settings())
        try:
            return self._read(signer.url(key), key, max_bytes, etag)
        except StoreDenied:
            # The keys may have been changed since they were read.
            self._signer = None
            if not at_hand:
                raise
        return self.get_unless(key, max_bytes, etag=etag)

    def _read(self, url: str, key: str, max_bytes: int, etag: str | None) -> StoredObject | Unchanged | None:
        headers = {"If-None-Match": etag} if etag else {}
        try:
            # As it is: what an object says of itself may make it many times as large.
            with self._pool.request(
                "GET", url, headers=headers, preload_content=False, decode_content=False
            ) as response:
                limit = max_bytes if response.status == 200 else MAX_ERROR_BYTES
                content = response.read(limit + 1)
                if len(content) <= limit:
                    response.read(1)  # only a read that meets the end is checked against the length announced
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(
                f"the store can't be reached, or broke off while {key} was read: {words_of(error)}"
            ) from error
        if response.status == 304:
            return Unchanged()
        if response.status == 404:
            return None
        if response.status != 200:
            code = re.search(rb"<Code>(\w+)</Code>", content)
            raise error_of_answer(response.status, code[1].decode() if code else "")
        if len(content) > limit:
            raise ObjectTooLarge(key, max_bytes)
        return StoredObject(content, response.headers["ETag"])


class CurrentPoller:
    """Reads current.json, and the second time only whether it changed; for one thread."""

    def __init__(self, reader: StoreReader, trust: Trust = EVERYBODY) -> None:
        self._reader = reader
        self._current = CurrentReader(trust)
        self._etag: str | None = None

    def poll(self) -> Current | Unchanged | None:
        """Return what is served, Unchanged since the last poll, or None before the first promotion.

        Raises StoreUnavailable (network, 5xx), StoreDenied (no keys, 401, 403), CurrentRefused at each poll until there
        is another one.
        """
        stored = self._reader.get_unless(CURRENT_KEY, MAX_DOCUMENT_BYTES, etag=self._etag)
        match stored:
            case Unchanged():
                return stored
            case None:
                self._etag = None
                return None
        current = self._current.read(stored, self._current.newest)
        self._etag = stored.etag
        return current


class Signer:
    """Signs GETs of one bucket's objects."""

    def __init__(self, settings: Settings) -> None:
        """Sign with the keys of the settings, else with those that botocore finds; raises StoreDenied without any."""
        endpoint_url = settings.endpoint_url or f"https://s3.{settings.region}.amazonaws.com"
        self._base_url = f"{endpoint_url.rstrip('/')}/{settings.bucket}/"
        self._region = settings.region
        self._credentials = Credentials(*settings.keys) if settings.keys else _found_credentials()

    def url(self, key: str) -> str:
        """Return the URL that gives an object for the next SIGNED_FOR_SECONDS."""
        # Frozen for each request: keys of an instance or a web identity are renewed in between.
        frozen = self._credentials.get_frozen_credentials()
        request = AWSRequest("GET", self._base_url + quote(key))
        S3SigV4QueryAuth(frozen, "s3", self._region, expires=SIGNED_FOR_SECONDS).add_auth(request)
        return str(request.url)


def _found_credentials() -> Credentials:
    """Return the keys of botocore's own search: profile, web identity, instance role."""
    # Not at the top: it takes memory, and most set-ups name their keys.
    from botocore.session import get_session

    try:
        credentials = get_session().get_credentials()
    except BotoCoreError as error:
        raise StoreDenied(f"{NO_KEYS} ({error})") from error
    if credentials is None:
        raise StoreDenied(NO_KEYS)
    return credentials
