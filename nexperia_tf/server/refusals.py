"""What a client is told when it gets no verdict: a code and a line.

Codes are those of gRPC; over REST they have the numbers that TensorFlow Serving gives
them, except that a full queue is 429, as web clients expect.
"""

INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
UNAUTHENTICATED = "UNAUTHENTICATED"
FORBIDDEN = "PERMISSION_DENIED"  # over REST alone: only browsers send such
TOO_LARGE = "TOO_LARGE"  # over REST alone; gRPC refuses such messages itself
FULL = "RESOURCE_EXHAUSTED"
TOO_LATE = "DEADLINE_EXCEEDED"
CONFLICT = "ALREADY_EXISTS"
UNAVAILABLE = "UNAVAILABLE"
INTERNAL = "INTERNAL"
CANCELLED = "CANCELLED"  # counted alone: the client does not wait any more
UNREADABLE = "UNREADABLE"  # of a watched file that may still be written
HTTP = {
    INVALID_ARGUMENT: 400,
    UNAUTHENTICATED: 401,
    FORBIDDEN: 403,
    NOT_FOUND: 404,
    CONFLICT: 409,
    TOO_LARGE: 413,
    FULL: 429,
    INTERNAL: 500,
    UNAVAILABLE: 503,
    TOO_LATE: 504,
}


class Refused(Exception):
    """A request gets no verdict.

    Attributes:
        code: one of the codes above.
        http: its number over REST.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code

    @property
    def http(self) -> int:
        return HTTP[self.code]
