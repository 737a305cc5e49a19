"""The alerts, by promtool: that Prometheus takes them, when each one fires, and where their words lead."""

import re
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring.local import ALERTS, settings
from tests.monitoring.conftest import Promtool
from tests.project import ROOT

GROUPS: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
CASES = Path(__file__).with_name("alerts.test.yml")


def test_prometheus_takes_the_alerts_and_the_settings_of_compose(promtool: Promtool) -> None:
    assert f"{len(RULES) + 1} rules" in promtool("check", "rules", ALERTS)
    promtool("check", "config", ROOT / "deploy" / "monitoring" / "prometheus.yml")


def test_prometheus_takes_the_settings_for_a_local_stack_with_alerts(promtool: Promtool, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(settings({"PREDICT_URL": "http://127.0.0.1:1", "BRIDGE_URL": ""}))
    assert f"{len(RULES) + 1} rules" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_each_alert_fires_when_it_should_and_not_before(promtool: Promtool) -> None:
    promtool("test", "rules", CASES)


def test_there_is_a_case_for_each_alert_that_fires_and_one_that_does_not() -> None:
    cases: dict[str, set[bool]] = {}
    for test in yaml.safe_load(CASES.read_text())["tests"]:
        for case in test["alert_rule_test"]:
            cases.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert cases == {rule["alert"]: {True, False} for rule in RULES}


def test_each_alert_says_what_to_do_where_the_docs_have_it() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operating.md"
        assert anchor in anchors, rule["alert"]


def test_the_docs_have_each_alert() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    assert {rule["alert"] for rule in RULES} - set(re.findall(r"`([A-Z][A-Za-z0-9]+)`", text)) == set()
