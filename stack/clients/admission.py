# SPDX-License-Identifier: Apache-2.0
"""The clients that decide what may run, or be trusted: they verify, and are configured by files."""

from __future__ import annotations

from stack.clients.guide import IDENTITY, Guide, Place, Step


def gh(place: Place) -> Guide:
    """GitHub's command line: attestations of GitHub-shaped identities.

    Its file of trusted roots is read line by line, and what no line feed ends is passed over.
    """
    return Guide(
        "gh",
        (
            "gh verifies attestations only, with the SLSA predicate, and only of certificates that name a GitHub",
            "repository: their tokens must carry GitHub's claims. For other identities use cosign or sigbox",
        ),
        steps=(
            place.trusted_root_line(),
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
{place.pem("fulcio_chain.pem", 22)}
                    rekor:
                      url: {place.log}
                      pubkey: |-
{place.pem("rekor.pub", 24)}
                    ctlog:
                      pubkey: |-
{place.pem("ctfe.pub", 24)}"""
    return Guide(
        "kyverno",
        ("kyverno: signatures of the form of cosign 2, in the Rekor v1 log; the cluster must reach the URL",),
        steps=(
            *place.keys("verify"),
            Step(
                "sign",
                f"cosign sign --yes --new-bundle-format=false --use-signing-config=false --fulcio-url {place.ca}"
                f" --rekor-url {place.log}{place.identified} IMAGE@DIGEST",
                "after the first line of: sigbox env cosign",
            ),
            Step("verify", _applied(policy, place)),
        ),
    )


def policy_controller(place: Place) -> Guide:
    """The TUF repository as a TrustRoot, and a policy that refers to it."""
    objects = f"""\
apiVersion: policy.sigstore.dev/v1alpha1
kind: TrustRoot
metadata:
  name: sigbox
spec:
  remote:
    mirror: {place.mirror}
    root: {place.root_base64}
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
        steps=(Step("verify", f"{place.fetch}{_applied(objects, place)}"),),
    )


def podman(place: Place) -> Guide:
    """Its signing parameters, and the entry of its policy."""
    parameters = f"""\
cat > sigbox-signing.yaml <<EOF
fulcio:
  fulcioURL: {place.ca}
{place.podman_identity}
rekorURL: {place.log}
EOF"""
    policy = f"""\
cat > policy.json <<{place.heredoc}
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
            *place.keys("verify"),
            Step("sign", parameters, "a token lives ten minutes: write this file anew for each push"),
            Step("sign", "podman push --sign-by-sigstore sigbox-signing.yaml REGISTRY/IMAGE:TAG"),
            Step("verify", policy),
            Step("verify", "podman --signature-policy policy.json pull REGISTRY/IMAGE:TAG"),
        ),
    )


def _applied(objects: str, place: Place) -> str:
    return f"kubectl apply -f - <<{place.heredoc}\n{objects}\nEOF"
