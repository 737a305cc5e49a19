"""pika's connection, which can also send many frames at once, read nothing for a while, and break off.

pika makes a system call of each frame, as of each acknowledgement, and RabbitMQ wakes up for each.
"""

# What pika lets its adapters override, and what they have for it, its stubs leave out.
# mypy: disable-error-code="attr-defined, misc"

from collections.abc import Callable
from typing import Any

from pika.heartbeat import HeartbeatChecker

from messages.headers import HeaderlessConnection


class _Heartbeats(HeartbeatChecker):
    """Misses no heartbeats of a broker that is not listened to."""

    @property
    def connection_is_idle(self) -> bool:
        """Whether the broker is silent."""
        return super().connection_is_idle and not self._connection.paused


class PikaConnection(HeaderlessConnection):
    """A connection for one I/O thread, which alone may call its methods."""

    _gathered: list[bytes] | None = None
    paused = False

    def gather(self, function: Callable[[], object]) -> None:
        """Call `function`, and send as one piece what it writes."""
        self._gathered = []
        try:
            function()
        finally:
            gathered, self._gathered = self._gathered, None
            if gathered:
                super()._adapter_emit_data(b"".join(gathered))

    def write(self, frames: bytes) -> None:
        """Send frames that somebody else than pika has written."""
        self._output_marshaled_frames([frames])

    def pause(self) -> None:
        """Take nothing more from the socket, but for what is being taken."""
        if not self.paused and self._transport:
            self.paused = True
            self._nbio.remove_reader(self._transport._sock.fileno())

    def resume(self) -> None:
        """Go on."""
        if self.paused and self._transport:
            self.paused = False
            self._nbio.set_reader(self._transport._sock.fileno(), self._on_readable)
            # Of TLS, something may have been taken and not decrypted.
            self._nbio.add_callback_threadsafe(self._on_readable)

    def abort(self, error: BaseException) -> None:
        """Break the connection off, without a word to the broker."""
        self._terminate_stream(error)

    def _adapter_emit_data(self, data: bytes) -> None:
        """Take a frame."""
        if self._gathered is None:
            super()._adapter_emit_data(data)
        else:
            self._gathered.append(data)

    def _create_heartbeat_checker(self) -> HeartbeatChecker | None:
        seconds = self.params.heartbeat  # what was agreed with the broker
        return _Heartbeats(self, seconds) if isinstance(seconds, int) and seconds else None

    def _proto_connection_made(self, transport: Any) -> None:
        """Come between the transport and the socket, which TLS reads without being told that there is something."""
        self._read = transport._on_socket_readable
        transport._on_socket_readable = self._on_readable
        super()._proto_connection_made(transport)

    def _on_readable(self) -> None:
        if not self.paused and self._transport:
            self._read()
