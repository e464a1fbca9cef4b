// Who one can be: the list of people, and the odd things a person may do to a bot.

import { arrange } from "./chat.js";
import { chooseBox, formBox } from "./dialogs.js";
import { find, hue, icon, initial, make } from "./dom.js";
import { languageName, prettyNumber, word } from "./words.js";

// The last two have no catalogue: the bot falls back to its default language.
const LANGUAGES = ["ru", "en", "kk", "de"];

export class People {
  #rows = new Map();
  #hooks;
  #snapshot = null;

  // hooks: {become(person), act(name, details) -> promise, edit(message), view(name)}
  constructor(hooks) {
    this.#hooks = hooks;
    find("add-person").addEventListener("click", () => this.#add());
  }

  show(snapshot) {
    this.#snapshot = snapshot;
    const language = document.documentElement.lang;
    const wanted = snapshot.people.map((person) => {
      const now = JSON.stringify([person, person.id === snapshot.person, language]);
      const known = this.#rows.get(person.id);
      if (known?.dataset.now === now) return known;
      const focused = known?.contains(document.activeElement) ? [...known.querySelectorAll("button")].indexOf(document.activeElement) : -1;
      const made = this.#row(person, person.id === snapshot.person, now);
      this.#rows.set(person.id, made);
      if (focused >= 0) requestAnimationFrame(() => made.querySelectorAll("button")[focused]?.focus());
      return made;
    });
    arrange(find("person-list"), wanted);
    this.#tools();
  }

  #row(person, chosen, now) {
    const change = make("button", { type: "button", class: "round", onclick: () => this.#change(person) }, icon("edit"));
    change.ariaLabel = change.title = word("changePerson", { name: person.name });
    const last = person.blocked ? word("blocked") : person.last;
    const become = make("button", { type: "button", class: "person", "aria-current": chosen ? "true" : null, onclick: () => this.#hooks.become(person.id) },
      make("span", { class: "avatar", "data-hue": hue(person.id), "aria-hidden": "true" }, initial(person.name)),
      make("span", { class: "person-about" },
        make("span", { class: "person-name" }, make("b", {}, person.name), make("span", { class: "chip" }, person.language || "–")),
        make("span", { class: "soft" }, prettyNumber(person.phone)),
        last ? make("span", { class: "soft person-last" }, last) : null));
    return make("li", { class: chosen ? "now" : "", "data-now": now }, become, change);
  }

  #tools() {
    const me = this.#snapshot.people.find((one) => one.id === this.#snapshot.person);
    const act = (name) => () => this.#hooks.act(name);
    const tools = [
      ["contact", "anotherPerson", act("foreign_contact")],
      ["forward", "forwardedContact", act("forwarded_contact")],
      ["sticker", "sticker", act("sticker")],
      ["voice", "voice", act("voice")],
      ["old", "oldButton", () => this.#pressOld()],
      ["edit", "editOlder", () => this.#editOlder()],
      ["link", "link", () => this.#link()],
      ["block", me.blocked ? "unblock" : "block", act(me.blocked ? "unblock" : "block")],
    ];
    const now = JSON.stringify([me.blocked, document.documentElement.lang]);
    const box = find("odd");
    if (box.dataset.now === now) return;
    box.dataset.now = now;
    tools.forEach(([picture, name, run], index) => {
      const button = box.children[index] ?? box.appendChild(make("button", { type: "button", class: "tool" }));
      button.replaceChildren(icon(picture), make("span", {}, word(name)));
      button.onclick = run;
    });
  }

  async #pressOld() {
    const items = this.#snapshot.old_buttons.map((button) => ({ label: button.label, value: button }));
    const old = await chooseBox(word("oldButton"), word("oldButtonText"), items.reverse(), word("noOld"));
    if (old) await this.#hooks.act("press_old", { message: old.message, index: old.index });
  }

  async #editOlder() {
    const own = this.#snapshot.messages.filter((message) => message.editable).reverse();
    const items = own.map((message) => ({ label: message.text, value: message }));
    const message = await chooseBox(word("editOlder"), "", items, word("noEditable"));
    if (message) this.#hooks.edit(message);
  }

  async #link() {
    const fields = [{ name: "payload", label: `t.me/${this.#snapshot.bot.username}?start=`, hint: word("linkHint") }];
    await formBox(word("link"), fields, word("open"),
      ({ payload }) => this.#hooks.tryAct("start", { payload }), word("linkText"));
  }

  async #add() {
    const fields = [{ name: "name", label: word("name"), value: "" }, ...this.#details({ language: document.documentElement.lang, phone: "+7" })];
    const answer = await formBox(word("addPerson"), fields, word("addPerson"), (values) => {
      if (!values.name) throw new Error(word("badName"));
      return this.#hooks.tryAct("add_person", this.#checked(values));
    });
    if (answer) this.#hooks.become(answer.person);
  }

  async #change(person) {
    await formBox(word("changePerson", { name: person.name }), this.#details(person), word("save"),
      (values) => this.#hooks.tryAct("change_person", this.#checked(values, person), person.id));
  }

  // The server looks at all of this again; here it is said in the page's language.
  #checked(values, owner = null) {
    const phone = values.phone.replace(/[\s().-]/g, "");
    if (!/^\+[1-9][0-9]{6,14}$/.test(phone)) throw new Error(word("badNumber"));
    const holder = this.#snapshot.people.find((one) => one.phone === phone && one.id !== owner?.id);
    if (holder) throw new Error(word("numberHeld", { name: holder.name }));
    return { ...values, phone };
  }

  #details({ language, phone }) {
    const codes = LANGUAGES.includes(language ?? "") ? LANGUAGES : [language, ...LANGUAGES];
    return [
      { name: "language", label: word("language"), value: language ?? "", options: codes.map((code) => [code, languageName(code)]) },
      { name: "phone", label: word("phoneNumber"), type: "tel", value: phone },
    ];
  }
}
