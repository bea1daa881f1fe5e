// operation endpoint bucket key output
const [operation, endpoint, bucket, key, output] = process.argv.slice(2);
const file = new Bun.S3Client({ endpoint, bucket, region: "us-east-1" }).file(key);

if (operation === "head") {
  await Bun.write(output, String((await file.stat()).size));
} else {
  const body = operation === "range" ? file.slice(1000, 2000) : file;
  await Bun.write(output, await body.arrayBuffer());
}
