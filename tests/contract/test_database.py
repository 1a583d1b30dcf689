# SPDX-License-Identifier: Apache-2.0
"""A whole stack with its logs in PostgreSQL: it signs, its password is seen nowhere, and what is wrong is said with what to do."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import make_hosts
from tests.postgres_server import Server, running_server
from tests.stack_process import ROOT, RunningStack, environment, running_stack, sigbox

PASSWORD = "correct-horse"
ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that asks the role ``sigbox`` for its password; the role owns its database and may do nothing else."""
    with running_server() as server:
        server.sql(f"ALTER ROLE sigbox PASSWORD '{PASSWORD}'", "CREATE DATABASE sigbox OWNER sigbox")
        server.sql("CREATE DATABASE others")
        rules = server.data / "pg_hba.conf"
        rules.write_text(f"host sigbox sigbox 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        server.sql("SELECT pg_reload_conf()")
        yield server


def url(server: Server, folder: Path) -> str:
    passfile = folder / "pgpass"
    passfile.write_text(f"127.0.0.1:{server.port}:sigbox:sigbox:{PASSWORD}\n")
    passfile.chmod(0o600)
    return f"postgresql://sigbox@127.0.0.1:{server.port}/sigbox?passfile={passfile}"


def sign_and_verify(stack: RunningStack, folder: Path) -> None:
    artifact, bundle = folder / "artifact", folder / "artifact.json"
    artifact.write_bytes(b"content\n")
    trust = ("--trust-config", stack.trust_config)
    for version in ("1", "2"):
        token = stack.token(ALICE)
        done = sigbox(
            *("sign-blob", artifact, "--bundle", bundle, "--identity-token", token, "--rekor-version", version), *trust
        )
        assert done.returncode == 0, done.stderr
        identity = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        done = sigbox("verify-blob", artifact, "--bundle", bundle, *identity, *trust)
        assert done.returncode == 0, done.stderr
        bundle.unlink()


def test_a_stack_that_was_only_made_is_whole_in_a_database_without_its_tables(server, tmp_path):
    data, name = tmp_path / "data", "unborn"
    server.sql(f"CREATE DATABASE {name} OWNER sigbox")
    assert sigbox("init", "--data", data).returncode == 0
    with (data / "sigbox.toml").open("a") as file:
        file.write(f'database = "{server.url.rpartition("/")[0]}/{name}"\n')
    done = sigbox("fsck", "--data", data)
    assert (done.returncode, done.stdout.count("intact: it was never started")) == (0, 3), done.stdout
    (data / "anchor" / "ct.checkpoint").write_bytes(b"")
    done = sigbox("fsck", "--data", data)
    assert (done.returncode, done.stdout.count("DAMAGED")) == (1, 3), done.stdout


def test_a_stack_signs_into_postgresql_goes_on_after_a_restart_and_is_checked_there(server, tmp_path):
    data, database = tmp_path / "data", url(server, tmp_path)
    with running_stack(tmp_path, "--data", data, "--database", database, forked=False) as stack:
        sign_and_verify(stack, tmp_path)
        process = Path(f"/proc/{stack.process.pid}")
        assert PASSWORD not in (process / "cmdline").read_text() + stack.output()
    settings = data / "sigbox.toml"
    settings.write_text(f'{settings.read_text()}database = "{database}"\n')
    with running_stack(tmp_path, "--data", data) as stack:
        sign_and_verify(stack, tmp_path)
        assert "this host writes the log" in stack.output()
    assert f'database = "{database}"' in settings.read_text(), (
        "a start has written the settings anew and lost the database"
    )
    assert not list(data.rglob("log.db"))
    done = sigbox("fsck", "--data", data, "--json")
    assert done.returncode == 0, done.stdout
    logs = json.loads(done.stdout)["logs"]
    assert {name: log["entries"] for name, log in logs.items()} == {"ct": 5, "rekor": 3, "rekor-v1": 3}
    done = sigbox("doctor", "--data", data, "--json")
    told = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "database")
    assert told["state"] == "ok"
    assert re.fullmatch(r"PostgreSQL \S+.*, without TLS", told["found"]), told
    server.sql("UPDATE sigbox_rekor.entry SET leaf = '\\x00' WHERE idx = 1", database="sigbox")
    done = sigbox("fsck", "--data", data, "--json")
    assert done.returncode == 1
    assert {name for name, log in json.loads(done.stdout)["logs"].items() if not log["intact"]} == {"rekor"}
    settings.write_text(settings.read_text().replace(f'database = "{database}"\n', ""))
    done = sigbox("up", "--data", data, "--listen", "127.0.0.1:0")
    assert done.returncode == 3, "its logs begin anew in files"
    assert "has 0 entries, but a checkpoint of" in done.stderr


