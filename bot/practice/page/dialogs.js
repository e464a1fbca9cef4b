// What stands in front of the page: dialogs, menus, toasts.

import { find, hiddenText, icon, make } from "./dom.js";
import { word } from "./words.js";

let titles = 0;

// Shows a dialog and returns what `close(value)` was called with, null when it was left by Esc.
// build(close) -> nodes of the body; `role`: "alertdialog" for what must be read.
function dialog(title, build, role = "dialog") {
  return new Promise((resolve) => {
    const id = `dialog-${++titles}`;
    const box = make("dialog", { role, "aria-labelledby": id, class: "dialog" });
    let value = null;
    const close = (chosen) => {
      value = chosen;
      box.close();
    };
    box.append(make("h2", { id }, title), ...build(close));
    box.addEventListener("click", (event) => {
      if (event.target === box && role !== "alertdialog") box.close();
    });
    box.addEventListener("close", () => {
      box.remove();
      resolve(value);
    });
    document.body.append(box);
    box.showModal();
  });
}

const closing = (close, value, label, kind) =>
  make("button", { type: "button", class: `button ${kind}`, onclick: () => close(value) }, label);

// A bot's alert: its words, and one way on.
export function alertBox(title, text) {
  return dialog(title, (close) => {
    const ok = closing(close, true, word("ok"), "first");
    ok.autofocus = true;
    return [make("p", { class: "dialog-text" }, text), make("div", { class: "dialog-ways" }, ok)];
  }, "alertdialog");
}

export function confirmBox(title, text, yes) {
  return dialog(title, (close) => {
    const ok = closing(close, true, yes, "first");
    ok.autofocus = true;
    const ways = make("div", { class: "dialog-ways" }, closing(close, null, word("cancel"), ""), ok);
    return [make("p", { class: "dialog-text" }, text), ways];
  });
}

// items: [{label, note, value}]; `empty` is said when there are none.
export function chooseBox(title, text, items, empty) {
  return dialog(title, (close) => {
    const list = make("ul", { class: "choices" }, ...items.map((item) => make("li", {},
      make("button", { type: "button", class: "choice", onclick: () => close(item.value) },
        make("span", {}, item.label), item.note ? make("span", { class: "soft" }, item.note) : null))));
    const body = items.length ? [text ? make("p", { class: "dialog-text" }, text) : "", list]
      : [make("p", { class: "dialog-text" }, empty)];
    return [...body, make("div", { class: "dialog-ways" }, closing(close, null, word("close"), ""))];
  });
}

// fields: [{name, label, value, type, options: [[value, label]], required, hint}]; save(values) may throw: its message
// is shown in the dialog, which stays. Returns what save returned, null when it was left.
export function formBox(title, fields, submit, save, text = "") {
  return dialog(title, (close) => {
    const failed = make("p", { class: "failed", role: "alert", hidden: true });
    const inputs = fields.map((field) => [field.name, fieldOf(field)]);
    const form = make("form", { class: "form", novalidate: true },
      text ? make("p", { class: "dialog-text" }, text) : null,
      ...inputs.map(([, parts]) => parts.label), failed,
      make("div", { class: "dialog-ways" }, closing(close, null, word("cancel"), ""),
        make("button", { type: "submit", class: "button first" }, submit)));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        close(await save(Object.fromEntries(inputs.map(([name, parts]) => [name, parts.input.value.trim()]))));
      } catch (error) {
        failed.hidden = false;
        failed.textContent = error.message;
      }
    });
    return [form];
  });
}

function fieldOf(field) {
  const id = `field-${++titles}`;
  const input = field.options
    ? make("select", { id }, ...field.options.map(([value, label]) =>
      make("option", { value, selected: value === field.value }, label)))
    : make("input", { id, type: field.type ?? "text", value: field.value ?? "", spellcheck: "false" });
  return { input, label: make("div", { class: "field" }, make("label", { for: id }, field.label), input,
    field.hint ? make("p", { class: "soft" }, field.hint) : null) };
}

// A menu at a point or under an element. items: [{icon, label, run, danger}]
export function menu(items, near, at = null) {
  closeMenu();
  const back = document.activeElement;
  const entries = items.map((item) => make("button", {
    type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "bad" : "",
    onclick: () => { closeMenu(); back?.focus(); item.run(); },
  }, icon(item.icon), item.label));
  const box = make("div", { class: "menu", role: "menu", "aria-label": word("menu") }, ...entries);
  const keys = (event) => {
    const now = entries.indexOf(document.activeElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) entries.at(to % entries.length).focus();
    else if (event.key === "Escape" || event.key === "Tab") { closeMenu(); back?.focus(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  box.addEventListener("keydown", keys);
  document.body.append(box);
  const place = near.getBoundingClientRect();
  const [x, y] = at ?? [place.left, place.bottom];
  box.style.left = `${Math.max(8, Math.min(x, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(8, Math.min(y, innerHeight - box.offsetHeight - 8))}px`;
  entries[0].focus();
  document.addEventListener("pointerdown", outside, true);
}

function outside(event) {
  if (!event.target.closest(".menu")) closeMenu();
}

function closeMenu() {
  document.removeEventListener("pointerdown", outside, true);
  document.querySelector(".menu")?.remove();
}

// A line that fades; `bad`: something was refused, read out at once.
export function toast(text, bad = false) {
  const made = make("p", { class: bad ? "toast bad" : "toast", role: bad ? "alert" : "status" },
    bad ? icon("alert") : "", bad ? hiddenText(word("refused")) : "", text);
  find("toasts").append(made);
  const shown = 3200 + 30 * text.length;
  setTimeout(() => made.classList.add("going"), shown);
  setTimeout(() => made.remove(), shown + 400);
  while (find("toasts").children.length > 3) find("toasts").firstChild.remove();
}
