// What this node uses now and has used over the last hour, asked from the exporter that serves this page.

import { Chart } from "./chart.js";
import { $, groups, make, pairs, say } from "./dom.js";
import { DASH, clock, count, decimal, duration, percent, scaled, watts } from "./format.js";
import { Poll, Unanswered, get } from "./poll.js";
import { Table } from "./table.js";

const STALE_INTERVALS = 3;
const ANNOUNCE_SECONDS = 120; // a voice that reads each tick would be unbearable
const TOP = 6;

let byProcess = false;
let announced = -Infinity;
let lastAnswer = null;

const chart = new Chart($("chart"), $("readout"), $("legend"), $("hour-table").tBodies[0], $("point"));
const table = new Table(
  { table: $("table"), find: $("find"), kind: $("kind"), ended: $("ended"), count: $("count"), more: $("more") },
  async (row) => (await get(`api/v1/workloads?${insideOf(row)}=${encodeURIComponent(row.id)}`)).workloads,
  (row) => row.kind === "pod" || (row.kind === "container" && byProcess),
);
const poll = new Poll(ask, failed);
poll.look();
setInterval(tellAge, 1000);

function insideOf(row) {
  return row.kind === "pod" ? "pod" : "container";
}

async function ask() {
  const status = await get("api/v1/status");
  byProcess = status.counters.by_process;
  const [workloads, history] = await Promise.all([
    get("api/v1/workloads?level=top"),
    get(`api/v1/history?top=${TOP}`),
  ]);
  lastAnswer = { status, at: performance.now() };
  showNow(status, history);
  chart.update(history);
  showHour(history);
  await table.update(workloads.workloads, status.energy.active_watts, status.grid.currency);
  showZones(status);
  showSource(status);
  showHealth(status);
  showState(status);
  return Math.min(30, status.tick.interval_seconds - status.tick.age_seconds);
}

function failed(error, seconds) {
  if (!(error instanceof Unanswered)) console.error(error); // ours, not the exporter's
  const waiting = error.status === 503 && !lastAnswer;
  const since = lastAnswer ? ` Last seen at ${clock(Date.now() / 1000 - (performance.now() - lastAnswer.at) / 1000, true)}.` : "";
  const text = !(error instanceof Unanswered)
    ? `This page cannot show what it was sent: ${error.message}.`
    : waiting
      ? "podjoule has started; its first measurement is not done yet."
      : `podjoule does not answer.${since} Trying again every ${seconds < 60 ? "few seconds" : "minute"}.`;
  banner(text, waiting ? "stale" : "lost");
  $("live").dataset.state = waiting ? "waiting" : "lost";
  $("main").querySelectorAll(".needs-script").forEach((each) => each.classList.toggle("dim", !waiting));
  tellAge();
}

function banner(text, state) {
  const element = $("banner");
  element.hidden = !text;
  element.dataset.state = state;
  say(element, text);
}

function showState(status) {
  const { tick } = status;
  const stale = tick.age_seconds > STALE_INTERVALS * tick.interval_seconds && tick.age_seconds > 10;
  const text = status.reason
    ? `Measurements have stopped: ${status.reason}.`
    : tick.failure
      ? `The last measurement failed: ${tick.failure}. Totals stay as they were.`
      : stale
        ? `The last measurement is ${duration(tick.age_seconds)} old.`
        : "";
  banner(text, status.reason ? "lost" : "stale");
  $("live").dataset.state = text ? "stale" : "live";
  $("main").querySelectorAll(".dim").forEach((each) => each.classList.remove("dim"));
  tellAge();
  announce(status);
}

// For a screen reader, now and then.
function announce({ energy }) {
  const now = performance.now() / 1000;
  if (energy.watts === null || now - announced < ANNOUNCE_SECONDS) return;
  announced = now;
  say($("announce"), `This node draws ${watts(energy.watts)} watts.`);
}

function tellAge() {
  if (!lastAnswer) return say($("live-text"), $("live").dataset.state === "lost" ? "not reachable" : "waiting");
  const age = lastAnswer.status.tick.age_seconds + (performance.now() - lastAnswer.at) / 1000;
  const word = { live: "live", stale: "stale", lost: "not reachable" }[$("live").dataset.state] ?? "waiting";
  say($("live-text"), `${word} \u00b7 ${duration(age)} ago`);
}

function showNow({ node, energy, cpu, grid }, history) {
  say($("node"), node);
  document.title = energy.watts === null ? `${node} \u00b7 podjoule` : `${watts(energy.watts)} W \u00b7 ${node} \u00b7 podjoule`;
  say($("watts"), watts(energy.watts));
  const badge = $("badge");
  badge.hidden = false;
  badge.dataset.kind = energy.source === "none" ? "none" : energy.estimated ? "estimated" : "measured";
  say(badge, { none: "no energy source", estimated: "estimated", measured: "measured" }[badge.dataset.kind]);
  const interval = energy.estimated && energy.low_watts !== null && energy.high_watts !== null;
  say($("interval"), interval ? `between ${watts(energy.low_watts)} and ${watts(energy.high_watts)} W` : energy.counted_zones.join(" + "));
  const small = (text, unit) => [text, make("small", {}, ` ${unit}`)];
  const facts = [
    ["Active", small(watts(energy.active_watts), "W")],
    ["Idle", small(watts(energy.idle_watts), "W")],
    ["CPU in use", [percent(cpu.usage_ratio), make("small", {}, ` of ${cpu.online} CPUs`)]],
    ["Last hour", small(decimal(history.node.joules / 3600, 2), "Wh")],
  ];
  if (grid?.carbon_grams_per_kwh != null) {
    const grams = energy.watts === null ? null : (energy.watts * grid.carbon_grams_per_kwh * (grid.pue ?? 1)) / 1000;
    facts.push(["CO\u2082e", small(decimal(grams, 2), "g/h")]);
  }
  if (grid?.price_per_kwh != null) {
    const cost = energy.watts === null ? null : (energy.watts * grid.price_per_kwh * (grid.pue ?? 1)) / 1000;
    facts.push(["Cost", small(decimal(cost, 4), `${grid.currency ?? ""}/h`)]);
  }
  facts.push(["Since the start", scaled(energy.joules, "J")]);
  groups($("facts"), facts);
}

