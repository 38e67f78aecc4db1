"""Images that stand for those of the compose file where no image registry can be reached.

One root file system of Debian 12 serves as apache/airflow, postgres and redis, in a storage of its own, under the names
that the compose file and the Dockerfile use. Installs nothing on the host.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TOOLS = {
    "podman": "podman runc containernetworking-plugins golang-github-containernetworking-plugin-dnsname uidmap",
    "debootstrap": "debootstrap",
}
PACKAGES = "python3.11,dumb-init,curl,ca-certificates,hostname,libgomp1,redis-server,postgresql"
AIRFLOW_UID = 50000
IMAGES = {
    "airflow": """ENV AIRFLOW_HOME=/opt/airflow PATH=/home/airflow/venv/bin:/usr/bin:/bin:/usr/sbin:/sbin
WORKDIR /opt/airflow
USER 50000
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint-airflow"]
""",
    "postgres": 'ENTRYPOINT ["/entrypoint-postgres"]\n',
    "redis": 'VOLUME /data\nENTRYPOINT ["/entrypoint-redis"]\n',
}
ENTRYPOINTS = {
    "airflow": """#!/bin/bash
until pg_isready --quiet --dbname "${AIRFLOW__DATABASE__SQL_ALCHEMY_CONN/+psycopg2/}"; do sleep 1; done
case "$1" in bash|python) exec "$@" ;; *) exec airflow "$@" ;; esac
""",
    "postgres": """#!/bin/bash
set -e
bin=$(echo /usr/lib/postgresql/*/bin) data=/var/lib/postgresql/data
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
install -d -o postgres -m 700 $data /var/run/postgresql
if [ ! -s $data/PG_VERSION ]; then
  install -o postgres -m 600 /dev/null /tmp/password && echo "$POSTGRES_PASSWORD" > /tmp/password
  as $bin/initdb --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --username="$POSTGRES_USER" \\
    --pwfile=/tmp/password -D $data
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> $data/pg_hba.conf
  as $bin/pg_ctl -D $data -w -o '-c listen_addresses=' start
  PGPASSWORD="$POSTGRES_PASSWORD" $bin/createdb --host=/var/run/postgresql -U "$POSTGRES_USER" "$POSTGRES_DB"
  as $bin/pg_ctl -D $data -w stop
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups $bin/postgres -D $data -c 'listen_addresses=*'
""",
    "redis": '#!/bin/sh\nexec "$@"\n',
}


# Other entrypoints make another image.
BASE = f"localhost/recsync-base:{hashlib.sha256(repr(ENTRYPOINTS).encode()).hexdigest()[:12]}"


def missing_tools() -> str:
    """Say what must be installed first; empty: nothing."""
    packages = [packages for tool, packages in TOOLS.items() if not shutil.which(tool)]
    lacking = [f"apt-get install {' '.join(packages)}"] if packages else []
    if not shutil.which("podman-compose"):
        lacking.append("pip install podman-compose into an environment whose bin/ is on the PATH")
    return "; ".join(lacking)


def run(*command: str | Path, environ: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command, and give what it printed."""
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def podman_environment(folder: Path) -> dict[str, str]:
    """Point Podman to a storage of its own below ``folder``."""
    (folder / "empty").mkdir(parents=True, exist_ok=True)
    files = {
        "CONTAINERS_CONF": (
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        ),
        "CONTAINERS_STORAGE_CONF": (
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
        ),
        "CONTAINERS_REGISTRIES_CONF": 'unqualified-search-registries = ["docker.io"]\n',
    }
    # What a test process has set for Airflow must not override the compose file's .env.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    for name, text in files.items():
        file = folder / f"{name.lower()}.conf"
        file.write_text(text)
        environ[name] = str(file)
    return environ


def import_images(folder: Path, environment: Path, names: Sequence[str], environ: dict[str, str]) -> None:
    """Make the images, each under its name in docker.io, unless an earlier run did.

    :param environment: a virtual environment of Debian's Python 3.11 with requirements-dev.txt.
    """
    config = (environment / "pyvenv.cfg").read_text()
    assert "version = 3.11" in config, f"{environment} is not of Python 3.11"
    root = folder / "root"
    if not (root / "complete").exists():
        # debootstrap mounts it; one that was killed left it.
        subprocess.run(["umount", "--quiet", root / "proc"], check=False)
        shutil.rmtree(root, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root)
        home = root / "home/airflow"
        for made in (home, root / "opt/airflow/logs", root / "data"):
            made.mkdir(parents=True)
        shutil.copytree(environment, home / "venv", symlinks=True)
        (home / "venv/bin/python3.11").unlink(missing_ok=True)
        (home / "venv/bin/python3.11").symlink_to("/usr/bin/python3.11")
        for script in (home / "venv/bin").iterdir():
            if script.is_file() and not script.is_symlink() and script.read_bytes().startswith(b"#!"):
                text = re.sub(
                    r"^#!.*/bin/python[\d.]*", "#!/home/airflow/venv/bin/python3.11", script.read_text()
                )
                script.write_text(text)
        for name in ("python", "python3"):
            (home / "venv/bin" / name).unlink(missing_ok=True)
            (home / "venv/bin" / name).symlink_to("python3.11")
        run("chroot", root, "useradd", "--uid", str(AIRFLOW_UID), "--gid", "0", "airflow")
        run("chown", "-R", f"{AIRFLOW_UID}:0", home, root / "opt/airflow")
        run("chroot", root, "chown", "redis:redis", "/data")
        (root / "complete").touch()
    for name, text in ENTRYPOINTS.items():
        (root / f"entrypoint-{name}").write_text(text)
        (root / f"entrypoint-{name}").chmod(0o755)
    if subprocess.run(["podman", "image", "exists", BASE], env=environ, check=False).returncode:
        archive = subprocess.Popen(
            ["tar", "-C", root, "--one-file-system", "-c", "."], stdout=subprocess.PIPE
        )
        subprocess.run(["podman", "import", "-", BASE], stdin=archive.stdout, env=environ, check=True)
        assert archive.wait() == 0
    for name in names:
        kind = re.split(r"[/:]", name.removeprefix("apache/"))[0]
        recipe = folder / f"Dockerfile-{kind}"
        recipe.write_text(f"FROM {BASE}\n{IMAGES[kind]}")
        full = f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"
        run("podman", "build", "--tag", full, "--file", recipe, folder / "empty", environ=environ)
