"""What the local stack remembers, and what it makes of the user's settings."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.key_pair import public_key
from deploy.local.processes import listener
from deploy.local.stack import Stack, plan
from deploy.local.state import ROOT, State
from deploy.ports import LOOPBACK, free_port
from deploy.rights import BUCKET
from deploy.runner import ServiceError
from deploy.servers import MissingServerError

USER = {
    "S3_ENDPOINT_URL": "s3",
    "MONGODB_URL": "mongodb://mongodb",
    "RABBITMQ_URL": "amqp://broker",
    "GATEWAY_URL": "gateway",
}


def test_a_port_stays_the_same_over_starts(tmp_path: Path) -> None:
    assert State(tmp_path).port("predict") == State(tmp_path).port("predict")


def test_a_port_that_another_took_is_replaced(tmp_path: Path) -> None:
    port = State(tmp_path).port("predict")
    with socket.create_server((LOOPBACK, port)):
        assert State(tmp_path).port("predict") != port


def test_two_folders_planned_at_once_get_different_ports(tmp_path: Path) -> None:
    names = ("s3", "mongodb", "rabbitmq", "rabbitmq-stream", "predict")
    first, second = State(tmp_path / "a"), State(tmp_path / "b")
    ports = [state.port(name) for name in names for state in (first, second)]
    assert len(set(ports)) == len(ports)


def test_a_port_that_another_process_has_reserved_is_taken_until_that_process_ends() -> None:
    port = free_port("this test")
    code = "import sys; from deploy.ports import reserve; print(reserve(int(sys.argv[1]), 'it'))"

    def asked_by_another_process(number: int) -> str:
        command = [sys.executable, "-c", code, str(number)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert asked_by_another_process(port) == "False"
    # The first to ask for this one has ended when the second asks.
    other = _unused_port()
    assert [asked_by_another_process(other) for _ in range(2)] == ["True", "True"]


def test_the_port_of_a_gateway_that_is_about_to_start_is_busy(tmp_path: Path) -> None:
    user = {name: value for name, value in USER.items() if name != "GATEWAY_URL"} | {"LOCAL_PORT": str(_unused_port())}
    plan(State(tmp_path / "a"), user)
    with pytest.raises(ServiceError, match=f"port {user['LOCAL_PORT']} is taken by another program"):
        plan(State(tmp_path / "b"), user)
    plan(State(tmp_path / "a"), user)


def _unused_port() -> int:
    """Return a port that nobody listens on, and that this process has not reserved."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_who_listens_on_a_port_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        found = listener(server.getsockname()[1])
    assert found is not None
    assert found.endswith(f"(pid {os.getpid()})")


