"use strict";
const $ = (id) => document.getElementById(id);
const make = (tag, text, props) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text }, props || {});
const svg = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const moment = (text) => text && text.replace("T", " ").replace("+00:00", " UTC");
const short = (x) => typeof x === "number" ? String(Number(x.toPrecision(4))) : String(x);

function askKey() {
  return new Promise((done) => {
    const dialog = $("login");
    dialog.addEventListener("close", () => { sessionStorage.setItem("key", $("key").value); done(); }, { once: true });
    dialog.showModal();
  });
}

let asking = null;
async function call(path, body) {
  for (;;) {
    const headers = body ? { "content-type": "application/json" } : {};
    const key = sessionStorage.getItem("key");
    if (key) headers["x-api-key"] = key;
    const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
    if (answer.status === 401) { asking = asking || askKey(); await asking; asking = null; continue; }
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    return said;
  }
}

function bar(name, share, told, minus) {
  const row = make("div", undefined, { className: "bar" });
  const picture = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(svg("rect", { width: Math.max(0.5, 100 * share), height: 10, class: minus ? "minus" : "" }));
  row.append(make("span", name), picture, make("span", told));
  return row;
}

function showCard(card) {
  document.title = `Predictions of ${card.target}`;
  $("title").textContent = card.target;
  $("subtitle").textContent = `${card.task} · ${card.inputs.length} columns · ${card.name} ${card.version}`;
  const facts = { Task: card.task, Classes: card.classes.join(", "), Metric: card.metric, Score: card.score,
    "Training rows": card.rows, Members: card.members, Trees: card.trees, Created: moment(card.created), Loaded: moment(card.loaded),
    Version: card.version, "One row takes": card.microseconds ? `${card.microseconds} µs` : null };
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === "") continue;
    $("card").append(make("dt", name), make("dd", short(value)));
  }
  const shares = Object.entries(card.importance).slice(0, 12);
  const top = shares.length ? shares[0][1] || 1 : 1;
  for (const [name, share] of shares) $("importance").append(bar(name, share / top, `${(100 * share).toFixed(1)} %`));
  if (!shares.length) $("importance").textContent = "This model does not tell.";
  else if (!shares[0][1]) $("importance").textContent = "This model reads no column: it says the same of every row.";
}

function field(item, number) {
  const id = `f${number}`;
  const label = make("label", item.name, { htmlFor: id });
  let input;
  if (item.kind === "category" && !item.more) {
    input = make("select");
    for (const level of item.levels) input.append(make("option", level, { value: level }));
    input.append(make("option", "(missing)", { value: "" }));
    input.value = item.example === null ? "" : String(item.example);
  } else if (item.kind === "boolean") {
    input = make("select");
    for (const [text, value] of [["yes", "true"], ["no", "false"], ["(missing)", ""]]) input.append(make("option", text, { value }));
    input.value = String(item.example);
  } else {
    input = make("input", undefined, { type: item.kind === "number" ? "number" : "text" });
    if (item.kind === "number") { input.step = "any"; input.inputMode = "decimal"; }
    if (item.example !== null) input.value = item.example;
  }
  input.id = id;
  const box = make("div");
  box.append(label, input);
  return [box, () => {
    if (input.value === "") return null;
    if (item.kind === "number") return Number(input.value);
    return item.kind === "boolean" ? input.value === "true" : input.value;
  }];
}

function showForm(card) {
  const readers = {};
  card.inputs.forEach((item, number) => {
    const [box, read] = field(item, number);
    readers[item.name] = read;
    $("fields").append(box);
  });
  $("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const row = Object.fromEntries(Object.entries(readers).map(([name, read]) => [name, read()]));
    const result = $("result");
    try {
      const said = await call(card.classes.length ? "/predict_proba" : "/predict", row);
      result.replaceChildren(make("div", short(said.predictions[0]), { className: "said" }));
      (said.classes || []).forEach((name, i) => result.append(bar(String(name), said.probabilities[0][i], `${(100 * said.probabilities[0][i]).toFixed(1)} %`)));
      await showContributions(row, result, card);
    } catch (error) { result.replaceChildren(make("div", error.message, { className: "bad" })); }
  });
}

