"""The findings of a preflight: every problem, not just the first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from recsync.errors import DELIBERATE, RETRIABLE, FatalError, ProgramError, RetriableError
from recsync.program.problems import Field, Problem, YamlFile


@dataclass
class Findings:
    """The findings about one program file.

    :param problems: mistakes that a person must correct, with file and line.
    :param unreachable: checks that failed for the moment.
    :param notes: hints that stop nothing.
    :param checked: successful checks, in words.
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
        """Collect the errors of a block instead of raising them.

        :param where: field of the program file, or file and line; used when the text of an error begins with no file.
        """
        try:
            yield
        except ProgramError as error:
            self.problems += error.problems
        except RETRIABLE as error:
            self.unreachable.append(self._placed(where, error))
        except DELIBERATE as error:
            self.problems.append(self._placed(where, error))
        # The hooks let pass what botocore may still retry, such as a 500.
        except (BotoCoreError, ClientError) as error:
            self.unreachable.append(self._placed(where, error))

    def _placed(self, where: Field | str, error: Exception) -> str:
        if not isinstance(where, str):
            return self.file.line_of(Problem(where, str(error)))
        return str(error) if str(error).startswith("include/") else f"{where}: {error}"

    def raise_any(self) -> None:
        """Raise an error if there is a finding other than notes.

        :raises FatalError: with every problem, one line each.
        :raises RetriableError: there is no problem, but a check failed for the moment.
        """
        if self.problems:
            raise FatalError("\n".join([*dict.fromkeys(self.problems), *self.unreachable]))
        if self.unreachable:
            raise RetriableError("\n".join(self.unreachable))
