// SPDX-License-Identifier: Apache-2.0
// What a program does with the official JavaScript library to verify a bundle; arguments as for sign.mjs.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { verify } = createRequire(`${process.env.SIGSTORE_JS}/`)('sigstore');
const wanted = JSON.parse(process.argv[2]);
const bundle = JSON.parse(readFileSync(wanted.bundle));
const options = { timeout: wanted.timeout, ...wanted.options };
const signer = await (wanted.file ? verify(bundle, readFileSync(wanted.file), options) : verify(bundle, options));
console.log(JSON.stringify(signer.identity));
