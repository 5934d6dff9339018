// Draw or drop a picture; the worker translates it. What model lies here is read from i2i.json.
const $ = (id) => document.getElementById(id);
const LARGEST = 2 ** 20; // pixels: more would take minutes, or more memory than a page gets
const STEPS_BACK = 12;

const picture = $("picture"), before = $("before"), after = $("after");
const pen = picture.getContext("2d", { willReadFrequently: true });
let product; // of i2i.json: the direction that is shown
let trained; // the short side in training, in pixels
let original = null; // the picture that was opened, in full size
let undone = [];
let ready = false, busy = false, again = false, asked = 0;

// ---------------------------------------------------------------- the worker

// Made from a blob, it is bound by this page's content policy; a worker from an address would not be.
const code = `import ${JSON.stringify(new URL("worker.js", location.href).href)};`;
const start = new Blob([code], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(start), { type: "module" });
worker.onerror = () => say("The worker did not start: this browser is too old, or worker.js is missing", "bad");
worker.onmessage = ({ data }) => {
  if (data.kind === "here") open();
  else if (data.kind === "progress") $("loading").value = data.share;
  else if (data.id !== asked) return; // an answer to what nobody waits for any more
  else if (data.kind === "open") opened(data.threads);
  else if (data.kind === "run") show(data);
  else failed(data.text);
};

function ask(message, transfer = []) {
  asked += 1;
  worker.postMessage({ ...message, id: asked }, transfer);
}

function say(text, kind = "") {
  $("state").textContent = text;
  $("state").className = `state ${kind}`;
}

function failed(text) {
  busy = again = false;
  $("compare").classList.remove("busy");
  $("loading").hidden = true;
  const memory = /memory|alloc|bad_alloc/i.test(text) ? "Too little memory: choose a smaller size" : text;
  say(memory, "bad");
}

// ---------------------------------------------------------------- the model

async function open() {
  try {
    const answer = await fetch("i2i.json");
    if (!answer.ok) throw new Error(`i2i.json: ${answer.status} ${answer.statusText}`);
    const info = await answer.json();
    $("name").textContent = document.title = info.name;
    for (const [key, p] of Object.entries(info.products)) {
      $("direction").add(new Option(`${p.source} → ${p.target}`, key, false, key === info.default));
    }
    const choice = $("direction").length > 1;
    $("direction").parentElement.hidden = !choice;
    const choose = () => {
      product = info.products[$("direction").value];
      if (!choice) $("way").textContent = `${product.source} → ${product.target}`;
      trained = Math.max(8, Math.round(Math.min(...info.size) / product.scale));
      ready = busy = again = false;
      $("loading").hidden = false;
      $("loading").removeAttribute("value");
      say("Loading");
      ask({ kind: "open", url: new URL(product.file, location.href).href });
    };
    $("direction").onchange = choose;
    choose();
    for (const [name, side] of [["as trained", trained], ["twice that", 2 * trained], ["its own", 0]]) {
      $("size").add(new Option(side ? `${name} (${side})` : name, side));
    }
    if (!original) blank();
  } catch (e) {
    failed(e.message);
  }
}

function opened(threads) {
  ready = true;
  $("loading").hidden = true;
  $("state").title = threads > 1 ? `${threads} threads` : "one thread";
  say("Ready", "done");
  if (!$("hint")) translate(); // something was drawn or dropped meanwhile
}

// ---------------------------------------------------------------- the picture

function size(width, height) {
  Object.assign(picture, { width, height });
  undone = [];
  $("undo").disabled = true;
  $("brush").max = Math.max(8, Math.round(Math.min(width, height) / 4));
}

function blank() {
  original = null;
  size(trained, trained);
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, trained, trained);
  swatches([]);
}

function place() {
  const side = Number($("size").value) || Math.min(original.width, original.height);
  const wanted = side / Math.min(original.width, original.height);
  const allowed = Math.sqrt(LARGEST / (original.width * original.height));
  const factor = Math.min(wanted, allowed);
  size(Math.max(1, Math.round(original.width * factor)), Math.max(1, Math.round(original.height * factor)));
  pen.fillStyle = "#fff"; // where nothing shows, as in training
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.imageSmoothingEnabled = factor !== 1;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(original, 0, 0, picture.width, picture.height);
  swatches(common());
  translate();
}

async function take(file) {
  try {
    original = await createImageBitmap(file);
  } catch {
    return say(`${file.name || "This"} is no picture that this browser can read`, "bad");
  }
  $("hint")?.remove();
  place();
}

