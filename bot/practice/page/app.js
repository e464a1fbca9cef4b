// The practice page: one snapshot comes in, every part shows its share of it.

import { Calls } from "./calls.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { alertBox, confirmBox, toast } from "./dialogs.js";
import { find, icon, make } from "./dom.js";
import { payloadOf } from "./links.js";
import { People } from "./people.js";
import { Phone } from "./phone.js";
import { startTheme } from "./theme.js";
import { Views } from "./views.js";
import { prettyNumber, speak, word } from "./words.js";

let snapshot = null;

const connection = new Connection({ state: show, toast: answered, away });
const views = new Views({ moved: () => phone.moved() });
const chat = new Chat({
  link: openLink,
  command: (text) => act("send", { text }),
  press: (message, index) => act("press", { message: message.id, index }),
  edit: (message) => startEditing(message),
  remove: (message) => quietly("delete", { message: message.id }),
});
const composer = new Composer({
  send: (text) => {
    chat.toEnd();
    return act("send", { text });
  },
  edit: (message, text) => act("edit", { message: message.id, text }),
  tap,
  start: () => quietly("start"),
  unblock: () => quietly("unblock"),
});
const phone = new Phone({ code: takeCode, seen: () => views.shows("phone") });
const calls = new Calls({ reveal: () => views.go("calls") });
const people = new People({ become, act: quietly, tryAct, edit: startEditing });
const theme = startTheme();

function show(next) {
  const first = snapshot === null;
  const focused = document.activeElement;
  snapshot = next;
  speak(me().language);
  theme.relabel();
  tellWhatLeaves(next.gateways);
  views.show(next);
  chat.show(next);
  composer.show(next);
  phone.show(next);
  calls.show(next);
  people.show(next);
  history.replaceState(null, "", `?person=${next.person}`);
  if (first) document.body.classList.add("ready");
  // What had the focus is gone (a button the bot took away, the Start button): the person goes on writing. Not where
  // that would open a keyboard over half of the screen.
  const lost = !focused.isConnected || (focused !== document.body && focused.getClientRects().length === 0);
  if (lost && views.shows("chat") && !matchMedia("(pointer: coarse)").matches) composer.focus();
}

// With SMS_GATEWAYS set, the note of the page would promise what is not so.
function tellWhatLeaves(gateways) {
  if (gateways.length === 0) return;
  find("note").textContent = word("noteGateways", { gateways: gateways.join(", ") });
}

const me = () => snapshot.people.find((one) => one.id === snapshot.person);

function tryAct(name, details = {}, person = connection.person) {
  return connection.act(name, { ...details, person });
}

// Acts, and says what was refused; the error goes on to whom it may concern.
async function act(name, details) {
  try {
    return await tryAct(name, details);
  } catch (error) {
    toast(error.message, true);
    throw error;
  }
}

// The same for who has nothing left to do when it was refused.
async function quietly(name, details) {
  return act(name, details).catch(() => null);
}

async function tap(key) {
  if (!key.contact) return quietly("tap", { label: key.label });
  const text = word("contactText", { bot: snapshot.bot.name, number: prettyNumber(me().phone) });
  if (await confirmBox(word("contactAsk"), text, word("share"))) await quietly("contact");
}

function openLink(url) {
  const payload = payloadOf(url, snapshot.bot.username);
  if (payload === null) return false;
  quietly("start", { payload });
  return true;
}

function startEditing(message) {
  views.go("chat");
  composer.startEditing(message);
}

async function takeCode(code) {
  views.go("chat");
  composer.write(code);
  // A browser may refuse the clipboard; the field has the code all the same.
  await navigator.clipboard?.writeText(code).catch(() => {});
  toast(word("copied"));
}

function answered({ text, alert }) {
  if (alert) alertBox(snapshot.bot.name, text);
  else toast(text);
}

function become(person) {
  views.go("chat");
  if (person !== connection.person) connection.open(person);
}

function away(lost) {
  const line = find("away");
  if (line.hidden === !lost) return;
  line.hidden = !lost;
  line.replaceChildren(...(lost ? [icon("alert"), make("span", {}, word("away"))] : []));
}

speak(navigator.language);
const asked = Number(new URLSearchParams(location.search).get("person"));
connection.open(asked || null);
