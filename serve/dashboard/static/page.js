"use strict";
// The page: keeps what the server pushes, draws it, and says loudly when it is no longer true.
// Texts from outside are only ever set as text, never as markup.

const KEEP = 120;
const MINUTE = 60000;
const STEP_COLOURS = ["#4cc9b0", "#5aa2f0", "#b08cf0", "#e0a83e", "#ef6a6a", "#7fc96b", "#d77bb5", "#8b98a8"];
const MODES = {
  replay: ["REPLAY", "recorded market, simulated exchange · no real money"],
  paper: ["PAPER", "real market, simulated orders · no real money"],
  live: ["LIVE", "REAL MONEY · orders reach the exchange"],
};

const ALLOWED = { active: "may buy and sell", reducing: "may only reduce", halted: "halted by a person; may only reduce" };

const view = {
  seq: 0, runId: "", state: {}, health: {}, minutes: new Map(), equity: [], latency: [],
  heard: 0, lastMinuteAt: 0, gaps: [], open: new Set(), redis: true, connected: false, loaded: false,
};

// ---- small helpers

const $ = (id) => document.getElementById(id);
const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const known = (value) => typeof value === "number" && Number.isFinite(value);
const number = (value, digits) => (known(value) ? value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–");
const signed = (value, digits) => (known(value) ? `${value > 0 ? "+" : value < 0 ? "−" : ""}${number(Math.abs(value), digits)}` : "–");
const price = (value) => (known(value) ? value.toLocaleString("en-US", { maximumSignificantDigits: Math.abs(value) >= 1000 ? 7 : 5 }) : "–");
const amount = (value) => (known(value) ? value.toLocaleString("en-US", { maximumSignificantDigits: 5 }) : "–");
// A venue's decimal text without its trailing zeros, digit for digit.
const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
const two = (value) => String(value).padStart(2, "0");
const hm = (ms) => `${two(new Date(ms).getUTCHours())}:${two(new Date(ms).getUTCMinutes())}`;
const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const money = (value) => `${number(value, 2)} USDT`;
const tone = (value) => (!known(value) || Math.abs(value) < 0.005 ? "" : value > 0 ? "up" : "down");
const base = (instrument) => (instrument.split(":")[1] || instrument).split("/")[0];
const symbol = (instrument) => instrument.split(":")[1] || instrument;
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const ms = (value) => (value >= 100 ? number(value, 0) : value >= 10 ? number(value, 1) : number(value, 2));
const format = { hm, day, money, time: (at, span) => (span > 36 * 60 * MINUTE ? `${day(at).slice(5)} ${hm(at)}` : hm(at)) };
const sorted = () => [...view.minutes.keys()].sort((a, b) => b - a).map((minute) => view.minutes.get(minute));
const newest = () => sorted().find((minute) => minute.status === "done");

// ---- the connection: snapshot first, then changes; a hole in the numbers starts over

let wait = 500;

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.onopen = () => { view.connected = true; view.heard = performance.now(); wait = 500; badge(); };
  socket.onmessage = (event) => {
    view.heard = performance.now();
    if (!take(JSON.parse(event.data))) socket.close();
  };
  socket.onclose = () => {
    view.connected = false;
    badge();
    setTimeout(connect, wait);
    wait = Math.min(wait * 1.7, 8000);
  };
}

// Gives false when something was lost on the way.
function take(message) {
  if (message.type === "waiting") { view.redis = false; view.runId = message.run_id; badge(); return true; }
  if (message.type === "beat") {
    view.redis = message.redis;
    const whole = !view.loaded || !message.redis || message.seq === view.seq;
    badge();
    return whole;
  }
  view.redis = true;
  if (message.type === "snapshot") {
    Object.assign(view, { seq: message.seq, runId: message.run_id, state: message.state, health: message.health, latency: message.latency, equity: message.equity, loaded: true });
    view.minutes = new Map(message.minutes.map((minute) => [minute.minute, minute]));
    view.lastMinuteAt = performance.now();
    draw();
    return true;
  }
  if (message.seq !== view.seq + 1) return false;
  view.seq = message.seq;
  if (message.type === "record") addMinute(message);
  else if (message.type === "health") { view.health[message.health.actor] = message.health; later(drawActors); later(drawNews); }
  else if (message.type === "state") { Object.assign(view.state, message.state); later(drawState); }
  badge();
  return true;
}

