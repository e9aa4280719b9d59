"""The vandal: changes behind everybody's back. What it does leaves no trace in the world's log of writes."""

from __future__ import annotations

from dataclasses import replace

from drivers.simulation.thing import Mark, Thing
from drivers.simulation.world import World
from model.names import Ref


class Vandal:
    """Hands on a world, of somebody who is not the reconciler."""

    def __init__(self, world: World) -> None:
        self._world = world

    def edit(self, ref: Ref) -> None:
        """Change what a thing says."""
        self._world.change(ref, actual=f"edited {self._world.new_uid()}")

    def remove(self, ref: Ref) -> None:
        """Make a thing vanish."""
        self._world.remove(ref)

    def kill(self, ref: Ref) -> None:
        """End what runs of a thing."""
        self._world.change(ref, is_killed=True)

    def relabel(self, ref: Ref, *, installation: str, owner: str) -> None:
        """Put somebody else's mark on a thing."""
        self._world.change(ref, mark=Mark(installation=installation, owner=owner, object=ref))

    def copy(self, ref: Ref, name: str) -> Ref:
        """Make a thing again under another name, mark and all, as restored backups and cloned folders are."""
        original = self._world.thing(ref)
        assert original is not None, f"{ref} is not there to be copied"
        there = Ref(ref.kind, name)
        self._world.place(replace(original, ref=there, uid=self._world.new_uid()))
        return there

    def plant(self, ref: Ref) -> Thing:
        """Put something of somebody else's where nothing was."""
        thing = Thing(ref=ref, uid=self._world.new_uid(), mark=None, applied="theirs", actual="theirs")
        self._world.place(thing)
        return thing

    def act(self) -> str:
        """Do something repairable, drawn from the world's seed; tells what, empty when nothing is there."""
        things = self._world.things()
        if not things:
            return ""
        victim = self._world.random.choice(things)
        deeds = ["edit", "remove"] + (["kill"] if victim.life != "still" else [])
        deed = self._world.random.choice(deeds)
        match deed:
            case "edit":
                self.edit(victim.ref)
            case "remove":
                self.remove(victim.ref)
            case _:
                self.kill(victim.ref)
        return f"{deed} {victim.ref}"
