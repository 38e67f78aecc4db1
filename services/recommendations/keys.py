"""API keys: ``python -m recommendations.keys new --file keys.json`` prints a new one; the file holds hashes only.

The service reads the file again when it changes, so keys are rotated without a restart: make a new one, put it into
Braze, remove the old one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple, Self

from limits import RateLimitItem, parse

from recsync.errors import FatalError

# 256 bits: no hash needs to be slow to protect a random key of this length.
_SECRET_BYTES = 32
_PREFIX = "rk_"
_SPAN = re.compile(r"(\d+)([hd])")


@dataclass(frozen=True)
class ApiKey:
    """One key.

    :param id: names it in commands and in the counters of its limit; not secret.
    :param sha256: hash of the whole key.
    :param expires_at: ISO 8601; None: never.
    :param limit: such as ``500/second``; None: the service's.
    """

    id: str
    sha256: str
    created_at: str
    expires_at: str | None = None
    limit: str | None = None

    def is_valid(self, moment: datetime) -> bool:
        """Return whether the key may be used."""
        return self.expires_at is None or moment < datetime.fromisoformat(self.expires_at)


def read_keys(file: Path) -> list[ApiKey]:
    """Read the file.

    :raises FatalError: when it is missing or damaged.
    """
    try:
        return [ApiKey(**entry) for entry in json.loads(file.read_text())["keys"]]
    except OSError as error:
        raise FatalError(
            f"Cannot read {file}: {error.strerror}. Make a key: python -m recommendations.keys new --file {file}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise FatalError(
            f"{file} is damaged ({type(error).__name__}); restore it or make new keys."
        ) from None


def write_keys(file: Path, keys: Sequence[ApiKey]) -> None:
    """Write the file in one step, readable by its owner only."""
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1)
    with NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}-", delete=False) as written:
        written.write(text)
    Path(written.name).replace(file)


def new_key(file: Path, *, expires_at: str | None = None, limit: str | None = None) -> str:
    """Add a key to the file, which is created if it is missing, and return the key."""
    if limit is not None:
        parse(limit)
    keys = read_keys(file) if file.exists() else []
    name, now = secrets.token_hex(4), datetime.now(UTC)
    key = f"{_PREFIX}{name}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    entry = ApiKey(
        name, hashlib.sha256(key.encode()).hexdigest(), now.isoformat(timespec="seconds"), expires_at, limit
    )
    write_keys(file, [*keys, entry])
    return key


def end_key(file: Path, name: str, *, at: str | None) -> None:
    """Let a key expire at a time; None: remove it now.

    :raises FatalError: when there is no such key.
    """
    keys = read_keys(file)
    if name not in {key.id for key in keys}:
        raise FatalError(f"{file} has no key {name}; list shows the keys that it has.")
    others = [key for key in keys if key.id != name]
    ended = [replace(key, expires_at=at) for key in keys if key.id == name and at]
    write_keys(file, [*others, *ended])


class Grant(NamedTuple):
    """What a valid key allows.

    :param counter: name of the counter of its limit.
    """

    key: ApiKey
    limit: RateLimitItem
    counter: str

    @classmethod
    def of(cls, key: ApiKey, default_limit: str) -> Self:
        limit = parse(key.limit or default_limit)
        return cls(key, limit, limit.key_for(key.id))


class KeyRing:
    """The keys of a file, read again when it changes."""

    def __init__(self, file: Path, default_limit: str) -> None:
        """Read the file.

        :raises FatalError: when it is missing or damaged.
        """
        self._file, self._default = file, default_limit
        self._version: tuple[int, int] | None = None
        self._keys: dict[bytes, Grant] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it changed.

        :raises FatalError: when it is missing or damaged; the known keys stay valid.
        """
        try:
            found = self._file.stat()
        except OSError:
            read_keys(self._file)  # says what is wrong
            return
        if (version := (found.st_ino, found.st_mtime_ns)) == self._version:
            return
        keys = read_keys(self._file)
        self._keys = {bytes.fromhex(key.sha256): Grant.of(key, self._default) for key in keys}
        self._version = version

    def find(self, key: bytes) -> Grant | None:
        """Return what a key allows; None for any text that is no valid key."""
        found = self._keys.get(hashlib.sha256(key).digest())
        if found and found.key.expires_at and not found.key.is_valid(datetime.now(UTC)):
            return None
        return found


def _moment(text: str) -> str:
    """Read a time span such as ``24h`` or ``90d`` from now."""
    if not (found := _SPAN.fullmatch(text)):
        raise argparse.ArgumentTypeError("write hours or days, such as 24h or 90d")
    hours = int(found[1]) * (24 if found[2] == "d" else 1)
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds")


def _limit(text: str) -> str:
    try:
        parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "write a number per second, minute or hour, such as 500/second"
        ) from None
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command about keys."""
    parser = argparse.ArgumentParser(
        prog="python -m recommendations.keys", description="API keys of the service."
    )
    parser.add_argument("--file", type=Path, required=True, help="the file of --keys of the service")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a key and print it, once")
    new.add_argument("--expires-in", type=_moment, metavar="SPAN", help="such as 90d; default: never")
    new.add_argument("--limit", type=_limit, help="such as 500/second; default: rate_limit of the service")
    commands.add_parser("list", help="show the ids of the keys, and when they end")
    expire = commands.add_parser("expire", help="let a key end later, while the new one is put into Braze")
    expire.add_argument("id")
    expire.add_argument("--in", dest="at", type=_moment, metavar="SPAN", required=True, help="such as 24h")
    commands.add_parser("remove", help="end a key now").add_argument("id")
    chosen = parser.parse_args(argv)
    try:
        if chosen.command == "new":
            print(new_key(chosen.file, expires_at=chosen.expires_in, limit=chosen.limit))
        elif chosen.command == "list":
            for key in read_keys(chosen.file):
                print(
                    f"{key.id}  made {key.created_at}  ends {key.expires_at or 'never'}  {key.limit or ''}".rstrip()
                )
        else:
            end_key(chosen.file, chosen.id, at=getattr(chosen, "at", None))
    except FatalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
