// The few things that the page does to the document.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Writing what is there already would make screen readers and layout work for nothing.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Terms and what they are; entries: [name, text or nodes, class].
export function pairs(list, entries) {
  replaceIfOther(list, entries.flatMap(describe));
}

// The same, each term in a box with what it is.
export function groups(list, entries) {
  replaceIfOther(list, entries.map((entry) => make("div", {}, ...describe(entry))));
}

function describe([name, value, kind]) {
  return [make("dt", {}, name), make("dd", { class: kind ?? "" }, ...[value].flat())];
}

export function replaceIfOther(parent, wanted) {
  const same = parent.children.length === wanted.length && wanted.every((each, i) => each.isEqualNode(parent.children[i]));
  if (!same) parent.replaceChildren(...wanted);
}
