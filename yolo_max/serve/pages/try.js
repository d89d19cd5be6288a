"use strict";
const at = (id) => document.getElementById(id);
const COLORS = {{ colors | tojson }};
const LIMBS = [[15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9], [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6]];
let image = null;  // what was chosen: {blob, bitmap}; the bitmap is null where the browser cannot show it
let record = null;
let shown = null;  // the bitmap in the picture
let asked = 0;
let names = [];  // of the classes

const color = (thing) => COLORS[thing.class_id % COLORS.length];
const ink = (color) => {  // black or white, whichever is easier to read on it
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  return 0.3 * red + 0.59 * green + 0.11 * blue > 140 ? "#000" : "#fff";
};
const name = (thing) => `${thing.class_name} ${thing.confidence.toFixed(2)}`;

function say(text, bad = false) {
  at("message").textContent = text;
  at("message").className = bad ? "bad" : "";
}

const authorization = () => (at("token").value ? {Authorization: `Bearer ${at("token").value}`} : {});

async function learn() {  // the names, unless a token is needed that is not there yet
  const answer = await fetch("names", {headers: authorization()});
  if (answer.ok) names = await answer.json();
  complete();
}

function complete() {  // the last of the classes, behind those that are written already
  const before = at("classes").value.replace(/[^,]*$/, ""), chosen = before.split(",").map((name) => name.trim());
  at("names").replaceChildren(...names.filter((name) => !chosen.includes(name)).map((name) => new Option(before + name)));
}

