"""A front that is served for a test, and a client that asks it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3

from deploy.ports import free_port
from process.front import Front
from process.server import serve_in_thread


@dataclass(frozen=True)
class Response:
    """An answer."""

    status_code: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def content_type(self) -> str:
        return self.headers["content-type"]

    @property
    def text(self) -> str:
        return self.data.decode()

    def get_json(self) -> Any:
        return json.loads(self.data)


class HttpClient:
    """Asks one server, over connections that it keeps; `end` ends the server."""

    def __init__(self, url: str, end: Callable[[], None]) -> None:
        self.url = url
        self.end = end
        self._pool = urllib3.PoolManager(retries=False, timeout=30)

    def open(
        self,
        path: str,
        *,
        method: str,
        data: bytes | str | Iterable[bytes] = b"",
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Ask; `data` that comes in pieces is sent without a length."""
        all_headers = {**(headers or {}), **({"Content-Type": content_type} if content_type else {})}
        body = data.encode() if isinstance(data, str) else data
        found = self._pool.request(method, self.url + path, body=body, headers=all_headers)
        return Response(found.status, found.headers, found.data)

    def get(self, path: str) -> Response:
        return self.open(path, method="GET")

    def head(self, path: str) -> Response:
        return self.open(path, method="HEAD")

    def post(
        self, path: str, *, data: bytes | str | Iterable[bytes] = b"", content_type: str | None = None
    ) -> Response:
        return self.open(path, method="POST", data=data, content_type=content_type)

    def close(self) -> None:
        self._pool.clear()


@contextmanager
def serving(front: Front) -> Iterator[HttpClient]:
    """Serve a front on a free port."""
    port = free_port()
    stop = serve_in_thread(front, "127.0.0.1", port)
    client = HttpClient(f"http://127.0.0.1:{port}", stop)
    try:
        yield client
    finally:
        client.close()
        stop()
