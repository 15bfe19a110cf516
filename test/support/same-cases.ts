/** Properties have the same cases in every run; `npm run fuzz`, ORDER_MODEL_RUNS and STREAMS_MODEL_RUNS look for others. A setup file of every project. */
import fc from "fast-check";

if (["FUZZ_CASES", "ORDER_MODEL_RUNS", "STREAMS_MODEL_RUNS"].every((name) => process.env[name] === undefined))
  fc.configureGlobal({ seed: 7 });
