//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lotabots/lotabots/chaos/mockengine"
)

// TestDrainPastItsGrace: a gateway that is told to end says first that it is not ready, and
// has connections closed; what is still under way when api.shutdown-timeout is over, streams
// of HTTP/1.1 and 1.0 and whole answers, is ended with an error that says why. The node that
// served goes on serving others.
func TestDrainPastItsGrace(t *testing.T) {
	mock := serveMock(t, mockengine.New(mockengine.Config{Model: "slow", Tokens: 900, Interval: 100 * time.Millisecond}))
	t.Setenv("LOTABOTS_API_DRAIN_NOTICE", "3s")
	t.Setenv("LOTABOTS_API_SHUTDOWN_TIMEOUT", "3s")
	c := startCluster(t, []string{"LOTABOTS_ENGINES_EXTERNAL_URLS=" + mock}, "--nodes", "1", "--engine", "external", "--engine-url", mock)
	c.await(time.Minute, "the instance is ready", func() bool { return c.readyInstances() >= 1 })
	s := c.startSidecar("sidecar")
	body := func(stream bool) string {
		return fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":900,"messages":[{"role":"user","content":"hi"}]}`, c.file.Deployment, stream)
	}
	ends := map[string]chan string{}
	for _, version := range []string{"1.1", "1.0"} {
		for _, stream := range []bool{true, false} {
			in := s.open(body(stream), version)
			if stream { // it is under way
				for text := ""; !strings.HasPrefix(text, "data: "); {
					var err error
					if text, err = in.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
			}
			end := make(chan string, 1)
			ends[fmt.Sprintf("HTTP/%s, stream %v", version, stream)] = end
			go func() {
				rest, err := io.ReadAll(in)
				end <- fmt.Sprint(string(rest), err)
			}()
		}
	}
	kept := &http.Client{Transport: &http.Transport{}}
	defer kept.CloseIdleConnections()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.await(30*time.Second, "the gateway says that it is not ready, while it still serves", func() bool {
		answer, err := kept.Get(s.api + "/readyz")
		if err != nil {
			t.Fatal("it takes no connections any more, and never said that it is not ready:", err)
		}
		defer answer.Body.Close()
		raw, _ := io.ReadAll(answer.Body)
		return answer.StatusCode == 503 && answer.Close && strings.Contains(string(raw), "node_draining")
	})
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the gateway ends with %v", err)
	}
	if took := time.Since(began); took < 6*time.Second || took > time.Minute {
		t.Errorf("it ends after %v, want 3 s of notice, 3 s of grace, and little more", took)
	}
	for name, end := range ends {
		text := <-end
		if !strings.Contains(text, "node_draining") || strings.Contains(text, "[DONE]") || !strings.HasSuffix(text, "<nil>") {
			t.Errorf("%s: %.300q ... %q", name, text, text[max(0, len(text)-500):])
		}
		if strings.HasSuffix(name, "true") != strings.Contains(text, "event: error") {
			t.Errorf("%s: %q", name, text[max(0, len(text)-500):])
		}
	}
	if answer, _, err := call(t.Context(), "GET", c.file.Nodes[0].API+"/v1/models", c.file.AdminKey, nil); err != nil || answer.StatusCode != 200 {
		t.Errorf("the node: %v", err)
	}
}

// open asks for an answer on a connection of its own.
func (s *sidecar) open(body, version string) *bufio.Reader {
	s.c.t.Helper()
	ctx, cancel := context.WithTimeout(s.c.t.Context(), time.Minute)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		s.c.t.Fatal(err)
	}
	s.c.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/%s\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", version, s.c.file.AdminKey, len(body), body)
	if err != nil {
		s.c.t.Fatal(err)
	}
	return bufio.NewReader(conn)
}
