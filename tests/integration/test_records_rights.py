"""What each part asks of MongoDB is what its rights allow: the commands that its driver sends, as it does its work.

No MongoDB with users runs here; with compose they are made of these very rights.
"""

import json
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import urllib3

from contracts.names import FUNCTIONS, module_of
from deploy.ports import free_port
from deploy.rights import RECORDS
from deploy.runner import Service, wait_until
from deploy.servers import gateway
from records import Records
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.conftest import RabbitMQNode
from tests.running import running
from tests.system import ROOT, Client, promote, python_service

ACTIONS = {
    "insert": "insert",
    "find": "find",
    "getMore": "find",
    "aggregate": "find",
    "count": "find",
    "distinct": "find",
    "update": "update",
    "delete": "remove",
    "createIndexes": "createIndex",
    "listIndexes": "listIndexes",
    "dropIndexes": "dropIndex",
}
# Of no collection, and open to everybody.
OPEN = {"hello", "ping", "endSessions", "killCursors", "ismaster", "isMaster", "buildInfo"}
# Read by Python when it starts: writes down what the driver sends.
CONSOLE_TOKEN = "a token of the console"
RECORDER = """
import json
import os
from pymongo import monitoring

class Recorder(monitoring.CommandListener):
    def started(self, event):
        upserts = [each for each in event.command.get("updates", ()) if each.get("upsert")]
        collection = event.command.get("collection") if event.command_name == "getMore" else None
        name = collection or event.command.get(event.command_name)
        with open(os.environ["SENT_COMMANDS"], "a") as file:
            print(json.dumps([event.command_name, str(name), bool(upserts)]), file=file)

    def succeeded(self, event): pass
    def failed(self, event): pass

monitoring.register(Recorder())
"""


def recorded(service: Service, folder: Path) -> Service:
    """Return a service that writes the commands that it sends into a file of its name."""
    path = f"{folder}:{ROOT}"
    return replace(
        service, environment={**service.environment, "PYTHONPATH": path, "SENT_COMMANDS": str(folder / service.name)}
    )


def ask(method: str, url: str, body: object = None) -> object:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if content else {}
    answer = urllib3.request(method, url, body=content, headers=headers, retries=False, timeout=60)
    assert answer.status < 300, (method, url, answer.data)
    return json.loads(answer.data)


def look(url: str) -> None:
    """Have the console read all that it reads."""
    entered = urllib3.request("POST", f"{url}/login", json={"token": CONSOLE_TOKEN}, retries=False)
    session = {"Cookie": entered.headers["Set-Cookie"].partition(";")[0]}
    for what in ("now", "label"):
        answer = urllib3.request("GET", f"{url}/api/{what}", headers=session, retries=False, timeout=60)
        assert answer.status == 200, answer.data


def a_corpus() -> Corpus:
    """Return texts enough to hold half of them out."""
    texts = [f"I {word} this film, number {number}" for number in range(30) for word in ("love", "hate")]
    return Corpus("test", texts, [1 - number % 2 for number in range(60)])


