"use strict";
// Sorts tables by click and keyboard, and filters the rows of the last one. All else is there without it.

const COLLATOR = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.classList.contains("text") ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      sort(table.tBodies[0], place, head.classList.contains("text"), order === "ascending" ? 1 : -1);
    });
  });
}

// What is not known stands last, whichever the order; rows that are alike keep theirs.
function sort(body, place, isText, sign) {
  const keyed = [...body.rows].map((row) => {
    const cell = row.cells[place];
    return { row, key: isText ? cell.textContent : cell.dataset.v === undefined ? null : Number(cell.dataset.v) };
  });
  const unknown = ({ key }) => key === null || key === "";
  keyed.sort((a, b) => {
    if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
    return sign * (isText ? COLLATOR.compare(a.key, b.key) : a.key - b.key);
  });
  body.append(...keyed.map(({ row }) => row));
}

function filtered(find, table, count) {
  const rows = [...table.tBodies[0].rows];
  const names = [...table.tHead.rows[0].cells].flatMap((head, place) => (head.classList.contains("text") ? [place] : []));
  const hay = new Map(rows.map((row) => [row, names.map((place) => row.cells[place].textContent).join(" ").toLowerCase()]));
  const all = count.textContent;
  find.parentElement.hidden = false;
  find.addEventListener("input", () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => hay.get(row).includes(word));
      if (!row.hidden) shown++;
    }
    count.textContent = shown === rows.length ? all : `${shown.toLocaleString("en")} of ${all}`;
  });
}

for (const table of document.querySelectorAll("table.sortable")) sortable(table);
const find = document.getElementById("find");
if (find) filtered(find, document.getElementById("groups"), document.getElementById("count"));
