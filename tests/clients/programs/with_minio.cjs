// operation endpoint bucket key output
const { createWriteStream, writeFileSync } = require("node:fs");
const { pipeline } = require("node:stream/promises");
const { Client } = require(`${process.env.NODE_MODULES}/minio`);

async function main([operation, endpoint, bucket, key, output]) {
  const { hostname, port } = new URL(endpoint);
  const { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey } = process.env;
  const client = new Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
  if (operation === "head") {
    return writeFileSync(output, String((await client.statObject(bucket, key)).size));
  }
  if (operation === "download") {
    return client.fGetObject(bucket, key, output);
  }
  const body = operation === "range" ? client.getPartialObject(bucket, key, 1000, 1000) : client.getObject(bucket, key);
  await pipeline(await body, createWriteStream(output));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