async function ask(accept) {
  const query = new URLSearchParams();
  if (!at("conf").closest("label").hidden) query.set("conf", at("conf").value);
  if (at("classes").value.trim() && !at("classes").closest("label").hidden) query.set("classes", at("classes").value);
  const headers = {Accept: accept, "Content-Type": "application/octet-stream", ...authorization()};
  const answer = await fetch(`predict?${query}`, {method: "POST", headers, body: image.blob});
  if (answer.status === 401) {
    at("token-label").hidden = false;
    at("token").focus();
  }
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

async function show(blob) {
  image = {blob, bitmap: await createImageBitmap(blob).catch(() => null)};
  await predict();
}

async function predict() {
  if (!image) return;
  const number = ++asked;
  say("Looking …");
  const start = performance.now();
  try {
    const found = await (await ask("application/json")).json();
    const bitmap = image.bitmap || await createImageBitmap(await (await ask("image/jpeg")).blob());
    if (number !== asked) return;  // another was asked for meanwhile
    record = found;
    draw(bitmap, image.bitmap ? record : {});
    list(performance.now() - start);
  } catch (error) {
    if (number !== asked) return;
    at("result").hidden = true;
    say(error instanceof TypeError ? "The server does not answer." : error.message, true);
  }
}

function runsOf(counts) {  // where each run of a mask begins and ends, of COCO's compressed counts, column by column
  const runs = [], lengths = [];
  let end = 0;
  for (let i = 0; i < counts.length;) {
    let length = 0, shift = 0, code;
    do {
      code = counts.charCodeAt(i++) - 48;
      length |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) length |= -1 << shift;
    if (lengths.length > 2) length += lengths[lengths.length - 2];
    end += length;
    if (lengths.length % 2) runs.push([end - length, end]);
    lengths.push(length);
  }
  return runs;
}

function partOf(runs, height) {  // of a mask: the rectangle around its runs, with a margin of one pixel, column by column
  const column = (i) => Math.floor(i / height), left = column(runs[0][0]) - 1, right = column(runs.at(-1)[1] - 1) + 2;
  const tall = runs.some(([start, end]) => column(start) < column(end - 1));  // goes on in another column
  const top = tall ? -1 : runs.reduce((least, [start]) => Math.min(least, start % height), height) - 1;
  const bottom = tall ? height + 1 : runs.reduce((most, [, end]) => Math.max(most, (end - 1) % height), 0) + 2;
  const part = {left, top, width: right - left, height: bottom - top};
  part.pixels = new Uint8Array(part.width * part.height);
  for (const [start, end] of runs) {
    for (let i = start; i < end;) {
      const x = column(i), stop = Math.min(end, (x + 1) * height), offset = (x - left) * part.height - top - x * height;
      part.pixels.fill(1, i + offset, stop + offset);
      i = stop;
    }
  }
  return part;
}

function paint(pen, {pixels, width, height}, color) {  // a part with its outline, of holes too
  const data = new ImageData(width, height), bytes = new DataView(data.data.buffer);
  const rgb = parseInt(color.slice(1), 16) * 256;
  for (let x = 0, i = 0; x < width; x++) {
    for (let y = 0; y < height; y++, i++) {
      if (!pixels[i]) continue;
      const edge = !(pixels[i - height] && pixels[i + height] && pixels[i - 1] && pixels[i + 1]);
      bytes.setUint32(4 * (y * width + x), rgb + (edge ? 255 : 102));
    }
  }
  [pen.canvas.width, pen.canvas.height] = [width, height];
  pen.putImageData(data, 0, 0);
}

function masksOf(found, bitmap, width, height) {  // one picture of all masks, of this size; made once
  if (found.masks) return found.masks;
  const pen = new OffscreenCanvas(width, height).getContext("2d"), one = new OffscreenCanvas(1, 1).getContext("2d");
  for (const box of found.boxes.filter((box) => box.segmentation).reverse()) {  // the surest on top
    const [tall, wide] = box.segmentation.size, runs = runsOf(box.segmentation.counts);
    if (!runs.length) continue;
    const gain = Math.min(wide / bitmap.width, tall / bitmap.height);  // the image is centred in the mask
    const [across, down] = [bitmap.width * gain, bitmap.height * gain], [right, below] = [width / across, height / down];
    const part = partOf(runs, tall);
    paint(one, part, color(box));
    const x = (part.left - (wide - across) / 2) * right, y = (part.top - (tall - down) / 2) * below;
    pen.drawImage(one.canvas, x, y, part.width * right, part.height * below);
  }
  Object.defineProperty(found, "masks", {value: pen.canvas});  // which is not shown as JSON
  return pen.canvas;
}

function draw(bitmap, found, chosen = null) {
  const canvas = at("picture"), pen = canvas.getContext("2d");
  const side = Math.max(bitmap.width, bitmap.height), scale = Math.min(2048, Math.max(640, side)) / side;
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const width = Math.max(2, Math.max(canvas.width, canvas.height) / 400, 2 * canvas.width / at("message").clientWidth);  // legible in a small window
  const path = (points) => {
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x * scale, y * scale) : pen.moveTo(x * scale, y * scale)));
  };
  const boxes = found.boxes || [];
  if (boxes.some((box) => box.segmentation)) pen.drawImage(masksOf(found, bitmap, canvas.width, canvas.height), 0, 0);
  boxes.map((box, i) => [box, i]).reverse().forEach(([box, i]) => {  // the surest on top
    const [left, top, right, bottom] = box.xyxy;
    pen.strokeStyle = pen.fillStyle = color(box);
    pen.lineWidth = i === chosen ? 2 * width : width;
    path(box.xyxyxyxy || [[left, top], [right, top], [right, bottom], [left, bottom]]);
    pen.closePath();
    pen.stroke();
    const points = box.keypoints || [], seen = (point) => point && (point.length < 3 || point[2] >= 0.5);
    for (const [a, b] of points.length === 17 ? LIMBS : []) {
      if (seen(points[a]) && seen(points[b])) {
        path([points[a], points[b]]);
        pen.stroke();
      }
    }
    for (const point of points.filter(seen)) {
      pen.beginPath();
      pen.arc(point[0] * scale, point[1] * scale, 1.5 * width, 0, 7);
      pen.fill();
    }
  });
  pen.font = `600 ${6 * width}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  const labels = [], height = 8 * width;
  const first = chosen === null ? [] : [boxes[chosen]];
  for (const box of [...first, ...boxes.filter((box) => !first.includes(box))]) {  // then the surest chooses its place
    const size = pen.measureText(name(box)).width + 3 * width, [left, top, , bottom] = box.xyxy.map((side) => side * scale);
    const x = Math.max(0, Math.min(left - width / 2, canvas.width - size));
    const places = [top - height, top, bottom, bottom - height].map((y) => Math.max(0, Math.min(y, canvas.height - height)));
    const free = (y) => labels.every((other) => x >= other.x + other.size || other.x >= x + size || Math.abs(y - other.y) >= height);
    const y = places.find(free);
    if (y !== undefined) labels.push({box, x, y, size});  // what has no room is named in the table
  }
  for (const {box, x, y, size} of labels) {
    pen.fillStyle = color(box);
    pen.fillRect(x, y, size, height);
    pen.fillStyle = ink(color(box));
    pen.fillText(name(box), x + 1.5 * width, y + width);
  }
  shown = bitmap;
}
function list(milliseconds) {
  const things = record.boxes || record.top5 || [], rows = things.map((thing, i) => {
    const row = document.createElement("tr"), mark = document.createElement("i");
    mark.style.background = color(thing);
    const first = row.insertCell(), second = row.insertCell();
    first.append(mark, thing.class_name);
    second.className = "number";
    second.textContent = thing.confidence.toFixed(3);
    if (image.bitmap && record.boxes) {
      row.onmouseenter = () => draw(shown, record, i);
      row.onmouseleave = () => draw(shown, record);
    }
    return row;
  });
  at("found").replaceChildren(...rows);
  const times = Object.entries(record.times_ms).map(([stage, value]) => `${stage} ${value.toFixed(1)} ms`);
  at("times").textContent = `${record.image_size[1]} x ${record.image_size[0]} pixels · ${times.join(" · ")}`;
  at("json").textContent = JSON.stringify(record, null, 1);
  at("result").hidden = false;
  say(`${record.boxes ? `${things.length} found` : things[0].class_name}, after ${Math.round(milliseconds)} ms.`);
}

at("file").onchange = () => at("file").files[0] && show(at("file").files[0]);
at("drop").ondragover = (event) => (event.preventDefault(), at("drop").classList.add("over"));
at("drop").ondragleave = () => at("drop").classList.remove("over");
at("drop").ondrop = (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  if (event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
};
document.onpaste = (event) => event.clipboardData.files[0] && show(event.clipboardData.files[0]);
at("conf").oninput = () => (at("conf-value").value = Number(at("conf").value).toFixed(2));
at("classes").oninput = complete;
at("token").onchange = learn;
at("options").onchange = predict;
at("options").onsubmit = (event) => (event.preventDefault(), predict());
learn();
fetch("health").then((answer) => answer.json()).then((health) => {
  at("model").textContent = `${health.weights} · ${health.task}`;
  if (health.task === "classify") for (const id of ["conf", "classes"]) at(id).closest("label").hidden = true;
});
