// What the page itself says, in the person's language: Russian, or English for everybody else.
// What the bot says comes from its catalogues and is never touched here.

const WORDS = {
  ru: {
    addPerson: "Добавить человека",
    anotherPerson: "Чужой контакт",
    away: "Связь с ботом потеряна. Страница подключится сама, как только он снова запустится.",
    badName: "Напишите имя.",
    badNumber: "Номер пишется с плюсом и кодом страны: от 7 до 15 цифр.",
    block: "Заблокировать бота",
    blocked: "Бот заблокирован",
    bot: "Бот",
    botIs: "бот",
    brand: "Тренировка",
    button: "Кнопка",
    buttons: "Кнопки под сообщением",
    call: "Вызов",
    calls: "Вызовы Bot API",
    callsShort: "Вызовы",
    cancel: "Отмена",
    change: "Изменить",
    changePerson: "Язык и номер: {name}",
    chat: "Чат",
    close: "Закрыть",
    code: "Код {code}: скопировать и вставить в чат",
    commands: "Команды бота",
    contact: "Контакт",
    contactAsk: "Поделиться номером телефона?",
    contactText: "Бот «{bot}» узнает Ваш номер {number}.",
    copied: "Код скопирован и вставлен в поле ввода",
    copy: "Копировать текст",
    copyCode: "Скопировать",
    delete: "Удалить",
    edit: "Изменить",
    editOlder: "Изменить старое сообщение",
    edited: "изменено",
    editing: "Изменение сообщения",
    file: "Файл",
    forwardedContact: "Пересланный контакт",
    inbox: "Сообщения SMS, новые сверху",
    jump: "К новым сообщениям",
    keyboard: "Клавиатура бота",
    keyboardHide: "Скрыть клавиатуру бота",
    keyboardShow: "Показать клавиатуру бота",
    language: "Язык в Telegram",
    languageUnknown: "не указан",
    link: "Ссылка на бота",
    linkHint: "Часть после ?start= может быть пустой",
    linkText: "Так приходят по приглашению или ссылке партнёра.",
    log: "Сообщения",
    me: "Вы",
    menu: "Действия с сообщением",
    name: "Имя",
    newSms: "Новое SMS на {number}",
    noCalls: "Бот ещё ничего не вызывал.",
    noEditable: "Своих сообщений, которые можно изменить, ещё нет.",
    noOld: "Исчезнувших кнопок пока нет: они появятся, когда бот изменит сообщение.",
    noSms: "Здесь появятся SMS с кодами.",
    note: "Это тренировка: ни одно сообщение не покидает этот компьютер.",
    noteGateways: "Тренировка, но SMS уходят по-настоящему: {gateways}.",
    notSent: "Бот не отвечает, ничего не отправлено.",
    numberHeld: "Этот номер уже у человека: {name}.",
    odd: "Попробовать необычное",
    ok: "ОК",
    oldButton: "Нажать старую кнопку",
    oldButtonText: "Этих кнопок в чате уже нет, но нажатие могло задержаться в пути.",
    onlyRefused: "только отказы",
    open: "Открыть",
    opensNew: "откроется в новой вкладке",
    parameters: "Параметры",
    people: "Люди",
    person: "{name}, {number}",
    phone: "Телефон",
    phoneNumber: "Номер телефона",
    phoneOf: "{name} · {number}",
    photo: "Фото от бота",
    pressed: "ждёт ответа бота",
    refused: "Отказ",
    refusedBadge: "Отказов:",
    refusedNews: "Telegram отказал: {method}: {description}",
    save: "Сохранить",
    send: "Отправить",
    share: "Поделиться",
    skip: "К сообщениям",
    smsFor: "для: {name}",
    smsInsert: "Вставить {code}",
    spoiler: "Скрытый текст",
    start: "Запустить",
    sticker: "Стикер",
    themeDark: "Тёмная тема",
    themeLight: "Светлая тема",
    today: "Сегодня",
    unblock: "Разблокировать",
    unread: "Новых сообщений: {n}",
    views: "Разделы",
    voice: "Голосовое",
    voiceLength: "Голосовое сообщение, 3 с",
    welcome: "Нажмите «Запустить», и бот напишет первым. SMS с кодом придёт на телефон рядом с чатом.",
    welcomeTitle: "Что умеет этот бот?",
    write: "Сообщение",
    yesterday: "Вчера",
  },
  en: {
    addPerson: "Add a person",
    anotherPerson: "Someone else's contact",
    away: "The connection to the bot is lost. The page reconnects by itself once the bot runs again.",
    badName: "Write a name.",
    badNumber: "A number is written with a plus and the country code: 7 to 15 digits.",
    block: "Block the bot",
    blocked: "The bot is blocked",
    bot: "Bot",
    botIs: "bot",
    brand: "Practice",
    button: "Button",
    buttons: "Buttons under the message",
    call: "Call",
    calls: "Bot API calls",
    callsShort: "Calls",
    cancel: "Cancel",
    change: "Change",
    changePerson: "Language and number: {name}",
    chat: "Chat",
    close: "Close",
    code: "Code {code}: copy it and put it into the chat",
    commands: "The bot's commands",
    contact: "Contact",
    contactAsk: "Share your phone number?",
    contactText: "The bot “{bot}” will know your number {number}.",
    copied: "Code copied and put into the message field",
    copy: "Copy text",
    copyCode: "Copy",
    delete: "Delete",
    edit: "Edit",
    editOlder: "Edit an older message",
    edited: "edited",
    editing: "Editing a message",
    file: "File",
    forwardedContact: "Forwarded contact",
    inbox: "Text messages, newest first",
    jump: "To the new messages",
    keyboard: "The bot's keyboard",
    keyboardHide: "Hide the bot's keyboard",
    keyboardShow: "Show the bot's keyboard",
    language: "Language in Telegram",
    languageUnknown: "not given",
    link: "A link to the bot",
    linkHint: "The part after ?start= may be empty",
    linkText: "This is how people come by an invitation or a partner's link.",
    log: "Messages",
    me: "You",
    menu: "What to do with the message",
    name: "Name",
    newSms: "New SMS to {number}",
    noCalls: "The bot has not called anything yet.",
    noEditable: "There are no own messages to edit yet.",
    noOld: "No button has gone yet: they appear here once the bot changes a message.",
    noSms: "SMS with codes will appear here.",
    note: "This is practice: no message leaves this machine.",
    noteGateways: "Practice, but SMS really leave through {gateways}.",
    notSent: "The bot does not answer, nothing was sent.",
    numberHeld: "{name} has this number already.",
    odd: "Try something odd",
    ok: "OK",
    oldButton: "Press an old button",
    oldButtonText: "These buttons are gone from the chat, but a press may have been late on its way.",
    onlyRefused: "refused only",
    open: "Open",
    opensNew: "opens in a new tab",
    parameters: "Parameters",
    people: "People",
    person: "{name}, {number}",
    phone: "Phone",
    phoneNumber: "Phone number",
    phoneOf: "{name} · {number}",
    photo: "Photo from the bot",
    pressed: "waits for the bot's answer",
    refused: "Refused",
    refusedBadge: "Refused:",
    refusedNews: "Telegram refused: {method}: {description}",
    save: "Save",
    send: "Send",
    share: "Share",
    skip: "To the messages",
    smsFor: "for {name}",
    smsInsert: "Insert {code}",
    spoiler: "Hidden text",
    start: "Start",
    sticker: "Sticker",
    themeDark: "Dark theme",
    themeLight: "Light theme",
    today: "Today",
    unblock: "Unblock",
    unread: "New messages: {n}",
    views: "Sections",
    voice: "Voice message",
    voiceLength: "Voice message, 3 s",
    welcome: "Press Start and the bot will write first. The SMS with the code arrives on the phone beside the chat.",
    welcomeTitle: "What can this bot do?",
    write: "Message",
    yesterday: "Yesterday",
  },
};