async function showContributions(row, result, card) {
  let said;
  try { said = await call("/explain", row); } catch (error) { result.append(make("p", `No explanation: ${error.message}`)); return; }
  const size = (value) => Array.isArray(value) ? Math.max(...value.map(Math.abs)) : Math.abs(value);
  const parts = Object.entries(said.contributions[0]).sort((a, b) => size(b[1]) - size(a[1])).slice(0, 10);
  const most = parts.length ? size(parts[0][1]) || 1 : 1;
  result.append(make("h2", card.classes.length === 2 ? `What speaks for ${card.classes[1]}` : "What each column adds"));
  for (const [name, value] of parts) {
    const one = Array.isArray(value) ? value.reduce((a, b) => Math.abs(a) > Math.abs(b) ? a : b) : value;
    result.append(bar(name, size(value) / most, (one > 0 ? "+" : "") + short(one), one < 0));
  }
}

const series = { "Requests / s": [], "Rows / s": [], "Mean latency, µs": [], "Cache hits, %": [], "Errors / s": [] };
function draw(name, values, parent) {
  const most = Math.max(...values, 1e-9);
  const points = values.map((v, i) => `${i ? "L" : "M"}${(100 * i / 59).toFixed(2)},${(38 - 36 * v / most).toFixed(2)}`).join("");
  const box = make("div", undefined, { className: "chart" });
  const picture = svg("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${short(values.at(-1))}` });
  picture.append(svg("path", { d: points || "M0,38" }));
  box.append(make("span", name), make("b", short(values.at(-1))), picture);
  parent.append(box);
}

function showEstimate({ interval, doubt, ...scores }) {
  const [[metric, value]] = Object.entries(scores);
  $("charts").append(make("p", `${metric} without labels: ${short(value)}, ${interval.map(short).join(" to ")}`, { className: "told" }));
  if (doubt) $("charts").append(make("p", `Not to be trusted: ${doubt}`, { className: "told bad" }));
}

function showFound(name, told) {
  for (const found of [told].flat()) {
    const said = found && found.status ? `${found.model} ${found.version}: ${found.status}, ${found.rows} rows` : JSON.stringify(found);
    $("charts").append(make("p", `${name}: ${said}`, { className: "told" }));
    const features = (found && found.features || []).slice(0, 8);
    const most = Math.max(...features.map((item) => item.effect), 1e-9);
    for (const item of features) $("charts").append(bar(item.name, item.effect / most, item.status, item.status === "drift"));
    if (found && found.estimate) showEstimate(found.estimate);
    for (const { name: column, check, share } of found && found.faults || []) {
      $("charts").append(make("p", `${column}: ${check.replaceAll("_", " ")} in ${(100 * share).toFixed(1)} % of rows more than in training`, { className: "told bad" }));
    }
  }
}

let before = null;
async function tick() {
  try {
    const now = await call("/stats");
    if (before) {
      const seconds = now.time - before.time;
      const rise = (name) => Math.max(0, now.totals[name] - before.totals[name]);
      const requests = rise("requests"), rows = rise("rows");
      const hits = rise("local_hits");
      const fresh = [requests / seconds, rows / seconds, requests ? rise("nanoseconds") / requests / 1000 : 0, rows ? 100 * hits / rows : 0, rise("errors") / seconds];
      $("charts").replaceChildren();
      Object.keys(series).forEach((name, i) => { series[name].push(fresh[i]); if (series[name].length > 60) series[name].shift(); draw(name, series[name], $("charts")); });
      for (const [name, told] of Object.entries(now.drift)) showFound(name, told);
    }
    before = now;
  } catch { before = null; }
  setTimeout(tick, 1000);
}

(async () => {
  const models = await call("/models");
  const card = await call(`/models/${encodeURIComponent(models[0].name)}`);
  showCard(card);
  showForm(card);
  await tick();
})().catch((error) => { $("subtitle").textContent = error.message; $("subtitle").className = "bad"; });
