// SPDX-License-Identifier: Apache-2.0
// For `NODE_OPTIONS="--require /path/npm-trust.cjs" npm ...`: npm has no option for another Sigstore than the public one. Its questions
// about trust are answered here by the TUF mirror TUF_MIRROR, from the first root in the file TUF_ROOT_JSON on. `npm publish --provenance`
// signs at SIGSTORE_FULCIO_URL and SIGSTORE_REKOR_URL (a log of Rekor v1).
'use strict'
const Module = require('node:module')

const { TUF_MIRROR: mirror, TUF_ROOT_JSON: root, SIGSTORE_FULCIO_URL: ca, SIGSTORE_REKOR_URL: log } = process.env
if (!mirror || !root) {
  throw new Error('npm-trust.cjs: TUF_MIRROR and TUF_ROOT_JSON must say whom npm shall trust')
}
const load = Module._load

function sigstore (found) {
  const trust = { tufMirrorURL: mirror, tufRootPath: root, tufForceCache: false }
  const verify = (bundle, ...given) => {
    const data = given.filter((one) => Buffer.isBuffer(one))
    const options = given.find((one) => one && !Buffer.isBuffer(one))
    return found.verify(bundle, ...data, { ...options, ...trust })
  }
  const attest = (payload, type, options) => {
    if (!ca || !log) {
      throw new Error('npm-trust.cjs: SIGSTORE_FULCIO_URL and SIGSTORE_REKOR_URL must say where npm shall sign')
    }
    return found.attest(payload, type, { ...options, fulcioURL: ca, rekorURL: log })
  }
  return { ...found, attest, verify }
}

function tuf (found) {
  return { ...found, initTUF: (options) => found.initTUF({ ...options, mirrorURL: mirror, rootPath: root }) }
}

Module._load = function (name, ...rest) {
  const found = load.call(this, name, ...rest)
  return name === 'sigstore' ? sigstore(found) : name === '@sigstore/tuf' ? tuf(found) : found
}
