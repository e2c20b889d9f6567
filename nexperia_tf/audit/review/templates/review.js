"use strict";
const block = id => JSON.parse(document.getElementById(id).textContent);
const $ = id => document.getElementById(id);
const audit = block("audit");
const items = audit.items;
const HEADER = ["path", "decision", "value", "who", "when", "note", "image_id", "label"];

// What a person has said: answers by path, and the answers before them, for undo.
let said = {who: "", at: 0, answers: {}, past: []};
let item = null, zoom = 1, centre = [0.5, 0.5], showMap = false, showBoxes = true;

function restore() {
  try {
    said = Object.assign(said, JSON.parse(localStorage.getItem(audit.key) || "{}"));
    said.at = Math.min(said.at, Math.max(items.length - 1, 0));
  } catch { tell("This browser keeps nothing here: download before you close the page."); }
}

function keep() {
  try { localStorage.setItem(audit.key, JSON.stringify(said)); }
  catch { tell("This browser keeps nothing here: download before you close the page."); }
}

function tell(text) { $("message").textContent = text; }

function element(name, attributes = {}, ...inside) {
  const svg = ["svg", "image", "rect"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

// --- decisions

function decide(decision, value = "") {
  const path = items[said.at].path;
  said.past.push([path, said.answers[path] || null]);
  said.answers[path] = {decision, value, when: new Date().toISOString()};
  keep();
  if (said.at < items.length - 1) go(said.at + 1);
  else { show(); tell("That was the last one. Download decisions.csv."); }
}

function undo() {
  const last = said.past.pop();
  if (!last) { tell("Nothing to undo."); return; }
  const [path, before] = last;
  if (before) said.answers[path] = before; else delete said.answers[path];
  keep();
  go(items.findIndex(each => each.path === path));
}

function go(at) {
  if (at < 0 || at >= items.length) return;
  said.at = at;
  keep();
  show();
}

function nextOpen() {
  for (let step = 1; step <= items.length; step++) {
    const at = (said.at + step) % items.length;
    if (!said.answers[items[at].path]) { go(at); return; }
  }
  tell("All are decided. Download decisions.csv.");
}

const KEYS = {
  k: () => decide("keep"), g: () => decide("relabel", "good"),
  d: () => decide("relabel", "defect"), x: () => decide("drop"),
  u: () => decide("unsure"),
  n: () => item.other ? decide("not_a_duplicate", item.other.path)
    : tell("This picture is no duplicate of another one."),
  z: undo, Backspace: undo, o: nextOpen,
  ArrowLeft: () => go(said.at - 1), ArrowRight: () => go(said.at + 1),
  "+": () => zoomTo(zoom * 2), "=": () => zoomTo(zoom * 2),
  "-": () => zoomTo(zoom / 2), 0: () => zoomTo(1),
  m: () => { showMap = !showMap; draw(); }, b: () => { showBoxes = !showBoxes; draw(); },
};

function press(key) {
  tell("");
  const kind = audit.kinds[Number(key) - 1];
  if (kind && /^[1-9]$/.test(key)) decide("relabel", "defect:" + kind);
  else if (KEYS[key]) KEYS[key]();
  else return false;
  return true;
}

// --- what is shown

function words(answer) {
  return answer.value ? `${answer.decision} ${answer.value}` : answer.decision;
}

function show() {
  if (!items.length) return;
  item = block("item-" + said.at);
  zoom = 1; centre = [0.5, 0.5];
  const answer = said.answers[item.path];
  $("place").textContent = `${said.at + 1} of ${items.length}: ${audit.titles[item.kind]}`;
  $("answer").textContent = answer ? words(answer) : "";
  $("answer").className = answer ? answer.decision : "";
  $("path").textContent = item.path;
  $("label").textContent = "Labelled " + (item.label || "nothing")
    + (item.dropped ? `, dropped (${item.dropped})` : "");
  const facts = [];
  if (item.score !== null) facts.push(`defect by ${(100 * item.score).toFixed(1)} %`);
  if (item.lot) facts.push("lot " + item.lot);
  $("score").textContent = facts.join(", ");
  $("reasons").replaceChildren(...item.reasons.map(text => element("li", {}, text)));
  $("not-a-copy").hidden = !item.other;
  $("map").disabled = !item.picture || !item.picture.heatmap;
  showNearest();
  draw();
  count();
}

function showNearest() {
  const columns = Object.entries(item.nearest).filter(([, alike]) => alike.length);
  $("nearest").replaceChildren(...columns.map(([label, alike]) => element("div", {},
    element("h3", {}, `Most like it among ${label === "good" ? "good ones" : "defects"}`),
    element("div", {class: "alike"}, ...alike.map(other => element("figure", {},
      element("img", {src: block("thumbnail-" + other.thumbnail), alt: other.path,
        title: other.path}),
      element("figcaption", {}, other.label)))))));
}

function view(picture, caption) {
  const figure = element("figure");
  if (!picture) figure.append(element("p", {}, "This picture cannot be shown."));
  else {
    const [width, height] = [picture.width / zoom, picture.height / zoom];
    const x = Math.min(Math.max(centre[0] * picture.width - width / 2, 0),
      picture.width - width);
    const y = Math.min(Math.max(centre[1] * picture.height - height / 2, 0),
      picture.height - height);
    const svg = element("svg", {viewBox: `${x} ${y} ${width} ${height}`});
    svg.append(element("image", {width: picture.width, height: picture.height,
      preserveAspectRatio: "none",
      href: showMap && picture.heatmap || picture.photograph}));
    if (showBoxes) for (const [left, top, wide, high] of picture.boxes)
      svg.append(element("rect", {x: left, y: top, width: wide, height: high}));
    svg.addEventListener("click", event => {
      const point = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      centre = [point.x / picture.width, point.y / picture.height];
      zoomTo(zoom < 8 ? zoom * 2 : 1);
    });
    figure.append(svg);
  }
  if (caption) figure.append(element("figcaption", {}, caption));
  return figure;
}

function draw() {
  $("map").classList.toggle("on", showMap && !$("map").disabled);
  $("boxes").classList.toggle("on", showBoxes);
  const views = [view(item.picture, item.other ? `This one: ${item.label}` : "")];
  if (item.other)
    views.push(view(item.other.picture, `${item.other.label}: ${item.other.path}`));
  $("views").replaceChildren(...views);
}

function zoomTo(times) {
  zoom = Math.min(Math.max(times, 1), 8);
  if (zoom === 1) centre = [0.5, 0.5];
  draw();
}

// How many of each list are decided; pressing one goes to its first that is open.
function count() {
  const total = {}, decided = {};
  for (const each of items) {
    total[each.kind] = (total[each.kind] || 0) + 1;
    decided[each.kind] = (decided[each.kind] || 0) + (each.path in said.answers ? 1 : 0);
  }
  $("lists").replaceChildren(...Object.keys(total).map(kind => {
    const button = element("button", {}, `${audit.titles[kind]}: `
      + `${decided[kind]} of ${total[kind]}`);
    button.classList.toggle("on", kind === item.kind);
    button.addEventListener("click", () => {
      const open = items.findIndex(e => e.kind === kind && !(e.path in said.answers));
      go(open < 0 ? items.findIndex(e => e.kind === kind) : open);
      button.blur();
    });
    return button;
  }));
}

// --- decisions.csv

function cell(value) {
  const text = String(value);
  return /[",\r\n;]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function table() {
  const lines = [HEADER], written = new Set();
  items.forEach((each, at) => {
    const answer = said.answers[each.path];
    if (!answer) return;
    const {image_id, label, reasons, copies} = block("item-" + at);
    lines.push([each.path, answer.decision, answer.value, said.who, answer.when,
      reasons.join("; "), image_id, label]);
    // The same photograph under another name has the same label.
    for (const path of ["relabel", "drop"].includes(answer.decision) ? copies : [])
      if (!said.answers[path] && !written.has(path)) {
        written.add(path);
        lines.push([path, answer.decision, answer.value, said.who, answer.when,
          "a copy of " + each.path, "", ""]);
      }
  });
  return lines.map(line => line.map(cell).join(",") + "\n").join("");
}

function download() {
  if (!said.who.trim()) {
    tell("Say who you are first: your name stands beside each decision.");
    $("who").focus();
    return;
  }
  const address = URL.createObjectURL(new Blob([table()], {type: "text/csv"}));
  const link = element("a", {href: address, download: "decisions.csv"});
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(address);
  tell(`decisions.csv: ${Object.keys(said.answers).length} decisions.`);
}

// --- start

document.addEventListener("keydown", event => {
  if (event.target === $("who") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (items.length && press(event.key)) event.preventDefault();
});
for (const button of document.querySelectorAll("button[data-key]"))
  button.addEventListener("click", () => { press(button.dataset.key); button.blur(); });
$("who").addEventListener("input", () => { said.who = $("who").value; keep(); });
$("who").addEventListener("keydown", event => {
  if (event.key === "Enter") $("who").blur();
});
$("download").addEventListener("click", () => { download(); $("download").blur(); });
$("kinds").append(...audit.kinds.map((kind, at) => {
  const button = element("button", {}, `${kind} `, element("kbd", {}, String(at + 1)));
  button.addEventListener("click", () => { press(String(at + 1)); button.blur(); });
  return button;
}));
restore();
$("who").value = said.who;
show();
