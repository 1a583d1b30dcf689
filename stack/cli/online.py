# SPDX-License-Identifier: Apache-2.0
"""``--online`` and detached signatures, of the commands that verify files: the log is asked, and only then.

A detached signature becomes the bundle that it would have been: signature, certificate or key, timestamps, and the entry that the log
shows for it. That bundle is verified like any other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from client.verify import Verified
from client.verify.recorder import Recorder
from client.verify.steps import Step, Steps
from sigcore.bundle import Bundle
from stack.cli.usage import Usage
from stack.cli.verifying import Verify


def add_online_options(parser: argparse.ArgumentParser) -> None:
    """``--online``, ``--rekor-url``, ``--ca-file``."""
    group = parser.add_argument_group("asking the log", "no log is asked without --online")
    text = "ask the log too: it must show the entry today, in a tree that has grown from the bundle's"
    group.add_argument("--online", action="store_true", help=text)
    group.add_argument("--rekor-url", metavar="URL", help="where it is asked (default: as the trusted root says)")
    about = "certificate authorities to trust for https, there and where a TUF cache is stale"
    group.add_argument("--ca-file", metavar="PEM", help=about)


def add_detached_options(parser: argparse.ArgumentParser) -> None:
    """``--signature``, ``--certificate``, ``--rfc3161-timestamp``."""
    group = parser.add_argument_group("detached signature", "instead of a bundle; its log entry is looked up: --online")
    text = "the signature, in base64 or as it is; or base64 itself"
    group.add_argument("--signature", metavar="FILE", help=text)
    group.add_argument(
        "--certificate", metavar="FILE", help="its certificate: PEM, base64 of PEM, or DER; not with --key"
    )
    group.add_argument(
        "--rfc3161-timestamp", metavar="FILE", action="append", default=[], help="a timestamp over it; may be repeated"
    )


@contextmanager
def whole_bundle(options: argparse.Namespace) -> Iterator[None]:
    """Inside, ``options.bundle`` names a bundle also where a detached signature is given.

    Raises:
        Usage: options that contradict each other. Else as :func:`client.logs.online.find_entries`, and of the parts.
    """
    if options.rekor_url and not options.online:
        raise Usage(
            "--rekor-url is given without --online", "no log is asked without it: add --online, or leave it out"
        )
    if not getattr(options, "signature", None):
        for name in ("certificate", "rfc3161_timestamp"):
            if getattr(options, name, None):
                part = f"--{name.replace('_', '-')}"
                raise Usage(
                    f"{part}, a part of a detached signature, is given without --signature",
                    f"add --signature FILE; or leave {part} out, a bundle holds it",
                )
        yield
        return
    _check_detached(options)
    # Deferred: few signatures come without a bundle, and the log is asked over HTTP.
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - see the line above

    from client.files import save_bundle  # noqa: PLC0415 - the same
    from stack.cli.detached import detached_bundle  # noqa: PLC0415 - the same

    with TemporaryDirectory(prefix="sigbox-") as folder:
        options.bundle = f"{folder}/detached.sigstore.json"
        save_bundle(detached_bundle(options), options.bundle)
        yield


def _check_detached(options: argparse.Namespace) -> None:
    if options.bundle:
        raise Usage("--bundle and --signature are given", "a bundle holds its signature: leave one of them out")
    if len(options.files) > 1:
        raise Usage("one signature is named for several files", "verify them one by one")
    if bool(options.certificate) == bool(options.key):
        found = "both" if options.key else "none"
        raise Usage(
            f"{found} of --certificate and --key are given with --signature", "give exactly one: who has signed"
        )
    if not options.online:
        raise Usage(
            "a detached signature comes without the log's proof",
            "add --online, and the log is asked for it; or verify the bundle, which holds it",
        )


def also_shown(options: argparse.Namespace, verifier: Callable[[str], Verify]) -> Callable[[str], Verify]:
    """``verifier``, and with ``--online`` the log must show every entry today."""
    if not options.online:
        return verifier

    def verifier_for(file: str) -> Verify:
        verify = verifier(file)

        def online(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
            verified = yield from verify(bundle, digest, found)
            _ask(options, bundle)
            return verified

        return online

    return verifier_for


def _ask(options: argparse.Namespace, bundle: Bundle) -> None:
    # Deferred: a verification that asks nobody pays nothing for it.
    from stack.cli.detached import shown_heads  # noqa: PLC0415 - see the line above

    with Step("online"):
        for entry, head in zip(bundle.log_entries, shown_heads(options, bundle), strict=True):
            sys.stderr.write(f"online: the log shows entry {entry.index}, in its tree of {head.size} entries of now\n")
