// The player in the page: hls.js plays the stream that the page's address names, and everything that happens is told.
"use strict";

// Less than what a film would have: who has buffered minutes ahead asks for no fragment when it is steered.
const BUFFER_SECONDS = 8;
// Between two looks at the position.
const LOOK_MILLISECONDS = 100;

const picture = document.getElementById("picture");
const hls = new Hls({ maxBufferLength: BUFFER_SECONDS, maxMaxBufferLength: BUFFER_SECONDS });

function told(event) {
  if (event.kind !== "position") {
    document.getElementById("told").textContent += `${JSON.stringify(event).slice(0, 90)}\n`;
    window.scrollTo(0, document.body.scrollHeight);
  }
  // Offered by whoever drives the browser.
  window.tell(event);
}

hls.on(Hls.Events.FRAG_LOADED, (_, { frag }) => {
  told({ kind: "fragment", url: frag.url, track: frag.type });
});
hls.on(Hls.Events.STEERING_MANIFEST_LOADED, (_, { steeringManifest }) => {
  const priority = steeringManifest["PATHWAY-PRIORITY"];
  const clones = steeringManifest["PATHWAY-CLONES"] ?? [];
  const first = priority.map((id) => clones.find((clone) => clone.ID === id)).find((clone) => clone);
  told({ kind: "steering", priority, host: first?.["URI-REPLACEMENT"].HOST ?? "" });
});
hls.on(Hls.Events.LEVELS_UPDATED, (_, { levels }) => {
  told({ kind: "pathway", id: levels[0].pathwayId });
});
hls.on(Hls.Events.ERROR, (_, { details, fatal, url, frag, error }) => {
  told({ kind: "error", details, fatal, url: url ?? frag?.url ?? "", reason: String(error?.message ?? "") });
});
picture.addEventListener("error", () => {
  told({ kind: "error", details: "mediaElement", fatal: true, url: "", reason: String(picture.error?.message ?? "") });
});
hls.on(Hls.Events.MANIFEST_PARSED, () => {
  // A refusal to play shows as a position that does not move.
  picture.play().catch(() => {});
});
setInterval(() => {
  told({ kind: "position", at: performance.now() / 1000, time: picture.currentTime });
}, LOOK_MILLISECONDS);

hls.loadSource(new URLSearchParams(location.search).get("stream"));
hls.attachMedia(picture);
