"""A bridge, as it tells of itself at its own address."""

from dataclasses import dataclass

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from contracts.console import Lag
from functions.console.functions import Away, detail
from process.tls import explained

LAG = "bridge_lag_messages"
TIMEOUT = urllib3.Timeout(connect=2, read=5)


@dataclass(frozen=True)
class Bridge:
    """The bridge at an address. Threads may share it."""

    url: str
    pool: urllib3.PoolManager

    def state(self) -> str:
        """Return in a word that it does its work; raises Away with what it says where it does not."""
        self._get("/_/ready")
        return "ready"

    def lag(self) -> list[Lag]:
        """Return how far it is behind in each stream that it reads; raises Away."""
        return [
            Lag(sample.labels["source"], int(sample.value))
            for family in text_string_to_metric_families(self._get("/metrics").decode())
            if family.name == LAG
            for sample in family.samples
        ]

    def _get(self, path: str) -> bytes:
        try:
            response = self.pool.request("GET", f"{self.url.rstrip('/')}{path}", timeout=TIMEOUT, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            words = explained(error, authorities="SSL_CERT_FILE", address="BRIDGE_URL")
            raise Away("bridge", f"can't be reached: {words}") from error
        if response.status != 200:
            raise Away("bridge", detail(response) or f"answers {response.status}")
        return response.data
