// chromium edge other-site screenshot
const { chromium } = require(`${process.env.NODE_MODULES}/playwright-core`);

// Nothing of a browser's own traffic: only what the page asks for.
const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync"];
const MISSING_YET = "/notes/a%20walk%20to%20the%20lighthouse.txt";

async function main([executablePath, edge, other, screenshot]) {
  // Chromium's sandbox does not start as root, which is what CI runs as.
  const browser = await chromium.launch({ executablePath, args: [...QUIET, "--no-first-run"], chromiumSandbox: false });
  try {
    const page = await browser.newPage();
    let redirects = 0;
    page.on("response", (response) => (redirects += response.status() === 302 ? 1 : 0));
    await page.goto(`${edge}/index.html`, { waitUntil: "networkidle" });
    const pictures = await page.evaluate(async () => {
      const all = { shown: [], missing: [] };
      for (const { href } of document.querySelectorAll("nav a, a[href$='.png']")) {
        const picture = Object.assign(document.body.appendChild(new Image(320)), { src: href });
        const decoded = await picture.decode().then(() => picture.naturalWidth > 0, () => false);
        all[decoded ? "shown" : "missing"].push(href);
      }
      return all;
    });
    await page.screenshot({ path: screenshot, fullPage: true });

    await page.goto(`${other}/index.html`);
    const fetched = await page.evaluate(
      async ([here, there]) => {
        const response = await fetch(there);
        const [expected, got] = [await (await fetch(here)).text(), await response.text()];
        return `${response.status}, ${got === expected ? "all of it" : got}`;
      },
      [other + MISSING_YET, edge + MISSING_YET],
    );
    console.log(JSON.stringify({ version: browser.version(), ...pictures, redirects, fetched }));
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
