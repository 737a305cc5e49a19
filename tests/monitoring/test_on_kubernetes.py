"""What the chart has for Prometheus's operator and for Grafana."""

import yaml

from contracts.names import FUNCTIONS
from deploy.monitoring.dashboards import FOLDER
from deploy.monitoring.local import ALERTS
from tests.kubernetes.rendering import named, render


def test_on_kubernetes_the_alerts_are_the_same_and_the_parts_are_jobs_of_their_names() -> None:
    assert not [each for each in render({}) if each["apiVersion"].startswith("monitoring.coreos.com/")]
    documents = render({"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}})
    rule = named(documents, "PrometheusRule", "sentiment")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    (endpoint,) = named(documents, "ServiceMonitor", "functions")["spec"]["endpoints"]
    (kept,) = endpoint["relabelings"]
    assert kept["regex"].split("|") == [*FUNCTIONS]
    selector = named(documents, "ServiceMonitor", "bridge")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= named(documents, "Service", "bridge")["metadata"]["labels"].items()
    boards = named(documents, "ConfigMap", "dashboards")["data"]
    assert boards == {path.name: path.read_text() for path in FOLDER.glob("*.json")}