def actions(file: Path) -> dict[str, set[str]]:
    """Return what was done, by collection, in MongoDB's names of privileges."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in file.read_text().splitlines():
        command, collection, upserts = json.loads(line)
        if command not in OPEN:
            found[collection] |= {ACTIONS[command], *(["insert"] if upserts else [])}
    return dict(found)


def test_each_part_does_at_mongodb_what_its_rights_are(
    environment: dict[str, str],
    rabbitmq: RabbitMQNode,
    stream_name: str,
    records: Records,
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    port, labels = free_port(), f"{stream_name}-labels"
    promote(train_artifact(a_corpus(), holdout_share=0.5))
    variables = {
        **environment,
        **rabbitmq.environment,
        "BRIDGE_SOURCE": f"stream:{stream_name}",
        "BRIDGE_LABELS": labels,
        "GATEWAY_URL": f"http://127.0.0.1:{port}",
        "ENABLE_GENERATE_DRIFT": "true",
        "CONSOLE_TOKEN": CONSOLE_TOKEN,
        "DRIFT_MIN_TEXTS": "10",
        "DRIFT_WINDOW": "10",
        "DRIFT_CONFIRM": "1",
    }
    url = variables["GATEWAY_URL"] + "/function"
    # A time-to-live that changes has indexes dropped, by whichever part comes first.
    for days in ("1", "2"):
        with ExitStack() as stack:
            own = {**variables, "RECORD_TTL_DAYS": days}
            services = {name: recorded(python_service(module_of(name), tmp_path, own), tmp_path) for name in FUNCTIONS}
            for service in services.values():
                stack.enter_context(running(service))
            ports = {name: int(service.variables["PORT"]) for name, service in services.items()}
            stack.enter_context(running(gateway(tmp_path / "gateway", port, ports)))
            stack.enter_context(running(recorded(python_service("bridge", tmp_path, own), tmp_path)))
            client = Client(rabbitmq.amqp_url)
            last = records.offset(stream_name)
            client.publish(stream_name, [b'{"text": "I love it"}', b"{", b'{"text": "I hate it"}'])
            client.publish(labels, [b'{"text": "a label that came by a stream", "label": 1}', b"{"])
            assert wait_until(lambda: records.offset(stream_name) == (last or -1) + 3, 30)  # noqa: B023 - called at once
            assert wait_until(lambda: records.database["rejected"].count_documents({}) >= 2, 30)
            ask("POST", f"{url}/predict", {"text": "I love it"})
            # Drift draws from texts that have left the window.
            for number in range(2):
                ask("POST", f"{url}/predict", {"texts": [f"text {days}.{number}"] * 10})
            last_text = {"text": f"text {days}.1"}
            assert wait_until(lambda: records.database["predictions"].count_documents(last_text) == 10, 30)  # noqa: B023
            ask("POST", f"{url}/drift")
            for label in (1, 1, 0):
                ask("POST", f"{url}/retrain", {"text": "what a film", "label": label, "id": f"mine {label}"})
            ask("POST", f"{url}/retrain?now=true")
            ask("POST", f"{url}/retrain", {"text": f"taken back after {days} days", "label": 1, "id": f"gone-{days}"})
            ask("DELETE", f"{url}/retrain/labels/gone-{days}")
            for number in range(50):
                ask("POST", f"{url}/retrain", {"text": f"a bore, number {number}", "label": 1})
            ask("GET", f"{url}/retrain")
            ask("GET", f"{url}/generate-drift")
            look(f"{url}/console")
            # Its alert is delivered a moment later.
            for method in ("POST", "POST", "GET"):
                ask(method, f"{url}/drift")
            ask("GET", f"{url}/drift/reports")
            drift = tmp_path / module_of("drift")
            assert wait_until(lambda: "update" in actions(drift)["drift_reports"], 30)  # noqa: B023 - called at once
            predicted = {"source": "http", "text": "I love it"}
            assert wait_until(lambda: records.database["predictions"].find_one(predicted) is not None, 30)  # noqa: B023
            ask("DELETE", f"{url}/generate-drift")
            client.close()
    files = {part: tmp_path / (part if part == "bridge" else module_of(part)) for part in RECORDS}
    beyond = {
        (part, collection): done - set(RECORDS[part].get(collection, ()))
        for part, file in files.items()
        for collection, done in actions(file).items()
    }
    assert {where: more for where, more in beyond.items() if more} == {}
    # And nothing is allowed that no part does. Indexes are dropped by whichever part comes first.
    unused = {
        (part, collection): set(rights) - actions(files[part]).get(collection, set()) - {"dropIndex"}
        for part, of_part in RECORDS.items()
        for collection, rights in of_part.items()
    }
    assert {where: more for where, more in unused.items() if more} == {}
