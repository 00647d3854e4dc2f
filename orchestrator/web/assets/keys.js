// Single keys, for those who like them: they can be switched off, and are never taken from a field.
(() => {
  "use strict";
  const dialog = document.getElementById("keys");
  const help = document.querySelector("[data-help]");
  if (help && dialog) help.addEventListener("click", () => dialog.showModal());
  if (!dialog || document.documentElement.dataset.keys !== "on") return;
  let after_g = 0;

  const rows = () => [...document.querySelectorAll("[data-rows] tbody tr")];
  function move(step) {
    const all = rows();
    if (!all.length) return;
    const here = all.findIndex((row) => row.contains(document.activeElement));
    const there = all[Math.max(0, Math.min(all.length - 1, here < 0 ? 0 : here + step))];
    const opens = there.querySelector("a.opens");
    if (opens) opens.focus();
  }
  const acts = {
    "/": () => { const find = document.getElementById("q"); find.focus(); find.select(); },
    "?": () => dialog.showModal(),
    j: () => move(1),
    k: () => move(-1),
    x: () => {
      const row = rows().find((one) => one.contains(document.activeElement));
      const tick = row && row.querySelector("input[type=checkbox]");
      if (tick) tick.click();
    },
    r: () => { if (window.orchAsk) window.orchAsk(); },
    g: () => { after_g = Date.now(); },
  };
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    const typing = at.isContentEditable || (/^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName) && at.type !== "checkbox");
    if (typing || dialog.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (Date.now() - after_g < 1500) {
      after_g = 0;
      const entry = document.querySelector('#rail [data-go="' + CSS.escape(event.key) + '"]');
      if (entry) { event.preventDefault(); entry.click(); }
      return;
    }
    const act = Object.hasOwn(acts, event.key) ? acts[event.key] : null;
    if (act) { event.preventDefault(); act(); }
  });
})();
