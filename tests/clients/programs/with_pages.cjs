// chromium case base site cache: has pages read from an edge, and fails where one does not get what the origin has.
// `base` is the bucket's URL at the edge, `site` that of another site, and `cache` that of a cache in front of the edge.
const { chromium } = require(`${process.env.NODE_MODULES}/playwright-core`);

const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync"];

// Each runs in Chromium, and returns what it saw.
const CASES = {
  async page(tab, { base }) {
    await tab.goto(`${base}/page/index.html`, { waitUntil: "load" });
    return tab.evaluate(() => {
      const [picture] = document.images;
      return [document.title, getComputedStyle(document.body).color, window.ran, picture.naturalWidth].join();
    });
  },
  async modules(tab, { base }) {
    await tab.goto(`${base}/modules/index.html`);
    await tab.waitForFunction(() => window.ran);
    return tab.evaluate(() => window.ran);
  },
  // As pages of other sites read: with a preflight, and with headers that only CORS exposes.
  async fetch(tab, { base, site }) {
    await tab.goto(`${site}/page.html`);
    return tab.evaluate(async (url) => {
      const whole = await fetch(`${url}/fetch/whole.txt`, { headers: { "x-own": "1" } });
      const text = await whole.text();
      const part = await fetch(`${url}/fetch/whole.txt`, { headers: { range: "bytes=4-6" } });
      return [whole.status, text, part.status, await part.text(), part.headers.get("content-range")].join();
    }, base);
  },
  // The same for two sites and a page of the edge itself, in both orders.
  async cache(tab, { base, site, cache }) {
    const other = site.replace("127.0.0.1", "localhost");
    const read = async (page, name) => {
      await tab.goto(`${page}/page.html`);
      return tab.evaluate(async (url) => (await fetch(url, { cache: "no-store" })).text(), `${cache}/cache/${name}`);
    };
    const seen = [];
    for (const [name, pages] of [["first.txt", [site, other]], ["second.txt", [other, site]]]) {
      for (const page of [...pages, ...pages]) {
        seen.push(await read(page, name));
      }
    }
    return [...new Set(seen)].join();
  },
  async "service worker"(tab, { base }) {
    await tab.goto(`${base}/worker/index.html`);
    await tab.evaluate(async () => {
      await navigator.serviceWorker.register("worker.js");
      await navigator.serviceWorker.ready;
    });
    await tab.goto(`${base}/worker/kept.html`);
    return tab.evaluate(async () => `${document.title},${await (await fetch("unknown.txt")).text()}`);
  },
  async video(tab, { base }) {
    await tab.goto(`${base}/video/index.html`);
    return tab.evaluate(async () => {
      const video = document.querySelector("video");
      const next = (name) =>
        new Promise((resolve, reject) => {
          video.addEventListener(name, resolve, { once: true });
          video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true });
        });
      Object.assign(video, { muted: true, src: "film.mp4" });
      video.play();
      await next("playing");
      video.currentTime = 9;
      await next("seeked");
      await next("ended");
      return `${video.videoWidth},${Math.round(video.duration)}`;
    });
  },
  async font(tab, { base, site }) {
    await tab.goto(`${site}/page.html`);
    return tab.evaluate(async (url) => {
      const font = await new FontFace("edge", `url(${url}/font/font.ttf)`).load();
      return `${font.family},${font.status}`;
    }, base);
  },
  // Range by range, as a viewer on another site does.
  async "pdf.js"(tab, { base, site }) {
    await tab.goto(`${site}/page.html`);
    return tab.evaluate(
      async ([url, library]) => {
        const pdf = await import(`${library}/pdf.min.mjs`);
        pdf.GlobalWorkerOptions.workerSrc = `${library}/pdf.worker.min.mjs`;
        const source = { url: `${url}/pdf/book.pdf`, disableStream: true, disableAutoFetch: true, rangeChunkSize: 65536 };
        const book = await pdf.getDocument(source).promise;
        const content = await (await book.getPage(book.numPages)).getTextContent();
        return `${book.numPages},${content.items.map((item) => item.str).join("")}`;
      },
      [base, site],
    );
  },
};

async function main([executablePath, name, base, site, cache, expected]) {
  const args = [...QUIET, "--no-first-run", "--autoplay-policy=no-user-gesture-required"];
  // Chromium's sandbox does not start as root, which is what CI runs as.
  const browser = await chromium.launch({ executablePath, args, chromiumSandbox: false });
  try {
    const seen = await CASES[name](await browser.newPage(), { base, site, cache });
    if (seen !== expected) {
      throw new Error(`it saw ${seen}`);
    }
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error).split("\n").slice(0, 3).join(" "));
  process.exit(1);
});
