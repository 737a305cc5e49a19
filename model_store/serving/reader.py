"""Reading an object by its signed URL: a plain GET, for which a process needs no S3 client.

botocore's signer with what it imports costs 5 MB, and a boto3 client 25 MB, which a process that serves does without:
a child process signs for it.
"""

import os
import re
import ssl
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.util import find_spec
from urllib.parse import urlsplit

from model_store.errors import ObjectTooLarge, StoreUnavailable, error_of_answer
from model_store.settings import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS

MAX_ERROR_BYTES = 4096


@dataclass(frozen=True)
class StoredObject:
    """An object as read: its content and its ETag, quotes included."""

    content: bytes
    etag: str


@dataclass(frozen=True)
class Unchanged:
    """The object still has the ETag that was asked about."""


def read(url: str, key: str, max_bytes: int) -> StoredObject | None:
    """Return the object at a signed URL, or None if there is none; `key` names it in errors.

    Raises ObjectTooLarge, StoreUnavailable (network, 5xx), StoreDenied (401, 403), StoreError (all else).
    """
    stored = read_unless(url, key, max_bytes, etag=None)
    assert not isinstance(stored, Unchanged)  # noqa: S101  # no condition was sent
    return stored


def read_unless(url: str, key: str, max_bytes: int, *, etag: str | None) -> StoredObject | Unchanged | None:
    """Return an object as `read` does, but Unchanged where it still has `etag`."""
    address = urlsplit(url)
    connection = _connection(address.scheme, address.netloc)
    try:
        connection.connect()
        connection.sock.settimeout(READ_TIMEOUT_SECONDS)
        connection.request("GET", f"{address.path}?{address.query}", headers={"If-None-Match": etag} if etag else {})
        response = connection.getresponse()
        limit = max_bytes if response.status == 200 else MAX_ERROR_BYTES
        content = response.read(limit + 1)
    except (HTTPException, OSError) as error:
        raise StoreUnavailable(f"the store can't be reached, or broke off while {key} was read: {error!r}") from error
    finally:
        connection.close()
    match response.status:
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


def _connection(scheme: str, host: str) -> HTTPConnection:
    if scheme == "https":
        return HTTPSConnection(host, timeout=CONNECT_TIMEOUT_SECONDS, context=_tls())
    return HTTPConnection(host, timeout=CONNECT_TIMEOUT_SECONDS)


@cache
def _tls() -> ssl.SSLContext:
    """Trust whom boto3 trusts: AWS_CA_BUNDLE, else the authorities that botocore brings."""
    authorities = os.environ.get("AWS_CA_BUNDLE")
    if not authorities and (botocore := find_spec("botocore")) and botocore.submodule_search_locations:
        authorities = os.path.join(botocore.submodule_search_locations[0], "cacert.pem")  # noqa: PTH118
    return ssl.create_default_context(cafile=authorities)
