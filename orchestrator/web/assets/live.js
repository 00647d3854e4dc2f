// A page lives by asking again: only while it is seen, not while it is paused, and only what changed comes back.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const living = document.getElementById("living");
  const fresh = document.getElementById("fresh");
  const announce = document.getElementById("announce");
  if (!living || !window.htmx) return;
  const every = Number(living.dataset.every) * 1000 || 5000;
  const QUIET_MS = 15000;
  let tag = null, announced = Date.now(), said = summary(), asking = false, failures = 0, asked = Date.now();

  function summary() {
    const found = living.querySelector("[data-summary]");
    return found ? found.dataset.summary : "";
  }
  function ask() {
    if (asking) return;
    asking = true;
    asked = Date.now();
    htmx.trigger(living, "poll");
  }
  window.orchAsk = ask;

  setInterval(() => {
    const wait = every * Math.min(2 ** failures, 12);
    if (root.dataset.live !== "on" || document.visibilityState !== "visible" || Date.now() - asked < wait) return;
    ask();
  }, 500);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && root.dataset.live === "on") ask();
  });

  const isOurs = (event) => event.detail && event.detail.ctx && event.detail.ctx.sourceElement === living;
  document.addEventListener("htmx:config:request", (event) => {
    if (isOurs(event) && tag) event.detail.ctx.request.headers["If-None-Match"] = tag;
  });
  document.addEventListener("htmx:before:swap", (event) => {
    // What went wrong is told beside the page, which stays as it was: nothing is made up, nothing is lost.
    if (isOurs(event) && event.detail.ctx.response.status >= 400) event.preventDefault();
  });
  document.addEventListener("htmx:after:request", (event) => {
    if (!isOurs(event)) return;
    asking = false;
    const { status, headers } = event.detail.ctx.response;
    if (status >= 400) return stale();
    failures = 0;
    if (status === 200) tag = headers.get("ETag");
    fresh.textContent = "As of " + new Date().toISOString().slice(11, 19) + " UTC";
    fresh.classList.remove("stale");
  });
  document.addEventListener("htmx:error", (event) => {
    if (isOurs(event)) { asking = false; stale(); }
  });
  document.addEventListener("htmx:after:swap", (event) => {
    if (!isOurs(event)) return;
    badge();
    tell();
    document.dispatchEvent(new Event("orch:swapped"));
  });

  function stale() {
    failures += 1;
    if (!fresh.classList.contains("stale")) fresh.textContent = fresh.textContent.replace(/^As of/, "No answer since");
    fresh.classList.add("stale");
  }
  function badge() {
    const now = document.getElementById("asked-now");
    if (!now) return;
    for (const shown of document.querySelectorAll("[data-asked]")) {
      shown.hidden = now.value === "0";
      shown.firstElementChild.textContent = now.value;
      shown.lastElementChild.textContent = ", " + now.dataset.words;
    }
    document.title = document.title.replace(/^\(\d+\+?\) /, "");
    if (now.value !== "0") document.title = "(" + now.value + ") " + document.title;
  }
  // Screen readers hear a summary when it changed, at most every 15 s.
  function tell() {
    const words = summary();
    if (words === said || Date.now() - announced < QUIET_MS) return;
    said = words;
    announced = Date.now();
    announce.textContent = words;
  }
})();
