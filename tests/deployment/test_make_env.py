"""The generator of .env."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import make_env
import pytest
from cryptography.fernet import Fernet

REPO = Path(__file__).resolve().parents[2]
TEMPLATE = (REPO / ".env.example").read_text()


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_the_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    command = [sys.executable, str(REPO / "deploy/make_env.py"), "--file", str(file)]

    first = subprocess.run(command, capture_output=True, text=True, check=False)
    written = file.read_text()
    second = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (first.returncode, second.returncode) == (0, 1)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == written
    assert "stays as it is" in second.stderr
    # What is said may end in a log; the secrets must not.
    assert not [value for value in variables(written).values() if value in first.stdout + second.stderr]


def test_every_secret_is_new_each_time_and_fit_for_an_address() -> None:
    first, second = (variables(make_env.env_text(TEMPLATE, local=False)) for _ in range(2))
    assert set(first) == set(make_env.GENERATORS)
    assert not set(first.values()) & set(second.values())
    assert len(set(first.values())) == len(first)
    for name, value in first.items():
        assert re.fullmatch(r"[\w-]{20,}=?", value), name
    assert len(first["AIRFLOW_JWT_SECRET"]) >= 64
    Fernet(first["AIRFLOW_FERNET_KEY"])


def test_only_local_turns_the_profile_on() -> None:
    assert "COMPOSE_PROFILES" not in make_env.env_text(TEMPLATE, local=False)
    assert variables(make_env.env_text(TEMPLATE, local=True))["COMPOSE_PROFILES"] == "local"


@pytest.mark.parametrize("line", ["NEW_PASSWORD=\n", ""])
def test_a_template_with_other_secrets_is_refused(line: str) -> None:
    template = TEMPLATE + line if line else TEMPLATE.replace("REDIS_PASSWORD=\n", "")
    with pytest.raises(ValueError, match="disagree about the secrets"):
        make_env.env_text(template, local=False)
