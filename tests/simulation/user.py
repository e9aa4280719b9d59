"""The people of a life: who asks for what, and when. Drawn from the seed as data, so that a life can be shrunk.

They change desired state as people do: in bursts, back and forth, in the middle of everything, wrongly, and they
correct themselves. Once all is healed they do what the messages tell them to do, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

from model.names import Owner, Ref
from model.spec import ComponentSpec, PlainVariable, SecretVariable, Spec
from model.status import Reason
from reconciler.ledger import TAKEOVER_EPOCHS

from .catalogs import EXECUTORS
from .rows import Row
from .store import LEASE, Store

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
PORTS = {("api-server", "http"): 0, ("scheduler", "health"): 1, ("scheduler", "logs"): 2}
VERSIONS = ("3.3.2", "3.4.0", "3.5.1")
IMPOSSIBLE = "6.6.6"
"""A version of which no driver can make anything."""
OPERATORS = -1
"""Where a step names a deployment: none in particular."""
_TEN_DAYS = 864_000.0


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Step:
    """Somebody does something to a deployment; `number` in [0, 1) draws the details."""

    at: float
    deployment: int
    verb: str
    number: float


_BORN_WITH = (*EXECUTORS, "LocalExecutor", "LocalExecutor")

_VERBS = {
    "scale": 6,
    "variable": 6,
    "secret": 2,
    "flip": 3,
    "version": 4,
    "hibernate": 2,
    "wake": 2,
    "pause": 2,
    "resume": 1,
    "policy": 2,
    "restart": 2,
    "delete": 3,
    "undelete": 2,
    "purge": 1,
    "create": 2,
    "bad": 2,
    "correct": 1,
    "move": 1,
    "executor": 4,
    "rollback": 2,
    "burst": 0.3,
}


_OF_ALL = ("release", "broken release", "defaults")
"""What the operators of the installation do: it reaches every deployment."""
_OF_ALL_SHARES = (0.1, 0.6)
"""In how many lives: in short ones, and in those that last longer than the gate's warm-up twice."""
_LONG_SECONDS, _FLEET_SHARE = 240.0, 0.25


def script(random: Random, until: float) -> tuple[Step, ...]:
    """What people do until then."""
    steps = _of_all(random, until)
    sizes = (4, 5, 6) if steps and random.random() < _FLEET_SHARE else (1, 1, 1, 2, 2, 3)
    for deployment in range(random.choice(sizes)):
        born = random.uniform(0, 30)
        steps.append(Step(at=born, deployment=deployment, verb="create", number=random.random()))
        for _ in range(random.choice((0, 1, 2, 3, 5, 8))):
            at = random.uniform(born, until)
            verb = random.choices(list(_VERBS), list(_VERBS.values()))[0]
            steps += _spread(verb, at, deployment, random)
    return tuple(sorted(steps))


def _of_all(random: Random, until: float) -> list[Step]:
    """Seldom: the installation is upgraded, or its defaults are changed."""
    if random.random() >= _OF_ALL_SHARES[until > _LONG_SECONDS]:
        return []
    return [
        Step(
            at=random.uniform(until * 0.2, until * 0.8),
            deployment=OPERATORS,
            verb=random.choice(_OF_ALL),
            number=random.random(),
        )
        for _ in range(random.choice((1, 1, 2)))
    ]


def _spread(verb: str, at: float, deployment: int, random: Random) -> list[Step]:
    number = random.random()
    if verb == "flip":
        pause = random.choice((0.0, 0.01, 0.2, 3.0))
        numbers = (number, random.random(), number)
        return [
            Step(at=at + pause * n, deployment=deployment, verb="scale", number=x) for n, x in enumerate(numbers)
        ]
    if verb == "executor":
        times = (at, at + random.choice((0.5, 10.0, 60.0, 200.0)))
        return [Step(at=one, deployment=deployment, verb=verb, number=random.random()) for one in times]
    if verb == "burst":
        times = (at + n / 100 for n in range(random.choice((50, 200))))
        return [Step(at=one, deployment=deployment, verb="variable", number=random.random()) for one in times]
    return [Step(at=at, deployment=deployment, verb=verb, number=number)]


