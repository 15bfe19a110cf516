package posthorn

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const patience = 2 * time.Minute

// natsURL is of the one real nats-server of all tests.
var natsURL string

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withServer starts TEST_NATS_SERVER, or the nats-server on the PATH.
func withServer(run func() int) (int, error) {
	binary := os.Getenv("TEST_NATS_SERVER")
	for _, name := range []string{"nats-server", "/usr/sbin/nats-server", "/usr/local/sbin/nats-server"} {
		if path, err := exec.LookPath(name); binary == "" && err == nil {
			binary = path
		}
	}
	if binary == "" {
		return 1, fmt.Errorf("the tests start a nats-server, and none is on the PATH")
	}
	folder, err := os.MkdirTemp("", "posthorn-go-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	port, err := freePort()
	if err != nil {
		return 1, err
	}
	server := exec.Command(binary, "-js", "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-sd", folder)
	if err := server.Start(); err != nil {
		return 1, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	natsURL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	if err := makeStreams(); err != nil {
		return 1, err
	}
	return run(), nil
}

func makeStreams() error {
	connection, err := nats.Connect(natsURL, nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.FlushTimeout(patience); err != nil {
		return err
	}
	jetStream, err := connection.JetStream(nats.MaxWait(patience))
	if err != nil {
		return err
	}
	for name, subjects := range map[string][]string{
		"APP_PLATFORM_EVENTS": {"app-platform.events.*.*"},
		"APP_PLATFORM_STATUS": {"app-platform.status.*.*.*", "app-platform.status.*.*.*.*"},
	} {
		if _, err := jetStream.AddStream(&nats.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			return err
		}
	}
	return nil
}

// freePort finds one below those that connections going out are given by chance.
func freePort() (int, error) {
	for range 100 {
		port := 10_240 + rand.IntN(32_768-10_240)
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port")
}

func connect(t *testing.T) *nats.Conn {
	t.Helper()
	connection, err := nats.Connect(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	return connection
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s: still false after %v", what, patience)
		}
	}
}
