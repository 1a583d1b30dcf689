# SPDX-License-Identifier: Apache-2.0
"""From the owner of a policy to somebody who types no identity: published by a running stack, fetched over TUF, obeyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from tests.stack_process import RunningStack, running_stack, sigbox


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> RunningStack:
    folder = tmp_path_factory.mktemp("policy")
    with running_stack(folder, "--data", folder / "data") as stack:
        yield stack


def fetch(stack: RunningStack, cache: Path, *names: str) -> dict[str, Path]:
    """As any TUF client does: the first root by a trusted way, everything else over HTTP."""
    cache.mkdir()
    root = stack.tuf_root.read_bytes()
    updater = Updater(str(cache), f"{stack.tuf_mirror}/", str(cache), f"{stack.tuf_mirror}/targets/", bootstrap=root)
    updater.refresh()
    infos = {name: updater.get_targetinfo(name) for name in names}
    return {name: Path(updater.download_target(info, str(cache / name))) for name, info in infos.items()}


def test_a_verifier_without_flags_obeys_the_policy_that_the_stack_publishes(stack, tmp_path):
    release, other = tmp_path / "release.txt", tmp_path / "other.txt"
    for file, email in ((release, "alice@example.com"), (other, "mallory@example.com")):
        file.write_text(f"by {email}\n")
        trust = ("--trust-config", stack.trust_config, "--identity-token", stack.token(email))
        done = sigbox("sign-blob", file, *trust)
        assert done.returncode == 0, done.stderr
    policy = {
        "apiVersion": "policy/v1",
        "expires": "2099-12-31",
        "identities": {"alice": {"issuer": stack.oidc_issuer, "email": "alice@example.com"}},
        "artifacts": [{"match": {"file": "*.txt"}, "allow": ["alice"], "anyName": True}],
    }
    (tmp_path / "written.json").write_text(json.dumps(policy))
    done = sigbox("trust", "policy", tmp_path / "written.json", "--data", stack.data)
    assert done.returncode == 0, done.stderr
    fetched = fetch(stack, tmp_path / "cache", "trusted_root.json", "policy.json")
    assert json.loads(fetched["policy.json"].read_bytes()) == policy
    for root in (fetched["trusted_root.json"], stack.trusted_root):
        good = sigbox("verify-blob", release, SIGBOX_TRUSTED_ROOT=str(root))
        assert good.returncode == 0, good.stderr
        assert "alice@example.com signed it" in good.stderr
        bad = sigbox("verify-blob", other, SIGBOX_TRUSTED_ROOT=str(root))
        assert bad.returncode == 1
        assert "the signer is 'mallory@example.com'" in bad.stderr