@pytest.mark.parametrize("named", ["settings", "option"])
def test_a_backup_is_refused_and_what_it_says_instead_brings_a_stack_back(server, tmp_path, named):
    name = f"kept_{named}"
    server.sql(f"CREATE DATABASE {name} OWNER sigbox", f"CREATE DATABASE {name}_restored OWNER sigbox")
    data, database = tmp_path / "data", url(server, tmp_path).replace("/sigbox?", f"/{name}?")
    with running_stack(tmp_path, "--data", data, "--database", database) as stack:
        sign_and_verify(stack, tmp_path)
    if named == "settings":
        settings = data / "sigbox.toml"
        settings.write_text(f'{settings.read_text()}database = "{database}"\n')
    done = sigbox("backup", tmp_path / "backup.tar", "--data", data)
    assert done.returncode == 1, done.stderr
    assert not (tmp_path / "backup.tar").exists()
    assert f"the logs of {data} are kept in PostgreSQL" in done.stderr
    tar, dump = (
        re.search(form, done.stderr) for form in (r"tar -cpf HOST\.tar -C \S+ \.", r"pg_dump (.*?) -f LOGS\.dump URL")
    )
    assert tar is not None
    assert dump is not None
    subprocess.run(tar[0].split(), cwd=tmp_path, check=True, timeout=60)
    server.pg_dump(*shlex.split(dump[1]), database=name)
    with running_stack(tmp_path, "--data", data, "--database", database) as stack:
        sign_and_verify(stack, tmp_path)

    server.pg_restore(database=f"{name}_restored")
    restored = database.replace(f"/{name}?", f"/{name}_restored?")
    done = sigbox("up", "--data", data, "--listen", "127.0.0.1:0", "--database", restored)
    assert done.returncode == 3, "what was published after the dump is missing there"
    assert "the database was failed over or restored since" in done.stderr or "has been published" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["tar", "-xpf", "HOST.tar", "-C", other], cwd=tmp_path, check=True, timeout=60)
    with running_stack(tmp_path, "--data", other, "--database", restored) as stack:
        sign_and_verify(stack, tmp_path)


def test_workers_of_a_host_bring_their_entries_to_its_one_sequencer(server, tmp_path):
    database = url(server, tmp_path).replace("/sigbox?", "/workers?")
    server.sql("CREATE DATABASE workers OWNER sigbox")
    with running_stack(tmp_path, "--data", tmp_path / "data", "--database", database, "--workers", "2") as stack:
        sign_and_verify(stack, tmp_path)
    assert server.sql("SELECT size FROM sigbox_rekor.head", database="workers") == "2"


def test_a_role_that_may_make_no_tables_is_told_so(server, tmp_path):
    hosts = make_hosts(tmp_path, url(server, tmp_path).replace("/sigbox?", "/others?"))
    # Another database of the same server, where the role may not make anything.
    refused = sigbox(
        "serve", "log", "--data", hosts[0].data, "--database", hosts[0].database, "--listen", "127.0.0.1:0"
    )
    assert refused.returncode == 4, refused.stderr
    assert "the log's tables cannot be made: permission denied" in refused.stderr


@pytest.mark.parametrize("how", ["option", "variable", "settings"])
def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path, how):
    secret = f"postgresql://sigbox:{PASSWORD}@127.0.0.1/sigbox"
    arguments = ["up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0"]
    extra = {}
    if how == "option":
        arguments += ["--database", secret]
    elif how == "variable":
        extra["SIGBOX_DATABASE"] = secret
    else:
        assert sigbox("init", "--data", tmp_path / "data", "--yes").returncode == 0
        settings = tmp_path / "data" / "sigbox.toml"
        settings.write_text(f'{settings.read_text()}database = "{secret}"\n')
    done = sigbox(*arguments, **extra)
    assert done.returncode in {1, 2, 3}, done.stderr
    assert "has a password in it" in done.stderr
    assert "passfile=" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout


def test_a_database_that_does_not_answer_is_said_at_the_start(tmp_path):
    arguments = ("up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0")
    done = sigbox(*arguments, "--database", "postgresql://sigbox@127.0.0.1:1/sigbox")
    assert done.returncode == 4, done.stderr
    assert "the log's database cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_driver_the_extra_is_named_and_files_need_nothing_of_it(tmp_path):
    script = """
import sys
sys.modules["asyncpg"] = None
from stack.config import Home, Settings
from stack import fsck, kept_logs
from stack.shards import Shard
from datetime import datetime, UTC
from pathlib import Path
settings = Settings("http://localhost", datetime.now(UTC), False, False)
store, _ = kept_logs._kept(Home(Path(sys.argv[1])), settings, Shard("rekor", 1))
print(type(store).__name__)
try:
    kept_logs._kept(Home(Path(sys.argv[1])), Settings("http://localhost", datetime.now(UTC), False, False, database="postgresql://x/y"), Shard("rekor", 1))
except Exception as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    store, message = done.stdout.strip().split("\n", 1)
    assert store == "SqliteStore"
    assert "asyncpg, which is not installed" in message
    assert "sigbox[postgres]" in message
