"""What is changed of the cases that schemathesis makes."""

from typing import Any

import schemathesis
import urllib3

from contracts.limits import MAX_BATCH_TEXTS

MOST_TEXTS = 50


@schemathesis.hook
def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
    """Write whole numbers without a fraction: by JSON Schema 7.0 is one, to most readers of JSON it is not."""
    return whole(body)


@schemathesis.hook
def map_query(_context: schemathesis.HookContext, query: Any) -> Any:
    """Do the same."""
    return whole(query)


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Any, _kwargs: Any) -> None:
    """Have few texts made: ten thousand take seconds, each time."""
    count = str((case.query or {}).get("count"))
    if count.isdecimal() and MOST_TEXTS < int(count) <= MAX_BATCH_TEXTS:
        case.query["count"] = 1 + int(count) % MOST_TEXTS


@schemathesis.hook
def after_call(_context: schemathesis.HookContext, _case: Any, response: Any) -> None:
    """Have the texts removed where many were made, as by default: each call first counts what those before it made."""
    if response.status_code != 200 or b'"generated"' not in response.content:
        return
    if response.json()["generated"] > MOST_TEXTS:
        sent = response.request
        who = {name: value for name, value in sent.headers.items() if name in ("Authorization", "Cookie")}
        removed = urllib3.request("DELETE", sent.url.partition("?")[0], headers=who)
        assert removed.status == 200, removed.data


def whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    return value
