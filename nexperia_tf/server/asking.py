"""A request for verdicts, its answer, and how much a station takes on."""

import dataclasses
from collections.abc import Mapping, Sequence

from nexperia_tf.server.history import tables
from nexperia_tf.server.models import child


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a station takes on.

    Attributes:
        queue: pictures that may wait, of all requests.
        items: pictures of one request.
        memory: bytes of all pictures that have no answer yet.
        deadline: seconds after which a request is given up.
        review: lowest and highest score that a person has to look at; None leaves it
            to the model.
    """

    queue: int = 1024
    items: int = 1024
    memory: int = 1 << 30
    deadline: float = 30.0
    review: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Judged:
    """The answer to a request.

    Attributes:
        model: its name.
        version: the number of what answered; of a repeated request, what did then.
        entries: a verdict for each picture.
        more: for each, the model's further outputs by name, such as its map; a
            repeated request gets what the history has of them.
        with_verdict: whether the client is told a verdict beside the label.
    """

    model: str
    version: int
    entries: Sequence[tables.Entry]
    more: Sequence[Mapping[str, object]]
    with_verdict: bool = False

    @property
    def all_unreadable(self) -> bool:
        return bool(self.entries) and all(entry.problem for entry in self.entries)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A request.

    Attributes:
        source: rest, grpc, upload, page or watch.
        model: its name.
        version: a number, or None for the version in force.
        pictures: as the client sent them.
        request_id: by which a retry is known, or "".
        deadline: seconds that the client waits, if fewer than the station's.
        paths: names of uploaded or watched files; none for others.
        file_state: size in bytes and time in nanoseconds of a watched file.
        final: whether a picture that cannot be read gets its verdict, too.
    """

    source: str
    model: str
    version: int | None = None
    pictures: Sequence[child.Picture]
    request_id: str = ""
    deadline: float | None = None
    paths: Sequence[str] = ()
    file_state: tuple[int, int] | None = None
    final: bool = True
