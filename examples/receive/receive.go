// A webhook receiver in Go, without packages beyond the standard library. Settings: CLIENT_SECRET, PORT (3000).
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	tolerance    = 5 * time.Minute
	maxBodyBytes = 8 << 20
)

// isGenuine tells whether the request is from who knows the secret, and not an old one sent again.
func isGenuine(header http.Header, body []byte, secret string) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	wanted := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	// There are two while a secret is being replaced.
	for _, found := range strings.Fields(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(found), []byte(wanted)) {
			return true
		}
	}
	return false
}

func main() {
	secret, port := os.Getenv("CLIENT_SECRET"), os.Getenv("PORT")
	// Anybody can sign with an empty secret.
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(secret) {
		fmt.Fprintln(os.Stderr, "CLIENT_SECRET: wanted the app's client secret, 64 hex digits")
		os.Exit(1)
	}
	if port == "" {
		port = "3000"
	}
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxBodyBytes))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			response.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			response.WriteHeader(http.StatusBadRequest) // the sender went away in the middle
			return
		}
		if !isGenuine(request.Header, body, secret) {
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		// The same delivery can come twice: a real app would look whether it has had this webhook-id.
		var payload struct {
			Action string
			Data   json.RawMessage
		}
		if err := json.Unmarshal(body, &payload); err != nil {
			response.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Printf("%s.%s %s %s\n", request.Header.Get("Sentry-Hook-Resource"), payload.Action, request.Header.Get("webhook-id"), payload.Data)
		response.WriteHeader(http.StatusNoContent)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on http://127.0.0.1:%s\n", port)
	// A sender that hangs doesn't keep its connection.
	server := &http.Server{ReadTimeout: 30 * time.Second}
	fmt.Fprintln(os.Stderr, server.Serve(listener))
	os.Exit(1)
}
