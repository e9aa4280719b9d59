"""The stamp of this machine: a small file in the home that tells how far the state database was.

It lies beside the deployments and not in the database, so that a database restored from a backup is found out.
"""

from __future__ import annotations

import json
from pathlib import Path

from drivers.base import Stamp, Unavailable
from drivers.local.rundir import write_json
from model.names import Moment

STAMP_FILE = "cluster.json"


def read_stamp(home: Path) -> Stamp | None:
    """The stamp; None when none was ever written. Raises Unavailable for a file that cannot be read as one."""
    path = home / STAMP_FILE
    try:
        said = json.loads(path.read_text())
        moment = Moment(int(said["change"]), str(said["token"]))
        return Stamp(installation=str(said["installation"]), epoch=int(said["epoch"]), moment=moment)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = (
            f"{path} cannot be read ({type(error).__name__}); put it right, or remove it if this is its only home"
        )
        raise Unavailable(why) from error


def write_stamp(home: Path, stamp: Stamp) -> None:
    """Write it whole or not at all. Raises Unavailable."""
    path = home / STAMP_FILE
    try:
        said = {"installation": stamp.installation, "epoch": stamp.epoch}
        write_json(str(path), {**said, "change": stamp.moment.number, "token": stamp.moment.token})
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
