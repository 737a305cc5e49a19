"""What the running local stack does for who has no credential: every route, method and port that there is."""

import ipaddress
import itertools
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pika
import psutil
import pytest
import urllib3
from flask import Flask
from pika.exceptions import AMQPConnectionError, ProbableAuthenticationError
from pymongo import MongoClient
from pymongo.database import Database

from contracts.names import FUNCTIONS
from deploy.runner import wait_until
from functions.drift.__main__ import build as build_drift
from functions.generate_drift.__main__ import build as build_generate_drift
from functions.predict.app import build as build_predict
from functions.retrain.app import build as build_retrain
from functions.retrain.callers import Callers
from model_store.publishing.objects import Objects
from model_store.publishing.objects import client as s3_client
from model_store.settings import Settings as StoreSettings
from process.guard import SAFE_METHODS
from process.pace import Pace
from process.probes import PATHS
from tests.project import Project

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
QUERIES = ("", "?now=true", "?refused=true")
LABEL = b'{"text": "planted", "label": 1}'
WAYS: list[tuple[str, bytes, Mapping[str, str]]] = [
    *((query, body, {}) for query in QUERIES for body in (b"", b" \n", LABEL)),
    *(("", LABEL, {"Authorization": token}) for token in ("", "Bearer", "Bearer None", "Basic bG9jYWw6bG9jYWw=")),
]
"""A query, a body and headers with which who has no token may try it."""
PRIVATE = "somebody's own words"
RARELY = "0 0 29 2 *"

OPEN = {
    ("predict", "POST", "/"): "it is there for everybody",
    ("drift", "POST", "/"): "the schedule calls it",
    ("retrain", "POST", "/"): "without a body and a query the schedule calls it",
    **{
        ("generate-drift", method, "/"): "on this machine it needs no token"
        for method in ("GET", "HEAD", "POST", "DELETE")
    },
}
"""What changes something without a credential, and why."""


def apps() -> Mapping[str, Flask]:
    """The functions' apps: asked for their routes alone, so they need no servers behind them."""
    nothing: Any = None
    return {
        "predict": build_predict(nothing),
        "retrain": build_retrain(nothing, callers=Callers(None), pace=Pace(0)),
        "drift": build_drift(nothing, Pace(0)),
        "generate-drift": build_generate_drift(nothing, enabled=True, token=None),
    }


