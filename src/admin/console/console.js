// What pages gain where scripts run: rows that arrive by themselves, times of the reader's own zone, a key for the search,
// and a login by a link. Every page works without it.
"use strict";

const KEPT = 500;

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.dateTime;
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }
}

function follow(target) {
  const source = new EventSource(target.dataset.stream);
  source.onopen = () => target.classList.add("live");
  source.onerror = () => target.classList.remove("live");
  source.onmessage = (event) => {
    target.insertAdjacentHTML("afterbegin", event.data);
    const added = target.firstElementChild;
    added.classList.add("new");
    localise(added);
    while (target.children.length > KEPT) target.lastElementChild.remove();
  };
}

function reload(target) {
  const source = new EventSource(target.dataset.refresh);
  source.onmessage = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(target.id);
    if (fresh) {
      target.replaceChildren(...fresh.childNodes);
      localise(target);
    }
  };
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector("form[role=search] input");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

// What a link brings along behind `#` is sent to nobody: it is shown when the person says so, and not kept in the address.
function unpack() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname + location.search);
  const field = document.querySelector("form.login input[name=token]");
  if (field) {
    field.value = token;
    field.form.querySelector("button").focus();
  }
}

unpack();
localise(document);
document.querySelectorAll("[data-stream]").forEach(follow);
document.querySelectorAll("[data-refresh]").forEach(reload);