function addMinute(message) {
  const now = performance.now(), minute = message.minute;
  if (view.lastMinuteAt) view.gaps = [...view.gaps.slice(-9), now - view.lastMinuteAt];
  view.lastMinuteAt = now;
  view.latency = message.latency;
  view.minutes.set(minute.minute, { ...minute, arrived: now });
  for (const old of [...view.minutes.keys()].sort((a, b) => a - b).slice(0, Math.max(0, view.minutes.size - KEEP))) view.minutes.delete(old);
  if (minute.status === "done") {
    view.equity = view.equity.filter((point) => point[0] !== minute.minute);
    view.equity.push([minute.minute, minute.equity]);
  }
  later(draw);
}

// Draw once a frame at most, however fast a replay runs.
const due = new Set();
function later(drawing) {
  if (!due.size) requestAnimationFrame(() => { const all = due.has(draw) ? [draw] : [...due]; due.clear(); all.forEach((one) => one()); });
  due.add(drawing);
}

// ---- how true the page is

function expected() {
  if (view.state.clock === "wall") return MINUTE;
  if (view.state.clock === "speed" && view.state.speed > 0) return MINUTE / view.state.speed;
  const gaps = [...view.gaps].sort((a, b) => a - b);
  return gaps.length >= 3 ? gaps[Math.floor(gaps.length / 2)] : MINUTE;
}

function badge() {
  const now = performance.now(), age = (now - view.lastMinuteAt) / 1000;
  const ended = view.state.finished === true || view.state.status === "ended";
  let level = "ok", words = "up to date";
  if (!view.connected || now - view.heard > 6000) [level, words] = ["off", view.loaded ? `connection lost · ${number((now - view.heard) / 1000, 0)} s old` : "connecting"];
  else if (!view.redis) [level, words] = ["off", "no data from Redis"];
  else if (ended) [level, words] = ["end", "run has ended"];
  else if (!view.minutes.size) [level, words] = ["wait", "waiting for the first minute"];
  else if (age * 1000 > Math.max(3 * expected(), 8000) || (view.state.clock === "wall" && age > 90)) [level, words] = ["late", `STALE · last minute ${number(age, 0)} s ago`];
  $("link").dataset.level = level;
  if ($("link-text").textContent !== words) $("link-text").textContent = words;
  $("seq").textContent = view.loaded ? `#${view.seq}` : "";
  document.body.classList.toggle("stale", view.loaded && (level === "off" || level === "late"));
}

// ---- drawing

function draw() { drawHead(); drawNews(); drawTiles(); drawChart(); drawPositions(); drawMinutes(); drawLatency(); drawActors(); badge(); }

function drawState() { drawHead(); drawTiles(); }

function drawHead() {
  const mode = view.state.mode, [word, note] = MODES[mode] || ["CONNECTED", "the run has not said what it is"];
  document.body.dataset.mode = mode || "unknown";
  $("mode").textContent = word;
  $("mode-note").textContent = note;
  $("synthetic").hidden = !view.state.synthetic;
  $("run").textContent = view.runId;
  const last = sorted()[0];
  $("date").textContent = last ? day(last.minute + MINUTE) : "";
  $("clock").textContent = last ? hm(last.minute + MINUTE) : "–";
  const hand = document.querySelector(".mark path");
  if (last) hand.style.transform = `rotate(${(last.minute / MINUTE + 1) * 6 % 360}deg)`;
  document.title = `${last && last.equity ? `${number(last.equity, 0)} · ` : ""}${word} · Minutehand`;
}

// What a person must mend stands above all else until it is mended.
function drawNews() {
  const told = view.health.risk && view.health.risk.settings, box = $("news"), words = told && told.refused ? `${hm(told.minute)} UTC: ${told.lines.join("; ")}` : "";
  box.hidden = !words;
  if (box.textContent !== words) box.textContent = words;
}

