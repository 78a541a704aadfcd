// The table of workloads: sorted, filtered, opened from pod to container to process.

import { make, say } from "./dom.js";
import { DASH, count, decimal, percent, scaled, shortName, watts } from "./format.js";

const SHOWN = 100; // rows that the document holds until all are asked for

const COLUMNS = [
  { key: "name", title: "Name" },
  { key: "watts", title: "Power, W", text: (row) => watts(row.watts), meter: true },
  { key: "share", title: "Share", text: (row) => percent(row.share) },
  { key: "joules", title: "Energy", text: (row) => scaled(row.joules, "J") },
  { key: "cores", title: "CPU cores", text: (row) => decimal(row.cores, 2) },
  { key: "instructions_per_cycle", title: "Instr./cycle", text: (row) => decimal(row.instructions_per_cycle, 2), optional: true },
  { key: "misses_per_1000_instructions", title: "Misses/1000", text: (row) => decimal(row.misses_per_1000_instructions, 2), optional: true },
  { key: "carbon_grams_per_hour", title: "CO\u2082e, g/h", text: (row) => decimal(row.carbon_grams_per_hour, 2), optional: true },
  { key: "cost_per_hour", title: "Cost", text: (row) => decimal(row.cost_per_hour, 4), optional: true },
];

export class Table {
  // children: async (row) => the rows inside it. opens: (row) => whether there may be any.
  constructor({ table, find, kind, ended, count, more }, children, opens) {
    Object.assign(this, { find, kind, ended, counted: count, more, children, opens });
    this.head = table.tHead.rows[0];
    this.body = table.tBodies[0];
    this.sort = { key: "watts", descending: true };
    this.rows = [];
    this.inside = new Map(); // of what is open: its rows, by its key
    this.drawn = new Map();
    this.all = false;
    this.columns = [];
    find.addEventListener("input", () => this.draw());
    kind.addEventListener("change", () => this.draw());
    ended.addEventListener("change", () => this.draw());
    find.form.addEventListener("submit", (event) => event.preventDefault());
    more.addEventListener("click", () => {
      this.all = !this.all;
      this.draw();
    });
  }

  async update(rows, active, currency) {
    this.currency = currency;
    this.rows = rows.map((row) => described(row, active));
    this.active = active;
    await this.refreshInside();
    this.drawHead();
    this.fillKinds();
    this.draw();
  }

  async refreshInside() {
    const known = new Map(this.rows.map((row) => [row.key, row]));
    const open = [...this.inside].sort(([, a], [, b]) => a.depth - b.depth);
    for (const [key, { depth }] of open) {
      const row = known.get(key);
      if (!row) {
        this.inside.delete(key);
        continue;
      }
      const rows = await this.fetchInside(row, depth);
      rows.forEach((each) => known.set(each.key, each));
    }
  }

  async fetchInside(row, depth) {
    const rows = (await this.children(row)).map((each) => described(each, this.active));
    rows.sort((a, b) => (b.watts ?? -1) - (a.watts ?? -1));
    this.inside.set(row.key, { rows, depth });
    return rows;
  }

  async toggle(row, depth) {
    if (this.inside.delete(row.key)) return this.draw();
    this.inside.set(row.key, { rows: [], depth });
    this.draw();
    try {
      await this.fetchInside(row, depth);
    } catch {
      this.inside.delete(row.key); // the next round says that nobody answers
    }
    this.draw();
  }

  drawHead() {
    const columns = COLUMNS.filter((each) => !each.optional || this.rows.some((row) => row[each.key] !== null));
    if (columns.length !== this.columns.length) {
      this.columns = columns;
      this.head.replaceChildren(...columns.map((each) => this.headCell(each)));
      this.drawn.clear();
      this.body.replaceChildren();
    }
    for (const cell of this.head.cells) {
      if (cell.dataset.key !== this.sort.key) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", this.sort.descending ? "descending" : "ascending");
    }
  }

  headCell({ key, title }) {
    const button = make("button", { type: "button" }, key === "cost_per_hour" ? `${title}, ${this.currency ?? ""}/h` : title);
    button.addEventListener("click", () => {
      const same = this.sort.key === key;
      this.sort = { key, descending: same ? !this.sort.descending : key !== "name" };
      this.drawHead();
      this.draw();
    });
    const cell = make("th", { scope: "col" }, button);
    cell.dataset.key = key;
    return cell;
  }

  fillKinds() {
    const kinds = [...new Set(this.rows.map((row) => row.kind))].sort();
    const wanted = ["", ...kinds];
    if (wanted.join() === [...this.kind.options].map((each) => each.value).join()) return;
    const chosen = this.kind.value;
    this.kind.replaceChildren(...wanted.map((value) => make("option", { value }, value ? NAMES[value] ?? value : "All kinds")));
    this.kind.value = kinds.includes(chosen) ? chosen : "";
  }

  matching() {
    const words = this.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = this.kind.value;
    const current = this.rows.filter((row) => row.running || this.ended.checked);
    return current.filter((row) => (!kind || row.kind === kind) && words.every((word) => row.haystack.includes(word)));
  }

