"""Ctrl-C and SIGTERM: what was begun is ended in order, and a second signal does not cut that off."""

import asyncio
import os
import signal
import threading

import pytest

from cli.interruption import Interrupted, in_thread, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_after_it_has_cleaned_up(number):
    steps = []

    async def work():
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(30)
        finally:
            os.kill(os.getpid(), number)  # an impatient second
            await asyncio.sleep(0.05)
            steps.append("clean")

    with pytest.raises(Interrupted):
        run(work())

    assert steps == ["clean"]


def test_work_that_ends_by_itself_gives_its_result():
    async def work():
        return 3

    assert run(work()) == 3


def test_a_thread_is_waited_for_when_its_work_is_interrupted():
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def thread():
        begun.set()
        go_on.wait(10)
        ended.set()

    async def work():
        task = asyncio.create_task(in_thread(thread))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        run(work())

    assert ended.is_set()
