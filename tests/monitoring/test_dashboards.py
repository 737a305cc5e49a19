"""The dashboards: that the files are what the code makes, and what Grafana needs to show them."""

import json
import re
from typing import Any

import pytest
import yaml

from deploy.monitoring.dashboards import FOLDER, boards
from deploy.monitoring.local import ALERTS

BOARDS = sorted(path.name for path in FOLDER.glob("*.json"))


def test_the_files_are_what_the_code_makes() -> None:
    assert {path: path.read_text() for path in FOLDER.glob("*.json")} == boards(), (
        "say python -m deploy.monitoring.dashboards"
    )


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / request.param).read_text())
    return found


def test_each_panel_has_its_own_place_and_number_and_says_what_it_shows(board: dict[str, Any]) -> None:
    places = set[tuple[int, int]]()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["targets"]


def test_each_query_asks_the_source_that_the_reader_chooses(board: dict[str, Any]) -> None:
    (variable,) = board["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": f"${{{variable['name']}}}"}


def test_each_alert_that_a_panel_names_is_there(board: dict[str, Any]) -> None:
    alerts = {rule.get("alert") for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    for panel in board["panels"]:
        for named in re.findall(r"alerts? ([^.]+)\.$", panel.get("description", "")):
            assert set(re.split(", | and ", named)) <= alerts


def test_grafana_is_told_of_the_source_and_the_folder_of_the_dashboards() -> None:
    provisioning = FOLDER.parent / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert source["jsonData"]["timeInterval"] == "15s", "as often as prometheus.yml looks"
    (folder,) = yaml.safe_load((provisioning / "dashboards" / "sentiment.yml").read_text())["providers"]
    assert folder["options"]["path"] == "/etc/grafana/dashboards"
