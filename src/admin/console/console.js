// What pages gain where scripts run: rows that arrive by themselves, times of the reader's own zone, and a key for the
// search. Every page works without it.
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

localise(document);
document.querySelectorAll("[data-stream]").forEach(follow);
document.querySelectorAll("[data-refresh]").forEach(reload);
