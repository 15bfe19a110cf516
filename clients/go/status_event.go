package posthorn

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// StatusEventType is `<subject>.<change>`.
type StatusEventType string

const (
	IntegrationBroken    StatusEventType = "integration.broken"
	IntegrationRecovered StatusEventType = "integration.recovered"
	IntegrationDisabled  StatusEventType = "integration.disabled"
	IntegrationEnabled   StatusEventType = "integration.enabled"
	CircuitOpened        StatusEventType = "circuit.opened"
	CircuitClosed        StatusEventType = "circuit.closed"
	AppThrottled         StatusEventType = "app.throttled"
	AppReleased          StatusEventType = "app.released"
	DeliveryExhausted    StatusEventType = "delivery.exhausted"
	DeliveryRejected     StatusEventType = "delivery.rejected"
	DeliverySuppressed   StatusEventType = "delivery.suppressed"
	AppFailing           StatusEventType = "app.failing"
	AppHealthy           StatusEventType = "app.healthy"
)

// StatusEventTypes has all of them.
func StatusEventTypes() []StatusEventType {
	return []StatusEventType{
		IntegrationBroken, IntegrationRecovered, IntegrationDisabled, IntegrationEnabled,
		CircuitOpened, CircuitClosed, AppThrottled, AppReleased,
		DeliveryExhausted, DeliveryRejected, DeliverySuppressed, AppFailing, AppHealthy,
	}
}

// concernsApp reports whether events of the type concern an app and no single installation.
func (t StatusEventType) concernsApp() bool {
	return strings.HasPrefix(string(t), "app.") || strings.HasPrefix(string(t), "circuit.") || t == DeliverySuppressed
}

// StatusEvent is a CloudEvent with the members of schemas/<type>.json. A later version may add members.
type StatusEvent struct {
	// ID is the same if the event is published or redelivered again: remember it to skip handled events.
	ID     string
	Type   StatusEventType
	Source string
	// Subject is the installation's uuid, the app's slug or the delivery's id.
	Subject string
	// Time is an RFC 3339 time.
	Time string
	// Data is a JSON object; the methods below read it.
	Data json.RawMessage
}

// IntegrationData is of an integration.recovered, .disabled or .enabled.
type IntegrationData struct {
	App              string  `json:"app"`
	InstallationUUID string  `json:"installation_uuid"`
	OrganizationID   string  `json:"organization_id"`
	WebhookURL       string  `json:"webhook_url"`
	PreviousStatus   string  `json:"previous_status"`
	Status           string  `json:"status"`
	DashboardURL     *string `json:"dashboard_url"`
	Reason           struct {
		// By is `probe`, a first success, or `person`, through the API.
		By string `json:"by"`
	} `json:"reason"`
}

// BrokenData is of an integration.broken: with the rule, and the counters that it was judged by.
type BrokenData struct {
	App              string  `json:"app"`
	InstallationUUID string  `json:"installation_uuid"`
	OrganizationID   string  `json:"organization_id"`
	WebhookURL       string  `json:"webhook_url"`
	PreviousStatus   string  `json:"previous_status"`
	Status           string  `json:"status"`
	DashboardURL     *string `json:"dashboard_url"`
	Reason           struct {
		// Rule is `fatal`, `failing_days` or `timeouts`.
		Rule             string   `json:"rule"`
		WindowDays       int      `json:"window_days"`
		Days             []string `json:"days"`
		Success          int      `json:"success"`
		Error            int      `json:"error"`
		Timeout          int      `json:"timeout"`
		Fatal            int      `json:"fatal"`
		LastResponseCode *int     `json:"last_response_code"`
		LastError        *string  `json:"last_error"`
	} `json:"reason"`
}

// CircuitData is of a circuit.opened or .closed.
type CircuitData struct {
	App           string `json:"app"`
	PreviousState string `json:"previous_state"`
	State         string `json:"state"`
	// Reason and OpenUntil are nil when it closed.
	Reason *struct {
		WindowS        float64 `json:"window_s"`
		Attempts       int     `json:"attempts"`
		Failures       int     `json:"failures"`
		FailurePercent float64 `json:"failure_percent"`
	} `json:"reason"`
	OpenUntil    *string `json:"open_until"`
	DashboardURL *string `json:"dashboard_url"`
}

// ThrottledData is of an app.throttled.
type ThrottledData struct {
	App string `json:"app"`
	// Until is an RFC 3339 time: nothing of the app is attempted before.
	Until        string  `json:"until"`
	ResponseCode int     `json:"response_code"`
	DashboardURL *string `json:"dashboard_url"`
}

