// Ticked rows: how many, and all of the page at once.
(() => {
  "use strict";
  const ticks = () => [...document.querySelectorAll("#bulk input[name=id]")];
  function count() {
    const told = document.querySelector("[data-ticked]");
    if (!told) return;
    const n = ticks().filter((tick) => tick.checked).length;
    told.textContent = n ? n + (n === 1 ? " run ticked" : " runs ticked") : "Nothing is done before you have seen a preview.";
  }
  document.addEventListener("change", (event) => { if (event.target.name === "id") count(); });
  document.addEventListener("orch:swapped", count);
  count();
})();
