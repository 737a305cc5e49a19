"""Where the system is and by which keys it is asked: as given, else of the environment, else of the local stack."""

import os
from dataclasses import dataclass, field

from process.local import local_addresses
from process.settings import read_secret

GATEWAY_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Addresses:
    """The gateway, the token of who may teach, and the addresses of broker and bridge.

    Those of the broker are None where `messages.settings` has them, that of the bridge where it is not known.
    What the local stack has written into `.local/env` of the working directory is used for that stack alone: its keys
    are sent nowhere else.
    """

    gateway_url: str
    token: str | None = field(repr=False)
    rabbitmq_url: str | None = field(repr=False)
    rabbitmq_stream_url: str | None = field(repr=False)
    bridge_url: str | None

    @classmethod
    def found(
        cls,
        gateway_url: str | None = None,
        token: str | None = None,
        rabbitmq_url: str | None = None,
        rabbitmq_stream_url: str | None = None,
        bridge_url: str | None = None,
    ) -> "Addresses":
        """Return what is given, and the rest as it is found; raises OSError for a secret that can't be read."""
        local = local_addresses()
        gateway_url = gateway_url or os.environ.get("GATEWAY_URL") or local.get("GATEWAY_URL") or GATEWAY_URL
        own = local if gateway_url == local.get("GATEWAY_URL") else {}
        token = token or read_secret("retrain-token", "RETRAIN_TOKEN") or own.get("RETRAIN_TOKEN")
        if not rabbitmq_url and not read_secret("rabbitmq-url", "RABBITMQ_URL"):
            rabbitmq_url, rabbitmq_stream_url = own.get("RABBITMQ_URL"), own.get("RABBITMQ_STREAM_URL")
        bridge_url = bridge_url or os.environ.get("BRIDGE_URL") or own.get("BRIDGE_URL")
        return cls(gateway_url, token, rabbitmq_url, rabbitmq_stream_url, bridge_url)
