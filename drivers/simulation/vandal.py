"""The vandal: changes behind everybody's back. What it does leaves no trace in the world's log of writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from drivers.simulation.register import REMEMBERED_SECONDS
from drivers.simulation.thing import Mark, Thing, is_elsewhere
from drivers.simulation.world import World
from model.names import Ref


class Vandal:
    """Hands on a world, of somebody who is not the reconciler."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._theirs: dict[Ref, Mark | None] = {}  # what only a person can mend → the mark that it had

    # One deed at a time, where the caller says.

    def edit(self, ref: Ref) -> None:
        """Change what a thing says."""
        self._world.change(ref, actual=f"edited {self._world.new_uid()}", edited_by="a vandal")

    def remove(self, ref: Ref) -> None:
        """Make a thing vanish."""
        self._world.remove(ref)

    def kill(self, ref: Ref) -> None:
        """End what runs of a thing."""
        self._world.change(ref, is_killed=True)

    def relabel(self, ref: Ref, *, installation: str, owner: str) -> None:
        """Put somebody else's mark on a thing."""
        self._theirs.setdefault(ref, self._known(ref).mark)
        self._world.change(ref, mark=Mark(installation=installation, owner=owner, object=ref))

    def copy(self, ref: Ref, name: str) -> Ref:
        """Make a thing again under another name, mark and all, as restored backups and cloned folders are."""
        there = Ref(ref.kind, name)
        self._world.place(replace(self._known(ref), ref=there, uid=self._world.new_uid()))
        return there

    def plant(self, ref: Ref) -> Thing:
        """Put something of somebody else's in a place, whatever was there."""
        self._theirs.setdefault(ref, None)
        thing = Thing(ref=ref, uid=self._world.new_uid(), mark=None, applied="theirs", actual="theirs")
        return self._world.place(thing)

    def recreate(self, ref: Ref) -> None:
        """Make a thing again under its own name, mark and all: it is another now."""
        self._world.change(ref, uid=self._world.new_uid())

    def hook(self, ref: Ref, seconds: float) -> None:
        """Have a mutating webhook rewrite a thing right after each write, for so long."""
        self._world.meddlers.webhooks[ref] = self._world.clock() + seconds

    def flap(self, ref: Ref, seconds: float) -> None:
        """Have another controller flap a field of a thing ten times a second, for so long."""
        self._world.meddlers.flap(self._known(ref), seconds, self._world)

    def wipe(self) -> None:
        """Make the cluster again, empty. Databases are elsewhere and stay."""
        self._world.wipe()

    def restore(self, seconds: float) -> None:
        """Restore the cluster to how it was. Databases are elsewhere and stay."""
        self._world.restore(seconds)

    def repent(self) -> list[Ref]:
        """Do what only a person can: take strangers away, and give marks back. The places concerned."""
        mended = []
        for ref, mark in self._theirs.items():
            thing = self._world.thing(ref)
            if thing is not None and thing.mark is None:
                self._world.remove(ref)
            elif thing is not None and mark is not None and thing.mark != mark:
                self._world.change(ref, mark=mark)
            else:
                continue
            mended.append(ref)
        self._theirs.clear()
        return mended

    # Deeds drawn from the world's seed.

    def act(self) -> str:
        """Do something repairable, drawn from the world's seed; tells what, empty when nothing is there."""
        things = self._world.things()
        if not things or self._world.is_at_peace:
            return ""
        victim = self._world.random.choice(things)
        deed = self._world.random.choice([one for one in ("edit", "remove", "kill") if _suits(one, victim)])
        return self._do(deed, victim.ref)

    def strike(self) -> str:
        """Do one of the deeds that the faults give a weight; tells what, empty when there was nothing to do."""
        world = self._world
        weights = self._weights()
        if world.is_at_peace or not sum(weights.values()):
            return ""
        deed = world.random.choices(list(weights), list(weights.values()))[0]
        if deed == "wipe":
            self.wipe()
            return deed
        if deed == "restore":
            self.restore(world.random.uniform(1.0, REMEMBERED_SECONDS))
            return deed
        victims = [one for one in world.things() if one.claim is not None and one.gone_at is None]
        victims = [one for one in victims if _suits(deed, one)]
        if not victims:
            return ""
        return self._do(deed, world.random.choice(victims).ref)

    async def roam(self) -> None:
        """Strike now and then, until there is peace. Returns at once where nobody roams."""
        while self._world.faults.strikes[1] > 0 and not self._world.is_at_peace:
            await self._world.sleep(self._world.draw(self._world.faults.strikes))
            self.strike()

    def _do(self, deed: str, ref: Ref) -> str:
        self._world.injected[deed] += 1
        self._deeds()[deed](ref)
        return f"{deed} {ref}"

    def _weights(self) -> Mapping[str, float]:
        faults = self._world.faults
        return {
            "edit": faults.edits,
            "remove": faults.removals,
            "kill": faults.kills,
            "recreate": faults.recreations,
            "copy": faults.copies,
            "hook": faults.webhooks,
            "flap": faults.flappers,
            "relabel": faults.relabels,
            "plant": faults.strangers,
            "wipe": faults.wipes,
            "restore": faults.restores,
        }

    def _deeds(self) -> Mapping[str, Callable[[Ref], object]]:
        world = self._world

        def seconds() -> float:
            return world.draw(world.faults.meddling)

        return {
            "edit": self.edit,
            "remove": self.remove,
            "kill": self.kill,
            "recreate": self.recreate,
            "copy": lambda ref: self.copy(ref, f"{ref.name}.{world.new_uid()}"),
            "hook": lambda ref: self._hook_and_edit(ref, seconds()),
            "flap": lambda ref: self.flap(ref, seconds()),
            "relabel": lambda ref: self.relabel(ref, installation="another", owner="deployment/1"),
            "plant": self.plant,
        }

    def _hook_and_edit(self, ref: Ref, seconds: float) -> None:
        """A webhook alone shows only when something is written: let there be something to repair."""
        self.hook(ref, seconds)
        self.edit(ref)

    def _known(self, ref: Ref) -> Thing:
        thing = self._world.thing(ref)
        assert thing is not None, f"{ref} is not there"
        return thing


def _suits(deed: str, thing: Thing) -> bool:
    """Whether a deed can be done to a thing, and its data survives it."""
    if deed == "kill":
        return thing.life != "still"
    return deed not in ("remove", "recreate", "relabel", "plant") or not is_elsewhere(thing.kind)
