"""The servers that the other tests and the local stack rely on."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
import pika
import psutil
import pymongo
import pytest
from botocore.exceptions import ClientError
from pika.exceptions import ChannelClosedByBroker

from deploy import ports, runner, servers
from deploy.runner import wait_until
from process.answers import Answer
from process.front import Front, Limits
from process.probes import PATHS
from tests.conftest import RabbitMQNode, S3Server
from tests.http import serving
from tests.running import running


def test_s3_server_refuses_a_write_whose_condition_fails(s3_server: S3Server, bucket: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        aws_access_key_id=s3_server.access_key_id,
        aws_secret_access_key=s3_server.secret_access_key,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="one", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="one", Body=b"2", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="one")["Body"].read() == b"1"


def test_mongodb_server_keeps_databases_apart(mongodb_url: str, database_name: str) -> None:
    with pymongo.MongoClient[dict[str, int]](mongodb_url) as client:
        client[database_name].numbers.insert_one({"_id": 1})
        assert client[database_name].numbers.count_documents({}) == 1
        assert client[database_name + "_other"].numbers.count_documents({}) == 0


class _Echo(BaseHTTPRequestHandler):
    """Answers with the path that it was asked for."""

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def gateway_port(tmp_path: Path) -> Iterator[int]:
    """The port of a gateway that has the function generate-drift, which echoes paths."""
    port = ports.free_port()
    with ThreadingHTTPServer((ports.LOOPBACK, 0), _Echo) as upstream:
        Thread(target=upstream.serve_forever).start()
        with running(servers.gateway(tmp_path, port, {"generate-drift": upstream.server_port})):
            yield port
        upstream.shutdown()


@pytest.mark.parametrize(
    ("asked", "received"),
    [
        ("/function/generate-drift", "/"),
        ("/function/generate-drift?share=0.5", "/?share=0.5"),
        ("/function/generate-drift/", "/"),
        ("/function/generate-drift/labels/a", "/labels/a"),
        ("/function/generate-drift/generate-drift/labels%20x", "/generate-drift/labels%20x"),
        ("/generate-drift/reports", "/reports"),
        ("/generate_drift", "/"),
        ("/function/generate_drift/a", "/a"),
    ],
)
def test_gateway_strips_the_functions_prefix(gateway_port: int, asked: str, received: str) -> None:
    with urlopen(f"http://127.0.0.1:{gateway_port}{asked}") as response:
        assert response.read().decode() == received


@pytest.mark.parametrize("asked", ["/", "/console", "/function/console"])
def test_gateway_leads_people_to_the_folder_of_the_console(gateway_port: int, asked: str) -> None:
    """Where its links, which are relative, lead on."""
    connection = HTTPConnection("127.0.0.1", gateway_port, timeout=10)
    connection.request("GET", asked)
    with closing(connection):
        response = connection.getresponse()
        assert (response.status, response.headers["Location"]) == (302, "/function/console/")


def test_gateway_takes_nothing_at_its_root(gateway_port: int) -> None:
    with pytest.raises(HTTPError) as error, urlopen(f"http://127.0.0.1:{gateway_port}/", data=b"text"):
        pass
    assert error.value.code == 404
    error.value.close()


@pytest.mark.parametrize("asked", ["/function/other", "/function/", "/functions", "/generate-drifted"])
def test_gateway_knows_no_other_function(gateway_port: int, asked: str) -> None:
    with pytest.raises(HTTPError) as error, urlopen(f"http://127.0.0.1:{gateway_port}{asked}"):
        pass
    assert error.value.code == 404
    error.value.close()


WAYS_TO_PROBES = [
    prefix + probe
    for prefix in ("/function/predict", "/predict", "/function/predict/", "/function/predict/.", "/function//predict",
                   "/function/predict/a/..", "/function/predict/%2e", "http://127.0.0.1/predict")
    for probe in ("/metrics", "/_/ready", "/_/health", "/%6detrics", "/%5F/ready", "/_%2Fready", "//metrics",
                  "/METRICS", "/metrics/", "/metrics?a=b", "/metrics#a", "/_/./ready", "/_//ready", "/a/../metrics",
                  "/metrics%00")
]  # fmt: skip
HEADS = [
    "HTTP/1.1\r\nHost: 127.0.0.1",
    "HTTP/1.0",
    "HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For:\r\nX-Forwarded-Host:",
    "HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close, x-forwarded-for, x-forwarded-host, x-forwarded-proto, via",
]


@pytest.mark.parametrize("head", HEADS)
def test_gateway_keeps_what_functions_say_of_themselves_inside(tmp_path: Path, head: str) -> None:
    """However the path is written, and whatever the sender wants taken away of what the gateway adds."""
    port = ports.free_port()
    with serving(Front(lambda: None, Limits.of(1), others=lambda _: Answer(200, [], b"its work"))) as predict:
        assert [predict.get(probe).status_code for probe in sorted(PATHS)] == [200, 200, 200]
        with running(servers.gateway(tmp_path, port, {"predict": int(predict.url.rpartition(":")[2])})):
            answers = {way: _answer(port, f"GET {way} {head}\r\n\r\n") for way in WAYS_TO_PROBES}
            assert _answer(port, f"GET /function/predict {head}\r\n\r\n") == (200, b"its work")
    assert {way: answer for way, answer in answers.items() if answer[0] == 200 and answer[1] != b"its work"} == {}
    assert answers["/function/predict/metrics"][0] == 404


def _answer(port: int, request: str) -> tuple[int, bytes]:
    """Return the status and the body that come for the bytes of a request."""
    with socket.create_connection((ports.LOOPBACK, port), timeout=10) as opened:
        opened.sendall(request.encode())
        response = HTTPResponse(opened)
        response.begin()
        return response.status, response.read()


def test_gateway_answers_502_for_a_function_that_is_down(tmp_path: Path) -> None:
    port = ports.free_port()
    with running(servers.gateway(tmp_path, port, {"predict": ports.free_port()})):
        assert ports.http_status(port, "/function/predict") == 502


def test_a_service_that_ends_says_why(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "print('no disk'); raise SystemExit(3)")
    service = runner.Service("broken", tmp_path, command, ready=lambda: False, log=tmp_path / "broken.log")
    with pytest.raises(runner.ServiceError, match=r"broken ended with status 3\nno disk"), running(service):
        pass


def test_rabbitmq_node_keeps_a_stream_over_stop_and_crash(rabbitmq: RabbitMQNode, stream_name: str) -> None:
    def declare(passive: bool) -> None:
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.amqp_url)) as connection:
            connection.channel().queue_declare(
                stream_name, durable=True, passive=passive, arguments={"x-queue-type": "stream"}
            )

    def is_there() -> bool:
        """A restarted node answers before its streams have their leaders again: 404, "home node is down"."""
        try:
            declare(passive=True)
        except ChannelClosedByBroker:
            return False
        return True

    declare(passive=False)
    for end in (rabbitmq.stop, rabbitmq.kill):
        end()
        rabbitmq.start()
        assert wait_until(is_there, timeout_seconds=120), runner.tail(rabbitmq.service.log, 60)


def test_rabbitmq_node_leaves_no_process_and_listens_on_loopback_only(rabbitmq: RabbitMQNode) -> None:
    """The node's own folder is in the command line of its processes, children in other groups included."""

    def of_node() -> list[psutil.Process]:
        folder = str(rabbitmq.service.folder)
        return [p for p in psutil.process_iter(["environ"]) if folder in str(p.info["environ"])]

    processes = of_node()
    assert processes
    addresses = {c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
    rabbitmq.stop()
    try:
        assert addresses <= {"127.0.0.1", "::1"}
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert not alive
    finally:
        rabbitmq.start()
