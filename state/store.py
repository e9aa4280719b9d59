"""The store: what a pass reads and writes about one owner.

Reads are one statement, so one snapshot; "could not be read" is an error and never an empty snapshot. Writes
are fenced by the epoch of the lease under which the pass ran: an old daemon that wakes up changes nothing.
"""

from __future__ import annotations

from model.names import Due, Moment, Owner, Place
from model.objects import Known
from model.spec import Snapshot
from model.status import Milestone, Record
from state import decode
from state.database import Database, Rows
from state.errors import Fenced
from state.keyring import Keyring
from state.recorder import Recorder
from state.secrets import Secrets


class Store:
    """One daemon's view of the state database."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._recorder = Recorder(self._write)
        self.secrets = Secrets(database, keyring)

    async def load(self, owner: Owner) -> Snapshot:
        """Everything about one owner in one statement. An owner without a row has no spec and generation 0.

        Raises Unreachable when the database could not be asked.
        """
        document = await self._database.read_value("SELECT core.load(%(owner)s)::text", {"owner": str(owner)})
        return decode.snapshot(owner, document)

    async def record(self, record: Record) -> None:
        """Store what a pass concluded, together with others' records; nothing is written where nothing differs.

        Raises Fenced when a newer lease or a newer generation was recorded before: nothing of it was stored.
        """
        await self._recorder.record(record)

    async def intend(
        self, owner: Owner, epoch: int, objects: tuple[Known, ...], begun: tuple[Milestone, ...] = ()
    ) -> None:
        """Write down what is about to be made, stopped or begun, so that it is known whatever happens next.

        Raises Fenced.
        """
        if not objects and not begun:
            return
        fenced = await self._database.put_value(
            "SELECT core.intend(%(owner)s, %(epoch)s, %(objects)s::jsonb, %(begun)s::jsonb)->>'fenced'",
            {
                "owner": str(owner),
                "epoch": epoch,
                "objects": decode.inventory(objects),
                "begun": decode.milestones(begun),
            },
        )
        if fenced is not None:
            raise Fenced(fenced)

    async def due(self) -> dict[Owner, Due]:
        """Owners worth a pass now: generation not observed, stage changed, pause over, next attempt due."""
        rows = await self._database.read("SELECT owner, cluster, workspace, generation FROM core.due()")
        return {
            Owner.parse(owner): Due(Place(cluster, workspace), generation)
            for owner, cluster, workspace, generation in rows
        }

    async def owners(self) -> dict[Owner, Place]:
        """Every owner that is desired or still holds something."""
        return _places(await self._database.read("SELECT owner, cluster, workspace FROM core.owners()"))

    async def moment(self) -> Moment:
        """The newest change of desired state."""
        number, token = await self._database.read_value("SELECT core.newest_change()")
        return Moment(number, token)

    async def knows(self, moment: Moment) -> bool:
        """Whether that change is part of this database's history."""
        asked = {"number": moment.number, "token": moment.token}
        return bool(await self._database.read_value("SELECT core.knows(%(number)s, %(token)s)", asked))

    async def tend(self) -> None:
        """Keep history by months, and count what was changed behind the triggers. For once a minute."""
        await self._database.write_value("SELECT core.tend()")

    async def close(self) -> None:
        """Write the records that still wait. The database stays open: it is not the store's."""
        await self._recorder.close()

    async def _write(self, batch: tuple[Record, ...]) -> tuple[str | None, ...]:
        answers = await self._database.write_value(
            "SELECT core.record(%(records)s::jsonb)", {"records": decode.records(batch)}
        )
        return tuple(answer["fenced"] for answer in answers)


def _places(rows: Rows) -> dict[Owner, Place]:
    return {Owner.parse(owner): Place(cluster, workspace) for owner, cluster, workspace in rows}
