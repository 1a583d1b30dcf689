# SPDX-License-Identifier: Apache-2.0
"""The clients that decide what may run, or be trusted: they verify, and are configured by files."""

from __future__ import annotations

import base64
import textwrap

import orjson

from sigcore import limits
from sigcore.strict import JSON, parse_json
from stack.clients.guide import IDENTITY, Guide, Place, Step


def gh(place: Place) -> Guide:
    """GitHub's command line: attestations of GitHub-shaped identities.

    Its file of trusted roots is read line by line, and what no line feed ends is passed over: so the root stands here on one line,
    which can be pasted on any machine. With a bundle and this file nothing is asked of the stack: no URL, no TLS authority.
    """
    root = orjson.dumps(_trusted_root(place)).decode("utf-8")
    return Guide(
        "gh",
        (
            "gh verifies attestations only, with the SLSA predicate, and only of certificates that name a GitHub",
            "repository: their tokens must carry GitHub's claims. For other identities use cosign or sigbox",
        ),
        steps=(
            Step(
                "trust",
                f"cat > trusted_root.jsonl <<'EOF'\n{root}\nEOF",
                "one trusted root per line; in >> others can be added, and make it anew when the stack's keys rotate",
            ),
            Step(
                "verify",
                "gh attestation verify FILE --bundle FILE.sigstore.json --custom-trusted-root trusted_root.jsonl"
                f" --owner OWNER --cert-oidc-issuer {place.issuer}",
            ),
        ),
    )


def kyverno(place: Place) -> Guide:
    """A policy with the keys in it."""
    policy = f"""\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: signed-by-{IDENTITY.split("@")[0]}
spec:
  validationFailureAction: Enforce
  rules:
    - name: signed
      match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
      verifyImages:
        - imageReferences: ["REGISTRY/*"]
          attestors:
            - entries:
                - keyless:
                    issuer: {place.issuer}
                    subject: {IDENTITY}
                    roots: |-
{_indented(place.pem("fulcio_chain.pem"), 22)}
                    rekor:
                      url: {place.log}
                      pubkey: |-
{_indented(place.pem("rekor.pub"), 24)}
                    ctlog:
                      pubkey: |-
{_indented(place.pem("ctfe.pub"), 24)}"""
    return Guide(
        "kyverno",
        ("kyverno: signatures of the form of cosign 2, in the Rekor v1 log; the cluster must reach the URL",),
        steps=(
            Step(
                "sign",
                f"cosign sign --yes --new-bundle-format=false --use-signing-config=false --fulcio-url {place.ca}"
                f" --rekor-url {place.log} --identity-token {place.token} IMAGE@DIGEST",
                "after the first line of: sigbox env cosign",
            ),
            Step("verify", _applied(policy)),
        ),
    )


def policy_controller(place: Place) -> Guide:
    """The TUF repository as a TrustRoot, and a policy that refers to it."""
    root = base64.b64encode(place.home.tuf_root.read_bytes()).decode("ascii")
    objects = f"""\
apiVersion: policy.sigstore.dev/v1alpha1
kind: TrustRoot
metadata:
  name: sigbox
spec:
  remote:
    mirror: {place.mirror}
    root: {root}
---
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: signed-by-{IDENTITY.split("@")[0]}
spec:
  images:
    - glob: "REGISTRY/**"
  authorities:
    - keyless:
        url: {place.ca}
        trustRootRef: sigbox
        identities:
          - issuer: {place.issuer}
            subject: {IDENTITY}
      ctlog:
        url: {place.log}
        trustRootRef: sigbox"""
    return Guide(
        "policy-controller",
        ("policy-controller: the trust root comes over TUF; the cluster must reach the URL, by a name that it knows",),
        steps=(Step("verify", _applied(objects)),),
    )


def podman(place: Place) -> Guide:
    """Its signing parameters, and the entry of its policy."""
    parameters = f"""\
cat > sigbox-signing.yaml <<EOF
fulcio:
  fulcioURL: {place.ca}
  oidcMode: staticToken
  oidcIDToken: {place.token.strip('"')}
rekorURL: {place.log}
EOF"""
    policy = f"""\
cat > policy.json <<'EOF'
{{
  "default": [{{"type": "reject"}}],
  "transports": {{
    "docker": {{
      "REGISTRY": [{{
        "type": "sigstoreSigned",
        "fulcio": {{
          "caPath": "{place.key("fulcio_v1.crt.pem")}",
          "oidcIssuer": "{place.issuer}",
          "subjectEmail": "{IDENTITY}"
        }},
        "rekorPublicKeyPath": "{place.key("rekor.pub")}",
        "signedIdentity": {{"type": "matchRepository"}}
      }}]
    }}
  }}
}}
EOF"""
    return Guide(
        "podman",
        (
            "podman, skopeo, buildah: signatures of the form of cosign 2, in the Rekor v1 log; emails only",
            "registries.d must say for REGISTRY: use-sigstore-attachments: true",
        ),
        environment=place.tls("SSL_CERT_FILE"),
        steps=(
            Step("sign", parameters, "a token lives ten minutes: write this file anew for each push"),
            Step("sign", "podman push --sign-by-sigstore sigbox-signing.yaml REGISTRY/IMAGE:TAG"),
            Step("verify", policy),
            Step("verify", "podman --signature-policy policy.json pull REGISTRY/IMAGE:TAG"),
        ),
    )


def _trusted_root(place: Place) -> JSON:
    data = (place.home.public / "trusted_root.json").read_bytes()
    return parse_json(data, what="the trusted root", limit=limits.TRUSTED_ROOT)


def _indented(text: str, width: int) -> str:
    return textwrap.indent(text, " " * width)


def _applied(objects: str) -> str:
    return f"kubectl apply -f - <<'EOF'\n{objects}\nEOF"
