// chromium page film seconds output: plays a film whose picture is as bright as it is far, and goes to other places in it
const { writeFileSync } = require("node:fs");
const { chromium } = require(`${process.env.NODE_MODULES}/playwright-core`);

const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync"];

async function play([film, seconds]) {
  const video = document.body.appendChild(document.createElement("video"));
  const next = (name) =>
    new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.addEventListener("error", () => reject(new Error(video.error.message)), { once: true });
    });
  const brightness = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const drawing = canvas.getContext("2d");
    drawing.drawImage(video, 0, 0, 1, 1);
    return drawing.getImageData(0, 0, 1, 1).data[0] / 255;
  };
  const goTo = async (share) => {
    const begun = performance.now();
    video.currentTime = share * seconds;
    await next("seeked");
    const seen = brightness();
    if (Math.abs(seen - share) > 0.1) {
      throw new Error(`at ${share} of the film the picture is that of ${seen}`);
    }
    return Math.round(performance.now() - begun);
  };

  const begun = performance.now();
  Object.assign(video, { muted: true, src: film });
  video.play();
  while (video.currentTime === 0) {
    await next("timeupdate");
  }
  const plays = Math.round(performance.now() - begun);
  const seeks = [await goTo(0.8), await goTo(0.2)];
  await next("ended");
  seeks.push(await goTo(0.5));
  return { plays, seeks };
}

async function main([executablePath, page, film, seconds, output]) {
  const args = [...QUIET, "--no-first-run", "--autoplay-policy=no-user-gesture-required"];
  // Chromium's sandbox does not start as root, which is what CI runs as.
  const browser = await chromium.launch({ executablePath, args, chromiumSandbox: false });
  try {
    const tab = await browser.newPage();
    await tab.goto(page);
    writeFileSync(output, JSON.stringify(await tab.evaluate(play, [film, Number(seconds)])));
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
