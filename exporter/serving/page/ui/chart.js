// The hour as stacked areas: idle at the bottom, then the largest workloads, then all others.

import { make, replaceIfOther, say } from "./dom.js";
import { clock, decimal, shortName, watts } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 6;
// What is shown grows to the hour with what is known, in these steps, and the times written below it.
const SPANS = [[600, 120], [1200, 300], [1800, 300], [3600, 600]];
const MARGIN = { top: 8, right: 4, bottom: 22, left: 40 };

export class Chart {
  constructor(root, readout, legend, table, point) {
    Object.assign(this, { root, readout, legend, table, point });
    this.svg = root.querySelector("svg");
    this.colourOf = new Map(); // a workload keeps its colour for as long as it is shown
    this.history = null;
    this.cursor = null;
    new ResizeObserver(() => this.draw()).observe(root);
    root.addEventListener("pointermove", (event) => this.moveTo(event.clientX));
    root.addEventListener("pointerleave", () => this.show(null));
    root.addEventListener("blur", () => this.show(null));
    root.addEventListener("keydown", (event) => this.key(event));
  }

  update(history) {
    this.history = history;
    this.layers = this.layersOf(history);
    this.draw();
    this.drawLegend();
    this.fillTable();
  }

  layersOf(history) {
    const keys = history.workloads.map((each) => `${each.kind}/${each.id}`);
    for (const key of this.colourOf.keys()) if (!keys.includes(key)) this.colourOf.delete(key);
    const free = [...Array(COLOURS).keys()].filter((c) => ![...this.colourOf.values()].includes(c));
    for (const key of keys) if (!this.colourOf.has(key)) this.colourOf.set(key, free.shift());
    const layers = [{ name: "Idle", colour: "idle", watts: history.node.idle_watts }];
    history.workloads.forEach((each, i) =>
      layers.push({ name: each.kind === "kernel" ? "Kernel" : shortName(each.name), colour: `c${this.colourOf.get(keys[i])}`, watts: each.watts, joules: each.joules }),
    );
    const others = history.others;
    if (others.joules > 0) layers.push({ name: "All others", colour: "others", watts: others.watts, joules: others.joules });
    const unattributed = history.node.unattributed_watts;
    if (unattributed.some((value) => value > 0)) layers.push({ name: "Unattributed", colour: "unattributed", watts: unattributed });
    return layers;
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!this.history || !width) return;
    const { ends, step_seconds: step, node } = this.history;
    this.last = ends.at(-1) ?? this.history.time;
    const known = ends.length ? this.last - ends[0] + step : 0;
    const [span, every] = SPANS.find(([seconds]) => seconds >= known) ?? SPANS.at(-1);
    this.span = span;
    this.first = this.last - span;
    const highest = Math.max(1e-3, ...node.watts.map((value) => value ?? 0));
    const top = niceTop(highest);
    this.x = (time) => MARGIN.left + ((time - this.first) / span) * (width - MARGIN.left - MARGIN.right);
    const y = (value) => height - MARGIN.bottom - (value / top) * (height - MARGIN.top - MARGIN.bottom);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const parts = [];
    for (const tick of ticksTo(top)) {
      parts.push(node_("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }));
      const digits = top < 0.5 ? 2 : top < 5 ? 1 : 0;
      parts.push(node_("text", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, `${decimal(tick, digits)}${tick === top ? " W" : ""}`));
    }
    for (const time of timesOf(this.first, this.last, width < 600 ? 2 * every : every)) {
      parts.push(node_("text", { x: this.x(time), y: height - 4, "text-anchor": this.x(time) > width - 20 ? "end" : "middle" }, clock(time)));
    }
    const base = ends.map(() => 0);
    for (const layer of this.layers) {
      const upper = base.map((value, i) => value + (layer.watts[i] ?? 0));
      parts.push(node_("path", { class: `area ${layer.colour}`, d: this.area(base, upper, y, step) }));
      upper.forEach((value, i) => (base[i] = value));
    }
    parts.push(node_("path", { class: "total", d: this.line(node.watts, y, step) }));
    this.line_ = node_("line", { class: "cursor", y1: MARGIN.top, y2: height - MARGIN.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...parts, this.line_);
    this.show(this.cursor);
  }

  // Runs of points without a gap, as [from, to) indices.
  runs() {
    const known = this.history.node.watts.map((value) => value !== null);
    const runs = [];
    known.forEach((is, i) => {
      if (is && !known[i - 1]) runs.push([i, i + 1]);
      else if (is) runs.at(-1)[1] = i + 1;
    });
    return runs;
  }

  // Each point lasts a step; a run is drawn through the middles and out to both of its ends.
  places([from, to], step) {
    const { ends } = this.history;
    const places = [[Math.max(this.first, ends[from] - step), from]];
    for (let i = from; i < to; i++) places.push([Math.max(this.first, ends[i] - step / 2), i]);
    places.push([ends[to - 1], to - 1]);
    return places.map(([time, i]) => [this.x(time).toFixed(1), i]);
  }

  area(lower, upper, y, step) {
    return this.runs().map((run) => {
      const places = this.places(run, step);
      const there = places.map(([x, i]) => `${x},${y(upper[i]).toFixed(1)}`);
      const back = places.reverse().map(([x, i]) => `${x},${y(lower[i]).toFixed(1)}`);
      return `M${there.join("L")}L${back.join("L")}Z`;
    }).join("");
  }

  line(values, y, step) {
    return this.runs().map((run) => `M${this.places(run, step).map(([x, i]) => `${x},${y(values[i]).toFixed(1)}`).join("L")}`).join("");
  }

  moveTo(clientX) {
    if (!this.history?.ends.length) return;
    const box = this.root.getBoundingClientRect();
    const time = this.first + (this.span * (clientX - box.left - MARGIN.left)) / (box.width - MARGIN.left - MARGIN.right);
    const { ends, step_seconds: step } = this.history;
    const i = ends.findIndex((end) => time <= end && time > end - step);
    this.show(i < 0 ? null : ends[i]);
  }

  key(event) {
    const ends = this.history?.ends ?? [];
    const at = ends.indexOf(this.cursor);
    const to = { ArrowLeft: at < 0 ? ends.length - 1 : at - 1, ArrowRight: at < 0 ? 0 : at + 1, Home: 0, End: ends.length - 1 }[event.key];
    if (event.key === "Escape") this.show(null);
    if (to === undefined || !ends.length) return;
    event.preventDefault();
    const i = Math.min(ends.length - 1, Math.max(0, to));
    this.show(ends[i]);
    say(this.point, this.spoken(i));
  }

  spoken(i) {
    const total = this.history.node.watts[i];
    if (total === null) return `${clock(this.cursor, true)}: not measured`;
    return `${clock(this.cursor, true)}: ${watts(total)} watts; ` + this.layers.map((each) => `${each.name} ${watts(each.watts[i])}`).join(", ");
  }

  show(end) {
    const i = end === null ? -1 : (this.history?.ends.indexOf(end) ?? -1);
    this.cursor = i < 0 ? null : end;
    this.readout.hidden = i < 0;
    if (this.line_) this.line_.setAttribute("visibility", i < 0 ? "hidden" : "visible");
    if (i < 0) return;
    const x = this.x(end - this.history.step_seconds / 2);
    this.line_.setAttribute("x1", x);
    this.line_.setAttribute("x2", x);
    const total = this.history.node.watts[i];
    const rows = [make("p", {}, make("span", {}, clock(end, true)), make("span", {}, total === null ? "not measured" : `${watts(total)} W`))];
    if (total !== null) {
      for (const layer of [...this.layers].reverse()) {
        rows.push(make("p", {}, make("span", { class: `swatch ${layer.colour}` }), make("span", {}, layer.name), make("span", {}, watts(layer.watts[i]))));
      }
    }
    this.readout.replaceChildren(...rows);
    const width = this.readout.offsetWidth;
    const left = x + 12 + width > this.root.clientWidth ? x - 12 - width : x + 12;
    this.readout.style.left = `${Math.max(0, left)}px`;
  }

  drawLegend() {
    const items = this.layers.map((layer) =>
      make("li", {}, make("span", { class: `swatch ${layer.colour}`, "aria-hidden": "true" }), make("span", { class: "legend-name", title: layer.name }, layer.name)),
    );
    replaceIfOther(this.legend, items);
  }

  fillTable() {
    const { node, covered_seconds: covered } = this.history;
    const rows = [{ name: "Node", watts: node.watts }, ...this.layers].map((layer) => {
      const joules = layer.watts.reduce((sum, value, i) => sum + (value ?? 0) * covered[i], 0);
      const seconds = covered.reduce((sum, value) => sum + value, 0);
      const highest = Math.max(0, ...layer.watts.map((value) => value ?? 0));
      const numbers = [watts(seconds ? joules / seconds : null), watts(highest), decimal(joules / 3600, 2)];
      return make("tr", {}, make("th", { scope: "row" }, layer.name), ...numbers.map((text) => make("td", {}, text)));
    });
    this.table.replaceChildren(...rows);
  }
}

function node_(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function niceTop(highest) {
  const size = 10 ** Math.floor(Math.log10(highest));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * size).find((top) => top >= highest * 1.02) ?? 10 * size;
}

function ticksTo(top) {
  const size = 10 ** Math.floor(Math.log10(top) + 1e-9);
  const parts = { 1: 5, 1.5: 3, 2: 4, 3: 3, 4: 4, 5: 5, 6: 3, 8: 4 }[Math.round((top / size) * 10) / 10] ?? 5;
  return [...Array(parts + 1).keys()].map((i) => (top * i) / parts);
}

function timesOf(first, last, every) {
  const times = [];
  for (let time = Math.ceil(first / every) * every; time <= last; time += every) if (time - first > every / 8) times.push(time);
  return times;
}