def test_credentials_are_kept_private_and_differ(tmp_path: Path) -> None:
    first, again = State(tmp_path), State(tmp_path)
    assert first.credential("a") == again.credential("a") != again.credential("b")
    assert (tmp_path / "credentials.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["ports.json", "credentials.json", "variables.json"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    state = State(tmp_path)
    (tmp_path / name).write_text('{"predict": 20')
    with pytest.raises(ServiceError, match=f"{name} is damaged .*delete it"):
        [state.port("predict"), state.credential("predict"), state.variables()]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_a_line_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    port = State(tmp_path).port("predict")
    (tmp_path / "ports.json.part").symlink_to("/dev/full")
    with pytest.raises(ServiceError, match=r"ports\.json can't be written: No space left on device"):
        State(tmp_path).port("drift")
    assert json.loads((tmp_path / "ports.json").read_text()) == {"predict": port}


def test_env_survives_the_shell(tmp_path: Path) -> None:
    State(tmp_path).keep_variables({"RABBITMQ_URL": "amqp://a:b c$d'e@h/%2F"})
    command = ["sh", "-c", f'. "{tmp_path}/env" && printf %s "$RABBITMQ_URL"']
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "amqp://a:b c$d'e@h/%2F"


def test_the_socket_path_stays_short_enough_for_a_unix_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    state = State(folder)
    assert len(str(state.socket)) < 100
    assert state.socket == State(folder).socket != State(tmp_path).socket


def test_servers_of_the_user_replace_all_embedded_ones(tmp_path: Path) -> None:
    stack = plan(State(tmp_path), USER)
    assert {part.name for part in stack.parts} <= {"bridge"}
    assert USER.items() <= stack.environment.items()


def key_settings(stack: Stack) -> dict[str, set[str]]:
    """The keys of models that each part has in its environment."""
    names = {"MODEL_PUBLIC_KEY", "MODEL_SIGNING_KEY"}
    return {part.name: names & (stack.environment | dict(part.environment)).keys() for part in stack.parts}


@pytest.mark.parametrize("given", [{}, {"MODEL_SIGNING_KEY": "5" * 64}])
def test_retrain_alone_may_sign_models(tmp_path: Path, given: dict[str, str]) -> None:
    user = {
        "MONGODB_URL": "mongodb://mongodb",
        "RABBITMQ_URL": "amqp://broker",
        "LOCAL_PORT": str(_unused_port()),
        **given,
    }
    stack = plan(State(tmp_path), user)
    keys = key_settings(stack)
    assert keys.pop("retrain") == {"MODEL_PUBLIC_KEY", "MODEL_SIGNING_KEY"}
    assert {"predict", "drift"} <= keys.keys()
    assert all(has == {"MODEL_PUBLIC_KEY"} for has in keys.values())
    signing_key = given.get("MODEL_SIGNING_KEY") or stack.variables["MODEL_SIGNING_KEY"]  # .local/env is the operator's
    assert stack.operator["MODEL_SIGNING_KEY"] == signing_key
    assert stack.environment["MODEL_PUBLIC_KEY"] == public_key(signing_key)


def test_each_part_gets_its_own_key_of_the_store_and_others_none(tmp_path: Path) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")
    user = {name: value for name, value in USER.items() if name in ("MONGODB_URL", "RABBITMQ_URL")}
    user |= {"LOCAL_PORT": str(_unused_port()), **dict.fromkeys(names, "of another store")}
    stack = plan(State(tmp_path), user)
    keys: dict[str, set[str]] = {}
    for part in stack.own:
        settings = stack.environment | dict(part.environment)
        if found := {settings[name] for name in names if name in settings}:
            keys[part.name] = found
    assert keys.keys() == BUCKET.keys()
    operator = {stack.variables["AWS_ACCESS_KEY_ID"], stack.variables["AWS_SECRET_ACCESS_KEY"]}
    assert operator <= set(stack.operator.values())
    assert len(set().union(operator, *keys.values())) == 2 * (1 + len(keys))  # nothing is used twice, nothing foreign


def test_keys_of_the_users_own_store_go_to_all_parts(tmp_path: Path) -> None:
    user = {
        "S3_ENDPOINT_URL": "http://store",
        "AWS_ACCESS_KEY_ID": "a key",
        "MONGODB_URL": "mongodb://m",
        "RABBITMQ_URL": "amqp://b",
    }
    stack = plan(State(tmp_path), user | {"LOCAL_PORT": str(_unused_port())})
    assert stack.environment["AWS_ACCESS_KEY_ID"] == "a key"
    assert all("AWS_ACCESS_KEY_ID" not in part.environment for part in stack.own)


def test_the_pair_of_keys_stays_the_same_over_starts(tmp_path: Path) -> None:
    first = plan(State(tmp_path), USER)
    State(tmp_path).keep_variables(first.variables)
    again = plan(State(tmp_path), {**USER, **first.variables})
    assert first.operator == again.operator
    assert first.environment["MODEL_PUBLIC_KEY"] == again.environment["MODEL_PUBLIC_KEY"]


def test_a_public_key_of_the_user_comes_without_one_of_ours(tmp_path: Path) -> None:
    stack = plan(State(tmp_path), {**USER, "MODEL_PUBLIC_KEY": "a" * 64})
    assert stack.environment["MODEL_PUBLIC_KEY"] == "a" * 64
    assert stack.operator == {}
    assert not {"MODEL_PUBLIC_KEY", "MODEL_SIGNING_KEY"} & stack.variables.keys()


def test_a_signing_key_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"MODEL_SIGNING_KEY can't be used: .*hexadecimal"):
        plan(State(tmp_path), {**USER, "MODEL_SIGNING_KEY": "mine"})


def test_what_an_earlier_release_left_in_our_own_store_is_signed_when_there_is_a_key_for_the_first_time(
    tmp_path: Path,
) -> None:
    ours = {name: value for name, value in USER.items() if name != "S3_ENDPOINT_URL"}
    assert plan(State(tmp_path / "ours"), ours).environment["SIGN_SERVED"] == "yes"
    assert "SIGN_SERVED" not in plan(State(tmp_path / "ours"), ours).environment
    assert "SIGN_SERVED" not in plan(State(tmp_path / "theirs"), USER).environment
    for name in ("MODEL_SIGNING_KEY", "MODEL_PUBLIC_KEY"):
        assert "SIGN_SERVED" not in plan(State(tmp_path / name), {**ours, name: "5" * 64}).environment


def test_settings_out_of_the_stacks_own_env_file_are_not_the_users_choice(tmp_path: Path) -> None:
    State(tmp_path).keep_variables({"MONGODB_URL": "mongodb://mongodb"})
    stack = plan(State(tmp_path), USER)
    assert "mongodb" in [part.name for part in stack.parts]
    assert stack.environment["MONGODB_URL"].startswith("mongodb://127.0.0.1:")


def test_without_any_broker_http_is_left_and_a_line_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_installed() -> str:
        raise MissingServerError("RabbitMQ is not installed")

    monkeypatch.setattr("deploy.servers.rabbitmq_server", none_installed)
    monkeypatch.setenv("PATH", str(tmp_path))
    stack = plan(State(tmp_path), {name: value for name, value in USER.items() if name != "RABBITMQ_URL"})
    assert [part.name for part in stack.parts] == []
    (note,) = stack.notes
    assert note.startswith("no stream, HTTP alone: ")
