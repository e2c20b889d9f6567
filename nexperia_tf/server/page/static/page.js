"use strict";
/* Drops, times in this browser's zone, maps, keys and a name that is remembered. Every
   page works without it. */

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/* Sets in what the server sent: it has escaped every text. */
function put(place, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  place.replaceChildren(...parsed.body.childNodes);
  prepare(place);
}

function prepare(root) {
  $$("time", root).forEach(localTime);
  $$("[data-remember]", root).forEach(remember);
  $$("[data-utc]", root).forEach(localInput);
  $$(".strength", root).forEach((slider) => {
    slider.addEventListener("input", () => strength(slider));
    strength(slider);
  });
}

function localTime(element) {
  const time = new Date(element.dateTime);
  if (!isNaN(time)) {
    element.textContent = time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

/* The field shows this browser's time; what is sent names its zone. */
function localInput(field) {
  const time = new Date(field.dataset.utc);
  if (field.dataset.utc && !isNaN(time)) field.value = plain(time);
  field.form.addEventListener("formdata", (event) => {
    if (field.value) event.formData.set(field.name, new Date(field.value).toISOString());
  });
}

function plain(time) {
  const two = (number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}` +
    `T${two(time.getHours())}:${two(time.getMinutes())}`;
}

function remember(field) {
  const key = `nexperia-${field.dataset.remember}`;
  try {
    field.value = field.value || localStorage.getItem(key) || "";
    field.form.addEventListener("submit", () => localStorage.setItem(key, field.value));
  } catch { /* a browser that keeps nothing */ }
}

function strength(slider) {
  const map = $(".map", slider.closest(".picture"));
  map.style.opacity = slider.value / 100;
}

function toggleMaps() {
  $$(".strength").forEach((slider) => {
    const before = slider.dataset.before || 40;
    if (slider.value > 0) slider.dataset.before = slider.value;
    slider.value = slider.value > 0 ? 0 : before;
    strength(slider);
  });
}

/* Pictures that are dropped or chosen go to the server one after the other. */
function drops(form) {
  const chosen = $("input[type=file]", form);
  $("button", form).hidden = true;
  chosen.addEventListener("change", () => { send(form, [...chosen.files]); chosen.value = ""; });
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") send(form, [...event.dataTransfer.files]);
    });
  }
}

let before = Promise.resolve();

function send(form, files) {
  for (const file of files) {
    const place = document.createElement("div");
    const model = form.elements.model.value;
    place.className = "waiting";
    place.textContent = `${file.name}: is being looked at`;
    $("#dropped").prepend(place);
    before = before.then(() => sendOne(file, model, place));
  }
}

async function sendOne(file, model, place) {
  const body = new FormData();
  body.set("request_id", `page-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`);
  body.set("model", model);
  body.set("part", "1");
  body.set("picture", file);
  try {
    const answer = await fetch("/drop", { method: "POST", body });
    const html = await answer.text();
    if (answer.ok) put(place, html);
    else throw new Error(reason(html));
  } catch (error) {
    place.className = "problem";
    place.textContent = `${file.name}: ${error.message}`;
  }
}

function reason(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const told = $(".problem", page);
  if (told) return told.textContent;
  try { return JSON.parse(text).error; } catch { return "the server did not answer"; }
}

async function load(place) {
  try {
    const answer = await fetch(place.dataset.load);
    if (answer.ok) put(place, await answer.text());
  } catch { /* the link in it still works */ }
}

/* The counts and the wall stay fresh while somebody may be looking. */
function refresh(place) {
  setInterval(async () => {
    if (document.hidden || place.contains(document.activeElement) || $("details[open]", place)) return;
    const address = new URL(location.href);
    address.searchParams.set("part", "now");
    try {
      const answer = await fetch(address);
      if (answer.ok && !answer.redirected) put(place, await answer.text());
    } catch { /* the next time, then */ }
  }, 1000 * place.dataset.refresh);
}

const MOVES = { ArrowLeft: "a[rel=prev]", ArrowRight: "a[rel=next]" };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  const pressed = $(MOVES[event.key] || `[data-key="${CSS.escape(event.key)}"]`);
  if (event.key !== "m" && !pressed) return;
  event.preventDefault(); // else the key is typed where the click leads
  if (pressed) pressed.click();
  else toggleMaps();
});

prepare(document);
$$("[data-load]").forEach(load);
$$("[data-refresh]").forEach(refresh);
$$("form.drop").forEach(drops);
