# SPDX-License-Identifier: Apache-2.0
"""What the verifying commands share: who may have signed, one verdict for each file, and the report."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from client.files import load_bundle
from client.verify import Verified
from client.verify.identity import IdentityPolicy, pattern_doubts, verify_workflow
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey, digest_algorithm
from client.verify.steps import Step, Steps, at_once, in_one_step
from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle
from sigcore.errors import NotFound, Refused, SigError, Unavailable
from sigcore.strict import JSON
from stack.cli.artifact import STDIN, SUFFIX, digest_of, expand, is_digest
from stack.cli.explain_options import add_explain_options, wants_explanation
from stack.cli.policy_choice import add_policy_options
from stack.cli.public_keys import read_public_key
from stack.cli.table import ExitCode
from stack.cli.trusting import add_root_options
from stack.cli.usage import NotServed, Usage, not_empty, one_line
from stack.cli.witness_choice import add_witness_option

Signer: TypeAlias = IdentityPolicy | ManagedKey
Verify: TypeAlias = Callable[[Bundle, bytes, Recorder], Steps[Verified]]
Show: TypeAlias = Callable[[str, "Attempt"], dict[str, JSON]]
_WORKFLOW: Final = ("trigger", "sha", "name", "repository", "ref")
"""Claims of a workflow of GitHub's, as cosign names their options."""
_PATTERNS: Final = ("certificate_identity_regexp", "certificate_oidc_issuer_regexp")
_NAMES: Final = ("certificate_identity", "certificate_oidc_issuer", *_PATTERNS)
_ANEW: Final = "the bundle was changed or is not whole: get it again from whoever signed; --explain shows the step"
"""What to do where the check itself knows no more."""
_MANY: Final = 64
"""Files; below that a second process saves less than it costs."""
_MUCH: Final = 64 * 1024 * 1024
"""Bytes in all files together; the same."""
_LARGE: Final = 256 * 1024
"""Bytes of a bundle; of more than that only one is held at a time."""


class Attempt:
    """One verification, as far as it came."""

    __slots__ = ("bundle", "digest", "error", "found", "verified")

    def __init__(self) -> None:
        self.bundle: Bundle | None = None
        self.digest = b""
        self.found = Recorder()
        self.error: SigError | None = None
        self.verified: Verified | None = None


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """FILE, ``--bundle``, the identity or the key, ``--json``, the policies, the trust options."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a file, a directory; - (standard input) or sha256:HEX with --bundle"
    )
    parser.add_argument("--bundle", metavar="B", type=not_empty, help=f"the bundle (default: FILE{SUFFIX})")
    add_signer_options(parser)
    parser.add_argument(
        "--max-workers",
        metavar="N",
        type=int,
        help=f"processes that verify (default: 1; as many as cores for more than {_MANY} files or 64 MiB)",
    )
    parser.add_argument("--json", action="store_true", help="report every check as JSON on standard output")
    add_explain_options(parser)
    add_policy_options(parser)
    add_witness_option(parser)
    add_root_options(parser)


def add_signer_options(parser: argparse.ArgumentParser) -> None:
    """Who must have signed: an identity or a key."""
    who = parser.add_argument_group("who may have signed", "an identity with its issuer, or a key")
    who.add_argument("--certificate-identity", metavar="I", help="email address or URI, exact")
    who.add_argument("--certificate-identity-regexp", metavar="RE", help="must match the whole identity")
    who.add_argument("--certificate-oidc-issuer", metavar="U", help="the issuer's URL, exact")
    who.add_argument("--certificate-oidc-issuer-regexp", metavar="RE", help="must match the whole URL")
    who.add_argument(
        "--key",
        metavar="KEY",
        type=not_empty,
        help="a public key in PEM, env://VARIABLE, or NAME://KEY in a KMS, instead of an identity",
    )
    for name in _WORKFLOW:
        text = f"the {name} that the certificate must name, too"
        who.add_argument(f"--certificate-github-workflow-{name}", metavar="X", type=not_empty, help=text)


def workflow_of(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The claims of a workflow that are demanded, for :func:`client.verify.identity.verify_workflow`."""
    given = ((f"github_workflow_{name}", getattr(options, f"certificate_github_workflow_{name}")) for name in _WORKFLOW)
    return tuple((field, value) for field, value in given if value)


