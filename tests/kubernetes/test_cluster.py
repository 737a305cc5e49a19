"""The system on a real cluster: runs where KUBECONFIG names one, with what `./deploy.sh --kubernetes --check` asks for.

OPENFAAS_URL is its gateway, which faas-cli is logged in to; REGISTRY, where the nodes pull from. CHART_VALUES may name
smaller values.
"""

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.project import ROOT

MESSAGES = 1_000
SECRETS = ROOT / ".local" / "openfaas" / "secrets"
pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBECONFIG"), reason="KUBECONFIG is not set: these tests need a cluster"
)


def deploy(*arguments: str, **variables: str) -> str:
    """Run deploy.sh; return what it says."""
    result = subprocess.run(
        [str(ROOT / "deploy.sh"), "--kubernetes", *arguments],
        env={**os.environ, "TRAIN_DATA": "starter", **variables},
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def kubectl(*arguments: str) -> str:
    command = ["kubectl", "--namespace", "sentiment", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", autouse=True)
def deployment() -> Iterator[str]:
    yield deploy()
    deploy("--remove", "--data")
    assert not SECRETS.exists()


def test_one_command_ends_with_a_scored_text(deployment: str) -> None:
    assert "positive, probability 0." in deployment


def test_the_second_run_rolls_nothing_out() -> None:
    before = kubectl("get", "pods", "--selector=app=bridge", "--output=name")
    assert "all as they should be" in deploy()
    assert kubectl("get", "pods", "--selector=app=bridge", "--output=name") == before


def test_every_message_is_answered_while_a_bridge_is_killed() -> None:
    """Sent from another bridge's pod, which reaches the broker, as the user who may send reviews."""
    sender, *others = kubectl("get", "pods", "--selector=app=bridge", "--output=name").split()
    if not others:
        pytest.skip("one bridge alone: bridge.minReplicas is 1")
    urls = {
        variable: (SECRETS / f"reviews-{name}").read_text().strip()
        for variable, name in (("RABBITMQ_URL", "rabbitmq-url"), ("RABBITMQ_STREAM_URL", "rabbitmq-stream-url"))
    }
    client = subprocess.Popen(
        ["kubectl", "--namespace=sentiment", "exec", "--stdin", sender, "--", "env",
         *(f"{variable}={url}" for variable, url in urls.items()),
         "python", "-m", "bridge.client", "--file", "/dev/stdin", "--timeout-seconds", "120"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with client:
        assert client.stdin
        client.stdin.write("".join(f"a good film {number}\n" for number in range(MESSAGES // 2)))
        client.stdin.flush()
        kubectl("delete", others[0], "--grace-period=0", "--force")
        output, _ = client.communicate("".join(f"a bad film {number}\n" for number in range(MESSAGES // 2)))
    assert client.returncode == 0
    assert len(output.splitlines()) == MESSAGES


def test_a_new_tag_reaches_the_bridge() -> None:
    deploy(TAG=f"test-{uuid.uuid4().hex[:8]}")
    assert ":test-" in kubectl("get", "deployment/bridge", "--output=jsonpath={..image}")
