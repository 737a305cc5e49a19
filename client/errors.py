"""What can go wrong when the system is asked; each error says what to do."""


class SentimentError(Exception):
    """The system gave no answer.

    detail: what is wrong, and what to do. status: that of the answer over HTTP, None where there was none.
    """

    def __init__(self, detail: str, status: int | None = None) -> None:
        """See the class."""
        super().__init__(detail)
        self.detail = detail
        self.status = status


class Refused(SentimentError):
    """A function says no, and would say so again: what is asked for is not there, or it has failed at it."""


class Unusable(Refused):
    """What was sent can't be used: it is malformed, or too large."""


class NotAllowed(Refused):
    """A token is missing, or it is not one that may do this."""


class Conflict(Refused):
    """Another run is under way, or somebody else was faster; look again before you repeat it."""


class Unavailable(SentimentError):
    """No function, or no broker, answered as it should in the time given; the same request may work later."""
