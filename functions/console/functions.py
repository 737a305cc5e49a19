"""The other parts, as the console asks them: functions through the gateway, the bridge at its own address."""

from dataclasses import dataclass, field

import urllib3
from msgspec import Raw

from contracts.codec import Malformed
from contracts.problem import read_problem
from process.answers import JSON, PROBLEM_JSON, Answer, Problem
from process.tls import explained

HANDED_ON = (400, 403, 404, 409, 413, 415, 429)
"""Refusals that speak of what a person has asked for; every other one is a bad moment of the system."""
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
    """The functions behind a gateway. Threads may share it.

    operator, sender: the tokens with which the console acts for an operator, and sends labels; None where none is set.
    """

    gateway_url: str
    pool: urllib3.PoolManager
    operator: str | None = field(default=None, repr=False)
    sender: str | None = field(default=None, repr=False)

    def ask(
        self,
        method: str,
        name: str,
        rest: str = "",
        body: bytes = b"",
        *,
        as_operator: bool = False,
        as_sender: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Answer:
        """Return what the function `name` answers, if that is no error; raises Problem with its words, and Away.

        rest: of the address, a path or a query. as_operator, as_sender: which token it brings, if any.
        """
        token = self.operator if as_operator else self.sender if as_sender else None
        headers = {"Content-Type": JSON} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            response = self.pool.request(
                method,
                f"{self.gateway_url.rstrip('/')}/function/{name}{rest}",
                body=body,
                headers=headers,
                redirect=False,
                timeout=urllib3.Timeout(connect=3, read=timeout_seconds),
            )
        except urllib3.exceptions.HTTPError as error:
            why = explained(error, authorities="SSL_CERT_FILE", address="GATEWAY_URL")
            raise Away(name, f"can't be reached: {why}") from error
        if 200 <= response.status < 300:
            return Answer(response.status, [("content-type", JSON)], response.data)
        if (words := detail(response)) is None:
            raise Away(name, f"does not answer: {response.status} {response.reason or ''}".rstrip())
        if response.status in HANDED_ON:
            kept = {"Retry_After": after} if (after := response.headers.get("Retry-After")) else {}
            raise Problem(response.status, words, **kept)
        raise Away(name, f"answers {response.status}: {words}")

    def read(self, name: str, rest: str = "", *, as_operator: bool = False) -> Raw:
        """Return the JSON that a GET is answered; raises Problem."""
        return Raw(self.ask("GET", name, rest, as_operator=as_operator).body)


def detail(response: urllib3.BaseHTTPResponse) -> str | None:
    """Return what a problem (RFC 9457) says, None where it is none: a gateway's page, say."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != PROBLEM_JSON:
        return None
    try:
        return read_problem(response.data).detail
    except Malformed:
        return None
