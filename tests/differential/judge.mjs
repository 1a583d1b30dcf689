// SPDX-License-Identifier: Apache-2.0
// The official JavaScript library as a judge of many bundles: one JSON question in a line, one JSON answer in a line.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.SIGSTORE_JS}/`);
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');
const { crypto } = require(require.resolve('@sigstore/core', { paths: [require.resolve('@sigstore/verify')] }));
const quote = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function judge(asked) {
  const root = TrustedRoot.fromJSON(JSON.parse(readFileSync(asked.root)));
  const key = asked.key && crypto.createPublicKey(readFileSync(asked.key).toString());
  const material = toTrustMaterial(root, key && (() => ({ publicKey: key, validFor: () => true })));
  const bundle = bundleFromJSON(JSON.parse(readFileSync(asked.bundle)));
  const entity = toSignedEntity(bundle, readFileSync(asked.artifact));
  // The package's own defaults, as `sigstore verify` has them.
  const verifier = new Verifier(material, { ctlogThreshold: 1, tlogThreshold: 1 });
  const policy = { subjectAlternativeName: `^${quote(asked.identity)}$`, extensions: { issuer: asked.issuer } };
  verifier.verify(entity, asked.key ? undefined : policy);
}

for await (const line of createInterface({ input: process.stdin })) {
  let refusal = '';
  try {
    judge(JSON.parse(line));
  } catch (error) {
    refusal = `${error.name}: ${error.message}` || 'refused';
  }
  console.log(JSON.stringify(refusal));
}
