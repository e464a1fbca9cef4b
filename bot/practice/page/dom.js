// Small tools for the document: making elements, icons, and safe formatted text.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

// make("button", {class: "x", type: "button", onclick: f, hidden: false}, child, "text")
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(name) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  picture.append(use);
  return picture;
}

export const hiddenText = (text) => make("span", { class: "sr" }, text);

// The same colour for the same person, of six that stand out from both backgrounds.
export const hue = (id) => String(Math.abs(Number(id)) % 6);

export const initial = (name) => [...(name || "?")][0].toUpperCase();

// Nodes of a message's HTML. Only the tags Telegram shows pass, whatever the server sent.
// `hooks.link(url)` tells whether the page opens the address itself; `hooks.command(text)` sends a command.
export function formatted(html, hooks) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const result = document.createDocumentFragment();
  copy(parsed.body, result, hooks);
  return result;
}

const PLAIN = new Set(["B", "I", "U", "S", "CODE", "PRE", "BLOCKQUOTE", "BR"]);

function copy(from, to, hooks) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE) continue;
    const made = element(node, hooks);
    copy(node, made ?? to, hooks);
    if (made) to.append(made);
  }
}

function element(node, hooks) {
  if (PLAIN.has(node.tagName)) return document.createElement(node.tagName);
  if (node.tagName === "A" && node.classList.contains("command")) return command(node.textContent, hooks);
  if (node.tagName === "A") return link(node.getAttribute("href") ?? "", hooks);
  if (node.tagName === "SPAN" && node.classList.contains("spoiler")) return spoiler();
  return null;
}

const command = (text, hooks) => make("button", { type: "button", class: "command", onclick: () => hooks.command(text) });

function link(url, hooks) {
  if (!/^(https?|mailto|tel|tg):/i.test(url)) return null;
  const made = make("a", { href: url, target: "_blank", rel: "noopener noreferrer" });
  made.addEventListener("click", (event) => {
    if (hooks.link(url)) event.preventDefault();
  });
  return made;
}

function spoiler() {
  const made = make("span", { class: "spoiler", role: "button", tabindex: "0", "aria-label": "…" });
  const show = (event) => {
    if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
    made.classList.add("shown");
    for (const name of ["role", "tabindex", "aria-label"]) made.removeAttribute(name);
  };
  made.addEventListener("click", show);
  made.addEventListener("keydown", show);
  return made;
}
