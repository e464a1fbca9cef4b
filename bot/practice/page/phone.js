// The phone beside the chat: SMS as they arrive, and their codes with one tap into the chat.

import { find, icon, make } from "./dom.js";
import { arrange } from "./chat.js";
import { clockTime, prettyNumber, word } from "./words.js";

// How long the banner stays on a screen that shows no phone, in milliseconds.
const BANNER = 12000;

export class Phone {
  #inbox = find("inbox");
  #cards = new Map();
  #first = true;
  #hiding = 0;
  #hooks;

  // hooks: {code(code): puts it into the chat, seen() -> whether the phone is on the screen}
  constructor(hooks) {
    this.#hooks = hooks;
  }

  show({ phone, people, person }) {
    const me = people.find((one) => one.id === person);
    find("phone-number").textContent = word("phoneOf", { name: me.name, number: prettyNumber(me.phone) });
    const fresh = this.#first ? [] : phone.filter((sms) => !this.#cards.has(sms.id));
    this.#first = false;
    const language = document.documentElement.lang;
    for (const id of this.#cards.keys()) if (!phone.some((sms) => sms.id === id)) this.#cards.delete(id);
    const wanted = phone.map((sms) => {
      const owner = people.find((one) => digits(one.phone) === digits(sms.number));
      const now = JSON.stringify([sms, owner?.name, language]);
      if (this.#cards.get(sms.id)?.dataset.now !== now) this.#cards.set(sms.id, this.#card(sms, owner, now));
      this.#cards.get(sms.id).classList.toggle("fresh", fresh.includes(sms));
      return this.#cards.get(sms.id);
    });
    arrange(this.#inbox, wanted.length ? wanted.reverse() : [make("li", { class: "empty" }, word("noSms"))]);
    if (fresh.length && !this.#hooks.seen()) this.#banner(fresh.at(-1));
  }

  // Whoever looks at the phone itself needs no banner.
  moved() {
    if (this.#hooks.seen()) find("sms-banner").replaceChildren();
  }

  #card(sms, owner, now) {
    return make("li", { class: "sms", "data-now": now },
      make("p", { class: "sms-top" }, make("b", {}, prettyNumber(sms.number)), make("time", { datetime: sms.at }, clockTime(sms.at))),
      owner ? make("p", { class: "soft" }, word("smsFor", { name: owner.name })) : null,
      make("p", { class: "sms-text" }, sms.text),
      sms.code ? make("button", {
        type: "button", class: "code", "aria-label": word("code", { code: [...sms.code].join(" ") }), title: word("code", { code: sms.code }),
        onclick: () => this.#hooks.code(sms.code),
      }, make("span", { class: "digits" }, sms.code), icon("copy"), make("span", {}, word("copyCode"))) : null);
  }

  #banner(sms) {
    const banner = find("sms-banner");
    const hide = () => banner.replaceChildren();
    clearTimeout(this.#hiding);
    this.#hiding = setTimeout(hide, BANNER);
    const close = make("button", { type: "button", class: "round", onclick: hide }, icon("close"));
    close.ariaLabel = close.title = word("close");
    banner.replaceChildren(make("div", { class: "banner-card" }, icon("phone"),
      make("p", {}, make("b", {}, word("newSms", { number: prettyNumber(sms.number) })), make("br"), sms.text),
      sms.code ? make("button", { type: "button", class: "button first", onclick: () => { hide(); this.#hooks.code(sms.code); } },
        word("smsInsert", { code: sms.code })) : null, close));
  }
}

const digits = (number) => (number ?? "").replace(/\D/g, "");
