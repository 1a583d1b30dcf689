# SPDX-License-Identifier: Apache-2.0
"""The material of a lesson, made for one reader: signed for real where the lesson signs, with what its attackers made beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from client.identity import IdentityToken
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey
from sigcore import keys, limits, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.dsse import Envelope
from sigcore.intoto import Statement, Subject, encode_statement, parse_statement
from sigcore.strict import JSON, Fields
from sigcore.trustroot import AuthorityInstance, TrustedRoot
from sigcore.values import dataclass
from stack.personas import ISSUERS, Persona, load_shipped
from stack.web.console import course
from stack.web.console.provenance import V1, Row, describe_provenance
from stack.web.console.recording import ARTIFACT
from stack.web.console.rogue import make_authority
from stack.web.console.workshop import Bench

MALLORY: Final = "mallory@example.com"
_PERSONA: Final = "github-workflow"
_COPY: Final = "mallory/octo-app"
_SIGNED: Final = "https://sigstore.dev/cosign/sign/v1"
"""cosign's predicate type for "this image is signed"."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """One reader's material.

    ``expected`` is whom the lesson demands. ``forged`` are the bundles of its attackers by the attack's name; ``rogue`` is the
    authority of one of them. ``manifest`` is that of an image, whose layer is ``data``.
    """

    lesson: course.Lesson
    data: bytes
    bundle: Bundle
    expected: IdentityPolicy | ManagedKey
    root: TrustedRoot = TrustedRoot()
    forged: Mapping[str, Bundle] = {}
    rogue: AuthorityInstance | None = None
    manifest: bytes = b""

    @property
    def digest(self) -> bytes:
        """Of what is signed: the manifest where there is one, else the file."""
        return HashAlgorithm.SHA2_256.digest(self.manifest or self.data)

    @property
    def provenance(self) -> tuple[Row, ...]:
        """What certificate and statement say of the build; empty where there was none."""
        certificate, content = self.bundle.certificate, self.bundle.content
        if certificate is None or not isinstance(content, Envelope):
            return ()
        return describe_provenance(x509.parse_certificate(certificate), parse_statement(content.payload))


async def make_exercise(lesson: course.Lesson, bench: Bench, data: bytes, identity: str) -> Exercise:
    """The material of ``lesson`` for a text, signed as ``identity`` where a person signs.

    Raises: as :meth:`Bench.sign`.
    """
    return await _MAKERS[lesson.name](bench, data, identity)


async def _checksum(_bench: Bench, data: bytes, _identity: str) -> Exercise:
    """Nothing is signed: the bundle holds a digest."""
    bundle, expected = _by_key(data)
    return Exercise(course.CHECKSUM, data, bundle, expected)


async def _key(_bench: Bench, data: bytes, _identity: str) -> Exercise:
    bundle, expected = _by_key(data)
    return Exercise(course.KEY, data, bundle, expected)


def _by_key(data: bytes) -> tuple[Bundle, ManagedKey]:
    """A signature alone, by a new key."""
    key, digest = keys.generate_p256(), HashAlgorithm.SHA2_256.digest(data)
    content = MessageSignature(HashAlgorithm.SHA2_256, digest, keys.sign_digest(key, digest))
    return Bundle(None, (), (), content), ManagedKey(key.public_key())


async def _logged(bench: Bench, data: bytes, _identity: str) -> Exercise:
    key = keys.generate_p256()
    bundle = await bench.sign(key, data)
    return Exercise(course.LOGGED, data, bundle, ManagedKey(key.public_key()), bench.root)


async def _keyless(bench: Bench, data: bytes, identity: str) -> Exercise:
    token = await bench.identify({"email": identity})
    bundle = await bench.sign(token, data)
    certified, authority = make_authority(x509.parse_certificate(bundle.certificate or b""), bench.clock())
    forged = await bench.sign_with(certified, data)
    return Exercise(
        course.KEYLESS, data, bundle, _policy(token), bench.root, {"rogue": forged, "unlogged": forged}, authority
    )


async def _image(bench: Bench, data: bytes, identity: str) -> Exercise:
    token, manifest = await bench.identify({"email": identity}), encode_manifest(data)
    statement = _statement("registry.example/app", manifest, _SIGNED, {})
    bundle = await bench.attest(token, statement)
    return Exercise(course.IMAGE, data, bundle, _policy(token), bench.root, manifest=manifest)


async def _provenance(bench: Bench, data: bytes, _identity: str) -> Exercise:
    persona = load_shipped(_PERSONA)
    copied = _copy_of(persona)
    workflow, copy = await bench.identify(persona.document()), await bench.identify(copied.document())
    laptop = await bench.identify({"email": MALLORY})
    statement = encode_provenance(data, persona.claims)
    expected = IdentityPolicy(ISSUERS[_PERSONA].url, WORKFLOW)
    bundle = await bench.attest(workflow, statement)
    forged = {
        "laptop": await bench.attest(laptop, statement),
        "copy": await bench.attest(copy, encode_provenance(data, copied.claims)),
    }
    return Exercise(course.PROVENANCE, data, bundle, expected, bench.root, forged)


_MAKERS: Final[Mapping[str, Callable[[Bench, bytes, str], Awaitable[Exercise]]]] = {
    "checksum": _checksum,
    "key": _key,
    "logged": _logged,
    "keyless": _keyless,
    "image": _image,
    "provenance": _provenance,
}


def _policy(token: IdentityToken) -> IdentityPolicy:
    """Exactly whom the provider has identified."""
    return IdentityPolicy(token.issuer, token.possession_subject)


# --- what is signed -----------------------------------------------------------------------------------
def encode_manifest(layer: bytes) -> bytes:
    """The manifest of an image with one layer (OCI image specification, ``manifest.md``)."""

    def described(media_type: str, data: bytes) -> JSON:
        return {"mediaType": media_type, "digest": layer_digest(data), "size": len(data)}

    manifest: JSON = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer)],
    }
    return json.dumps(manifest, indent=2).encode("ascii")


def layer_digest(data: bytes) -> str:
    """As a manifest names it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer_of(manifest: bytes) -> str:
    """The digest of the one layer that the manifest names."""
    (layer,) = Fields.parse(manifest, what="the manifest", limit=limits.TEXT).objects("layers", limit=1)
    return layer.text("digest")


