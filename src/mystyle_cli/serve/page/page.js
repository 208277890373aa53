// The page shows what the server says and sends what is chosen; what is done with photos is the server's.

const byId = (id) => document.getElementById(id);
const picked = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;

let facts = {};
let photo = null; // {file, number, url}: the one that is chosen
let worked = null; // the one that is worked on, or whose results are shown: another may be chosen meanwhile
let results = []; // {url, name, saved, likeness} of each picture that it gave
let wanted = null; // the one of these that was asked for last
let album = [];
const watched = new Map(); // task -> {show, settle}
const known = new Map(); // task -> what was told of it last, which may be before it is watched

// ---- the server

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    byId("away").hidden = false;
    throw { message: "mystyle has ended, or cannot be reached.", hint: "Start it again: mystyle serve" };
  }
  if (response.ok) return response;
  if (response.headers.get("content-type")?.includes("json")) {
    throw { ...(await response.json()), gone: response.status === 410 };
  }
  throw { message: await response.text(), hint: "" };
}

const askJson = async (path, options) => (await ask(path, options)).json();
const post = (path, body) => askJson(path, { method: "POST", body: JSON.stringify(body) });
const send = (path, file, method = "POST") =>
  ask(`${path}?name=${encodeURIComponent(file.name ?? "")}`, { method, body: file });

function listen() {
  const events = new EventSource("events");
  events.onopen = () => (byId("away").hidden = true);
  events.onerror = () => (byId("away").hidden = false);
  let first = true;
  events.onmessage = (event) => {
    for (const task of JSON.parse(event.data).tasks) {
      if (first && ["waiting", "running"].includes(task.state)) adopt(task);
      known.set(task.task, task);
      tell(task);
    }
    first = false;
  };
}

function tell(task) {
  const watcher = watched.get(task.task);
  if (!watcher) return;
  if (["done", "failed", "cancelled"].includes(task.state)) {
    watched.delete(task.task);
    watcher.settle(task);
  } else watcher.show(task);
}

/** Go on watching a person being learned after the page was loaded again. */
function adopt(task) {
  if (watched.has(task.task) || !["look", "learn"].includes(task.kind)) return;
  showTab(byId("tab-teach"));
  if (task.kind === "look") watch(task.task, showVerdicts);
  else watch(task.task, showLearned);
}

/** Follow a piece of work in a box, to its outcome; null where it was cancelled. */
function follow(number, box) {
  const bar = document.createElement("progress");
  const line = document.createElement("p");
  const stop = document.createElement("button");
  line.setAttribute("role", "status");
  bar.setAttribute("aria-label", "How far it is");
  Object.assign(stop, { type: "button", textContent: "Cancel", className: "plain" });
  stop.onclick = () => {
    stop.disabled = true;
    ask(`tasks/${number}`, { method: "DELETE" });
  };
  box.replaceChildren(bar, line, stop);
  box.hidden = false;
  return new Promise((resolve, reject) => {
    watched.set(number, {
      show(task) {
        if (task.total) Object.assign(bar, { max: task.total, value: task.done });
        const said = task.state === "waiting" ? "waiting for what is done before" : progressLine(task);
        if (line.textContent !== said) line.textContent = said;
      },
      settle(task) {
        box.hidden = true;
        if (task.state === "failed") reject(task.error);
        else resolve(task.state === "done" ? task : null);
      },
    });
    if (known.has(number)) tell(known.get(number));
  });
}

const STAGES = {
  curate: "looking at the photos", anchors: "finding each photo's code", tune: "tuning",
  measure: "measuring how well the person is known", examples: "drawing examples",
  instant: "learning to answer at once", betas: "asking the held-out photos how free to be",
  project: "searching",
};

function progressLine(task) {
  if (!task.stage) return "beginning";
  const left = task.left === null ? "" : `, about ${duration(task.left)} left`;
  return `${STAGES[task.stage] ?? task.stage}: ${task.done} of ${task.total}${left}`;
}

