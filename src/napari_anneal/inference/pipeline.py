"""Reading, computing and writing at the same time: two threads beside the caller's, with bounded queues between them.

The caller's thread computes, because a GPU and torch's own threads are best fed from one place, and because whatever
the caller hands in (progress, events of a viewer) is then called where the caller expects it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["run_pipeline"]

# Items that wait on either side, besides the one being worked on: more would only hold more memory.
WAITING = 1
# How often (seconds) a thread that waits looks whether it still should.
GLANCE = 0.05

Item = TypeVar("Item")
Input = TypeVar("Input")
Result = TypeVar("Result")


class _Failed:
    """What a thread hands on instead of a result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


_END = object()


class _Stage(Generic[Item]):
    """A thread that feeds a queue, and that can be told to stop while it waits for room."""

    def __init__(self, name: str, work: Callable[[_Stage[Item]], None]) -> None:
        self.out: queue.Queue[Any] = queue.Queue(WAITING)
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    def put(self, item: Any) -> bool:
        """Hand an item on; ``False``: nobody wants it any more."""
        while not self.stop.is_set():
            try:
                self.out.put(item, timeout=GLANCE)
            except queue.Full:
                continue
            return True
        return False

    def _run(self, work: Callable[[_Stage[Item]], None]) -> None:
        try:
            work(self)
        except BaseException as error:
            self.put(_Failed(error))
        else:
            self.put(_END)

    def close(self) -> None:
        """Stop and wait."""
        self.stop.set()
        self._thread.join()


def run_pipeline(
    items: Iterable[Item],
    read: Callable[[Item], Input],
    compute: Callable[[Item, Input], Result],
    write: Callable[[Item, Result], Any],
) -> Generator[tuple[Item, Any], None, None]:
    """Take items through three steps that overlap; yields each item, with what ``write`` returned, once it is written.

    Parameters
    ----------
    items
        In the order in which they are to be done.
    read, write
        Called one item after the other, each in a thread of its own.
    compute
        Called on the thread that iterates.

    Raises
    ------
    Exception
        Whatever a step raised, after everything computed before it was written. An error in ``read`` counts as one of
        its own item: the items before it are computed and written first. When ``write`` raised, nothing more is.
    """
    done: queue.SimpleQueue[tuple[Item, Any]] = queue.SimpleQueue()

    def reading(stage: _Stage[Item]) -> None:
        for item in items:
            if stage.stop.is_set() or not stage.put((item, read(item))):
                return

    to_write: queue.Queue[Any] = queue.Queue(WAITING)
    trouble: list[BaseException] = []

    def writing() -> None:
        while (entry := to_write.get()) is not _END:
            if not trouble:
                item, result = entry
                try:
                    done.put((item, write(item, result)))
                except BaseException as error:
                    trouble.append(error)

    reader = _Stage("anneal-read", reading)
    writer = threading.Thread(target=writing, name="anneal-write", daemon=True)
    writer.start()

    def finished() -> Iterator[tuple[Item, Any]]:
        while not done.empty():
            yield done.get()

    try:
        try:
            while not trouble and (entry := reader.out.get()) is not _END:
                if isinstance(entry, _Failed):
                    raise entry.error
                to_write.put((entry[0], compute(*entry)))
                del entry  # at most one input is alive here besides those that wait
                yield from finished()
        finally:
            reader.close()
            to_write.put(_END)
            writer.join()
    except GeneratorExit:
        raise
    except BaseException:
        yield from finished()
        if trouble:
            raise trouble[0] from None
        raise
    yield from finished()
    if trouble:
        raise trouble[0]