def encode_provenance(data: bytes, claims: Mapping[str, JSON]) -> bytes:
    """The statement of a build on the world's best known forge (SLSA provenance v1)."""
    source = f"https://github.com/{claims['repository']}"
    path = str(claims["workflow_ref"]).partition("@")[0].split("/", 2)[-1]
    predicate: JSON = {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"ref": claims["ref"], "repository": source, "path": path}},
            "resolvedDependencies": [
                {"uri": f"git+{source}@{claims['ref']}", "digest": {"gitCommit": claims["sha"]}},
            ],
        },
        "runDetails": {
            "builder": {"id": "https://github.com/actions/runner/github-hosted"},
            "metadata": {"invocationId": f"{source}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}"},
        },
    }
    return _statement(ARTIFACT, data, V1, predicate)


def _statement(name: str, data: bytes, predicate_type: str, predicate: JSON) -> bytes:
    subject = Subject(name, (("sha256", hashlib.sha256(data).hexdigest()),))
    return encode_statement(Statement((subject,), predicate_type, predicate))


def _copy_of(persona: Persona) -> Persona:
    """The same job in a copy of the repository."""
    original = str(persona.claims["repository"])
    claims: dict[str, JSON] = {
        name: value.replace(original, _COPY) if isinstance(value, str) else value
        for name, value in persona.claims.items()
    }
    claims |= {"repository_owner": "mallory", "repository_owner_id": "66", "repository_id": "75"}
    return replace(persona, subject=persona.subject.replace(original, _COPY), claims=claims)


WORKFLOW: Final = f"https://github.com/{load_shipped(_PERSONA).claims['job_workflow_ref']}"
"""Who builds in the lesson of provenance."""
