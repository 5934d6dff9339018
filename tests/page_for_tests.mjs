// Uses an exported page as its visitors do, in headless Chromium, and prints what was seen as JSON.
//   node page_for_tests.mjs CHROMIUM URL PICTURE SAVED SCREENSHOT FOREIGN_URL
import { chromium } from "playwright-core";

const [executablePath, url, file, saved, screenshot, foreign] = process.argv.slice(2);
const flags = ["no-sandbox", "disable-gpu", "disable-quic", "disable-sync", "no-first-run", "disable-component-update"];
const args = [...flags, "disable-background-networking"].map((flag) => `--${flag}`);
const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage({ viewport: { width: 1180, height: 900 } });
const seen = { requests: [], errors: [] };
page.on("request", (request) => seen.requests.push(request.url()));
page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));

const pixels = (id) =>
  page.evaluate((id) => {
    const canvas = document.getElementById(id);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const bytes = Array.from(data, (value) => String.fromCharCode(value)).join("");
    return { width: canvas.width, height: canvas.height, rgba: btoa(bytes) };
  }, id);
// Each result has an address of its own, to be saved from.
const changed = async (action) => {
  const before = await page.getAttribute("#save", "href");
  await action();
  await page.waitForFunction((before) => document.getElementById("save").getAttribute("href") !== before, before);
};

// A file is dropped as the system does it: Chromium itself reads it.
const devtools = await page.context().newCDPSession(page);
const drop = async () => {
  const stage = await page.locator("#stage").boundingBox();
  const [x, y] = [stage.x + stage.width / 2, stage.y + stage.height / 2];
  const data = { items: [], files: [file], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await devtools.send("Input.dispatchDragEvent", { type, x, y, data });
  }
};

// The model is kept back until the picture is there: it is translated when the model is.
let release;
const held = new Promise((resolve) => (release = resolve));
await page.route("**/*.onnx", (route) => held.then(() => route.continue()));
page.setDefaultTimeout(120_000);
await page.goto(url);
await page.waitForFunction(() => document.getElementById("size").options.length === 3);
seen.title = await page.title();
seen.ways = await page.locator("#direction option").allTextContents();
await page.selectOption("#size", "0");
await changed(async () => {
  await drop();
  await page.waitForFunction(() => !document.getElementById("hint"));
  release();
});
seen.picture = await pixels("picture");
seen.dropped = await pixels("after");

await changed(async () => {
  const box = await page.locator("#picture").boundingBox();
  await page.locator("#color").fill("#123456");
  await page.mouse.move(box.x + box.width * 0.25, box.y + box.height * 0.5);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + box.height * 0.5, { steps: 5 });
  await page.mouse.up();
});
seen.drawing = await pixels("picture");
seen.drawn = await pixels("after");
await changed(() => page.selectOption("#direction", "b2a"));
seen.other_way = await pixels("after");

await page.focus("#split");
for (let i = 0; i < 20; i++) await page.keyboard.press("ArrowLeft");
seen.split = await page.evaluate(() => getComputedStyle(document.getElementById("before")).clipPath);
const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
await download.saveAs(saved);
seen.saved_as = download.suggestedFilename();
await page.screenshot({ path: screenshot });

// The page's policy holds for it and for its worker; these attempts are not errors of the page.
const errors = [...seen.errors];
const leave = (address) => fetch(address, { mode: "no-cors" }).then(() => "left", () => "refused");
seen.page_leaves = await page.evaluate(leave, foreign);
seen.worker_leaves = await page.workers()[0].evaluate(leave, foreign);
await changed(() => page.click("#undo"));
seen.undone = await pixels("picture");
await changed(drop);
await browser.close();
process.stdout.write(JSON.stringify({ ...seen, errors }));
