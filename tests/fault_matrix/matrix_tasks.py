"""Tasks in processes of their own, so that they can be killed, and starved of disk, as a worker's tasks can."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from multiprocessing.connection import Connection
from typing import Any

# A server that has imported everything forks each task: starting one takes milliseconds instead of seconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["matrix_warm"])
# A task that is neither killed nor done by then hangs.
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How a task ended.

    :param result: what it returned, as a JSON object; None when it did not.
    :param error: class and message of what it raised; ``killed`` when it was.
    :param fatal: whether Airflow would not retry.
    """

    result: Any = None
    error: str = ""
    fatal: bool = False


class Task:
    """One try of one task.

    :param what: ``plan``, ``deliver`` or ``verify``.
    :param arguments: of the stage's function; a dict among them is taken as keyword arguments.
    :param file_bytes: the largest file it may write; None for no limit.
    :param tmpdir: its temporary folder; None for the usual one.
    """

    def __init__(
        self, what: str, *arguments: Any, file_bytes: int | None = None, tmpdir: str | None = None
    ) -> None:
        self._result, sending = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_run, args=(what, arguments, dict(os.environ), file_bytes, tmpdir, sending), daemon=True
        )
        self._process.start()
        sending.close()

    def kill(self) -> None:
        """End it without any chance to tidy up."""
        if self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float = _PATIENCE_SECONDS) -> Ended:
        """Wait for its end."""
        ended = Ended(error="killed")
        try:
            if self._result.poll(seconds):
                ended = self._result.recv()
        except EOFError:
            pass
        self._process.join(_PATIENCE_SECONDS)
        return ended

    def ends_within(self, seconds: float) -> bool:
        """Say whether it ends by itself within some time."""
        self._process.join(seconds)
        return not self._process.is_alive()


def _run(
    what: str,
    arguments: tuple[Any, ...],
    environment: Mapping[str, str],
    file_bytes: int | None,
    tmpdir: str | None,
    result: Connection,
) -> None:
    os.environ.update(environment)
    logging.disable(logging.CRITICAL)
    if tmpdir is not None:
        os.environ["TMPDIR"] = tempfile.tempdir = tmpdir
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    try:
        result.send(Ended(_call(what, arguments)))
    except Exception as error:  # ruff: ignore[blind-except] - every kind of end is an answer here
        from recsync.errors import FATAL

        result.send(Ended(error=f"{type(error).__name__}: {error}", fatal=isinstance(error, FATAL)))


def _call(what: str, arguments: tuple[Any, ...]) -> Any:
    from recsync.push.deliver import deliver
    from recsync.push.plan import plan
    from recsync.push.verify import verify

    stages: dict[str, Any] = {"plan": plan, "deliver": deliver, "verify": verify}
    plain = [argument for argument in arguments if not isinstance(argument, dict)]
    named = {
        name: value
        for argument in arguments
        if isinstance(argument, dict)
        for name, value in argument.items()
    }
    found = stages[what](*plain, **named)
    return asdict(found) if is_dataclass(found) and not isinstance(found, type) else found
