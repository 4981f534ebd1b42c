const groupTime = 5 * 60_000; // messages of one user that follow each other so soon are one group

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const fullDate = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const relativeDay = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

// Messages shows the messages of a room in an <ol>. Nothing that others wrote becomes
// anything but text.
export class Messages {
  #list;
  #actions;
  #rows = new Map(); // what is shown, and its element

  // Of the actions, again(message) and discard(message) are what the reader can have done with
  // one that was refused.
  constructor(list, actions) {
    this.#list = list;
    this.#actions = actions;
  }

  // show makes the list that of a room, with the reader's messages that are still waiting. It
  // touches only what has changed.
  show(room, waiting, reader) {
    const rows = new Map();
    const show = (key, element) => rows.set(key, element);
    show("start", this.#rows.get("start") ?? line("start"));
    rows.get("start").textContent = beginning(room);
    let previous = null;
    for (const message of [...room.messages, ...waiting]) {
      const at = new Date(message.at);
      const newDay = at.toDateString() !== previous?.at.toDateString();
      if (newDay) {
        const key = `day ${at.toDateString()}`;
        show(key, this.#rows.get(key) ?? line("day", day(at)));
      }
      if (message === room.firstUnread) show("new", this.#rows.get("new") ?? line("new", "New"));
      const grouped = !newDay && message !== room.firstUnread &&
        message.user === previous.user && at - previous.at < groupTime;
      const element = this.#rows.get(message) ?? bubble(message, at, message.user === reader);
      this.#fit(element, message, grouped);
      show(message, element);
      previous = { at, user: message.user };
    }
    this.#rows = rows;
    arrange(this.#list, new Set(rows.values()));
  }

  // firstUnread is the element that tells where the unread messages begin, if there is one.
  get firstUnread() {
    return this.#rows.get("new");
  }

  #fit(element, message, grouped) {
    const state = message.refused ? "refused" : message.offset ? "stored" : "waiting";
    element.classList.toggle("grouped", grouped);
    if (element.dataset.state === state) return;
    element.dataset.state = state;
    if (!element.classList.contains("own")) return;
    element.querySelector(".state").textContent = { refused: "not sent", stored: "✓", waiting: "sending" }[state];
    element.querySelector(".refusal")?.remove();
    if (state === "refused") element.querySelector(".bubble").append(this.#refusal(message));
  }

  #refusal(message) {
    return make("p", "refusal", `${message.refused} `,
      button("Try again", () => this.#actions.again(message)), button("Discard", () => this.#actions.discard(message)));
  }
}

// make makes an element. Strings among its content become text.
export function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

// arrange makes elements the children of a parent, in their order, and moves none that is in it.
export function arrange(parent, elements) {
  for (const child of [...parent.children]) if (!elements.has(child)) child.remove();
  let place = parent.firstChild;
  for (const element of elements) {
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
}

// paint gives an element the colour of a user.
export function paint(element, user) {
  let hash = 0;
  for (const c of user) hash = (hash * 31 + c.codePointAt(0)) % 360;
  element.style.setProperty("--hue", hash);
  return element;
}

// initial is what stands for a user in an avatar.
export function initial(user) {
  return [...user][0]?.toLocaleUpperCase() ?? "";
}

function button(text, action) {
  const element = make("button", "", text);
  element.type = "button";
  element.addEventListener("click", action);
  return element;
}

function line(className, text = "") {
  return make("li", className, text);
}

function bubble({ user, text }, at, own) {
  const time = make("time", "", clock.format(at));
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString();
  const name = make("b", "name", user);
  name.dir = "auto";
  const meta = make("span", "meta", time);
  const said = make("p", "", make("span", "text", text), meta);
  said.dir = "auto";
  const element = make("li", "message", make("div", "bubble", name, said));
  if (own) {
    element.classList.add("own");
    meta.append(" ", make("span", "state"));
  } else {
    const avatar = make("span", "avatar", initial(user));
    avatar.ariaHidden = "true";
    element.prepend(avatar);
  }
  return paint(element, user);
}

function beginning({ joined, complete, messages }) {
  if (complete) return messages.length > 0 ? "This is where the room begins." : "Nobody has said anything here yet.";
  return joined ? "Loading what was before" : "";
}

function day(at) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
  const days = Math.round((midnight(at) - midnight(new Date())) / 86_400_000);
  return days === 0 || days === -1 ? relativeDay.format(days, "day") : fullDate.format(at);
}
