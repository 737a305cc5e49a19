"""The same for asyncio: each call is made by the synchronous client, in a thread, so that no logic stands twice."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from client.synchronous import CONNECTIONS, TRY_SECONDS, Sentiment
from contracts.drift import Findings
from contracts.predict import Answer, Scored, ServedModel
from contracts.retrain import LabelExample, LabelsTaken, Overview, RolledBack, RunOutcome, TakenBack
from contracts.stream import BridgeProgress

P = ParamSpec("P")
T = TypeVar("T")


class AsyncSentiment:
    """Asks the system from a coroutine; see `Sentiment`, whose methods, arguments and errors these are.

    At most `connections` calls are under way at a time, and others wait for them. A call whose task is cancelled goes
    on in its thread until it is answered or its time is over, and what it says is dropped.
    """

    def __init__(
        self,
        gateway_url: str | None = None,
        *,
        token: str | None = None,
        rabbitmq_url: str | None = None,
        rabbitmq_stream_url: str | None = None,
        bridge_url: str | None = None,
        try_seconds: float = TRY_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        """See `Sentiment`."""
        self._client = Sentiment(
            gateway_url,
            token=token,
            rabbitmq_url=rabbitmq_url,
            rabbitmq_stream_url=rabbitmq_stream_url,
            bridge_url=bridge_url,
            try_seconds=try_seconds,
            connections=connections,
        )
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="sentiment")

    async def predict(self, text: str, *, explain: bool = False, record: bool = True) -> Scored:
        """Return the sentiment of a text."""
        return await self._in_thread(self._client.predict, text, explain=explain, record=record)

    async def predict_many(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        explain: bool = False,
        record: bool = True,
        progress: Callable[[int], object] = lambda answers: None,
    ) -> AsyncIterator[Answer]:
        """Yield an answer for each text, in their order; texts may come from a coroutine, too."""
        with closing(self._client._line(explain=explain, record=record)) as line:
            async for text in _each(texts):
                for answers in line.put(text):
                    found = await asyncio.wrap_future(answers)
                    progress(len(found))
                    for answer in found:
                        yield answer
            for answers in line.end():
                found = await asyncio.wrap_future(answers)
                progress(len(found))
                for answer in found:
                    yield answer

    async def stream(
        self, texts: Iterable[str], *, explain: bool = False, name: str = "reviews", answer_seconds: float = 30
    ) -> AsyncIterator[tuple[int, Answer]]:
        """Send texts to the stream `name`, and yield the number of each with its answer, as they come."""
        answers = self._client.stream(texts, explain=explain, name=name, answer_seconds=answer_seconds)
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="sentiment-stream")
        try:
            while (found := await loop.run_in_executor(thread, next, answers, None)) is not None:
                yield found
        finally:
            # Behind what the thread has in hand, where the task was cancelled meanwhile.
            thread.submit(answers.close)
            thread.shutdown(wait=False)

    async def bridge(self) -> BridgeProgress | None:
        """Return how many messages wait for the bridge, and how many it has rejected; None without its address."""
        return await self._in_thread(self._client.bridge)

    async def model(self) -> ServedModel:
        """Return what is known of the model that is served."""
        return await self._in_thread(self._client.model)

    async def label(
        self, text: str, label: int | str, *, source: str | None = None, identifier: int | str | None = None
    ) -> LabelsTaken:
        """Say what the class of a text is."""
        return await self._in_thread(self._client.label, text, label, source=source, identifier=identifier)

    async def labels(self, labels: Iterable[LabelExample]) -> LabelsTaken:
        """Say what the classes of many texts are."""
        return await self._in_thread(self._client.labels, labels)

    async def take_back(self, identifier: str) -> TakenBack:
        """Take a label back."""
        return await self._in_thread(self._client.take_back, identifier)

    async def retrain(self) -> RunOutcome:
        """Have the model learn now what is pending."""
        return await self._in_thread(self._client.retrain)

    async def models(self) -> Overview:
        """Return the versions, the promotions, and how many labels wait."""
        return await self._in_thread(self._client.models)

    async def rollback(self, to: str | None = None, *, requeue: bool = False) -> RolledBack:
        """Serve another version."""
        return await self._in_thread(self._client.rollback, to, requeue=requeue)

    async def drift(self) -> Findings:
        """Return what the last texts say now."""
        return await self._in_thread(self._client.drift)

    async def drift_check(self) -> Findings:
        """Check, as the schedule does."""
        return await self._in_thread(self._client.drift_check)

    async def close(self) -> None:
        """Give up what is tried again, and close the connections."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def _in_thread(self, method: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(method, *arguments, **options))


async def _each(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[str]:
    """Yield texts, wherever they come from."""
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            yield text
    else:
        for text in texts:
            yield text
