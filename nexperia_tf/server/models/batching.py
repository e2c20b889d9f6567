"""Pictures of many requests in common batches.

A batch is sent as soon as the model has nothing to do; while it works, what comes in is
the next one. Nobody waits for company, and under load batches are full. A second batch
is under way while the first is scored, so that its pictures are decoded meanwhile.
"""

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence

from nexperia_tf.server import refusals
from nexperia_tf.server.models import child, worker

_AHEAD = 2  # batches under way
_TRIES = 2  # the second time a picture travels alone


@dataclasses.dataclass(eq=False)
class Item:
    """A picture that waits for its answer.

    Attributes:
        picture: the picture.
        answer: what comes of it; whoever no longer wants it cancels it.
        tries: how often it has been sent.
    """

    picture: child.Picture
    answer: asyncio.Future
    tries: int = 0


class Batcher:
    """The queue of one version.

    Args:
        ask: sends a batch; raises `child.Died` where there is no answer.
        batch_size: pictures of a batch, at most.
        on_batch: is told the size of each.
    """

    def __init__(
        self,
        ask: Callable,
        *,
        batch_size: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ):
        self._ask, self._batch_size, self._on_batch = ask, batch_size, on_batch
        self._waiting: collections.deque[Item] = collections.deque()
        self._under_way: set[asyncio.Task] = set()
        self._open = False  # whether the model can be asked
        self._due = False  # whether a look at what waits is due

    def __len__(self) -> int:
        return sum(not item.answer.done() for item in self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._under_way and not len(self)

    def submit(self, picture: child.Picture) -> asyncio.Future:
        """The future answer to a picture, with the keys of `worker`."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(Item(picture, answer))
        if not self._due:  # once all of a request have come
            self._due = True
            asyncio.get_running_loop().call_soon(self._send)
        return answer

    def open(self) -> None:
        """The model can be asked from now on."""
        self._open = True
        self._send()

    def pause(self) -> None:
        """The model cannot be asked; what comes in waits."""
        self._open = False

    def refuse(self, error: refusals.Refused) -> None:
        """The model will not be asked again."""
        while self._waiting:
            _fail(self._waiting.popleft(), error)

    def _send(self) -> None:
        self._due = False
        while self._open and len(self._under_way) < _AHEAD:
            if self._under_way and len(self) < self._batch_size:
                return
            if not (batch := self._next()):
                return
            task = asyncio.create_task(self._answered(batch))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _next(self) -> list[Item]:
        """The next batch; what nobody wants any more is left out."""
        batch: list[Item] = []
        while self._waiting and len(batch) < self._batch_size:
            if self._waiting[0].tries and batch:
                break
            item = self._waiting.popleft()
            if item.answer.done():
                continue
            batch.append(item)
            if item.tries:  # alone, as it may be what ended the process
                break
        return batch

    async def _answered(self, batch: Sequence[Item]) -> None:
        self._on_batch(len(batch))
        for item in batch:
            item.tries += 1
        try:
            answers = await self._ask([item.picture for item in batch])
        except child.Died as error:
            self._try_again(batch, error)
            return
        for item, answer in zip(batch, answers):
            if not item.answer.done():
                item.answer.set_result(answer)

    def _try_again(self, batch: Sequence[Item], error: child.Died) -> None:
        for item in reversed(batch):
            if item.tries < _TRIES:
                self._waiting.appendleft(item)
            elif not item.answer.done():
                problem = f"the model failed at this picture, twice ({error})"
                item.answer.set_result({worker.PROBLEM: problem})

    def _done(self, task: asyncio.Task) -> None:
        self._under_way.discard(task)
        self._send()


def _fail(item: Item, error: Exception) -> None:
    if not item.answer.done():
        item.answer.set_exception(error)
