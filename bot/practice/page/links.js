// Which links the page opens itself, as Telegram does with its own.

// The payload of a link to this very bot ("" when it has none), null for any other link.
export function payloadOf(url, username) {
  let link;
  try {
    link = new URL(url, location.href);
  } catch {
    return null;
  }
  const bot = username.toLowerCase();
  if (/^(www\.)?(t|telegram)\.me$/.test(link.host) && link.pathname.slice(1).replace(/\/$/, "").toLowerCase() === bot) {
    return link.searchParams.get("start") ?? "";
  }
  if (link.protocol === "tg:" && /^\/*resolve$/.test(link.host + link.pathname)
    && link.searchParams.get("domain")?.toLowerCase() === bot) {
    return link.searchParams.get("start") ?? "";
  }
  // A referral link of the bot's own web server, wherever that is.
  const referral = /^\/r\/([A-Za-z0-9_-]{8})$/.exec(link.pathname);
  return referral ? `r_${referral[1]}` : null;
}
