// SPDX-License-Identifier: Apache-2.0
// What a program does with the official JavaScript libraries: sign a file, or attest with a statement, and print the bundle.
// The arguments are one JSON document; the libraries are those below the folder in SIGSTORE_JS.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SIGSTORE_JS}/`);
const wanted = JSON.parse(process.argv[2]);
const data = readFileSync(wanted.file);
const type = 'application/vnd.in-toto+json';

// The package `sigstore` knows Rekor v1 alone.
function signOnV1() {
  const { sign, attest } = require('sigstore');
  const options = {
    fulcioURL: wanted.url,
    rekorURL: wanted.url,
    identityToken: wanted.token,
    timeout: wanted.timeout,
    tlogUpload: wanted.tlog,
    ...(wanted.tsa && { tsaServerURL: wanted.tsa }),
  };
  return wanted.dsse ? attest(data, type, options) : sign(data, options);
}

// `@sigstore/sign` takes the log that the stack's own signing config prefers.
async function signAsConfigured() {
  const { bundleBuilderFromSigningConfig } = require('@sigstore/sign');
  const { bundleToJSON } = require('@sigstore/bundle');
  const { SigningConfig } = require('@sigstore/protobuf-specs');
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: SigningConfig.fromJSON(JSON.parse(readFileSync(wanted.signingConfig))),
    identityProvider: { getToken: () => Promise.resolve(wanted.token) },
    fetchOptions: { timeout: wanted.timeout },
    bundleType: wanted.dsse ? 'dsseEnvelope' : 'messageSignature',
  });
  return bundleToJSON(await builder.create({ data, ...(wanted.dsse && { type }) }));
}

console.log(JSON.stringify(await (wanted.signingConfig ? signAsConfigured() : signOnV1())));
