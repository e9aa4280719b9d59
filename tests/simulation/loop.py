"""An event loop in which time is a number and chance a seed.

Virtual time jumps to the next timer, so that a night passes in milliseconds. What became ready at the same moment
runs in an order drawn from the seed. Every handle belongs to the process that scheduled it, and a process can be
killed as by kill -9 (nothing of it runs again, not even a `finally`) or frozen as by SIGSTOP.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import warnings
from asyncio import events
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random

_STEPS_MAX = 200_000  # at one moment of virtual time: nothing that is well does so much without waiting


class Livelock(Exception):
    """Something runs for ever without time passing."""


class Process:
    """One operating system process, as far as a loop can tell."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_halted = False
        self.is_dead = False
        self.stopped: list[Handle] = []
        self.tasks: list[asyncio.Task] = []
        self._prune_at = 256

    def add(self, task: asyncio.Task) -> None:
        self.tasks.append(task)
        if len(self.tasks) > self._prune_at:
            self.tasks = [one for one in self.tasks if not one.done()]
            self._prune_at = 256 + 2 * len(self.tasks)


PROCESS: ContextVar[Process] = ContextVar("process")
"""Whose code runs now."""


class Handle:
    """Something to be called, once. `when` is its time; a cancelled one is passed over."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "process", "time")

    def __init__(self, callback, args, context: Context, time: float) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.process = context[PROCESS]
        self.time = time
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.time


def _nothing() -> None:
    """What a cancelled handle calls."""


def _unheard(unraisable) -> None:
    """What cannot end well at the end of a life is of no interest."""


class SimLoop(asyncio.AbstractEventLoop):
    """The loop of one life. `errors` are what nobody handled."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random
        self._now = 0.0
        self._ready: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = 0
        self._context = copy_context()
        self._is_running = self._is_closed = False
        self.root = Process("root")
        self._context.run(PROCESS.set, self.root)
        self.processes: list[Process] = [self.root]
        self.errors: list[BaseException] = []
        self.steps = 0

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def call_soon(self, callback, *args, context=None) -> Handle:
        handle = Handle(callback, args, context or self._context, self._now)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None) -> Handle:
        return self.call_at(self._now + max(0.0, delay), callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None) -> Handle:
        self._numbers += 1
        handle = Handle(callback, args, context or self._context, when)
        heapq.heappush(self._timers, (when, self._numbers, handle))
        return handle

    def create_future(self) -> asyncio.Future:
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None) -> asyncio.Task:
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        (context or self._context)[PROCESS].add(task)
        return task

    def call_exception_handler(self, context) -> None:
        self.errors.append(context.get("exception") or RuntimeError(context["message"]))

    def default_exception_handler(self, context) -> None:
        self.call_exception_handler(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_closed

    async def shutdown_asyncgens(self) -> None:
        """Nothing: generators end with the life."""

    async def shutdown_default_executor(self) -> None:
        """Nothing: there are no threads here."""

    # Running.

    def run_until_complete(self, future):
        """Run until the future is done, and return its result. Raises Livelock, and when nothing is left to do."""
        assert not self._is_running
        task = self.create_task(future, context=self._context)
        self._is_running = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finalize)
        events._set_running_loop(self)
        try:
            while not task.done():
                self._turn()
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            self._is_running = False
        return task.result()

    def _finalize(self, generator) -> None:
        """A generator that nobody holds any more is closed, unless the life is over."""
        if not self._is_closed:
            self.create_task(generator.aclose())

    def _turn(self) -> None:
        """Everything that is ready now, in an order drawn from the seed; if nothing is, time moves on first."""
        if not self._ready:
            self._advance()
        batch, self._ready = self._ready, []
        if len(batch) > 1:
            self._shuffle(batch)
        for handle in batch:
            if not handle.is_cancelled:
                self._run(handle)
        self.steps += len(batch)
        if self.steps > _STEPS_MAX:
            raise Livelock(f"{_STEPS_MAX} steps at {self._now:.3f} s; the last was {batch[-1].callback!r}")

    def _run(self, handle: Handle) -> None:
        process = handle.process
        if process.is_halted:
            if not process.is_dead:
                process.stopped.append(handle)
            return
        self._context = handle.context
        try:
            handle.context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio does: told, and the loop goes on
            self.errors.append(error)

    def _advance(self) -> None:
        timers, ready = self._timers, self._ready
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Livelock(f"nothing is left to do at {self._now:.3f} s, and nothing will ever be")
        if timers[0][0] > self._now:
            self._now, self.steps = timers[0][0], 0
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])

    def _shuffle(self, batch: list[Handle]) -> None:
        draw = self._random
        for last in range(len(batch) - 1, 0, -1):
            other = int(draw() * (last + 1))
            batch[last], batch[other] = batch[other], batch[last]

    # Processes.

    def spawn(self, name: str) -> tuple[Process, Context]:
        """A new process, and the context in which its first task is to be created."""
        process, context = Process(name), self._context.copy()
        context.run(PROCESS.set, process)
        self.processes.append(process)
        return process, context

    def kill(self, process: Process) -> None:
        """Nothing of it runs any more, from its next await on. Its tasks stay referenced until `close`."""
        process.is_halted = process.is_dead = True
        process.stopped = []

    def freeze(self, process: Process) -> None:
        """Nothing of it runs until it is thawed; its timers become due meanwhile."""
        process.is_halted = True

    def thaw(self, process: Process) -> None:
        """It goes on; what waited is ready, though time went on."""
        if not process.is_dead:
            process.is_halted = False
            self._ready += process.stopped
            process.stopped = []

    def close(self) -> None:
        """The end of the life: close what is left, silently."""
        self._is_closed = True
        hook, sys.unraisablehook = sys.unraisablehook, _unheard
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._let_go()
        finally:
            sys.unraisablehook = hook

    def _let_go(self) -> None:
        for process in self.processes:
            for task in process.tasks:
                if not task.done():
                    task._log_destroy_pending = False
                    with suppress(BaseException):
                        task.get_coro().close()
            process.tasks, process.stopped = [], []
        self.processes, self._ready, self._timers = [], [], []
