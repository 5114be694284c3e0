"use strict";
const box = document.getElementById("search"), none = document.getElementById("none");
const items = [...document.querySelectorAll("[data-find]")].map((e) => [e, e.textContent.toLowerCase()]);
const sections = [...document.querySelectorAll("section[data-group]")];
box.addEventListener("input", () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const [e, text] of items) {
    e.hidden = !words.every((w) => text.includes(w));
    if (!e.hidden) found++;
  }
  for (const s of sections) s.hidden = words.length > 0 && !s.querySelector("[data-find]:not([hidden])");
  none.hidden = found > 0;
});
document.addEventListener("keydown", (e) => {
  if (e.key === "/" && e.target !== box) { e.preventDefault(); box.focus(); }
});
const open = () => {
  const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (at && at.tagName === "DETAILS") { at.open = true; at.scrollIntoView(); }
};
addEventListener("hashchange", open);
open();