  sorted(rows) {
    const { key, descending } = this.sort;
    const sign = descending ? -1 : 1;
    if (key === "name") return rows.sort((a, b) => sign * COLLATOR.compare(a.shown, b.shown));
    // What is not known comes last either way.
    return rows.sort((a, b) => (a[key] === null) - (b[key] === null) || sign * (a[key] - b[key]) || COLLATOR.compare(a.shown, b.shown));
  }

  draw() {
    const found = this.sorted(this.matching());
    const shown = this.all ? found : found.slice(0, SHOWN);
    this.highest = Math.max(1e-9, ...this.rows.map((row) => row.watts ?? 0));
    const wanted = [];
    for (const row of shown) this.place(row, 0, wanted);
    this.arrange(wanted);
    this.tell(found.length, shown.length);
  }

  place(row, depth, wanted) {
    const drawn = this.drawn.get(row.key) ?? this.drawRow(row, depth);
    this.write(drawn, row);
    wanted.push(drawn.element);
    for (const child of this.inside.get(row.key)?.rows ?? []) this.place(child, depth + 1, wanted);
  }

  // Moves only what is not in its place, so that focus and reading position stay.
  arrange(wanted) {
    const kept = new Set(wanted);
    for (const [key, { element }] of this.drawn) {
      if (!kept.has(element)) {
        element.remove();
        this.drawn.delete(key);
      }
    }
    if (!wanted.length) {
      const text = this.rows.length ? "Nothing matches." : "No workload has been seen yet.";
      this.body.replaceChildren(make("tr", {}, make("td", { class: "nothing", colSpan: this.columns.length || 1 }, text)));
      return;
    }
    if (this.body.firstElementChild && !kept.has(this.body.firstElementChild)) this.body.replaceChildren();
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    let at = this.body.firstElementChild;
    for (const element of wanted) {
      if (element === at) at = at.nextElementSibling;
      else this.body.insertBefore(element, at);
    }
    if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
  }

  drawRow(row, depth) {
    const name = make("span", { class: "name", title: row.name === row.id ? row.id : `${row.name}\n${row.id}` }, row.shown);
    const of = make("span", { class: "of" });
    const cells = this.columns.slice(1).map((column) => {
      const cell = make("td");
      cell.append(document.createTextNode(""));
      if (column.meter) cell.append(make("span", { class: "meter", "aria-hidden": "true" }, make("i")));
      return cell;
    });
    const opener = this.opener(row, depth);
    const who = make("div", { class: "who" }, opener, make("span", {}, name, of));
    const element = make("tr", { class: ["", "child", "child grandchild"][depth] }, make("th", { scope: "row" }, who), ...cells);
    const drawn = { element, name, of, cells, opener };
    this.drawn.set(row.key, drawn);
    return drawn;
  }

  opener(row, depth) {
    if (!this.opens(row)) return make("span", { class: "no-expand" });
    const button = make("button", { type: "button", class: "expand", "aria-expanded": "false", "aria-label": `What runs in ${row.shown}` });
    button.addEventListener("click", () => this.toggle(row, depth));
    return button;
  }

  write({ element, name, of, cells, opener }, row) {
    say(name, row.shown);
    say(of, row.of);
    element.classList.toggle("ended", !row.running);
    if (opener.tagName === "BUTTON") opener.setAttribute("aria-expanded", String(this.inside.has(row.key)));
    this.columns.slice(1).forEach((column, i) => {
      const text = column.text(row);
      const [node, meter] = cells[i].childNodes;
      if (node.data !== text) node.data = text;
      if (meter) meter.firstChild.style.transform = `scaleX(${((row.watts ?? 0) / this.highest).toFixed(3)})`;
    });
  }

  tell(found, shown) {
    const all = this.rows.filter((row) => row.running || this.ended.checked).length;
    const of = found === all ? `${count(all)} workloads` : `${count(found)} of ${count(all)} workloads`;
    say(this.counted, shown < found ? `${of}, the first ${count(shown)} shown` : of);
    this.more.hidden = found <= SHOWN;
    say(this.more, this.all ? `Show the first ${SHOWN}` : `Show all ${count(found)}`);
  }
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
const NAMES = { pod: "Pods", container: "Containers", vm: "Virtual machines", unit: "Units", user: "Users", kernel: "Kernel", root: "Root", job: "Batch jobs", other: "Other" };

function described(row, active) {
  const shown = row.kind === "kernel" ? "Kernel" : shortName(row.name);
  const owner = row.workload_name && row.workload_name !== row.name ? `${row.workload_kind} ${row.workload_name}` : "";
  const of = [row.kind, row.namespace, owner, row.pid && `PID ${row.pid}`, row.running ? "" : "ended"].filter(Boolean).join(" \u00b7 ");
  return {
    ...row,
    shown: shown || DASH,
    of,
    key: `${row.kind}/${row.id}`,
    share: row.watts === null || !active ? null : row.watts / active,
    haystack: [shown, row.name, row.namespace, row.kind, owner, row.id].join(" ").toLowerCase(),
  };
}
