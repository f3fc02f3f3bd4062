// Puts the parts of a question to everyone in place as they come; without it, the page reloads.
"use strict";

(function () {
  const SAY_EVERY = 3000;
  const page = document.getElementById("everyone");
  if (!page || page.dataset.done === "yes") return;
  const live = document.getElementById("live");
  let said = 0;

  function swap(part) {
    const old = document.getElementById(part.id);
    if (!old || old.outerHTML === part.outerHTML) return;
    const held = old.contains(document.activeElement) ? document.activeElement : null;
    const href = held && held.getAttribute("href");
    old.replaceWith(part);
    if (!held) return;
    const same = Array.from(part.querySelectorAll("a")).find((a) => a.getAttribute("href") === href);
    const target = same || part.querySelector("a, button");
    if (target) target.focus({ preventScroll: true });
  }

  function put(text) {
    const came = new DOMParser().parseFromString(text, "text/html");
    const ids = (root) => Array.from(root.querySelectorAll("[data-part]"), (p) => p.id).join();
    const whole = came.getElementById("part-body");
    const current = document.getElementById("part-body");
    // When sections come or go, the body is replaced as one.
    if (whole && current && ids(whole) !== ids(current)) swap(document.importNode(whole, true));
    for (const part of came.querySelectorAll("[data-part]")) swap(document.importNode(part, true));
  }

  function say(done) {
    const progress = document.getElementById("part-progress");
    const now = Date.now();
    if (!progress || (!done && now - said < SAY_EVERY)) return;
    said = now;
    live.textContent = progress.dataset.message;
  }

  const source = new EventSource(page.dataset.stream);
  source.addEventListener("parts", (event) => { put(event.data); say(false); });
  source.addEventListener("done", () => { source.close(); page.dataset.done = "yes"; say(true); });
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) location.reload(); });
})();
