// Warns before a session ends, and leads to what is wrong; pages work without it.
"use strict";

(function () {
  function warnBeforeTheEnd(idle) {
    const box = document.getElementById("expiring");
    let timer = 0;
    function start() {
      clearTimeout(timer);
      box.hidden = true;
      timer = setTimeout(() => { box.hidden = false; }, Math.max(5, idle - 120) * 1000);
    }
    document.getElementById("stay").addEventListener("click", async () => {
      const reply = await fetch(document.body.dataset.stay, { redirect: "manual", credentials: "same-origin" });
      if (reply.status === 204) start();
      else location.reload();
    });
    start();
  }

  const first = document.querySelector("[data-focus]");
  if (first) {
    document.title = document.title.trim();
    first.focus();
  }
  if (document.body.dataset.idle) warnBeforeTheEnd(Number(document.body.dataset.idle));
})();