function drawTiles() {
  const last = newest(), state = view.state, minutes = sorted();
  const first = view.equity.length ? view.equity[0][1] : null, equity = last ? last.equity : null;
  const gain = known(equity) && first ? (equity / first - 1) * 100 : null;
  const peak = view.equity.reduce((most, point) => Math.max(most, point[1]), -Infinity);
  const sunk = known(equity) && peak > 0 ? Math.min(0, (equity / peak - 1) * 100) : null;
  const total = view.latency.find((line) => line.step === "all steps");
  const missed = state.missed ?? minutes.filter((minute) => minute.status === "missed").length;
  const done = state.done ?? minutes.filter((minute) => minute.status === "done").length;
  const fills = minutes.reduce((sum, minute) => sum + minute.fills.length, 0);
  const refused = minutes.reduce((sum, minute) => sum + minute.sizing.filter((one) => one.outcome === "refused").length, 0);
  const tile = (label, value, note, colour = "", noteColour = "") => el("div", { class: "tile" }, el("span", {}, label), el("b", { class: colour, title: value }, value), el("em", { class: noteColour, title: note }, note));
  const word = last ? (last.state || "–").toUpperCase() : "–";
  $("tiles").replaceChildren(
    tile("Equity, USDT", number(equity, 2), gain === null ? "–" : `${signed(gain, 2)}% since ${hm(view.equity[0][0])}`, "", tone(gain)),
    tile("Trading", word, (last && (last.state_reason || ALLOWED[last.state])) || "no minute decided yet", word === "HALTED" ? "down" : word === "REDUCING" ? "warn" : word === "ACTIVE" ? "up" : ""),
    tile("Invested", last && equity ? `${number((last.gross / equity) * 100, 1)}%` : "–", last ? money(last.gross) : "–"),
    tile("Drawdown", sunk === null ? "–" : `${sunk < 0 ? "−" : ""}${number(Math.abs(sunk), 2)}%`, `peak ${number(peak, 2)}`, sunk < -0.005 ? "down" : ""),
    tile("Minutes", `${number(done, 0)}${state.planned ? ` / ${number(state.planned, 0)}` : ""}`, missed ? `${missed} missed` : "none missed", "", missed ? "down" : ""),
    tile(`Fills, last ${minutes.length} min`, number(fills, 0), `${refused} held back by limits`),
    tile("Minute, p50", total ? `${ms(total.p50)} ms` : "–", total ? `p99 ${ms(total.p99)} ms` : "–"),
  );
}

function drawChart() {
  drawEquity($("chart"), view.equity, format);
  const points = view.equity;
  $("equity-span").textContent = points.length > 1 ? `USDT · ${day(points[0][0])} ${hm(points[0][0])} to ${hm(points[points.length - 1][0])} UTC` : "";
}

function drawPositions() {
  const last = newest(), box = $("positions");
  if (!last || !last.rows.length) { box.replaceChildren(el("p", { class: "empty" }, "No minute has been decided yet.")); return; }
  const share = (row) => (known(row.value) && last.equity ? (row.value / last.equity) * 100 : null);
  const most = Math.max(5, ...last.rows.map((row) => share(row) || 0));
  const rows = last.rows.map((row) => {
    const bar = el("i");
    bar.style.width = share(row) >= 0.05 ? `${(share(row) / most) * 100}%` : "0";
    const dust = !row.held || (known(row.value) && row.value < 1);
    return el("tr", {},
      el("td", { title: row.instrument }, el("b", {}, base(row.instrument)), el("small", {}, `/${symbol(row.instrument).split("/")[1]}`), row.fresh ? null : el("small", { class: "warn under" }, "no fresh data")),
      el("td", { class: dust ? "mute" : "" }, row.held ? amount(row.held) : "none"),
      el("td", { class: "opt" }, price(row.close), known(row.premium) ? el("small", { class: "under", title: "dearer (+) or cheaper than at the other venue, basis points" }, `${signed(row.premium, 0)} bps`) : null),
      el("td", { class: dust ? "mute" : "" }, number(row.value, 2)),
      el("td", { class: "share" }, `${number(share(row), 1)}%`, bar),
      el("td", { class: tone(row.edge) }, signed(row.edge, 1)));
  });
  const cash = last.equity - last.gross;
  box.replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...["Market", "Held", "Close", "Value", "Share", "Edge"].map((head) => el("th", { class: head === "Close" ? "opt" : "", title: head === "Edge" ? "weighted forecast, basis points" : null }, head)))),
    el("tbody", {}, ...rows, el("tr", {}, el("td", {}, el("b", {}, "Cash"), el("small", {}, " and rest")), el("td"), el("td", { class: "opt" }), el("td", {}, number(cash, 2)), el("td", {}, `${number((cash / last.equity) * 100, 1)}%`), el("td")))));
  const rates = (last.rates || []).map((rate) => ` · 1 USDT = ${price(1 / rate.usdt)} ${rate.currency} (${rate.source})`);
  $("positions-note").textContent = `after ${hm(last.minute)} UTC${rates.join("")}`;
}

