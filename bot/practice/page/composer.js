// Where the person writes: the field, the list of commands, the bot's keyboard, and the one big button instead.

import { find, icon, make } from "./dom.js";
import { word } from "./words.js";

export class Composer {
  #form = find("composer");
  #text = find("text");
  #list = find("commands");
  #keyboard = find("keyboard");
  #toggle = find("keyboard-toggle");
  #hooks;
  #snapshot = null;
  #drafts = new Map();
  #editing = null;
  #found = [];
  #chosen = 0;
  #keys = "";
  #open = false;

  // hooks: {send(text), edit(message, text), tap(key), start(), unblock()}; each returns a promise
  constructor(hooks) {
    this.#hooks = hooks;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("blur", () => this.#close());
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
    find("slash").addEventListener("click", () => {
      this.write(this.#list.hidden ? "/" : "");
    });
    this.#toggle.addEventListener("click", () => this.#unfold(!this.#open));
    find("start").addEventListener("click", () => this.#hooks.start());
    find("unblock").addEventListener("click", () => this.#hooks.unblock());
  }

  show(snapshot) {
    const other = this.#snapshot?.person !== snapshot.person;
    if (other && this.#snapshot) this.#drafts.set(this.#snapshot.person, this.#text.value);
    this.#snapshot = snapshot;
    if (other) {
      this.stopEditing();
      this.write(this.#drafts.get(snapshot.person) ?? "", false);
    }
    if (this.#editing && !snapshot.messages.some((one) => one.id === this.#editing.id)) this.stopEditing();
    const me = snapshot.people.find((one) => one.id === snapshot.person);
    const asks = me.blocked ? "unblock" : me.started ? "write" : "start";
    for (const id of ["write", "start", "unblock"]) {
      find(id).hidden = id !== asks;
      if (id !== "write") find(id).textContent = word(id);
    }
    this.#lay(asks === "write" ? snapshot.keyboard : null, other);
  }

  // Puts words into the field, for the person to send.
  write(text, focus = true) {
    this.#text.value = text;
    if (focus) this.#text.focus();
    this.#typed();
  }

  get empty() {
    return this.#text.value.trim() === "";
  }

  focus() {
    const first = ["start", "unblock"].map(find).find((node) => !node.hidden);
    (first ?? this.#text).focus();
  }

  startEditing(message) {
    this.#editing = message;
    const stop = make("button", { class: "round", type: "button", onclick: () => { this.stopEditing(); this.#text.focus(); } }, icon("close"));
    stop.ariaLabel = stop.title = word("cancel");
    find("editing").replaceChildren(icon("edit"), make("span", {}, make("b", {}, word("editing")), make("br"), message.text), stop);
    find("editing").hidden = false;
    this.write(message.text);
  }

  stopEditing() {
    if (!this.#editing) return;
    this.#editing = null;
    find("editing").hidden = true;
    this.write("", false);
  }

  async #submit() {
    const text = this.#text.value.trim();
    if (!text) return;
    const message = this.#editing;
    if (message) this.stopEditing();
    else this.write("");
    try {
      await (message ? this.#hooks.edit(message, text) : this.#hooks.send(text));
    } catch {
      // Nothing the person typed is lost when it could not be sent.
      if (this.empty) this.write(text);
    }
  }

  #typed() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, 150)}px`;
    const start = /^\/(\w*)$/.exec(this.#text.value);
    this.#found = start && !this.#editing
      ? this.#snapshot.commands.filter(({ command }) => command.startsWith(start[1].toLowerCase())) : [];
    this.#chosen = 0;
    if (this.#found.length && document.activeElement === this.#text) this.#offer();
    else this.#close();
  }

  #offer() {
    this.#list.hidden = false;
    this.#list.replaceChildren(...this.#found.map(({ command, description }, index) => make("li", {
      id: `command-${command}`, role: "option", "aria-selected": String(index === this.#chosen),
      onclick: () => this.#take(index),
    }, make("b", {}, `/${command}`), make("span", { class: "soft" }, description))));
    const now = this.#list.children[this.#chosen];
    this.#text.setAttribute("aria-activedescendant", now.id);
    now.scrollIntoView({ block: "nearest" });
  }

  #close() {
    this.#list.hidden = true;
    this.#text.removeAttribute("aria-activedescendant");
  }

  #take(index) {
    const { command } = this.#found[index];
    this.#text.value = `/${command}`;
    this.#close();
    this.#submit();
  }

  #key(event) {
    const listed = !this.#list.hidden;
    if (event.isComposing) return;
    if (listed && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const by = event.key === "ArrowDown" ? 1 : -1;
      this.#chosen = (this.#chosen + by + this.#found.length) % this.#found.length;
      this.#offer();
    } else if (event.key === "Escape" && (listed || this.#editing)) {
      if (listed) this.#close();
      else this.stopEditing();
    } else if (event.key === "Enter" && !event.shiftKey) {
      if (listed) this.#take(this.#chosen);
      else this.#submit();
    } else if (event.key === "ArrowUp" && this.empty) {
      const own = this.#snapshot.messages.filter((message) => message.editable).at(-1);
      if (!own) return;
      this.startEditing(own);
    } else return;
    event.preventDefault();
  }

  #lay(keyboard, other) {
    const keys = keyboard ? JSON.stringify([keyboard.rows, this.#snapshot.person]) : "";
    this.#toggle.hidden = !keyboard;
    if (keys !== this.#keys) {
      this.#keys = keys;
      const inside = this.#keyboard.contains(document.activeElement);
      this.#keyboard.replaceChildren(...(keyboard?.rows ?? []).map((row) => make("div", { class: "row" },
        ...row.map((key) => make("button", { type: "button", class: "key", onclick: () => this.#hooks.tap(key) },
          make("span", {}, key.label))))));
      this.#unfold(Boolean(keyboard));
      if (inside && !other) this.focus();
    } else this.#unfold(this.#open && Boolean(keyboard));
  }

  #unfold(open) {
    this.#open = open;
    this.#keyboard.hidden = !open;
    this.#toggle.ariaExpanded = String(open);
    this.#toggle.ariaLabel = this.#toggle.title = word(open ? "keyboardHide" : "keyboardShow");
  }
}
