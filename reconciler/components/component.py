"""What a component is: a name, its place in the order, the secrets it needs, and how it renders. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from model.names import Owner, SecretRef, UnitName
from model.spec import Executor, Spec, Stage
from model.status import Milestone
from model.units import AnyUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What rendering depends on beside the spec.

    Whose it is, its stage, its secrets' newest versions, and what its tasks have achieved and begun, by task.
    """

    owner: Owner
    stage: Stage = "active"
    secrets: Mapping[str, int] = field(default_factory=dict)
    milestones: Mapping[UnitName, Milestone] = field(default_factory=dict)

    def secret(self, name: str) -> SecretRef:
        """The newest version of a generated secret; version 1 is the one that will be minted."""
        return SecretRef(str(self.owner), name, self.secrets.get(name, 1))

    def milestone(self, task: UnitName) -> Milestone:
        """What a task has achieved and begun so far."""
        return self.milestones.get(task, Milestone(name=task))

    def versioned(self, name: str, version: int) -> SecretRef:
        """A reference to one version of one of the owner's secrets."""
        return SecretRef(str(self.owner), name, version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component of a deployment. `secrets` are the names of the secrets generated for it, once.

    `executors`: those that it is a part of; empty: all of them.
    """

    name: str
    position: int
    render: Callable[[Spec, Facts], tuple[AnyUnit, ...]]
    secrets: tuple[str, ...] = ()
    executors: tuple[Executor, ...] = ()

    def is_part_of(self, spec: Spec) -> bool:
        """Whether a deployment has it."""
        return not self.executors or spec.executor in self.executors
