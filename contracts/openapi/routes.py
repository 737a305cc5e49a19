"""Every route of the functions: what is asked, what is answered, and who may."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from contracts import console
from contracts.drift import Deleted, DriftReport, Findings, Generated, GenerateQuery, Reports, ReportsQuery
from contracts.limits import (
    MAX_BATCH_TEXTS,
    MAX_BODY_BYTES,
    MAX_EXPLAINED_BATCH_CHARACTERS,
    MAX_EXPLAINED_CHARACTERS,
    Text,
)
from contracts.predict import Answers, PredictQuery, PredictRequest, Scored, ServedModel
from contracts.retrain import (
    LabelExample,
    LabelsLearned,
    LabelsRequest,
    LabelsTaken,
    Overview,
    RetrainQuery,
    RollbackRequest,
    RolledBack,
    RunOutcome,
    TakenBack,
)

JSON, TEXT = "application/json", "text/plain"
TOKEN, SESSION = "retrain-token", "session"
"""How a request shows who sends it."""

_Kind = Any
"""A structure, or another type that msgspec makes a schema of."""


@dataclass(frozen=True)
class Body:
    """What a request may have as its body: one of `kinds`, for example `examples`, by what each shows."""

    kinds: tuple[_Kind, ...]
    examples: Mapping[str, object]


@dataclass(frozen=True)
class Route:
    """One route of a function.

    path: behind the function's address. does: in a few words; more: what else there is to know. path_parameters: each
    with what it is. answers: the structures of each status, `headers` of those answers by name, with what each is.
    refusals: what may be answered besides REFUSALS, by status, with the reason. auth: what is needed, TOKEN or a
    SESSION of the console; where the token is optional, some requests need it, or get more with it. links: of each
    status, to other routes, as in OpenAPI.
    """

    method: Literal["get", "post", "delete"]
    path: str
    does: str
    answers: Mapping[int, tuple[_Kind, ...]]
    more: str = ""
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    query: type[Struct] | None = None
    bodies: Mapping[str, Body] = field(default_factory=dict)
    body_is_required: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[int, str] = field(default_factory=dict)
    auth: Literal["none", "optional", "required", "session"] = "none"
    links: Mapping[int, Mapping[str, object]] = field(default_factory=dict)


REFUSALS: Mapping[int, str] = {
    400: "The query or the body does not fit, or what came is no HTTP/1.1.",
    403: "A page of another origin asks for a change, or it is asked by a name that is not this machine's.",
    408: "The request did not come in time.",
    413: "It is too large.",
    431: "The request has too many headers, or too large ones.",
    500: "A bug, or something that was stored is damaged; the log says more.",
    503: "Not now: a part that is needed is away, or there is too much to do.",
}
"""What every route may answer, and why."""

NO_METHOD = "The method is not served here."

_MODEL_VERSION = {"X-Model-Version": "The version of the model that answers."}
_NO_TOKEN = "The token is missing, or wrong."  # noqa: S105 - what is said of one
_BUSY = "Another run is under way, or somebody promoted first."
_GENERATE_REFUSALS = {
    401: "The token is missing, or wrong: it is needed where the function listens to more than its own machine.",
    403: f"The function is off. {REFUSALS[403]}",
    409: "Texts are being made or deleted already.",
}

_ONE_OF_BOTH = Meta(extra_json_schema={"oneOf": [{"required": ["text"]}, {"required": ["texts"]}]})
_NO_EXAMPLES = Meta(extra_json_schema={"not": {"required": ["examples"]}})
_EXAMPLES = Meta(extra_json_schema={"required": ["examples"]})

_HANDED_ON = {
    401: "There is no session.",
    404: "What is asked for is not there.",
    409: "Another run is under way, or something else that this can't be done beside.",
    429: "There is too much of it now.",
}


def _take_back(operation: str) -> Mapping[int, Mapping[str, object]]:
    """Return the links of an answer to labels; operation: the one that takes a label back."""
    link = {
        "operationId": operation,
        "parameters": {"id": "$response.body#/ids/0"},
        "description": "Takes the first of the labels back.",
    }
    return {202: {"takeBack": link}}


def _shown(
    method: Literal["get", "post"] | Literal["delete"],
    path: str,
    does: str,
    answers: Mapping[int, tuple[_Kind, ...]],
    *,
    body: Body | None = None,
    query: type[Struct] | None = None,
    links: Mapping[int, Mapping[str, object]] | None = None,
) -> Route:
    """Return a route of the console that needs a session, and hands on what another function answers."""
    bodies = {JSON: body} if body else {}
    return Route(
        method,
        path,
        does,
        answers,
        query=query,
        bodies=bodies,
        body_is_required=body is not None,
        refusals=_HANDED_ON,
        auth="session",
        links=links or {},
    )


ROUTES: Mapping[str, Sequence[Route]] = {
    "predict": [
        Route(
            "post",
            "/",
            "Scores a text, or many",
            more="As many answers as texts, in their order; an item that is no text, or too long, gets an `error` in "
            "its place. probability: that of positive, calibrated. log_odds: what the model says before that. "
            f"At most {MAX_EXPLAINED_CHARACTERS:,} characters of a text can be explained, and "
            f"{MAX_EXPLAINED_BATCH_CHARACTERS:,} of a request; a body has at most {MAX_BODY_BYTES:,} bytes.",
            query=PredictQuery,
            bodies={
                JSON: Body(
                    (Annotated[PredictRequest, _ONE_OF_BOTH],),
                    {"one text": {"text": "I love you"}, "many": {"texts": ["I love you", "What a bore", 7]}},
                ),
                TEXT: Body((Text,), {"one text": "What a bore"}),
            },
            body_is_required=True,
            answers={200: (Scored, Answers)},
            headers=_MODEL_VERSION,
        ),
        Route("get", "/", "Says which model answers", answers={200: (ServedModel,)}, headers=_MODEL_VERSION),
    ],
    "retrain": [
        Route(
            "post",
            "/",
            "Takes labels, or has a run made",
            more="With a body, labels: the answer is 202 once they are stored, and a run starts in the background when "
            "enough are pending. With `now`, or without a body, a run is made on what is pending, and the answer says "
            "what came of it. Without body and query, which is what the schedule sends, it needs no token, waits for "
            "its turn, and learns only where enough labels are pending. One label that can't be used refuses all of "
            f"its request. At most {MAX_BATCH_TEXTS:,} labels a request.",
            query=RetrainQuery,
            bodies={
                JSON: Body(
                    (Annotated[LabelExample, _NO_EXAMPLES], Annotated[LabelsRequest, _EXAMPLES]),
                    {
                        "one label": {"text": "An instant classic.", "label": 1},
                        "many": {
                            "examples": [
                                {"text": "Meh.", "label": "negative", "source": "support", "id": "t-17"},
                                {"text": "Wow!", "label": "positive"},
                            ]
                        },
                    },
                )
            },
            answers={200: (RunOutcome, LabelsLearned), 202: (LabelsTaken,)},
            refusals={
                401: _NO_TOKEN,
                403: f"The token is one for sending labels, and this is more. {REFUSALS[403]}",
                409: _BUSY,
                415: "The body is not said to be JSON.",
                429: "Too many labels are pending, or it is not yet time for a run without the token.",
            },
            auth="optional",
            links=_take_back("delete-retrain-labels-id"),
        ),
        Route(
            "get",
            "/",
            "Shows labels, the last run, versions and promotions",
            more="`conflicts` are there for who sends the token.",
            answers={200: (Overview,)},
            auth="optional",
        ),
        Route(
            "delete",
            "/labels/{id}",
            "Takes a label back",
            more="What the served model has learned of it is subtracted, and the result is promoted.",
            path_parameters={"id": "The label's id, or its sender's own where no other label came with that."},
            answers={200: (TakenBack,)},
            refusals={
                401: _NO_TOKEN,
                403: f"The token is one for sending labels. {REFUSALS[403]}",
                404: "There is no such label.",
                409: f"{_BUSY} Or several labels came with the id; then the answer has their own.",
                415: "There is a body that is not said to be JSON.",
            },
            auth="required",
        ),
        Route(
            "post",
            "/rollback",
            "Serves another version",
            more="The one served before, or the one that is named.",
            bodies={JSON: Body((RollbackRequest,), {"the one before, and its labels once more": {"requeue": True}})},
            answers={200: (RolledBack,)},
            refusals={
                401: _NO_TOKEN,
                403: f"The token is one for sending labels. {REFUSALS[403]}",
                404: "There is no such version, or none that was served before.",
                409: _BUSY,
                415: "The body is not said to be JSON.",
            },
            auth="required",
        ),
    ],
    "drift": [
        Route(
            "get",
            "/",
            "Says whether the last texts have drifted",
            more="It changes nothing, however often it is asked. `drift` and `status` are of the last texts, `state` "
            "is what was confirmed.",
            answers={200: (Findings,)},
        ),
        Route(
            "post",
            "/",
            "Checks, which counts, and may send an alert",
            more="A check that counts is kept as a report, with a `number`. Where the function listens to more than "
            "its own machine and a check was made a short time ago, the answer is what GET says.",
            answers={200: (Findings, DriftReport)},
        ),
        Route("get", "/reports", "Shows the last reports", query=ReportsQuery, answers={200: (Reports,)}),
    ],
    "generate-drift": [
        Route(
            method,
            "/",
            "Has texts of other kinds scored, so that the next check sees drift",
            more="It answers once they are recorded, marked as synthetic.",
            query=GenerateQuery,
            answers={200: (Generated,)},
            refusals=_GENERATE_REFUSALS,
            auth="optional",
        )
        for method in ("get", "post")
    ]
    + [
        Route(
            "delete",
            "/",
            "Removes what was made",
            answers={200: (Deleted,)},
            refusals=_GENERATE_REFUSALS,
            auth="optional",
        )
    ],
    "console": [
        Route(
            "post",
            "/login",
            "Begins a session",
            more="It lasts twelve hours, and is kept in a cookie.",
            bodies={JSON: Body((console.LoginRequest,), {"a token": {"token": "…"}})},
            body_is_required=True,
            answers={204: ()},
            refusals={401: "This is not the console's token."},
        ),
        _shown("post", "/logout", "Ends the session", {204: ()}),
        _shown(
            "post",
            "/api/predict",
            "Scores and explains a text, which is not remembered",
            {200: (Scored,)},
            body=Body((console.TextRequest,), {"a text": {"text": "What a bore"}}),
        ),
        _shown("get", "/api/now", "Shows what goes on", {200: (console.Now,)}),
        _shown("get", "/api/drift", "Shows drift, now and before", {200: (console.Drift,)}),
        _shown("post", "/api/drift", "Checks for drift, which counts", {200: (Findings, DriftReport)}),
        _shown("post", "/api/generate-drift", "Makes drift", {200: (Generated,)}, query=GenerateQuery),
        _shown("delete", "/api/generate-drift", "Removes what was made", {200: (Deleted,)}),
        _shown("get", "/api/models", "Shows the model that is served, and all versions", {200: (console.Models,)}),
        _shown(
            "post",
            "/api/rollback",
            "Serves another version",
            {200: (RolledBack,)},
            body=Body((RollbackRequest,), {"one by its name": {"to": "20261124T192837Z-cdfaae22"}}),
        ),
        _shown("get", "/api/label", "Shows texts of which the model is not sure", {200: (console.ToLabel,)}),
        _shown(
            "post",
            "/api/labels",
            "Sends a label to retrain",
            {202: (LabelsTaken,)},
            body=Body((console.LabelRequest,), {"a label": {"text": "An instant classic.", "label": "positive"}}),
            links=_take_back("delete-console-api-labels-id"),
        ),
        Route(
            "delete",
            "/api/labels/{id}",
            "Takes a label back",
            path_parameters={"id": "The label's id."},
            answers={200: (TakenBack,)},
            refusals=_HANDED_ON,
            auth="session",
        ),
        _shown("post", "/api/retrain", "Trains on what is pending", {200: (RunOutcome,)}),
    ],
}
"""The routes of each function, as the gateway names it; of the console those that programs may ask, not its pages."""

ABOUT: Mapping[str, str] = {
    "predict": "Scores texts.",
    "retrain": "Takes labels, and learns them.",
    "drift": "Tells whether the last texts still look like those that the model knows.",
    "generate-drift": "Makes drift, for trying it out; off unless it is enabled.",
    "console": "The page for people, and what it asks.",
}
