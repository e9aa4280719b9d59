"""Read, change, write: how a part of a document is changed without losing what others change meanwhile.

The write names the generation that was read; when somebody was faster, the change is made anew on what is there
now, a few times, unless the request itself said which generation it is meant for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from api.documents import Deployment
from api.problems import Problem
from api.requests import Conditions, checked
from state.desired import Desired, Document
from state.errors import GenerationConflict, InvalidSpec

ATTEMPTS_MAX = 5
_JITTER_SECONDS_MAX = 0.05

Edit = Callable[[Document], Document]
"""From the document that is there to the one that should be. It may be called several times."""
Result = TypeVar("Result")


async def again_on_conflict(attempt: Callable[[], Awaitable[Result]], asked: Conditions) -> Result:
    """What the attempt returns. On a conflict it is made again, unless the request itself names a generation."""
    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(GenerationConflict),
        stop=tenacity.stop_after_attempt(ATTEMPTS_MAX if asked.generation is None else 1),
        wait=tenacity.wait_random(0, _JITTER_SECONDS_MAX),
        reraise=True,
    )
    return await attempts(attempt)


async def edit_deployment(
    desired: Desired, path: tuple[str, str], edit: Edit, *, actor: str, asked: Conditions, place: str = ""
) -> Document:
    """The deployment at `path` (workspace, name) after the edit.

    `place` is the JSON pointer of the part that the request is about: errors point into that part. Raises
    NotFound, GenerationConflict, InvalidSpec, Refused, Problem.
    """

    async def attempt() -> Document:
        before = await desired.get_deployment(*path)
        wanted = as_complete(edit(before))
        generation = before["generation"] if asked.generation is None else asked.generation
        return await desired.put_deployment(
            *path, checked(Deployment, wanted), actor=actor, expected_generation=generation
        )

    try:
        return await again_on_conflict(attempt, asked)
    except InvalidSpec as error:
        error.pointer = within(place, error.pointer)
        raise
    except Problem as problem:
        problem.pointer = None if problem.pointer is None else within(place, problem.pointer)
        raise


def as_complete(document: Document) -> Document:
    """A whole document says that nothing is to be deleted by a null, not by a member that is not there."""
    return {"deletion_requested_at": None, **document}


def within(place: str, pointer: str) -> str:
    """The pointer as seen from a place; a pointer to elsewhere stays as it is."""
    return pointer[len(place) :] if pointer == place or pointer.startswith(f"{place}/") else pointer
