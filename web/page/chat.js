import { Messages, arrange, initial, make, paint } from "/messages.js";
import { Rooms } from "/rooms.js";
import { options } from "/transport.js";

const endpoint = "/chat";
const firstRoom = "lobby"; // of a user who has none
const renderEvery = 20; // milliseconds, at most
const atEnd = 40; // pixels from the end that still count as there
const fromStart = 600; // pixels from the beginning where more is fetched

const byID = (id) => document.getElementById(id);
const client = byID("client");
const chat = byID("chat");
const view = byID("view");
const text = byID("text");
const messages = new Messages(byID("messages"), {
  again: (message) => rooms.again(message),
  discard: (message) => rooms.discard(message),
});

let rooms = null; // of whoever has signed in
let room = null; // that is shown
let roomToShow = false; // from its first unread message
const drafts = new Map(); // what is written and not sent, by room
const links = new Map(); // of the list of rooms, by room
const people = new Map(); // of the list of members, by user
let rendering = 0;

function enter(user) {
  sessionStorage.setItem("chat user", user);
  sessionStorage.setItem("chat transport", byID("transport").value);
  document.body.dataset.state = "in";
  byID("entry").hidden = true;
  chat.hidden = false;
  rooms = new Rooms(user, openSession, { changed: renderSoon, created: goTo, notice: notify });
  follow();
}

function exit() {
  rooms.connection.close();
  sessionStorage.removeItem("chat user");
  location.assign(location.pathname);
}

function openSession(user) {
  return new window.SockJS(`${endpoint}?${new URLSearchParams({ user })}`, null, options(byID("transport").value));
}

// follow shows the room of the page's address, #room=NAME.
function follow() {
  if (!rooms) return;
  const name = new URLSearchParams(location.hash.slice(1)).get("room");
  if (room) drafts.set(room, text.value);
  room = name ? rooms.open(name) : null;
  roomToShow = true;
  text.value = drafts.get(room) ?? "";
  chat.dataset.view = room ? "room" : "rooms";
  showMembers(false);
  notify("");
  render();
  fitText();
  if (room) (matchMedia("(pointer: fine)").matches ? text : byID("title")).focus();
}

const linkTo = (name) => `#${new URLSearchParams({ room: name })}`;

function goTo(name) {
  location.hash = linkTo(name);
}

// goBeside shows the room before or after this one in the list.
function goBeside(step) {
  const list = rooms.list();
  const next = list[list.indexOf(room) + step];
  if (next) goTo(next.name);
}

// renderSoon is for what may happen more often than it can be seen.
function renderSoon() {
  rendering ||= setTimeout(render, renderEvery);
}

// render makes the page show what is.
function render() {
  clearTimeout(rendering);
  rendering = 0;
  if (!rooms) return;
  if (rooms.known && !room && rooms.list().length === 0) return goTo(firstRoom);
  for (const each of rooms.list()) if (each !== room || isAtEnd()) each.trim();
  showConnection();
  showRoom();
  lookAround();
  showRooms();
}

// lookAround tells what of the room is in view.
function lookAround() {
  const seen = room && document.visibilityState === "visible" && isAtEnd();
  rooms.look(seen ? room : null);
  if (room && view.scrollHeight - view.clientHeight + view.scrollTop < fromStart) rooms.earlier(room);
  const below = room && !isAtEnd();
  byID("latest").hidden = !below;
  if (below) byID("latest").textContent = room.unread > 0 ? `${room.unread} new ↓` : "Latest ↓";
}

// isAtEnd tells whether the last message is in view. The view's column is reversed: it is
// where nobody has scrolled.
function isAtEnd() {
  return view.scrollTop > -atEnd;
}

function showConnection() {
  const { state, transport, nextTry } = rooms.connection;
  const status = byID("status");
  status.dataset.state = rooms.known ? "open" : state;
  status.textContent = rooms.known ? "Online" : { connecting: "Connecting", open: "Connecting", waiting: "Offline", closed: "" }[state];
  byID("transport-used").textContent = transport || byID("transport").value;
  byID("connection").hidden = state !== "waiting";
  if (state !== "waiting") return;
  setText(byID("connection-text"), whyNot(rooms.connection.end));
  byID("countdown").textContent = `Trying again in ${Math.max(0, Math.ceil((nextTry - Date.now()) / 1000))} s.`;
}

// whyNot explains the code that a session ended with, or that sockjs-client gives where there
// was none: 1002 when nothing answers, 2000 when no transport works.
function whyNot({ code, reason }) {
  if (code === 2000) return `No session over ${byID("transport").value}.`;
  if (code === 1002) return `No answer at ${endpoint}/info: the server is away, refuses, or has no such endpoint.`;
  if (code === 1008 || code >= 3000) return `The server ended the session: ${reason}.`;
  return "The connection is lost.";
}

