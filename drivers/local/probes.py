"""Probes: one task per probed process asks it and keeps the last answer. A look reads answers only.

An answer belongs to a `Target`; another start of the process is another target, so that a restart is asked
anew at once and an old answer is never taken for a new process's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import aiohttp

from drivers.local.pace import Pace
from model.names import Ref

_TIMEOUT_SECONDS = 2.0
_TCP = "tcp://"
_BODY_BYTES_MAX = 256 * 1024
_PATIENCE = (
    3  # failures in a row before a process that was healthy is called unhealthy: imports hog small machines
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to ask, of which start of a process."""

    url: str
    is_own: bool
    expect: tuple[tuple[str, str], ...]
    starts: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The last answers of a target, in short.

    `unseen`: the port asked is another process's, and that one did not answer, so nothing is known.
    `failing_since` is of the monotonic clock; None while it answers well or nothing is known.
    """

    verdict: Literal["unknown", "healthy", "unhealthy", "unseen"] = "unknown"
    detail: str = "not asked yet"
    was_healthy: bool = False
    failures: int = 0
    failing_since: float | None = None


class _WrongError(Exception):
    """It answered, and not as it should."""


class Probes:
    """The answers of everything that is probed. `changed` is called when a verdict changed."""

    def __init__(self, changed: Callable[[], None], pace: Pace) -> None:
        self._changed = changed
        self._pace = pace
        self._answers: dict[Ref, Answer] = {}
        self._targets: dict[Ref, Target] = {}
        self._tasks: dict[Ref, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._all_asked = asyncio.Event()
        self.version = 0  # grows with every change of an answer

    def answer(self, ref: Ref, target: Target | None) -> Answer:
        """The last answer about an object, if it was given by this very start of it."""
        return self._answers[ref] if target is not None and self._targets.get(ref) == target else Answer()

    def want(self, targets: Mapping[Ref, Target]) -> None:
        """Probe exactly these from now on."""
        for ref in [one for one, target in self._targets.items() if targets.get(one) != target]:
            self._tasks.pop(ref).cancel()
            del self._targets[ref], self._answers[ref]
        for ref, target in targets.items():
            if ref not in self._targets:
                self._targets[ref], self._answers[ref] = target, Answer()
                self._tasks[ref] = asyncio.create_task(self._watch(ref, target), name=f"probe {ref}")

    async def heard(self, within_seconds: float) -> None:
        """Return when everything was asked once, or after that long."""
        if self._unasked():
            self._all_asked.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await self._all_asked.wait()

    async def close(self) -> None:
        """End all probing."""
        tasks = list(self._tasks.values())
        self.want({})
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _watch(self, ref: Ref, target: Target) -> None:
        while True:
            before = self._answers[ref]
            after = await self._ask(target, before)
            self._answers[ref] = after
            if not self._unasked():
                self._all_asked.set()
            if (after.verdict, after.detail) != (before.verdict, before.detail):
                self.version += 1
                self._changed()
            is_calm = after.verdict == "healthy" and not after.failures
            await asyncio.sleep(self._pace.calm_seconds if is_calm else self._pace.eager_seconds)

    def _unasked(self) -> bool:
        return Answer() in self._answers.values()

    async def _ask(self, target: Target, before: Answer) -> Answer:
        try:
            if target.url.startswith(_TCP):
                await _exchange(target)
            else:
                _compare(await self._get(target.url), target.expect)
        except _WrongError as error:
            return judge(before, target, str(error), answered=True, now=time.monotonic())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = "does not answer in time" if isinstance(error, TimeoutError) else "does not answer"
            return judge(before, target, what, answered=False, now=time.monotonic())
        return Answer(verdict="healthy", detail="", was_healthy=True)

    async def _get(self, url: str) -> bytes:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=64, force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise _WrongError(f"answers with status {response.status}")
            body = b""
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > _BODY_BYTES_MAX:
                    raise _WrongError(f"answers with more than {_BODY_BYTES_MAX} bytes")
            return body


async def _exchange(target: Target) -> None:
    """Say a line, and hear how the answer begins. Raises _WrongError, OSError, TimeoutError."""
    host, _, port = target.url.removeprefix(_TCP).rpartition(":")
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for say, hear in target.expect:
                writer.write(say.encode())
                found = (await reader.read(256)).decode(errors="replace")
                if not found.startswith(hear):
                    raise _WrongError(f"answers {found.strip()[:80]!r}, not {hear}")
        finally:
            writer.close()


def judge(before: Answer, target: Target, what: str, *, answered: bool, now: float) -> Answer:
    """The answer after a failed question. What was well stays so until it has failed some times in a row."""
    failures = before.failures + 1
    is_patient = before.verdict == "healthy" and failures < _PATIENCE
    if not answered and not target.is_own:
        if is_patient:
            return replace(before, failures=failures)
        what = "the process asked about it does not answer"
        return replace(before, verdict="unseen", detail=what, failures=failures, failing_since=None)
    verdict, detail = before.verdict, before.detail
    if not is_patient:
        verdict, detail = "unhealthy", what
    return replace(
        before,
        verdict=verdict,
        detail=detail,
        failures=failures,
        failing_since=now if before.failing_since is None else before.failing_since,
    )


def _compare(body: bytes, expect: tuple[tuple[str, str], ...]) -> None:
    if not expect:
        return
    try:
        document = json.loads(body)
    except ValueError:
        raise _WrongError("does not answer with JSON") from None
    for pointer, wanted in expect:
        found = at_pointer(document, pointer)
        if found != wanted:
            raise _WrongError(f"says {pointer} is {found}, not {wanted}")


def at_pointer(document: Any, pointer: str) -> str | None:
    """The scalar at a JSON pointer (RFC 6901) as text; None when there is none."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        elif isinstance(document, dict) and key in document:
            document = document[key]
        else:
            return None
    if isinstance(document, bool):
        return "true" if document else "false"
    return str(document) if isinstance(document, str | int | float) else None
