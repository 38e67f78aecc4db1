"""What a preflight found: every problem, not just the first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError

from recsync.errors import DELIBERATE, RETRIABLE, FatalError, ProgramError, RetriableError
from recsync.program.problem import Field, Problem
from recsync.program.yaml_file import YamlFile


@dataclass
class Findings:
    """What was found wrong with a program, and what was looked at.

    :param file: the program file.
    :param problems: what a person must change, with file and line.
    :param unreachable: what could not be looked at now, and may be reachable later.
    :param notes: what is worth knowing and stops nothing.
    :param checked: what was looked at and is right, in words.
    """

    file: YamlFile
    problems: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def add(self, where: Field, text: str, value: object = None) -> None:
        """Add a problem of a field of the program file."""
        self.problems.append(self.file.line_of(Problem(where, text, value)))

    @contextmanager
    def collecting(self, where: Field | str) -> Generator[None]:
        """Keep what the block raises instead of ending with it.

        :param where: what the error is about: a field of the program file, or a file and its line, for an error whose
            text does not begin with one.
        """
        try:
            yield
        except ProgramError as error:
            self.problems += error.problems
        except RETRIABLE as error:
            self.unreachable.append(self._placed(where, error))
        except DELIBERATE as error:
            self.problems.append(self._placed(where, error))
        except BotoCoreError as error:
            self.unreachable.append(self._placed(where, error))

    def _placed(self, where: Field | str, error: Exception) -> str:
        if not isinstance(where, str):
            return self.file.line_of(Problem(where, str(error)))
        return str(error) if str(error).startswith("include/") else f"{where}: {error}"

    def raise_any(self) -> None:
        """Raise what was found.

        :raises FatalError: with every problem, one line each.
        :raises RetriableError: when there is no problem, but something could not be looked at.
        """
        if self.problems:
            raise FatalError("\n".join([*dict.fromkeys(self.problems), *self.unreachable]))
        if self.unreachable:
            raise RetriableError("\n".join(self.unreachable))
