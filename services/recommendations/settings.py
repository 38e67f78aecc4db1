"""Read what one deployment of the service sets: folders, programs, fields of an item, limits."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from limits import parse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from recsync.errors import FatalError
from recsync.formatting import did_you_mean
from recsync.program import Program
from recsync.program.files import SUFFIX, program_files, read_program, read_programs

log = logging.getLogger(__name__)

VARIABLE = "RECOMMENDATIONS_SETTINGS"
"""Hands the settings from the first process to the workers and to the updater, as JSON."""
FIELDS = ("id", "url", "name", "price", "image")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Live(_Strict):
    """A campaign or recommender of Amazon Personalize that is asked before the published list is taken.

    :param arn: of the campaign or the recommender.
    :param filter_arn: of a filter without values, applied to each answer.
    :param timeout_ms: how long a request waits for it; then the published list answers.
    """

    arn: Annotated[str, Field(pattern=r"^arn:[\w-]+:personalize:[\w-]+:\d{12}:(campaign|recommender)/.+$")]
    filter_arn: str | None = None
    timeout_ms: int = Field(default=200, ge=10, le=1_900)


class ProgramSettings(_Strict):
    """What the service does for one program.

    :param fields: member of an item -> column of ``catalogue.sql``; None: ``FIELDS``, null where a column is missing.
    """

    fields: dict[str, str] | None = None
    live: Live | None = None

    @field_validator("fields", mode="before")
    @classmethod
    def _named_alike(cls, value: Any) -> Any:
        return dict.fromkeys(value) | {name: name for name in value} if isinstance(value, list) else value


class Config(_Strict):
    """The file of ``--config``.

    :param programs: the programs to serve; None: every program file below ``include/programs``.
    :param rate_limit: requests of a key without a limit of its own.
    :param max_age_seconds: how long a client may keep an answer; less when the next run of ``recommend`` is nearer.
    :param publication_poll_seconds: how often S3 is asked for a newer publication.
    :param suppression_poll_seconds: how often S3 is asked for erased people.
    :param max_unchecked_seconds: answer 503 when the suppression list could not be read for this long.
    """

    programs: dict[str, ProgramSettings | None] | None = None
    rate_limit: str = "2000/second"
    max_age_seconds: int = Field(default=60, ge=0, le=86_400)
    publication_poll_seconds: float = Field(default=15, gt=0)
    suppression_poll_seconds: float = Field(default=1, gt=0)
    max_unchecked_seconds: float = Field(default=3600, gt=0)

    @field_validator("rate_limit")
    @classmethod
    def _is_limit(cls, value: str) -> str:
        parse(value)
        return value


class Settings(_Strict):
    """The settings of all processes of one service.

    :param data: folder of the stores; only this service writes there.
    :param keys: file with the hashes of the API keys.
    """

    data: Path
    keys: Path
    include: Path
    bucket: str | None = None
    workers: int = 1
    config: Config = Config()

    @classmethod
    def from_environment(cls) -> Self:
        """Read what the first process set."""
        return cls.model_validate_json(os.environ[VARIABLE])

    @cached_property
    def programs(self) -> dict[str, Program]:
        """Read the program files of the programs to serve. One that is broken is left out of all, and logged.

        :raises ProgramError: with the problems of one that the configuration names.
        :raises FatalError: when there is none, or the configuration names one that does not exist.
        """
        folder = self.include / "programs"
        if self.config.programs is None:
            sound, broken = read_programs(self.include)
            for name, error in broken.items():
                log.error("Program %s is not served, because its file is wrong: %s", name, error)
            if not sound:
                raise FatalError(f"{folder} has no program file to serve; correct --include.")
            return sound
        for name in self.names:
            if not (folder / f"{name}{SUFFIX}").is_file():
                hint = did_you_mean(name, [path.stem for path in program_files(self.include)]) or "."
                raise FatalError(f"programs.{name}: {folder} has no {name}{SUFFIX}{hint} Correct --config.")
        return {name: read_program(folder / f"{name}{SUFFIX}", self.include) for name in self.names}

    @property
    def names(self) -> list[str]:
        """Name the programs to serve, also broken ones."""
        if self.config.programs is not None:
            return list(self.config.programs)
        return [path.stem for path in program_files(self.include)]

    def of(self, program: str) -> ProgramSettings:
        """Return the settings of one program."""
        return (self.config.programs or {}).get(program) or ProgramSettings()

    def bucket_of(self, program: Program) -> str:
        """Return the program's bucket."""
        if found := program.bucket or self.bucket:
            return found
        raise FatalError(f"Program {program.name} names no bucket; set it there, or start with --bucket.")


def read_config(path: Path | None) -> Config:
    """Read the file of ``--config``.

    :raises FatalError: with every problem of it.
    """
    if path is None:
        return Config()
    try:
        return Config.model_validate(yaml.safe_load(path.read_text()) or {})
    except OSError as error:
        raise FatalError(f"Cannot read {path}: {error.strerror}. Correct --config.") from None
    except yaml.YAMLError as error:
        raise FatalError(f"{path} is not valid YAML: {error}") from None
    except ValidationError as error:
        problems = (f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise FatalError("\n".join(problems)) from None