function duration(seconds) {
  return seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function showError(box, error) {
  const message = document.createElement("p");
  const strong = document.createElement("strong");
  strong.textContent = error?.message ?? String(error);
  message.append(strong);
  const hint = document.createElement("p");
  hint.textContent = error?.kind === "stranger" ? "" : (error?.hint ?? "");
  box.replaceChildren(message, hint);
  box.hidden = false;
}

function list(box, lines) {
  box.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

// ---- who

async function load(chosen) {
  facts = await askJson("facts");
  chosen ??= picked("person");
  byId("people").replaceChildren(...facts.people.map((person) => choice(person, chosen)));
  byId("nobody").hidden = facts.people.length > 0;
  const first = document.querySelector("input[name=person]:not(:disabled)");
  if (!picked("person") && first) first.checked = true;
  byId("go").disabled = !picked("person");
  showBeta();
}

const STATES = { untuned: "looked at, not learned yet", unfinished: "not finished", expired: "consent has ended" };

function choice(person, chosen) {
  const box = Object.assign(document.createElement("div"), { className: "person" });
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), {
    type: "radio", name: "person", value: person.name, disabled: person.state !== "ready",
    checked: person.name === chosen && person.state === "ready", onchange: showBeta,
  });
  const name = Object.assign(document.createElement("strong"), { textContent: person.name });
  const about = document.createElement("small");
  const counts = person.counts.train ? `${person.counts.train} photos` : "";
  const people = person.people.length ? person.people.join(", ") : "";
  const state = person.state === "ready" ? "" : (STATES[person.state] ?? person.state);
  about.textContent = [state, counts, people, person.detail].filter(Boolean).join(" · ");
  label.append(radio, name, about);
  box.append(label);
  if (person.state === "ready") {
    const sheet = { href: `people/${encodeURIComponent(person.name)}/sheet`, target: "_blank", textContent: "their photos" };
    const link = Object.assign(document.createElement("a"), sheet);
    link.setAttribute("aria-label", `The photos of ${person.name}, with verdicts`);
    box.append(link);
  }
  if (person.state === "untuned") {
    const on = { type: "button", className: "plain", textContent: `Learn ${person.name}`, onclick: () => tune(person.name) };
    box.append(Object.assign(document.createElement("button"), on));
  }
  return box;
}

/** Go on with somebody whose photos were looked at, and who was not learned to the end. */
async function tune(name) {
  byId("tune-error").hidden = true;
  try {
    const { task } = await post(`people/${encodeURIComponent(name)}/tuning`, {});
    await follow(task, byId("tune-progress"));
  } catch (error) {
    showError(byId("tune-error"), error);
  }
  await load(name);
}

function showTab(tab) {
  for (const one of document.querySelectorAll("[role=tab]")) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    byId(one.getAttribute("aria-controls")).hidden = !chosen;
  }
}

function walkTabs(event) {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const other = document.querySelector("[role=tab][aria-selected=false]");
  showTab(other);
  other.focus();
}

// ---- a photo

function dropInto(zone, take) {
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(await dropped(event.dataTransfer));
  });
}

/** Return the files of a drop, those of folders too. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  return (await Promise.all(entries.map(within))).flat();
}

async function within(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return (await Promise.all(inside.map(within))).flat();
    inside.push(...some);
  }
}

async function takePhoto(file) {
  if (!file) return;
  for (const id of ["photo-error", "work-error", "chosen", "result"]) byId(id).hidden = true;
  try {
    await upload(file);
  } catch (error) {
    photo = null;
    showError(byId("photo-error"), error);
    return;
  }
  byId("chosen").hidden = false;
  for (const id of ["thumbnail", "canvas-photo"]) byId(id).src = photo.url;
  await byId("canvas-photo").decode();
  wipe();
}

/** Give the server the photo, which forgets it when it has answered. */
async function upload(file) {
  const said = await (await send("photos", file)).json();
  if (photo?.file === file) {
    photo.number = said.photo;
    return;
  }
  const old = photo;
  if (old) ask(`photos/${old.number}`, { method: "DELETE" });
  const shown = await (await ask(`photos/${said.photo}`)).blob();
  photo = { file, number: said.photo, url: URL.createObjectURL(shown) };
  letGo(old);
}

/** Forget what a photo looks like, unless the page still needs it. */
function letGo(old) {
  if (old && old !== photo && old !== worked) URL.revokeObjectURL(old.url);
}

