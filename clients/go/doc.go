// Package posthorn is the client of Posthorn, the webhook delivery service: it publishes events, follows status events and
// verifies webhooks.
package posthorn
