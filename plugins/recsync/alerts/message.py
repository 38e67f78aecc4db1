"""One message, and what of it may leave the house."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow.providers.common.compat.sdk import redact

from recsync.program import Event

# Enough for every text of ours; what a service answers can be longer. Slack cuts at 40,000, SNS at 262,144 bytes.
_TEXT_CHARACTERS = 3000
_SUBJECT_CHARACTERS = (
    100  # SNS: up to 100 ASCII characters, https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
)
# The longest local part is 64 characters (RFC 5321, 4.5.3.1.1); without a bound a long word takes quadratic time.
_EMAIL = re.compile(r"[^\s@<>\"'(),;:]{1,64}@[^\s@<>\"'(),;:]{1,255}\.\w+")


@dataclass(frozen=True)
class Message:
    """What people are told.

    :param subject: one line.
    :param text: lines.
    :param held_back: how many messages of the same subject were not sent since the last one.
    """

    program: str
    event: Event
    subject: str
    text: str
    held_back: int = 0

    @property
    def title(self) -> str:
        """The subject with the program, one line that fits every service."""
        line = " ".join(f"[recsync] {self.program}: {clean(self.subject)}".split())
        return line.encode("ascii", "replace").decode()[:_SUBJECT_CHARACTERS]

    @property
    def body(self) -> str:
        """The text, without what no message may hold, and not too long."""
        more = f"\nSince the last message of this subject, {self.held_back} more were held back."
        return clean(self.text) + (more if self.held_back else "")


def clean(text: str) -> str:
    """Mask Airflow's secrets and e-mail addresses, and cut what is too long."""
    masked = _EMAIL.sub("***", str(redact(text)))
    return masked if len(masked) <= _TEXT_CHARACTERS else f"{masked[:_TEXT_CHARACTERS]}… (cut; see the log)"