function showTask() {
  const fills = picked("task") === "inpaint";
  const paints = fills || (picked("task") === "restore" && byId("scratched").checked);
  byId("old").hidden = picked("task") !== "restore";
  byId("parts").hidden = byId("or-paint").hidden = !fills;
  byId("where-title").textContent = fills ? "What to fill in" : "Scratches and stains: paint over them";
  byId("where").hidden = !paints;
  byId("thumbnail").hidden = paints;
  const stops = facts.betas ?? [];
  const usual = stops.indexOf(facts.usual?.[picked("task")]);
  byId("beta").max = stops.length;
  byId("beta").value = usual < 0 ? 2 : usual;
  showBeta();
}

/** Other answers are searched, which is what the best quality does. */
function showQuality() {
  byId("variants-label").hidden = byId("variants-help").hidden = picked("quality") !== "full";
}

function showBeta() {
  if (!facts.betas) return;
  const person = facts.people.find((one) => one.name === picked("person"));
  byId("own-beta-label").hidden = !person?.own_beta;
  if (!person?.own_beta) byId("own-beta").checked = false;
  const own = byId("own-beta").checked;
  const beta = facts.betas[byId("beta").value];
  const usual = beta === facts.usual[picked("task")] ? ", as usual" : "";
  const word = own ? "as their photos advise" : beta === undefined ? "without a bound" : `${beta}${usual}`;
  byId("beta").disabled = own;
  byId("beta-word").textContent = word;
  byId("beta").setAttribute("aria-valuetext", word);
}

/** Ask for the photo to be worked on; a photo that the server has let go of is given again, once. */
async function submit(force) {
  const beta = facts.betas[byId("beta").value];
  try {
    if (!byId("where").hidden) await sendMask();
    return await post("repairs", {
      photo: photo.number, name: picked("person") ?? "", task: picked("task"), quality: picked("quality"),
      parts: [...document.querySelectorAll("input[name=part]:checked")].map((box) => box.value),
      own_beta: Number(byId("own-beta").checked), unbounded: Number(beta === undefined), beta: beta ?? 0,
      force: Number(force), colours: byId("colours").value,
      variants: picked("quality") === "full" ? Number(byId("variants").value) : 1,
    });
  } catch (error) {
    if (!error?.gone || photo.again) throw error;
    photo.again = true;
    await upload(photo.file);
    return submit(force);
  } finally {
    photo.again = false;
  }
}

async function work(force = false) {
  byId("work-error").hidden = byId("result").hidden = true;
  byId("go").disabled = true;
  const old = worked;
  worked = photo;
  letGo(old);
  try {
    const { task } = await submit(force);
    const done = await follow(task, byId("work-progress"));
    if (done) await showResult(done);
    else byId("go").dataset.again = "yes";
  } catch (error) {
    showError(byId("work-error"), error);
    if (error?.kind === "stranger") offerAnyway();
  } finally {
    byId("go").disabled = false;
    if (byId("go").dataset.again) byId("go").focus();
    delete byId("go").dataset.again;
  }
}

/** Offer to go on with a face that is not this person's; it is told twice before. */
function offerAnyway() {
  const box = byId("work-error");
  const on = Object.assign(document.createElement("button"), { type: "button", textContent: "Go on anyway" });
  on.onclick = () => {
    const name = picked("person");
    const again = document.createElement("p");
    again.textContent = `Whoever this is would be given the face of ${name}. Go on only if you are sure that it is ${name}.`;
    again.setAttribute("role", "alert");
    const sure = Object.assign(document.createElement("button"), { type: "button", textContent: `Yes, it is ${name}` });
    sure.onclick = () => work(true);
    on.replaceWith(again, sure);
    sure.focus();
  };
  box.append(on);
  on.focus();
}

