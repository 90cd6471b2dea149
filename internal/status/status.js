// Draws what the stream brings into the page that the server drew, cell by cell and only where something changed, so that what
// is selected or read aloud stays. The formats are those of format.go and spark.go. Text is only ever set as text.
"use strict";

const byId = (id) => document.getElementById(id);

function span(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}

const limit = (seconds) => (seconds === 0 ? "–" : span(seconds));
const rounded = (v, parts) => Math.floor(v * parts + 0.5) / parts;
const fixed = (v, digits) => rounded(v, 10 ** digits).toFixed(digits);
const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
const words = (code) => code.replaceAll("_", " ");
const last = (values) => values.at(-1) ?? 0;
const clock = (time) => `${time.slice(11, 19)} UTC`;

function latency(seconds) {
  const ms = seconds * 1000;
  if (seconds === 0) return "–";
  if (ms < 10) return `${fixed(ms, 2)} ms`;
  if (ms < 100) return `${fixed(ms, 1)} ms`;
  if (ms < 1000) return `${fixed(ms, 0)} ms`;
  return `${fixed(seconds, 2)} s`;
}

function rate(perSecond) {
  if (perSecond === 0) return "0";
  return perSecond < 100 ? fixed(perSecond, 1) : count(rounded(perSecond, 1));
}

function symbol(state) {
  return { ok: "●", usable: "●", degraded: "▲", suspect: "▲", draining: "◼" }[state] ?? "✕";
}

function says(s) {
  const usable = s.servers.filter((one) => one.state === "usable").length;
  switch (s.status) {
    case "ok":
      return "Logins work; every directory server is usable.";
    case "degraded":
      return `Logins work; ${count(usable)} of ${count(s.servers.length)} directory servers are usable.`;
    case "draining":
      return "The service is shutting down: it accepts no new connections.";
  }
  return "No directory server is usable; logins get status 11.";
}

// Charts.

const width = 120;
const height = 24;
const peak = (values) => Math.max(0, ...values);
const level = (v, top) => (top === 0 ? height - 1 : rounded(height - 1 - (v / top) * (height - 2), 10));

function line(values, top) {
  return values.map((v, i) => `${i === 0 ? "M" : "L"}${width - 2 * (values.length - 1 - i)} ${level(v, top)}`).join("");
}

function area(values, top) {
  if (values.length === 0) return "";
  return `${line(values, top)}L${width} ${height}L${width - 2 * (values.length - 1)} ${height}Z`;
}

const decades = (v) => Math.log10(Math.min(Math.max(v, 0.0001), 10) / 0.0001);

function times(values) {
  return values.map((v, i) => {
    if (v === 0) return "";
    const at = `${width - 2 * (values.length - 1 - i)} ${level(decades(v), decades(10))}`;
    return i === 0 || values[i - 1] === 0 ? `M${at}h0` : `L${at}`;
  }).join("");
}

function chart(...paths) {
  return { chart: paths };
}

// Cells: a string, {text, as} with a class, or a chart. The first of a row heads it.

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function setChart(cell, paths) {
  const ns = "http://www.w3.org/2000/svg";
  if (cell.firstElementChild === null) {
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const [as] of paths) svg.appendChild(document.createElementNS(ns, "path")).setAttribute("class", as);
    cell.appendChild(svg);
  }
  paths.forEach(([, d], i) => setAttribute(cell.firstElementChild.children[i], "d", d));
}

function addRow(body, cells, stacked) {
  const heads = body.parentElement.tHead.rows[0].cells;
  const row = body.insertRow();
  if (stacked) row.setAttribute("role", "row");
  cells.forEach((_, i) => {
    const cell = row.appendChild(document.createElement(i === 0 ? "th" : "td"));
    if (i === 0) cell.scope = "row";
    if (!stacked) return;
    cell.setAttribute("role", i === 0 ? "rowheader" : "cell");
    if (i > 0) cell.dataset.label = heads[i].textContent;
  });
  return row;
}

function fill(id, rows) {
  const body = byId(id);
  const stacked = body.parentElement.classList.contains("stack");
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, r) => {
    const row = body.rows[r] ?? addRow(body, cells, stacked);
    cells.forEach((value, i) => {
      const cell = row.cells[i];
      if (value.chart) {
        setAttribute(cell, "class", "chart");
        setChart(cell, value.chart);
        return;
      }
      setText(cell, value.text ?? value);
      if (value.as) setAttribute(cell, "class", value.as);
    });
  });
}

const n = (text) => ({ text, as: "n" });
const long = (text) => ({ text, as: "text" });

// The page.

function trend(name, of) {
  const top = peak(of.per_second);
  return [
    words(name), chart(["area", area(of.per_second, top)], ["line", line(of.per_second, top)]),
    n(rate(last(of.per_second))), n(rate(top)), n(count(of.recent)),
  ];
}

