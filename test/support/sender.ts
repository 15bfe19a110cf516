/** A sender of its own for a test, with everything on loopback opened unless said otherwise. */
import { type AddressGuardOptions, createAddressGuard } from "../../src/delivery/http/address-guard.ts";
import { createNameResolver, type NameResolver } from "../../src/delivery/http/name-resolver.ts";
import { createSender, type Sender, type SenderOptions } from "../../src/delivery/http/sender.ts";
import { type Clock, systemClock } from "../../src/model/clock.ts";

export interface TestSenderOptions extends Partial<SenderOptions> {
  readonly allow?: readonly string[];
  readonly guard?: AddressGuardOptions;
  readonly resolver?: NameResolver;
  readonly clock?: Clock;
}

export function makeSender({ allow, guard, resolver, clock, ...options }: TestSenderOptions = {}): Sender {
  return createSender(
    {
      guard: createAddressGuard(allow ?? ["127.0.0.0/8", "::1/128"], guard),
      resolver: resolver ?? createNameResolver({ timeoutMs: 2_000 }),
      clock: clock ?? systemClock,
    },
    { connectTimeoutMs: 2_000, connectionsPerOrigin: 16, maxIdleConnections: 1_000, ...options },
  );
}
