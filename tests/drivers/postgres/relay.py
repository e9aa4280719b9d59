"""A relay between a driver and its server that can be cut, as a network can."""

import asyncio
import contextlib
from collections.abc import Iterator


class Relay:
    """Listens on a port of its own and passes everything on. Runs in the test's loop."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._abort()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.sleep(0.01)  # aborted transports end in the next turns of the loop

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Everything that passes is cut, and whoever connects is cut off at once."""
        self._is_cut = True
        self._abort()
        try:
            yield
        finally:
            self._is_cut = False

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        onward, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_pass(reader, back), _pass(onward, writer))
        finally:
            self._writers -= {writer, back}
            writer.close()
            back.close()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
