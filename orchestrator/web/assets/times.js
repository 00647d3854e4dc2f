// Ages are kept right between looks; a time says the viewer's own on hover; a button copies.
(() => {
  "use strict";
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];
  function words(seconds) {
    if (seconds < 60) return Math.round(seconds) + " s";
    const parts = [];
    let left = Math.floor(seconds);
    for (const [length, unit] of UNITS) {
      if (left >= length) { parts.push(Math.floor(left / length) + " " + unit); left %= length; }
      else if (parts.length) break;
    }
    if (left && parts.length === 1 && parts[0].endsWith("min")) parts.push(left + " s");
    return parts.slice(0, 2).join(" ");
  }
  function refresh() {
    for (const age of document.querySelectorAll(".age")) {
      const { at, lasts } = age.dataset;
      const seconds = (Date.now() - Date.parse(at || lasts)) / 1000;
      const text = lasts ? words(Math.max(0, seconds)) : Math.abs(seconds) < 1 ? "now" : seconds > 0 ? words(seconds) + " ago" : "in " + words(-seconds);
      if (age.textContent !== text) age.textContent = text;
    }
  }
  setInterval(() => { if (document.visibilityState === "visible") refresh(); }, 1000);
  document.addEventListener("orch:swapped", refresh);

  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest && event.target.closest("time");
    if (!time || time.title) return;
    const at = new Date(time.dateTime);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    time.title = at.toISOString().replace("T", " ").slice(0, 19) + " UTC · " + at.toLocaleString() + " " + zone;
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest && event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // On plain HTTP a browser has no clipboard for pages; the old way still copies what is selected.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
      button.focus();
    }
    button.classList.add("done");
    document.getElementById("announce").textContent = "Copied";
    setTimeout(() => button.classList.remove("done"), 1200);
  });
})();
