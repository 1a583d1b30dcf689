// SPDX-License-Identifier: Apache-2.0
// The signed file is hashed here and never sent. A bundle that is dropped on the page is looked into at once.

for (const hidden of document.querySelectorAll(".only-script")) hidden.hidden = false;

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
const artifact = document.getElementById("artifact");
const inspected = document.getElementById("inspected");

artifact.addEventListener("change", async () => {
  const [file] = artifact.files;
  const digest = file ? await crypto.subtle.digest("SHA-256", await file.arrayBuffer()) : null;
  document.getElementById("digest").value = digest ? "sha256:" + hex(digest) : "";
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!event.dataTransfer.files.length) return;
  inspected.files = event.dataTransfer.files;
  inspected.form.requestSubmit();
});
