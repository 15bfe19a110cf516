/** The clients in Python and Go, by their own tests: each on its own nats-server (TEST_NATS_SERVER), over the vectors that all clients share. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { clientPython, findGo, GO_CLIENT, PYTHON_CLIENT } from "../../scripts/client-toolchains.mjs";

/** @throws Error with what it printed, when it failed. */
async function run(command: string, args: readonly string[], cwd: string, environment: Record<string, string> = {}): Promise<string> {
  try {
    return (await promisify(execFile)(command, args, { cwd, env: { ...process.env, ...environment }, encoding: "utf8" })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout}\n${stderr}`, { cause: error });
  }
}

test.concurrent("the Python client passes its tests", async (context) => {
  const python = clientPython();
  if (python === null) return context.skip("no Python with the packages: run npm test");
  const environment = { PYTHONPATH: join(PYTHON_CLIENT, "src"), PYTHONDONTWRITEBYTECODE: "1" };
  const said = await run(python, ["-m", "pytest"], PYTHON_CLIENT, environment);
  expect(said).toMatch(/\[100%\]/);
});

test.concurrent("the Python client builds a wheel that has its types and can be imported", async (context) => {
  const python = clientPython();
  if (python === null) return context.skip("no Python with the packages: run npm test");
  const folder = mkdtempSync(join(tmpdir(), "posthorn-wheel-"));
  try {
    await run(python, ["-m", "build", "--wheel", "--no-isolation", "--outdir", folder, "."], PYTHON_CLIENT);
    const [wheel = "none"] = readdirSync(folder);
    expect(wheel).toMatch(/^posthorn-\d+\.\d+\.\d+-py3-none-any\.whl$/);
    const script = "import posthorn, importlib.resources as r; print(posthorn.__file__, r.files(posthorn).joinpath('py.typed').is_file())";
    expect(await run(python, ["-c", script], folder, { PYTHONPATH: join(folder, wheel) })).toMatch(/posthorn-.*\.whl.* True\n$/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.concurrent("the Go client passes its tests", async (context) => {
  const go = findGo();
  if (go === null) return context.skip("no Go");
  // Go would not see that another nats-server was named, and answer from its cache.
  expect(await run(go, ["test", "-count=1", "./..."], GO_CLIENT)).toMatch(/^ok\s+posthorn\s/m);
});
