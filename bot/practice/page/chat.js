// The conversation: messages as they stand now, kept in step with each snapshot without losing focus or place.

import { Bubble } from "./bubble.js";
import { find, hue, icon, initial, make } from "./dom.js";
import { clockTime, dayName, prettyNumber, word } from "./words.js";

// Pixels from the end that still count as reading the newest message.
const AT_END = 80;
// Messages of one sender this close together are one group with one tail.
const GROUP = 5 * 60 * 1000;

export class Chat {
  #log = find("log");
  #jump = find("jump");
  #bubbles = new Map();
  #person = null;
  #unread = 0;
  // Whether the newest message is being read, so that the next one may push it up.
  #follow = true;
  #top = 0;
  #hooks;

  // hooks: see Bubble
  constructor(hooks) {
    this.#hooks = hooks;
    this.#jump.addEventListener("click", () => this.toEnd());
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#log.addEventListener("keydown", (event) => this.#walk(event));
    // A picture takes its room only when it has come; its event does not bubble.
    this.#log.addEventListener("load", () => this.#follow && this.toEnd(), { capture: true });
    // What opens under the log (keyboards, the phone's own keys) must not hide the newest message.
    new ResizeObserver(() => this.#follow && this.toEnd()).observe(this.#log);
  }

  show(snapshot) {
    const other = this.#person !== snapshot.person;
    this.#follow ||= other;
    if (other) this.#clear(snapshot.person);
    this.#about(snapshot);
    const fresh = this.#lay(snapshot.messages);
    if (this.#follow) this.toEnd();
    else if (fresh) this.#count(this.#unread + fresh);
    // A whole history that appears at once is no news to be read out.
    if (other) setTimeout(() => { this.#log.ariaBusy = "false"; });
  }

  toEnd() {
    this.#follow = true;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop;
    this.#count(0);
  }

  #clear(person) {
    this.#person = person;
    this.#log.ariaBusy = "true";
    this.#log.replaceChildren();
    this.#bubbles.clear();
    this.#count(0);
  }

  #about({ bot, people, person, messages }) {
    const me = people.find((one) => one.id === person);
    find("bot-name").textContent = bot.name;
    find("bot-user").textContent = `@${bot.username} · ${word("botIs")}`;
    find("bot-avatar").textContent = initial(bot.name);
    find("you").replaceChildren(
      make("span", { class: "avatar small", "data-hue": hue(me.id), "aria-hidden": "true" }, initial(me.name)),
      make("span", {}, `${word("me")}: ${me.name}`, make("br"), make("span", { class: "soft" }, prettyNumber(me.phone))));
    const welcome = find("welcome");
    welcome.hidden = messages.length > 0 || me.started;
    if (!welcome.hidden) {
      welcome.replaceChildren(make("span", { class: "avatar large" }, initial(bot.name)),
        make("h3", {}, word("welcomeTitle")), make("p", {}, word("welcome")));
    }
  }

  // Puts the elements in order; returns how many messages of the bot are new.
  #lay(messages) {
    const keys = new Set();
    const wanted = [];
    let fresh = 0;
    messages.forEach((message, index) => {
      const before = messages[index - 1];
      const day = dayName(message.at);
      if (!before || dayName(before.at) !== day) wanted.push(this.#separator(day));
      let bubble = this.#bubbles.get(message.id);
      if (!bubble) {
        bubble = new Bubble(this.#hooks);
        this.#bubbles.set(message.id, bubble);
        if (message.from === "bot") fresh += 1;
      }
      bubble.show(message, clockTime(message.at), { first: !near(before, message), last: !near(message, messages[index + 1]) });
      keys.add(message.id);
      wanted.push(bubble.node);
    });
    for (const [id, bubble] of this.#bubbles) {
      if (!keys.has(id)) {
        bubble.node.remove();
        this.#bubbles.delete(id);
      }
    }
    arrange(this.#log, wanted);
    return fresh;
  }

  #separator(day) {
    const known = [...this.#log.querySelectorAll(".day")].find((node) => node.textContent === day);
    return known ?? make("p", { class: "day" }, make("span", {}, day));
  }

  #scrolled() {
    // A log that another part covers has no place to be at.
    if (!this.#log.clientHeight) return;
    // Only going up stops the following: the log also scrolls, and its end moves, when something opens below it.
    if (this.#atEnd()) this.#follow = true;
    else if (this.#log.scrollTop < this.#top) this.#follow = false;
    this.#top = this.#log.scrollTop;
    this.#count(this.#follow ? 0 : this.#unread);
  }

  #atEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < AT_END;
  }

  #count(unread) {
    this.#unread = unread;
    this.#jump.hidden = !unread && this.#follow;
    this.#jump.replaceChildren(icon("down"), unread ? make("span", { class: "count" }, String(unread)) : "");
    this.#jump.ariaLabel = unread ? word("unread", { n: unread }) : word("jump");
  }

  // One Tab stop for all messages: arrows go from one to the next, Enter or the menu key opens what can be done.
  #walk(event) {
    const nodes = [...this.#log.querySelectorAll(".message")];
    const now = nodes.indexOf(document.activeElement);
    if (event.target !== this.#log && now < 0) return;
    const to = { ArrowUp: now < 0 ? nodes.length - 1 : now - 1, ArrowDown: now < 0 ? 0 : now + 1, Home: 0, End: nodes.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    nodes[Math.max(0, Math.min(to, nodes.length - 1))]?.focus();
  }
}

function near(one, next) {
  return Boolean(one && next) && one.from === next.from && dayName(one.at) === dayName(next.at)
    && new Date(next.at) - new Date(one.at) < GROUP;
}

// Makes `wanted` the children of `parent`; what stays in place is not touched, so it keeps its focus.
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const node of [...parent.childNodes]) if (!keep.has(node)) node.remove();
  wanted.forEach((node, index) => {
    if (parent.childNodes[index] !== node) parent.insertBefore(node, parent.childNodes[index] ?? null);
  });
}