def read_signer(options: argparse.Namespace) -> Signer:
    """The identity policy, or the key.

    Raises:
        Usage: both, none, or a half of one. NotFound, Malformed, Unavailable: as :func:`stack.cli.public_keys.read_public_key`.
    """
    who = [getattr(options, name) for name in _NAMES]
    for name in _PATTERNS:
        for doubt in pattern_doubts(getattr(options, name) or ""):
            sys.stderr.write(f"warning: --{name.replace('_', '-')}: {doubt}\n")
    if options.key is None and not any(who):
        raise Usage(
            "nobody is named who may have signed",
            "give --certificate-identity with --certificate-oidc-issuer, --key FILE, or --policy FILE",
        )
    if options.key is None:
        try:
            return IdentityPolicy(
                issuer=options.certificate_oidc_issuer or "",
                identity=options.certificate_identity or "",
                pattern=options.certificate_identity_regexp or "",
                issuer_pattern=options.certificate_oidc_issuer_regexp or "",
            )
        except Refused as error:
            raise Usage(
                error.message, error.hint or r"for example '.*@example\.com', as Python's re reads it"
            ) from error
    if workflow_of(options):
        raise Usage(
            "--key and --certificate-github-workflow-* are given: a bare key carries no claims of a workflow",
            "leave one of them out",
        )
    if any(who):
        raise Usage("--key and --certificate-* are given: a bare key has no identity", "leave one of them out")
    return ManagedKey(read_public_key(options.key))


def verify_files(
    options: argparse.Namespace, verifier: Callable[[str], Verify], suffix: str = SUFFIX, bundles: Sequence[str] = ()
) -> int:
    """Verify every file by its ``verifier``; 0 only if all of them hold. One without a bundle is refused. Of several, one that
    is missing is said in its row, and the exit code is 2 where none is refused; alone, it is an error.

    Its bundle is that of ``bundles`` at its place, or ``options.bundle``, or lies beside it with the ``suffix``.
    """
    files = expand(options.files, suffix)
    if STDIN in files and options.bundle is None and not bundles:
        raise Usage("standard input is verified, and no bundle is named", "give --bundle")
    if options.bundle is None and (digest := next(filter(is_digest, files), None)):
        raise Usage(f"{digest[:20]}... is a digest, and no bundle is named", "give --bundle")
    if len(files) > 1 and options.bundle:
        raise Usage("one bundle is named for several files", "leave --bundle out")
    verifier = _also_of_workflow(options, verifier)
    show = _explainer(options)
    reported = options.json or options.explain == "json"

    def verify(number: int) -> Steps[dict[str, object]]:
        file, progress = files[number], f"[{number + 1}/{len(files)}] " if len(files) > 1 else ""
        name = bundles[number] if bundles else options.bundle
        path = name or f"{file}{suffix}"
        steps = _verify_file(file, path, verifier, progress, show, named=bool(name), reported=reported)
        return steps if _size(path) <= _LARGE else in_one_step(steps)

    # An explanation is told in the order of the files, while it is made.
    workers = 1 if show is not None else _workers(options.max_workers, files)
    if show is None and (workers > 1 or len(files) > _MANY):
        # Deferred: few files, as nearly always, pay nothing for it.
        from stack.cli.batch import verify_many  # noqa: PLC0415 - see the line above

        rows = verify_many(len(files), verify, workers)
    else:
        rows = [at_once(verify(number)) for number in range(len(files))]
    if reported:
        print(json.dumps(rows, indent=2))
    if all(row["verified"] for row in rows):
        return ExitCode.DONE
    if all(row["verified"] or "missing" in row for row in rows):
        return ExitCode.USAGE
    if getattr(options, "trust_is_kept", False):
        sys.stderr.write("  trust is that of the last `sigbox initialize`: if keys were rotated since, run it again\n")
    return ExitCode.REFUSED


