# SPDX-License-Identifier: Apache-2.0
"""The clients that sign and verify files and commits."""

from __future__ import annotations

from stack.clients.guide import IDENTITY, Guide, Place, Step

_POLICY = f"--certificate-identity {IDENTITY} --certificate-oidc-issuer"


def sigbox(place: Place) -> Guide:
    """Our own client."""
    return Guide(
        "sigbox",
        (place.about_sigbox,),
        environment=(*place.trust_config, *place.tls("SSL_CERT_FILE")),
        steps=(
            *place.login,
            Step("sign", f"sigbox sign-blob FILE{place.identified}"),
            Step("verify", f"sigbox verify-blob FILE {_POLICY} {place.issuer}"),
        ),
        more=(
            Step(
                "sign",
                f"sigbox sign-blob FILE --rekor-version 1{place.identified}",
                "into the Rekor v1 log",
            ),
            Step(
                "sign",
                f"sigbox attest-blob FILE --predicate PREDICATE.json --type slsaprovenance1 --bundle FILE.att.json"
                f"{place.identified}",
                "a statement about the file: how it was built, what is in it",
            ),
            Step(
                "verify",
                f"sigbox verify-blob-attestation FILE --type slsaprovenance1 --bundle FILE.att.json {_POLICY} {place.issuer}",
            ),
        ),
    )


def cosign(place: Place) -> Guide:
    """Version 3; version 2 with the flags of its time."""
    issuer, identified = place.issuer, place.identified
    files = f"--trusted-root {place.public('trusted_root.json')}"
    bundle = "--bundle FILE.sigstore.json"
    sign = f"cosign sign-blob --yes{identified} {bundle}"
    return Guide(
        "cosign",
        ("cosign 3: trust the stack once (kept in ~/.sigstore); afterwards no command needs a URL",),
        environment=place.tls("SSL_CERT_FILE"),
        steps=(
            Step("trust", f"{place.fetch}cosign initialize --mirror {place.mirror} --root {place.root}"),
            Step("sign", f"{sign} FILE"),
            Step("verify", f"cosign verify-blob {bundle} {_POLICY} {issuer} FILE"),
        ),
        more=(
            Step("sign", f"cosign sign --yes{identified} IMAGE@DIGEST", "a container image"),
            Step("verify", f"cosign verify {_POLICY} {issuer} IMAGE@DIGEST"),
            Step(
                "sign",
                f"{sign} --signing-config {place.public('signing_config.json')} {files} FILE",
                "without TUF, from files",
                local=True,
            ),
            Step("verify", f"cosign verify-blob {bundle} {files} {_POLICY} {issuer} FILE", local=True),
            Step(
                "sign",
                f"{sign} --signing-config {place.public('signing_config_v1.json')} {files} FILE",
                "into the Rekor v1 log, with its search",
                local=True,
            ),
            Step(
                "sign",
                f"cosign sign-blob --yes{identified} --bundle FILE.cosign.bundle --fulcio-url {place.ca}"
                f" --rekor-url {place.log} --oidc-issuer {issuer} FILE",
                "cosign 2 (after initialize): Rekor v1, a bundle of the old form",
                version="2",
            ),
            Step(
                "verify",
                f"cosign verify-blob --bundle FILE.cosign.bundle --rekor-url {place.log} {_POLICY} {issuer} FILE",
                version="2",
            ),
        ),
    )


def gitsign(place: Place) -> Guide:
    """Keys by environment: its own trust store is not filled by ``initialize`` where trusted_root.json is published."""
    settings = (
        ("gitsign.fulcio", place.ca),
        ("gitsign.rekor", place.log),
        ("gitsign.issuer", place.issuer),
        ("gpg.x509.program", "gitsign"),
        ("gpg.format", "x509"),
        ("commit.gpgsign", "true"),
    )
    return Guide(
        "gitsign",
        (
            "gitsign: in the repository whose commits shall be signed; the log is Rekor v1",
            "its keys come from the environment, when it signs and when it verifies",
        ),
        environment=(
            ("SIGSTORE_ROOT_FILE", place.key("fulcio_chain.pem")),
            ("SIGSTORE_REKOR_PUBLIC_KEY", place.key("rekor.pub")),
            ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", place.key("ctfe.pub")),
            *place.tls("SSL_CERT_FILE"),
        ),
        steps=(
            *place.keys("trust"),
            Step("trust", f"{place.fetch}gitsign initialize --mirror {place.mirror} --root {place.root}"),
            *(Step("trust", f"git config --local {name} {value}") for name, value in settings),
            Step("sign", f"{place.token_variable}git commit -m MESSAGE"),
            Step("verify", f"gitsign verify {_POLICY} {place.issuer} HEAD"),
        ),
    )


