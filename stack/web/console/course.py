# SPDX-License-Identifier: Apache-2.0
"""The six lessons, from a checksum to provenance: what each says, and which attacks a reader can order.

Every text is in ``ja.toml`` too. An attack names the step that must catch it; where nothing does, that is what the next lesson is for.
"""

from __future__ import annotations

from typing import Final

from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """``title`` is the button, ``story`` what is done, ``caught`` the step that refuses, or nothing."""

    name: str
    title: str
    story: str
    caught: str = ""


@dataclass(frozen=True, slots=True)
class Lesson:
    """``lines`` are the same by hand; ``rest`` is what stays open. ``signer`` says whether the reader names one."""

    name: str
    title: str
    text: tuple[str, ...]
    attacks: tuple[Attack, ...]
    rest: str
    lines: tuple[str, ...]
    signer: bool = False


_FLIP: Final = Attack(
    "flip", "Flip a bit of the file", "One bit of the file changes on its way: a bad disk, or somebody.", "digest"
)
_FORK: Final = Attack(
    "fork",
    "Show a tree of his own",
    "Mallory builds a log of his own that holds the same entry, and signs its head with his own key.",
    "checkpoint",
)
_SOMEBODY: Final = Attack(
    "somebody",
    "Demand somebody else",
    "You expect another signer. This signature is genuine, and not of that person.",
    "identity",
)

