"""The other functions, as the console calls them: through the gateway, with the tokens that it holds."""

from dataclasses import dataclass, field

from msgspec import Raw

from functions.console.settings import Settings
from process.answers import Problem
from process.functions import Function, RequestRefused

HANDED_ON = (400, 403, 404, 409, 413, 415, 422, 429)
"""Refusals that speak of what a person has asked for; every other one is a bad moment of the system."""
CONNECTIONS = 8
LOOK_SECONDS = 20.0
ACT_SECONDS = 600.0
"""For what trains, makes texts, or looks through them."""


@dataclass(frozen=True)
class Functions:
    """What of each function the console calls. Threads may share it."""

    predict: Function
    drift: Function
    retrain: Function
    generate_drift: Function
    checks: Function = field(repr=False)
    training: Function = field(repr=False)
    generating: Function = field(repr=False)
    labels: Function = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Functions":
        """Return those behind the gateway of the settings.

        The first four answer at once, the next three take their time; labels is retrain to whom a sender speaks, and
        not an operator.
        """

        def function(name: str, token: str | None = None, *, timeout_seconds: float = LOOK_SECONDS) -> Function:
            return Function(
                settings.gateway_url,
                name,
                connections=CONNECTIONS,
                timeout_seconds=timeout_seconds,
                token=token,
                refusals=HANDED_ON,
            )

        operator = settings.retrain_token
        return cls(
            predict=function("predict"),
            drift=function("drift"),
            retrain=function("retrain", operator),
            generate_drift=function("generate-drift", operator),
            checks=function("drift", timeout_seconds=ACT_SECONDS),
            training=function("retrain", operator, timeout_seconds=ACT_SECONDS),
            generating=function("generate-drift", operator, timeout_seconds=ACT_SECONDS),
            labels=function("retrain", settings.label_token),
        )

    def can_generate(self) -> bool:
        """Return whether generate-drift is on; raises FunctionUnavailable, RequestRefused."""
        try:
            # By what changes nothing: it does its work when it is asked by GET, too.
            self.generate_drift.call("OPTIONS", bytes)
        except RequestRefused as refusal:
            if refusal.status == 403:
                return False
            raise
        return True


def answered(function: Function, method: str, *, path: str = "", query: str = "", body: bytes = b"") -> Raw:
    """Return the JSON that a function answers; raises FunctionUnavailable, and Problem where it refuses."""
    try:
        return function.call(method, Raw, path=path, query=query, body=body)
    except RequestRefused as refusal:
        raise Problem(refusal.status, str(refusal)) from refusal
