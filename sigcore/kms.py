# SPDX-License-Identifier: Apache-2.0
"""Keys in a KMS, through Sigstore's plugin protocol: what is asked of a program, and what it answers, as bytes.

A key reference ``NAME://RESOURCE`` is served by the executable ``sigstore-kms-NAME``. Each question starts it once:

- argument 1: ``v1``, the version of the protocol; argument 2: JSON ``{"initOptions": ..., "methodName": ..., METHOD: {...}}``;
- standard input: the message to sign or verify, which may be empty where its digest is in the JSON;
- standard output: JSON ``{METHOD: {...}}`` or ``{"errorMessage": ...}``. The exit status says nothing.

Members that are not known are passed over: a minor version of the protocol may add some. ``null`` is absent, as Go writes it.

Source: sigstore/sigstore ``pkg/signature/kms/cliplugin``: README.md, ``common/interface.go``, ``common/options.go``.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum
from typing import Final

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.patterns import pattern
from sigcore.strict import JSON, Fields, encode_base64, encode_time, shown
from sigcore.values import dataclass

VERSION: Final = "v1"
PREFIX: Final = "sigstore-kms-"
_REFERENCE: Final = pattern(r"([A-Za-z0-9][A-Za-z0-9_.+-]{0,63})://(.*)\Z")
_HASHES: Final = {HashAlgorithm.SHA2_256: 5, HashAlgorithm.SHA2_384: 6, HashAlgorithm.SHA2_512: 7}
"""Go's numbers, package crypto, type Hash."""
_ALGORITHMS: Final = 64


class Method(Enum):
    """What a program can be asked."""

    DEFAULT_ALGORITHM = "defaultAlgorithm"
    SUPPORTED_ALGORITHMS = "supportedAlgorithms"
    CREATE_KEY = "createKey"
    PUBLIC_KEY = "publicKey"
    SIGN = "signMessage"
    VERIFY = "verifySignature"


@dataclass(frozen=True, slots=True)
class Reference:
    """``NAME://RESOURCE``: which program, and what it calls the key."""

    name: str
    resource: str

    @property
    def program(self) -> str:
        """The file name of the executable."""
        return PREFIX + self.name

    def __str__(self) -> str:
        return f"{self.name}://{self.resource}"


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Args:
        method: what is asked.
        resource: the key, as the program calls it.
        hashing: the hash of the caller; None where he leaves it to the key.
        algorithm: of a key to make.
        digest: of the message; empty where the program makes it.
        digest_hashing: the hash of the digest, where it is said.
        signature: to verify.
        deadline: when the caller stops waiting; None where he does not say.
    """

    method: Method
    resource: str
    hashing: HashAlgorithm | None = HashAlgorithm.SHA2_256
    algorithm: str = ""
    digest: bytes = b""
    digest_hashing: HashAlgorithm | None = None
    signature: bytes = b""
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program answered: of the other values one is there, and of a verification that held, none."""

    error: str = ""
    algorithms: tuple[str, ...] = ()
    public_key: bytes = b""
    """In PEM."""
    signature: bytes = b""


def is_reference(text: str) -> bool:
    """Whether ``text`` has the form of a key reference; else it is a file."""
    return "://" in text and _REFERENCE.match(text) is not None


def parse_reference(text: str) -> Reference:
    """Read ``NAME://RESOURCE``.

    Raises:
        Malformed: another form; too long; characters that cannot be shown.
    """
    found = _REFERENCE.match(text) if len(text) <= limits.KEY_URI and text.isprintable() else None
    if found is None:
        raise Malformed(f"{shown(text)} is no key reference NAME://KEY", "for example sigbox:///home/alice/release.key")
    return Reference(found[1], found[2])


# --- asked -----------------------------------------------------------------------------------------------
def encode_request(request: Request) -> str:
    """Argument 2 for a program."""
    due: dict[str, JSON] = {"ctxDeadline": encode_time(request.deadline)} if request.deadline else {}
    rpc: dict[str, JSON] = {**due, "keyVersion": "", "remoteVerification": False}
    hashing = _HASHES[request.hashing] if request.hashing else 0
    options: dict[str, JSON] = {
        **due,
        "protocolVersion": VERSION,
        "keyResourceID": request.resource,
        "hashFunc": hashing,
        "rpcOptions": rpc,
    }
    name = request.method.value
    document = {"initOptions": options, "methodName": name, name: _arguments(request, rpc, due)}
    return json.dumps(document, separators=(",", ":"))


