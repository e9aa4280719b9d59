"""What a mutant is, and how it is put into the engine: attributes looked up by name, so that a rename is loud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Make = Callable[[Any], Any]
"""Makes the wrong behaviour of the right one."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One attribute, as "module:name" or "module:Class.name", and what takes its place."""

    target: str
    make: Make

    def holder(self) -> tuple[Any, str]:
        """The object that has the attribute, and its name. Raises AttributeError when there is none."""
        module, _, path = self.target.partition(":")
        holder: Any = import_module(module)
        *way, name = path.split(".")
        for one in way:
            holder = getattr(holder, one)
        if name not in vars(holder):
            raise AttributeError(f"{self.target} is not there: it was renamed, and its mutant must follow")
        return holder, name


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: its name, what is wrong in one sentence, where it is known from, and the patches that make it."""

    name: str
    bug: str
    known_from: str
    patches: tuple[Patch, ...]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The engine with this bug, in this process, for as long as the block runs."""
        with ExitStack() as stack:
            for one in self.patches:
                holder, name = one.holder()
                old = vars(holder)[name]
                stack.callback(setattr, holder, name, old)
                setattr(holder, name, one.make(old))
            yield


def instead(target: str, value: Any) -> Patch:
    """A function that always gives this value, whatever is asked."""
    return Patch(target, lambda _: lambda *_args, **_named: value)


def around(target: str, wrong: Callable[..., Any]) -> Patch:
    """A function that gets the right one first, and its arguments after."""
    return Patch(target, lambda right: lambda *args, **named: wrong(right, *args, **named))
