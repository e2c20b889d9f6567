"use strict";
// Sorts and filters tables, enlarges pictures, moves the threshold. Without it the page
// says the same; nothing is fetched.

function number(text) {
  const found = text.replace(/[,\u00a0]/g, "").match(/-?\d*\.?\d+(e-?\d+)?/i);
  return found ? parseFloat(found[0]) : NaN;
}

function compare(first, second) {
  const a = number(first), b = number(second);
  if (isNaN(a) && isNaN(b)) return first.localeCompare(second);
  if (isNaN(a) || isNaN(b)) return isNaN(a) ? 1 : -1;
  return a - b;
}

function sort(table, column, header) {
  const upward = header.getAttribute("aria-sort") !== "ascending";
  const rows = [...table.rows].slice(1);
  const text = row => row.cells[column] ? row.cells[column].innerText.trim() : "";
  rows.sort((a, b) => (upward ? 1 : -1) * compare(text(a), text(b)));
  rows.forEach(row => row.parentNode.append(row));
  for (const each of table.rows[0].cells) each.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", upward ? "ascending" : "descending");
}

for (const table of document.querySelectorAll("table.sorted")) {
  [...table.rows[0].cells].forEach((header, column) => {
    header.tabIndex = 0;
    header.title = "sort";
    header.addEventListener("click", () => sort(table, column, header));
    header.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort(table, column, header);
      }
    });
  });
  if (table.rows.length < 7) continue;
  const box = document.createElement("input");
  box.type = "search";
  box.placeholder = "only rows with …";
  box.setAttribute("aria-label", "show only rows that contain");
  box.addEventListener("input", () => {
    const wanted = box.value.toLowerCase();
    for (const row of [...table.rows].slice(1))
      row.hidden = !row.innerText.toLowerCase().includes(wanted);
  });
  table.parentNode.before(box);
}

const large = document.getElementById("large");
for (const views of document.querySelectorAll(".device .views")) {
  views.tabIndex = 0;
  views.title = "enlarge";
  const show = () => {
    const caption = views.parentNode.querySelector("figcaption").cloneNode(true);
    large.replaceChildren(views.cloneNode(true), caption);
    large.showModal();
  };
  views.addEventListener("click", show);
  views.addEventListener("keydown", event => {
    if (event.key === "Enter") show();
  });
}
large.addEventListener("click", () => large.close());

for (const box of document.querySelectorAll(".sweep")) {
  const stops = JSON.parse(box.querySelector("script").textContent);
  const slider = box.querySelector("input"), said = box.querySelector("output");
  const move = () => {
    const [threshold, escape, overkill] = stops[slider.value];
    said.innerText = `From ${threshold} on: ${escape}. ${overkill}.`;
    slider.setAttribute("aria-valuetext", said.innerText);
  };
  slider.addEventListener("input", move);
  move();
  box.hidden = false;
}
