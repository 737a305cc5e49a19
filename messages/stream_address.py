"""Where a broker speaks the stream protocol; without rstream, which not every part that reads an address has."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Address:
    """Where a broker speaks the stream protocol, and as whom."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    virtual_host: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `rabbitmq-stream://user:password@host:port/vhost`, or `rabbitmq-stream+tls://…`; raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("rabbitmq-stream", "rabbitmq-stream+tls") or not parts.hostname:
            raise ValueError("must be rabbitmq-stream://user:password@host:5552, or rabbitmq-stream+tls://…")
        tls = parts.scheme.endswith("+tls")
        return cls(
            parts.hostname,
            parts.port or (5551 if tls else 5552),
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            unquote(parts.path[1:]) or "/",
            tls,
        )


def stream_url_of(amqp_url: str) -> str:
    """Return where the broker of an AMQP URL speaks the stream protocol, if it does so at the usual port."""
    parts = urlsplit(amqp_url)
    login, _, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or "127.0.0.1"
    scheme, port = ("rabbitmq-stream+tls", 5551) if parts.scheme == "amqps" else ("rabbitmq-stream", 5552)
    return f"{scheme}://{login or 'guest:guest'}@{host}:{port}{parts.path}"
