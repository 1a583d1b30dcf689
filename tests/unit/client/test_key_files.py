# SPDX-License-Identifier: Apache-2.0
"""Key pairs as they are typed: made, imported, shown; never half written, never over another one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from client.key_files import load_private_key
from sigcore import keys
from sigcore.errors import Refused
from sigcore.trustroot import TrustedRoot, encode_trusted_root
from stack.cli import main
from stack.cli.passphrase import open_private_key
from stack.cli.public_keys import read_public_key
from stack.cli.usage import Usage


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSIGN_PASSWORD", "p\u00e4ss")
    return tmp_path


def read(path, passphrase="p\u00e4ss"):
    return load_private_key(path, passphrase.encode)


def test_a_new_pair(folder, capsys):
    assert main(["generate-key-pair"]) == 0
    assert stat.S_IMODE((folder / "cosign.key").stat().st_mode) == 0o600
    public = keys.encode_public_key_pem(read("cosign.key").public_key())
    assert (folder / "cosign.pub").read_text() == public
    assert main(["public-key", "--key", "cosign.key"]) == 0
    assert capsys.readouterr().out == public
    assert main(["public-key", "--key", "cosign.key", "--outfile", "again.pub"]) == 0
    assert (folder / "again.pub").read_text() == public


def test_a_pair_is_not_written_over_another_one(folder, capsys):
    assert main(["generate-key-pair", "--output-key-prefix", "k"]) == 0
    before = (folder / "k.key").read_bytes()
    assert main(["generate-key-pair", "--output-key-prefix", "k"]) != 0
    assert "k.key is already there" in capsys.readouterr().err
    (folder / "k.key").unlink()
    assert main(["generate-key-pair", "--output-key-prefix", "k"]) != 0
    assert not (folder / "k.key").exists()
    assert main(["generate-key-pair", "--output-key-prefix", "k", "--yes"]) == 0
    assert (folder / "k.key").read_bytes() != before


def test_another_password(folder, monkeypatch, capsys):
    assert main(["generate-key-pair"]) == 0
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    Path("root.json").write_bytes(encode_trusted_root(TrustedRoot()))
    for command in (["public-key"], ["import-key-pair"], ["sign-blob", "cosign.key", "--trusted-root", "root.json"]):
        assert main([*command, "--key", "cosign.key"]) == 2
        assert "cannot be decrypted" in capsys.readouterr().err


def test_without_a_terminal_and_a_variable(folder, monkeypatch, capsys):
    monkeypatch.delenv("COSIGN_PASSWORD")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["generate-key-pair"]) == 2
    assert "COSIGN_PASSWORD" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_an_imported_key(folder):
    key = ec.generate_private_key(ec.SECP384R1())
    (folder / "plain.pem").write_bytes(keys.encode_private_key(key))
    assert main(["import-key-pair", "--key", "plain.pem"]) == 0
    imported = read("import-cosign.key")
    assert keys.encode_public_key(imported.public_key()) == keys.encode_public_key(key.public_key())
    assert read("plain.pem").curve.name == "secp384r1"


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_a_key_that_openssl_has_put_under_a_password(folder, monkeypatch, capsys, form: str, kind: str):
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else rsa.generate_private_key(65537, 2048)
    locked = serialization.BestAvailableEncryption("p\u00e4ss".encode())
    pem = key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), locked)
    (folder / "locked.pem").write_bytes(pem)
    assert main(["import-key-pair", "-k", "locked.pem", "-o", "import-cosign"]) == 0
    public = keys.encode_public_key_pem(key.public_key())
    assert keys.encode_public_key_pem(read("import-cosign.key").public_key()) == public
    capsys.readouterr()
    assert main(["public-key", "--key", "locked.pem"]) == 0
    assert capsys.readouterr().out == public
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    assert main(["public-key", "--key", "locked.pem"]) == 2
    assert "cannot be decrypted" in capsys.readouterr().err


def test_a_key_in_a_variable(folder, monkeypatch, capsys):
    """As cosign takes it; a shell that reads a file into one leaves its last line feed out."""
    assert main(["generate-key-pair"]) == 0
    public = (folder / "cosign.pub").read_text()
    monkeypatch.setenv("PRIVATE", (folder / "cosign.key").read_text().strip())
    monkeypatch.setenv("PUBLIC", public.strip())
    capsys.readouterr()
    assert main(["public-key", "--key", "env://PRIVATE"]) == 0
    assert capsys.readouterr().out == public
    assert keys.encode_public_key_pem(read_public_key("env://PUBLIC")) == public
    for wanted, said in (("env://NOWHERE", "no such variable is set"), ("env://PUBLIC", "not a PKCS#8 PEM")):
        assert main(["public-key", "--key", wanted]) == 2
        assert said in capsys.readouterr().err


def test_a_key_at_a_url_is_not_fetched():
    for read_any in (read_public_key, open_private_key):
        with pytest.raises(Usage, match="keys are not fetched"):
            read_any("http://127.0.0.1:1/key.pub")


def test_what_is_no_key(folder):
    (folder / "nothing").write_bytes(b"nothing")
    assert main(["public-key", "--key", "nothing"]) == 2
    assert main(["public-key", "--key", "absent"]) == 2
    (folder / "pkcs8.pem").write_bytes(keys.encode_private_key(keys.generate_p256(), b"x"))
    with pytest.raises(Refused, match="cannot be decrypted"):
        read("pkcs8.pem")
