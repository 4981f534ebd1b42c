import { Connection } from "/connection.js";
import { Room } from "/room.js";

const pageLength = 50; // messages that are asked for at a time
const roomLimit = 1_000; // rooms in the list
const waitingLimit = 100; // messages that may wait for the server
const readEvery = 500; // what is read is told so often at most, in milliseconds
const typingEvery = 3_000; // and that the reader types
const typingLasts = 5_000; // unless it is told again
const againAfter = 2_000; // what the server could not do is asked for again
const storageKey = "chat waiting";

// Rooms are those of a user, and what is said with the server about them: see the Go package
// handler/chat.
//
// Nothing is lost with a session. What the reader says waits until it is acknowledged, in
// sessionStorage, so that it outlives a reload, too; in the next session it is sent again with
// its id, by which the server knows it. Each room is joined again since the last message
// that has come.
export class Rooms {
  #events;
  #rooms = new Map();
  #waiting; // the reader's messages that the server has not acknowledged
  #prefix = Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");
  #ids = 0;
  #inView = null;
  #seen = new Set(); // rooms of which the server is to be told what is read
  #reading = 0; // until it may be told again
  #toldTyping = -Infinity;

  user;
  connection;
  known = false; // the server has said welcome in this session

  // open(user) makes a SockJS. Of the events, changed is called after each change of anything
  // here, created(name) when a room has been made, and notice(text) when the reader has to
  // know something.
  constructor(user, open, events) {
    this.user = user;
    this.#events = events;
    this.#waiting = waitingOf(user);
    for (const { room } of this.#waiting) this.#room(room).opened = true;
    this.connection = new Connection(() => open(this.user), {
      received: (message) => {
        this.#received(message);
        events.changed();
      },
      changed: () => {
        if (this.connection.state !== "open") this.#ended();
        events.changed();
      },
    });
    this.connection.connect();
  }

  // list is the rooms by their names.
  list() {
    return [...this.#rooms.values()].sort((a, b) => a.label.localeCompare(b.label));
  }

  // waiting are the reader's messages that the room does not have yet.
  waiting(room) {
    return this.#waiting.filter((message) => message.room === room.name);
  }

  // open joins a room, in this session and in each that comes.
  open(name) {
    const room = this.#room(name);
    room.mark(this.user);
    if (!room.opened) {
      room.opened = true;
      this.#join(room);
    }
    return room;
  }

  // leave has the reader be in a room no more. What is said there is counted still.
  leave(room) {
    if (room.joined) this.connection.send({ type: "leave", room: room.name });
    room.opened = false;
    room.left();
  }

  // talkTo makes the room of two with somebody, which may be there already.
  talkTo(user) {
    this.connection.ask({ type: "create", members: [user] });
  }

  // say sends a text once the room is joined. It tells whether there was space for it.
  say(room, text) {
    if (this.#waiting.length >= waitingLimit) {
      this.#events.notice(`${waitingLimit} messages wait for the server already: this one has to wait here.`);
      return false;
    }
    const message = { room: room.name, id: this.#id(), user: this.user, text, at: new Date().toISOString() };
    this.#waiting.push(message);
    this.#toldTyping = -Infinity;
    room.firstUnread = null;
    this.#transmit(message);
    return true;
  }

  // again sends a message that was refused.
  again(message) {
    delete message.refused;
    this.#transmit(message);
  }

  // discard forgets one that waits.
  discard(message) {
    this.#waiting.splice(this.#waiting.indexOf(message), 1);
    this.#keepWaiting();
    this.#events.changed();
  }

  // typing tells the others in the room that the reader is.
  typing(room) {
    if (!room.joined || performance.now() - this.#toldTyping < typingEvery) return;
    this.#toldTyping = performance.now();
    this.connection.send({ type: "typing", room: room.name });
  }

  // earlier asks for what is before the messages of a room.
  earlier(room) {
    if (!room.joined || room.asked || room.complete) return;
    if (room.messages.length === 0) room.complete = true;
    else this.#ask(room, { type: "history", before: room.messages[0].offset, limit: pageLength });
    this.#events.changed();
  }

  // look says which room the reader sees the end of, or null. The server is told that all
  // that has come is read.
  look(room) {
    this.#inView = room;
    if (!room?.joined || room.read === room.last) return;
    if (room.unread === 0 && room.messages.at(-1)?.user === this.user) return;
    room.read = room.last;
    this.#seen.add(room);
    if (!this.#reading) this.#tellRead();
  }

  // tellRead tells the server what the reader has seen, wherever the reader is by now.
  #tellRead() {
    this.#reading = this.#seen.size > 0 ? setTimeout(() => this.#tellRead(), readEvery) : 0;
    for (const room of this.#seen) this.connection.send({ type: "read", room: room.name, offset: room.read });
    this.#seen.clear();
  }

  // isInView tells whether the reader sees what comes in a room.
  isInView(room) {
    return room === this.#inView;
  }

  // check has the connection show whether it is alive.
  check() {
    if (this.connection.state === "waiting") this.connection.connect();
    else this.connection.ask({ type: "rooms" });
  }

  #room(name) {
    if (!this.#rooms.has(name)) this.#rooms.set(name, new Room(name, this.user));
    return this.#rooms.get(name);
  }

  #id() {
    return `${this.#prefix}-${++this.#ids}`;
  }

  // ask asks for something that a room then waits for.
  #ask(room, request) {
    const id = this.#id();
    if (this.connection.ask({ ...request, room: room.name, id })) room.asked = id;
  }

  #join(room) {
    room.refused = "";
    if (this.known) this.#ask(room, { type: "join", ...(room.last ? { since: room.last } : { limit: pageLength }) });
  }

  #transmit(message) {
    this.#keepWaiting();
    const { room, id, text } = message;
    if (this.#room(room).joined) this.connection.ask({ type: "message", room, id, text });
    this.#events.changed();
  }

  #ended() {
    this.known = false;
    for (const room of this.#rooms.values()) {
      room.left();
      room.read = "";
    }
    this.#seen.clear();
  }

  #received(message) {
    const room = message.room && this.#room(message.room);
    switch (message.type) {
      case "welcome": return this.#welcomed(message);
      case "rooms": return this.#counted(message);
      case "joined": return this.#joined(room, message);
      case "message": return this.#said(room, message);
      case "ack": return this.#acknowledged(message);
      case "history": return this.#wentBack(room, message);
      case "presence": return this.#moved(room, message);
      case "unread": room.unread = message.count; return;
      case "typing": return this.#typed(room, message);
      case "created": return this.#events.created(message.room);
      case "error": return this.#refused(message);
    }
  }

