/** Properties have the same cases in every run; `npm run fuzz` and ORDER_MODEL_RUNS look for others. A setup file of every project. */
import fc from "fast-check";

if (process.env["FUZZ_CASES"] === undefined && process.env["ORDER_MODEL_RUNS"] === undefined) fc.configureGlobal({ seed: 7 });