function draw(s) {
  document.title = `${s.status} - authsvc`;
  const [shape, word] = byId("status").children;
  setAttribute(byId("status"), "class", `state ${s.status}`);
  setText(shape, symbol(s.status));
  setText(word, s.status);
  setText(byId("says"), says(s));
  setText(byId("uptime"), span(s.service.uptime_seconds));
  setText(byId("max"), count(s.pool.max_connections));
  fill("servers", s.servers.map((one) => [
    long(one.address), { text: `${symbol(one.state)} ${one.state}`, as: `state ${one.state}` }, span(one.state_seconds), n(count(one.connections)),
    one.breaker_open ? "open" : "closed", n(limit(one.idle_limit_seconds)), n(limit(one.age_limit_seconds)), long(one.last_error ?? "–"),
  ]));
  fill("outcomes", s.logins.outcomes.map((o) => trend(o.outcome, o)));
  fill("phases", s.logins.phases.map((p) => [
    p.phase, chart(["thin", times(p.p99_seconds_by_step)], ["line", times(p.p50_seconds_by_step)]),
    n(latency(p.p50_seconds)), n(latency(p.p99_seconds)), n(count(p.recent)),
  ]));
  fill("lanes", s.pool.lanes.map((l) => [l.lane, ...[l.in_use, l.idle, l.dialing, l.waiting, l.outdated].map((v) => n(count(v)))]));
  drawTotals(s);
  drawForward(s.forward);
  fill("faults", s.faults.length === 0 ? [["none", long("–"), "–", n("0"), long("–")]] : s.faults.map((f) => [
    `${span(f.last_seconds_ago)} ago`, long(f.server ?? "–"), words(f.what), n(count(f.count)), long(f.text),
  ]));
}

function shared(s) {
  const why = s.last_error ? `: ${s.last_error}` : "";
  return [`throttle: shared at ${s.server} (${s.state}${why}), results not told`, s.dropped];
}

function drawTotals(s) {
  fill("retired", s.retired.length === 0 ? [["none", n("0")]] : s.retired.map((r) => [words(r.reason), n(count(r.count))]));
  const totals = [
    ["dials", s.pool.dials], ["failed dials", s.pool.dial_errors],
    ["retried requests", s.pool.retries], ["rejected callers", s.pool.refused],
  ];
  if (s.throttle) {
    totals.push(
      ["throttle: counters in use", s.throttle.entries], ["throttle: waiting attempts", s.throttle.waiting],
      ["throttle: discarded counters", s.throttle.forgotten],
      ...(s.throttle.shared ? [shared(s.throttle.shared)] : []),
      ...s.throttle.refused.map((r) => [`throttle: refused by limit ${words(r.limit)}`, r.count]),
    );
  }
  fill("totals", totals.map(([what, v]) => [what, n(count(v))]));
}

function drawForward(f) {
  fill("forwarded", f.requests.map((r) => trend(r.result, r)));
  const c = f.cache;
  fill("cache", !c ? [["off", n("–")]] : [
    ["hits", c.hits], ["misses", c.misses], ["stale answers", c.stale], ["held with an accepted password", c.accepted],
    ["held with rejected passwords only", c.rejected], ["limit of each", c.limit],
  ].map(([what, v]) => [what, n(count(v))]));
}

// Changes of state are told to who listens to the page; the figures are not.

let known = null;

function announce(s) {
  const states = new Map(s.servers.map((one) => [one.address, one.state]));
  if (known !== null) {
    const news = s.servers.filter((one) => known.get(one.address) !== one.state).map((one) => `${one.address} is ${one.state}.`);
    if (news.length > 0) setText(byId("news"), `${news.join(" ")} ${says(s)}`);
  }
  known = states;
}

// The stream. A browser asks again by itself where it breaks, but not after an answer that is no stream, as that of a service that
// drains; then this does. A page that nobody sees has no stream: a browser keeps six connections to one host, and each would be one.

const silence = 5000; // in ms: so long without a snapshot, and it is not live
let started = null;
let seen = null;
let timer = null;
let source = null;

function lost() {
  const since = seen === null ? "this page was loaded" : clock(seen);
  setAttribute(byId("live"), "class", "live lost");
  setText(byId("live"), `▲ Not live since ${since}`);
}

function heard() {
  clearTimeout(timer);
  timer = setTimeout(lost, silence);
}

function received(event) {
  const s = JSON.parse(event.data);
  if (started !== null && started !== s.service.started) {
    location.reload(); // another process, perhaps with another configuration
    return;
  }
  started = s.service.started;
  seen = s.time;
  heard();
  draw(s);
  announce(s);
  setAttribute(byId("live"), "class", "live");
  setText(byId("live"), `● Live, ${clock(s.time)}`);
}

function listen() {
  if (document.hidden || (source !== null && source.readyState !== EventSource.CLOSED)) return;
  source = new EventSource("/api/status/events");
  source.addEventListener("status", received);
  source.addEventListener("error", () => {
    lost();
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}

function turned() {
  if (!document.hidden) {
    heard();
    listen();
    return;
  }
  clearTimeout(timer);
  source?.close();
  lost();
}

document.addEventListener("visibilitychange", turned);
heard();
listen();
