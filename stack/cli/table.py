# SPDX-License-Identifier: Apache-2.0
"""The table of commands and the exit codes. It imports nothing of ours, so that ``--help`` costs nothing."""

from __future__ import annotations


class ExitCode:
    """What the process ends with; scripts may rely on these. Plain numbers: ``enum`` would cost half of ``--help``."""

    DONE = 0
    REFUSED = 1
    """Verification refused."""
    USAGE = 2
    """The command line, or a file that it names, cannot be used."""
    SERVICE = 3
    """A service refused."""
    UNREACHABLE = 4
    """A service could not be reached."""
    POLICY = 5
    """The policy is absent or has expired."""


class Command:
    """One row of the table.

    ``refused`` is the exit code for a refusal: 1 when verifying, 3 when asking a service. ``audited`` are the actions that are
    recorded, or the command itself: see :mod:`stack.cli.audited`.
    """

    __slots__ = ("audited", "module", "refused", "summary")

    def __init__(
        self, module: str, summary: str, refused: int = ExitCode.SERVICE, audited: tuple[str, ...] = ()
    ) -> None:
        self.module = module
        self.summary = summary
        self.refused = refused
        self.audited = audited


COMMANDS = {
    "init": Command(
        "stack.cli.init", "make a stack without starting it: keys, chains, trust root, settings", audited=("init",)
    ),
    "up": Command("stack.cli.up", "start a whole private Sigstore: all roles, one process, one port"),
    "serve": Command("stack.cli.serve", "serve one role as a process of its own, with its keys alone"),
    "token": Command("stack.cli.token", "mint an identity token of your stack"),
    "fault": Command("stack.cli.fault", "let a stack for tests misbehave, to see that clients notice"),
    "clock": Command("stack.cli.clock", "the clock of a stack for tests: show it, turn it, stop it"),
    "user": Command(
        "stack.cli.user",
        "local accounts: who may log in to your stack's OpenID provider",
        audited=("add", "passwd", "disable", "enable", "totp", "remove"),
    ),
    "issuer": Command(
        "stack.cli.issuer",
        "whose tokens the CA accepts, and what a token would get",
        ExitCode.REFUSED,
        ("add", "remove"),
    ),
    "client": Command(
        "stack.cli.client",
        "machines that get tokens by a secret of their own",
        audited=("add", "secret", "disable", "enable", "remove"),
    ),
    "trust": Command(
        "stack.cli.trust",
        "show the trust root, rotate keys, sign it anew; what breaks by a date",
        audited=("refresh", "policy", "rotate", "request", "accept", "root propose", "root accept"),
    ),
    "witness": Command(
        "stack.cli.witness", "cosign what other people's logs show; who cosigns yours", audited=("add", "remove")
    ),
    "audit": Command("stack.cli.audit", "who did what to your stack: show the record, verify it", ExitCode.REFUSED),
    "env": Command("stack.cli.env", "print the exact lines that point an official client at your stack"),
    "enroll": Command("stack.cli.enroll", "set up the official clients on this machine for a stack, by one line"),
    "sign-blob": Command("stack.cli.sign_blob", "sign files with an identity, no key to keep"),
    "verify-blob": Command("stack.cli.verify_blob", "verify files and their bundles, offline", ExitCode.REFUSED),
    "attest-blob": Command("stack.cli.attest_blob", "sign a statement about a file with an identity"),
    "verify-blob-attestation": Command(
        "stack.cli.verify_blob_attestation", "verify statements about files, offline", ExitCode.REFUSED
    ),
    "sign": Command("stack.cli.sign_image", "sign images in a registry"),
    "verify": Command("stack.cli.verify_image", "verify the signatures of images", ExitCode.REFUSED),
    "attest": Command("stack.cli.attest_image", "attest to an image: provenance, bill of materials"),
    "verify-attestation": Command(
        "stack.cli.verify_image_attestation", "verify statements about images", ExitCode.REFUSED
    ),
    "tree": Command("stack.cli.image_tree", "show what is attached to an image"),
    "copy": Command("stack.cli.copy_image", "copy an image with everything attached to it"),
    "save": Command("stack.cli.save_image", "save an image and what is attached to it in a directory"),
    "load": Command("stack.cli.load_image", "put a saved image into a registry"),
    "download": Command("stack.cli.download", "print the signatures or attestations of an image"),
    "clean": Command("stack.cli.clean_image", "remove what is attached to an image"),
    "triangulate": Command("stack.cli.triangulate", "print at which tag something is attached to an image"),
    "repair": Command("stack.cli.repair_image", "add the layout that signatures and attestations lack"),
    "policy": Command("stack.cli.policy", "who may sign what: check, try, draft, explain, hand on", ExitCode.REFUSED),
    "generate-key-pair": Command("stack.cli.generate_key_pair", "make a key pair under a password, in cosign's format"),
    "import-key-pair": Command("stack.cli.import_key_pair", "put a private key of yours into cosign's format"),
    "public-key": Command("stack.cli.public_key", "print the public half of a private key"),
    "timestamp": Command("stack.cli.timestamp", "timestamps of files: create, verify offline, inspect"),
    "bundle": Command("stack.cli.bundle", "look into bundles, make them from parts, renew old ones"),
    "trusted-root": Command("stack.cli.trusted_root", "make a trusted root of certificates and keys in files"),
    "signing-config": Command("stack.cli.signing_config", "make a signing config: which services are asked"),
    "npm": Command("stack.cli.npm", "attest how npm packages were built, verify that"),
    "pypi": Command("stack.cli.pypi", "attest to Python distributions (PEP 740), verify, convert"),
    "login": Command("stack.cli.login", "log in with a browser; signing then takes that token"),
    "initialize": Command("stack.cli.initialize", "pin a TUF mirror: after that no trust option is needed"),
    "conformance": Command("stack.cli.conformance", "speak the protocol of sigstore-conformance", ExitCode.REFUSED),
    "doctor": Command("stack.cli.doctor", "check a stack from end to end; each failure with its fix"),
    "log": Command(
        "stack.cli.log", "read a transparency log, believe nothing that it does not prove", ExitCode.REFUSED
    ),
    "backup": Command("stack.cli.backup", "put a whole stack into one file, while it serves", ExitCode.REFUSED),
    "restore": Command(
        "stack.cli.restore", "make a stack out of a backup, every byte verified", ExitCode.REFUSED, ("restore",)
    ),
    "fsck": Command("stack.cli.fsck", "re-hash everything that the logs of your stack hold", ExitCode.REFUSED),
    "demo": Command("stack.cli.demo", "sign, verify and refuse, explained; leaves nothing behind"),
    "completion": Command("stack.cli.completion", "print a script that completes commands and options in your shell"),
    "version": Command("stack.cli.version", "print the version"),
}