async function showResult(done) {
  const { result, pictures, likenesses, summary, warnings } = done.outcome;
  for (const one of results) URL.revokeObjectURL(one.url);
  results = [];
  for (let place = 0; place < pictures; place++) {
    const blob = await (await ask(`results/${result}/${place}`)).blob();
    const isMap = place >= likenesses.length;
    const ending = isMap ? "-open" : pictures > 1 ? `-${place + 1}` : "";  // as the command names them
    const name = isMap ? "Where they differ" : `Answer ${place + 1}`;
    const saved = `${worked.file.name.replace(/\.[^.]*$/, "")}.${done.kind}${ending}.png`;
    results.push({ url: URL.createObjectURL(blob), name, saved, likeness: likenesses[place] ?? "" });
  }
  ask(`results/${result}`, { method: "DELETE" });
  byId("before").src = worked.url;
  await byId("before").decode();
  byId("answers").replaceChildren(...results.map(answerChoice));
  byId("answers").hidden = results.length < 2;
  await showAnswer(0);
  byId("result-summary").textContent = `${summary} (${done.seconds} s)`;
  list(byId("result-warnings"), warnings);
  byId("result").hidden = false;
  divide(50);
  byId("result-title").focus();
}

function answerChoice(one, place) {
  const label = document.createElement("label");
  const radio = { type: "radio", name: "answer", value: place, checked: place === 0, onchange: () => showAnswer(place) };
  label.append(Object.assign(document.createElement("input"), radio), one.name);
  return label;
}

/** Put one of the pictures beside the photo, and offer it. */
async function showAnswer(place) {
  const one = results[place];
  const picture = Object.assign(new Image(), { src: one.url });
  wanted = one;
  await picture.decode();
  if (wanted !== one) return; // another was asked for meanwhile
  const { naturalWidth: width, naturalHeight: height } = picture;
  byId("after").src = one.url; // and all that is said of it, in one step
  byId("compare").style.aspectRatio = `${width} / ${height}`;
  byId("compare").style.maxWidth = `min(100%, ${Math.max(width, 320)}px, ${(70 * width) / height}vh)`;
  byId("save").href = one.url;
  byId("save").download = one.saved;
  byId("likeness").textContent = one.likeness;
}

function divide(percent) {
  byId("split").value = percent;
  byId("split").setAttribute("aria-valuetext", `${Math.round(percent)} % before`);
  byId("after").style.clipPath = `inset(0 0 0 ${percent}%)`;
  byId("divider").style.left = `${percent}%`;
}

function dragDivider(event) {
  if (event.type === "pointerdown") byId("compare").setPointerCapture(event.pointerId);
  else if (!event.buttons) return;
  const box = byId("compare").getBoundingClientRect();
  divide(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
}

// ---- painting

let painted = false;
let pen = null; // {x, y, down} in pixels of the preview

function wipe() {
  const canvas = byId("canvas");
  canvas.width = byId("canvas-photo").naturalWidth;
  canvas.height = byId("canvas-photo").naturalHeight;
  painted = false;
  pen = { x: canvas.width / 2, y: canvas.height / 2, down: false };
}

const radius = () => (byId("brush").value / 200) * Math.max(byId("canvas").width, byId("canvas").height);

function stroke(x, y) {
  const canvas = byId("canvas");
  const pencil = canvas.getContext("2d");
  Object.assign(pencil, { strokeStyle: "#fff", lineCap: "round", lineWidth: 2 * radius() });
  pencil.beginPath();
  pencil.moveTo(pen.x, pen.y);
  pencil.lineTo(x, y);
  pencil.stroke();
  painted = true;
}

function paint(event) {
  const canvas = byId("canvas");
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) * canvas.width) / box.width;
  const y = ((event.clientY - box.top) * canvas.height) / box.height;
  if (event.type === "pointerdown") {
    canvas.setPointerCapture(event.pointerId);
    Object.assign(pen, { x, y });
  } else if (!event.buttons) return;
  stroke(x, y);
  Object.assign(pen, { x, y });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function paintByKey(event) {
  const canvas = byId("canvas");
  if (event.key === " ") {
    pen.down = !pen.down;
    if (pen.down) stroke(pen.x, pen.y);
  } else if (ARROWS[event.key]) {
    const [right, down] = ARROWS[event.key].map((way) => way * Math.max(1, radius()));
    const x = Math.min(canvas.width, Math.max(0, pen.x + right));
    const y = Math.min(canvas.height, Math.max(0, pen.y + down));
    if (pen.down) stroke(x, y);
    Object.assign(pen, { x, y });
  } else return;
  event.preventDefault();
  byId("brush-help").textContent =
    `The brush is ${pen.down ? "down" : "up"}, at ${Math.round((100 * pen.x) / canvas.width)} % from the left ` +
    `and ${Math.round((100 * pen.y) / canvas.height)} % from the top.`;
}

