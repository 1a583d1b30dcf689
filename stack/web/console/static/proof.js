// SPDX-License-Identifier: Apache-2.0
// The inclusion proof (RFC 6962 section 2.1.1) and the checkpoint's signature, computed again in the reader's browser.

const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
const equal = (a, b) => a.length === b.length && a.every((byte, place) => byte === b[place]);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => Array.from(part)));
const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));

// 1. The leaf's hash is of 0x00 and the leaf, a node's of 0x01 and its two children.
// 2. On the way up a node is the right child where its index is odd, or where the tree ends on that level.
export async function climb(leaf, index, size, path) {
  let hash = await sha256(join([0], leaf));
  const steps = [{ hash, side: "leaf" }];
  let place = index;
  let last = size - 1;
  for (const other of path) {
    while (place === last && place % 2 === 0 && last > 0) {
      place = Math.floor(place / 2); // no sibling on this level
      last = Math.floor(last / 2);
    }
    const right = place % 2 === 1;
    hash = await sha256(right ? join([1], other, hash) : join([1], hash, other));
    steps.push({ hash, other, side: right ? "left" : "right" });
    place = Math.floor(place / 2);
    last = Math.floor(last / 2);
  }
  return { root: hash, steps };
}

// C2SP signed-note: text, an empty line, and a line a signature: name, then base64 of four bytes of key id and the signature.
export function parseCheckpoint(text) {
  const end = text.indexOf("\n\n");
  const [origin, size, root] = text.slice(0, end).split("\n");
  const lines = text.slice(end + 2).trim().split("\n");
  return { signed: text.slice(0, end + 1), origin, size: Number(size), root: bytes(root), signatures: lines.map((line) => bytes(line.split(" ").at(-1)).slice(4)) };
}

// An ECDSA signature in DER as WebCrypto wants it: r and s, 32 bytes each.
function fixed(der) {
  const numbers = [];
  let place = 2;
  while (place < der.length) {
    const length = der[place + 1];
    const number = der.slice(place + 2, place + 2 + length).slice(-32);
    numbers.push(join(new Uint8Array(32 - number.length), number));
    place += 2 + length;
  }
  return join(...numbers);
}

async function verifies(spki, signature, data) {
  if (spki.length === 44) {
    const key = await crypto.subtle.importKey("spki", spki, { name: "Ed25519" }, false, ["verify"]);
    return crypto.subtle.verify("Ed25519", key, signature, data);
  }
  const key = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, fixed(signature), data);
}

async function signatureHolds(found, checkpoint) {
  if (found.log === "ct") return null; // signed as a tree head of RFC 6962
  try {
    const data = new TextEncoder().encode(checkpoint.signed);
    for (const signature of checkpoint.signatures) {
      if (await verifies(bytes(found.publicKey), signature, data)) return true;
    }
    return false;
  } catch {
    return null;
  }
}

function draw(list, steps) {
  const items = steps.map(({ hash, other, side }) => {
    const item = document.createElement("li");
    item.className = side;
    for (const [name, data] of [["other", other], ["hash", hash]]) {
      if (!data) continue;
      const code = document.createElement("code");
      code.className = name;
      code.textContent = hex(data);
      item.append(code);
    }
    return item;
  });
  list.replaceChildren(...items);
  list.classList.add("drawn");
}

async function main(list, status) {
  const response = await fetch(list.dataset.document);
  const found = await response.json();
  const { root, steps } = await climb(bytes(found.leaf), found.index, found.size, found.proof.map(bytes));
  const checkpoint = parseCheckpoint(found.checkpoint);
  const right = equal(root, checkpoint.root) && checkpoint.size === found.size;
  const holds = await signatureHolds(found, checkpoint);
  const words = { true: "signature", false: "badSignature", null: "noSignature" }[holds];
  status.textContent = [right ? list.dataset.right : list.dataset.wrong, list.dataset[words]].join(" ");
  status.className = right && holds !== false ? "right" : "problem";
  draw(list, steps);
}

const list = document.getElementById("path");
if (list) main(list, document.getElementById("checked"));
