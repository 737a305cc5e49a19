"""Predict under attack: while one sender does its worst, the others are answered, about as fast as without."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import quantiles

import numpy as np
import pytest

from deploy.runner import Service
from sentiment.model import Model
from sentiment.packing import pack
from tests.attackers import ATTACKS, FLOOR_SECONDS, Attack
from tests.conftest import S3Server
from tests.models import ABOUT
from tests.running import UNTRACED, running
from tests.system import ROOT, promote, python_service

BODY_TIMEOUT_SECONDS = 0.5
CLIENTS = 4
QUIET_SECONDS = 0.6
ATTACK_SECONDS = 1.3
PAUSE_SECONDS = 0.003
PATIENCE_SECONDS = 2
SLOWER = 3
# What else the machine does makes answers slower and never faster, so one round that is as it should be is enough.
ROUNDS = 3
MODEL = pack(Model(("dull", "superb"), np.array([[9.0, 1.0], [1.0, 9.0]]), np.array([2.0, 2.0])), ABOUT)


@pytest.fixture(scope="module")
def predict(s3_server: S3Server, mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One process for all attacks: it is to survive them one after the other, too."""
    settings = {
        **s3_server.environment,
        "S3_BUCKET": "attacked",
        "MONGODB_URL": f"{mongodb_url}/attacked",
        "BODY_TIMEOUT_SECONDS": str(BODY_TIMEOUT_SECONDS),
        **UNTRACED,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        promote(MODEL)
    service = python_service("functions.predict", tmp_path_factory.mktemp("predict"), settings)
    with running(service):
        yield service


@dataclass(frozen=True)
class Answered:
    """What good clients saw: how long each answer took, in seconds, and what was no answer."""

    seconds: list[float]
    wrong: list[str]

    @property
    def percentile_99(self) -> float:
        return quantiles(self.seconds, n=100)[98]


def ask(predict: Service, seconds: float) -> Answered:
    """Send short texts on a few connections for so long, and now and then a probe."""
    until = time.monotonic() + seconds
    answered = Answered([], [])

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", int(predict.variables["PORT"]), timeout=PATIENCE_SECONDS)
        with closing(connection):
            while time.monotonic() < until and not answered.wrong:
                number += 1
                began = time.perf_counter()
                try:
                    if number % 20 == 0:
                        connection.request("GET", "/_/health")
                    else:
                        connection.request("POST", "/?record=false", b'{"text": "superb"}')
                    response = connection.getresponse()
                    if response.read() and response.status != 200:
                        answered.wrong.append(str(response.status))
                except (OSError, http.client.HTTPException) as error:
                    answered.wrong.append(repr(error))
                answered.seconds.append(time.perf_counter() - began)
                # As many requests a second with the attack as without.
                time.sleep(PAUSE_SECONDS)

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))
    return answered


@contextmanager
def attacking(name: str, predict: Service) -> Iterator[Counter[str]]:
    """Attack; what is yielded says afterwards which answers came."""
    came: Counter[str] = Counter()
    command = [sys.executable, "-m", "tests.attackers", name, predict.variables["PORT"]]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **UNTRACED}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "attacking\n"
            yield came
            process.terminate()
            came.update(json.loads(process.communicate(timeout=10)[0]))
        finally:
            process.kill()


def report(figure: str) -> None:
    """Show a figure where pytest runs with -s."""
    sys.stdout.write(f"{figure}\n")


@pytest.mark.parametrize(("name", "attack"), ATTACKS.items(), ids=ATTACKS)
def test_others_are_answered_about_as_fast_during(name: str, attack: Attack, predict: Service) -> None:
    ask(predict, 0.1)  # what is done once, at the first requests
    figures = []
    for _ in range(ROUNDS):
        quiet = ask(predict, QUIET_SECONDS)
        with attacking(name, predict) as came:
            meanwhile = ask(predict, ATTACK_SECONDS)
        assert quiet.wrong == meanwhile.wrong == []
        if attack.answers:
            assert came, "nothing became of the attack"
            assert set(came) <= attack.answers
        figures.append(f"{quiet.percentile_99 * 1e3:.1f} ms, {meanwhile.percentile_99 * 1e3:.1f} ms, {dict(came)}")
        if meanwhile.percentile_99 <= max(SLOWER * quiet.percentile_99, FLOOR_SECONDS):
            break
    else:
        pytest.fail(f"99th percentiles without and with the attack: {'; '.join(figures)}")
    report(f"{name}: {figures[-1]}")
