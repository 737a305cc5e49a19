"""The headers of messages by AMQP 0.9.1, left out before pika reads them, since nothing here does.

pika can't read some that RabbitMQ takes, such as a time behind the year 9999, or tables nested deeply. Then it closes
the connection, and each later one at the same message.
"""

from struct import Struct

import pika
from pika.frame import Frame, ProtocolHeader, decode_frame

_START = Struct(">BHI")  # type, channel, size
_END_BYTES = 1
_CONTENT_HEADER = 2
# Behind the start come the class, a weight and the size of the body; then flags, and the properties that these say.
_FLAGS = Struct(">H")
_FLAGS_AT = _START.size + 12
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 1 << 15, 1 << 14, 1 << 13
_LENGTH = Struct(">I")


class HeaderlessConnection(pika.SelectConnection):
    """A connection whose messages come without headers."""

    def _read_frame(self) -> tuple[int, Frame | ProtocolHeader | None]:
        """Return the size of the next frame, and the frame, None where it is not whole yet."""
        buffer: bytes = self._frame_buffer  # type: ignore[attr-defined]  # pika's stubs leave out what adapters may use
        if len(buffer) >= _START.size and buffer[0] == _CONTENT_HEADER:
            size = _START.size + _START.unpack_from(buffer)[2] + _END_BYTES
            if len(buffer) >= size:
                return size, decode_frame(without_headers(buffer[:size]))[1]
        return decode_frame(buffer)


def without_headers(frame: bytes) -> bytes:
    """Return the frame of a content header, with all properties of the message but its headers."""
    (flags,) = _FLAGS.unpack_from(frame, _FLAGS_AT)
    if not flags & _HEADERS:
        return frame
    first = _FLAGS_AT + _FLAGS.size
    for flag in (_CONTENT_TYPE, _CONTENT_ENCODING):
        if flags & flag:
            first += 1 + frame[first]
    last = first + _LENGTH.size + _LENGTH.unpack_from(frame, first)[0]
    content = b"".join(
        (frame[_START.size : _FLAGS_AT], _FLAGS.pack(flags & ~_HEADERS), frame[_FLAGS_AT + 2 : first], frame[last:])
    )
    kind, channel, _ = _START.unpack_from(frame)
    return _START.pack(kind, channel, len(content) - _END_BYTES) + content
