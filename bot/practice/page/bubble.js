// One message: its bubble, what is in it, the buttons under it.

import { formatted, hiddenText, icon, make } from "./dom.js";
import { menu } from "./dialogs.js";
import { prettyNumber, word } from "./words.js";

// Milliseconds until the snapshot behind an act is here for certain.
const SETTLES = 120;

export class Bubble {
  #hooks;
  #shown = "";
  #body = "";
  #message = null;
  #buttons = [];
  #content = make("div", { class: "bubble" });
  #rows = make("div", { class: "buttons", role: "group" });
  #more = make("button", { class: "more", type: "button", tabindex: "-1" }, icon("more"));

  // hooks: {link(url) -> whether the page opened it itself, command(text), press(message, index), edit(message),
  // remove(message)}
  constructor(hooks) {
    this.#hooks = hooks;
    this.node = make("article", { tabindex: "-1" }, this.#content, this.#more, this.#rows);
    this.#more.addEventListener("click", () => this.#menu());
    this.node.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      this.#menu(event.clientX || event.clientY ? [event.clientX, event.clientY] : null);
    });
    this.node.addEventListener("keydown", (event) => {
      if (event.target !== this.node || event.key !== "Enter") return;
      event.preventDefault();
      this.#menu();
    });
  }

  show(message, time, { first, last }) {
    const language = document.documentElement.lang;
    const now = JSON.stringify([message, time, first, last, language]);
    if (now === this.#shown) return;
    this.#shown = now;
    this.#message = message;
    const mine = message.from === "me";
    this.node.className = ["message", mine ? "mine" : "bot", first ? "first" : "", last ? "last" : ""].join(" ").trim();
    this.node.dataset.id = message.id;
    this.node.ariaLabel = `${word(mine ? "me" : "bot")}, ${time}`;
    this.#more.ariaLabel = this.#more.title = word("menu");
    const body = JSON.stringify([{ ...message, buttons: null }, time, language]);
    if (body !== this.#body) this.#content.replaceChildren(...this.#parts(message, time));
    this.#body = body;
    this.#keys(message.buttons ?? []);
  }

  #parts(message, time) {
    const parts = [];
    if (message.photo) parts.push(make("a", { href: message.photo, target: "_blank", rel: "noopener" },
      make("img", { class: "photo", src: message.photo, alt: word("photo") })));
    if (message.file) parts.push(make("a", { class: "attached", href: message.file.url, download: message.file.name },
      make("span", { class: "disc" }, icon("file")), make("span", {}, hiddenText(word("file")), message.file.name)));
    if (message.contact) parts.push(make("p", { class: "attached" },
      make("span", { class: "disc" }, icon("contact")),
      make("span", {}, hiddenText(word("contact")), make("b", {}, message.contact.name), make("br"), prettyNumber(message.contact.phone))));
    if (message.sticker) parts.push(make("p", { class: "sticker", role: "img", "aria-label": word("sticker") }, icon("sticker")));
    if (message.voice) parts.push(make("p", { class: "attached" }, make("span", { class: "disc" }, icon("voice")),
      make("span", { class: "wave", role: "img", "aria-label": word("voiceLength") }), make("span", { class: "soft" }, "0:03")));
    const meta = make("span", { class: "meta" }, message.edited ? make("span", {}, `${word("edited")} `) : null,
      make("time", { datetime: message.at }, time));
    if (message.html) parts.push(make("div", { class: "text" }, formatted(message.html, this.#hooks), meta));
    else parts.push(meta);
    return [hiddenText(`${word(message.from === "me" ? "me" : "bot")}: `), ...parts];
  }

  // Buttons are changed in place where they can be: the focus stays on the one that was pressed.
  #keys(rows) {
    this.#rows.ariaLabel = word("buttons");
    this.#rows.hidden = rows.length === 0;
    const flat = rows.flat();
    const shape = JSON.stringify(rows.map((row) => row.map((button) => button.kind)));
    if (this.#rows.dataset.shape !== shape) {
      this.#rows.dataset.shape = shape;
      this.#buttons = flat.map((button) => this.#key(button));
      let next = 0;
      this.#rows.replaceChildren(...rows.map((row) =>
        make("div", { class: "row" }, ...row.map(() => this.#buttons[next++]))));
    }
    flat.forEach((button, index) => dress(this.#buttons[index], button));
  }

  #key(button) {
    if (button.kind === "url") {
      const node = make("a", { class: "key", target: "_blank", rel: "noopener noreferrer" });
      node.addEventListener("click", (event) => {
        if (this.#hooks.link(node.href)) event.preventDefault();
      });
      return node;
    }
    const node = make("button", { class: "key", type: "button" });
    node.addEventListener("click", () => {
      if (node.ariaBusy === "true") return;
      node.ariaBusy = "true";
      // Once the server knows of the press, its snapshots say whether the bot has answered.
      const settle = () => setTimeout(() => { node.ariaBusy = node.dataset.busy; }, SETTLES);
      this.#hooks.press(this.#message, Number(node.dataset.index)).then(settle, settle);
    });
    return node;
  }

  #menu(at = null) {
    const message = this.#message;
    const items = [];
    if (message.editable) items.push({ icon: "edit", label: word("edit"), run: () => this.#hooks.edit(message) });
    if (message.text) items.push({ icon: "copy", label: word("copy"), run: () => navigator.clipboard?.writeText(message.text) });
    items.push({ icon: "delete", label: word("delete"), danger: true, run: () => this.#hooks.remove(message) });
    menu(items, this.#content, at);
  }
}

function dress(node, button) {
  const now = JSON.stringify([button, document.documentElement.lang]);
  if (node.dataset.now === now) return;
  node.dataset.now = now;
  node.dataset.index = button.index;
  node.replaceChildren(make("span", {}, button.label));
  if (button.kind === "url") {
    node.href = button.url;
    node.append(icon("out"), hiddenText(`, ${word("opensNew")}`));
    return;
  }
  node.ariaBusy = node.dataset.busy = String(button.busy);
  if (button.busy) node.append(hiddenText(`, ${word("pressed")}`));
  node.append(make("span", { class: "spinner", "aria-hidden": "true" }));
}
