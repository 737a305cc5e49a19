"""What of messages by AMQP 0.9.1 is left out before pika reads it: headers, and bodies that are too large.

Of headers only `traceparent` is used, and pika can't read some that RabbitMQ takes, such as a time behind the year
9999, or tables nested deeply. Then it closes the connection, and each later one at the same message. Of a body pika
makes two copies, and RabbitMQ takes 128 MiB: one such message would have a small process killed, and each that is
started in its place.
"""

# What pika lets its adapters use, its stubs leave out.
# mypy: disable-error-code="attr-defined"

import re
from struct import Struct

import pika
from pika.frame import Frame, Header, ProtocolHeader, decode_frame

from messages.ports import size_problem
from process.tracing import FORM, HEADER

_START = Struct(">BHI")  # type, channel, size
_END_BYTES = 1
_CONTENT_HEADER, _BODY = 2, 3
# Behind the start come the class, a weight and the size of the body; then flags, and the properties that these say.
_FLAGS = Struct(">H")
_FLAGS_AT = _START.size + 12
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 1 << 15, 1 << 14, 1 << 13
_LENGTH = Struct(">I")
# The one header that is kept, as the string that it is; wherever it stands, it says nothing else.
_TRACE = re.compile(b"%c%bS\0\0\x007%b" % (len(HEADER), HEADER.encode(), FORM.encode()))


class HeaderlessConnection(pika.SelectConnection):
    """A connection whose messages have no header but `traceparent`, and those that are too large no body."""

    body_bytes = 0
    """How large the body is of the message that comes, also where it is left out."""
    _unwanted_bytes = 0

    def _read_frame(self) -> tuple[int, Frame | ProtocolHeader | None]:
        """Return the size of the next frame, and the frame, None where it is not whole yet."""
        self._leave_out_body()
        buffer: bytes = self._frame_buffer
        if len(buffer) >= _START.size and buffer[0] == _CONTENT_HEADER:
            size = _START.size + _START.unpack_from(buffer)[2] + _END_BYTES
            if len(buffer) >= size:
                return size, self._bounded(decode_frame(with_trace_alone(buffer[:size]))[1])
        return decode_frame(buffer)

    def _bounded(self, frame: Frame | ProtocolHeader | None) -> Frame | ProtocolHeader | None:
        """Note how large a message is, and have pika wait for no body that is too large."""
        if isinstance(frame, Header):
            self.body_bytes = frame.body_size
            if size_problem(frame.body_size):
                self._unwanted_bytes, frame.body_size = frame.body_size, 0
        return frame

    def _leave_out_body(self) -> None:
        """Drop the frames of a body that is too large, as far as they are here."""
        while self._unwanted_bytes and len(self._frame_buffer) >= _START.size:
            kind, _, size_bytes = _START.unpack_from(self._frame_buffer)
            whole_bytes = _START.size + size_bytes + _END_BYTES
            if kind != _BODY or len(self._frame_buffer) < whole_bytes:
                return
            self._trim_frame_buffer(whole_bytes)
            self._unwanted_bytes -= size_bytes


def with_trace_alone(frame: bytes) -> bytes:
    """Return the frame of a content header, with all properties of the message, and of its headers `traceparent`."""
    (flags,) = _FLAGS.unpack_from(frame, _FLAGS_AT)
    if not flags & _HEADERS:
        return frame
    first = _FLAGS_AT + _FLAGS.size
    for flag in (_CONTENT_TYPE, _CONTENT_ENCODING):
        if flags & flag:
            first += 1 + frame[first]
    last = first + _LENGTH.size + _LENGTH.unpack_from(frame, first)[0]
    table = b""
    if trace := _TRACE.search(frame, first + _LENGTH.size, last):
        table = _LENGTH.pack(len(trace[0])) + trace[0]
    else:
        flags &= ~_HEADERS
    content = b"".join(
        (frame[_START.size : _FLAGS_AT], _FLAGS.pack(flags), frame[_FLAGS_AT + 2 : first], table, frame[last:])
    )
    kind, channel, _ = _START.unpack_from(frame)
    return _START.pack(kind, channel, len(content) - _END_BYTES) + content