CHECKSUM: Final = Lesson(
    "checksum",
    "A checksum",
    (
        "Whoever publishes a file writes its hash beside it. If one bit of the file changes, the hash is another.",
        "It costs nothing, needs no key, and catches every accident.",
    ),
    (
        _FLIP,
        Attack(
            "both",
            "Change file and checksum",
            "Mallory replaces the file on the server, and the checksum that stands beside it.",
        ),
    ),
    "A checksum shows that something changed, not who wrote it. What is missing is a secret that the attacker does not have.",
    ("sha256sum artifact.txt > SHA256SUMS", "sha256sum --check SHA256SUMS"),
)
KEY: Final = Lesson(
    "key",
    "A key of your own",
    (
        "The author keeps a private key and gives the public one to everybody: so do GPG and its .asc files.",
        "The signature beside the file can be made by nobody else. The server may be hostile now.",
    ),
    (
        _FLIP,
        Attack(
            "stranger",
            "Sign with another key",
            "Mallory changes the file and signs it with a key of his own.",
            "signature",
        ),
        Attack(
            "impostor",
            "Replace file, signature and key",
            "You took the public key from where the file came from, and Mallory has put his own there.",
        ),
    ),
    "Nothing says whose key this is, and nobody sees when a stolen key is used. What is missing is a place where signatures are public.",
    (
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signer.key",
        "openssl pkey -in signer.key -pubout -out signer.pub",
        "openssl dgst -sha256 -sign signer.key -out sig.der artifact.txt",
        "openssl dgst -sha256 -verify signer.pub -signature sig.der artifact.txt",
    ),
)
LOGGED: Final = Lesson(
    "logged",
    "A key and a log",
    (
        "The same key, but the signature also goes into a log that anybody can read and that only grows.",
        "The entry comes with the file, and so does the proof that it is in the log: a few hashes, and a head that the log signed.",
    ),
    (
        _FLIP,
        Attack(
            "stranger",
            "Take it for another key's",
            "You expect another key. The entry in the log does not name that one.",
            "entry",
        ),
        Attack(
            "otherlog",
            "Trust another log",
            "The entry is in a log that you do not trust, for your trust root names another.",
            "entry",
        ),
        _FORK,
        Attack(
            "path", "Change a hash of the proof", "One hash on the way from the entry to the root is another.", "path"
        ),
    ),
    "A signature that nobody can see is worth nothing now. But the key must be kept for years, and still nothing says whose it is.",
    (
        "sigbox generate-key-pair",
        "sigbox sign-blob artifact.txt --key cosign.key",
        "sigbox verify-blob artifact.txt --key cosign.pub",
    ),
)
KEYLESS: Final = Lesson(
    "keyless",
    "An identity in place of a key",
    (
        (
            "A key is made, used once and forgotten. The certificate authority binds it for ten minutes to the identity that a provider"
            " vouches for."
        ),
        "A timestamp says that it was used within them. Certificate and signature are public, each in its log.",
    ),
    (
        _FLIP,
        _SOMEBODY,
        Attack(
            "issuer",
            "Demand another provider",
            "The name is right, but another provider should have vouched for it.",
            "identity",
        ),
        Attack(
            "late",
            "Use the key an hour later",
            "The key was stolen and signs an hour later. To save you the hour, a clock that is an hour fast is trusted here.",
            "certificate",
        ),
        Attack(
            "rogue",
            "Issue from a rogue authority",
            "Mallory's own authority gives him a certificate with your name. Clock and log take his signature: they ask for no name.",
            "certificate",
        ),
        Attack(
            "unlogged",
            "Issue in secret",
            "The same certificate, and you trust its authority by now. But it was never published.",
            "SCT",
        ),
        _FORK,
    ),
    "You trust services in place of a key file, and logs keep them honest. Who may sign which file, you must still say: a policy says it"
    " once.",
    (
        "sigbox sign-blob artifact.txt --explain",
        "sigbox verify-blob artifact.txt --certificate-identity alice@example.com --certificate-oidc-issuer {issuer}",
    ),
    signer=True,
)
IMAGE: Final = Lesson(
    "image",
    "A container image",
    (
        (
            "An image is a short list, its manifest, which names each layer by its hash. The hash of the manifest is the digest of the image,"
            " and that is what is signed."
        ),
        "The signature lies in the registry beside the image. Here your text is the one layer of an image.",
    ),
    (
        Attack(
            "layer",
            "Serve another layer",
            "The registry serves the signed manifest, and a layer with one bit changed.",
            "layer",
        ),
        Attack(
            "tag",
            "Move the tag",
            "The tag names another image now, and the registry serves the old signature with it.",
            "digest",
        ),
        _SOMEBODY,
    ),
    "A tag is a name that moves; a digest is not. But that somebody has signed an image does not say how it was built.",
    (
        "sigbox sign registry.example/app@sha256:...",
        "sigbox verify registry.example/app:latest --certificate-identity alice@example.com --certificate-oidc-issuer {issuer}",
    ),
    signer=True,
)
PROVENANCE: Final = Lesson(
    "provenance",
    "Where a file comes from",
    (
        "The build system signs, and says what it built, from which commit, by which workflow.",
        "It has a token of its own, which names repository and workflow. Nobody types a name, and nobody keeps a key.",
    ),
    (
        _FLIP,
        Attack(
            "commit",
            "Write another commit into it",
            "Mallory changes the commit in the statement, and leaves the rest as it was.",
            "entry",
        ),
        Attack(
            "laptop",
            "Build it on a laptop",
            "Mallory builds it himself and signs the same statement as mallory@example.com.",
            "identity",
        ),
        Attack(
            "copy",
            "Build a copy of the repository",
            "The same workflow, run in Mallory's copy of the repository.",
            "identity",
        ),
    ),
    "You know how it was built, and everybody can look. Whether what was built is good, the source must show.",
    (
        "sigbox attest-blob artifact.txt --predicate provenance.json --type slsaprovenance1",
        (
            "sigbox verify-blob-attestation artifact.txt --type slsaprovenance1 --certificate-identity {workflow}"
            " --certificate-oidc-issuer https://token.actions.githubusercontent.com"
        ),
    ),
)
LESSONS: Final = {lesson.name: lesson for lesson in (CHECKSUM, KEY, LOGGED, KEYLESS, IMAGE, PROVENANCE)}
"""In the order in which they are taken."""
