"""The Job that makes the users of RabbitMQ, as it meets the management API of a real node."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from pika.exceptions import ProbableAuthenticationError

from deploy.ports import LOOPBACK, free_port, http_status
from deploy.runner import Service
from deploy.secrets import make
from deploy.servers import RABBITMQ_SETTINGS, rabbitmq
from tests.conftest import server_or_skip
from tests.kubernetes.rendering import CHART
from tests.running import running

OPERATORS_USER = "default_user_of_the_operator"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, int]]:
    """A node with the user that its operator made, and the port of its management API."""
    folder, port = tmp_path_factory.mktemp("rabbitmq"), free_port()
    with server_or_skip():
        service = rabbitmq(folder, free_port, OPERATORS_USER, "secret")
    settings = folder / "rabbitmq.conf"
    settings.write_text(f"{settings.read_text()}management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {port}\n")
    # As start.sh finds them: its node, but for the plugin that the operator enables.
    start = folder / "deploy" / "local" / "rabbitmq"
    shutil.copytree(RABBITMQ_SETTINGS, start)
    plugins = folder / "deploy" / "chart" / "files" / "enabled_plugins"
    plugins.parent.mkdir(parents=True)
    plugins.write_text("[rabbitmq_stream, rabbitmq_management].\n")
    command = tuple(each.replace(str(RABBITMQ_SETTINGS), str(start)) for each in service.command)
    ready = service.ready
    service = replace(service, command=command, ready=lambda: ready() and http_status(port, "/") is not None)
    with running(service):
        yield service, port


def make_users(secrets: Path, port: int) -> subprocess.CompletedProcess[str]:
    """Run the Job's script as its pod does: the standard library alone."""
    return subprocess.run(
        [sys.executable, "-S", str(CHART / "files" / "rabbitmq-users.py")],
        env={
            **os.environ,
            "RABBITMQ_MANAGEMENT_URL": f"http://{LOOPBACK}:{port}",
            "RABBITMQ_USER": OPERATORS_USER,
            "RABBITMQ_PASSWORD": "secret",
            "SECRETS_DIR": str(secrets),
        },
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def log_in(service: Service, user: str, password: str) -> pika.BlockingConnection:
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters(LOOPBACK, service.ports[0], credentials=credentials))


def test_each_part_logs_in_by_its_own_password_and_the_operators_user_stays(
    node: tuple[Service, int], tmp_path: Path
) -> None:
    service, port = node
    make(tmp_path, "mongodb", "rabbitmq", given={})
    assert (done := make_users(tmp_path, port)).returncode == 0, done.stdout
    logins = [urlsplit((tmp_path / f"{user}-rabbitmq-url").read_text()) for user in ("bridge", "drift", "reviews")]
    for login in (*logins, urlsplit((tmp_path / "rabbitmq-url").read_text())):
        log_in(service, login.username or "", login.password or "").close()
    log_in(service, OPERATORS_USER, "secret").close()


def test_a_changed_password_takes_the_place_of_the_one_before(node: tuple[Service, int], tmp_path: Path) -> None:
    service, port = node
    make(tmp_path, "mongodb", "rabbitmq", given={})
    assert make_users(tmp_path, port).returncode == 0
    before = urlsplit((tmp_path / "drift-rabbitmq-url").read_text()).password or ""
    log_in(service, "drift", before).close()
    (tmp_path / "drift-rabbitmq-password").unlink()
    make(tmp_path, "mongodb", "rabbitmq", given={})
    assert make_users(tmp_path, port).returncode == 0
    with pytest.raises(ProbableAuthenticationError):
        log_in(service, "drift", before)
    log_in(service, "drift", urlsplit((tmp_path / "drift-rabbitmq-url").read_text()).password or "").close()


def test_what_the_job_has_said_is_of_no_password(node: tuple[Service, int], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    make(tmp_path, "mongodb", "rabbitmq", given={})
    done = make_users(tmp_path, node[1])
    assert done.stdout + done.stderr == ""
