"use strict";
// Pages work without this script. With it they update live, and a link with a token behind # logs in.

const policy = self.trustedTypes ? trustedTypes.createPolicy("eventbus", { createHTML: text => text }) : { createHTML: text => text };

// waiting holds, by id, fragments that came while a field in the shown one had the focus, or the mouse button was down.
// They are swapped in afterwards: a button that is replaced between press and release would not be clicked.
const waiting = new Map();
let pressed = false;
const settle = () => {
  for (const text of [...waiting.values()]) swap(text);
  if (!waiting.size && shown?.textContent === typing) say("live");
};

// say shows beside the time zone whether the page is live.
const typing = "not live while you type";
const shown = document.getElementById("live");
const say = text => { if (shown && shown.textContent !== text) shown.textContent = text; };
addEventListener("focusout", () => setTimeout(settle, 0));
addEventListener("pointerdown", () => { pressed = true; }, true);
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => setTimeout(() => { pressed = false; settle(); }, 50), true);

// swap replaces the fragment with the same id. It keeps the focus by id, open elements, and text typed into fields.
function swap(text) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(text);
  const next = template.content.firstElementChild;
  const now = next && document.getElementById(next.id);
  if (!now) return;
  if (now.isEqualNode(next)) {
    waiting.delete(next.id);
    return;
  }
  const focus = now.contains(document.activeElement) ? document.activeElement : null;
  if (pressed || (focus && focus.matches("input:not([type=hidden]), select, textarea"))) {
    waiting.set(next.id, text);
    return;
  }
  waiting.delete(next.id);
  for (const field of now.querySelectorAll("input[id]:not([type=hidden]), textarea[id]")) {
    const same = field.value !== field.defaultValue && [...next.querySelectorAll("input, textarea")].find(f => f.id === field.id);
    if (same) same.value = field.value;
  }
  for (const open of now.querySelectorAll("details[open][id]")) {
    const same = [...next.querySelectorAll("details[id]")].find(d => d.id === open.id);
    if (same) same.open = true;
  }
  const scrolled = [...now.querySelectorAll(".wide")].map(w => w.scrollLeft);
  now.replaceWith(next);
  next.querySelectorAll(".wide").forEach((w, i) => { w.scrollLeft = scrolled[i] || 0; });
  if (focus && focus.id) document.getElementById(focus.id)?.focus({ preventScroll: true });
}

// follow keeps one stream open while the page is visible.
function follow(address) {
  let stream;
  const open = () => {
    if (stream) return;
    stream = new EventSource(address);
    stream.addEventListener("open", () => say("live"));
    stream.addEventListener("error", () => {
      say("not live: reconnecting");
      if (stream && stream.readyState === EventSource.CLOSED) {
        close();
        setTimeout(() => { if (!document.hidden) open(); }, 5000);
      }
    });
    stream.addEventListener("fragment", event => {
      swap(event.data);
      if (waiting.size && !pressed) say(typing);
      document.body.dataset.updates = String(1 + Number(document.body.dataset.updates || 0));
    });
    stream.addEventListener("end", () => say("the console is being stopped"));
  };
  const close = () => {
    stream?.close();
    stream = undefined;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); say("paused while hidden"); } else open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", event => { if (event.persisted) open(); });
  if (!document.hidden) open();
}

// Browsers don't send the part behind #, so no server, proxy or log sees the token. The address is cleared at once.
const form = document.getElementById("login");
if (form && location.hash.length > 1) {
  form.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  form.requestSubmit();
}
if (document.body.dataset.live) follow(document.body.dataset.live);
document.documentElement.dataset.script = "on";
