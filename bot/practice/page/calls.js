// What the bot calls and what Telegram answers: for who changes a text or a button and wants to see a mistake at once.

import { find, icon, make } from "./dom.js";
import { arrange } from "./chat.js";
import { exactTime, word } from "./words.js";

export class Calls {
  #list = find("call-list");
  #rows = new Map();
  #known = null;
  #hooks;

  // hooks: {reveal(): brings the panel to the screen}
  constructor(hooks) {
    this.#hooks = hooks;
    find("only-refused").addEventListener("change", (event) => {
      this.#list.classList.toggle("only-refused", event.target.checked);
    });
    find("refused-badge").addEventListener("click", () => {
      hooks.reveal();
      const row = this.#list.querySelector(".refused summary");
      row?.scrollIntoView({ block: "nearest" });
      row?.focus();
    });
  }

  show({ calls }) {
    const refused = calls.filter((call) => !call.ok);
    const language = document.documentElement.lang;
    for (const id of this.#rows.keys()) if (!calls.some((call) => call.id === id)) this.#rows.delete(id);
    const wanted = calls.map((call) => {
      if (this.#rows.get(call.id)?.dataset.language !== language) this.#rows.set(call.id, row(call, language));
      return this.#rows.get(call.id);
    }).reverse();
    arrange(this.#list, wanted.length ? wanted : [make("li", { class: "empty" }, word("noCalls"))]);
    this.#tell(refused);
  }

  #tell(refused) {
    const count = find("refused-count");
    const badge = find("refused-badge");
    count.hidden = badge.hidden = refused.length === 0;
    count.textContent = String(refused.length);
    badge.replaceChildren(icon("alert"), make("span", { class: "long" }, word("refusedBadge")), String(refused.length));
    badge.ariaLabel = `${word("refusedBadge")} ${refused.length}`;
    document.title = refused.length ? `(${refused.length}) ${word("brand")}` : word("brand");
    const news = refused.filter((call) => this.#known && !this.#known.has(call.id)).at(-1);
    if (news) find("call-news").textContent = word("refusedNews", news);
    this.#known = new Set(refused.map((call) => call.id));
  }
}

function row(call, language) {
  const about = call.ok ? call.via : `${call.code} · ${call.via}`;
  const summary = make("summary", {},
    make("span", { class: "method" }, call.method),
    make("span", { class: call.ok ? "soft" : "verdict" }, call.ok ? about : `${word("refused")} ${about}`),
    make("time", { class: "soft", datetime: call.at }, exactTime(call.at)),
    call.ok ? null : make("span", { class: "why" }, call.description));
  const details = make("details", {}, summary);
  // Built when it is first looked at: a hundred calls are a lot of text.
  details.addEventListener("toggle", () => {
    if (details.children.length === 1) details.append(make("pre", { class: "json", tabindex: "0", "aria-label": word("parameters") },
      JSON.stringify(readable(call.parameters), null, 2)));
  }, { once: true });
  return make("li", { class: call.ok ? "call" : "call refused", "data-language": language }, details);
}

// Keyboards and entities travel as JSON inside strings; they are read as what they are.
function readable(value) {
  if (typeof value === "string" && /^[[{]/.test(value)) {
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  }
  if (Array.isArray(value)) return value.map(readable);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, readable(one)]));
  return value;
}
