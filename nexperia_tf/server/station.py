"""What all ways in share: pictures become verdicts, which are kept and then told."""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import math
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from nexperia_tf import errors
from nexperia_tf.server import asking, drifting, metrics, refusals, reviewing
from nexperia_tf.server.history import database, keeping, opening, tables, writing
from nexperia_tf.server.models import child, versions, worker

_DAY = 86400.0  # seconds
_LONGEST_ID = 200  # characters, as the history has room for


class Station:
    """The models of one server, and its history.

    Attributes:
        models: by name.
        metrics: what it counts.
        draining: whether it takes no more requests.
    """

    def __init__(
        self,
        models: dict[str, pathlib.Path],
        history: database.Database,
        *,
        name: str,
        options: versions.Options,
        limits: asking.Limits,
        keeper: keeping.Keeper,
        find: Callable[[], Mapping[str, pathlib.Path]] = dict,
    ):
        self.metrics, self.draining = metrics.Metrics(), False
        options = dataclasses.replace(
            options,
            on_batch=self.metrics.batch.observe,
            on_restart=self.metrics.restarts.inc,
        )
        self.models: dict[str, versions.Model] = {}
        self._options, self._find, self._cannot_find = options, find, ""
        self._name, self._limits, self._keeper = name, limits, keeper
        self._history, self._writer = history, writing.Writer(history)
        self._drift = drifting.Watch(history, name)
        self._running: dict[tuple[str, str], asyncio.Future] = {}
        self._history_problem = ""
        self._open = self._bytes = 0
        for model, base in models.items():
            self._add(model, base, history.setting(self._pin(model)))

    def _add(self, name: str, base: pathlib.Path, pinned: str | None) -> None:
        model = versions.Model(name, base, self._options)
        model.pinned = int(pinned) if pinned else None
        self.models[name] = model

    @property
    def name(self) -> str:
        return self._name

    @property
    def history(self) -> database.Database:
        return self._history

    @property
    def keeper(self) -> keeping.Keeper:
        return self._keeper

    @property
    def ready(self) -> bool:
        """Whether verdicts can be given: by each model, and by a history that works."""
        return not self.why_not_ready()

    def why_not_ready(self) -> list[str]:
        """What is missing, in a line each."""
        why = ["the server is being stopped"] if self.draining else []
        why += [self._history_problem] if self._history_problem else []
        needed = (m for m in self.models.values() if m.is_needed)
        idle = (model for model in needed if model.serving() is None)
        return why + [model.why_not_serving() for model in idle]

    async def refresh(self) -> None:
        """Looks once for new models and versions, of all models side by side.

        And whether a history that has failed works again: who asks whether the server
        is ready before he sends a picture would never know.
        """
        await self._look_for_models()
        await asyncio.gather(*map(self._refresh, self.models.values()))
        if self._history_problem:
            with contextlib.suppress(refusals.Refused):
                await self._set(f"tried:{self._name}", tables.now())

    async def _look_for_models(self) -> None:
        problem = ""
        try:
            found = await asyncio.to_thread(self._find)
            for name in found.keys() - self.models.keys():
                pin = self._pin(name)
                pinned = await asyncio.to_thread(self._history.setting, pin)
                self._add(name, found[name], pinned)
                self.models[name].is_needed = False  # until it has been there once
        except (errors.BadInput, OSError, opening.Unwritable) as error:
            problem = f"new models are not looked for: {error}"
        if problem and problem != self._cannot_find:
            print(problem, file=sys.stderr, flush=True)
        self._cannot_find = problem

    async def _refresh(self, model: versions.Model) -> None:
        try:
            await model.refresh()
        except OSError as error:  # a drive is away; what is loaded answers on
            print(f"{model.name}: {error}", file=sys.stderr, flush=True)

    async def follow(self, every: float) -> None:
        """Looks for new versions for ever.

        Args:
            every: seconds between two looks.
        """
        while True:
            await self.refresh()
            await asyncio.sleep(every)

    async def watch_drift(self) -> None:
        """Looks for ever whether pictures have changed; see `drifting.Watch`."""
        while True:
            await asyncio.sleep(drifting.PAUSE)
            for model in list(self.models.values()):
                number = model.serving()
                if number is not None:
                    folder = model.version(number).folder
                    await self._drift.look(model.name, number, folder)

    def drift(self, model: str) -> Mapping | None:
        """What is known of the drift of a model; None where nothing can be.

        Returns:
            `state` (steady, changed, too_little or unknown), `said` in a sentence,
            `pictures` and `lots` looked at `since` a time, and `changes`: each with
            `what` in a sentence, `p`, `before`, `now`, `place`, `reference_picture`
            (PNG) and `now_pictures` (ids of verdicts whose pictures are kept).
        """
        return self._drift.found(model)

    def model(self, name: str) -> versions.Model:
        """A model by its name.

        Raises:
            refusals.Refused: there is none.
        """
        if name in self.models:
            return self.models[name]
        message = f"Servable not found for request: Latest({name})"
        raise refusals.Refused(refusals.NOT_FOUND, message)

    async def pin(self, name: str, number: int | None) -> int:
        """Has a version answer, also after a restart; None for the newest there is.

        Returns:
            the number of the version that answers now.
        """
        model = self.model(name)
        if number is not None:
            model.version(number)
        setting = None if number is None else str(number)
        await self._set(self._pin(name), setting)
        model.pinned = number
        return model.version().number

    async def _set(self, name: str, value: str | None) -> None:
        with self._told():
            await asyncio.to_thread(self._history.set, name, value)
        self._note_history("")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """A history that fails is said to the client, who gets no verdict."""
        try:
            yield
        except opening.Unwritable as error:
            self._note_history(str(error))
            raise refusals.Refused(refusals.UNAVAILABLE, str(error)) from None

    def _note_history(self, problem: str) -> None:
        """Says once that the history cannot be used, and once that it can again."""
        if bool(problem) != bool(self._history_problem):
            line = f"{problem}; not ready until it can be" if problem else ""
            print(line or "the history is written again", file=sys.stderr, flush=True)
        self._history_problem = problem

    def _pin(self, model: str) -> str:
        return f"pin:{self._name}:{model}"  # other stations may share the history

    async def judge(self, asked: asking.Asked) -> asking.Judged:
        """Verdicts of all pictures of a request, kept in the history by then.

        Raises:
            refusals.Refused: there is no verdict; nothing is in the history.
        """
        with self._counted(asked):
            if self.draining:
                message = "the server is being stopped"
                raise refusals.Refused(refusals.UNAVAILABLE, message)
            self._check_size(asked)
            hashes = [_hash(picture) for picture in asked.pictures]
            if not asked.request_id:
                return await self._judged(asked, hashes)
            async with self._alone(asked):
                if before := await self._before(asked, hashes):
                    return before
                judged = await self._judged(asked, hashes)
                stored = await self._before(asked, hashes)
                # Another server of this station may have been faster.
                return judged if stored.entries == judged.entries else stored

    async def explained(
        self, model: str, version: int | None, picture: child.Picture
    ) -> dict:
        """All that a version says of a picture, look-alikes too; nothing is kept.

        Raises:
            refusals.Refused: it cannot be asked.
        """
        picture = dataclasses.replace(picture, explained=True)
        asked = asking.Asked(source="page", model=model, pictures=[picture])
        answering = self.model(model).version(version)
        (answer,) = await self._answers(answering, asked)
        return answer

    @contextlib.contextmanager
    def _counted(self, asked: asking.Asked) -> Iterator[None]:
        """A request as Prometheus sees it, and as the end of the server waits for."""
        start, code = time.perf_counter(), "OK"
        size = sum(len(picture.content) for picture in asked.pictures)
        self._open, self._bytes = self._open + 1, self._bytes + size
        try:
            yield
        except refusals.Refused as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = refusals.CANCELLED
            raise
        except BaseException:
            code = refusals.INTERNAL
            raise
        finally:
            self._open, self._bytes = self._open - 1, self._bytes - size
            self.metrics.requests.labels(asked.source, code).inc()
            seconds = time.perf_counter() - start
            self.metrics.seconds.labels(asked.source).observe(seconds)

    def _check_size(self, asked: asking.Asked) -> None:
        if len(asked.request_id) > _LONGEST_ID:
            message = f"a request id has at most {_LONGEST_ID} characters"
            raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
        count = len(asked.pictures)
        if count > self._limits.items:
            raise refusals.Refused(
                refusals.INVALID_ARGUMENT,
                f"{count} pictures in one request; at most {self._limits.items} are "
                "taken",
            )

    @contextlib.asynccontextmanager
    async def _alone(self, asked: asking.Asked):
        """Two requests of one id are worked on one after the other."""
        key = (asked.model, asked.request_id)
        while key in self._running:
            # Whoever stops waiting stops for himself alone.
            await asyncio.shield(self._running[key])
        self._running[key] = done = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._running[key]
            done.set_result(None)

    async def _before(
        self, asked: asking.Asked, hashes: Sequence[str]
    ) -> asking.Judged | None:
        """The verdicts of a request that has been answered before, or None."""
        with self._told():
            found = await asyncio.to_thread(
                self._history.of_request, self._name, asked.model, asked.request_id
            )
        if asked.source == tables.WATCH:  # one id for all that a path ever held
            found = [entry for entry in found if entry.picture_sha256 == hashes[0]]
        if not found:
            return None
        if [entry.picture_sha256 for entry in found] != list(hashes):
            raise refusals.Refused(
                refusals.CONFLICT,
                f"request id {asked.request_id} was used for other pictures",
            )
        more = [
            {} if e.unfamiliar is None else {worker.UNFAMILIAR: e.unfamiliar}
            for e in found
        ]
        number = found[0].version
        rule = self._rule(self.model(asked.model).loaded.get(number))
        return asking.Judged(asked.model, number, found, more, rule.is_told(found))

    def _rule(self, version: versions.Version | None) -> reviewing.Rule:
        """When a version's answer is for a person; None: it is loaded no more."""
        reject_from = None if version is None else version.reject_from
        return reviewing.Rule(self._limits.review, reject_from)

    async def _judged(
        self, asked: asking.Asked, hashes: Sequence[str]
    ) -> asking.Judged:
        version = self.model(asked.model).version(asked.version)
        answers = await self._answers(version, asked)
        if not asked.final and any(worker.PROBLEM in answer for answer in answers):
            raise refusals.Refused(refusals.UNREADABLE, answers[0][worker.PROBLEM])
        entries = [
            self._entry(asked, version, item, hashes[item], answer)
            for item, answer in enumerate(answers)
        ]
        entries = await self._keep(entries, asked.pictures)
        with self._told():
            await self._writer.write(entries)
        self._note_history("")
        self._drift.note(entries, answers)
        for entry in entries:
            told = entry.verdict or "unreadable"
            number = str(version.number)
            self.metrics.verdicts.labels(asked.model, number, told).inc()
        more = [answer.get(worker.MORE, {}) for answer in answers]
        told = self._rule(version).is_told(entries)
        return asking.Judged(asked.model, version.number, entries, more, told)

    async def _answers(
        self, version: versions.Version, asked: asking.Asked
    ) -> list[dict]:
        """What the model says of each picture, in time or not at all."""
        waiting = sum(model.waiting for model in self.models.values())
        if self._bytes > self._limits.memory:
            message = f"pictures of {self._bytes} bytes are waiting; try again later"
            raise refusals.Refused(refusals.FULL, message)
        if waiting + len(asked.pictures) > self._limits.queue:
            raise refusals.Refused(
                refusals.FULL,
                f"{waiting} pictures are waiting, and at most {self._limits.queue} "
                "may; try again later",
            )
        futures = [version.batcher.submit(picture) for picture in asked.pictures]
        deadline = min(asked.deadline or self._limits.deadline, self._limits.deadline)
        try:
            async with asyncio.timeout(deadline):
                return list(await asyncio.gather(*futures))
        except TimeoutError:
            message = f"no verdict within {deadline:g} seconds"
            raise refusals.Refused(refusals.TOO_LATE, message) from None
        finally:
            for future in futures:  # what nobody waits for is not scored
                future.cancel()

    def _entry(
        self,
        asked: asking.Asked,
        version: versions.Version,
        item: int,
        sha256: str,
        answer: dict,
    ) -> tables.Entry:
        size, changed = asked.file_state or (None, None)
        return tables.Entry(
            time=tables.now(),
            station=self._name,
            source=asked.source,
            request_id=asked.request_id or None,
            item=item,
            path=asked.paths[item] if asked.paths else None,
            file_size=size,
            file_time=changed,
            picture_sha256=sha256,
            model=asked.model,
            version=version.number,
            score=answer.get(worker.SCORE),
            unfamiliar=reviewing.unfamiliar(answer),
            threshold=version.threshold,
            label=answer.get(worker.LABEL, ""),
            verdict=self._rule(version).verdict(answer),
            problem=answer.get(worker.PROBLEM, ""),
        )

    async def _keep(
        self, entries: list[tables.Entry], pictures: Sequence[child.Picture]
    ) -> list[tables.Entry]:
        """The same verdicts, with the files in which some pictures now are."""
        kept = [self._keeper.wants(*each) for each in zip(entries, pictures)]
        if not any(kept):
            return entries

        def keep() -> list[tables.Entry]:
            return [
                self._keeper.keep(entry, picture) if wanted else entry
                for entry, picture, wanted in zip(entries, pictures, kept)
            ]

        try:
            return await asyncio.to_thread(keep)
        except OSError as error:
            message = f"a picture cannot be kept ({error.strerror})"
            raise refusals.Refused(refusals.UNAVAILABLE, message) from error

    async def forget(self, days: float, *, unless: Callable) -> None:
        """Removes what is older than so many days, for ever; see `Database.forget`."""
        while True:
            since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
            with contextlib.suppress(opening.Unwritable):  # the next time, then
                gone = await asyncio.to_thread(
                    self._history.forget, tables.stamp(since), unless=unless
                )
                for kept in gone:
                    with contextlib.suppress(OSError):
                        await asyncio.to_thread(self._keeper.remove, kept)
            await asyncio.sleep(min(_DAY * days / 10, _DAY / 24))

    async def drain(self, patience: float) -> None:
        """Takes no more requests and waits for those that it has."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._open:
                    await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Ends all processes and writes what is to be written."""
        await asyncio.gather(*(model.close() for model in self.models.values()))
        await asyncio.to_thread(self._writer.close)
        self._history.close()

    def measured(self) -> bytes:
        """What Prometheus is told now."""
        waiting = sum(model.waiting for model in self.models.values())
        self.metrics.waiting.set(waiting)
        for model in self.models.values():
            self.metrics.serving.labels(model.name).set(model.serving() or 0)
            light = drifting.LIGHTS.get((self.drift(model.name) or {}).get("state"))
            self.metrics.drift.labels(model.name).set(
                math.nan if light is None else light
            )
        return self.metrics.text()


def _hash(picture: child.Picture) -> str:
    """SHA-256 of the bytes as they came, behind their shape where they are pixels."""
    shape = repr(picture.shape).encode() if picture.shape else b""
    return hashlib.sha256(shape + picture.content).hexdigest()
