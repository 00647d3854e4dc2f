// Ticked rows: how many; and a file that is read into a field.
(() => {
  "use strict";
  const ticks = () => [...document.querySelectorAll("#bulk input[name=id]")];
  function count() {
    const told = document.querySelector("[data-ticked]");
    if (!told) return;
    const n = ticks().filter((tick) => tick.checked).length;
    const noun = told.dataset.ticked || "run";
    told.textContent = n ? n + " " + noun + (n === 1 ? "" : "s") + " ticked" : "Nothing is done before you have seen a preview.";
  }
  document.addEventListener("change", async (event) => {
    if (event.target.name === "id") count();
    const { into } = event.target.dataset;
    if (into && event.target.files[0]) document.getElementById(into).value = await event.target.files[0].text();
  });
  for (const field of document.querySelectorAll("[data-needs-script]")) field.hidden = false;
  document.addEventListener("orch:swapped", count);
  count();
})();
