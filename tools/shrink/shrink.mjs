// node shrink.mjs FROM TO: makes the module small, without a change to what it does.
//
// Takes away the exports that it has no use for, and runs Binaryen's optimiser. The SDK exports every callback of
// proxy-wasm. Envoy calls each that it finds (`WasmBase::getFunctions` in proxy-wasm-cpp-host), for each piece of a
// body too, and does without those that it does not find.

import { readFileSync, writeFileSync } from "node:fs";
import binaryen from "binaryen";

// `tests/module.rs` has the same list.
const KEPT = new Set([
  "_initialize",
  "memory",
  "proxy_abi_version_0_2_1",
  "proxy_on_configure",
  "proxy_on_context_create",
  "proxy_on_delete",
  "proxy_on_http_call_response",
  "proxy_on_memory_allocate",
  "proxy_on_queue_ready",
  "proxy_on_request_headers",
  "proxy_on_response_body",
  "proxy_on_response_headers",
  "proxy_on_response_trailers",
  "proxy_on_tick",
  "proxy_on_vm_start",
]);

// What rustc uses of WebAssembly for its targets by default, and so what Binaryen may use:
// https://doc.rust-lang.org/rustc/platform-support/wasm32-wasip1.html
const { Features } = binaryen;
const FEATURES = Features.BulkMemory | Features.BulkMemoryOpt | Features.CallIndirectOverlong | Features.Multivalue
  | Features.MutableGlobals | Features.NontrappingFPToInt | Features.ReferenceTypes | Features.SignExt;

const [from, to] = process.argv.slice(2);
const module = binaryen.readBinary(readFileSync(from));
module.setFeatures(FEATURES);
const exported = Array.from({ length: module.getNumExports() }, (_, at) => module.getExportByIndex(at));
exported.map((at) => binaryen.getExportInfo(at).name).filter((name) => !KEPT.has(name))
  .forEach((name) => module.removeExport(name));
// As `wasm-opt -Oz --low-memory-unused`, whose peephole optimiser has to be asked for here. rustc's linker puts the stack
// first (`--stack-first`), so the lowest addresses are those of a stack that is full.
binaryen.setOptimizeLevel(2);
binaryen.setShrinkLevel(2);
binaryen.setLowMemoryUnused(true);
binaryen.setGenerateStackIR(true);
binaryen.setOptimizeStackIR(true);
module.optimize();
// Functions that are called often get short numbers.
module.runPasses(["reorder-functions"]);
if (!module.validate()) {
  process.exit(1);
}
writeFileSync(to, module.emitBinary());
