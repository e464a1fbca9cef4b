// Which parts a narrow screen shows. On a wide one all of them are there and this only keeps count.

import { find, icon, make } from "./dom.js";
import { word } from "./words.js";

// Each is the id of a part and the name of its icon; the word is what there is room for on a narrow screen.
const WORDS = { chat: "chat", people: "people", phone: "phone", calls: "callsShort" };

export class Views {
  #middle = matchMedia("(min-width: 640px) and (max-width: 999.98px)");
  #view = "chat";
  #buttons = new Map();
  // The ids of the SMS that have been on the screen; what was there before the page was opened is no news.
  #seen = null;
  #last = null;
  #hooks;

  // hooks: {moved(): another part is on the screen}
  constructor(hooks) {
    this.#hooks = hooks;
    for (const name of Object.keys(WORDS)) {
      const button = make("button", { type: "button", class: `view view-${name}`, onclick: () => this.go(name) });
      this.#buttons.set(name, button);
      find("views").append(button);
    }
    this.#middle.addEventListener("change", () => this.#mark());
  }

  // Brings a part to the screen; where there is room for all nothing moves.
  go(name) {
    if (name === "chat" && this.#middle.matches) return;
    this.#view = name;
    this.#mark();
    if (this.#last) this.show(this.#last);
    this.#hooks.moved();
  }

  shows(name) {
    return find(name).checkVisibility();
  }

  show({ phone, calls }) {
    const refused = calls.filter((call) => !call.ok).length;
    if (this.#seen === null || this.shows("phone")) this.#seen = new Set(phone.map((sms) => sms.id));
    const counts = { phone: phone.filter((sms) => !this.#seen.has(sms.id)).length, calls: refused };
    this.#last = { phone, calls };
    for (const [name, button] of this.#buttons) {
      const now = JSON.stringify([name, counts[name], document.documentElement.lang]);
      if (button.dataset.now === now) continue;
      button.dataset.now = now;
      button.replaceChildren(icon(name), make("span", {}, word(WORDS[name])),
        counts[name] ? make("span", { class: name === "calls" ? "count bad" : "count" }, String(counts[name])) : "");
    }
    this.#mark();
  }

  #mark() {
    const side = this.#middle.matches && this.#view === "chat" ? "phone" : this.#view;
    document.body.dataset.view = side;
    for (const [name, button] of this.#buttons) button.setAttribute("aria-current", String(name === side));
  }
}
