import { FrameLog } from "/framelog.js";
import { RoundTrips } from "/roundtrips.js";
import { options } from "/transport.js";

const byID = (id) => document.getElementById(id);
const client = byID("client");
const endpoint = byID("endpoint");
const transport = byID("transport");
const message = byID("message");
const log = new FrameLog(byID("frames"));

const statusText = {
  loading: "Loading",
  missing: "No client",
  closed: "Closed",
  connecting: "Connecting",
  open: "Open",
  closing: "Closing",
};

// The session of this page, and what is known of it. A page has at most one:
// connect is offered only when it is closed.
let sock = null;
let trips = null; // null where nothing is echoed
let sent = 0;
let received = 0;

// show makes the page fit the state of the session.
function show(state) {
  byID("main").dataset.state = state;
  byID("status").dataset.state = state;
  byID("status").textContent = statusText[state];
  const closed = state === "closed";
  endpoint.disabled = transport.disabled = !closed;
  byID("connect").disabled = !closed && state !== "connecting" && state !== "open";
  byID("connect").textContent = state === "connecting" || state === "open" ? "Disconnect" : "Connect";
  byID("send").disabled = byID("send-many").disabled = state !== "open";
  byID("transport-used").textContent = sock?.transport ?? "–";
}

function showMeasures() {
  byID("rtt-last").textContent = milliseconds(trips?.last);
  byID("rtt-median").textContent = milliseconds(trips?.median);
  byID("sent").textContent = sent.toLocaleString("en");
  byID("received").textContent = received.toLocaleString("en");
}

function milliseconds(time) {
  return time === undefined ? "–" : `${time.toFixed(1)} ms`;
}

// notify shows what went wrong; without a text it takes the notice away.
function notify(text = "") {
  byID("notice").textContent = text;
  byID("notice").hidden = text === "";
}

function connect() {
  const from = performance.now();
  let opened = false;
  notify();
  sent = received = 0;
  trips = endpoint.value === "/echo" ? new RoundTrips() : null;
  sock = new window.SockJS(endpoint.value + query(), null, options(transport.value));
  sock.onopen = () => {
    opened = true;
    log.add("open", sock.transport, milliseconds(performance.now() - from));
    show("open");
  };
  sock.onmessage = (event) => receive(event.data);
  // A stream's prelude looks like a heartbeat to the client.
  sock.onheartbeat = () => log.add(opened ? "heartbeat" : "prelude", "");
  sock.onclose = (event) => {
    log.add("close", `${event.code} ${event.reason}`);
    if (!opened) notify(whyNotOpened(event));
    else if (event.code !== 1000) notify(`The session was closed with ${event.code}: ${event.reason}.`);
    sock = null;
    show("closed");
  };
  show("connecting");
  showMeasures();
}

// query is what the page's address has after #, for the endpoint: a ticket, or a token. No
// server sees it there.
function query() {
  return location.hash.replace("#", "?");
}

function disconnect() {
  show("closing");
  sock.close();
}

// whyNotOpened explains the close codes that sockjs-client gives before a
// session is open: 1002 when the information request has failed, 2000 when
// every transport has, 1000 when the reader does not want it any more.
function whyNotOpened({ code, reason }) {
  if (code === 1000) return "";
  if (code === 1002) {
    return `No answer at ${endpoint.value}/info: the server is away, refuses, or has no such endpoint.`;
  }
  if (code !== 2000) return `No session: ${code} ${reason}.`;
  const refused = location.hash === "" ? "refuses who brings no token, which goes after # in this page's address, as #token=...," : "refuses what this page's address has after #,";
  if (transport.value === "automatic") return `No transport works on ${endpoint.value}: the server ${refused} or something in between stops them.`;
  return `${transport.value} does not work here: the server has it switched off or ${refused} this browser does not have it, or something in between stops it.`;
}

function receive(text) {
  received++;
  const time = trips?.received(text);
  if (trips && time === undefined) {
    log.add("error", text, "not what was sent");
    notify("The endpoint sent back something other than what was sent.");
  } else {
    log.add("message", text, trips ? milliseconds(time) : "");
  }
  showMeasures();
}

function send(text) {
  trips?.sent(text);
  sock.send(text);
  sent++;
  log.add("sent", text);
}

function sendMany() {
  for (let i = 1; i <= 100; i++) send(`${message.value} ${i}`);
  showMeasures();
}

// followLink connects as the page's address asks: ?endpoint=/echo&transport=...
function followLink() {
  const wanted = new URLSearchParams(location.search);
  const choices = [endpoint, transport].filter((choice) => wanted.has(choice.id));
  for (const choice of choices) {
    choice.value = wanted.get(choice.id);
    if (choice.value !== "") continue;
    choice.selectedIndex = 0;
    return notify(`The link asks for the ${choice.id} “${wanted.get(choice.id)}”, which this page does not have.`);
  }
  if (choices.length > 0) connect();
}

function clientLoaded() {
  if (!window.SockJS) return clientMissing();
  show("closed");
  followLink();
}

function clientMissing() {
  show("missing");
  notify(`sockjs-client could not be loaded from ${client.src}, so this page cannot connect. ` +
    "Make that address reachable, or build the server with make, which puts the client into it.");
}

byID("session").addEventListener("submit", (event) => {
  event.preventDefault();
  if (sock) disconnect();
  else connect();
});
byID("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send(message.value);
  showMeasures();
});
byID("send-many").addEventListener("click", sendMany);
byID("clear").addEventListener("click", () => log.clear());
client.addEventListener("load", clientLoaded);
client.addEventListener("error", clientMissing);
show("loading");
