// SPDX-License-Identifier: Apache-2.0
// The list of signings, taken anew while the reader looks at it. What comes is the page itself, made safe by the server.

const list = document.getElementById("live");
const follow = document.getElementById("follow");

for (const hidden of document.querySelectorAll(".only-script")) hidden.hidden = false;

async function look() {
  if (!follow.checked || document.hidden) return;
  const response = await fetch(location.href);
  if (!response.ok) return;
  const next = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
  if (next.textContent !== list.textContent && !list.contains(document.activeElement)) list.replaceChildren(...next.children);
}

setInterval(() => look().catch(() => {}), 2000);