function drawMinutes() {
  const box = $("minutes"), all = sorted();
  if (!all.length) { box.replaceChildren(el("p", { class: "empty" }, "The first decision appears here.")); return; }
  // Nodes that stand are not moved: an open minute stays open and nothing blinks twice.
  const old = new Map();
  for (const node of [...box.children]) {
    const minute = view.minutes.get(Number(node.dataset.minute));
    if (minute && node.dataset.status === minute.status) old.set(minute.minute, node); else node.remove();
  }
  let before = box.firstElementChild;
  for (const minute of all) {
    const kept = old.get(minute.minute);
    if (kept) before = kept.nextElementSibling;
    else box.insertBefore(minuteNode(minute), before);
  }
}

function minuteNode(minute) {
  const acted = minute.sizing.some((one) => one.outcome === "approved") || minute.fills.length > 0;
  const kind = minute.status === "missed" ? "missed" : acted ? "acted" : "quiet";
  const chips = el("span", { class: "chips" });
  const rejected = minute.orders.filter((order) => order.state === "rejected").length;
  const unknown = minute.orders.filter((order) => order.state === "unknown").length;
  const silent = minute.members.filter((member) => !member.spoke).length;
  if (minute.settings.length) {
    const refused = minute.settings.some((line) => line.refused);
    chips.append(el("span", { class: `chip ${refused ? "bad" : "held"}`, title: minute.settings.map((line) => line.words).join("; ") }, refused ? "settings refused" : "settings"));
  }
  if (minute.fills.length) chips.append(el("span", { class: "chip good" }, plural(minute.fills.length, "fill")));
  if (rejected) chips.append(el("span", { class: "chip bad" }, `${rejected} rejected`));
  if (unknown) chips.append(el("span", { class: "chip bad" }, `${unknown} unknown`));
  if (silent) chips.append(el("span", { class: "chip held" }, `${silent} silent`));
  if (minute.events.length) chips.append(el("span", { class: "chip held" }, plural(minute.events.length, "event")));
  if (minute.state && minute.state !== "active") chips.append(el("span", { class: "chip bad" }, minute.state));
  const node = el("details", { class: `minute ${kind}${minute.arrived ? " fresh-in" : ""}`, "data-minute": minute.minute, "data-status": minute.status },
    el("summary", {},
      el("time", { datetime: new Date(minute.minute).toISOString() }, hm(minute.minute)),
      el("span", { class: "regime" }, minute.regime ? el("span", { class: `chip ${minute.regime}` }, minute.regime) : ""),
      el("span", { class: "line", title: minute.headline }, minute.headline),
      chips,
      el("span", { class: "ms" }, minute.took_ms ? `${ms(minute.took_ms)} ms` : "")));
  node.addEventListener("toggle", () => {
    view.open[node.open ? "add" : "delete"](minute.minute);
    if (node.open && node.children.length === 1) node.append(why(minute));
  });
  if (view.open.has(minute.minute)) node.open = true;
  return node;
}