/** Send what was painted as white on black. */
async function sendMask() {
  if (!painted) return;
  const mask = document.createElement("canvas");
  [mask.width, mask.height] = [byId("canvas").width, byId("canvas").height];
  const pencil = mask.getContext("2d");
  pencil.fillRect(0, 0, mask.width, mask.height);
  pencil.drawImage(byId("canvas"), 0, 0);
  const blob = await new Promise((resolve) => mask.toBlob(resolve, "image/png"));
  await ask(`photos/${photo.number}/mask`, { method: "PUT", body: blob });
}

// ---- an album

function takeAlbum(files) {
  album = files.filter((file) => !file.name.startsWith("."));
  const count = album.length === 1 ? "1 photo" : `${album.length} photos`;
  byId("album-count").textContent = album.length ? `${count} chosen` : "";
}

async function look() {
  byId("learn-error").hidden = byId("verdicts").hidden = byId("learned").hidden = true;
  byId("look").disabled = true;
  try {
    if (!album.length) throw { message: "no photos are chosen", hint: "Choose photos, or a folder of them." };
    await ask("album", { method: "DELETE" });
    for (const [index, file] of album.entries()) {
      byId("album-count").textContent = `taking photo ${index + 1} of ${album.length}`;
      await send("album", file);
    }
    byId("album-count").textContent = `${album.length} photos taken`;
    const { task } = await post("people", {
      name: byId("name").value.trim(), consent: byId("consent").value, until: byId("until").value,
      prior: byId("prior").value, passes: Number(byId("passes").value),
    });
    await watch(task, showVerdicts);
  } catch (error) {
    showError(byId("learn-error"), error);
  } finally {
    byId("look").disabled = false;
  }
}

/** Follow the learning of a person; `show` tells what came of it. Tells whether it came to its end. */
async function watch(task, show) {
  byId("learn-error").hidden = byId("verdicts").hidden = byId("learned").hidden = true;
  byId("learn").hidden = true;
  let done = null;
  try {
    done = await follow(task, byId("learn-progress"));
    await load(done?.outcome.name);
    if (done) show(done.outcome);
  } catch (error) {
    await load();
    showError(byId("learn-error"), error);
  }
  byId("learn").hidden = !byId("verdicts").hidden;
  return Boolean(done);
}

function showVerdicts(outcome) {
  byId("summary").textContent = outcome.summary;
  list(byId("learn-warnings"), [...outcome.warnings, ...outcome.advice]);
  byId("how-long").textContent = outcome.how_long;
  byId("sheet").replaceChildren(...outcome.photos.map(verdict));
  byId("go-on").textContent = `Learn ${outcome.name}`;
  byId("go-on").dataset.name = outcome.name;
  byId("verdicts").hidden = false;
  byId("verdicts-title").focus();
}

function verdict(record) {
  const item = document.createElement("li");
  const kept = record.verdict === "kept";
  item.className = kept ? "kept" : "";
  const image = Object.assign(document.createElement("img"), { loading: "lazy", alt: "", src: `album/${record.sha256}` });
  image.onerror = () => (image.style.visibility = "hidden");  // no picture, as its verdict says
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: kept });
  Object.assign(box.dataset, { digest: record.sha256, kept: String(kept) });
  box.disabled = !kept && ["unreadable", "no-face"].includes(record.reason);
  box.onchange = () => item.classList.toggle("kept", box.checked);
  const label = document.createElement("label");
  label.append(box, record.file);
  const said = Object.assign(document.createElement("div"), {
    className: "verdict", textContent: kept ? `kept · ${record.split}` : record.reason,
  });
  const why = Object.assign(document.createElement("div"), {
    className: "why", textContent: record.detail === "kept" ? "" : record.detail,
  });
  item.append(image, label, said, why);
  return item;
}

