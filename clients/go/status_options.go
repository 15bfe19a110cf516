package posthorn

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

const mostInFlight = 256

var (
	durableName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	apiSubject  = regexp.MustCompile(`^[^\s.*>]+(?:\.[^\s.*>]+)*$`)
)

// Start is the start of a new subscription; an existing one resumes.
type Start struct {
	policy string
	at     time.Time
}

// StartAll begins with the oldest event that is kept.
var StartAll = Start{policy: "all"}

// StartFrom begins with the first event of that time or later. The zero Start begins with the next event.
func StartFrom(at time.Time) Start { return Start{policy: "by_start_time", at: at} }

func (s Start) config() map[string]any {
	switch s.policy {
	case "by_start_time":
		return fromTime(toRFC3339(s.at))
	case "all":
		return map[string]any{"deliver_policy": "all"}
	default:
		return map[string]any{"deliver_policy": "new"}
	}
}

// StatusOptions says which events a subscription gets. A member that is empty is not given.
type StatusOptions struct {
	// Durable identifies the subscription: a process that restarts with the same name resumes where the last one stopped.
	// Without a name the subscription ends with Stop, or some minutes after the process.
	Durable          string
	Changes          []StatusEventType
	App              string
	InstallationUUID string
	StartAt          Start
	// MaxInFlight is the number of concurrent handlers, up to 256. With 1, the default, events arrive in order over all processes
	// of the name, and an event whose handler fails blocks the next ones. With more there is no order.
	MaxInFlight   int
	SubjectPrefix string
	// APIPrefix is the prefix of the JetStream API if it is imported from Posthorn's account, e.g. `POSTHORN.API`. An operator
	// creates the durable consumer then.
	APIPrefix string
	// Logger gets every error that is retried; slog.Default() by default.
	Logger *slog.Logger
	// OnError is called with the same errors.
	OnError func(error)
}

// checked refuses what can't work before the server is asked, and fills in what is not given.
func (o StatusOptions) checked() (StatusOptions, error) {
	prefix, err := checkSubjectPrefix(o.SubjectPrefix)
	if err != nil {
		return o, err
	}
	o.SubjectPrefix = prefix
	for _, option := range []struct {
		name, value string
		form        *regexp.Regexp
		wanted      string
	}{
		{"durable", o.Durable, durableName, "1 to 64 letters, digits, _ and -"},
		{"api_prefix", o.APIPrefix, apiSubject, "a subject, as POSTHORN.API"},
		{"app", o.App, appSlug, "an app's slug: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"},
		{"installation_uuid", o.InstallationUUID, installationUUID, "a UUID"},
	} {
		if option.value != "" && !option.form.MatchString(option.value) {
			return o, publishInvalid("%s: found %s, wanted %s", option.name, quote(option.value), option.wanted)
		}
	}
	for _, change := range o.Changes {
		if !slices.Contains(StatusEventTypes(), change) {
			return o, publishInvalid("changes: found %q, wanted some of %v", o.Changes, StatusEventTypes())
		}
	}
	if o.InstallationUUID != "" && len(o.Changes) > 0 && !slices.ContainsFunc(o.Changes, func(change StatusEventType) bool { return !change.concernsApp() }) {
		return o, publishInvalid("changes: found %q, wanted a change of an installation: these concern a whole app", o.Changes)
	}
	if o.MaxInFlight < 0 || o.MaxInFlight > mostInFlight {
		return o, publishInvalid("max_in_flight: found %d, wanted an integer from 1 to %d", o.MaxInFlight, mostInFlight)
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 1
	}
	if o.APIPrefix == "" {
		o.APIPrefix = "$JS.API"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.InstallationUUID = strings.ToLower(o.InstallationUUID)
	return o, nil
}

// filterSubject is one subject: servers before 2.10 take only one. What it lets through too much the subscription filters itself.
func (o StatusOptions) filterSubject() string {
	eventType, app := "*.*", o.App
	if len(o.Changes) == 1 {
		eventType = string(o.Changes[0])
	}
	if app == "" {
		app = "*"
	}
	ofApp := o.SubjectPrefix + ".status." + eventType + "." + app
	switch {
	case o.InstallationUUID != "":
		return ofApp + "." + o.InstallationUUID
	case eventType == "*.*":
		return o.SubjectPrefix + ".status.>"
	case StatusEventType(eventType).concernsApp():
		return ofApp
	default:
		return ofApp + ".*"
	}
}

func (o StatusOptions) wants(event StatusEvent) bool {
	data, _ := readObject(event.Data)
	return (len(o.Changes) == 0 || slices.Contains(o.Changes, event.Type)) &&
		(o.App == "" || textOf(data["app"]) == o.App) &&
		(o.InstallationUUID == "" || textOf(data["installation_uuid"]) == o.InstallationUUID)
}
