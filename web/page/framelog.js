const rowLimit = 500;
const textLimit = 2000;

// FrameLog lists what happened in an <ol>: the last rowLimit events, each with
// at most textLimit characters of its text.
export class FrameLog {
  #list;

  constructor(list) {
    this.#list = list;
  }

  // add appends an event. kind is its name, note something short about it.
  add(kind, text, note = "") {
    const row = document.createElement("li");
    row.dataset.kind = kind;
    row.append(
      cell("time", "at", clock(new Date())),
      cell("span", "kind", kind),
      cell("span", "text", shorten(text)),
      cell("span", "note", note),
    );
    this.#list.append(row);
    if (this.#list.childElementCount > rowLimit) this.#list.firstElementChild.remove();
  }

  clear() {
    this.#list.replaceChildren();
  }
}

function cell(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

function clock(time) {
  const two = (n) => String(n).padStart(2, "0");
  const millis = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${millis}`;
}

function shorten(text) {
  if (text.length <= textLimit) return text;
  return `${text.slice(0, textLimit)}… (${text.length.toLocaleString("en")} characters)`;
}
