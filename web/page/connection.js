const firstDelay = 500; // of the tries to connect again, in milliseconds
const longestDelay = 15_000;
const steady = 10_000; // a session that was open so long was a good one
const answerTime = 15_000; // in which a server that is there has said something

// A Connection keeps a SockJS session open, and says JSON over it. When the session
// ends, it opens another after a while: the next tries come later and later, and each a
// little by chance, so that not everybody comes at once to a server that is back.
export class Connection {
  #open;
  #events;
  #sock = null;
  #openedAt = 0;
  #tries = 0;
  #timer = 0; // until the next try
  #deadline = 0; // of an answer

  state = "closed"; // or connecting, open, waiting
  nextTry = 0; // when waiting: the time of it
  end = null; // of the session before: its code and reason

  // open makes a SockJS. Of the events, received(message) is called for each message, and
  // changed after each change of the state.
  constructor(open, events) {
    this.#open = open;
    this.#events = events;
  }

  get transport() {
    return this.#sock?.transport ?? "";
  }

  // connect opens a session unless there is one, at once.
  connect() {
    if (this.#sock) return;
    clearTimeout(this.#timer);
    const sock = this.#open();
    this.#sock = sock;
    sock.onopen = () => {
      this.#openedAt = performance.now();
      this.#is("open");
    };
    sock.onheartbeat = () => this.#alive();
    sock.onmessage = (event) => {
      this.#alive();
      this.#events.received(JSON.parse(event.data));
    };
    sock.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#is("connecting");
  }

  // close ends the session, and opens no other.
  close() {
    this.#drop();
    clearTimeout(this.#timer);
    this.#tries = 0;
    this.#is("closed");
  }

  // send tells whether there is a session to send a message over.
  send(message) {
    if (this.state !== "open") return false;
    this.#sock.send(JSON.stringify(message));
    return true;
  }

  // ask is send for what the server answers. Without a sign of it for too long the session
  // is taken for dead: a device that has slept is not told that its connection is.
  ask(message) {
    if (!this.send(message)) return false;
    this.#deadline ||= setTimeout(() => this.#lost(1006, "no answer"), answerTime);
    return true;
  }

  #alive() {
    clearTimeout(this.#deadline);
    this.#deadline = 0;
  }

  #lost(code, reason) {
    this.end = { code, reason };
    const wasSteady = this.state === "open" && performance.now() - this.#openedAt > steady;
    this.#drop();
    if (wasSteady) this.#tries = 0;
    const delay = Math.min(longestDelay, firstDelay * 2 ** this.#tries++) * (.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.connect(), delay);
    this.nextTry = Date.now() + delay;
    this.#is("waiting");
  }

  // drop forgets the session, whose events are no longer of interest.
  #drop() {
    this.#alive();
    const sock = this.#sock;
    this.#sock = null;
    if (!sock) return;
    sock.onopen = sock.onheartbeat = sock.onmessage = sock.onclose = null;
    sock.close();
  }

  #is(state) {
    this.state = state;
    this.#events.changed();
  }
}
