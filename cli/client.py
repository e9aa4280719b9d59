"""A small client of Armillary's HTTP API: finds the daemon, asks, and raises what people can read.

It knows nothing of particular commands. Only the standard port's own daemon gets the home's token: a URL from
the environment needs a token from the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

from cli.errors import Failed, Misused, NotPermitted, TimedOut, Unreachable
from cli.home import Home
from cli.problems import error_of

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0  # a PUT waits for one transaction; longer means that the database is stuck
_START = "Start it with: armillary up"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API is and who asks. The token never shows in a repr."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its JSON (None when empty), the generation of its ETag, and whether it was made now."""

    data: Any
    etag: str = ""
    is_new: bool = False


def endpoint(home: Home, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The API to ask: `$ARMILLARY_URL` with `$ARMILLARY_TOKEN`, else the daemon and the token of the home."""
    url, token = environ.get("ARMILLARY_URL", ""), environ.get("ARMILLARY_TOKEN", "")
    if url and not token:
        raise Misused(
            "ARMILLARY_URL is set and ARMILLARY_TOKEN is not.",
            where=f"The token in {home.token} is only ever sent to this home's own daemon.",
            todo="Set both, or neither.",
        )
    return Endpoint(url.rstrip("/") or _url_of(home), token or _token_of(home))


def _url_of(home: Home) -> str:
    try:
        url = json.loads(home.daemon.read_text())["url"]
    except FileNotFoundError:
        raise Unreachable(f"No daemon has run in {home.path}.", todo=_START) from None
    except PermissionError:
        raise NotPermitted(
            f"{home.daemon} may not be read by this user.", todo="Set ARMILLARY_URL and ARMILLARY_TOKEN."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Failed(f"{home.daemon} does not say where the daemon listens.", todo=_START) from None
    return str(url)


def _token_of(home: Home) -> str:
    try:
        return home.token.read_text().strip()
    except FileNotFoundError:
        raise NotPermitted(
            f"There is no token in {home.token}.", todo=f"{_START}, or set ARMILLARY_TOKEN."
        ) from None
    except PermissionError:
        raise NotPermitted(
            f"The token in {home.token} may be read by its owner only.", todo="Set ARMILLARY_TOKEN."
        ) from None


class Client:
    """One connection to the API: `async with Client(endpoint) as api: await api.get("/v1/workspaces")`.

    Every method raises a CommandError: NotFound, Refused, NotPermitted, TimedOut, Unreachable or Failed.
    """

    def __init__(self, where: Endpoint) -> None:
        self.url = where.url
        self._headers = {"Authorization": f"Bearer {where.token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **params: str | int) -> Any:
        """The JSON at a path."""
        return (await self.ask("GET", path, params=params)).data

    async def put(self, path: str, document: Any) -> Answer:
        """Say what should be at a path; the document as it is then, and whether it was made now."""
        return await self.ask("PUT", path, document=document)

    async def patch(self, path: str, change: Any) -> Any:
        """Change what is at a path by a JSON merge patch; the document as it is then."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return (await self.ask("PATCH", path, document=change, headers=headers)).data

    async def delete(self, path: str) -> Any:
        """Ask for the deletion of what is at a path."""
        return (await self.ask("DELETE", path)).data

    async def ask(
        self,
        method: str,
        path: str,
        *,
        document: Any = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its answer. Anything but success is raised, in the API's own words."""
        assert self._session is not None, "used outside of its `async with`"
        body = None if document is None else json.dumps(document)
        kind = {} if body is None else {"Content-Type": "application/json"}
        url = f"{self.url}{path}"
        with self._told(method, path):
            async with self._session.request(
                method, url, data=body, params=params, headers={**kind, **(headers or {})}
            ) as response:
                text = await response.text()
                if response.status >= 400:
                    raise error_of(method, path, response.status, text)
                etag = response.headers.get("ETag", "").strip('W/"')
                return Answer(_json(url, text), etag, is_new=response.status == HTTPStatus.CREATED)

    @contextmanager
    def _told(self, method: str, path: str) -> Iterator[None]:
        """Turn what goes wrong on the way into what people can read."""
        try:
            yield
        except TimeoutError:
            raise TimedOut(
                f"{self.url} did not answer within {_ANSWER_SECONDS:g} s.", where=f"{method} {path}"
            ) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise Unreachable(f"Nothing answers at {self.url} ({reason}).", todo=_START) from None
        except aiohttp.InvalidURL:
            raise Misused(f"{self.url} is not a URL.", todo="Set ARMILLARY_URL to http://host:port") from None


def _json(url: str, text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise Failed(
            f"{url} answered something that is not JSON.",
            todo="Is this an Armillary API? Look at ARMILLARY_URL.",
        ) from None