// Everything behind one minute: votes, edge, target, sizes line by line, refusals, orders, fills, time spent.
function why(minute) {
  const parts = [];
  if (minute.status === "missed") parts.push(el("p", { class: "notice" }, `Missed: ${minute.reason}. Nothing new was traded; exits and stops still run.`));
  if (minute.state && minute.state !== "active") parts.push(el("p", { class: "notice" }, `Trading was ${minute.state}: ${minute.state_reason || "no reason given"}`));
  for (const event of minute.events) parts.push(el("p", { class: "notice mild" }, `${event.kind.replaceAll("_", " ")}${event.instrument ? ` in ${symbol(event.instrument)}` : ""}: ${number(event.size, 1)}×`));
  for (const line of minute.settings) parts.push(el("p", { class: line.refused ? "notice" : "notice mild" }, capital(line.words)));
  for (const words of minute.models) parts.push(el("p", { class: "notice mild" }, words));
  const silent = minute.members.filter((member) => !member.spoke);
  for (const member of silent) parts.push(el("p", { class: "notice mild" }, `${member.member} lost its vote: ${member.silence}`));
  if (minute.rows.length) parts.push(voteTable(minute));
  if (minute.sizing.length) parts.push(el("div", {}, el("h3", {}, "Sizes, line by line"), el("div", { class: "sums" }, ...minute.sizing.map(sizing))));
  const lists = [];
  if (minute.orders.length) lists.push(el("div", {}, el("h3", {}, "Orders touched"), el("div", { class: "scroll" }, table(["Order", "Limit", "Filled", "State"], minute.orders.map(orderCells)))));
  if (minute.fills.length) lists.push(el("div", {}, el("h3", {}, "Fills"), el("div", { class: "scroll" }, table(["Fill", "Price", "Fee", "At"], minute.fills.map(fillCells)))));
  if (lists.length) parts.push(el("div", { class: "two" }, ...lists));
  if (minute.timings.length) parts.push(timeSpent(minute));
  parts.push(el("p", { class: "foot" }, `trace ${minute.trace}${minute.weights_version ? ` · weights ${minute.weights_version}` : ""}${minute.input_hash ? ` · input ${minute.input_hash.slice(0, 16)}` : ""}`));
  return el("div", { class: "why" }, ...parts);
}

function voteTable(minute) {
  const heads = [el("th", {}, "Market"), ...minute.members.map((member) => el("th", { title: `version ${member.version}` }, member.member, el("br"), el("small", {}, member.spoke ? `weight ${number(member.weight * 100, 0)}%` : "silent"))),
    el("th", {}, "Edge", el("br"), el("small", {}, "bps")), el("th", {}, "Target", el("br"), el("small", {}, "of investable")), el("th", { class: "words" }, "What came of it")];
  const rows = minute.rows.map((row) => el("tr", {},
    el("td", {}, el("b", {}, symbol(row.instrument)), el("br"), el("small", {}, price(row.close))),
    ...row.votes.map((vote, i) => el("td", { class: minute.members[i].spoke ? tone(vote.mean) : "mute" }, signed(vote.mean, 1), known(vote.stdev) ? el("small", { class: "stdev" }, ` ±${number(vote.stdev, 0)}`) : "")),
    el("td", { class: tone(row.edge) }, el("b", {}, signed(row.edge, 1))),
    el("td", {}, known(row.target) ? `${number(row.target * 100, 1)}%` : "keep"),
    el("td", { class: "words" }, el("span", { class: { approved: "up", refused: "warn", none: "" }[row.outcome] }, row.why))));
  return el("div", {}, el("h3", {}, "Votes, basis points each member expects"), el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows))),
    el("ul", { class: "phone" }, ...minute.rows.map((row) => el("li", {}, el("b", {}, `${base(row.instrument)} `), row.why))));
}

function sizing(one) {
  return el("div", { class: "sum" },
    el("span", { class: `chip ${one.outcome === "approved" ? "good" : "held"}` }, { approved: "approved", refused: "held back", none: "one coin" }[one.outcome]), " ", el("b", {}, one.what),
    one.reason ? el("p", { class: "warn" }, one.reason) : null,
    one.arithmetic.length ? el("ol", {}, ...one.arithmetic.map((line) => el("li", {}, line))) : null);
}

const table = (heads, rows) => el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", {}, head)))), el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells))));
const sideChip = (side) => el("span", { class: `chip ${side}` }, side);