// ReleasedData is of an app.released.
type ReleasedData struct {
	App          string  `json:"app"`
	ThrottledAt  string  `json:"throttled_at"`
	DashboardURL *string `json:"dashboard_url"`
}

// GivenUpData is of a delivery.exhausted or .rejected.
type GivenUpData struct {
	App              string  `json:"app"`
	InstallationUUID string  `json:"installation_uuid"`
	OrganizationID   string  `json:"organization_id"`
	DeliveryID       string  `json:"delivery_id"`
	EventID          string  `json:"event_id"`
	EventType        string  `json:"event_type"`
	Attempts         int     `json:"attempts"`
	Reason           string  `json:"reason"`
	LastOutcome      *string `json:"last_outcome"`
	LastResponseCode *int    `json:"last_response_code"`
	LastError        *string `json:"last_error"`
	DashboardURL     *string `json:"dashboard_url"`
}

// SuppressedData is of a delivery.suppressed: events of a minute that were not published, because there were too many.
type SuppressedData struct {
	App          string  `json:"app"`
	Count        int     `json:"count"`
	Since        string  `json:"since"`
	Until        string  `json:"until"`
	DashboardURL *string `json:"dashboard_url"`
}

// AppHealthData is of an app.failing or .healthy: the app's attempts of the last 15 minutes.
type AppHealthData struct {
	App string `json:"app"`
	// Since is when the app began to fail.
	Since         string  `json:"since"`
	Attempts      int     `json:"attempts"`
	Failures      int     `json:"failures"`
	LastSuccessAt *string `json:"last_success_at"`
	// ByCode counts failures by response code; "0": no response.
	ByCode       map[string]int `json:"by_code"`
	DashboardURL *string        `json:"dashboard_url"`
}

// Broken reads the data of an integration.broken.
func (e StatusEvent) Broken() (BrokenData, error) {
	return dataAs[BrokenData](e, IntegrationBroken)
}

// Integration reads the data of an integration.recovered, .disabled or .enabled.
func (e StatusEvent) Integration() (IntegrationData, error) {
	return dataAs[IntegrationData](e, IntegrationRecovered, IntegrationDisabled, IntegrationEnabled)
}

// Circuit reads the data of a circuit.opened or .closed.
func (e StatusEvent) Circuit() (CircuitData, error) {
	return dataAs[CircuitData](e, CircuitOpened, CircuitClosed)
}

// Throttled reads the data of an app.throttled.
func (e StatusEvent) Throttled() (ThrottledData, error) {
	return dataAs[ThrottledData](e, AppThrottled)
}

// Released reads the data of an app.released.
func (e StatusEvent) Released() (ReleasedData, error) {
	return dataAs[ReleasedData](e, AppReleased)
}

// GivenUp reads the data of a delivery.exhausted or .rejected.
func (e StatusEvent) GivenUp() (GivenUpData, error) {
	return dataAs[GivenUpData](e, DeliveryExhausted, DeliveryRejected)
}

// Suppressed reads the data of a delivery.suppressed.
func (e StatusEvent) Suppressed() (SuppressedData, error) {
	return dataAs[SuppressedData](e, DeliverySuppressed)
}

// AppHealth reads the data of an app.failing or .healthy.
func (e StatusEvent) AppHealth() (AppHealthData, error) {
	return dataAs[AppHealthData](e, AppFailing, AppHealthy)
}

func dataAs[Data any](event StatusEvent, types ...StatusEventType) (Data, error) {
	var data Data
	if !slices.Contains(types, event.Type) {
		return data, fmt.Errorf("this is a %s, wanted one of %v", event.Type, types)
	}
	return data, json.Unmarshal(event.Data, &data)
}

// readStatusEvent returns false for what is no status event.
func readStatusEvent(body []byte) (StatusEvent, bool) {
	members, isObject := readObject(body)
	if !isObject {
		return StatusEvent{}, false
	}
	if _, isObject = readObject(members["data"]); !isObject || kindOf(members["type"]) != "a string" {
		return StatusEvent{}, false
	}
	return StatusEvent{
		ID: textOf(members["id"]), Type: StatusEventType(textOf(members["type"])), Source: textOf(members["source"]),
		Subject: textOf(members["subject"]), Time: textOf(members["time"]), Data: members["data"],
	}, true
}
