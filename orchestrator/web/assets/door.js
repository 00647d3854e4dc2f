// A sign-in link carries its code behind the #, which no server and no log sees. A click posts it.
(() => {
  "use strict";
  const code = location.hash.slice(1);
  if (!/^[A-Za-z0-9_-]{43}$/.test(code)) return;
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("code").value = code;
  const form = document.getElementById("by-link");
  form.hidden = false;
  document.getElementById("by-token").hidden = true;
  form.querySelector("button").focus();
})();