  #welcomed({ user, ...list }) {
    this.user = user;
    this.known = true;
    this.#counted(list);
    for (const room of this.#rooms.values()) if (room.opened) this.#join(room);
  }

  #counted({ rooms, more }) {
    for (const { room, unread } of rooms) this.#room(room).unread = unread;
    if (more && this.#rooms.size < roomLimit) this.connection.ask({ type: "rooms", after: rooms.at(-1).room });
  }

  #joined(room, { offset, members, more = false, messages, gap = false }) {
    const first = room.last === "";
    room.asked = "";
    room.joined = true;
    room.members = new Set(members);
    room.moreMembers = more;
    if (gap) this.#cut(room);
    this.#add(room, messages);
    room.last = offset;
    if (first || gap) room.mark(this.user);
    for (const message of this.waiting(room)) if (!message.refused) this.#transmit(message);
  }

  #said(room, message) {
    if (message.gap) this.#cut(room);
    this.#add(room, [message]);
    room.last = message.offset;
    room.stopTyping(message.user);
  }

  // add takes what others and the reader have said since.
  #add(room, messages) {
    const caughtUp = room.read === room.last || room.firstUnread === null;
    const added = room.append(this.#recognized(messages));
    if (caughtUp && room !== this.#inView) room.firstUnread = added.find(({ user }) => user !== this.user) ?? room.firstUnread;
  }

  // cut begins a room anew, where there is a hole: the reader scrolls back to see what is in it.
  #cut(room) {
    room.clear();
    this.#events.notice(`More was said in ${room.label} than could be caught up on. Scroll back to see what the server has of it.`);
  }

  #acknowledged({ id }) {
    const message = this.#waiting.find((message) => message.id === id);
    if (message) this.discard(message); // who is in the room has got it before
  }

  #wentBack(room, { messages, more = false }) {
    if (!room.asked) return; // it was asked for in another session
    room.asked = "";
    room.complete = !more;
    room.prepend(this.#recognized(messages));
  }

  // recognized is messages with the reader's own that have waited in the place of the same from the
  // server: the view knows them.
  #recognized(messages) {
    return messages.map((message) => {
      const own = message.user === this.user && this.#waiting.find(({ id }) => id === message.id);
      if (!own) return message;
      this.discard(own);
      return Object.assign(own, message);
    });
  }

  #moved(room, { user, online }) {
    if (online) return room.members.add(user);
    room.members.delete(user);
    room.stopTyping(user);
  }

  #typed(room, { user }) {
    if (user !== this.user) room.startTyping(user, typingLasts, this.#events.changed);
  }

  // refused is of a message, of what a room waits for, or of something else. What the server
  // could not do now is done later.
  #refused({ code, text, id }) {
    const message = this.#waiting.find((message) => message.id === id);
    const room = id && this.list().find(({ asked }) => asked === id);
    const later = code === "unavailable";
    if (message && later) setTimeout(() => this.#waiting.includes(message) && this.#transmit(message), againAfter);
    else if (message) message.refused = text;
    else if (room && later) setTimeout(() => room.asked === id && this.#askAgain(room), againAfter);
    else if (room) this.#shut(room, text);
    else this.#events.notice(text);
  }

  #askAgain(room) {
    room.asked = "";
    if (room.joined) this.earlier(room);
    else this.#join(room);
  }

  #shut(room, why) {
    room.asked = "";
    if (room.joined) {
      room.complete = true;
      return this.#events.notice(why);
    }
    room.opened = false;
    room.refused = why;
  }

  #keepWaiting() {
    sessionStorage.setItem(storageKey, JSON.stringify({ user: this.user, messages: this.#waiting }));
  }
}

// waitingOf is what a user has said before the page was loaded again.
function waitingOf(user) {
  const kept = JSON.parse(sessionStorage.getItem(storageKey) ?? "{}");
  return kept.user === user ? kept.messages : [];
}