function orderCells(order) {
  const bad = order.state === "rejected" || order.state === "unknown";
  return [
    el("td", { title: order.client_id }, sideChip(order.side), ` ${trim(order.quantity)} ${base(order.instrument)}`), el("td", {}, trim(order.price)), el("td", {}, trim(order.executed)),
    el("td", { class: bad ? "down" : order.state === "filled" ? "up" : "" }, order.state, order.reason ? el("br") : null, order.reason ? el("small", {}, order.reason) : null)];
}

function fillCells(fill) {
  const at = new Date(fill.at_ms);
  return [
    el("td", { title: `trade ${fill.trade_id} of ${fill.client_id}` }, sideChip(fill.side), ` ${trim(fill.quantity)} ${base(fill.instrument)}`), el("td", {}, trim(fill.price)),
    el("td", { title: `${fill.fee} ${fill.fee_asset}` }, `${amount(Number(fill.fee))} ${fill.fee_asset}`), el("td", {}, `${hm(fill.at_ms)}:${two(at.getUTCSeconds())}`, el("small", {}, fill.maker ? " maker" : " taker"))];
}

function timeSpent(minute) {
  const bar = el("div", { class: "steps" }), legend = el("div", { class: "legend" });
  minute.timings.forEach(([step, took], i) => {
    const colour = STEP_COLOURS[i % STEP_COLOURS.length], part = el("i", { title: `${step} ${ms(took || 0)} ms` }), key = el("i");
    part.style.cssText = `flex:${Math.max(took || 0, 0.001)} 1 0;background:${colour}`;
    key.style.background = colour;
    bar.append(part);
    legend.append(el("span", {}, key, `${step} ${ms(took || 0)}`));
  });
  return el("div", {}, el("h3", {}, `Time spent, ${ms(minute.took_ms)} ms in all`), bar, legend);
}

function drawLatency() {
  const lines = view.latency.filter((line) => line.step !== "all steps"), total = view.latency.find((line) => line.step === "all steps");
  if (!lines.length) { $("latency").replaceChildren(el("p", { class: "empty" }, "Measured from the first minute on.")); return; }
  const most = Math.max(...lines.map((line) => line.p99), 1e-9);
  const line = (one, scale, extra = "") => {
    const p99 = el("i", { class: "p99" }), p50 = el("i", { class: "p50" });
    p99.style.width = `${Math.max(1, (one.p99 / scale) * 100)}%`; p50.style.width = `${Math.max(1, (one.p50 / scale) * 100)}%`;
    return el("div", { class: `lat ${extra}`, title: `last ${ms(one.last)} ms, over ${plural(one.n, "minute")}` }, el("span", {}, one.step), el("span", { class: "track" }, p99, p50), el("span", { class: "nums" }, ms(one.p50), el("small", {}, ` · ${ms(one.p99)}`)));
  };
  $("latency").replaceChildren(...lines.map((one) => line(one, most)), ...(total ? [line(total, total.p99 || 1, "total")] : []));
}

function drawActors() {
  const actors = Object.values(view.health).sort((a, b) => a.actor.localeCompare(b.actor));
  const memory = actors.reduce((sum, one) => sum + (one.rss_mb || 0), 0), restarts = actors.reduce((sum, one) => sum + (one.restarts || 0), 0);
  $("actors-note").textContent = actors.length ? `${number(memory, 0)} MB together · ${plural(restarts, "restart")}` : "";
  if (!actors.length) { $("actors").replaceChildren(el("p", { class: "empty" }, "No actor has reported yet.")); return; }
  $("actors").replaceChildren(...actors.map((one) => {
    const kind = one.state === "running" ? "good" : one.state === "given up" ? "bad" : "held";
    const notes = [one.state === "running" ? null : one.state, one.why, known(one.ping_ms) ? `${ms(one.ping_ms)} ms` : null].filter(Boolean).join(" · ");
    return el("div", { class: "actor" }, el("i", { class: kind, title: one.state }), el("span", {}, one.actor, one.restarts ? el("small", { class: "warn" }, ` ${plural(one.restarts, "restart")}`) : ""), el("small", {}, notes), el("small", {}, known(one.rss_mb) ? `${number(one.rss_mb, 0)} MB` : ""));
  }));
}

let resized;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(drawChart, 120); });
setInterval(badge, 1000);
connect();