def _arguments(request: Request, rpc: dict[str, JSON], due: dict[str, JSON]) -> dict[str, JSON]:
    if request.method is Method.CREATE_KEY:
        return {**due, "algorithm": request.algorithm}
    if request.method is Method.PUBLIC_KEY:
        return {"publicKeyOptions": {"rpcOptions": rpc}}
    if request.method not in (Method.SIGN, Method.VERIFY):
        return {}
    message: dict[str, JSON] = {"digest": encode_base64(request.digest)} if request.digest else {}
    if request.digest_hashing:
        message["hashFunc"] = _HASHES[request.digest_hashing]
    options: dict[str, JSON] = {"rpcOptions": rpc, "messageOptions": message}
    if request.method is Method.SIGN:
        return {"signOptions": options}
    return {"signature": encode_base64(request.signature), "verifyOptions": options}


def parse_request(text: str | bytes) -> Request:
    """Argument 2 of a program.

    Raises:
        Malformed: not of that form. Refused: another version of the protocol; a hash that is not taken.
    """
    fields = Fields.parse(text, what="the request", limit=limits.BUNDLE, proto=True)
    options = fields.object("initOptions")
    version = options.text("protocolVersion")
    if version != VERSION:
        raise Refused(f"the caller speaks version {shown(version)} of the plugin protocol, expected {VERSION}")
    name = fields.text("methodName")
    if name not in (method.value for method in Method):
        raise Malformed(f"the method is {shown(name)}", f"known: {', '.join(method.value for method in Method)}")
    method, resource = Method(name), options.text("keyResourceID", limit=limits.KEY_URI)
    hashing, deadline = _hash_in(options), options.optional_time("ctxDeadline")
    arguments = fields.optional_object(name)
    if method is Method.CREATE_KEY and arguments is not None:
        algorithm = arguments.optional_text("algorithm")
        return Request(method, resource, hashing, algorithm=algorithm, deadline=deadline)
    if method not in (Method.SIGN, Method.VERIFY):
        return Request(method, resource, hashing, deadline=deadline)
    if arguments is None:
        raise Malformed(f"the request.{name} is missing")
    message = _message_options(arguments, "signOptions" if method is Method.SIGN else "verifyOptions")
    digest, of_digest = b"", None
    if message is not None:
        digest = message.base64("digest", limit=64) if "digest" in message else b""
        of_digest = _hash_in(message)
    signature = b""
    if method is Method.VERIFY and "signature" in arguments:
        signature = arguments.base64("signature", limit=limits.SIGNATURE)
    return Request(method, resource, hashing, "", digest, of_digest, signature, deadline)


def _message_options(arguments: Fields, name: str) -> Fields | None:
    options = arguments.optional_object(name)
    return options.optional_object("messageOptions") if options is not None else None


def _hash_in(options: Fields) -> HashAlgorithm | None:
    number = options.integer("hashFunc") if "hashFunc" in options else 0
    found = next((hashing for hashing, known in _HASHES.items() if known == number), None)
    if found is None and number != 0:
        raise Refused(f"the hash has Go's number {number}", "sign with SHA-256 (5), SHA-384 (6) or SHA-512 (7)")
    return found


# --- answered --------------------------------------------------------------------------------------------
def encode_answer(answer: Answer, method: Method) -> bytes:
    """Standard output of a program."""
    if answer.error:
        return json.dumps({"errorMessage": answer.error}).encode("ascii")
    value: dict[str, JSON] = {}
    if method is Method.DEFAULT_ALGORITHM:
        value = {"defaultAlgorithm": answer.algorithms[0]}
    elif method is Method.SUPPORTED_ALGORITHMS:
        value = {"supportedAlgorithms": list(answer.algorithms)}
    elif method in (Method.CREATE_KEY, Method.PUBLIC_KEY):
        value = {"publicKeyPEM": encode_base64(answer.public_key)}
    elif method is Method.SIGN:
        value = {"signature": encode_base64(answer.signature)}
    return json.dumps({method.value: value}).encode("ascii")


def parse_answer(data: bytes, method: Method) -> Answer:
    """What a program wrote to standard output when it was asked for ``method``.

    Raises:
        Malformed: not of that form, or an answer to something else.
    """
    fields = Fields.parse(data, what="the answer", limit=limits.KMS_ANSWER, proto=True)
    error = fields.optional_text("errorMessage", limit=limits.KMS_ANSWER)
    if error:
        return Answer(error=error)
    value = fields.object(method.value)
    if method is Method.DEFAULT_ALGORITHM:
        return Answer(algorithms=(value.text("defaultAlgorithm", limit=255),))
    if method is Method.SUPPORTED_ALGORITHMS:
        return Answer(algorithms=value.texts("supportedAlgorithms", limit=_ALGORITHMS))
    if method in (Method.CREATE_KEY, Method.PUBLIC_KEY):
        return Answer(public_key=value.base64("publicKeyPEM", limit=limits.PUBLIC_KEY))
    if method is Method.SIGN:
        return Answer(signature=value.base64("signature", limit=limits.SIGNATURE))
    return Answer()
