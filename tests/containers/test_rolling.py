"""One predict takes the place of another one under load, as where Kubernetes restarts it or scales."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import urllib3

from deploy.ports import free_port
from deploy.runner import wait_until
from sentiment.packing import pack
from tests.containers.conftest import Servers
from tests.containers.engine import docker, run
from tests.faults.proxy import Proxy
from tests.models import ABOUT, IMDB_VOCABULARY_WORDS, sized
from tests.system import promote

CLIENTS = 4
LATE_SECONDS = 1.0
"""How long after SIGTERM requests are still sent to a pod: its endpoint is taken away at the same time, beside it."""


@dataclass
class Load:
    """Clients that keep their connections, and try nothing again: what they saw until they were told to stop."""

    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        with urllib3.HTTPConnectionPool("127.0.0.1", self.port, retries=False, timeout=20) as pool:
            while not self.stop.is_set():
                try:
                    response = pool.request("POST", "/", json={"text": "a good film"})
                except urllib3.exceptions.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if response.status == 200:
                    self.answered += 1
                else:
                    self.failures.append(f"{response.status}: {response.data!r}")


@pytest.mark.usefixtures("store_environment")
def test_no_request_fails_while_one_predict_takes_the_place_of_another_one(
    images: dict[str, str], servers: Servers
) -> None:
    promote(pack(sized(IMDB_VOCABULARY_WORDS), ABOUT))
    environment = {**servers.environment, "SHUTDOWN_DELAY_SECONDS": "3"}
    with run(images["predict"], environment, secrets=servers.secrets) as old:
        old.wait_for("/_/health")
        # New connections go where the service leads, open ones stay: as with kube-proxy.
        with Proxy(free_port(), old.port, random.Random(1)) as service, ThreadPoolExecutor(CLIENTS) as executor:
            load = Load(service.port)
            clients = [executor.submit(load.send) for _ in range(CLIENTS)]
            try:
                assert wait_until(lambda: load.answered > 200, 20), load.failures
                with run(images["predict"], environment, secrets=servers.secrets) as new:
                    # All that the community edition asks before it sends requests there, and ends the old one.
                    new.wait_for("/_/health")
                    docker("kill", "--signal", "TERM", old.id)
                    time.sleep(LATE_SECONDS)
                    service.target = new.port
                    assert docker("wait", old.id) == "0", old.logs()
                    before = load.answered
                    assert wait_until(lambda: load.answered > before + 200, 20), load.failures
                    load.stop.set()
                    for client in clients:
                        client.result()
            finally:
                load.stop.set()
    assert load.failures == []
