"""Containers whose servers have certificates of an authority that only the secret `ca-certificates` names."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from deploy.runner import wait_until
from sentiment.packing import pack
from tests.containers.engine import run
from tests.containers.test_images import post
from tests.models import ABOUT, sized
from tests.system import promote
from tests.tls import Servers, servers_with_tls, trusting

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "s3-access-key",
    "AWS_SECRET_ACCESS_KEY": "s3-secret-key",
    "MONGODB_URL": "mongodb-url",
    "RABBITMQ_URL": "rabbitmq-url",
    "RABBITMQ_STREAM_URL": "rabbitmq-stream-url",
}
SETTINGS = ("S3_ENDPOINT_URL", "S3_BUCKET", "BRIDGE_SOURCE")


@pytest.fixture(scope="module")
def servers(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers_with_tls(tmp_path_factory.mktemp("tls"), mongodb_url) as found:
        yield found


def test_a_secret_has_containers_trust_their_servers(
    images: dict[str, str],
    servers: Servers,
    bucket: str,
    database_name: str,
    stream_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = servers.with_names(bucket, database_name, f"stream:{stream_name}")
    variables = system.over_tls("amqps", "streams", "mongodb", "s3")
    for name, value in {**variables, **trusting(system.authority.certificate)}.items():
        monkeypatch.setenv(name, value)
    promote(pack(sized(100), ABOUT))
    environment = {name: variables[name] for name in SETTINGS}
    credentials = {secret: variables[name] for name, secret in CREDENTIALS.items()}
    secrets = {**credentials, "ca-certificates": system.authority.certificate.read_text()}
    with run(images["predict"], environment, secrets=secrets) as predict:
        predict.wait_for("/_/ready")
        assert post(predict.url, {"text": "good"})[0] == 200
        with MongoClient[dict[str, object]](variables["MONGODB_URL"]) as client:
            predictions = client.get_default_database()["predictions"]
            assert wait_until(lambda: predictions.count_documents({}) == 1, 10), predict.logs()
    with run(images["bridge"], environment, secrets=secrets) as bridge:
        bridge.wait_for("/_/ready")
    # A line feed, as where nobody gave one.
    with run(images["bridge"], environment, secrets={**secrets, "ca-certificates": "\n"}) as bridge:
        words = "is not signed by an authority that is trusted here"
        assert wait_until(lambda: words in bridge.logs(), 20), bridge.logs()
