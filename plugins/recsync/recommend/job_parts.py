"""Split the input of a batch inference job into several jobs, when one cannot take the whole of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from recsync.errors import FatalError

if TYPE_CHECKING:
    from recsync.storage.bucket import Bucket

# "Maximum number of records per input file": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MAX_INPUT_LINES = 50_000_000
_BLOCK_BYTES = 1024**2
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class WrittenPart:
    """The input of one job on S3.

    :param folder: of this part below the run's, as the key map takes it; empty for the only part.
    :param digest: checksum of its lines.
    """

    folder: str
    digest: str
    lines: int


@dataclass(frozen=True)
class JobPart:
    """One of the jobs that together take the input of a plan.

    :param job: name of the job.
    :param input: URI of its input; ``output``: of its output folder.
    :param lines: number of lines of the input; 0: not counted, in plans of earlier releases.
    """

    job: str
    input: str
    output: str
    lines: int = 0

    @classmethod
    def all_of(cls, plan: Mapping[str, Any]) -> list[Self]:
        """Return the jobs of a plan, at least one."""
        names = [field.name for field in fields(cls)]
        return [
            cls(**{name: part[name] for name in names if name in part})
            for part in plan.get("parts") or [plan]
        ]

    @staticmethod
    def plan(parts: list[JobPart]) -> dict[str, Any]:
        """Return the members of a plan that name its jobs; the first job's are also where earlier releases had them."""
        return {**asdict(parts[0]), "parts": [asdict(part) for part in parts]}


def part_folders(parts: int) -> list[str]:
    """Return the folders of the parts: a single part has none, as in earlier releases."""
    return [""] if parts == 1 else [f"{part}-of-{parts}/" for part in range(1, parts + 1)]


def upload_parts(
    bucket: Bucket,
    lines: Path,
    key_of: Callable[[str], str],
    *,
    max_bytes: int,
    max_lines: int = MAX_INPUT_LINES,
) -> list[WrittenPart]:
    """Write the lines of an input to S3, an object for each job that is needed, filled one after another.

    The order of the lines stays. The number of parts depends on the input and on the limits alone, so that a retry
    writes the same objects.

    :param lines: JSON Lines; stays as it is.
    :param key_of: key of an object, by the folder of its part.
    :param max_bytes: most bytes of a part; ``max_lines``: most lines.
    :raises FatalError: when a single line is longer than a job may read.
    """
    parts, written = _parts(lines, max_bytes, max_lines), []
    with lines.open("rb") as file:
        for folder, (start, end, count) in zip(part_folders(len(parts)), parts, strict=True):
            piece = lines if len(parts) == 1 else lines.with_suffix(".part")
            digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
            if piece is lines:
                for block in _blocks(file, start, end):
                    digest.update(block)
            else:
                with piece.open("wb") as target:
                    for block in _blocks(file, start, end):
                        digest.update(block)
                        target.write(block)
            bucket.upload(key_of(folder), piece)
            if piece is not lines:
                piece.unlink()
            written.append(WrittenPart(folder, digest.hexdigest(), count))
    return written


def _parts(lines: Path, max_bytes: int, max_lines: int) -> list[tuple[int, int, int]]:
    """Return begin, end and number of lines of each part: as many lines as its limits allow."""
    size, start = lines.stat().st_size, 0
    found: list[tuple[int, int, int]] = []
    with lines.open("rb") as file:
        while start < size or not found:
            end, count = _part_end(file, start, min(size, start + max_bytes), max_lines)
            if end == start < size:
                raise FatalError(
                    f"The job's input has a line of more than {max_bytes:,} bytes, the most that one job takes "
                    "([recsync] job_input_bytes); rank shorter lists."
                )
            found.append((start, end, count))
            start = end
    return found


def _part_end(file: BinaryIO, start: int, limit: int, max_lines: int) -> tuple[int, int]:
    """Return the end of the last line before a limit, and the number of lines until there."""
    end = place = start
    count = 0
    for block in _blocks(file, start, limit):
        here = block.count(b"\n")
        if count + here > max_lines:
            after = 0
            for _ in range(max_lines - count):
                after = block.index(b"\n", after) + 1
            return (place + after if after else end), max_lines
        if here:
            end = place + block.rindex(b"\n") + 1
        count += here
        place += len(block)
    return end, count


def _blocks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end and (block := file.read(min(_BLOCK_BYTES, end - start))):
        start += len(block)
        yield block