function showRooms() {
  const entries = rooms.list().map((each) => {
    if (!links.has(each)) links.set(each, roomLink(each));
    const item = links.get(each);
    const unread = rooms.isInView(each) ? 0 : each.unread;
    item.link.ariaCurrent = each === room ? "page" : null;
    item.badge.hidden = unread === 0;
    item.badge.textContent = unread > 999 ? "999+" : unread;
    item.badge.ariaLabel = `${unread} unread`;
    return { element: item.element, unread };
  });
  arrange(byID("rooms"), new Set(entries.map(({ element }) => element)));
  const unread = entries.reduce((sum, entry) => sum + entry.unread, 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ""}${room ? `${room.label} · ` : ""}Chat · Switchback`;
}

function roomLink({ name, label: shown, ofTwo }) {
  const label = make("span", "name", shown);
  label.dataset.sign = ofTwo ? "@" : "#";
  label.dir = "auto";
  const badge = make("span", "badge");
  badge.role = "img";
  const link = make("a", "", label, badge);
  link.href = linkTo(name);
  return { element: make("li", "", link), link, badge };
}

function showRoom() {
  byID("title").textContent = room?.label ?? "";
  byID("me").textContent = rooms.user;
  byID("avatar").textContent = initial(rooms.user);
  paint(byID("avatar"), rooms.user);
  if (!room) return;
  messages.show(room, rooms.waiting(room), rooms.user);
  if (roomToShow && room.joined) showFromUnread();
  const here = [...room.members].sort((a, b) => a.localeCompare(b));
  byID("here").textContent = `${here.length}${room.moreMembers ? "+" : ""} here`;
  byID("here").hidden = byID("leave").hidden = byID("members-title").hidden = !room.joined;
  setText(byID("refused"), room.refused);
  byID("refused").hidden = !room.refused;
  byID("foot").hidden = room.refused !== "";
  arrange(byID("users"), new Set(here.map(member)));
  setText(byID("typing"), whoTypes([...room.typing.keys()]));
}

// showFromUnread has the reader begin where the unread messages do.
function showFromUnread() {
  roomToShow = false;
  view.scrollTop = 0;
  messages.firstUnread?.scrollIntoView({ block: "nearest" });
}

function member(user) {
  if (!people.has(user)) {
    const name = make("span", "name", user);
    name.dir = "auto";
    const avatar = make("span", "avatar", initial(user));
    avatar.ariaHidden = "true";
    const isReader = user === rooms.user;
    const person = make(isReader ? "p" : "button", "person", avatar, name, isReader ? make("span", "hint", "you") : "");
    if (!isReader) {
      person.type = "button";
      person.title = `Talk with ${user} alone`;
      person.addEventListener("click", () => rooms.talkTo(user));
    }
    people.set(user, paint(make("li", "", person), user));
  }
  return people.get(user);
}

function whoTypes(users) {
  if (users.length === 0) return "";
  if (users.length > 2) return `${users.length} people are typing`;
  return `${users.join(" and ")} ${users.length === 1 ? "is" : "are"} typing`;
}

function showMembers(open) {
  chat.classList.toggle("members-open", open);
  byID("here").ariaExpanded = open;
}

// notify shows what went wrong; without a text it takes the notice away.
function notify(what) {
  byID("notice-text").textContent = what;
  byID("notice").hidden = what === "";
}

// setText leaves a live region alone that says the same already.
function setText(element, what) {
  if (element.textContent !== what) element.textContent = what;
}

// fitText makes the field for the text as high as it is.
function fitText() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + text.offsetHeight - text.clientHeight}px`;
}

function clientLoaded() {
  if (!window.SockJS) return clientMissing();
  byID("enter").querySelector("button").disabled = false;
  const link = new URLSearchParams(location.search);
  const user = link.get("user") ?? sessionStorage.getItem("chat user") ?? "";
  byID("user").value = user;
  byID("transport").value = link.get("transport") ?? sessionStorage.getItem("chat transport") ?? "automatic";
  if (byID("transport").selectedIndex < 0) byID("transport").selectedIndex = 0;
  if (user) enter(user);
  else byID("user").focus();
}

function clientMissing() {
  byID("entry-notice").textContent = `sockjs-client could not be loaded from ${client.src}, so this page cannot connect.`;
  byID("entry-notice").hidden = false;
}

byID("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const user = byID("user").value.trim();
  if (user) enter(user);
});
byID("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byID("name").value.trim();
  if (!name) return;
  byID("name").value = "";
  goTo(name);
});
byID("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  if (text.value.trim() === "" || !rooms.say(room, text.value)) return;
  text.value = "";
  fitText();
  view.scrollTop = 0;
  text.focus();
});
// Enter sends, also on the keyboard of a phone; Shift and Enter begin a line.
let shift = false;
text.addEventListener("keydown", (event) => {
  shift = event.shiftKey;
});
text.addEventListener("beforeinput", (event) => {
  if (event.inputType !== "insertLineBreak" || shift) return;
  event.preventDefault();
  byID("compose").requestSubmit();
});
text.addEventListener("input", () => {
  fitText();
  if (text.value) rooms.typing(room);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") showMembers(false);
  if (!rooms || !event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
  event.preventDefault();
  goBeside(event.key === "ArrowUp" ? -1 : 1);
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") rooms?.check();
  render();
});
byID("here").addEventListener("click", () => showMembers(!chat.classList.contains("members-open")));
byID("latest").addEventListener("click", () => view.scrollTo({ top: 0, behavior: "smooth" }));
byID("leave").addEventListener("click", () => {
  rooms.leave(room);
  location.hash = "";
});
byID("dismiss").addEventListener("click", () => notify(""));
byID("try").addEventListener("click", () => rooms.check());
byID("exit").addEventListener("click", exit);
view.addEventListener("scroll", renderSoon, { passive: true });
addEventListener("hashchange", follow);
addEventListener("online", () => rooms?.check());
setInterval(() => rooms && showConnection(), 1000);
client.addEventListener("load", clientLoaded);
client.addEventListener("error", clientMissing);
