"""The life of a deployment as a story: plan, obey, conclude, again, until nothing is left to do. Pure.

The world here is faultless: what is created or changed is well by the next pass, what is stopped stops, what is
deleted is gone, and a task runs for one pass and has then ended. A story is its plans as text, one numbered
paragraph a pass, and a last line with the reasons of the conditions, so that a table of stories reads by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from textwrap import dedent, fill

from model.digest import digest
from model.names import Kind, Ref
from model.objects import Drift, Health, Object, Observed, Seen, Site
from model.plan import Change, Create, Delete, Plan, Stop
from model.spec import Snapshot, Spec
from model.status import Again, Conclusion, Outcome, Status
from model.units import AnyUnit, Database, Process, Task
from reconciler.ahead import begun_by, written_ahead
from reconciler.circumstances import Rails, circumstances_of
from reconciler.conclude import Finding, conclude
from reconciler.limits import Limits
from reconciler.needs import Desired
from reconciler.plan import plan
from reconciler.rails import is_unexplained
from reconciler.render import desire

from .sketch import snapshot

PASSES_MAX = 60
WIDTH = 100
STOPPED = (Drift(what="it does not run"),)
SECRETS = (
    "admin-password",
    "api-secret-key",
    "database-owner",
    "database-user",
    "fernet-key",
    "jwt-secret",
)


# --- what is wanted ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """As much of a driver as rendering needs: one object a unit, in a kind that begins with its place."""

    cluster: str
    units: frozenset[type]
    prefix: str = ""

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        return (_object(unit, self.prefix),)


_PLACED = frozenset(AnyUnit.__args__) - {Database}
DRIVERS = (
    Translator(cluster="", units=frozenset({Database})),
    Translator(cluster="local", units=_PLACED),
    Translator(cluster="east", units=_PLACED, prefix="east/"),
    Translator(cluster="west", units=_PLACED, prefix="west/"),
)


def rendered(before: Snapshot) -> Desired:
    """What the real components render to."""
    return desire(before, before.spec and _site(before), DRIVERS)


def objects_of(units: tuple[AnyUnit, ...]) -> Desired:
    """Units of a test's own, one object each."""
    return Desired(units=units, objects=tuple(_object(unit, "") for unit in units))


def _site(before: Snapshot) -> Site:
    return Site(
        installation="i", cluster=before.spec.cluster, owner=before.owner, release=before.spec.release, root="/"
    )


def _object(unit: AnyUnit, prefix: str) -> Object:
    return Object(
        ref=Ref(f"{prefix}{type(unit).__name__}", unit.name),
        unit=unit.name,
        digest=digest(replace(unit, needs=frozenset())),
        retain=unit.retain,
        irreplaceable=isinstance(unit, Database),
        body=unit,
    )


# --- a life -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A deployment at one moment: what is asked and recorded, what is there, and how its world behaves.

    `bad`: keys of tasks that end badly. `blind`: kinds that cannot be seen. `draining`: what runs on though it was
    told to stop or to go. `number` counts passes and makes uids.
    """

    before: Snapshot
    there: Mapping[Ref, Seen] = field(default_factory=dict)
    wants: Callable[[Snapshot], Desired] = rendered
    bad: frozenset[str] = frozenset()
    blind: Mapping[Kind, str] = field(default_factory=dict)
    draining: frozenset[str] = frozenset()
    rails: Rails = field(default_factory=Rails)
    number: int = 0
    is_gone: bool = False

    def ask(self, wanted: Spec | None = None, **changes) -> Life:
        """Somebody changes the spec, or what else the snapshot holds of their wishes."""
        generation = self.before.generation + 1
        return self.with_(spec=wanted or self.before.spec, generation=generation, **changes)

    def change(self, **changes) -> Life:
        """Somebody changes fields of the spec."""
        return self.ask(replace(self.before.spec, **changes))

    def with_(self, **changes) -> Life:
        """What the snapshot says changes, and no generation counts it."""
        return replace(self, before=replace(self.before, **changes))

    def behaving(self, **changes) -> Life:
        """The world, or what this daemon knows of the moment, changes."""
        return replace(self, **changes)

    @property
    def running(self) -> frozenset[str]:
        """What runs, told as in a story; tasks that are on their way too."""
        return frozenset(label(ref) for ref, one in self.there.items() if one.running)

    @property
    def holds(self) -> frozenset[str]:
        """Everything that is there."""
        return frozenset(map(label, self.there))


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was planned pass by pass, and the life before each pass and after the last."""

    plans: tuple[Plan, ...]
    lives: tuple[Life, ...]

    @property
    def end(self) -> Life:
        return self.lives[-1]

    @property
    def text(self) -> str:
        """One numbered paragraph a pass; an empty plan ends the story and is only in its last line."""
        return "\n".join([*self._paragraphs(), _ending(self.end)])

    @property
    def plot(self) -> str:
        """The text without its last line."""
        return "\n".join(self._paragraphs())

    def _paragraphs(self) -> list[str]:
        numbered = [(number, lines) for number, one in enumerate(self.plans, 1) if (lines := paragraph(one))]
        groups = [list(same) for _, same in groupby(numbered, key=lambda one: one[1])]
        if groups and not self.plans[-1].now:
            groups[-1] = groups[-1][:1]  # how often the end is looked at is no part of the story
        return [_numbered(same) for same in groups]


