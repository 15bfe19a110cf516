import { generateKeyPairSync, sign } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { isSignedBy, secretProblem } from "../../../src/conformance/verify-signature.ts";

/** The vector of the Standard Webhooks libraries. */
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const RIGHT = {
  id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
  timestamp: "1614265330",
  body: Buffer.from('{"test": 2432232314}'),
  signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};

describe("a symmetric signature", () => {
  test("is right for its id, timestamp, body and secret, also beside others", () => {
    expect(isSignedBy(SECRET, RIGHT)).toBe(true);
    expect(isSignedBy(SECRET, { ...RIGHT, signatures: `v1,AAAA v1a,BBBB v2,CCCC ${RIGHT.signatures}` })).toBe(true);
  });

  test("of the standard's own library is right, over bytes beyond ASCII", () => {
    const body = '{"name":"Zürich 東京 🙂"}';
    const signatures = new Webhook(SECRET).sign("msg_1", new Date(1_614_265_330_000), body);
    expect(isSignedBy(SECRET, { ...RIGHT, id: "msg_1", body: Buffer.from(body), signatures })).toBe(true);
  });

  test.each([
    ["id", { ...RIGHT, id: "msg_2" }],
    ["timestamp", { ...RIGHT, timestamp: "1614265331" }],
    ["body", { ...RIGHT, body: Buffer.from('{"test":2432232314}') }],
    ["version", { ...RIGHT, signatures: RIGHT.signatures.replace("v1", "v2") }],
    ["encoding", { ...RIGHT, signatures: RIGHT.signatures.replace("+", "-") }],
    ["separator", { ...RIGHT, signatures: `v1,AAAA,${RIGHT.signatures}` }],
    ["value, which is missing", { ...RIGHT, signatures: "" }],
  ])("with another %s is wrong", (_, webhook) => {
    expect(isSignedBy(SECRET, webhook)).toBe(false);
  });

  test("with another secret is wrong", () => {
    for (const secret of ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", "whsec_", "whsec_%"])
      expect(isSignedBy(secret, RIGHT)).toBe(false);
  });
});

test("an asymmetric signature is right for the public key, and for no other content", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const secret = `whpk_${Buffer.from(x, "base64url").toString("base64")}`;
  const content = Buffer.concat([Buffer.from(`${RIGHT.id}.${RIGHT.timestamp}.`), RIGHT.body]);
  const signatures = `v1a,${sign(null, content, privateKey).toString("base64")}`;
  expect(secretProblem(secret)).toBeNull();
  expect(isSignedBy(secret, { ...RIGHT, signatures })).toBe(true);
  expect(isSignedBy(secret, { ...RIGHT, signatures: signatures.replace("v1a", "v1") })).toBe(false);
  expect(isSignedBy(secret, { ...RIGHT, id: "msg_2", signatures })).toBe(false);
});

test.each([
  [SECRET, null],
  [`whsec_${Buffer.alloc(64).toString("base64")}`, null],
  [`whsec_${Buffer.alloc(23).toString("base64")}`, "the secret has 23 bytes, wanted 24 to 64"],
  [`whsec_${Buffer.alloc(65).toString("base64")}`, "the secret has 65 bytes, wanted 24 to 64"],
  [`whpk_${Buffer.alloc(31).toString("base64")}`, "the secret has 31 bytes, wanted 32"],
  ["whsec_not base64", "the secret is not base64 behind whsec_"],
  ["0123456789abcdef", "the secret begins with neither whsec_ nor whpk_"],
])("the form of the secret %s", (secret, problem) => {
  expect(secretProblem(secret)).toBe(problem);
});
