// Fetches the parts of an answer that changed and puts them in place; without it, pages reload.
"use strict";

(function () {
  const POLL = 350;
  const SAY_EVERY = 3000;

  // What someone is typing in stays theirs, also when the part around it changes.
  function keep(old, part) {
    for (const typed of old.querySelectorAll("input[id], textarea[id]")) {
      const same = part.querySelector("#" + CSS.escape(typed.id));
      if (same && typed.value !== typed.defaultValue) same.value = typed.value;
    }
  }

  function swap(part) {
    const old = document.getElementById(part.id);
    if (!old || old.outerHTML === part.outerHTML) return;
    const held = old.contains(document.activeElement) ? document.activeElement : null;
    const href = held && held.getAttribute("href");
    keep(old, part);
    old.replaceWith(part);
    if (!held) return;
    const link = href && part.querySelector('a[href="' + CSS.escape(href).replace(/\\([/#-])/g, "$1") + '"]');
    const field = held.id && part.querySelector("#" + CSS.escape(held.id));
    const target = field || link || part.querySelector("a, button");
    if (target) target.focus({ preventScroll: true });
  }

  function put(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const whole = page.querySelector("[data-whole]");
    const current = document.querySelector("[data-whole]");
    const ids = (root) => Array.from(root.querySelectorAll("[data-part]"), (p) => p.id).join();
    // When sections come or go, the body is replaced as one.
    if (whole && current && (ids(whole) !== ids(current) || whole.className !== current.className)) {
      swap(document.importNode(whole, true));
    }
    for (const part of page.querySelectorAll("[data-part]")) swap(document.importNode(part, true));
  }

  function follow(answer) {
    const live = document.getElementById("live");
    const every = Number(answer.dataset.every || POLL);
    let said = 0;
    let misses = 0;

    function say(done) {
      const progress = document.getElementById("part-progress");
      const now = Date.now();
      if (!progress || (!done && now - said < SAY_EVERY)) return;
      said = now;
      live.textContent = progress.dataset.message;
    }

    async function poll() {
      let done = false;
      try {
        const joined = answer.dataset.parts.includes("?") ? "&" : "?";
        const url = answer.dataset.parts + joined + "since=" + answer.dataset.version;
        const reply = await fetch(url, { redirect: "manual", credentials: "same-origin" });
        if (reply.type === "opaqueredirect" || reply.status === 404) {
          location.reload();
          return;
        }
        if (reply.status === 200) put(await reply.text());
        if (reply.ok) {
          answer.dataset.version = reply.headers.get("x-version");
          done = reply.headers.get("x-done") === "yes";
          misses = 0;
        } else misses += 1;
      } catch {
        misses += 1;
      }
      say(done);
      if (done) answer.dataset.done = "yes";
      else setTimeout(poll, Math.min(every * 2 ** misses, 10000));
    }

    setTimeout(poll, every / 2);
  }

  const answer = document.getElementById("answer");
  if (answer && answer.dataset.done === "no") follow(answer);
})();
