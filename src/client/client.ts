/** `posthorn/client`: publishing events, following status events, verifying webhooks. */
export { AppError, type ErrorCode } from "../model/app-error.ts";
export { deliveryId, type EventIdentity } from "../model/event-key.ts";
export type {
  BrokenData,
  BrokenReasonData,
  CircuitData,
  GivenUpData,
  IntegrationData,
  ReleasedData,
  StatusChangedData,
  StatusEvent,
  StatusEventOf,
  StatusEventType,
  ThrottledData,
} from "../model/status-event.ts";
export { STATUS_EVENT_TYPES } from "../model/status-event.ts";
export { createPublisher, type PublishedEvent, type Publisher, type PublisherOptions } from "./create-publisher.ts";
export type { EventInput } from "./prepare-event.ts";
export type { StatusHandler, SubscribeStatusOptions } from "./status-options.ts";
export { type StatusSubscription, subscribeStatus } from "./subscribe-status.ts";
export { type VerifiedWebhook, type VerifyWebhookInput, verifyWebhook } from "./verify-webhook.ts";
