// node definitions.mjs <MANIFESTS >PROBLEMS: what in custom resources their definitions do not allow.
//
// Both are JSON: a list of manifests, and a list of problems for each. The packages' validators are made from the
// definitions (Istio) or from the Go types that those are made from (the others), without rules in CEL. They let pass
// a field that is in no definition. It is an error here, as it is for the API server when `kubectl apply` asks:
// https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation

import { text } from "node:stream/consumers";

const PACKAGES = {
  "extensions.istio.io": "@kubernetes-models/istio",
  "gateway.envoyproxy.io": "@kubernetes-models/envoy-gateway",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "networking.istio.io": "@kubernetes-models/istio",
};
// What the definitions mark with x-kubernetes-preserve-unknown-fields.
const FREE = new RegExp("^/spec/(" + [
  "bootstrap/jsonPatches/\\d+/value",
  "configPatches/\\d+/patch/value",
  "jsonPatches/\\d+/operation/value",
  "pluginConfig",
  "wasm/\\d+/config",
].join("|") + ")$");

// Fields of Envoy Gateway 1.9 that its package does not have yet.
const NEWER = ["BackendTrafficPolicy/spec/timeout/http/streamIdleTimeout"];

async function problems(manifest) {
  const { apiVersion, kind } = manifest;
  const [group] = apiVersion.split("/");
  const model = await import(`${PACKAGES[group]}/${apiVersion}/${kind}`);
  const named = new Map();
  const invalid = errors(model[kind], watched(manifest, named));
  const newer = NEWER.map((field) => `${field.replace(kind, "")}: unknown field`);
  return [...invalid, ...unknown(manifest, named).filter((problem) => !newer.includes(problem))];
}

function errors(model, manifest) {
  try {
    model.prototype.validate.call(manifest);
    return [];
  } catch (error) {
    if (!error.errors) throw error;
    return error.errors.map(({ instancePath, message }) => `${instancePath}: ${message}`);
  }
}

// A validator reads each field that a definition names, whether it is there or not, and no other.
function watched(value, named) {
  if (!isObject(value)) return value;
  if (!named.has(value)) named.set(value, new Set());
  return new Proxy(value, {
    get(object, name) {
      named.get(object).add(name);
      return watched(object[name], named);
    },
  });
}

function unknown(value, named, path = "") {
  if (!isObject(value) || FREE.test(path)) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    named.get(value).has(name) ? unknown(inner, named, `${path}/${name}`) : [`${path}/${name}: unknown field`]);
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}

const manifests = JSON.parse(await text(process.stdin));
console.log(JSON.stringify(await Promise.all(manifests.map(problems))));