async function goOn() {
  const boxes = [...byId("sheet").querySelectorAll("input")];
  const changed = (now) => boxes.filter((box) => box.checked === now && box.dataset.kept !== String(now));
  const name = byId("go-on").dataset.name;
  byId("learn-error").hidden = true;
  try {
    const { task } = await post(`people/${encodeURIComponent(name)}/verdicts`, {
      keep: changed(true).map((box) => box.dataset.digest), leave: changed(false).map((box) => box.dataset.digest),
    });
    if (await watch(task, showLearned)) return;
  } catch (error) {
    showError(byId("learn-error"), error);
  }
  byId("verdicts").hidden = false;  // to go on, or to throw it away
  byId("learn").hidden = true;
}

function showLearned(outcome) {
  const name = outcome.name;
  const said = document.createElement("p");
  said.textContent = `${name} is learned. ${outcome.summary}`;
  const warnings = Object.assign(document.createElement("ul"), { className: "warnings" });
  list(warnings, outcome.warnings);
  const on = { type: "button", textContent: `Repair a photo of ${name}`, onclick: () => showTab(byId("tab-repair")) };
  byId("learned").replaceChildren(said, warnings, Object.assign(document.createElement("button"), on));
  byId("learned").hidden = false;
  album = [];
  byId("learn").reset();
  fillLearn();
  byId("learned").querySelector("button").focus();
}

async function throwAway() {
  await ask("album/profile", { method: "DELETE" });
  byId("verdicts").hidden = byId("learn-error").hidden = true;
  byId("learn").hidden = false;
  byId("album-count").textContent = `${album.length} photos chosen`;
  byId("name").focus();
  await load();
}

function fillLearn() {
  byId("album-count").textContent = "";
  byId("consent-question").textContent = `${facts.consent}.`;
  byId("prior").replaceChildren(...facts.priors.map((name) => new Option(name, name, false, name === facts.prior)));
  byId("passes").value = facts.passes;
}

// ---- begin

function partChoice(part) {
  const label = document.createElement("label");
  label.append(Object.assign(document.createElement("input"), { type: "checkbox", name: "part", value: part }), part);
  return label;
}

async function begin() {
  listen();
  await load();
  fillLearn();
  byId("parts").replaceChildren(...facts.parts.map(partChoice));
  byId("variants").replaceChildren(...facts.answers.map((count) => new Option(String(count), String(count))));
  showTask();
  showQuality();
  dropInto(byId("photo-drop"), (files) => takePhoto(files[0]));
  dropInto(byId("album-drop"), takeAlbum);
  byId("photo").onchange = () => takePhoto(byId("photo").files[0]);
  byId("album").onchange = () => takeAlbum([...byId("album").files]);
  byId("folder").onchange = () => takeAlbum([...byId("folder").files]);
  for (const radio of document.querySelectorAll("input[name=task]")) radio.onchange = showTask;
  for (const radio of document.querySelectorAll("input[name=quality]")) radio.onchange = showQuality;
  byId("beta").oninput = byId("own-beta").onchange = showBeta;
  byId("split").oninput = () => divide(Number(byId("split").value));
  for (const kind of ["pointerdown", "pointermove"]) {
    byId("compare").addEventListener(kind, dragDivider);
    byId("canvas").addEventListener(kind, paint);
  }
  byId("canvas").addEventListener("keydown", paintByKey);
  byId("wipe").onclick = wipe;
  byId("work").onsubmit = (event) => {
    event.preventDefault();
    if (photo) work();
  };
  byId("learn").onsubmit = (event) => {
    event.preventDefault();
    look();
  };
  byId("go-on").onclick = goOn;
  byId("throw-away").onclick = throwAway;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.onclick = () => showTab(tab);
    tab.onkeydown = walkTabs;
  }
  byId("end").onclick = () => ask("end", { method: "POST" });
  byId("scratched").onchange = showTask;
  byId("version").textContent = facts.version;
  byId("store").textContent = facts.store;
  window.addEventListener("beforeunload", (event) => watched.size && event.preventDefault());
  document.body.dataset.ready = "yes";
}

begin();