// The colors that cover most of the picture and differ: for a map of labels, its labels.
function common() {
  const { data } = pen.getImageData(0, 0, picture.width, picture.height);
  const counts = new Map();
  const step = 4 * Math.max(1, Math.floor(data.length / 4 / 40000));
  for (let i = 0; i < data.length; i += step) {
    const color = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  const channels = (c) => [c >> 16, (c >> 8) & 255, c & 255];
  const far = (a, b) => channels(a).some((v, i) => Math.abs(v - channels(b)[i]) > 40);
  const found = [];
  for (const [color] of [...counts].sort((a, b) => b[1] - a[1])) {
    if (found.length === 10) break;
    if (found.every((other) => far(color, other))) found.push(color);
  }
  return found.map((c) => `#${c.toString(16).padStart(6, "0")}`);
}

function swatches(colors) {
  const all = colors.length ? colors : ["#000000", "#ffffff", "#808080", "#c0392b", "#e0a030", "#2e8b57", "#2463c9"];
  $("swatches").replaceChildren(
    ...all.map((color) => {
      const button = document.createElement("button");
      button.style.background = color;
      button.ariaLabel = button.title = color;
      button.onclick = () => brush(color);
      return button;
    }),
  );
  brush(all[0]);
}

function brush(color) {
  $("color").value = color;
  for (const button of $("swatches").children) button.ariaPressed = String(button.title === color);
}

// ---------------------------------------------------------------- drawing

let from = null;

function at(event) {
  const box = picture.getBoundingClientRect();
  // The canvas fills its box without being stretched: there may be room beside or above it.
  const factor = Math.min(box.width / picture.width, box.height / picture.height);
  return [
    (event.clientX - box.left - (box.width - picture.width * factor) / 2) / factor,
    (event.clientY - box.top - (box.height - picture.height * factor) / 2) / factor,
  ];
}

function stroke(event) {
  const to = at(event);
  pen.lineWidth = Number($("brush").value);
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = $("color").value;
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  from = to;
}

picture.onpointerdown = (event) => {
  if (event.button !== 0 || !product) return;
  undone.push(pen.getImageData(0, 0, picture.width, picture.height));
  if (undone.length > STEPS_BACK) undone.shift();
  $("undo").disabled = false;
  picture.setPointerCapture(event.pointerId);
  $("hint")?.remove();
  from = at(event);
  stroke(event);
};
picture.onpointermove = (event) => from && stroke(event);
picture.onpointerup = picture.onpointercancel = () => {
  if (from) translate();
  from = null;
};

// ---------------------------------------------------------------- translation

function translate() {
  if (!ready || busy) {
    again = busy; // the latest picture is translated when this one is done
    return;
  }
  busy = true;
  $("compare").classList.add("busy");
  say("Translating");
  const { width, height } = picture;
  const { data } = pen.getImageData(0, 0, width, height);
  const channels = product.channels[0];
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    if (channels === 1) pixels[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16; // ITU-R BT.601
    else pixels.set([r, g, b], 3 * i);
  }
  Object.assign(before, { width, height });
  before.getContext("2d").drawImage(picture, 0, 0);
  ask({ kind: "run", pixels, shape: [1, height, width, channels] }, [pixels.buffer]);
}

function show({ pixels, shape: [, height, width, channels], seconds }) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  Object.assign(after, { width, height });
  after.getContext("2d").putImageData(image, 0, 0);
  after.toBlob((blob) => {
    URL.revokeObjectURL($("save").href);
    $("save").href = URL.createObjectURL(blob);
    $("save").removeAttribute("aria-disabled");
  });
  $("split").disabled = false;
  $("facts").textContent = `${width} × ${height} pixels, ${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  $("compare").classList.remove("busy");
  busy = false;
  say("Ready", "done");
  if (again) translate();
}

function split() {
  $("compare").style.setProperty("--split", `${$("split").value}%`);
  $("split").ariaValueText = `${$("split").value} % before`;
}

// ---------------------------------------------------------------- controls

$("split").oninput = split;
$("file").onchange = () => $("file").files[0] && take($("file").files[0]);
$("size").onchange = () => (original ? place() : undefined);
$("color").oninput = () => brush($("color").value);
$("clear").onclick = () => product && blank();
$("undo").onclick = () => {
  pen.putImageData(undone.pop(), 0, 0);
  $("undo").disabled = undone.length === 0;
  translate();
};
document.onpaste = (event) => {
  const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
  if (file) take(file);
};
document.ondragover = (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
};
document.ondragleave = () => $("stage").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
};
split();
