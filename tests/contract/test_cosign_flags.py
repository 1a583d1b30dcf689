# SPDX-License-Identifier: Apache-2.0
"""Fingers and scripts carry over from cosign: each flag of its commands is taken, or refused with what to write instead."""

from __future__ import annotations

import argparse
from importlib import import_module

import pytest

from stack.cli.cosign_flags import REASONS, SO_ANYWAY
from stack.cli.table import COMMANDS
from tests.stack_process import sigbox

REGISTRY = (
    "allow-http-registry allow-insecure-registry k8s-keychain registry-cacert registry-client-cert registry-client-key"
    " registry-password registry-referrers-mode registry-server-name registry-token registry-username"
)
LOGIN = (
    "fulcio-auth-flow identity-token oidc-client-id oidc-client-secret-file oidc-disable-ambient-providers oidc-provider"
    " oidc-redirect-url"
)
IDENTITY = (
    "certificate-github-workflow-name certificate-github-workflow-ref certificate-github-workflow-repository"
    " certificate-github-workflow-sha certificate-github-workflow-trigger certificate-identity certificate-identity-regexp"
    " certificate-oidc-issuer certificate-oidc-issuer-regexp"
)
TIMESTAMP = "timestamp-client-cacert timestamp-client-cert timestamp-client-key timestamp-server-name"
SIGN = "certificate certificate-chain key signing-config sk slot trusted-root use-signing-config yes"
VERIFY = "allow-certificate-chain insecure-ignore-sct insecure-ignore-tlog key max-workers sk slot trusted-root use-signed-timestamps"
FLAGS = {
    "sign-blob": f"bundle signing-algorithm {SIGN} {LOGIN} {TIMESTAMP}",
    "attest-blob": f"bundle hash predicate statement type {SIGN} {LOGIN} {TIMESTAMP}",
    "sign": f"annotations bundle recursive upload {SIGN} {REGISTRY} {LOGIN} {TIMESTAMP}",
    "attest": f"bundle no-upload predicate statement type {SIGN} {REGISTRY} {LOGIN} {TIMESTAMP}",
    "verify-blob": f"bundle {VERIFY} {IDENTITY}",
    "verify-blob-attestation": f"bundle check-claims digest digestAlg type {VERIFY} {IDENTITY}",
    "verify": f"annotations check-claims local-image output {VERIFY} {REGISTRY} {IDENTITY}",
    "verify-attestation": f"check-claims local-image output policy type {VERIFY} {REGISTRY} {IDENTITY}",
    "clean": f"force type {REGISTRY}",
    "tree": REGISTRY,
    "load": f"dir {REGISTRY}",
    "save": f"dir {REGISTRY}",
    "initialize": "mirror root root-checksum staging",
    "generate-key-pair": "kms output-key-prefix",
    "import-key-pair": "key output-key-prefix yes",
    "public-key": "key outfile sk slot",
    "version": "json",
}
"""Command -> the flags of cosign 3.1, as its manual lists them."""


@pytest.mark.parametrize("command", FLAGS)
def test_every_flag_of_cosign_is_taken_or_refused_with_a_reason(command):
    parser = argparse.ArgumentParser()
    import_module(COMMANDS[command].module).add_arguments(parser)
    taken = {option for action in parser._actions for option in action.option_strings}
    unknown = {f"--{flag}" for flag in FLAGS[command].split()} - taken - set(REASONS) - SO_ANYWAY
    assert not unknown


@pytest.mark.parametrize("flag", REASONS)
def test_a_refused_flag_says_what_to_write_instead(flag):
    done = sigbox("public-key", "--key", "FILE", f"{flag}=x")
    assert done.returncode == 2
    assert f"{flag} of cosign is not taken here: {REASONS[flag]}" in done.stderr


def test_what_is_so_anyway_is_passed_over_and_what_nobody_knows_is_not(tmp_path):
    given = ("public-key", "--key", tmp_path / "none.key")
    assert "none.key" in sigbox(*given, *sorted(SO_ANYWAY)).stderr
    done = sigbox(*given, "--check-claims", "--nonsense")
    assert done.returncode == 2
    assert "unrecognized arguments: --nonsense" in done.stderr


def test_the_version_for_programs():
    assert sigbox("version", "--json").stdout == '{"version": "0.1.0"}\n'