let language = "ru";

export function speak(code) {
  language = code && code.toLowerCase().startsWith("ru") ? "ru" : "en";
  document.documentElement.lang = language;
  for (const [attribute, set] of SHELL) {
    for (const node of document.querySelectorAll(`[data-${attribute}]`)) set(node, word(node.dataset[attribute]));
  }
  document.title = word("brand");
}

const SHELL = [
  ["word", (node, text) => { node.textContent = text; }],
  ["label", (node, text) => { node.ariaLabel = text; if (node.matches("button")) node.title = text; }],
  ["hint", (node, text) => { node.placeholder = text; }],
];

export function word(key, values = {}) {
  const text = WORDS[language][key];
  if (text === undefined) throw new Error(`no word ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// The keys one language has and the other lacks; empty when all is well.
export function unmatched() {
  const [ru, en] = [Object.keys(WORDS.ru), Object.keys(WORDS.en)];
  return [...ru.filter((key) => !(key in WORDS.en)), ...en.filter((key) => !(key in WORDS.ru))];
}

export function clockTime(iso) {
  return new Date(iso).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hour12: false });
}

export function exactTime(iso) {
  return new Date(iso).toLocaleTimeString(language, { hour12: false });
}

export function dayName(iso) {
  const day = new Date(iso);
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  if (day >= midnight) return word("today");
  midnight.setDate(midnight.getDate() - 1);
  if (day >= midnight) return word("yesterday");
  return day.toLocaleDateString(language, { day: "numeric", month: "long", year: "numeric" });
}

export function languageName(code) {
  if (!code) return word("languageUnknown");
  try {
    return new Intl.DisplayNames([language], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

// Russian and Kazakh numbers in their usual groups, never broken between lines; all others as they are.
export function prettyNumber(number) {
  const found = /^\+?7(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(number ?? "");
  if (found) return `+7 ${found[1]} ${found[2]}‑${found[3]}‑${found[4]}`.replaceAll(" ", "\u00a0");
  return number?.startsWith("+") || !number ? number ?? "" : `+${number}`;
}
