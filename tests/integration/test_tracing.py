"""Whose work it is: a trace goes through the bridge and predict, and comes back with every answer."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pika import BasicProperties
from rstream import AMQPMessage

from deploy.runner import wait_until
from process.answers import Answer
from process.front import Front, Limits, Request
from records import Records
from tests.conftest import RabbitMQNode
from tests.http import serving
from tests.integration.test_bridge import (
    GOOD,
    bridge,
    client,
    environment,
    gateway_url,
    source_of,
    tiny_model,
    wait_for_offset,
)
from tests.running import running
from tests.streams.conversation import write
from tests.system import Client, promote, python_service, through_gateway

__all__ = ["client", "environment", "gateway_url"]  # fixtures
TRACES = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 4)]
TEXT = json.dumps({"text": "I love it"})
JSON = {"content-type": "application/json"}


def trace_of(properties: BasicProperties) -> object:
    return (properties.headers or {}).get("traceparent")


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, Span]]]]:
    """Yields the address of a collector, and the spans that it got, each with the service that sent it."""
    found: list[tuple[str, Span]] = []

    def collect(request: Request) -> Answer:
        assert (request.method, request.path) == ("POST", "/v1/traces")
        for resource in ExportTraceServiceRequest.FromString(bytes(request.body)).resource_spans:
            (service,) = (
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            )
            found.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
        return Answer(200, [], b"")

    with serving(Front(lambda: None, Limits.of(1_000_000), others=collect)) as at:
        yield at.url, found


def test_answers_over_http_come_back_with_the_trace_of_their_request(gateway_url: str) -> None:
    url = f"{gateway_url}/function/predict"
    for body, status in ((TEXT, 200), (json.dumps({"texts": ["a"]}), 200), ("{", 400)):
        answer = urllib3.request("POST", url, body=body, headers={**JSON, "traceparent": TRACES[0]})
        assert (answer.status, answer.headers["traceparent"]) == (status, TRACES[0])
    model = urllib3.request("GET", url, headers={"traceparent": TRACES[1]})
    assert (model.status, model.headers["traceparent"]) == (200, TRACES[1])
    for strange in (
        "",
        "00-0-0-0",
        f"00-{'A' * 32}-{'b' * 16}-01",
        "ff" + TRACES[0][2:],
        "00-" + "0" * 32 + TRACES[0][35:],
        "é" * 55,
    ):
        answer = urllib3.request("POST", url, body=TEXT, headers={**JSON, "traceparent": strange})
        assert (answer.status, answer.headers.get("traceparent")) == (200, None)


def test_answers_over_the_stream_come_back_with_the_trace_of_their_message(
    environment: Mapping[str, str],
    rabbitmq: RabbitMQNode,
    client: Client,
    records: Records,
    gateway_url: str,
    tmp_path: Path,
) -> None:
    stream = source_of(environment)
    sent = [TRACES[0], TRACES[1], "00-strange", None]
    for number, trace in enumerate(sent):
        headers: Any = {"other": [1, {"deep": True}]} | ({"traceparent": trace} if trace else {})
        properties = BasicProperties(correlation_id=str(number), reply_to="replies", headers=headers)
        client.channel.basic_publish("", stream, GOOD, properties)
    write(rabbitmq, stream, [AMQPMessage(body=GOOD, application_properties={"n": 7, "traceparent": TRACES[2]})])
    with bridge(environment, gateway_url, tmp_path):
        wait_for_offset(records, stream, 4)
    traces = [*TRACES[:2], None, None]
    assert [trace_of(properties) for properties, _ in client.drain("replies")] == traces
    assert [trace_of(properties) for properties, _ in client.read_stream("predictions")] == [*traces, TRACES[2]]


def test_answers_out_of_a_queue_come_back_with_the_trace_of_their_message(
    environment: Mapping[str, str], client: Client, stream_name: str, gateway_url: str, tmp_path: Path
) -> None:
    queue = f"{stream_name}-queue"
    client.declare(queue)
    for number, trace in enumerate(TRACES):
        properties = BasicProperties(
            correlation_id=str(number), reply_to="replies", headers={"traceparent": trace, "t": "x" * 5_000}
        )
        client.channel.basic_publish("", queue, GOOD, properties)
    with bridge({**environment, "BRIDGE_SOURCE": f"queue:{queue}"}, gateway_url, tmp_path):
        assert wait_until(lambda: client.depth("replies") == len(TRACES), 30)
    assert [trace_of(properties) for properties, _ in client.drain("replies")] == TRACES
    client.channel.queue_delete(queue)


def test_a_collector_sees_a_batch_linked_to_its_messages_and_the_request_that_it_became(
    environment: Mapping[str, str], client: Client, records: Records, tmp_path: Path
) -> None:
    promote(tiny_model())
    for trace in TRACES:
        client.channel.basic_publish("", source_of(environment), GOOD, BasicProperties(headers={"traceparent": trace}))
    with collector() as (url, spans):
        told = {**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with (
            through_gateway(tmp_path, {"predict": python_service("functions.predict", tmp_path, told)}) as gateway,
            bridge(told, gateway, tmp_path),
        ):
            wait_for_offset(records, source_of(environment), len(TRACES) - 1)
            answer = urllib3.request(
                "POST", f"{gateway}/function/predict", body="{", headers={**JSON, "traceparent": TRACES[0]}
            )
        # What waits is sent at the end, which has come.
        batches = [span for service, span in spans if service == "bridge"]
        links = [link.trace_id.hex() for batch in batches for link in batch.links]
        assert links == [trace.split("-")[1] for trace in TRACES]
        served = {span.parent_span_id.hex(): span for service, span in spans if service == "predict"}
        for batch in batches:
            asked = served[batch.span_id.hex()]
            assert (asked.trace_id, asked.name) == (batch.trace_id, "POST")
        refused = served[TRACES[0].split("-")[2]]
        assert answer.headers["traceparent"].split("-")[1:3] == [refused.trace_id.hex(), refused.span_id.hex()]
        assert refused.trace_id.hex() == TRACES[0].split("-")[1]


def test_a_collector_that_is_away_stops_nothing(environment: Mapping[str, str], tmp_path: Path) -> None:
    promote(tiny_model())
    told = {**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    service = python_service("functions.predict", tmp_path, told)
    with running(service) as process:
        url = service.variables["URL"]
        for _ in range(50):
            assert urllib3.request("POST", url, body=TEXT, headers=JSON).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_without_opentelemetry_an_endpoint_is_refused_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ModuleNotFoundError('no', name='opentelemetry')\n")
    code = "from process.run import run\nrun('test', lambda: 0)"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "install the extra [otel]" in done.stdout
    assert done.stdout.count("\n") == 1