def new(wanted: Spec, **changes) -> Life:
    """A deployment that was asked for a moment ago, its secrets minted."""
    wants = changes.pop("wants", rendered)
    return Life(before=snapshot(spec=wanted, secrets=dict.fromkeys(SECRETS, 1), **changes), wants=wants)


def live(life: Life, *, passes: int = PASSES_MAX) -> Story:
    """Pass after pass until one changes nothing more, or so many were made."""
    plans, lives = [], [life]
    for _ in range(passes):
        life, todo = one_pass(life)
        plans.append(todo)
        lives.append(life)
        if life.is_gone or _is_still(lives[-2], life, todo):
            break
    return Story(plans=tuple(plans), lives=tuple(lives))


def grown(wanted: Spec, **changes) -> Life:
    """A deployment as it is when all it asked for at first is there."""
    end = live(new(wanted, **changes)).end
    assert end.before.status.condition("Ready").status == "True", end.before.status
    return end


def one_pass(life: Life) -> tuple[Life, Plan]:
    """What `reconcile` does in one pass, with every write accepted; then time passes in the world."""
    before, desired = life.before, life.wants(life.before)
    visible = {ref: one for ref, one in life.there.items() if ref.kind not in life.blind}
    observed = Observed(seen=visible, blind=life.blind)
    todo = plan(desired, observed, before, circumstances_of(before, life.rails, Limits()))
    number = life.number + 1
    outcomes = tuple(Outcome(ref=one.ref, uid=_uid(one, life, number)) for one in todo.now)
    finding = Finding(before=before, desired=desired, observed=observed, plan=todo, outcomes=outcomes)
    concluded = conclude(finding, now=before.now, fraction=0.5)
    rails = replace(life.rails, deletes_left=life.rails.deletes_left - sum(map(is_unexplained, todo.now)))
    return replace(
        life,
        before=_recorded(finding, concluded),
        there={**_obeyed(_later(life), todo, number), **_drained(life, todo)},
        rails=rails,
        number=number,
        is_gone=concluded.record.remove_owner,
    ), todo


def _uid(action, life: Life, number: int) -> str:
    made_anew = isinstance(action, Create) or action.ref not in life.there
    return f"{action.ref} of pass {number}" if made_anew else life.there[action.ref].uid


def _recorded(finding: Finding, concluded: Conclusion) -> Snapshot:
    """The snapshot of the next pass: what was written ahead and recorded, when it is time to look again."""
    before, record, verdict = finding.before, concluded.record, concluded.verdict
    ahead = written_ahead(finding.plan, finding.desired, before)
    rows = {row.ref: row for row in (*before.inventory, *ahead, *record.objects)}
    begun = begun_by(finding.plan, finding.desired, before)
    newest = {one.name: one for one in (*before.milestones, *begun, *record.milestones)}
    soon = before.now + timedelta(seconds=1)
    return replace(
        before,
        now=max(soon, verdict.at) if isinstance(verdict, Again) else soon,
        inventory=tuple(row for ref, row in rows.items() if ref not in record.forget),
        milestones=frozenset(newest.values()),
        status=record.status or before.status,
    )


