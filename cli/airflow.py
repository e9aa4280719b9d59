"""One Airflow's own HTTP API, as far as a try-out needs it: log in, one DAG, its runs, a task's log.

Answers that will be different in a moment (a DAG not parsed yet, a server still starting) are values or
`AirflowBusy`, never absence of the Airflow itself.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp

from cli.errors import Failed, Unreachable

_ANSWER_SECONDS = 30.0  # the first request to a fresh api-server imports providers


class AirflowBusy(Unreachable):
    """Airflow did not answer, or not sensibly; it may in a moment."""


class Airflow:
    """A logged-in client of one Airflow (3.x, simple auth manager), used by `async with`."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": username, "password": password}
        self._token = ""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def dag_is_known(self, dag: str) -> bool:
        """True once the dag-processor has parsed the DAG."""
        return await self._ask("GET", f"/api/v2/dags/{dag}", accepted=frozenset({404})) is not None

    async def import_errors(self) -> list[str]:
        """What kept DAG files from being parsed, one sentence a file."""
        found = await self._ask("GET", "/api/v2/importErrors")
        return [f"{one['filename']}: {str(one['stack_trace']).strip()}" for one in found["import_errors"]]

    async def unpause(self, dag: str) -> None:
        """Let the DAG run: Airflow creates DAGs paused."""
        await self._ask("PATCH", f"/api/v2/dags/{dag}?update_mask=is_paused", {"is_paused": False})

    async def newest_success(self, dag: str) -> str | None:
        """The id of the DAG's newest successful run, or None when it never succeeded."""
        path = f"/api/v2/dags/{dag}/dagRuns?state=success&order_by=-start_date&limit=1"
        runs = (await self._ask("GET", path))["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    async def trigger(self, dag: str, run: str) -> None:
        """Start a run with that id. Safe to repeat when the answer was lost: the same id never runs twice."""
        body: dict[str, Any] = {"dag_run_id": run, "logical_date": None, "conf": {}}
        await self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", body, accepted=frozenset({409}))

    async def run_state(self, dag: str, run: str) -> str:
        """How a run is doing: `queued`, `running`, `success` or `failed`."""
        return str((await self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}"))["state"])

    async def task_log(self, dag: str, run: str, task: str, attempt: int = 1) -> list[str]:
        """The lines that a task logged."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}?full_content=true"
        answer = await self._ask("GET", path)
        return [str(one["event"]) for one in answer["content"] if isinstance(one, dict) and "event" in one]

    async def _ask(
        self, method: str, path: str, body: Any = None, *, accepted: frozenset[int] = frozenset()
    ) -> Any:
        """The JSON answered; None for an error status among `accepted`."""
        if not self._token:
            await self._log_in()
        status, answer = await self._send(method, path, body)
        if status in accepted:
            return None
        if status >= 400:
            raise Failed(f"Airflow refused {method} {path}: {answer}", where=self.url)
        return answer

    async def _log_in(self) -> None:
        status, answer = await self._send("POST", "/auth/token", self._login)
        if status >= 400:
            raise Failed(f"Airflow refused the login of {self._login['username']}: {answer}", where=self.url)
        self._token = str(answer["access_token"])

    async def _send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        assert self._session is not None, "used outside of its `async with`"
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            async with self._session.request(method, f"{self.url}{path}", json=body, headers=headers) as answer:
                if answer.status >= 500:
                    raise AirflowBusy(f"Airflow answered {answer.status} to {method} {path}.", where=self.url)
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise AirflowBusy(f"Airflow did not answer {method} {path} ({error}).", where=self.url) from None
