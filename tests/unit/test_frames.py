"""The frames that publish messages are those that pika would write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from messages.amqp10 import short
from messages.frames import fits, frames
from messages.ports import Outgoing

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
NAMES = TEXTS.filter(fits)
OUTGOING = st.builds(
    Outgoing,
    to=NAMES,
    body=st.binary(max_size=1000),
    correlation_id=st.none() | TEXTS,
    message_id=st.none() | TEXTS,
    reply_to=st.none() | TEXTS,
    content_type=st.just("application/json") | TEXTS,
    persistent=st.booleans(),
    exchange=st.just("") | NAMES,
    traceparent=st.none() | st.just(f"00-{'a' * 32}-{'b' * 16}-01"),
)


def by_pika(message: Outgoing, channel: int, frame_max: int) -> bytes:
    def cut(text: str | None) -> str | None:
        return None if text is None else short(text)

    properties = spec.BasicProperties(
        content_type=cut(message.content_type),
        correlation_id=cut(message.correlation_id),
        message_id=cut(message.message_id),
        reply_to=cut(message.reply_to),
        headers=None if message.traceparent is None else {"traceparent": message.traceparent},
        delivery_mode=2 if message.persistent else 1,
    )
    publish = spec.Basic.Publish(exchange=message.exchange, routing_key=message.to, mandatory=True)
    most = frame_max - spec.FRAME_HEADER_SIZE - spec.FRAME_END_SIZE
    parts = [message.body[first : first + most] for first in range(0, len(message.body), most)]
    return b"".join(
        (
            frame.Method(channel, publish).marshal(),
            frame.Header(channel, len(message.body), properties).marshal(),
            *(frame.Body(channel, part).marshal() for part in parts),
        )
    )


@given(st.lists(OUTGOING, max_size=4), st.integers(1, 65_535), st.integers(9, 2_000))
def test_they_are_those_of_pika(messages: list[Outgoing], channel: int, frame_max: int) -> None:
    assert frames(messages, channel, frame_max) == b"".join(
        by_pika(message, channel, frame_max) for message in messages
    )


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 262_128, 262_129, 1_000_000])
def test_a_body_is_split_where_a_frame_is_full(size: int) -> None:
    message = Outgoing("queue", b"x" * size)
    assert frames([message], 1, 131_072) == by_pika(message, 1, 131_072)


def test_a_name_that_is_too_long_is_refused_and_never_cut() -> None:
    assert fits("é" * 127)
    assert not fits("é" * 128)
    with pytest.raises(ValueError, match="256 bytes"):
        frames([Outgoing("é" * 128, b"")], 1, 131_072)