function showHour({ ends, step_seconds: step, covered_seconds: covered, counted_zones: zones }) {
  const seconds = covered.reduce((sum, value) => sum + value, 0);
  const known = seconds > 3590 ? "" : `${duration(seconds)} so far; `;
  say($("hour-note"), ends.length ? `${known}${zones.join(" + ")}, mean of each ${step} s` : "Nothing measured yet");
}

function showZones({ zones, energy }) {
  const known = zones.some((zone) => zone.low_watts !== null);
  $("zones").tHead.rows[0].cells[4].hidden = !known;
  const rows = zones.map((zone) => {
    const interval = zone.low_watts === null ? DASH : `${watts(zone.low_watts)}\u2013${watts(zone.high_watts)}`;
    const numbers = [zone.watts, zone.active_watts, zone.idle_watts].map((value) => make("td", {}, watts(value)));
    const name = make("th", { scope: "row" }, zone.zone);
    const path = zone.path.split("/").pop();
    if (path && path !== zone.zone) name.append(make("span", { class: "path", title: zone.path }, path));
    return make("tr", {}, name, ...numbers, ...(known ? [make("td", {}, interval)] : []));
  });
  if (!rows.length) rows.push(make("tr", {}, make("td", { class: "nothing", colSpan: 5 }, "No zone has given energy yet.")));
  $("zones").tBodies[0].replaceChildren(...rows);
  const methods = [...new Set(zones.map((zone) => zone.idle_method).filter(Boolean))].map((each) => each.replaceAll("_", " "));
  const counted = energy.counted_zones.length ? `The node is ${energy.counted_zones.join(" + ")}.` : "";
  say($("zones-note"), [counted, methods.length ? `Idle by ${methods.join(", ")}.` : ""].filter(Boolean).join(" "));
}

function showSource({ energy, zones, counters, grid, kubernetes, cpu }) {
  const names = { rapl: "RAPL meter", perf: "RAPL meter (perf)", model: "Model", none: "None" };
  const rows = [["Energy", names[energy.source] ?? energy.source]];
  if (energy.model) rows.push(["Model", energy.model]);
  for (const [zone, told] of new Map(zones.map((each) => [each.zone, each]))) {
    if (told.source && (told.source !== energy.source || told.why)) {
      rows.push([`\u2013 ${zone}`, [names[told.source] ?? told.source, told.why].filter(Boolean).join(": ")]);
    }
  }
  rows.push(["Usage", { core: "eBPF (CO-RE)", bcc: "eBPF (bcc)" }[counters.source] ?? counters.source]);
  rows.push(["Counters", counters.available.map((each) => each.replace("cpu_ns", "CPU time").replaceAll("_", " ")).join(", ")]);
  rows.push(["CPUs", String(cpu.online)]);
  if (grid?.carbon_grams_per_kwh != null) {
    rows.push(["Carbon", `${decimal(grid.carbon_grams_per_kwh, 0)} g/kWh${grid.provider ? ` (${grid.provider})` : ""}`]);
  }
  if (grid?.price_per_kwh != null) rows.push(["Price", `${decimal(grid.price_per_kwh, 3)} ${grid.currency ?? ""}/kWh`]);
  if ((grid?.pue ?? 1) !== 1) rows.push(["PUE", decimal(grid.pue, 2)]);
  rows.push(["Kubernetes", kubernetes ? `${count(kubernetes.pods)} pods, ${kubernetes.current ? "current" : "out of date"}` : "not asked"]);
  pairs($("source"), rows);
}

function showHealth(status) {
  const { tick, components, energy, kubernetes } = status;
  const down = components.filter((each) => !each.up).map((each) => each.name);
  const fine = !down.length && status.healthy && !tick.failure;
  say($("verdict"), fine ? "Everything works" : status.reason ?? `Failing: ${down.join(", ") || "the last tick"}`);
  $("verdict").className = `verdict ${fine ? "good" : "bad"}`;
  const rows = [
    ["Ticks", `${count(tick.number)}, every ${duration(tick.interval_seconds)}`],
    ["A tick takes", `${decimal(1000 * tick.duration_seconds, 1)} ms`],
    ["Running for", duration(status.uptime_seconds)],
  ];
  const errors = [
    ...components.map((each) => [each.name, each.errors]),
    ...Object.entries(energy.errors).map(([kind, errors]) => [`energy: ${kind}`, errors]),
    ...Object.entries(kubernetes?.errors ?? {}).map(([kind, errors]) => [`Kubernetes: ${kind}`, errors]),
  ].filter(([, errors]) => errors > 0);
  rows.push(["Errors", errors.length ? String(errors.reduce((sum, [, errors]) => sum + errors, 0)) : "none"]);
  errors.forEach(([name, errors]) => rows.push([`\u2003${name}`, count(errors), "bad"]));
  if (status.counters.dropped_cpu_seconds > 0) rows.push(["CPU time dropped", `${decimal(status.counters.dropped_cpu_seconds, 2)} s`, "bad"]);
  if (status.counters.lost_events > 0) rows.push(["Events lost", count(status.counters.lost_events), "bad"]);
  rows.push(["Version", status.version]);
  pairs($("health"), rows);
}
