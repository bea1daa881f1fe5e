// operation endpoint bucket key output
const { createWriteStream, writeFileSync } = require("node:fs");
const { pipeline } = require("node:stream/promises");
const { GetObjectCommand, HeadObjectCommand, S3Client } = require(`${process.env.NODE_MODULES}/@aws-sdk/client-s3`);

async function main([operation, endpoint, Bucket, Key, output]) {
  const s3 = new S3Client({ endpoint, forcePathStyle: true, region: "us-east-1" });
  if (operation === "head") {
    const { ContentLength } = await s3.send(new HeadObjectCommand({ Bucket, Key }));
    return writeFileSync(output, String(ContentLength));
  }
  const Range = operation === "range" ? "bytes=1000-1999" : undefined;
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, Range }));
  await pipeline(Body, createWriteStream(output));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