def _also_of_workflow(options: argparse.Namespace, verifier: Callable[[str], Verify]) -> Callable[[str], Verify]:
    """``verifier``, and the certificate must carry the claims of a workflow that are demanded, if any are."""
    wanted = workflow_of(options)
    if not wanted:
        return verifier

    def verifier_for(file: str) -> Verify:
        verify = verifier(file)

        def checked(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
            verified = yield from verify(bundle, digest, found)
            with Step("identity"):
                verify_workflow(verified.chain, wanted)
            return verified

        return checked

    return verifier_for


def _workers(asked: int | None, files: Sequence[str]) -> int:
    if asked is None:
        # Of large files it is the hashing that is shared.
        worth_it = len(files) > _MANY or (len(files) > 1 and sum(map(_size, files)) > _MUCH)
        asked = len(os.sched_getaffinity(0)) if worth_it else 1
    if not 1 <= asked <= limits.WORKERS:
        raise Usage(f"--max-workers is {asked}, expected 1 to {limits.WORKERS}", "leave it out to use every core")
    return min(asked, len(files))


def _size(file: str) -> int:
    """In bytes; 0 for a digest, and for what cannot be looked at, which is said when it is its turn."""
    try:
        return os.stat(file).st_size  # noqa: PTH116 - as in client.files, no pathlib to verify one file
    except (OSError, ValueError):
        return 0


def _explainer(options: argparse.Namespace) -> Show | None:
    if not wants_explanation(options):
        return None
    # Deferred, like the next: a verification that explains nothing is a third faster without them.
    from client.explain.flow import explain_verification  # noqa: PLC0415 - see the line above
    from stack.cli.explaining import Explainer, place_of  # noqa: PLC0415 - the same

    explainer = Explainer(options)

    def show(file: str, attempt: Attempt) -> dict[str, JSON]:
        parts = explain_verification(attempt.bundle, attempt.found, attempt.digest, place_of(file), attempt.error)
        return explainer.show(file, parts)

    return show


def _verify_file(
    file: str,
    path: str,
    verifier: Callable[[str], Verify],
    progress: str,
    show: Show | None,
    *,
    named: bool,
    reported: bool,
) -> Steps[dict[str, object]]:
    """One row of the report; its checks are listed only where it is ``reported``. Whether the bundle's ``path`` was ``named``."""
    attempt = Attempt()
    row = yield from _verdict(file, path, verifier, progress, attempt, named=named)
    if reported and attempt.verified is not None:
        row["checks"] = _checks(attempt.verified)
    return row | show(file, attempt) if show is not None else row


def _verdict(
    file: str, path: str, verifier: Callable[[str], Verify], progress: str, attempt: Attempt, *, named: bool
) -> Steps[dict[str, object]]:
    try:
        with Step("bundle"):
            bundle = attempt.bundle = _bundle_of(file, path, named=named)
        yield
        attempt.digest = digest_of(file, digest_algorithm(bundle))
        verified = attempt.verified = yield from verifier(file)(bundle, attempt.digest, attempt.found)
    except (NotServed, Unavailable, Usage):
        raise  # no verdict about the signature
    except SigError as error:
        attempt.error = error
        if isinstance(error, NotFound):
            if not progress or attempt.digest:
                raise  # nor this one
            said = one_line(error.message)  # it names a path as it is
            sys.stderr.write(f"{progress}MISSING {ascii(file)[1:-1]}: {said}\n  hint: {error.hint}\n")
            return {"file": file, "verified": False, "missing": True, "error": error.message, "hint": error.hint}
        error.hint = error.hint or _ANEW
        check = f"  check: {error.step}\n" if error.step else ""
        sys.stderr.write(f"{progress}REFUSED {ascii(file)[1:-1]}: {error.message}\n{check}  hint: {error.hint}\n")
        return {"file": file, "verified": False, "step": error.step, "error": error.message, "hint": error.hint}
    sys.stderr.write(f"{progress}Verified OK {ascii(file)[1:-1]}: {_summary(verified)}\n")
    return {"file": file, "verified": True}


def _bundle_of(file: str, path: str, *, named: bool) -> Bundle:
    """The bundle at ``path``.

    Raises:
        Refused: a file that is there has none beside it: nobody signed it. NotFound: what the command line names is missing;
            where neither is there, the file is what was mistyped. Malformed: it is no bundle.
    """
    try:
        return load_bundle(path)
    except NotFound as error:
        if not is_digest(file) and not os.path.exists(file):  # noqa: PTH110 - as in client.files
            digest_of(file, HashAlgorithm.SHA2_256)
        if not named and not os.path.lexists(path):
            raise Refused(error.message, error.hint) from error
        raise


def _checks(verified: Verified) -> list[dict[str, str]]:
    # Deferred: most callers look at the exit code.
    from client.verify.report import list_checks  # noqa: PLC0415 - see the line above

    return [{"check": check.name, "what": check.what, "value": check.value} for check in list_checks(verified)]


def _summary(verified: Verified) -> str:
    entry = verified.entries[0]
    who = ascii(verified.signer.identity)[1:-1]
    did = "signed it"
    if verified.statement is not None:
        did = f"attested {ascii(verified.statement.predicate_type)[1:-1]}"
    when = f" at {min(time.time for time in verified.times):%Y-%m-%dT%H:%M:%SZ}" if verified.times else ""
    count = sum(len(head.cosignatures) for head in verified.witnessed)
    seen = f", its checkpoint cosigned by {count} of your witnesses" if verified.witnessed else ""
    return f"{who} {did}{when}, log entry {entry.index}{seen}"
