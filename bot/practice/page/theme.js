// Light and dark: the system's choice until the person makes one.

import { find, icon } from "./dom.js";
import { word } from "./words.js";

const KEY = "practice-theme";

export function startTheme() {
  const button = find("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = read();
  const dark = () => (chosen ?? (system.matches ? "dark" : "light")) === "dark";
  const relabel = () => {
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.replaceChildren(icon(dark() ? "sun" : "moon"));
    button.ariaLabel = button.title = word(dark() ? "themeLight" : "themeDark");
  };
  button.addEventListener("click", () => {
    chosen = dark() ? "light" : "dark";
    write(chosen);
    relabel();
  });
  system.addEventListener("change", relabel);
  relabel();
  return { relabel };
}

// Where the browser keeps nothing for this page, the choice lasts until it is reloaded.
function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function write(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    return;
  }
}
