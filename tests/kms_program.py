# SPDX-License-Identifier: Apache-2.0
"""A second program that holds keys for Sigstore's KMS plugin protocol, written from the protocol alone: it shares no code with ours.

``localfile://PATH``: the key is PKCS#8 at PATH, without a passphrase. As some programs do, it hashes what it reads from standard input
and looks at no digest, unless it reads nothing. Errors are told with status 1, which callers must not look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.stack_process import PROGRAM, ROOT

NAME = "localfile"
SOURCE = """
import base64, hashlib, json, sys
from pathlib import Path
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

HASHES = {5: hashes.SHA256(), 6: hashes.SHA384(), 7: hashes.SHA512()}

def b64(data):
    return base64.b64encode(data).decode()

def pem(key):
    return {"publicKeyPEM": b64(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))}

def answer(version, argument):
    request = json.loads(argument)
    init, name = request["initOptions"], request["methodName"]
    if version != "v1" or init["protocolVersion"] != "v1":
        raise ValueError("only v1")
    path = Path(init["keyResourceID"])
    if name == "defaultAlgorithm":
        return {"defaultAlgorithm": "p256"}
    if name == "supportedAlgorithms":
        return {"supportedAlgorithms": ["p256", "rsa"]}
    if name == "createKey":
        kind = request["createKey"]["algorithm"]
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else rsa.generate_private_key(65537, 2048)
        path.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
        return pem(key)
    key = s.load_pem_private_key(path.read_bytes(), None)
    if name == "publicKey":
        return pem(key)
    asked = request[name]
    options = asked["signOptions" if name == "signMessage" else "verifyOptions"]["messageOptions"]
    message = sys.stdin.buffer.read()
    kind = HASHES[options.get("hashFunc") or init["hashFunc"] or 5]
    given = base64.b64decode(options.get("digest") or "")
    if given:
        kind = {len(given): one for one in HASHES.values() if one.digest_size == len(given)}[len(given)]
    digest = hashlib.new(kind.name, message).digest() if message else given
    done = utils.Prehashed(kind)
    how = (padding.PKCS1v15(), done) if isinstance(key, rsa.RSAPrivateKey) else (ec.ECDSA(done),)
    if name == "signMessage":
        return {"signature": b64(key.sign(digest, *how))}
    key.public_key().verify(base64.b64decode(asked["signature"]), digest, *how)
    return {}

try:
    print(json.dumps({json.loads(sys.argv[2])["methodName"]: answer(*sys.argv[1:3])}))
except InvalidSignature:
    print(json.dumps({"errorMessage": "the signature is wrong"}))
    sys.exit(1)
except Exception as error:
    print(json.dumps({"errorMessage": repr(error)}))
    sys.exit(1)
"""


def install(folder: Path, source: str = SOURCE, name: str = NAME) -> Path:
    """Write the program ``sigstore-kms-NAME`` into ``folder``, which belongs into PATH. A source that begins with ``#!`` is used as it is."""
    folder.mkdir(exist_ok=True)
    path = folder / f"sigstore-kms-{name}"
    path.write_text(source if source.startswith("#!") else f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
    return path


OURS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from stack.kms.plugin import main
sys.exit(main())
"""


def install_ours(folder: Path) -> Path:
    """The program that comes with us: of this checkout, or the executable that is tested, by its other name."""
    if PROGRAM is None:
        return install(folder, OURS, "sigbox")
    folder.mkdir(exist_ok=True)
    path = folder / "sigstore-kms-sigbox"
    path.symlink_to(Path(PROGRAM).absolute())
    return path


OPENSSL = r"""#!/bin/sh
member() { printf %s "$argument" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
argument=$2 key=$(member keyResourceID)
public() { printf '{"%s":{"publicKeyPEM":"%s"}}' "$1" "$(openssl pkey -in "$key" -pubout | base64 -w 0)"; }
fail() { printf '{"errorMessage":"%s"}' "$1"; exit 1; }
case $(member methodName) in
defaultAlgorithm) printf '{"defaultAlgorithm":{"defaultAlgorithm":"p256"}}' ;;
createKey)
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$key" || fail "the key is not made"
    public createKey ;;
publicKey)
    [ -e "$key" ] || fail "there is no such key"
    public publicKey ;;
signMessage)
    signature=$(member digest | base64 -d | openssl pkeyutl -sign -inkey "$key" | base64 -w 0)
    printf '{"signMessage":{"signature":"%s"}}' "$signature" ;;
esac
"""
"""A third one, of openssl and digests alone: it starts faster than Python, for services, which sign often."""
