// operation endpoint bucket key output
import { writeFileSync } from "node:fs";

const [operation, endpoint, bucket, key, output] = process.argv.slice(2);
const method = operation === "head" ? "HEAD" : "GET";
const headers = operation === "range" ? { range: "bytes=1000-1999" } : {};
const answer = await fetch(`${endpoint}/${bucket}/${key}`, { method, headers });
if (!answer.ok) {
  throw new Error(`status ${answer.status}`);
}
const body = Buffer.from(await answer.arrayBuffer());
writeFileSync(output, operation === "head" ? answer.headers.get("content-length") : body);
