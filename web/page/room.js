const keptMessages = 300; // of a room that nobody scrolls back

// A Room is what this window knows of one. A message of it is as the server sends it, with
// room, offset, at, user, id and text.
export class Room {
  unread = 0;
  opened = false; // it is to be joined in each session
  joined = false; // it is, in this session
  refused = ""; // why it cannot be joined
  asked = ""; // the id of the request that the room waits for: to join, or what was before
  messages = []; // without a hole between them, the oldest first
  complete = false; // nothing is before them
  last = ""; // the offset up to which everything has come
  read = ""; // the offset up to which the reader has seen what others said
  firstUnread = null; // the message from which on the reader had not read
  members = new Set();
  moreMembers = false;
  typing = new Map(); // users, and the timers that end it
  #offsets = new Set();

  constructor(name, reader) {
    this.name = name;
    this.label = labelOf(name, reader);
  }

  // ofTwo tells whether the room is that of the reader and one other.
  get ofTwo() {
    return this.label !== this.name;
  }

  // append and prepend take messages but for those that are there.
  append(messages) {
    const added = this.#new(messages);
    this.messages.push(...added);
    return added;
  }

  prepend(messages) {
    this.messages.unshift(...this.#new(messages));
  }

  #new(messages) {
    return messages.filter(({ offset }) => !this.#offsets.has(offset) && this.#offsets.add(offset));
  }

  // clear forgets all messages: the server has them.
  clear() {
    this.messages = [];
    this.#offsets.clear();
    this.complete = false;
    this.firstUnread = null;
  }

  // trim forgets the oldest of many.
  trim() {
    if (this.messages.length <= 2 * keptMessages) return;
    for (const { offset } of this.messages.splice(0, this.messages.length - keptMessages)) this.#offsets.delete(offset);
    this.complete = false;
  }

  // mark has the reader not have read the last messages of others, as many as are unread.
  mark(reader) {
    let left = this.unread;
    this.firstUnread = left === 0 ? null :
      this.messages.findLast(({ user }) => user !== reader && --left === 0) ?? this.messages[0] ?? null;
  }

  // left ends what holds only while the session is in the room.
  left() {
    this.joined = false;
    this.asked = "";
    this.members.clear();
    for (const user of this.typing.keys()) this.stopTyping(user);
  }

  // startTyping notes it of a user, and calls ended when that has not been told again.
  startTyping(user, lasts, ended) {
    this.stopTyping(user);
    this.typing.set(user, setTimeout(() => {
      this.typing.delete(user);
      ended();
    }, lasts));
  }

  stopTyping(user) {
    clearTimeout(this.typing.get(user));
    this.typing.delete(user);
  }
}

// labelOf is a room's name to its reader: that of a room of two is @, and the two.
function labelOf(name, reader) {
  if (!name.startsWith("@")) return name;
  const users = name.slice(1).split(",").map((user) => user.replace(/%(25|2C|2F)/g, decodeURIComponent));
  return users.find((user) => user !== reader) ?? name;
}
