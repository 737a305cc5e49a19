"""A bridge, as it tells of itself at its own address."""

import urllib3
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from contracts.codec import Malformed
from contracts.problem import read_problem
from contracts.stream import BridgeProgress, Lag
from process.functions import FunctionUnavailable
from process.tls import explained


class Bridge:
    """The bridge at an address. Threads may share it."""

    def __init__(self, url: str) -> None:
        """url: of its probes and metrics."""
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=urllib3.Timeout(connect=2, read=5))

    def state(self) -> str:
        """Return in a word that it does its work; raises FunctionUnavailable with what it says where it does not."""
        self._get("/_/ready")
        return "ready"

    def progress(self) -> BridgeProgress:
        """Return how far it is with the streams that it reads; raises FunctionUnavailable."""
        samples = self._samples()
        return BridgeProgress(
            lag=[
                Lag(sample.labels["source"], int(sample.value))
                for sample in samples
                if sample.name == "bridge_lag_messages"
            ],
            rejected_messages=sum(
                int(sample.value)
                for sample in samples
                if sample.name == "bridge_messages_total" and sample.labels["outcome"] == "rejected"
            ),
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.clear()

    def _samples(self) -> list[Sample]:
        page = self._get("/metrics")
        try:
            return [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]
        except ValueError as error:
            raise FunctionUnavailable(f"{self._url} did not answer as a bridge does: these are no metrics") from error

    def _get(self, path: str) -> bytes:
        try:
            response = self._pool.request("GET", self._url + path, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            words = explained(error, authorities="SSL_CERT_FILE", address="BRIDGE_URL")
            raise FunctionUnavailable(f"bridge can't be reached: {words}") from error
        if response.status != 200:
            raise FunctionUnavailable(f"bridge answered {response.status}: {_detail(response.data)}")
        return response.data


def _detail(body: bytes) -> str:
    try:
        return read_problem(body).detail
    except Malformed:
        return "no reason given"
