"""The broker's addresses, from secrets or the environment."""

from messages.amqp import parameters
from messages.stream_address import Address, stream_url_of
from process.settings import checked_url, read_secret

AMQP = "amqp://user:password@host:5672/vhost, or amqps://…"
STREAM = "rabbitmq-stream://user:password@host:5552/vhost, or rabbitmq-stream+tls://…"


def amqp_url(given: str | None = None) -> str | None:
    """Return what is given, else the secret `rabbitmq-url`, or RABBITMQ_URL, None without any; raises SettingsError."""
    url = given or read_secret("rabbitmq-url", "RABBITMQ_URL")
    return url and checked_url("RABBITMQ_URL", url, parameters, AMQP)


def stream_url(amqp_url: str, given: str | None = None) -> str:
    """Return what is given, else the secret `rabbitmq-stream-url`, or RABBITMQ_STREAM_URL; raises SettingsError.

    Without any what follows of the AMQP URL: the same host, at the protocol's own port.
    """
    url = given or read_secret("rabbitmq-stream-url", "RABBITMQ_STREAM_URL") or stream_url_of(amqp_url)
    return checked_url("RABBITMQ_STREAM_URL", url, Address.parse, STREAM)