def _is_still(was: Life, now: Life, todo: Plan) -> bool:
    """True when a pass changed nothing but the time, and no time was set at which it may try again."""
    status = now.before.status
    unchanged = (
        was.there == now.there
        and set(was.before.inventory) == set(now.before.inventory)
        and was.before.milestones == now.before.milestones
    )
    return not todo.now and unchanged and (status is None or status.next_attempt_at is None)


# --- the faultless world ----------------------------------------------------------------------------------


def _later(life: Life) -> dict[Ref, Seen]:
    """Tasks that were on their way have ended."""
    return {
        ref: replace(one, health=_end_of(one, life), running=0) if one.health is Health.PROGRESSING else one
        for ref, one in life.there.items()
    }


def _end_of(one: Seen, life: Life) -> Health:
    return Health.FAILED if one.detail in life.bad else Health.DONE


def _obeyed(there: Mapping[Ref, Seen], todo: Plan, number: int) -> dict[Ref, Seen]:
    after = dict(there)
    for action in todo.now:
        old = after.pop(action.ref, None)
        if isinstance(action, Change):
            uid = f"{action.ref} of pass {number}" if old is None or isinstance(action, Create) else old.uid
            after[action.ref] = made(action.object, uid)
        elif isinstance(action, Stop) and old is not None:
            after[action.ref] = replace(old, running=0, health=Health.STOPPED, drift=STOPPED)
    return after


def _drained(life: Life, todo: Plan) -> Mapping[Ref, Seen]:
    gone = (one.ref for one in todo.now if isinstance(one, Stop | Delete))
    return {ref: life.there[ref] for ref in gone if label(ref) in life.draining}


def made(wanted: Object, uid: str = "") -> Seen:
    """An object as it is seen when it is as desired; a task when it has just begun."""
    usual = Seen(ref=wanted.ref, uid=uid, digest=wanted.digest, frozen_digest=wanted.frozen_digest)
    match wanted.body:
        case Task(key=key):
            return replace(usual, health=Health.PROGRESSING, running=1, detail=key)
        case Process(replicas=0):
            return replace(usual, health=Health.STOPPED)
        case Process(replicas=replicas):
            return replace(usual, running=1 if replicas is None else replicas)
        case _:
            return usual


# --- telling ----------------------------------------------------------------------------------------------


def label(ref: Ref) -> str:
    """An object's name, with its cluster where kinds begin with one."""
    cluster, slash, _ = ref.kind.rpartition("/")
    return f"{cluster}{slash}{ref.name}"


def paragraph(todo: Plan) -> list[str]:
    """A plan as a few lines: what is done in its order (stops by name), what waits, is held, is kept."""
    stops = sorted((one for one in todo.now if isinstance(one, Stop)), key=lambda one: one.ref)
    now = [*stops, *(one for one in todo.now if not isinstance(one, Stop))]
    told = [(type(one).__name__, f" [{one.cause}]", label(one.ref)) for one in now]
    told += [
        (f"later {type(one.action).__name__}" if one.action else "under way", "", label(one.ref))
        for one in todo.later
    ]
    told += [("held", "", label(one.ref)) for one in todo.held]
    told += [("kept", "", label(one.ref)) for one in todo.kept]
    return list(_grouped(told))


def _grouped(told: list[tuple[str, str, str]]) -> Iterator[str]:
    for (verb, cause), group in groupby(told, key=lambda one: one[:2]):
        yield f"{verb} {', '.join(name for _, _, name in group)}{cause}"


def _numbered(same: list[tuple[int, list[str]]]) -> str:
    """One paragraph, with the number of its pass, or of the first and the last that planned the same."""
    first, last = same[0][0], same[-1][0]
    number = str(first) if first == last else f"{first}-{last}"
    lines = [
        fill(line, WIDTH, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
        for line in same[0][1]
    ]
    return f"{number:<3} " + "\n".join(lines)[4:]


def _ending(life: Life) -> str:
    if life.is_gone:
        return "so: gone"
    status: Status = life.before.status
    return f"so: {status.condition('Synced').reason}, {status.condition('Ready').reason}"


def tale(text: str) -> str:
    """A story as it is written in a table: without the table's indentation."""
    return dedent(text).strip("\n")


__all__ = ["DRIVERS", "Life", "Story", "grown", "live", "new", "objects_of", "one_pass", "rendered", "tale"]
