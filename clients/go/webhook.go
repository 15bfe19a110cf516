package posthorn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	defaultTolerance = 5 * time.Minute
	// shortestKeyBytes is as Standard Webhooks has it.
	shortestKeyBytes = 24
)

var (
	hexSecret   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	whsec       = regexp.MustCompile(`^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$`)
	unixSeconds = regexp.MustCompile(`^[0-9]{1,12}$`)
)

// WebhookInput is what was received, and what it is verified with.
type WebhookInput struct {
	// Body is the body as received, before any parsing.
	Body   []byte
	Header http.Header
	// Secrets has the client secret (64 lower-case hex digits), or `whsec_…`; several during a rotation.
	Secrets []string
	// AllowUnsignedTimestamp accepts the vendor's signature if the Standard Webhooks headers are missing. An old webhook can't be
	// distinguished from a new one then: refuse every webhook that you have handled before, forever.
	AllowUnsignedTimestamp bool
	// HeaderPrefix is POSTHORN_HEADER_PREFIX; `Sentry-Hook` by default.
	HeaderPrefix string
	// Tolerance is the maximum difference between the timestamp and now, in either direction; 5 minutes by default.
	Tolerance time.Duration
	// Now is the time of the call by default.
	Now time.Time
}

// Webhook is a webhook that was verified.
type Webhook struct {
	// DeliveryID is the same for every attempt: remember it to skip duplicates. Empty without Standard Webhooks headers.
	DeliveryID       string
	Resource         string
	Action           string
	InstallationUUID string
	// Data and Actor are JSON objects.
	Data  json.RawMessage
	Actor json.RawMessage
}

// VerifyWebhook verifies a received webhook by its Standard Webhooks signature, which covers the body, the id and the
// timestamp. The vendor's hex HMAC covers only the body, so a captured webhook stays valid with a new timestamp; it is accepted
// only on request. The error is an *Error with WEBHOOK_INVALID that names the failed check.
func VerifyWebhook(input WebhookInput) (Webhook, error) {
	keys, err := keysOf(input.Secrets)
	if err != nil {
		return Webhook{}, err
	}
	if input.HeaderPrefix == "" {
		input.HeaderPrefix = "Sentry-Hook"
	}
	if input.Tolerance <= 0 {
		input.Tolerance = defaultTolerance
	}
	if input.Now.IsZero() {
		input.Now = time.Now()
	}
	_, hasID := input.header("webhook-id")
	_, isSigned := input.header("webhook-signature")
	switch {
	case hasID && isSigned:
		err = input.checkStandard(keys)
	case input.AllowUnsignedTimestamp:
		err = input.checkVendor(keys)
	default:
		missing := "webhook-id"
		if hasID {
			missing = "webhook-signature"
		}
		err = webhookInvalid("header %s is missing; %s-Signature alone counts only with AllowUnsignedTimestamp", missing, input.HeaderPrefix)
	}
	if err != nil {
		return Webhook{}, err
	}
	return input.parse()
}

// header returns the first value.
func (input WebhookInput) header(name string) (string, bool) {
	values := input.Header.Values(name)
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (input WebhookInput) checkStandard(keys [][]byte) error {
	timestamp, err := input.checkTime("webhook-timestamp")
	if err != nil {
		return err
	}
	id, _ := input.header("webhook-id")
	signatures, _ := input.header("webhook-signature")
	wanted := make([]string, 0, len(keys))
	for _, key := range keys {
		wanted = append(wanted, "v1,"+base64.StdEncoding.EncodeToString(mac(key, []byte(id+"."+timestamp+"."), input.Body)))
	}
	if !matches(strings.Split(signatures, " "), wanted) {
		return webhookInvalid("header webhook-signature: no signature is right for this body and secret")
	}
	return nil
}

func (input WebhookInput) checkVendor(keys [][]byte) error {
	name := input.HeaderPrefix + "-Signature"
	signature, isThere := input.header(name)
	if !isThere {
		return webhookInvalid("neither webhook-signature nor %s is there", name)
	}
	if _, err := input.checkTime(input.HeaderPrefix + "-Timestamp"); err != nil {
		return err
	}
	wanted := make([]string, 0, len(keys))
	for _, key := range keys {
		wanted = append(wanted, hex.EncodeToString(mac(key, input.Body)))
	}
	if !matches([]string{signature}, wanted) {
		return webhookInvalid("header %s: not right for this body and secret", name)
	}
	return nil
}

func (input WebhookInput) checkTime(name string) (string, error) {
	timestamp, isThere := input.header(name)
	if !isThere {
		return "", webhookInvalid("header %s: found none, wanted unix seconds", name)
	}
	if !unixSeconds.MatchString(timestamp) {
		return "", webhookInvalid("header %s: found %s, wanted unix seconds", name, quote(timestamp))
	}
	seconds, _ := strconv.ParseInt(timestamp, 10, 64)
	// In seconds: a time.Duration ends after 292 years.
	away := math.Abs(float64(input.Now.UnixMilli())/1000 - float64(seconds))
	if most := input.Tolerance.Seconds(); away > most {
		return "", webhookInvalid("header %s: %.0f s away from now, wanted at most %g", name, away, most)
	}
	return timestamp, nil
}

func (input WebhookInput) parse() (Webhook, error) {
	if !utf8.Valid(input.Body) || !json.Valid(input.Body) {
		return Webhook{}, webhookInvalid("the signature is right, but the body is not JSON")
	}
	members, isObject := readObject(input.Body)
	if !isObject {
		return Webhook{}, webhookInvalid("the signature is right, but the body is not a JSON object")
	}
	id, _ := input.header("webhook-id")
	resource, _ := input.header(input.HeaderPrefix + "-Resource")
	installation, _ := readObject(members["installation"])
	return Webhook{id, resource, textOf(members["action"]), textOf(installation["uuid"]), members["data"], members["actor"]}, nil
}

func mac(key []byte, parts ...[]byte) []byte {
	hash := hmac.New(sha256.New, key)
	for _, part := range parts {
		hash.Write(part)
	}
	return hash.Sum(nil)
}

// matches compares every pair in constant time, as text: decoders of base64 and hex skip what they don't know.
func matches(found, wanted []string) bool {
	isRight := false
	for _, one := range found {
		for _, other := range wanted {
			if hmac.Equal([]byte(one), []byte(other)) {
				isRight = true
			}
		}
	}
	return isRight
}

// keysOf: the key is the client secret's bytes; `whsec_` is their base64, or that of another sender's key. A secret that is empty
// or cut is a mistake in a setting, and anybody could sign with it.
func keysOf(secrets []string) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, webhookInvalid("no secret was given")
	}
	keys := make([][]byte, 0, len(secrets))
	for _, secret := range secrets {
		key := []byte(secret)
		if !hexSecret.MatchString(secret) {
			key = nil
			if match := whsec.FindStringSubmatch(secret); match != nil {
				key, _ = base64.StdEncoding.DecodeString(match[1])
			}
		}
		if len(key) < shortestKeyBytes {
			found := fmt.Sprintf("%d characters", utf8.RuneCountInString(secret))
			if secret == "" {
				found = "an empty text"
			}
			return nil, webhookInvalid("the secret: found %s, wanted 64 lower-case hex digits, or whsec_ and the base64 of at least %d bytes", found, shortestKeyBytes)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
