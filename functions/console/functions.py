"""The other parts, as the console asks them: functions through the gateway, the bridge at its own address."""

from dataclasses import dataclass

import urllib3
from msgspec import Raw

from contracts.codec import Malformed
from contracts.problem import read_problem
from process.answers import JSON, PROBLEM_JSON, Answer, Problem
from process.tls import explained

HANDED_ON = (400, 403, 404, 409, 413, 415, 429)
"""Refusals that speak of what a person has asked for; every other one is a bad moment of the system."""
CONNECTIONS = 8
TIMEOUT_SECONDS = 30.0
RUN_TIMEOUT_SECONDS = 600.0
"""For what trains, makes texts, or looks through them."""


class Away(Problem):
    """503: a part does not answer as it does when all is well; says which, and what it says."""

    def __init__(self, name: str, says: str) -> None:
        """name: of the part. says: why, in words."""
        super().__init__(503, f"{name} {says}", Retry_After="5")
        self.name = name
        self.says = says


@dataclass(frozen=True)
class Functions:
    """The functions behind a gateway. Threads may share it."""

    gateway_url: str
    pool: urllib3.PoolManager

    @classmethod
    def at(cls, gateway_url: str) -> "Functions":
        """Return those of the gateway at this address."""
        return cls(gateway_url.rstrip("/"), urllib3.PoolManager(maxsize=CONNECTIONS, block=True, retries=False))

    def ask(
        self,
        method: str,
        name: str,
        rest: str = "",
        body: bytes = b"",
        *,
        token: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Answer:
        """Return what the function `name` answers, if that is no error; raises Problem with its words, and Away.

        rest: of the address, a path or a query. token: what the function wants as bearer, None if it wants none.
        """
        headers = {"Content-Type": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            response = self.pool.request(
                method,
                f"{self.gateway_url}/function/{name}{rest}",
                body=body,
                headers=headers,
                redirect=False,
                timeout=urllib3.Timeout(connect=3, read=timeout_seconds),
            )
        except urllib3.exceptions.HTTPError as error:
            words = explained(error, authorities="SSL_CERT_FILE", address="GATEWAY_URL")
            raise Away(name, f"can't be reached: {words}") from error
        if 200 <= response.status < 300:
            return Answer(response.status, [("content-type", JSON)], response.data)
        if (detail := _detail(response)) is None:
            raise Away(name, f"does not answer: {response.status} {response.reason or ''}".rstrip())
        if response.status in HANDED_ON:
            kept = {"Retry_After": after} if (after := response.headers.get("Retry-After")) else {}
            raise Problem(response.status, detail, **kept)
        raise Away(name, f"answers {response.status}: {detail}")

    def read(self, name: str, rest: str = "", *, token: str | None = None) -> Raw:
        """Return the JSON that a GET is answered; raises Problem."""
        return Raw(self.ask("GET", name, rest, token=token).body)


def _detail(response: urllib3.BaseHTTPResponse) -> str | None:
    """Return what a problem (RFC 9457) says, None where it is none: a gateway's page, say."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != PROBLEM_JSON:
        return None
    try:
        return read_problem(response.data).detail
    except Malformed:
        return None
