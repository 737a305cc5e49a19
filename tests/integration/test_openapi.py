"""Each function answers what its document says, whatever it is asked: cases made of the documents by schemathesis."""

import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from urllib.parse import urljoin

import pytest
import urllib3

from contracts.names import module_of
from contracts.openapi.routes import ROUTES
from deploy import servers
from deploy.ports import free_port
from deploy.runner import Service
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.conftest import S3Server
from tests.running import running
from tests.system import ROOT, promote, python_service

CASES = int(os.environ.get("OPENAPI_CASES") or 20)
"""How many cases each function is asked that are made by chance; those of limits and mistakes come on top."""
logger = logging.getLogger(__name__)
SETTINGS = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True)
class System:
    """The functions, each by itself and behind a gateway, and the environment that they have in common."""

    functions: Mapping[str, Service]
    gateway_url: str
    environment: Mapping[str, str]

    def enter(self) -> str:
        """Begin a session of the console; returns the value of its cookie."""
        url, token = f"{self.gateway_url}/function/console/login", self.environment["CONSOLE_TOKEN"]
        response = urllib3.request("POST", url, json={"token": token})
        assert response.status == 204, response.data
        return response.headers["Set-Cookie"].partition(";")[0].removeprefix("console=")


@pytest.fixture(scope="module")
def system(s3_server: S3Server, mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder, port = tmp_path_factory.mktemp("openapi"), free_port()
    environment = {
        **s3_server.environment,
        "S3_BUCKET": f"test-{secrets.token_hex(6)}",
        "MONGODB_URL": f"{mongodb_url}/test_{secrets.token_hex(6)}",
        "GATEWAY_URL": f"http://127.0.0.1:{port}",
        "RETRAIN_TOKEN": secrets.token_hex(8),
        "CONSOLE_TOKEN": secrets.token_hex(8),
        "LABEL_TOKEN": (label_token := secrets.token_hex(8)),
        "LABEL_TOKENS": f"console {label_token}",
        "ENABLE_GENERATE_DRIFT": "true",
    }
    labels = [number % 2 for number in range(200)]
    texts = [f"film{number % 7} {('awful', 'great')[label]} {number % 9}" for number, label in enumerate(labels)]
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        promote(train_artifact(Corpus("test", texts, labels), holdout_share=0.25))
    services = {name: python_service(module_of(name), folder, environment) for name in ROUTES}
    with ExitStack() as stack:
        for service in services.values():
            stack.enter_context(running(service))
        upstreams = {name: int(service.variables["PORT"]) for name, service in services.items()}
        stack.enter_context(running(servers.gateway(folder, port, upstreams)))
        yield System(services, environment["GATEWAY_URL"], environment)


@pytest.mark.parametrize("name", [*ROUTES])
def test_a_function_answers_every_case_as_its_document_says(name: str, system: System, tmp_path: Path) -> None:
    url = system.functions[name].variables["URL"]
    where, routes = [f"{url}/openapi.json", "--url", url], ROUTES[name]
    if name == "console":  # whose document is of all functions, behind the gateway; at its login there is a page, too
        url = f"{system.gateway_url}/function"
        where = [f"{url}/console/openapi.json", "--url", url, "--include-path-regex", "^/console/(api|logout)"]
        routes = [route for route in routes if route.path != "/login"]
    # Of a route that nothing can be said to there are few cases.
    varied = [route for route in routes if route.path_parameters or route.query or route.bodies]
    cases = ["--max-examples", str(ceil(CASES / len(varied))), "--no-color"]
    command = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [command, "--config-file", SETTINGS, "run", *where, *cases],
        cwd=tmp_path,
        env={**os.environ, **system.environment, "CONSOLE_SESSION": system.enter(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    logger.info("%s", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [*ROUTES])
def test_a_document_is_had_through_the_gateway_and_its_addresses_lead_back(name: str, system: System) -> None:
    url = f"{system.gateway_url}/function/{name}/openapi.json"
    response = urllib3.request("GET", url)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert response.data == (ROOT / module_of(name).replace(".", "/") / "openapi.json").read_bytes()
    document = response.json()
    base, path = urljoin(url, document["servers"][0]["url"]), next(iter(document["paths"]))
    assert urllib3.request("OPTIONS", base.rstrip("/") + path).status == 200
    assert urllib3.request("HEAD", url).status == 200
    refused = urllib3.request("PUT", url, headers={"Authorization": f"Bearer {system.environment['RETRAIN_TOKEN']}"})
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")
