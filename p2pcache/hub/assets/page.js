"use strict";
(() => {
  const SILENT = 20_000, AGAIN = 5_000;
  const root = document.documentElement, link = document.getElementById("link");
  let timer;

  const show = (state, text) => {
    root.dataset.link = state;
    if (link.textContent !== text) link.textContent = text;
  };
  const lost = () => show("lost", "connection lost, trying again");
  const live = () => {
    show("live", "live");
    clearTimeout(timer);
    timer = setTimeout(lost, SILENT);
  };

  // Change what differs and leave the rest, so that focus, selection and transitions go on.
  const patch = (old, now) => {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    for (const { name } of [...old.attributes]) {
      // What the reader opened stays open.
      if (!now.hasAttribute(name) && !(old.localName === "details" && name === "open")) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const before = [...old.childNodes], after = [...now.childNodes];
    after.forEach((child, i) => (before[i] ? patch(before[i], child) : old.append(child)));
    before.slice(after.length).forEach((child) => child.remove());
  };

  const update = (sections) => {
    for (const [id, html] of Object.entries(sections)) {
      const now = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
      patch(document.getElementById(id), now);
      if (now.dataset.title) document.title = now.dataset.title;
    }
  };

  const connect = () => {
    const source = new EventSource("events");
    source.onopen = live;
    source.onmessage = (event) => {
      live();
      update(JSON.parse(event.data));
    };
    source.onerror = () => {
      clearTimeout(timer);
      lost();
      // A refusal ends an EventSource for good; a broken connection does not.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN);
    };
  };
  connect();
})();
