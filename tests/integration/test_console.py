"""The console before real functions and records: who is let in, what it answers, what it does while a part is away."""

import itertools
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
import urllib3

from contracts.limits import MAX_BODY_BYTES
from contracts.names import FUNCTIONS, module_of
from contracts.records import PredictionRecord, RejectedRecord
from deploy.ports import free_port
from deploy.runner import wait_until
from deploy.servers import gateway
from functions.console import hour
from functions.console.access import Access
from functions.console.app import PAGES, build
from functions.console.hour import LastHour
from functions.console.settings import Settings
from process.front import Front, Limits
from process.settings import SettingsError
from records import Records, now
from records.drift import DriftRecords
from records.recent import Recent
from sentiment.text import Corpus
from sentiment.training import train_artifact
from tests.conftest import S3Server
from tests.http import serving
from tests.running import Part, running
from tests.system import promote, python_service

TOKEN = "a token of the console"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
PRIVATE = "somebody's own words, which love this film"
FOREIGN: list[Mapping[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
FOLDER = "/function/console/"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class System:
    """The functions behind a gateway, and what a browser that has logged in sends."""

    gateway_url: str
    console_url: str
    records: Records
    predict: Part
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=60))
    cookie: str = ""

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, url: str = ""
    ) -> Answer:
        """Ask the console without a session, by the gateway where no other address is given."""
        content = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        address = (url or self.gateway_url + FOLDER.rstrip("/")) + f"/{path}"
        found = self.http.request(method, address, body=content, headers=given, redirect=False)
        return Answer(found.status, found.headers, found.data)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return what the console answers in a session."""
        answer = self.ask(method, path, body, {"Cookie": self.cookie})
        assert answer.status < 300, answer.body
        return answer.json

    def log_in(self) -> Answer:
        """Show the right token."""
        return self.try_token(TOKEN)

    def try_token(self, token: str) -> Answer:
        """Return what the console says of a token."""
        return self.ask("POST", "login", {"token": token})

    def state(self) -> dict[str, list[Any]]:
        """All that is kept in MongoDB."""
        database = self.records.database
        return {
            name: list(database[name].find().sort("_id", 1))
            for name in ("predictions", "labels", "rejected", "drift_reports")
        } | {"model": [self.function("GET", "predict")["model"]]}

    def function(self, method: str, name: str, body: object = None) -> Any:
        headers = {"Authorization": "Bearer operator's", "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body else None
        url = f"{self.gateway_url}/function/{name}"
        return json.loads(self.http.request(method, url, body=content, headers=headers).data)


@pytest.fixture(scope="module")
def system(s3_server: S3Server, mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """All functions and a gateway, a text that somebody sent, and one that is rejected; no bridge."""
    folder, port = tmp_path_factory.mktemp("console"), free_port()
    variables = {
        **s3_server.environment,
        "S3_BUCKET": f"test-{secrets.token_hex(6)}",
        "MONGODB_URL": f"{mongodb_url}/test_{secrets.token_hex(6)}",
        "GATEWAY_URL": f"http://127.0.0.1:{port}",
        "CONSOLE_TOKEN": TOKEN,
        "RETRAIN_TOKEN": "operator's",
        "LABEL_TOKEN": "sender",
        "LABEL_TOKENS": "console sender",
        "ENABLE_GENERATE_DRIFT": "true",
        "DRIFT_MIN_TEXTS": "10",
        "DRIFT_WINDOW": "10",
        "POLL_SECONDS": "0.2",
        "BRIDGE_URL": f"http://127.0.0.1:{free_port()}",
    }
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in variables.items():
            patch.setenv(name, value)
        texts = [f"I {word} this film, number {number}" for number in range(40) for word in ("love", "hate")]
        promote(train_artifact(Corpus("test", texts, [1 - number % 2 for number in range(80)]), holdout_share=0.5))
        services = {name: python_service(module_of(name), folder, variables) for name in FUNCTIONS}
        parts = {name: Part(service) for name, service in services.items()}
        for part in parts.values():
            stack.callback(part.close)
            part.start()
        ports = {name: int(service.variables["PORT"]) for name, service in services.items()}
        stack.enter_context(running(gateway(folder / "gateway", port, ports)))
        records = Records.from_environment()
        stack.callback(records.close)
        DriftRecords(records).ensure_indexes()
        system = System(variables["GATEWAY_URL"], services["console"].variables["URL"], records, parts["predict"])
        system.function("POST", "predict", {"text": PRIVATE})
        assert wait_until(lambda: bool(records.database["predictions"].count_documents({})), 10)
        for identifier in ("reviews:1764000000000:7", "reviews-2:8"):
            records.insert_rejected([rejected(identifier)])
        system.cookie = system.log_in().headers["Set-Cookie"].partition(";")[0]
        yield system


def rejected(identifier: str) -> RejectedRecord:
    return RejectedRecord(
        id=identifier, reason="no text", body="{" * 2_000, size_bytes=2_000, offset=7, message_id=None,
        correlation_id=None, received_at=now(),
    )  # fmt: skip


def routes() -> list[str]:
    """All paths of the console, and one that there is not."""
    nothing: Any = None
    rules = build(Access(TOKEN), nothing, nothing).url_map.iter_rules()
    found = {re.sub("<any.*>", "now", rule.rule).lstrip("/") for rule in rules}
    for placeholder, value in {
        "<of>": "x",
        "<path:name>": "login.js",
        "<name>": "swagger-ui.css",
        "<identifier>": "some-id",
    }.items():
        found = {path.replace(placeholder, value) for path in found}
    assert not [path for path in found if "<" in path]
    return sorted({*found, "nowhere", "api/nowhere", *PAGES})


def forged(token: str) -> str:
    """The cookie of a session that another console has begun."""
    nothing: Any = None
    app = build(Access(token), nothing, nothing)
    response = app.test_client().post("/login", json={"token": token})
    return response.headers["Set-Cookie"].partition(";")[0]


def test_without_a_session_no_route_gives_a_text_or_a_control_or_changes_anything(system: System) -> None:
    state = system.state()
    strangers: list[Mapping[str, str]] = [
        {},
        {"Cookie": "console=e30.aaaaaa.bbbbbb"},
        {"Cookie": forged("another token")},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": "Bearer operator's"},
    ]
    bodies = (None, {"text": PRIVATE, "label": 1, "to": None})
    for path, method, headers, body in itertools.product(routes(), METHODS, strangers, bodies):
        if (path, method) == ("login", "POST") or (body and method == "GET"):
            continue
        for url in ("", system.console_url):
            answer = system.ask(method, path, body, headers, url=url)
            where = f"{method} {path} {headers} {url}: {answer}"
            assert PRIVATE not in answer.body.decode(), where
            if path.startswith("static/") or path == "login":
                assert answer.status == (200 if method in ("GET", "HEAD", "OPTIONS") else 401), where
            elif path in PAGES and method in ("GET", "HEAD"):
                assert (answer.status, answer.headers["Location"]) == (303, f"login?next={path}"), where
            else:
                assert answer.status == 401, where
    assert system.state() == state


def test_the_login_leads_to_the_page_that_was_asked_for_and_never_elsewhere() -> None:
    nothing: Any = None
    client = build(Access(TOKEN), nothing, nothing).test_client()

    def leads_to(page: str) -> str:
        answer = client.get("/login", query_string={"next": page}).text
        (address,) = re.findall(r'data-next="([^"]*)"', answer)
        return str(address)

    assert {page: leads_to(page) for page in PAGES} == {page: f"./{page}" for page in PAGES}
    for elsewhere in (
        "//evil.example", "/evil.example", "https://evil.example", "javascript:alert(1)", "..", "../predict", "now/..",
        "login", "api/now", "now?x", "now#x", "now ", "NOW", '"><script>', "\0", "try", "drift//evil.example",
    ):  # fmt: skip
        assert leads_to(elsewhere) == "./", elsewhere


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_origin_changes_nothing_even_in_a_session(system: System, headers: Mapping[str, str]) -> None:
    state = system.state()
    for path, method in itertools.product(routes(), ("POST", "PUT", "PATCH", "DELETE")):
        body = {"text": PRIVATE, "label": 1, "token": TOKEN}
        answer = system.ask(method, path, body, {**headers, "Cookie": system.cookie})
        assert answer.status == 403, f"{method} {path}"
        assert "Set-Cookie" not in answer.headers
    assert system.state() == state


def test_the_cookie_is_for_this_browser_this_folder_and_twelve_hours(system: System) -> None:
    answer = system.log_in()
    assert (answer.status, answer.body) == (204, b"")
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["console"]
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Strict", "")
    assert cookie["path"] == "", "so the browser takes the folder, and no other function gets it"
    assert TOKEN not in cookie.value
    ends = datetime.strptime(cookie["expires"], "%a, %d %b %Y %H:%M:%S GMT")
    left = ends - now().replace(tzinfo=None)
    assert timedelta(hours=11.9) < left <= timedelta(hours=12)
    assert "Set-Cookie" not in system.ask("GET", "api/models", headers={"Cookie": system.cookie}).headers
    https = {"X-Forwarded-Proto": "https"}
    by_https = system.ask("POST", "login", {"token": TOKEN}, https, url=system.console_url)
    assert SimpleCookie(by_https.headers["Set-Cookie"])["console"]["secure"] is True


def test_who_tries_wrong_tokens_is_let_in_by_none_and_holds_up_nobody(system: System) -> None:
    assert system.log_in().status == 204
    for wrong in ("", "x", TOKEN[:-1], f"{TOKEN} ", "\ud800"):
        answer = system.try_token(wrong)
        assert answer.status in (400, 401), wrong
        assert "Set-Cookie" not in answer.headers
    assert system.log_in().status == 204


@pytest.mark.parametrize("token", ["", "fifteen letters"])
def test_a_token_that_could_be_guessed_ends_it_at_its_start_with_what_is_wanted(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", token)
    with pytest.raises(SettingsError, match=r"console-token, or CONSOLE_TOKEN, must (be set|have at least 16)"):
        Settings()


def test_to_log_out_takes_the_cookie_away(system: System) -> None:
    answer = system.ask("POST", "logout", headers={"Cookie": system.cookie})
    assert answer.status == 204
    assert SimpleCookie(answer.headers["Set-Cookie"])["console"].value == ""


def test_another_token_ends_all_sessions() -> None:
    nothing: Any = None
    cookie = forged("the first token")
    for token, status in (("the first token", 200), ("the second token", 303)):
        app = build(Access(token), nothing, nothing)
        with serving(Front(lambda: None, Limits.of(1_000), others=app.answer)) as client:
            assert client.open("/now", method="GET", headers={"Cookie": cookie}).status_code == status


def test_pages_and_answers_may_load_nothing_from_elsewhere_and_are_not_kept(system: System) -> None:
    for path in (*PAGES, "login", "api/models", "api/nowhere", "nowhere", "static/x/login.js"):
        answer = system.ask("GET", path, headers={"Cookie": system.cookie})
        assert answer.headers["Cache-Control"] == "no-store"
        may_load_nothing_from_elsewhere(answer)


def test_nor_may_what_is_answered_before_the_request_is_read(system: System) -> None:
    """Refusals of the front, which the app never sees."""
    foreign = system.ask("POST", "login", {"token": TOKEN}, FOREIGN[0])
    many = system.ask("GET", "login", headers={f"X-{number}": "" for number in range(101)}, url=system.console_url)
    large = system.ask("POST", "login", {"token": "x" * MAX_BODY_BYTES}, url=system.console_url)
    assert (foreign.status, many.status, large.status) == (403, 431, 413)
    for answer in (foreign, many, large):
        may_load_nothing_from_elsewhere(answer)


def may_load_nothing_from_elsewhere(answer: Answer) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_static_files_are_kept_for_good_at_the_address_that_the_pages_name(system: System) -> None:
    page = system.ask("GET", "login").body.decode()
    path = next(part for part in page.split('"') if part.startswith("static/") and part.endswith("login.js"))
    answer = system.ask("GET", path)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert system.ask("GET", path.replace("login.js", "../templates/login.html")).status == 404


def test_predict_answers_with_the_words_that_decided_and_records_nothing(system: System) -> None:
    before = system.state()
    answer = system.call("POST", "api/predict", {"text": "I love it"})
    assert answer["prediction"] == "positive"
    assert {each["word"] for each in answer["words"]} <= {"love", "it"}
    assert sum(each["log_odds"] for each in answer["words"]) + answer["bias"] == pytest.approx(answer["log_odds"])
    assert system.ask("POST", "api/predict", {"text": "x" * 20_000}, {"Cookie": system.cookie}).status == 413
    assert system.ask("POST", "api/predict", {"tex": ""}, {"Cookie": system.cookie}).status == 400
    assert system.state() == before


def test_now_shows_what_goes_on(system: System) -> None:
    found = system.call("GET", "api/now")
    assert found["hour"] == [{"source": "http", "prediction": "positive", "count": 1}]
    assert len(found["minutes"]) == 60
    assert sum(each["positive"] for each in found["minutes"]) == 1
    assert [each["text"] for each in found["texts"]] == [PRIVATE]
    assert [each["stream"] for each in found["rejected"]] == ["reviews-2", "reviews"]
    assert len(found["rejected"][0]["text"]) == 1_001, "the beginning of its body, and an ellipsis"
    parts = {each["name"]: each for each in found["parts"]}
    assert {name for name, part in parts.items() if not part["ok"]} == {"bridge"}
    assert parts["predict"]["says"].startswith("serves ")
    assert parts["generate-drift"]["says"] == "on"
    assert found["lag"] is None


def test_drift_is_made_seen_and_cleared(system: System) -> None:
    assert system.call("GET", "api/drift")["reports"] == {"reports": []}
    made = system.call("POST", "api/generate-drift?count=20&share=1&seed=1")
    assert made["generated"] == 20
    assert system.call("POST", "api/drift")["window"]["synthetic"] == 10
    found = system.call("GET", "api/drift")
    assert (found["can_generate"], found["away"]) == (True, [])
    assert found["now"]["status"] == "drift"
    assert len(found["reports"]["reports"]) == 1
    assert system.call("GET", "api/label")["texts"][0]["text"] == PRIVATE, "nobody labels what nobody wrote"
    assert system.call("DELETE", "api/generate-drift") == {"deleted": 20}


def test_how_drift_is_made_is_handed_on_whole(system: System) -> None:
    refused = system.ask("POST", "api/generate-drift?count=5&count=6", headers={"Cookie": system.cookie})
    assert (refused.status, "has a name twice" in refused.json["detail"]) == (400, True)


@pytest.mark.parametrize("identifier", ["%2E", "%2E%2E"])
def test_a_label_whose_id_no_address_can_hold_is_not_there(system: System, identifier: str) -> None:
    connection = HTTPConnection(system.console_url.removeprefix("http://"))  # urllib3 sends another address
    with closing(connection):
        connection.request("DELETE", f"/api/labels/{identifier}", headers={"Cookie": system.cookie})
        assert connection.getresponse().status == 404


def test_a_label_that_a_person_gives_is_the_consoles_and_is_learned(system: System) -> None:
    def to_label() -> Any:
        return system.call("GET", "api/label")

    assert [each["text"] for each in to_label()["texts"]] == [PRIVATE]
    assert system.call("POST", "api/labels", {"text": PRIVATE, "label": "negative"})["accepted"] == 1
    found = to_label()
    assert (found["texts"], found["pending"], found["retrain_after"]) == ([], 1, 100)
    assert system.records.database["labels"].find_one({"text": PRIVATE})["principals"] == ["console"]  # type: ignore[index]
    mistake = system.call("POST", "api/labels", {"text": PRIVATE, "label": "positive"})["ids"][0]
    assert [each["text"] for each in to_label()["conflicts"]] == [PRIVATE]
    assert system.call("DELETE", f"api/labels/{mistake}")["deleted"] == mistake
    assert to_label()["conflicts"] == []
    outcome = system.call("POST", "api/retrain")
    assert to_label()["last_run"]["reason"] == outcome["reason"]
    assert to_label()["last_run"]["labels"] == 1


def test_models_are_shown_and_rolled_back(system: System) -> None:
    promoted = system.call("GET", "api/models")["retrain"]
    first = promoted["versions"][-1]["version"]
    assert wait_until(lambda: system.call("GET", "api/models")["served"]["model"] == promoted["model"], 10)
    assert system.call("POST", "api/rollback", {"to": first})["model"] == first
    assert wait_until(lambda: system.call("GET", "api/models")["served"]["model"] == first, 10)
    refused = system.ask("POST", "api/rollback", {"to": "none"}, {"Cookie": system.cookie})
    assert (refused.status, refused.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_part_that_is_away_hides_no_other(system: System) -> None:
    system.predict.terminate()
    try:
        answer = system.ask("POST", "api/predict", {"text": "I love it"}, {"Cookie": system.cookie})
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert "predict" in answer.json["detail"]
        found = system.call("GET", "api/models")
        assert found["served"] is None
        assert [(each["name"], each["ok"]) for each in found["away"]] == [("predict", False)]
        assert found["retrain"]["versions"]
        parts = {each["name"]: each["ok"] for each in system.call("GET", "api/now")["parts"]}
        assert not parts["predict"]
        assert parts["mongodb"]
        assert system.ask("GET", "", headers={"Cookie": system.cookie}).status == 200
    finally:
        system.predict.start()


def test_without_mongodb_the_other_parts_are_shown(system: System, tmp_path: Path) -> None:
    own = {"GATEWAY_URL": system.gateway_url, "CONSOLE_TOKEN": TOKEN, "RETRAIN_TOKEN": "operator's"}
    nowhere = {"MONGODB_URL": f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100"}
    service = python_service("functions.console", tmp_path, {**own, **nowhere, "BRIDGE_URL": ""})
    with running(service):
        session = {"Cookie": system.cookie}
        found = system.ask("GET", "api/now", headers=session, url=service.variables["URL"]).json
        assert (found["hour"], found["minutes"], found["texts"], found["pending"]) == (None, None, None, None)
        parts = {each["name"]: each["ok"] for each in found["parts"]}
        assert parts == {
            **dict.fromkeys(("predict", "retrain", "drift", "generate-drift"), True), "mongodb": False
        }  # fmt: skip
        found = system.ask("GET", "api/label", headers=session, url=service.variables["URL"]).json
        assert found["texts"] is None
        assert found["retrain_after"] == 100
        assert [each["name"] for each in found["away"]] == ["mongodb"]


def scored(number: int, seconds_ago: float) -> PredictionRecord:
    at = now() - timedelta(seconds=seconds_ago)
    return PredictionRecord(
        id=f"{seconds_ago}:{number}", text="a text", prediction="negative" if number % 3 else "positive",
        probability=0.5, model="v", source="http" if number % 2 else "stream", received_at=at, scored_at=at,
    )  # fmt: skip


def test_the_last_hour_is_counted_look_by_look_whatever_comes_in_meanwhile(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hour, "BUDGET_SECONDS", 0.0)
    monkeypatch.setattr("records.recent.READ_AT_ONCE", 7)
    DriftRecords(records).ensure_indexes()
    last_hour, until = LastHour(Recent(records)), now()
    old = [scored(number, 120.0 + number) for number in range(40)]
    same_time = [scored(number, 60.0) for number in range(20)]
    too_old = [scored(number, 3_700.0 + number) for number in range(10)]
    records.insert_predictions([*old, *same_time, *too_old])
    since, counts, _ = last_hour.look(until)
    assert sum(each.count for each in counts) < 60, "it takes its time"
    assert since > until - timedelta(minutes=50), "and says from when it counts"
    records.insert_predictions([scored(number, -61.0) for number in range(9)])
    whole = until.replace(second=0, microsecond=0) - timedelta(minutes=59)

    def is_whole() -> bool:
        nonlocal since, counts
        since, counts, minutes = last_hour.look(until)
        assert sum(each.count for each in counts) == sum(each.negative + each.positive for each in minutes)
        return since == whole

    assert wait_until(is_whole, 20)
    assert sum(each.count for each in counts) == 69
    assert {(each.source, each.prediction): each.count for each in counts}["http", "negative"] == sum(
        1 for number in (*range(40), *range(20), *range(9)) if number % 2 and number % 3
    )