def sigstore_python(place: Place) -> Guide:
    """The global option stands before the command."""
    over_tuf, from_file = (
        f"sigstore --instance {place.mirror}",
        f"sigstore --trust-config {place.public('trust_config.json')}",
    )
    verify = f"verify identity --cert-identity {IDENTITY} --cert-oidc-issuer {place.issuer} FILE"
    return Guide(
        "sigstore-python",
        ("sigstore-python (pip install sigstore): trust the stack once, then sign and verify",),
        environment=place.tls("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
        steps=(
            Step("trust", f"{place.fetch}{over_tuf} trust-instance {place.root}"),
            Step("sign", f"{over_tuf} sign{place.identified} FILE"),
            Step("verify", f"{over_tuf} {verify}"),
        ),
        more=(
            Step(
                "sign",
                f"{from_file} sign --overwrite{place.identified} FILE",
                "the same from one file, without TUF",
                local=True,
            ),
            Step("verify", f"{from_file} {verify}", local=True),
            Step(
                "sign",
                f"{over_tuf} sign --rekor-version 1 --overwrite{place.identified} FILE",
                "into the Rekor v1 log",
            ),
        ),
    )


def sigstore_js(place: Place) -> Guide:
    """The command line attests only, and to Rekor v1; its identities are regular expressions."""
    identity = IDENTITY.replace(".", r"\.")
    ci = "CI=1 " if place.token_variable else ""  # so that it looks into the environment
    services = (
        f"--fulcio-url {place.ca} --rekor-url {place.log} --tsa-server-url {place.tsa} --oidc-issuer {place.issuer}"
    )
    return Guide(
        "sigstore-js",
        (
            "sigstore-js (npm install --global @sigstore/cli, Node 22 or newer); it attests, in the Rekor v1 log",
            "the identity to verify is a regular expression",
        ),
        environment=place.tls("NODE_EXTRA_CA_CERTS"),
        steps=(
            Step(
                "sign",
                f"{ci}{place.token_variable}sigstore attest FILE {services} --timeout 20 -o FILE.sigstore.json",
            ),
            Step(
                "verify",
                f"{place.fetch}sigstore verify FILE.sigstore.json --tuf-mirror-url {place.mirror} --tuf-root-path {place.root}"
                f" --certificate-issuer {place.issuer} --certificate-identity-email '^{identity}$'",
            ),
        ),
    )


def npm(place: Place) -> Guide:
    """What npm itself cannot do, and what can be done beside it."""
    return Guide(
        "npm",
        (
            "npm publish --provenance and npm audit signatures know the public Sigstore only: no option names another one",
            "so sign the package as a file, and verify that before it is installed",
        ),
        environment=(*place.trust_config, *place.tls("SSL_CERT_FILE")),
        steps=(
            *place.login,
            Step("sign", f'sigbox sign-blob "$(npm pack --silent)"{place.identified}'),
            Step("verify", f"sigbox verify-blob PACKAGE.tgz {_POLICY} {place.issuer} && npm install ./PACKAGE.tgz"),
        ),
        more=(
            Step(
                "sign",
                f"sigbox npm attest PACKAGE.tgz --predicate PREDICATE.json{place.identified}",
                "how it was built; in GitHub Actions without --predicate",
            ),
            Step("verify", f"sigbox npm verify PACKAGE.tgz {_POLICY} {place.issuer}"),
            Step(
                "trust",
                f"{place.fetch}sigbox npm shim > npm-trust.cjs\n"
                f"export TUF_MIRROR={place.mirror} TUF_ROOT_JSON={place.root}\n"
                f"export SIGSTORE_FULCIO_URL={place.ca} SIGSTORE_REKOR_URL={place.log}\n"
                'export NODE_OPTIONS="--require $PWD/npm-trust.cjs"',
                "what Node loads before npm: npm then goes by this stack",
            ),
            Step(
                "sign",
                "npm publish PACKAGE.tgz --provenance-file PACKAGE.tgz.sigstore.json",
                "in GitHub Actions and GitLab CI, npm publish --provenance does without sigbox npm attest",
            ),
            Step("verify", "npm audit signatures", "of what is installed; npm does not ask who has signed"),
        ),
    )


def maven(place: Place) -> Guide:
    """What the plugins of Maven and Gradle cannot do, and what can be done beside them: a repository in a directory is signed."""
    # What a build publishes, and no checksum, signature or index of it.
    artifacts = (
        "find DIR -type f ! -name '*.sigstore.json' ! -name '*.asc' ! -name '*.md5' ! -name '*.sha*'"
        " ! -name 'maven-metadata*.xml'"
    )
    return Guide(
        "maven",
        (
            "the Sigstore plugins of Maven and Gradle know the public Sigstore only: no option names another one",
            "so publish into a directory DIR first, sign what is in it, and upload DIR whole: each ARTIFACT with the",
            "ARTIFACT.sigstore.json beside it, which repositories keep and hand out like a .asc",
        ),
        environment=(*place.trust_config, *place.tls("SSL_CERT_FILE")),
        steps=(
            *place.login,
            Step(
                "sign",
                f"{artifacts} -print0 | xargs -0 sigbox sign-blob{place.identified}",
                'Maven: mvn deploy -DaltDeploymentRepository=staged::file:DIR; Gradle: publish to maven { url = uri("DIR") }',
            ),
            Step(
                "verify",
                f"{artifacts} -print0 | xargs -0 sigbox verify-blob {_POLICY} {place.issuer}",
                "all of it before the upload; who has downloaded an artifact with its bundle names that one file",
            ),
        ),
    )
