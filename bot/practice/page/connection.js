// The way to the bot's server: one stream of snapshots in, acts out.

import { word } from "./words.js";

export class Connection {
  #source = null;
  #again = 0;
  #hears;

  // hears: {state(snapshot), toast({text, alert}), away(boolean)}
  constructor(hears) {
    this.#hears = hears;
    this.person = null;
  }

  open(person) {
    this.close();
    this.person = person;
    const source = new EventSource(person === null ? "/practice/events" : `/practice/events?person=${person}`);
    this.#source = source;
    source.addEventListener("state", (event) => {
      const snapshot = JSON.parse(event.data);
      this.person = snapshot.person;
      this.#hears.away(false);
      this.#hears.state(snapshot);
    });
    source.addEventListener("toast", (event) => this.#hears.toast(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      this.#hears.away(true);
      // The browser gives up for good when the server answered anything but a stream: a person who is not there
      // any more, or a server that is about to go.
      if (source.readyState === EventSource.CLOSED) this.#again = setTimeout(() => this.open(null), 1000);
    });
  }

  close() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }

  // Returns the answer; throws an Error whose message can be shown.
  async act(act, details = {}) {
    const sent = fetch("/practice/act", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Practice": "1" },
      body: JSON.stringify({ person: this.person, act, ...details }),
    });
    const response = await sent.catch(() => { throw new Error(word("notSent")); });
    const answer = await response.json().catch(() => ({ error: `HTTP ${response.status}` }));
    if (!response.ok) throw new Error(answer.error ?? `HTTP ${response.status}`);
    return answer;
  }
}