@dataclass(slots=True, kw_only=True)
class People:
    """Hands of people on the store. `clusters` are those that there are; `install` takes a new release in use."""

    store: Store
    clusters: tuple[str, ...]
    install: Callable[..., str] = lambda number, *, is_broken: ""
    owners: dict[int, Owner] = field(default_factory=dict)
    revisions: dict[Owner, list[Spec]] = field(default_factory=dict)
    ids: int = 0
    is_asked_to_take_over: bool = False
    taken_over_at: float = float("-inf")

    def do(self, step: Step) -> str:
        """Carry a step out; what was done, empty when it made no sense."""
        if step.verb == "create":
            return self._create(step)
        if step.deployment == OPERATORS:
            return self._operate(step)
        row = self._row(step.deployment)
        if row is None or row.spec is None:
            return ""
        done: str = getattr(self, f"_{step.verb}")(row, step.number)
        return done and f"{step.verb} {row.owner}: {done}"

    def _operate(self, step: Step) -> str:
        if step.verb == "defaults":
            self.store.tables.defaults = f"defaults-{2 + int(step.number * 1000)}"
            self.store.notify()
            return self.store.tables.defaults
        return self.install(step.number, is_broken=step.verb == "broken release")

    def _row(self, deployment: int) -> Row | None:
        owner = self.owners.get(deployment)
        return self.store.tables.rows.get(owner) if owner is not None else None

    def _ask(self, row: Row, spec: Spec, **changes: object) -> str:
        if spec == row.spec and not changes:
            return ""
        self.store.ask(row.owner, spec=spec, **changes)
        self.revisions.setdefault(row.owner, []).append(spec)
        return f"generation {row.generation + 1}"

    def _create(self, step: Step) -> str:
        row = self._row(step.deployment)
        if row is not None and row.deletion is None and row.spec is not None:
            return ""
        self.ids += 1
        owner = Owner("deployment", str(self.ids))
        spec = Spec(
            workspace=f"w{step.deployment % 3}",
            name=f"d{step.deployment}",
            release=f"w{step.deployment % 3}-d{step.deployment}-{self.ids}",
            cluster=self.clusters[int(step.number * len(self.clusters))],
            airflow_version=VERSIONS[0],
            executor=_BORN_WITH[int(step.number * 97) % len(_BORN_WITH)],
            dags_folder="/dags",
            components={name: ComponentSpec() for name in COMPONENTS},
            variables={"GREETING": PlainVariable(value="hi")},
        )
        base = 20_000 + 16 * self.ids
        ports = {place: base + position for place, position in PORTS.items()}
        self.owners[step.deployment] = owner
        self.revisions[owner] = [spec]
        self.store.put(Row(owner=owner, spec=spec, generation=1, ports=ports))
        return f"create {owner} on {spec.cluster}"

    def _scale(self, row: Row, number: float) -> str:
        name = COMPONENTS[int(number * 4)]
        replicas = int(number * 97) % 4
        assert row.spec is not None
        components = {**row.spec.components, name: replace(row.spec.components[name], replicas=replicas)}
        return self._ask(row, replace(row.spec, components=components))

    def _variable(self, row: Row, number: float) -> str:
        assert row.spec is not None
        readers = () if number < 0.3 else (COMPONENTS[int(number * 4)],)
        value = PlainVariable(value=f"v{int(number * 1000)}", components=readers)
        return self._ask(row, replace(row.spec, variables={**row.spec.variables, "SETTING": value}))

    def _secret(self, row: Row, number: float) -> str:
        assert row.spec is not None
        old = row.spec.variables.get("TOKEN")
        version = old.version if isinstance(old, SecretVariable) else 0
        value = SecretVariable(version=version, components=(COMPONENTS[int(number * 4)],))
        self.store.inbox.append((row.owner, "TOKEN"))
        return self._ask(row, replace(row.spec, variables={**row.spec.variables, "TOKEN": value})) or "a new value"

    def _version(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, airflow_version=VERSIONS[int(number * 3)]))

    def _bad(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, airflow_version=IMPOSSIBLE))

    def _correct(self, row: Row, number: float) -> str:
        is_bad = row.spec is not None and row.spec.airflow_version == IMPOSSIBLE
        return self._version(row, number) if is_bad else ""

    def _hibernate(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, hibernated=True))

    def _wake(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, hibernated=False))

    def _policy(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, drift_policy="report" if number < 0.5 else "repair"))

    def _restart(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, restarted_at=self.store.now.isoformat()))

    def _pause(self, row: Row, number: float) -> str:
        until = self.store.now + timedelta(seconds=10 + 300 * number)
        self.store.ask(row.owner, paused_until=until, pause_reason="maintenance")
        return f"until {until.isoformat()}"

    def _resume(self, row: Row, number: float) -> str:
        if row.paused_until is None:
            return ""
        self.store.ask(row.owner, paused_until=None, pause_reason="")
        return "resumed"

    def _delete(self, row: Row, number: float) -> str:
        if row.deletion is not None:
            return ""
        grace = timedelta(seconds=number * 60)
        kept = timedelta(seconds=_TEN_DAYS if number < 0.3 else number * 200)
        now = self.store.now
        self.store.ask(row.owner, deletion=(now + grace, now + grace + kept))
        return f"grace {grace.total_seconds():.0f} s, retention {kept.total_seconds():.0f} s"

    def _undelete(self, row: Row, number: float) -> str:
        if row.deletion is None or row.deletion[1] <= self.store.now:
            return ""
        self.store.ask(row.owner, deletion=None)
        return "undeleted"

    def _purge(self, row: Row, number: float) -> str:
        if row.deletion is None:
            return ""
        now = self.store.now
        self.store.ask(row.owner, deletion=(min(row.deletion[0], now), min(row.deletion[1], now)))
        return "at once"

    def _move(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, cluster=self.clusters[int(number * len(self.clusters))]))

    def _executor(self, row: Row, number: float) -> str:
        assert row.spec is not None
        return self._ask(row, replace(row.spec, executor=EXECUTORS[int(number * len(EXECUTORS))]))

    def _rollback(self, row: Row, number: float) -> str:
        earlier = [one for one in self.revisions.get(row.owner, []) if _has_secrets(row, one)]
        if not earlier or row.deletion is not None:
            return ""
        return self._ask(row, earlier[int(number * len(earlier))])

    def settle(self) -> None:
        """Once all is healed: what is wrong is corrected, what is paused goes on, drift is to be repaired."""
        for row in list(self.store.tables.rows.values()):
            if row.spec is None:
                continue
            wrong = row.spec.airflow_version == IMPOSSIBLE
            version = VERSIONS[1] if wrong else row.spec.airflow_version
            self._ask(row, replace(row.spec, drift_policy="repair", airflow_version=version))
            self._resume(self.store.tables.rows[row.owner], 0.0)

    def take_over(self) -> str:
        """`armillary takeover`: the database's own numbers go past those that the clusters remember."""
        tables = self.store.tables
        holder, epoch, _ = tables.leases.get(LEASE, ("", 0, 0.0))
        if self.store.seconds - self.taken_over_at < 150.0:
            return ""  # what was told before it is not told anew
        self.taken_over_at = self.store.seconds
        newest = epoch + TAKEOVER_EPOCHS
        tables.leases[LEASE] = (holder, newest, self.store.seconds)
        return f"take over at change {tables.changes}, epoch {newest}"

    def answer(self, remove: object) -> list[str]:
        """Do what the conditions of each owner ask a person to do; what was done."""
        done = []
        for row in list(self.store.tables.rows.values()):
            synced = row.status.condition("Synced") if row.status is not None else None
            if synced is None or synced.reason is not Reason.HELD:
                continue
            if "armillary.takeover(" in synced.message:
                self.is_asked_to_take_over = True
            told = [synced.message, *(one.detail for one in row.status.units if one.state == "held")]  # type: ignore[union-attr]
            done += [one for message in told if (one := self._answer_one(row, message, remove))]
        return done

    def _answer_one(self, row: Row, message: str, remove: object) -> str:
        now = self.store.now
        if "armillary.accept(" in message and row.status is not None:
            observed = row.status.observed_generation
            current = self.store.tables.rows[row.owner]
            if current.generation <= observed:
                self.store.put(replace(current, generation=observed + 1))
                return f"accept {row.owner}"
            return ""
        asked = re.search(r"armillary\.approve\('[^']*', '(\w+)'\)", message)
        if asked:
            approval = asked.group(1)
            if row.approvals.get(approval, now) > now:  # type: ignore[call-overload]
                return ""
            approvals = {**row.approvals, approval: now + timedelta(seconds=600)}
            self.store.put(replace(self.store.tables.rows[row.owner], approvals=approvals))
            return f"approve {approval} of {row.owner}"
        stray = re.match(r"(\S+)/(\S+) (?:carries our mark and is in no inventory|belongs to .*; remove)", message)
        if stray:
            remove(Ref(stray.group(1), stray.group(2)))  # type: ignore[operator]
            return f"remove {stray.group(0)}"
        return ""


def _has_secrets(row: Row, spec: Spec) -> bool:
    """Whether the store has the secrets of a revision: a restored one may have lost them, and refuses."""
    sealed = (
        (f"variable/{key}", one.version) for key, one in spec.variables.items() if isinstance(one, SecretVariable)
    )
    return all(version == 0 or (name, version) in row.values for name, version in sealed)
