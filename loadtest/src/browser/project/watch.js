// Opens a page in headless Chromium and writes what it tells as lines of JSON; closes it when its input ends.
//
// node watch.js CHROMIUM PAGE [PICTURE]
"use strict";

const { chromium } = require("playwright-core");

// Until the page has loaded, and until its picture is taken.
const PATIENCE_MILLISECONDS = 60_000;

async function main([executablePath, url, picture]) {
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    timeout: PATIENCE_MILLISECONDS,
    args: ["--disable-gpu", "--disable-quic", "--autoplay-policy=no-user-gesture-required"],
  });
  const told = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
  try {
    const page = await browser.newPage({ viewport: { width: 640, height: 720 } });
    page.setDefaultTimeout(PATIENCE_MILLISECONDS);
    await page.exposeFunction("tell", told);
    page.on("pageerror", (error) => told({ kind: "error", details: "page", fatal: true, url, reason: String(error) }));
    page.on("crash", () => told({ kind: "error", details: "crash", fatal: true, url, reason: "the page crashed" }));
    await page.goto(url);
    await new Promise((ended) => process.stdin.on("end", ended).resume());
    if (picture) {
      await page.screenshot({ path: picture });
    }
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  },
);