@dataclass
class Stack:
    """A running stack, what its user knows of it, and the id of a label that is there.

    secrets: keys, and what people wrote.
    """

    project: Project
    known: Mapping[str, str]
    objects: Objects
    database: Database[dict[str, Any]]
    secrets: list[str]
    label: str = ""
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=60))

    def addresses(self, function: str) -> tuple[str, str]:
        own = self.known[f"{function.upper().replace('-', '_')}_URL"]
        return own, f"{self.known['GATEWAY_URL']}/function/{function}"

    def state(self) -> dict[str, list[Any]]:
        """All that is kept: objects of the store, documents of the database."""
        found: dict[str, list[Any]] = {"store": [(each.key, each.etag) for each in self.objects.list("")]}
        for name in sorted(self.database.list_collection_names()):
            found[name] = list(self.database[name].find().sort("_id", 1))
        return found

    def ask(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> int:
        """Return the status; fails where the answer holds a secret."""
        response = self.http.request(method, url, body=body, headers=headers)
        answer = f"{response.headers}{response.data.decode(errors='replace')}"
        assert [secret for secret in self.secrets if secret in answer] == [], f"{method} {url}: {answer}"
        return response.status


@pytest.fixture
def stack(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack whose schedule calls nothing meanwhile, with labels and a review that somebody wrote."""
    project.environment.update(DRIFT_SCHEDULE=RARELY, RETRAIN_SCHEDULE=RARELY)
    started = project.deploy("--local", "--detach")
    assert started.returncode == 0, started.stdout
    lines = (project.folder / ".local" / "env").read_text().splitlines()
    known = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    for name in ("S3_ENDPOINT_URL", "S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, known[name])
    credentials: dict[str, str] = json.loads((project.folder / ".local" / "credentials.json").read_text())
    objects = Objects(s3_client(StoreSettings()), known["S3_BUCKET"])
    client = MongoClient[dict[str, Any]](known["MONGODB_URL"])
    stack = Stack(project, known, objects, client["sentiment"], [*credentials.values(), PRIVATE])
    headers = {"Authorization": f"Bearer {known['RETRAIN_TOKEN']}"}
    labels = {"examples": [{"text": PRIVATE, "label": label} for label in (0, 1)]}
    answer = stack.http.request("POST", stack.addresses("retrain")[1], json=labels, headers=headers)
    stack.label = json.loads(answer.data)["ids"][0]
    overview = stack.http.request("GET", stack.addresses("retrain")[1], headers=headers)
    assert PRIVATE in overview.data.decode(), "who has the token is shown it"
    stack.http.request("POST", stack.addresses("predict")[1], json={"text": PRIVATE})
    assert wait_until(lambda: PRIVATE in str(stack.state().get("predictions")), 10)
    yield stack
    client.close()


def test_without_a_credential_no_route_and_no_port_gives_or_takes_anything(stack: Stack) -> None:
    assert apps().keys() == {*FUNCTIONS} - {"console"}, "whose routes test_console.py walks"
    walked, state = set(), stack.state()
    for function, app in apps().items():
        paths = {rule.rule.replace("<identifier>", stack.label) for rule in app.url_map.iter_rules()}
        for path, method in itertools.product(sorted({*paths, *PATHS, "/nowhere"}), METHODS):
            walked.add((function, method, path))
            refused = {401, 405} if path in paths else {401, 404, 405}
            for status in closed(stack, function, method, path):
                assert method in SAFE_METHODS or status in refused, f"{method} {function} {path}: {status}"
            assert stack.state() == state, f"{method} {function} {path}"
    assert set(OPEN) <= walked
    for path, method in itertools.product(("/", *PATHS), METHODS):
        reads = path in PATHS and method in ("GET", "HEAD")
        assert (stack.ask(method, stack.known["BRIDGE_URL"] + path) == 200) == reads
    assert stack.state() == state
    for function, method, path in OPEN:
        for address in stack.addresses(function):
            stack.ask(method, address + path)
    assert set(listeners(stack.project).values()) <= {True}, listeners(stack.project)
    no_server_lets_a_stranger_in(stack)


def closed(stack: Stack, function: str, method: str, path: str) -> Iterator[int]:
    """Ask in all ways that are not open, and yield the statuses."""
    for (query, body, headers), address in itertools.product(WAYS, stack.addresses(function)):
        is_schedule = function == "retrain" and not body.strip() and not query
        if (function, method, path) in OPEN and (function != "retrain" or is_schedule):
            continue
        yield stack.ask(method, address + path + query, body, {"Content-Type": "application/json", **headers})


def listeners(project: Project) -> dict[tuple[str, str, int], bool]:
    """Return whether each socket on which the stack listens is of loopback alone."""
    return {
        (process.name(), each.laddr.ip, each.laddr.port): ipaddress.ip_address(each.laddr.ip).is_loopback
        for process in project.processes()
        for each in process.net_connections()
        if each.status == psutil.CONN_LISTEN
    }


def no_server_lets_a_stranger_in(stack: Stack) -> None:
    bucket = f"{stack.known['S3_ENDPOINT_URL']}/{stack.known['S3_BUCKET']}"
    for method, key in (("GET", ""), ("GET", "/current.json"), ("PUT", "/planted"), ("DELETE", "/current.json")):
        assert stack.ask(method, bucket + key, b"planted") == 403
    address = stack.known["RABBITMQ_URL"].rpartition("@")[2]
    for login in ("guest:guest", "local:local"):
        with pytest.raises((ProbableAuthenticationError, AMQPConnectionError)):
            pika.BlockingConnection(pika.URLParameters(f"amqp://{login}@{address}"))
