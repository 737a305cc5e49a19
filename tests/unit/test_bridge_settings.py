"""Which queues a sender may have replies sent to."""

import pytest

from bridge.settings import Settings


@pytest.mark.parametrize(
    ("prefix", "queue", "accepted"),
    [
        ("", "mine", True),
        ("", "amq.gen-JzTY20BRgKO-HjmUJj0wLg", True),
        ("", "amq.rabbitmq.reply-to.g2dk.x", False),
        ("", "amq.rabbitmq.trace", False),
        ("", "reviews", False),
        ("", "reviews.reader", False),
        ("", "reviews.rejected", False),
        ("", "labels", False),
        ("", "predictions", False),
        ("", "rejected", False),
        ("", "alerts", False),
        ("", "predictions-of-mine", True),
        ("re", "replies", True),
        ("re", "rejected", False),
        ("re", "mine", False),
        ("replies.", "replies", False),
        ("amq.", "amq.rabbitmq.reply-to.g2dk.x", False),
        ("amq.rabbitmq.reply-to.", "amq.rabbitmq.reply-to.g2dk.x", True),
    ],
)
def test_replies_may_go_to_queues_with_the_prefix_and_never_to_the_system_s_own(
    prefix: str, queue: str, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_REPLY_PREFIX", prefix)
    assert Settings().may_reply_to(queue) == accepted


def test_what_the_settings_name_gets_no_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_SOURCE", "queue:texts")
    monkeypatch.setenv("BRIDGE_LABELS", "verdicts")
    names = ["texts", "texts.rejected", "verdicts", "reviews", "labels"]
    assert [name for name in names if Settings().may_reply_to(name)] == ["reviews", "labels"]
